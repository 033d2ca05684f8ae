/* Raft messages from other members: decoded, they encode to the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "meta/raft_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_message m;
    struct buf again = {0};

    if (raft_wire_decode(data, size, &m, NULL) == 0) {
        raft_wire_encode(&m, &again);
        CHECK(again.len == size);
        CHECK(memcmp(again.data, data, size) == 0);
        raft_wire_free(&m);
    }
    buf_free(&again);
    return 0;
}
