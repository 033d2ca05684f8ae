/* fuzz_shard_wire.c: the decoders of the shard protocol on any bytes.
 *
 * The first byte chooses the decoder, and half the time the rest gets a right
 * checksum, so that what lies behind it is reached. No crash; what is taken
 * keeps the bounds of the header, and questions encode to the very same bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "node/shard_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(uint8_t type, const uint8_t *p, size_t len)
{
    uint8_t again[SHARD_ASK_BYTES_MAX];
    struct err err = {{0}};
    struct shard_ask a;

    if (shard_ask_decode(type, p, len, &a, &err) != 0) {
        CHECK(err.text[0] != '\0');
        return;
    }
    CHECK(shard_ask_encode(&a, again) == len);
    CHECK(a.verb == SHARD_STATS || memcmp(again, p, len) == 0);
}

static void page(const uint8_t *p, size_t len)
{
    static struct shard_info shards[SHARD_LIST_MAX];
    struct shard_page l;
    struct buf again = {0};

    if (shard_page_decode(p, len, shards, SHARD_LIST_MAX, &l, NULL) == 0) {
        CHECK(l.count <= SHARD_LIST_MAX);
        shard_page_encode(&l, &again);
        CHECK(again.len == len && memcmp(again.data, p, len) == 0);
        buf_free(&again);
    }
}

static void stats(const uint8_t *p, size_t len)
{
    struct shard_store_stats *drives;
    struct buf again = {0};
    size_t count;

    if (shard_stats_decode(p, len, &drives, &count, NULL) == 0) {
        CHECK(count <= SHARD_STATS_MAX);
        shard_stats_encode(drives, count, &again);
        CHECK(again.len == len && memcmp(again.data, p, len) == 0);
        buf_free(&again);
        free(drives);
    }
}

static void answers(const uint8_t *p, size_t len)
{
    struct shard_info info;
    struct shard_got got;

    if (shard_got_decode(p, len, &got, NULL) == 0) {
        CHECK(got.length >= 1 && got.length <= SHARD_BYTES_MAX);
    }
    if (shard_info_decode(SHARD_STAT, p, len, &info, NULL) == 0) {
        CHECK(info.length >= 1 && info.length <= SHARD_BYTES_MAX);
    }
    shard_info_decode(SHARD_VERIFY, p, len, &info, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *p;
    size_t len;

    if (size < 1) {
        return 0;
    }
    len = size - 1;
    p = mem_dup(data + 1, len);
    if ((data[0] & 0x80) && len >= 8) {
        store_u32(p + len - 4, crc32c(0, p, len - 4));
    }
    switch (data[0] & 0x0f) {
        case 13:
            page(p, len);
            break;
        case 14:
            stats(p, len);
            break;
        case 15:
            answers(p, len);
            break;
        default:
            ask(data[0] & 0x0f, p, len);
    }
    free(p);
    return 0;
}
