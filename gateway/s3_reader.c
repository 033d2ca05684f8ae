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

/* Have a run open that holds the next byte. */
static int need_run(struct s3_reader *s, size_t *max, struct err *err)
{
    int rc = s->run_left == 0 ? open_run(s, err) : 0;

    if (rc != 0) {
        s->run_left = 0;
        return rc;
    }
    *max = *max < s->run_left ? *max : (size_t)s->run_left;
    return 0;
}

static int advance(struct s3_reader *s, size_t n, struct err *err)
{
    if (n == 0) {
        return err_set(err, ERR_CORRUPT, "a run of chunks is too short");
    }
    s->offset += n;
    s->left -= n;
    s->run_left -= n;
    return 0;
}

int s3_reader_read(struct s3_reader *s, void *out, size_t max, size_t *got,
                   struct err *err)
{
    int rc;

    *got = 0;
    if (s->left == 0) {
        return 0;
    }
    rc = need_run(s, &max, err);
    if (rc == 0 && s->bytes != NULL) {
        memcpy(out, s->bytes, max);
        s->bytes += max;
        *got = max;
    } else if (rc == 0) {
        rc = object_get_read(s->get, out, max, got, err);
    }
    return rc == 0 ? advance(s, *got, err) : rc;
}

int s3_reader_take(struct s3_reader *s, size_t max, struct object_bytes *out,
                   struct err *err)
{
    int rc;

    *out = (struct object_bytes){0};
    if (s->left == 0) {
        return 0;
    }
    rc = need_run(s, &max, err);
    if (rc == 0 && s->bytes == NULL) {
        rc = object_get_take(s->get, max, out, err);
    } else if (rc == 0) {
        if (!object_bytes_new(s->gateway->objects, max, false, out)) {
            return err_set(err, ERR_NOMEM, "no memory for a read");
        }
        memcpy(out->p, s->bytes, max);
        s->bytes += max;
        out->len = max;
    }
    return rc == 0 ? advance(s, out->len, err) : rc;
}

void s3_reader_close(struct s3_reader *s)
{
    close_run(s);
}
