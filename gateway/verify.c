/* godwit verify: everything of a stopped store is looked at. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/object_gc.h"

struct verify {
    struct gateway *gateway;
    bool repair;
    void (*report)(void *arg, const char *line);
    void *arg;
    const char *bucket, *key;
    uint32_t part;
    uint64_t defects;
};

static void report_text(void *arg, const char *what)
{
    struct verify *v = arg;
    char *line = mem_printf("catalogue: %s", what);

    v->report(v->arg, line);
    free(line);
}

static void report_shard(void *arg, enum object_defect defect,
                         const struct shard_key *key, uint16_t drive,
                         const char *why)
{
    static const char *const names[] = {
        [OBJECT_SHARD_MISSING] = "shard missing",
        [OBJECT_SHARD_CORRUPT] = "shard corrupt",
        [OBJECT_SHARD_UNREADABLE] = "shard unreadable",
        [OBJECT_CHUNK_LOST] = "CHUNK LOST",
        [OBJECT_MANIFEST_BAD] = "manifest damaged",
    };
    struct verify *v = arg;
    struct buf b = {0};

    buf_printf(&b, "%s/%s", v->bucket != NULL ? v->bucket : "(upload)",
               v->key != NULL ? v->key : "-");
    if (v->part > 0) {
        buf_printf(&b, " part %u", v->part);
    }
    buf_printf(&b, ": %s", names[defect]);
    if (defect != OBJECT_MANIFEST_BAD && key != NULL) {
        buf_printf(&b, ": chunk %016llx%016llx", (unsigned long long)key->hi,
                   (unsigned long long)key->lo);
        if (defect != OBJECT_CHUNK_LOST) {
            buf_printf(&b, " slot %u on drive %u", key->slot, drive);
        }
    }
    if (why != NULL && why[0] != '\0') {
        buf_printf(&b, ": %s", why);
    }
    v->report(v->arg, (const char *)b.data);
    buf_free(&b);
}

static bool verify_manifest(void *arg, const char *bucket, const char *key,
                            uint32_t part, const void *manifest, size_t len)
{
    struct verify *v = arg;

    v->bucket = bucket;
    v->key = key;
    v->part = part;
    v->defects += object_verify(v->gateway->objects, manifest, len, v->repair,
                                report_shard, v);
    return true;
}

int gateway_verify(const struct server_options *options, bool repair,
                   void (*report)(void *arg, const char *line), void *arg,
                   uint64_t *defects, struct err *err)
{
    struct gateway *g = gateway_new(options);
    struct verify v = {
        .gateway = g, .repair = repair, .report = report, .arg = arg};
    int rc = gateway_check_options(options, err);

    if (rc == 0) {
        rc = store_open_alone(g, err);
    }
    if (rc == 0) {
        v.defects += meta_verify(g->meta, report_text, &v);
        rc = meta_each_manifest(g->meta, verify_manifest, &v, err);
        *defects = v.defects;
    }
    store_close(g);
    gateway_free(g);
    return rc;
}
