/* fuzz_batch.c: whatever comes as a batch or an answer to one is read within
 * its bounds, and what is read can be stored. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "fleet/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void read_batch(const uint8_t *p, size_t len)
{
    struct batch_reader r;
    struct batch_object o;
    struct buf b = {0};
    bool more = true;

    if (batch_open(&r, p, len, NULL) != 0) {
        return;
    }
    while (batch_next(&r, &o, &more, NULL) == 0 && more) {
        CHECK(strlen(o.key) < len);
        batch_content(&o, &b);
        CHECK(b.len == o.len + o.segment_len);
        buf_clear(&b);
    }
    buf_free(&b);
}

/* The first byte says whether checksums are made right, so that what stands
 * behind them is reached. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct batch_answer a;
    uint8_t *copy;

    if (len < 1) {
        return 0;
    }
    copy = mem_dup(p, len);
    if ((p[0] & 1) != 0 && len > 1 + BATCH_HEAD + 8) {
        uint8_t *head = copy + 1 + BATCH_HEAD;
        size_t size = 4 + (size_t)load_u32(head) % (len - BATCH_HEAD - 8);
        copy[6] = 0; /* no segments */
        store_u32(copy + 1 + 24, crc32c(0, copy + 1, 24));
        store_u32(head, (uint32_t)(size - 4));
        store_u32(head + size, crc32c(0, head, size));
    }
    read_batch(copy + 1, len - 1);
    if (batch_answer_open(&a, copy + 1, len - 1, NULL) == 0) {
        for (size_t i = 0; i < a.count; i++) {
            enum batch_status status;
            uint64_t sequence;
            batch_answer_row(&a, i, &sequence, &status);
            CHECK(status < BATCH_STATUS_END);
        }
    }
    free(copy);
    return 0;
}
