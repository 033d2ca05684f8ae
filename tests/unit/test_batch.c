/* test_batch.c: batches of devices as bytes.
 *
 * Goal: what was put in comes out; nothing that is cut, changed or made up
 * passes; a batch keeps to its bounds; small sealed objects travel at most 1.15
 * bytes for each. Method: every cut and every flipped byte of a batch, random
 * batches, a golden file, and heads that lie under right checksums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "crypto/seal.h"
#include "fleet/batch.h"

#define GOLDEN "tests/golden/batch-v1.bin"

/* Something of the form of an envelope: a head, a header for one recipient of
 * which @segment is the sign, and @len bytes of body. */
static void envelope(struct buf *out, unsigned segment, size_t len)
{
    uint8_t header[SEAL_HEADER(1)];

    memset(header, (int)segment, sizeof header);
    header[0] = 1;
    buf_clear(out);
    put_u32(out, 0x45535747); /* "GWSE" */
    put_u8(out, 1);
    put_u8(out, 0);
    put_u16(out, sizeof header);
    put_u32(out, 7);
    put_bytes(out, header, sizeof header);
    for (size_t i = 0; i < len; i++) {
        put_u8(out, (uint8_t)(i * 7 + segment));
    }
}

static void add(struct batch_writer *w, const struct batch_object *o)
{
    struct err err = {0};

    if (batch_add(w, o, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* A plain object, two sealed ones of one segment, one of another, a delete. */
static void sample(struct buf *out)
{
    struct batch_writer *w = batch_writer_new();
    struct batch_object o = {.sequence = 5,
                             .time_ms = 1000,
                             .class_id = 3,
                             .key = "dev/plain",
                             .content_type = "text/plain",
                             .pairs = {{"a", "b"}, {"c", ""}},
                             .pair_count = 2,
                             .data = "plain",
                             .len = 5};
    struct buf e = {0};

    add(w, &o);
    for (unsigned i = 0; i < 3; i++) {
        envelope(&e, 40 + i / 2, 30 + i);
        o = (struct batch_object){.sequence = 6 + i,
                                  .flags = BATCH_SEALED,
                                  .bucket = "bucket",
                                  .key = "dev/sealed",
                                  .data = e.data,
                                  .len = e.len};
        add(w, &o);
    }
    o = (struct batch_object){
        .sequence = 9, .flags = BATCH_DELETE, .key = "dev/plain"};
    add(w, &o);
    buf_clear(out);
    batch_finish(w, 4, 2000, out);
    assert_true(batch_writer_empty(w));
    batch_writer_free(w);
    buf_free(&e);
}

/* Read it to its end; 0 or the first error. */
static int read_all(const void *p, size_t len, size_t *count)
{
    struct batch_reader r;
    struct batch_object o;
    bool more = true;
    int rc = batch_open(&r, p, len, NULL);

    *count = 0;
    while (rc == 0 && (rc = batch_next(&r, &o, &more, NULL)) == 0 && more) {
        ++*count;
    }
    return rc;
}

static void next(struct batch_reader *r, struct batch_object *o)
{
    bool more;

    assert_int_equal(batch_next(r, o, &more, NULL), 0);
    assert_true(more);
}

static void what_was_put_in_comes_out(void **state)
{
    struct buf b = {0}, e = {0}, got = {0};
    struct batch_reader r;
    struct batch_object o;
    bool more;

    (void)state;
    sample(&b);
    assert_int_equal(batch_open(&r, b.data, b.len, NULL), 0);
    assert_int_equal(r.count, 5);
    assert_int_equal(r.floor, 4);
    assert_int_equal(r.sent_ms, 2000);
    assert_int_equal(r.segment_count, 2);
    next(&r, &o);
    assert_int_equal(o.sequence, 5);
    assert_int_equal(o.time_ms, 1000);
    assert_int_equal(o.class_id, 3);
    assert_null(o.bucket);
    assert_string_equal(o.key, "dev/plain");
    assert_string_equal(o.content_type, "text/plain");
    assert_int_equal(o.pair_count, 2);
    assert_string_equal(o.pairs[1].name, "c");
    assert_string_equal(o.pairs[1].value, "");
    batch_content(&o, &got);
    assert_int_equal(got.len, 5);
    assert_memory_equal(got.data, "plain", 5);
    for (unsigned i = 0; i < 3; i++) {
        next(&r, &o);
        envelope(&e, 40 + i / 2, 30 + i);
        buf_clear(&got);
        batch_content(&o, &got);
        assert_int_equal(got.len, e.len);
        assert_memory_equal(got.data, e.data, e.len);
        assert_string_equal(o.bucket, "bucket");
        assert_null(o.content_type);
    }
    next(&r, &o);
    assert_int_equal(o.flags, BATCH_DELETE);
    assert_int_equal(o.len, 0);
    assert_int_equal(batch_next(&r, &o, &more, NULL), 0);
    assert_false(more);
    buf_free(&b);
    buf_free(&e);
    buf_free(&got);
}

static void no_cut_and_no_flipped_bit_passes(void **state)
{
    struct buf b = {0};
    size_t count;

    (void)state;
    sample(&b);
    assert_int_equal(read_all(b.data, b.len, &count), 0);
    assert_int_equal(count, 5);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *cut = mem_dup(b.data, len > 0 ? len : 1); /* for sanitizers */
        assert_int_not_equal(read_all(cut, len, &count), 0);
        free(cut);
    }
    for (size_t i = 0; i < 8 * b.len; i++) {
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(read_all(b.data, b.len, &count), 0);
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_char(&b, 0);
    assert_int_equal(read_all(b.data, b.len, &count), ERR_BAD_INPUT);
    buf_free(&b);
}

/* The head of the only object of a batch, after which its checksum is right. */
static int with_head_byte(size_t at, uint8_t value)
{
    struct batch_writer *w = batch_writer_new();
    struct batch_object o = {
        .sequence = 5, .key = "key", .data = "x", .len = 1};
    struct buf b = {0};
    size_t head = BATCH_HEAD, len, count;
    int rc;

    add(w, &o);
    batch_finish(w, 5, 1, &b);
    len = 4 + load_u32(b.data + head);
    b.data[head + at] = value;
    store_u32(b.data + head + len, crc32c(0, b.data + head, len));
    rc = read_all(b.data, b.len, &count);
    batch_writer_free(w);
    buf_free(&b);
    return rc;
}

static void heads_that_lie_are_refused(void **state)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t value;
    } rows[] = {
        {"a sequence below the floor", 4, 4},
        {"more bytes than there are", 20, 2},
        {"more bytes than an object has", 22, 8},
        {"an unknown flag", 24, 4},
        {"a delete with bytes", 24, BATCH_DELETE},
        {"sealed without a segment", 24, BATCH_SEALED},
        {"a segment of what is not sealed", 26, 1},
        {"metadata that are not there", 27, 1},
        {"too many metadata", 27, 255},
        {"a text past the end", 30, 200},
        {"a text without its NUL", 35, 'x'},
        {"a NUL inside a text", 33, 0},
    };

    (void)state;
    assert_int_equal(with_head_byte(4, 5), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int rc = with_head_byte(rows[i].at, rows[i].value);
        if (rc != ERR_BAD_INPUT && rc != ERR_MISMATCH) {
            fail_msg("%s: %d", rows[i].what, rc);
        }
    }
}

static void an_unknown_version_is_told_apart(void **state)
{
    struct buf b = {0};
    size_t count;

    (void)state;
    sample(&b);
    b.data[4] = 2;
    store_u32(b.data + 24, crc32c(0, b.data, 24));
    assert_int_equal(read_all(b.data, b.len, &count), ERR_VERSION);
    buf_free(&b);
}

static void a_batch_keeps_to_its_bounds(void **state)
{
    struct batch_writer *w = batch_writer_new();
    uint8_t *bytes = mem_calloc(1, BATCH_OBJECT_MAX + 1);
    struct batch_object o = {.key = "key", .data = bytes};
    struct buf b = {0}, e = {0};
    size_t count;

    (void)state;
    for (size_t i = 0; i < BATCH_OBJECTS_MAX; i++) {
        o.sequence = i + 1;
        add(w, &o);
    }
    assert_int_equal(batch_add(w, &o, NULL), ERR_FULL);
    batch_finish(w, 1, 1, &b);
    assert_int_equal(read_all(b.data, b.len, &count), 0);
    assert_int_equal(count, BATCH_OBJECTS_MAX);
    o.len = BATCH_OBJECT_MAX;
    for (int i = 0; i < 3; i++) {
        add(w, &o);
    }
    assert_int_equal(batch_add(w, &o, NULL), ERR_FULL);
    buf_clear(&b);
    batch_finish(w, 1, 1, &b);
    assert_true(b.len <= BATCH_BYTES_MAX);
    assert_int_equal(read_all(b.data, b.len, &count), 0);
    o.len = BATCH_OBJECT_MAX + 1;
    assert_int_equal(batch_add(w, &o, NULL), ERR_LIMIT);
    o.flags = BATCH_SEALED;
    o.len = 100;
    assert_int_equal(batch_add(w, &o, NULL), ERR_BAD_INPUT);
    for (unsigned i = 0; i < BATCH_SEGMENTS_MAX; i++) {
        envelope(&e, i, 20);
        o.data = e.data;
        o.len = e.len;
        add(w, &o);
    }
    envelope(&e, 0, 20);
    add(w, &o); /* its segment is there */
    envelope(&e, 100, 20);
    assert_int_equal(batch_add(w, &o, NULL), ERR_FULL);
    buf_clear(&b);
    batch_finish(w, 1, 1, &b);
    assert_int_equal(read_all(b.data, b.len, &count), 0);
    assert_int_equal(count, BATCH_SEGMENTS_MAX + 1);
    batch_writer_free(w);
    free(bytes);
    buf_free(&b);
    buf_free(&e);
}

static void small_sealed_objects_travel_cheaply(void **state)
{
    struct batch_writer *w = batch_writer_new();
    struct buf e = {0}, b = {0};
    struct batch_object o = {
        .flags = BATCH_SEALED,
        .key = "dev42/2026/11/23/17/temperature-0000001",
        .content_type = "application/json",
        .pairs = {{"firmware", "1.2.3"}},
        .pair_count = 1,
    };
    size_t sealed = 0;

    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        envelope(&e, 50, 1024 + SEAL_SALT + 16);
        o.sequence = i + 1;
        o.data = e.data;
        o.len = e.len;
        add(w, &o);
        sealed += e.len;
    }
    batch_finish(w, 1, 1, &b);
    print_message("%.3f bytes travel for each sealed byte at 1 KiB\n",
                  (double)b.len / (double)sealed);
    assert_true((double)b.len / (double)sealed <= 1.15);
    batch_writer_free(w);
    buf_free(&e);
    buf_free(&b);
}

static void an_answer_says_a_status_for_each(void **state)
{
    struct buf b = {0};
    struct batch_answer a;
    uint64_t sequence;
    enum batch_status status;

    (void)state;
    batch_answer_begin(&b, 3);
    batch_answer_add(&b, 7, BATCH_STORED);
    batch_answer_add(&b, 5, BATCH_RETRY);
    batch_answer_add(&b, 6, BATCH_DENIED);
    batch_answer_end(&b);
    assert_int_equal(batch_answer_open(&a, b.data, b.len, NULL), 0);
    assert_int_equal(a.count, 3);
    batch_answer_row(&a, 1, &sequence, &status);
    assert_int_equal(sequence, 5);
    assert_int_equal(status, BATCH_RETRY);
    for (size_t len = 0; len < b.len; len++) {
        assert_int_not_equal(batch_answer_open(&a, b.data, len, NULL), 0);
    }
    for (size_t i = 0; i < 8 * b.len; i++) {
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(batch_answer_open(&a, b.data, b.len, NULL), 0);
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    b.data[16] = BATCH_STATUS_END;
    store_u32(b.data + b.len - 4, crc32c(0, b.data, b.len - 4));
    assert_int_equal(batch_answer_open(&a, b.data, b.len, NULL), ERR_BAD_INPUT);
    buf_free(&b);
}

static void random_batches_come_out_as_they_went_in(void **state)
{
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct batch_writer *w = batch_writer_new();
        struct buf b = {0}, e[8] = {{0}}, got = {0};
        char keys[8][16];
        struct batch_object o[8];
        size_t n = 1 + (unsigned)rand_r(&seed) % 8;
        struct batch_reader r;
        for (size_t i = 0; i < n; i++) {
            unsigned dice = (unsigned)rand_r(&seed);
            snprintf(keys[i], sizeof keys[i], "k%u", dice % 1000);
            o[i] = (struct batch_object){.sequence = i + 1, .key = keys[i]};
            if (dice % 3 != 0) {
                envelope(&e[i], dice % 5, dice % 5000);
                o[i].flags = dice % 3 == 1 ? BATCH_SEALED : 0;
                o[i].data = e[i].data;
                o[i].len = e[i].len;
            }
            add(w, &o[i]);
        }
        batch_finish(w, 1, 1, &b);
        assert_int_equal(batch_open(&r, b.data, b.len, NULL), 0);
        assert_int_equal(r.count, n);
        for (size_t i = 0; i < n; i++) {
            struct batch_object back;
            next(&r, &back);
            assert_string_equal(back.key, keys[i]);
            buf_clear(&got);
            batch_content(&back, &got);
            assert_int_equal(got.len, o[i].len);
            assert_int_equal(mem_diff(got.data, e[i].data, got.len), 0);
            buf_free(&e[i]);
        }
        batch_writer_free(w);
        buf_free(&b);
        buf_free(&got);
    }
}

static void the_golden_file_is_written_and_read_the_same(void **state)
{
    struct buf b = {0}, have = {0};

    (void)state;
    sample(&b);
    if (getenv("GOLDEN_WRITE") != NULL) {
        assert_int_equal(fs_write(GOLDEN, b.data, b.len, 0644, NULL), 0);
    }
    assert_int_equal(fs_read(GOLDEN, 1 << 20, &have, NULL), 0);
    assert_int_equal(have.len, b.len);
    assert_memory_equal(have.data, b.data, b.len);
    buf_free(&b);
    buf_free(&have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_comes_out),
        cmocka_unit_test(no_cut_and_no_flipped_bit_passes),
        cmocka_unit_test(heads_that_lie_are_refused),
        cmocka_unit_test(an_unknown_version_is_told_apart),
        cmocka_unit_test(a_batch_keeps_to_its_bounds),
        cmocka_unit_test(small_sealed_objects_travel_cheaply),
        cmocka_unit_test(an_answer_says_a_status_for_each),
        cmocka_unit_test(random_batches_come_out_as_they_went_in),
        cmocka_unit_test(the_golden_file_is_written_and_read_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
