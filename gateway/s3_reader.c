#include "gateway/s3_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_sse.h"
#include "object/object_get.h"

/* Segments of a sealed run that are read at once, and at most opened at once,
 * whoever wants more: with their tags they fit into a buffer of 1 MiB. */
#define AHEAD_SEGMENTS 15
#define SEALED_TAKE_MAX (AHEAD_SEGMENTS * AEAD_SEGMENT)

static void close_run(struct s3_reader *s)
{
    if (s->get != NULL) {
        object_get_close(s->get);
        s->get = NULL;
    }
    meta_part_free(&s->part);
    aead_stream_free(s->stream);
    s->stream = NULL;
    if (s->ahead.p != NULL) {
        object_bytes_free(s->gateway->objects, &s->ahead);
    }
    s->ahead_at = 0;
    s->bytes = NULL;
    s->segment_left = 0;
}

/* The key of the run at hand: the object's, or its part's. */
static int start_stream(struct s3_reader *s, struct err *err)
{
    static const uint8_t prefix[AEAD_PREFIX] = {0};
    uint8_t key[AEAD_KEY];

    if (s->object->parts == 0) {
        s->stream = aead_stream_new(s->key, prefix);
    } else if (s3_sse_part_key(s->key, s->part.check, key)) {
        s->stream = aead_stream_new(key, prefix);
        mem_wipe(key, sizeof key);
    } else {
        return err_set(err, ERR_CORRUPT, "a sealed part has no salt");
    }
    if (s->segment == NULL) {
        s->segment = mem_alloc(S3_SSE_SEALED);
    }
    return 0;
}

/* Open the segments of a run that hold s->run_left bytes from s->run_offset. */
static int open_sealed(struct s3_reader *s, const uint8_t *manifest,
                       size_t manifest_len, struct err *err)
{
    uint64_t first = s->run_offset / AEAD_SEGMENT;
    uint64_t last = (s->run_offset + s->run_left - 1) / AEAD_SEGMENT;
    uint64_t end = (last + 1) * S3_SSE_SEALED;
    uint64_t sealed = s3_sse_sealed_bytes(s->run_size);
    int rc = start_stream(s, err);

    if (rc != 0) {
        return rc;
    }
    end = end < sealed ? end : sealed;
    return object_get_open(s->gateway->objects, manifest, manifest_len,
                           first * S3_SSE_SEALED, end - first * S3_SSE_SEALED,
                           &s->get, err);
}

/* Gives the next @len bytes of the run as they lie: where they were read to, or
 * in s->segment when they come in pieces. */
static int take_segment(struct s3_reader *s, size_t len, const uint8_t **out,
                        struct err *err)
{
    size_t have = 0;

    while (have < len) {
        size_t left = s->ahead.len - s->ahead_at;
        size_t n = left < len - have ? left : len - have;
        if (n == len) {
            *out = s->ahead.p + s->ahead_at;
            s->ahead_at += n;
            return 0;
        }
        if (n > 0) {
            memcpy(s->segment + have, s->ahead.p + s->ahead_at, n);
            s->ahead_at += n;
            have += n;
        } else {
            int rc;
            object_bytes_free(s->gateway->objects, &s->ahead);
            s->ahead_at = 0;
            rc = object_get_take(s->get, AHEAD_SEGMENTS * S3_SSE_SEALED,
                                 &s->ahead, err);
            if (rc != 0) {
                return rc;
            }
            if (s->ahead.len == 0) {
                return err_set(err, ERR_CORRUPT, "a sealed run is too short");
            }
        }
    }
    *out = s->segment;
    return 0;
}

/* Read the segment that holds s->run_offset and open it: to @whole when that is
 * not NULL, else to where s->bytes shows what is wanted of it. */
static int next_segment(struct s3_reader *s, uint8_t *whole, struct err *err)
{
    uint64_t number = s->run_offset / AEAD_SEGMENT;
    uint64_t start = number * AEAD_SEGMENT;
    uint64_t rest = s->run_size - start;
    size_t plain = rest < AEAD_SEGMENT ? (size_t)rest : AEAD_SEGMENT;
    size_t skip = (size_t)(s->run_offset - start);
    const uint8_t *sealed = s->segment;
    int rc = take_segment(s, plain + AEAD_TAG, &sealed, err);

    if (rc != 0) {
        return rc;
    }
    if (aead_stream_open(s->stream, (uint32_t)number, plain < AEAD_SEGMENT,
                         sealed, plain + AEAD_TAG,
                         whole != NULL ? whole : s->segment, err) != 0) {
        return err_wrap(err, ERR_CORRUPT, "segment %llu",
                        (unsigned long long)number);
    }
    s->bytes = s->segment + skip;
    s->segment_left = whole != NULL ? 0 : plain - skip;
    return 0;
}

/* Fill @out to @max bytes of a sealed run, which has them. Whole segments are
 * opened where they go, parts of one by way of s->segment. */
static int take_sealed(struct s3_reader *s, size_t max,
                       struct object_bytes *out, struct err *err)
{
    while (out->len < max) {
        size_t wanted = max - out->len;
        size_t n = s->segment_left;
        int rc = 0;
        if (n == 0 && s->run_offset % AEAD_SEGMENT == 0 &&
            wanted >= AEAD_SEGMENT) {
            rc = next_segment(s, out->p + out->len, err);
            n = AEAD_SEGMENT;
        } else {
            if (n == 0) {
                rc = next_segment(s, NULL, err);
            }
            n = s->segment_left < wanted ? s->segment_left : wanted;
            if (rc == 0) {
                memcpy(out->p + out->len, s->bytes, n);
                s->bytes += n;
                s->segment_left -= n;
            }
        }
        if (rc != 0) {
            return rc;
        }
        out->len += n;
        s->run_offset += n;
    }
    return 0;
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
    s->run_offset = s->offset - start;
    s->run_size = size;
    if (manifest == NULL) {
        s->bytes = inline_bytes + (s->offset - start);
        return 0;
    }
    if (s->key != NULL) {
        return open_sealed(s, manifest, manifest_len, err);
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
    if (s->key != NULL && s->get != NULL) {
        max = max < SEALED_TAKE_MAX ? max : SEALED_TAKE_MAX;
        if (!object_bytes_new(s->gateway->objects, max, false, out)) {
            return err_set(err, ERR_NOMEM, "no memory for a read");
        }
        rc = take_sealed(s, max, out, err);
        if (rc != 0) {
            object_bytes_free(s->gateway->objects, out);
        }
    } else if (s->bytes == NULL) {
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
    if (s->segment != NULL) {
        mem_wipe(s->segment, S3_SSE_SEALED);
        free(s->segment);
        s->segment = NULL;
    }
}
