#include "gateway/s3_reader.h"

#include <string.h>

#include "base/err.h"
#include "gateway/gateway_internal.h"
#include "object/object_get.h"

static void close_run(struct s3_reader *s)
{
    if (s->get != NULL) {
        object_get_close(s->get);
        s->get = NULL;
    }
    meta_part_free(&s->part);
    s->bytes = NULL;
}

/* Open the run that holds s->offset. */
static int open_run(struct s3_reader *s, struct err *err)
{
    const struct meta_object *o = s->object;
    const uint8_t *inline_bytes = o->inline_bytes;
    const uint8_t *manifest = o->manifest;
    size_t manifest_len = o->manifest_len;
    uint64_t start = 0;
    uint64_t size = o->size_bytes;

    close_run(s);
    if (o->parts > 0) {
        int rc =
            meta_part_at(s->gateway->meta, o->body, s->offset, &s->part, err);
        if (rc != 0) {
            return rc;
        }
        inline_bytes = s->part.inline_bytes;
        manifest = s->part.manifest;
        manifest_len = s->part.manifest_len;
        start = s->part.offset;
        size = s->part.size_bytes;
    }
    if (s->offset < start || s->offset - start >= size ||
        (manifest == NULL && inline_bytes == NULL)) {
        return err_set(err, ERR_CORRUPT, "an object has no bytes at %llu",
                       (unsigned long long)s->offset);
    }
    s->run_left = size - (s->offset - start);
    s->run_left = s->run_left > s->left ? s->left : s->run_left;
    if (manifest == NULL) {
        s->bytes = inline_bytes + (s->offset - start);
        return 0;
    }
    return object_get_open(s->gateway->objects, manifest, manifest_len,
                           s->offset - start, s->run_left, &s->get, err);
}

int s3_reader_take(struct s3_reader *s, size_t max, struct object_bytes *out,
                   struct err *err)
{
    int rc = 0;

    *out = (struct object_bytes){0};
    if (s->left == 0) {
        return 0;
    }
    if (s->run_left == 0) {
        rc = open_run(s, err);
        if (rc != 0) {
            s->run_left = 0;
            return rc;
        }
    }
    max = max < s->run_left ? max : (size_t)s->run_left;
    if (s->bytes == NULL) {
        rc = object_get_take(s->get, max, out, err);
    } else if (object_bytes_new(s->gateway->objects, max, false, out)) {
        memcpy(out->p, s->bytes, max);
        s->bytes += max;
        out->len = max;
    } else {
        rc = err_set(err, ERR_NOMEM, "no memory for a read");
    }
    if (rc != 0) {
        return rc;
    }
    if (out->len == 0) {
        return err_set(err, ERR_CORRUPT, "a run of chunks is too short");
    }
    s->offset += out->len;
    s->left -= out->len;
    s->run_left -= out->len;
    return 0;
}

void s3_reader_close(struct s3_reader *s)
{
    close_run(s);
}
