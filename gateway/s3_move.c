#include "gateway/s3_move.h"

#include <string.h>

#include "base/err.h"
#include "base/pool.h"
#include "base/text.h"
#include "erasure/geometry.h"
#include "gateway/bucket_rules.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_sse.h"
#include "object/object_put.h"
#include "object/object_store.h"

#define BUFFER_WAIT_MS 30000
#define CHUNK_MIN ((uint32_t)256 << 10)
/* Of the pool's budget, what one move may hold: a chunk being filled and those
 * being written. */
#define BUDGET_SHARE 16

/* Fill @out with exactly @len bytes. */
static int read_bytes(struct s3_reader *s, uint8_t *out, size_t len,
                      struct err *err)
{
    while (len > 0) {
        struct object_bytes b;
        int rc = s3_reader_take(s, len, &b, err);
        if (rc != 0) {
            return rc;
        }
        memcpy(out, b.p, b.len);
        out += b.len;
        len -= b.len;
        object_bytes_free(s->gateway->objects, &b);
    }
    return 0;
}

static uint32_t choose_room(const struct s3_move *m)
{
    size_t share = pool_budget(m->gateway->pool) / BUDGET_SHARE;
    uint64_t bytes = m->sse != NULL ? s3_sse_sealed_bytes(m->content.size_bytes)
                                    : m->content.size_bytes;
    uint32_t room = GEOMETRY_CHUNK_MAX;

    while (room > CHUNK_MIN && (room > share || room / 2 >= bytes)) {
        room /= 2;
    }
    return room;
}

static void digest_bytes(struct s3_move *m, const void *p, size_t len)
{
    digest_update(&m->md5, p, len);
    digest_update(&m->check, p, len);
}

/* Move one chunk. */
static int move_chunk(struct s3_move *m, uint32_t room, struct err *err)
{
    struct gateway *g = m->gateway;
    size_t buffer_bytes = object_buffer_bytes(g->objects, room);
    uint32_t fits = m->sse != NULL ? s3_sse_room(room) : room;
    uint32_t len = m->reader.left < fits ? (uint32_t)m->reader.left : fits;
    void *buffer = pool_get_block(g->pool, buffer_bytes, BUFFER_WAIT_MS);
    int rc;

    if (buffer == NULL) {
        return err_set(err, ERR_BUSY, "no buffer for a copy");
    }
    rc = read_bytes(&m->reader, buffer, len, err);
    if (rc == 0) {
        digest_bytes(m, buffer, len);
        if (m->sse != NULL) {
            len = s3_sse_seal(m->sse, buffer, len);
        }
        rc = object_put_write(m->put, buffer, room, len, err);
    }
    if (rc != 0) {
        pool_put(g->pool, buffer, buffer_bytes);
    }
    return rc;
}

static int move_inline(struct s3_move *m, struct err *err)
{
    size_t len = (size_t)m->content.size_bytes;
    int rc;

    buf_reserve(&m->inline_bytes, len);
    rc = read_bytes(&m->reader, m->inline_bytes.data, len, err);
    m->inline_bytes.len = len;
    if (rc == 0 && len > 0) {
        digest_bytes(m, m->inline_bytes.data, len);
        m->content.inline_bytes = m->inline_bytes.data;
    }
    return rc;
}

static int move_chunks(struct s3_move *m, struct err *err)
{
    uint32_t room = choose_room(m);
    int rc = 0;

    m->put = bucket_put_open(m->gateway, m->bucket, m->sse != NULL);
    while (rc == 0 && m->reader.left > 0) {
        rc = move_chunk(m, room, err);
    }
    if (rc == 0) {
        rc = object_put_commit(m->put, &m->manifest, err);
    }
    if (rc != 0) {
        object_put_abort(m->put);
        m->put = NULL;
        return rc;
    }
    m->content.manifest = m->manifest.data;
    m->content.manifest_len = m->manifest.len;
    return 0;
}

static void end_digests(struct s3_move *m)
{
    uint8_t sum[DIGEST_MAX];
    size_t size;

    digest_final(&m->md5, sum);
    if (m->sse != NULL) {
        s3_sse_etag(m->sse, sum, m->etag);
    } else {
        text_hex(sum, 16, m->etag);
    }
    size = digest_final(&m->check, sum);
    text_base64(sum, size, m->value);
}

int s3_move_bytes(struct s3_move *m, struct err *err)
{
    uint64_t size = m->reader.left;
    int rc;

    digest_init(&m->md5, DIGEST_MD5);
    digest_init(&m->check, m->kind);
    m->content = (struct meta_content){.size_bytes = size};
    rc = size == 0 || (m->sse == NULL && size <= META_INLINE_MAX)
             ? move_inline(m, err)
             : move_chunks(m, err);
    if (rc != 0) {
        return rc == ERR_NOT_FOUND || rc == ERR_CORRUPT
                   ? err_wrap(err, ERR_UNAVAILABLE, "the source of the copy")
                   : rc;
    }
    end_digests(m);
    return 0;
}

void s3_move_close(struct s3_move *m, bool stored)
{
    if (m->put != NULL) {
        object_put_close(m->put, stored);
        m->put = NULL;
    }
    s3_reader_close(&m->reader);
    digest_free(&m->md5);
    digest_free(&m->check);
    buf_free(&m->inline_bytes);
    buf_free(&m->manifest);
}
