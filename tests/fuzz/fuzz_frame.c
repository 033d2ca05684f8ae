/* The header of a frame between servers: outside bytes before anything else. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "net/frame.h"
#include "net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t b[FRAME_BYTES], again[FRAME_BYTES];
    struct frame f;
    struct err err;

    if (size < FRAME_BYTES) {
        return 0;
    }
    memcpy(b, data, sizeof b);
    store_u32(b + 36, crc32c(0, b, 36)); /* else nothing gets past it */
    if (frame_decode(b, &f, &err) == 0) {
        CHECK(f.head_len <= NET_HEAD_MAX && f.body_len <= NET_BODY_MAX);
        frame_encode(&f, again);
        CHECK(memcmp(b, again, sizeof b) == 0);
    }
    return 0;
}
