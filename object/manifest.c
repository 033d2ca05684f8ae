#include "object/manifest.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"

#define VERSION_PLAIN 1
#define VERSION_PACKED 2
#define CHUNK_BYTES 12
#define PACKED_CHUNK_BYTES 16

static void encode_blocks(const struct manifest *m, uint32_t chunk,
                          struct buf *out)
{
    const struct manifest_chunk *c = &m->chunks[chunk];
    uint32_t count = pack_blocks(c->plain, m->shift);

    put_u32(out, c->plain);
    for (uint32_t i = 0; c->plain > 0 && i < count; i++) {
        put_u32(out, m->blocks[c->block + i]);
    }
}

void manifest_encode(const struct manifest *m, struct buf *out)
{
    bool packed = m->shift > 0;

    CHECK(m->count >= 1 && m->count <= MANIFEST_CHUNKS_MAX);
    CHECK((m->id_lo & MANIFEST_CHUNK_LO_MASK) == 0);
    CHECK(ec_policy_is_valid(m->policy));
    put_u8(out, packed ? VERSION_PACKED : VERSION_PLAIN);
    put_u8(out, m->policy.k);
    put_u8(out, m->policy.m);
    put_u8(out, m->policy.l);
    put_u32(out, m->group);
    put_u64(out, m->id_hi);
    put_u64(out, m->id_lo);
    put_u32(out, m->count);
    if (packed) {
        put_u8(out, m->shift);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        put_u32(out, m->chunks[i].bytes);
        put_u64(out, m->chunks[i].crc64);
        if (packed) {
            encode_blocks(m, i, out);
        }
    }
}

static const char *judge(const struct manifest *m, uint8_t version,
                         const struct wire_reader *r)
{
    size_t least;

    if (!wire_ok(r) ||
        (version != VERSION_PLAIN && version != VERSION_PACKED)) {
        return "the version is not known";
    }
    if (m->policy.k < 1 || m->policy.k > GEOMETRY_K_MAX ||
        m->policy.m > GEOMETRY_M_MAX) {
        return "k or m is out of bounds";
    }
    if (!ec_policy_is_valid(m->policy)) {
        return "the local groups do not fit k and m";
    }
    least = (size_t)m->count *
            (version == VERSION_PLAIN ? CHUNK_BYTES : PACKED_CHUNK_BYTES);
    if (m->count < 1 || m->count > MANIFEST_CHUNKS_MAX ||
        (version == VERSION_PLAIN ? r->left != least : r->left < least)) {
        return "the count of chunks does not fit the length";
    }
    if ((m->id_lo & MANIFEST_CHUNK_LO_MASK) != 0) {
        return "the chunk id does not start a run";
    }
    if (version == VERSION_PACKED &&
        (m->shift < PACK_SHIFT_MIN || m->shift > PACK_SHIFT_MAX)) {
        return "the size of blocks is out of bounds";
    }
    return NULL;
}

/* The plain bytes and blocks of @chunk; NULL or what is wrong. There is room
 * for as many blocks as the reader has bytes for. */
static const char *decode_blocks(struct manifest *m, uint32_t chunk,
                                 struct wire_reader *r)
{
    struct manifest_chunk *c = &m->chunks[chunk];
    struct pack_shape shape;
    uint32_t count;

    c->plain = get_u32(r);
    c->block = m->block_count;
    if (!wire_ok(r) || c->plain > GEOMETRY_CHUNK_MAX) {
        return "the plain bytes of a chunk are out of bounds";
    }
    if (c->plain == 0) {
        return NULL;
    }
    count = pack_blocks(c->plain, m->shift);
    if (r->left / 4 < count) {
        return "the blocks of a chunk are cut off";
    }
    for (uint32_t i = 0; i < count; i++) {
        m->blocks[m->block_count++] = get_u32(r);
    }
    shape = manifest_shape(m, chunk);
    return pack_judge(&shape, c->bytes);
}

/* What is wrong with @chunk, or NULL. */
static const char *decode_chunk(struct manifest *m, uint32_t chunk,
                                struct wire_reader *r)
{
    struct manifest_chunk *c = &m->chunks[chunk];

    c->bytes = get_u32(r);
    c->crc64 = get_u64(r);
    if (c->bytes < 1 || c->bytes > GEOMETRY_CHUNK_MAX) {
        return "its bytes are out of bounds";
    }
    return m->shift > 0 ? decode_blocks(m, chunk, r) : NULL;
}

static int decode_chunks(struct manifest *m, struct wire_reader *r,
                         struct err *err)
{
    m->chunks = mem_calloc(m->count, sizeof m->chunks[0]);
    if (m->shift > 0) {
        m->blocks = mem_calloc(r->left / 4, sizeof m->blocks[0]);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        const char *why = decode_chunk(m, i, r);
        if (why != NULL || !wire_ok(r)) {
            return err_set(err, ERR_CORRUPT, "manifest: chunk %u: %s", i,
                           why != NULL ? why : "it is cut off");
        }
    }
    if (r->left > 0 || (m->shift > 0 && m->block_count == 0)) {
        return err_set(err, ERR_CORRUPT,
                       "manifest: the count of chunks does not fit the length");
    }
    return 0;
}

int manifest_decode(const void *p, size_t len, struct manifest *out,
                    struct err *err)
{
    struct manifest m = {0};
    struct wire_reader r;
    const char *why;
    uint8_t version;
    int rc;

    wire_init(&r, p, len);
    version = get_u8(&r);
    m.policy.k = get_u8(&r);
    m.policy.m = get_u8(&r);
    m.policy.l = get_u8(&r);
    m.group = get_u32(&r);
    m.id_hi = get_u64(&r);
    m.id_lo = get_u64(&r);
    m.count = get_u32(&r);
    if (version == VERSION_PACKED) {
        m.shift = get_u8(&r);
    }
    why = judge(&m, version, &r);
    if (why != NULL) {
        return err_set(err, ERR_CORRUPT, "manifest: %s", why);
    }
    rc = decode_chunks(&m, &r, err);
    if (rc != 0) {
        manifest_free(&m);
        return rc;
    }
    *out = m;
    return 0;
}

void manifest_free(struct manifest *m)
{
    free(m->chunks);
    free(m->blocks);
    m->chunks = NULL;
    m->blocks = NULL;
    m->count = 0;
    m->block_count = 0;
}

uint64_t manifest_bytes(const struct manifest *m)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        sum += manifest_plain(m, i);
    }
    return sum;
}
