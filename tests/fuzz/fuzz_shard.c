/* Segments of arbitrary bytes: header, records by a scan, footer, identity.
 * Nothing may be read outside what is given, and what a decoder accepts must
 * be within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "node/drive_identity.h"
#include "node/segment.h"

struct input {
    uint8_t *p;
    size_t len;
};

static const uint8_t *read_input(void *arg, uint64_t offset, size_t len)
{
    const struct input *in = arg;

    CHECK(len <= SHARD_BLOCK);
    return offset <= in->len && len <= in->len - offset ? in->p + offset : NULL;
}

static void check_entry(void *arg, const struct segment_entry *e)
{
    const struct input *in = arg;

    CHECK(e->length > 0 && e->length <= SHARD_BYTES_MAX);
    CHECK((uint64_t)e->unit * SEGMENT_UNIT + record_span(e->length) <= in->len);
    CHECK(e->type == RECORD_SHARD || e->type == RECORD_TOMBSTONES);
}

/* Make the checksum of a record right, so that the fields behind it are
 * reached. */
static void mend(uint8_t *unit, uint8_t how)
{
    uint32_t length = load_u32(unit + 44);

    if (!(how & 1) || length == 0 || length > SHARD_BYTES_MAX) {
        return;
    }
    store_u32(unit, 0x52535747u);
    store_u16(unit + 4, 1);
    unit[6] = (uint8_t)(1 + (how >> 1) % 2);
    store_u64(unit + 8, 1);
    store_u64(unit + 16, 1);
    store_u32(unit + 48, record_data_offset(length));
    store_u32(unit + record_header_bytes(length) - 4,
              crc32c(0, unit, record_header_bytes(length) - 4));
}

static void read_footer(const struct input *in)
{
    struct segment_trailer t;
    struct segment_entry *e;

    if (in->len < 2 * SEGMENT_UNIT ||
        segment_trailer_decode(in->p + in->len - SEGMENT_UNIT, &t, NULL) != 0 ||
        t.entries_bytes > in->len - SEGMENT_UNIT) {
        return;
    }
    e = mem_calloc(t.count + 1, sizeof *e);
    segment_entries_decode(&t, in->p + in->len - SEGMENT_UNIT - t.entries_bytes,
                           e, NULL);
    free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.len = mem_round_up(size + 1, SEGMENT_UNIT)};
    struct segment_source source = {
        .read = read_input, .arg = &in, .size_bytes = in.len};
    struct segment_header h;
    struct drive_identity id;
    uint64_t tail;

    if (size < 2) {
        return 0;
    }
    in.p = mem_calloc(1, in.len);
    memcpy(in.p, data + 1, size - 1);
    for (size_t at = SEGMENT_UNIT; at < in.len; at += SEGMENT_UNIT) {
        mend(in.p + at, data[0]);
    }
    segment_header_decode(in.p, &h, NULL);
    drive_identity_decode(in.p, &id, NULL);
    tail = segment_scan(&source, 1, 1, check_entry, &in);
    CHECK(tail <= in.len || tail == SEGMENT_UNIT);
    read_footer(&in);
    free(in.p);
    return 0;
}
