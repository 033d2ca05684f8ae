/* Erasures below /-/: GET, POST and DELETE of /-/erasures, and GET of
 * /-/erasures/receipt.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/jws.h"
#include "crypto/prim.h"
#include "crypto/sign.h"
#include "fleet/metadata.h"
#include "gateway/access.h"
#include "gateway/erase_walk.h"
#include "gateway/eraser.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "gateway/request.h"
#include "gateway/s3_version.h"
#include "meta/meta.h"
#include "meta/meta_cluster.h"
#include "meta/meta_erase.h"

#define PAGE 1000
#define RECEIPT_INFO "godwit receipt key 1"

/* ---- which servers are clean ---- */

struct cleanness {
    struct meta_erase_clean *said;
    size_t count;
    uint32_t *servers; /* that keep the catalogue */
    size_t server_count;
};

static void cleanness_free(struct cleanness *c)
{
    free(c->said);
    free(c->servers);
}

static int cleanness_read(struct gateway *g, struct cleanness *c,
                          struct err *err)
{
    struct meta_server *servers = NULL;
    size_t count = 0;
    int rc = meta_erase_cleaned(g->meta, &c->said, &c->count, err);

    if (rc == 0 && g->cluster != NULL) {
        rc = meta_servers(g->meta, &servers, &count, err);
    }
    c->servers = mem_calloc(count + 1, sizeof *c->servers);
    for (size_t i = 0; i < count; i++) {
        if (servers[i].state != META_SERVER_REMOVED &&
            (servers[i].roles & META_SERVER_META) != 0) {
            c->servers[c->server_count++] = servers[i].id;
        }
    }
    if (g->cluster == NULL) {
        c->servers[c->server_count++] = 1;
    }
    free(servers);
    return rc;
}

static bool is_clean(const struct cleanness *c, uint32_t server, uint64_t entry)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->said[i].server == server) {
            return c->said[i].upto >= entry;
        }
    }
    return entry == 0;
}

static bool all_clean(const struct cleanness *c, uint64_t entry)
{
    for (size_t i = 0; i < c->server_count; i++) {
        if (!is_clean(c, c->servers[i], entry)) {
            return false;
        }
    }
    return true;
}

/* ---- showing ---- */

static const char *const selectors[META_ERASE_SELECTORS] = {
    [META_ERASE_VERSION] = "version", [META_ERASE_KEY] = "key",
    [META_ERASE_PREFIX] = "prefix",   [META_ERASE_SUBJECT] = "subject",
    [META_ERASE_DEVICE] = "device",
};
static const char *const states[] = {
    [META_ERASE_RUNNING] = "running",
    [META_ERASE_BLOCKED] = "blocked",
    [META_ERASE_DONE] = "done",
    [META_ERASE_CANCELLED] = "cancelled",
};
static const char *const hows[META_ERASED_HOWS] = {
    [META_ERASED_KEY] = "key destroyed",
    [META_ERASED_BYTES] = "bytes released",
    [META_ERASED_MARKER] = "delete marker",
};

/* What was asked, and what came of it: members, the last without a comma. */
static void asked_json(struct buf *b, const struct meta_erase *e)
{
    char version[S3_VERSION_TEXT], digest[2 * META_ERASE_DIGEST + 1];

    put_json_u64(b, "id", e->id, false);
    put_json_member(b, "bucket", e->bucket, false);
    put_json_member(b, "selector", selectors[e->selector], false);
    put_json_member(b, "key", e->key, false);
    put_json_member(b, "version",
                    e->selector == META_ERASE_VERSION
                        ? s3_version_text(e->version, version)
                        : "",
                    false);
    put_json_member(b, "field", e->field, false);
    put_json_member(b, "value", e->value, false);
    put_json_member(b, "reason", e->reason, false);
    put_json_member(b, "by", e->by, false);
    put_json_u64(b, "created_ms", e->created_ms, false);
    put_json_u64(b, "done_ms", e->done_ms, false);
    put_json_u64(b, "versions", e->versions, false);
    put_json_u64(b, "keys_destroyed", e->keys, false);
    put_json_u64(b, "bytes", e->bytes, false);
    put_json_member(b, "sha256", text_hex(e->digest, META_ERASE_DIGEST, digest),
                    true);
}

static void erase_json(struct buf *b, const struct meta_erase *e,
                       const struct cleanness *c)
{
    const char *comma = "";

    buf_char(b, '{');
    asked_json(b, e);
    buf_char(b, ',');
    put_json_member(b, "state", states[e->state], false);
    put_json_u64(b, "held", e->held, false);
    put_json_u64(b, "retained", e->retained, false);
    put_json_u64(b, "until_ms", e->until_ms, false);
    put_json_bool(b, "clean",
                  e->state == META_ERASE_DONE && all_clean(c, e->entry), false);
    buf_str(b, "\"unclean\":[");
    for (size_t i = 0; i < c->server_count; i++) {
        if (!is_clean(c, c->servers[i], e->entry)) {
            buf_printf(b, "%s%u", comma, c->servers[i]);
            comma = ",";
        }
    }
    buf_str(b, "]}");
}

/* ---- GET ---- */

static void reply_meta(struct request *r, int rc, const struct err *err)
{
    if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_NotFound, "%s", err->text);
    } else if (rc == ERR_PRECONDITION) {
        reply_error(r, S3_PreconditionFailed,
                    "id: it is done, or was cancelled");
    } else {
        reply_err(r, rc, err);
    }
}

/* ?id alone, or up to ?max after ?after. */
void admin_erasures(struct request *r)
{
    struct meta_erase *list = NULL;
    struct cleanness c = {.said = NULL};
    struct err err = {{0}};
    uint64_t id, after, max;
    size_t count = 0;
    int rc;

    if (!admin_is_ready(r) ||
        !request_param_u64(r, "id", 0, 0, INT64_MAX, &id) ||
        !request_param_u64(r, "after", 0, 0, INT64_MAX, &after) ||
        !request_param_u64(r, "max", PAGE, 1, PAGE, &max)) {
        return;
    }
    rc = cleanness_read(r->gateway, &c, &err);
    if (rc == 0 && id > 0) {
        list = mem_alloc(sizeof *list);
        rc = meta_erase_get(r->gateway->meta, id, list, &err);
        count = rc == 0;
    } else if (rc == 0) {
        rc = meta_erase_list(r->gateway->meta, after, max, &list, &count, &err);
    }
    if (rc != 0) {
        reply_meta(r, rc, &err);
    } else {
        reply_json(r);
        buf_str(&r->reply_body, "{\"erasures\":[");
    }
    for (size_t i = 0; i < count; i++) {
        buf_str(&r->reply_body, i > 0 ? "," : "");
        erase_json(&r->reply_body, &list[i], &c);
        meta_erase_free(&list[i]);
    }
    if (rc == 0) {
        buf_str(&r->reply_body, "]}\n");
    }
    free(list);
    cleanness_free(&c);
}

/* ---- POST ---- */

static const char *param(struct request *r, const char *name)
{
    const char *value = request_param(r, name);

    return value != NULL ? value : "";
}

static bool refuse(struct request *r, const char *why)
{
    reply_error(r, S3_InvalidArgument, "%s", why);
    return false;
}

/* Borrowed from @r. False: a reply was made. */
static bool parse(struct request *r, struct command_erase *e)
{
    const char *version = request_param(r, "version"), *why;
    unsigned ways = 0;

    *e = (struct command_erase){.bucket = param(r, "bucket"),
                                .key = param(r, "key"),
                                .field = param(r, "field"),
                                .value = param(r, "value"),
                                .reason = param(r, "reason"),
                                .by = r->user != NULL ? r->user->name : ""};
    if (e->bucket[0] == '\0' || strlen(e->bucket) > META_BUCKET_MAX) {
        return refuse(r, "bucket: which one?");
    }
    if (strlen(e->key) > META_KEY_MAX ||
        strlen(e->field) > META_ERASE_FIELD_MAX ||
        strlen(e->value) > META_ERASE_VALUE_MAX ||
        strlen(e->reason) > META_ERASE_REASON_MAX) {
        return refuse(r, "key, field, value, reason: one is too long");
    }
    if (e->key[0] != '\0') {
        e->selector = META_ERASE_KEY;
        ways++;
    }
    if (request_param(r, "prefix") != NULL) {
        e->key = param(r, "prefix");
        e->selector = META_ERASE_PREFIX;
        ways++;
    }
    if (e->field[0] != '\0') {
        e->selector = META_ERASE_SUBJECT;
        ways++;
        if (!metadata_name_ok(e->field)) {
            return refuse(r, "field: a name of metadata, in small letters");
        }
    }
    if (request_param(r, "device") != NULL) {
        e->value = param(r, "device");
        e->selector = META_ERASE_DEVICE;
        ways++;
    }
    if (ways != 1) {
        return refuse(r, "say one of key, prefix, field and device");
    }
    if (version != NULL) {
        if (e->selector != META_ERASE_KEY) {
            return refuse(r, "version: only of a key");
        }
        e->selector = META_ERASE_VERSION;
        if (!s3_version_parse(version, &e->version, &why)) {
            return refuse(r, why);
        }
    }
    return true;
}

/* What a dry run finds. */
struct tally {
    struct gateway *gateway;
    const char *bucket;
    uint64_t clock_ms, versions, keys, bytes, held, retained, uploads;
};

static bool goes_on(void *arg)
{
    (void)arg;
    return false;
}

static int count_version(void *arg, const struct meta_list_entry *e,
                         enum meta_erased_how how, struct err *err)
{
    struct tally *t = arg;
    struct meta_object o = {.attrs = NULL};

    (void)err;
    if (!e->is_marker &&
        meta_version_get(t->gateway->meta, t->bucket, e->name, e->version,
                         false, &o, NULL) == 0 &&
        (o.hold || (o.lock != META_LOCK_NONE && o.retain_ms > t->clock_ms))) {
        t->held += o.hold;
        t->retained += !o.hold;
    } else {
        t->versions++;
        t->keys += how == META_ERASED_KEY;
        t->bytes += e->size_bytes;
    }
    meta_object_free(&o);
    return 0;
}

static int count_upload(void *arg, const struct meta_list_entry *e,
                        struct err *err)
{
    struct tally *t = arg;

    (void)e;
    (void)err;
    t->uploads++;
    return 0;
}

static void dry_run(struct request *r, const struct command_erase *asked)
{
    struct meta_erase e = {.bucket = (char *)asked->bucket,
                           .selector = asked->selector,
                           .key = (char *)asked->key,
                           .version = asked->version,
                           .field = (char *)asked->field,
                           .value = (char *)asked->value,
                           .created_ms = r->time_ms};
    struct tally t = {.gateway = r->gateway, .bucket = asked->bucket};
    struct meta_stats stats;
    struct err err = {{0}};
    struct buf *b = &r->reply_body;
    int rc;

    meta_stats(r->gateway->meta, &stats);
    t.clock_ms = stats.clock_ms;
    rc = erase_walk(&(struct erase_walk){.gateway = r->gateway,
                                         .erase = &e,
                                         .stopping = goes_on,
                                         .version = count_version,
                                         .upload = count_upload,
                                         .arg = &t},
                    &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_char(b, '{');
    put_json_u64(b, "versions", t.versions, false);
    put_json_u64(b, "keys_destroyed", t.keys, false);
    put_json_u64(b, "bytes", t.bytes, false);
    put_json_u64(b, "held", t.held, false);
    put_json_u64(b, "retained", t.retained, false);
    put_json_u64(b, "uploads", t.uploads, true);
    buf_str(b, "}\n");
}

/* ?bucket and one of ?key (with ?version), ?prefix, ?field with ?value, and
 * ?device; ?reason; ?dry-run only says what would be erased. */
void admin_erase(struct request *r)
{
    struct command_erase e;
    struct err err = {{0}};
    int rc;

    if (!admin_is_ready(r) || !parse(r, &e)) {
        return;
    }
    if (request_param(r, "dry-run") != NULL) {
        dry_run(r, &e);
        return;
    }
    command_erase_begin(&r->command, &e, r->time_ms);
    rc = meta_propose_wait(r->gateway->meta, &r->command, &r->proposal, &err);
    if (rc == ERR_LIMIT) {
        reply_error(r, S3_PreconditionFailed,
                    "%d erasures are not done; wait, or cancel some",
                    META_ERASE_OPEN_MAX);
        return;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    eraser_wake(r->gateway->eraser);
    reply_json(r);
    buf_char(&r->reply_body, '{');
    put_json_u64(&r->reply_body, "id", r->proposal.body, true);
    buf_str(&r->reply_body, "}\n");
}

/* ---- DELETE ---- */

void admin_erase_cancel(struct request *r)
{
    struct err err = {{0}};
    uint64_t id;
    int rc;

    if (!admin_is_ready(r) ||
        !request_param_u64(r, "id", 0, 1, INT64_MAX, &id)) {
        return;
    }
    command_erase_cancel(&r->command, id);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    if (rc == ERR_NOT_FOUND) {
        err_set(&err, rc, "there is no erasure %llu", (unsigned long long)id);
    }
    if (rc != 0) {
        reply_meta(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_str(&r->reply_body, "{}\n");
}

/* ---- the receipt ---- */

static void put_time(struct buf *b, const char *name, uint64_t ms, bool last)
{
    char text[TEXT_TIME_MAX];

    put_json_member(b, name, text_iso8601(ms, text), last);
}

static void receipt_json(struct buf *b, const struct meta_erase *e,
                         const struct cleanness *c,
                         const struct meta_erased *list, size_t count)
{
    buf_str(b, "{\"godwit\":\"erasure receipt\",\"format\":1,");
    put_time(b, "issued", clock_real_ms(), false);
    put_time(b, "requested", e->created_ms, false);
    put_time(b, "done", e->done_ms, false);
    asked_json(b, e);
    buf_str(b, ",\"servers\":[");
    for (size_t i = 0; i < c->server_count; i++) {
        buf_printf(b, "%s%u", i > 0 ? "," : "", c->servers[i]);
    }
    buf_str(b, "],\"erased\":[");
    for (size_t i = 0; i < count; i++) {
        char version[S3_VERSION_TEXT];
        buf_str(b, i > 0 ? ",{" : "{");
        put_json_member(b, "key", list[i].key, false);
        put_json_member(b, "version", s3_version_text(list[i].version, version),
                        false);
        put_json_u64(b, "size", list[i].size_bytes, false);
        put_json_member(b, "etag", list[i].etag, false);
        put_json_member(b, "how", hows[list[i].how], true);
        buf_char(b, '}');
    }
    buf_str(b, "]}");
}

/* False: a reply was made. */
static bool receipt_seed(struct request *r, uint8_t seed[JWS_KEY])
{
    const uint8_t *root = master_keys_root(r->gateway);

    if (root == NULL) {
        reply_error(r, S3_PreconditionFailed,
                    "this server has no master.key, by which receipts are "
                    "signed; ask another, or see --master-key");
        return false;
    }
    prim_hkdf_extract(NULL, 0, root, MASTER_KEY, seed);
    prim_hkdf_expand(seed, RECEIPT_INFO, strlen(RECEIPT_INFO), seed, JWS_KEY);
    return true;
}

static void reply_receipt(struct request *r, const struct meta_erase *e,
                          const struct cleanness *c)
{
    struct meta_erased *list = NULL;
    struct buf payload = {0};
    struct err err = {{0}};
    uint8_t seed[JWS_KEY];
    size_t count = 0;
    int rc;

    if (e->state != META_ERASE_DONE || !all_clean(c, e->entry)) {
        reply_error(r, S3_PreconditionFailed,
                    "id: erasure %llu is not done on every server yet",
                    (unsigned long long)e->id);
        return;
    }
    rc = meta_erased_list(r->gateway->meta, e->id, &list, &count, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    if (receipt_seed(r, seed)) {
        receipt_json(&payload, e, c, list, count);
        reply(r, 200);
        reply_header(r, "Content-Type", "application/jose");
        jws_sign(seed, payload.data, payload.len, &r->reply_body);
        buf_char(&r->reply_body, '\n');
        mem_wipe(seed, sizeof seed);
    }
    buf_free(&payload);
    meta_erased_free(list, count);
}

/* ?id; without one the public key alone. */
void admin_erase_receipt(struct request *r)
{
    struct cleanness c = {.said = NULL};
    struct meta_erase e = {.id = 0};
    struct err err = {{0}};
    uint8_t seed[JWS_KEY], key[JWS_KEY];
    char text[JWS_KEY_TEXT];
    uint64_t id;
    int rc;

    if (!admin_is_ready(r) ||
        !request_param_u64(r, "id", 0, 0, INT64_MAX, &id)) {
        return;
    }
    if (id == 0) {
        if (receipt_seed(r, seed)) {
            sign_public(seed, key);
            jws_key_text(key, text);
            mem_wipe(seed, sizeof seed);
            reply_json(r);
            buf_printf(&r->reply_body, "{\"key\":\"%s\"}\n", text);
        }
        return;
    }
    rc = cleanness_read(r->gateway, &c, &err);
    if (rc == 0) {
        rc = meta_erase_get(r->gateway->meta, id, &e, &err);
    }
    if (rc == 0) {
        reply_receipt(r, &e, &c);
        meta_erase_free(&e);
    } else {
        reply_meta(r, rc, &err);
    }
    cleanness_free(&c);
}
