#include "object/manifest.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"

#define MANIFEST_VERSION 1
#define MANIFEST_CHUNK_BYTES 12

void manifest_encode(const struct manifest *m, struct buf *out)
{
    CHECK(m->count >= 1 && m->count <= MANIFEST_CHUNKS_MAX);
    CHECK((m->id_lo & MANIFEST_CHUNK_LO_MASK) == 0);
    CHECK(ec_policy_is_valid(m->policy));
    put_u8(out, MANIFEST_VERSION);
    put_u8(out, m->policy.k);
    put_u8(out, m->policy.m);
    put_u8(out, m->policy.l);
    put_u32(out, m->group);
    put_u64(out, m->id_hi);
    put_u64(out, m->id_lo);
    put_u32(out, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        put_u32(out, m->chunks[i].bytes);
        put_u64(out, m->chunks[i].crc64);
    }
}

static const char *judge(const struct manifest *m, uint8_t version,
                         const struct wire_reader *r)
{
    if (!wire_ok(r) || version != MANIFEST_VERSION) {
        return "the version is not known";
    }
    if (m->policy.k < 1 || m->policy.k > GEOMETRY_K_MAX ||
        m->policy.m > GEOMETRY_M_MAX) {
        return "k or m is out of bounds";
    }
    if (!ec_policy_is_valid(m->policy)) {
        return "the local groups do not fit k and m";
    }
    if (m->count < 1 || m->count > MANIFEST_CHUNKS_MAX ||
        r->left != (size_t)m->count * MANIFEST_CHUNK_BYTES) {
        return "the count of chunks does not fit the length";
    }
    if ((m->id_lo & MANIFEST_CHUNK_LO_MASK) != 0) {
        return "the chunk id does not start a run";
    }
    return NULL;
}

int manifest_decode(const void *p, size_t len, struct manifest *out,
                    struct err *err)
{
    struct manifest m = {0};
    struct wire_reader r;
    const char *why;
    uint8_t version;

    wire_init(&r, p, len);
    version = get_u8(&r);
    m.policy.k = get_u8(&r);
    m.policy.m = get_u8(&r);
    m.policy.l = get_u8(&r);
    m.group = get_u32(&r);
    m.id_hi = get_u64(&r);
    m.id_lo = get_u64(&r);
    m.count = get_u32(&r);
    why = judge(&m, version, &r);
    if (why != NULL) {
        return err_set(err, ERR_CORRUPT, "manifest: %s", why);
    }
    m.chunks = mem_calloc(m.count, sizeof m.chunks[0]);
    for (uint32_t i = 0; i < m.count; i++) {
        m.chunks[i].bytes = get_u32(&r);
        m.chunks[i].crc64 = get_u64(&r);
        if (m.chunks[i].bytes < 1 || m.chunks[i].bytes > GEOMETRY_CHUNK_MAX) {
            free(m.chunks);
            return err_set(err, ERR_CORRUPT,
                           "manifest: the bytes of chunk %u are out of bounds",
                           i);
        }
    }
    *out = m;
    return 0;
}

void manifest_free(struct manifest *m)
{
    free(m->chunks);
    m->chunks = NULL;
    m->count = 0;
}

uint64_t manifest_bytes(const struct manifest *m)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m->count; i++) {
        sum += m->chunks[i].bytes;
    }
    return sum;
}
