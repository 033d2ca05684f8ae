#include "object/object_explain.h"

#include "base/err.h"
#include "node/peers.h"
#include "object/object_internal.h"

static enum object_shard_state look(struct object_store *s, uint16_t drive,
                                    const struct shard_key *key)
{
    struct shard_info info;

    switch (peers_stat(s->options.peers, drive, key, &info, NULL)) {
        case 0:
            return OBJECT_SHARD_HERE;
        case ERR_NOT_FOUND:
            return OBJECT_SHARD_LOST;
        default:
            return OBJECT_SHARD_SILENT;
    }
}

static void explain_chunk(
    struct object_store *s, const struct manifest *m, uint32_t index,
    void (*fn)(void *arg, const struct object_shard *shard), void *arg)
{
    struct chunk_ref chunk = object_chunk_ref(m, index);
    struct chunk_shape shape = geometry_shape(m->policy, chunk.bytes);

    for (unsigned i = 0; i < (unsigned)shape.pieces + shape.m; i++) {
        unsigned slot = shard_slot(&shape, i);
        struct shard_key key = chunk_key(&chunk, slot);
        struct object_shard shard = {
            .chunk = index,
            .chunks = m->count,
            .chunk_bytes = chunk.bytes,
            .plain_bytes = m->chunks[index].plain,
            .group = chunk.group,
            .policy = m->policy,
            .id_hi = chunk.id_hi,
            .id_lo = chunk.id_lo,
            .slot = (uint8_t)slot,
            .parity = slot >= m->policy.k,
            .drive = object_drive(s, &chunk, slot),
            .bytes = geometry_shard_bytes(&shape, slot)};
        shard.state = look(s, shard.drive, &key);
        fn(arg, &shard);
    }
}

int object_explain(struct object_store *s, const void *manifest, size_t len,
                   uint32_t first, uint32_t max,
                   void (*fn)(void *arg, const struct object_shard *shard),
                   void *arg, struct err *err)
{
    struct manifest m;
    int rc = manifest_decode(manifest, len, &m, err);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = first; i < m.count && i - first < max; i++) {
        explain_chunk(s, &m, i, fn, arg);
    }
    manifest_free(&m);
    return 0;
}
