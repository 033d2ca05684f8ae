/* /-/explain?bucket=B&key=K: where every shard of an object lies. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta.h"
#include "meta/meta_cluster.h"
#include "object/object_explain.h"

#define CHUNKS_MAX 64 /* of the object that are told about */

struct explain {
    struct request *r;
    struct meta_registry registry;
    uint32_t part;
    uint32_t chunks; /* told about so far */
    bool in_chunk;   /* the chunk's array is open */
    uint32_t chunk;
    unsigned lost;
};

static const char *state_text(enum object_shard_state s)
{
    return s == OBJECT_SHARD_HERE   ? "here"
           : s == OBJECT_SHARD_LOST ? "missing"
                                    : "silent";
}

/* The server and zone of a drive; alone there is neither. */
static void place_json(const struct explain *x, struct buf *b, uint16_t drive)
{
    const struct meta_registry *r = &x->registry;

    for (size_t i = 0; i < r->drive_count; i++) {
        if (r->drives[i].id != drive) {
            continue;
        }
        for (size_t n = 0; n < r->server_count; n++) {
            if (r->servers[n].id == r->drives[i].server) {
                put_json_u64(b, "server", r->servers[n].id, false);
                put_json_member(b, "name", r->servers[n].name, false);
                put_json_member(b, "zone", r->servers[n].zone, false);
            }
        }
    }
}

static void end_chunk(struct explain *x)
{
    if (x->in_chunk) {
        buf_str(&x->r->reply_body, "]}");
        x->in_chunk = false;
    }
}

static void begin_chunk(struct explain *x, const struct object_shard *s)
{
    struct buf *b = &x->r->reply_body;
    char policy[EC_POLICY_TEXT_MAX];

    end_chunk(x);
    buf_str(b, x->chunks++ > 0 ? ",{" : "{");
    if (x->part > 0) {
        put_json_u64(b, "part", x->part, false);
    }
    put_json_u64(b, "chunk", s->chunk, false);
    buf_printf(b, "\"id\":\"%016llx%016llx\",", (unsigned long long)s->id_hi,
               (unsigned long long)s->id_lo);
    put_json_u64(b, "bytes", s->chunk_bytes, false);
    put_json_u64(b, "plain_bytes",
                 s->plain_bytes > 0 ? s->plain_bytes : s->chunk_bytes, false);
    put_json_u64(b, "group", s->group, false);
    put_json_member(b, "ec", ec_policy_text(s->policy, policy), false);
    buf_str(b, "\"shards\":[");
    x->in_chunk = true;
    x->chunk = s->chunk;
}

static void on_shard(void *arg, const struct object_shard *s)
{
    struct explain *x = arg;
    struct buf *b = &x->r->reply_body;
    bool first = !x->in_chunk || x->chunk != s->chunk;

    if (first) {
        begin_chunk(x, s);
    }
    buf_str(b, first ? "{" : ",{");
    put_json_u64(b, "slot", s->slot, false);
    put_json_member(b, "kind", s->parity ? "parity" : "data", false);
    put_json_u64(b, "drive", s->drive, false);
    place_json(x, b, s->drive);
    put_json_u64(b, "bytes", s->bytes, false);
    put_json_member(b, "state", state_text(s->state), true);
    buf_char(b, '}');
    x->lost += s->state != OBJECT_SHARD_HERE;
}

static int explain_run(struct explain *x, const uint8_t *manifest, size_t len,
                       struct err *err)
{
    int rc = 0;

    if (manifest != NULL && x->chunks < CHUNKS_MAX) {
        rc = object_explain(x->r->gateway->objects, manifest, len, 0,
                            CHUNKS_MAX - x->chunks, on_shard, x, err);
        end_chunk(x);
    }
    return rc;
}

static int explain_parts(struct explain *x, const struct meta_object *o,
                         struct err *err)
{
    int rc = 0;

    for (uint32_t n = 1; n <= o->parts && x->chunks < CHUNKS_MAX && rc == 0;
         n++) {
        struct meta_part part = {0};
        rc = meta_part_get(x->r->gateway->meta, o->body, n, &part, err);
        if (rc == 0) {
            x->part = part.number;
            rc = explain_run(x, part.manifest, part.manifest_len, err);
        }
        meta_part_free(&part);
    }
    return rc;
}

static const char *kept_where(const struct meta_object *o)
{
    return o->parts > 0          ? "parts"
           : o->manifest != NULL ? "shards"
                                 : "catalogue";
}

void admin_explain(struct request *r)
{
    struct gateway *g = r->gateway;
    const char *bucket = request_param(r, "bucket");
    const char *key = request_param(r, "key");
    struct explain x = {.r = r};
    struct meta_object o = {0};
    struct err err = {{0}};
    struct buf *b = &r->reply_body;
    int rc;

    if (bucket == NULL || key == NULL) {
        reply_error(r, S3_InvalidArgument, "explain wants a bucket and a key");
        return;
    }
    if (!admin_is_ready(r)) {
        return;
    }
    rc = meta_object_get(g->meta, bucket, key, true, &o, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    meta_registry_local(g->meta, &x.registry, NULL);
    buf_char(b, '{');
    put_json_member(b, "bucket", bucket, false);
    put_json_member(b, "key", key, false);
    put_json_u64(b, "bytes", o.size_bytes, false);
    put_json_member(b, "kept", kept_where(&o), false);
    put_json_u64(b, "parts", o.parts, false);
    buf_str(b, "\"chunks\":[");
    rc = o.parts > 0 ? explain_parts(&x, &o, &err)
                     : explain_run(&x, o.manifest, o.manifest_len, &err);
    buf_str(b, "],");
    put_json_u64(b, "shards_lost", x.lost, false);
    put_json_bool(b, "truncated", x.chunks >= CHUNKS_MAX, true);
    buf_str(b, "}\n");
    meta_registry_free(&x.registry);
    meta_object_free(&o);
    if (rc != 0) {
        buf_clear(b);
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
}
