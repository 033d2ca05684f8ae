/* fuzz_manifest.c: manifest_decode on any bytes.
 *
 * It must not crash, what it takes must keep the bounds of the header, local
 * groups among them, and must encode to the very same bytes; each of its chunks
 * has a codec.
 */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "erasure/codec.h"
#include "object/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest m;
    struct buf again = {0};
    struct err err = {{0}};

    if (manifest_decode(data, size, &m, &err) != 0) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    CHECK(ec_policy_is_valid(m.policy));
    CHECK(m.count >= 1 && m.count <= MANIFEST_CHUNKS_MAX);
    for (uint32_t i = 0; i < m.count; i++) {
        struct chunk_shape shape = geometry_shape(m.policy, m.chunks[i].bytes);
        CHECK(shape.pieces >= 1 && shape.pieces <= m.policy.k);
        CHECK(shape.l == (shape.pieces == m.policy.k ? m.policy.l : 0));
        CHECK(codec_of(&shape) != NULL);
        CHECK(geometry_write_quorum(&shape) >= shape.pieces);
        CHECK(geometry_write_quorum(&shape) <=
              (unsigned)shape.pieces + shape.m);
    }
    CHECK(manifest_bytes(&m) >= m.count);
    manifest_encode(&m, &again);
    CHECK(again.len == size);
    CHECK(memcmp(again.data, data, size) == 0);
    buf_free(&again);
    manifest_free(&m);
    return 0;
}
