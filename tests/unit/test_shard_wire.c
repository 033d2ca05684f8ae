/* Goal: questions and answers of the shard protocol come back as they went in,
 * and whatever else arrives is refused by the name of the wrong field.
 *
 * Method: the golden file of the version (each head after its length, u16);
 * round trips of each verb; every single bit flipped; every length cut
 * and grown; fields set wrong under a right checksum.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "node/shard_wire.h"

static const struct shard_key key = {0x1122334455667788, 0x99aabbccddeeff00, 5};

static const struct shard_ask asks[] = {
    {.verb = SHARD_PUT,
     .drive = 513,
     .key = {1, 2, 3},
     .group = 77,
     .length = SHARD_BYTES_MAX,
     .body_crc = 0xdeadbeef},
    {.verb = SHARD_GET,
     .drive = 1,
     .key = {1, 2, 3},
     .offset = SHARD_BYTES_MAX - 1,
     .length = 1},
    {.verb = SHARD_DELETE, .drive = 2, .key = {1, 2, 255}},
    {.verb = SHARD_STAT, .drive = 3, .key = {~0ull, ~0ull, 3}},
    {.verb = SHARD_LIST, .drive = 4, .from_start = true, .group = 9, .max = 1},
    {.verb = SHARD_LIST,
     .drive = 4,
     .key = {0, 0, 1},
     .group = SHARD_ANY_GROUP,
     .max = SHARD_LIST_MAX},
    {.verb = SHARD_STATS},
    {.verb = SHARD_VERIFY, .drive = 0xfffe, .key = {1, 2, 3}},
};
#define ASKS (sizeof asks / sizeof asks[0])

#define GOLDEN "tests/golden/shard-wire-v1.bin"

static void add_head(struct buf *all, const void *head, size_t len)
{
    put_u16(all, (uint16_t)len);
    put_bytes(all, head, len);
}

/* Each question and each answer once. */
static void encode_all(struct buf *all)
{
    struct shard_info infos[2] = {{key, 9, 65536}, {{~0ull, 2, 1}, 8, 1}};
    struct shard_page page = {.last = key, .count = 2, .shards = infos};
    struct shard_got got = {7, 4096, 0x12345678};
    struct shard_store_stats stats[2] = {
        {.drive = 7, .shards = 1, .live_bytes = 2, .compacted_bytes = 13},
        {.drive = 8, .state = DRIVE_FAILED, .reason = "gone"}};
    uint8_t head[SHARD_ASK_BYTES_MAX];
    struct buf b = {0};

    for (size_t i = 0; i < ASKS; i++) {
        add_head(all, head, shard_ask_encode(&asks[i], head));
    }
    shard_got_encode(&got, head);
    add_head(all, head, SHARD_GOT_BYTES);
    shard_info_encode(SHARD_STAT, &infos[0], head);
    add_head(all, head, SHARD_INFO_BYTES);
    shard_info_encode(SHARD_VERIFY, &infos[1], head);
    add_head(all, head, SHARD_INFO_BYTES);
    shard_page_encode(&page, &b);
    add_head(all, b.data, b.len);
    buf_clear(&b);
    shard_stats_encode(stats, 2, &b);
    add_head(all, b.data, b.len);
    buf_free(&b);
}

static void the_golden_heads_are_written_again(void **state)
{
    struct buf golden = {0}, all = {0};
    struct wire_reader r;
    struct shard_ask back;
    struct err err;

    (void)state;
    encode_all(&all);
    if (getenv("GODWIT_GOLDEN") != NULL) {
        assert_int_equal(fs_write(GOLDEN, all.data, all.len, 0644, &err), 0);
    }
    assert_int_equal(fs_read(GOLDEN, 65536, &golden, &err), 0);
    assert_int_equal(golden.len, all.len);
    assert_memory_equal(golden.data, all.data, all.len);
    wire_init(&r, golden.data, golden.len);
    for (size_t i = 0; i < ASKS; i++) {
        size_t len = get_u16(&r);
        const uint8_t *p = get_bytes(&r, len);
        assert_int_equal(
            shard_ask_decode((uint8_t)asks[i].verb, p, len, &back, NULL), 0);
    }
    buf_free(&golden);
    buf_free(&all);
}

static void same_ask(const struct shard_ask *a, const struct shard_ask *b)
{
    assert_int_equal(a->verb, b->verb);
    assert_int_equal(a->drive, b->drive);
    assert_true(a->key.hi == b->key.hi && a->key.lo == b->key.lo &&
                a->key.slot == b->key.slot);
    assert_int_equal(a->from_start, b->from_start);
    assert_int_equal(a->group, b->group);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->length, b->length);
    assert_int_equal(a->body_crc, b->body_crc);
    assert_int_equal(a->max, b->max);
}

static void each_question_comes_back_as_it_went(void **state)
{
    uint8_t head[SHARD_ASK_BYTES_MAX];

    (void)state;
    for (size_t i = 0; i < ASKS; i++) {
        struct shard_ask back;
        size_t len = shard_ask_encode(&asks[i], head);
        assert_int_equal(
            shard_ask_decode((uint8_t)asks[i].verb, head, len, &back, NULL), 0);
        same_ask(&back, &asks[i]);
    }
}

static void no_flipped_bit_of_a_question_is_taken(void **state)
{
    uint8_t head[SHARD_ASK_BYTES_MAX];

    (void)state;
    for (size_t i = 0; i < ASKS; i++) {
        size_t len = shard_ask_encode(&asks[i], head);
        for (size_t bit = 0; bit < len * 8; bit++) {
            struct shard_ask back = {.drive = 4711};
            struct err err = {{0}};
            head[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(
                shard_ask_decode((uint8_t)asks[i].verb, head, len, &back, &err),
                0);
            assert_int_equal(back.drive, 4711); /* untouched */
            assert_true(err.text[0] != '\0');
            head[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void a_question_of_another_length_is_refused(void **state)
{
    uint8_t head[SHARD_ASK_BYTES_MAX + 1];
    struct shard_ask back;
    struct err err;

    (void)state;
    for (size_t i = 0; i < ASKS; i++) {
        size_t len = shard_ask_encode(&asks[i], head);
        for (size_t cut = 0; cut <= len + 1; cut++) {
            uint8_t *exact = mem_dup(head, cut);
            if (cut != len) {
                assert_int_equal(shard_ask_decode((uint8_t)asks[i].verb, exact,
                                                  cut, &back, &err),
                                 ERR_BAD_INPUT);
            }
            free(exact);
        }
    }
    assert_string_equal(err.text, "shard verify: head: 29 bytes, not 28");
}

static void a_verb_that_is_none_is_refused(void **state)
{
    uint8_t head[SHARD_ASK_BYTES_MAX];
    size_t len = shard_ask_encode(&asks[2], head);
    struct shard_ask back;
    struct err err;

    (void)state;
    assert_int_equal(shard_ask_decode(0, head, len, &back, &err),
                     ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard: verb: 0");
    assert_int_equal(shard_ask_decode(SHARD_VERBS, head, len, &back, &err),
                     ERR_BAD_INPUT);
    /* A delete in a frame that says stat. */
    assert_int_equal(shard_ask_decode(SHARD_STAT, head, len, &back, &err),
                     ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard stat: verb: 3, not 4");
    assert_string_equal(shard_verb_name(SHARD_GET), "get");
    assert_string_equal(shard_verb_name(0), "?");
    assert_string_equal(shard_verb_name(200), "?");
}

/* Change bytes of an encoded question, under a right checksum. */
static int decode_with(const struct shard_ask *a, size_t at, const void *bytes,
                       size_t n, struct err *err)
{
    uint8_t head[SHARD_ASK_BYTES_MAX];
    size_t len = shard_ask_encode(a, head);
    struct shard_ask back;

    memcpy(head + at, bytes, n);
    store_u32(head + len - 4, crc32c(0, head, len - 4));
    return shard_ask_decode((uint8_t)a->verb, head, len, &back, err);
}

static void a_wrong_field_is_named(void **state)
{
    static const uint8_t ones[4] = {255, 255, 255, 255};
    static const uint8_t zeros[4] = {0};
    static const uint8_t two[1] = {2};
    struct err err;

    (void)state;
    assert_int_equal(decode_with(&asks[0], 0, two, 1, &err), ERR_VERSION);
    assert_string_equal(err.text, "shard put: version 2 is not known");
    assert_int_equal(decode_with(&asks[0], 28, zeros, 4, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard put: length: 0");
    assert_int_equal(decode_with(&asks[0], 28, ones, 4, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard put: length: 4294967295");
    assert_int_equal(decode_with(&asks[0], 21, two, 1, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard put: a byte kept zero: 2");
    assert_int_equal(decode_with(&asks[1], 24, ones, 4, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard get: offset: 4294967295");
    assert_int_equal(decode_with(&asks[1], 28, two, 1, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard get: length: 2");
    assert_int_equal(decode_with(&asks[4], 28, zeros, 2, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard list: max: 0");
    assert_int_equal(decode_with(&asks[4], 28, ones, 2, &err), ERR_BAD_INPUT);
    assert_int_equal(decode_with(&asks[4], 30, two, 1, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard list: from start: 2");
    assert_int_equal(decode_with(&asks[4], 4, two, 1, &err), ERR_BAD_INPUT);
    assert_int_equal(decode_with(&asks[4], 31, two, 1, &err), ERR_BAD_INPUT);
    assert_int_equal(decode_with(&asks[6], 2, two, 1, &err), ERR_BAD_INPUT);
}

static void a_body_must_be_what_the_question_says(void **state)
{
    uint8_t body[100] = "bytes";
    struct shard_ask a = {.verb = SHARD_PUT, .length = 100};
    struct shard_ask none = {.verb = SHARD_GET, .length = 100};
    struct err err;

    (void)state;
    a.body_crc = crc32c(0, body, sizeof body);
    assert_int_equal(shard_ask_check_body(&a, body, 100, &err), 0);
    assert_int_equal(shard_ask_check_body(&a, body, 99, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard put: body: 99 bytes, not 100");
    assert_int_equal(shard_ask_check_body(&a, NULL, 0, &err), ERR_BAD_INPUT);
    body[50] ^= 1;
    assert_int_equal(shard_ask_check_body(&a, body, 100, &err), ERR_MISMATCH);
    assert_string_equal(err.text, "shard put: body: wrong checksum");
    assert_int_equal(shard_ask_check_body(&none, NULL, 0, &err), 0);
    assert_int_equal(shard_ask_check_body(&none, body, 1, &err), ERR_BAD_INPUT);
}

static void an_answer_of_get_comes_back_and_no_flipped_bit(void **state)
{
    struct shard_got g = {7, 4096, 0x12345678}, back;
    uint8_t head[SHARD_GOT_BYTES];

    (void)state;
    shard_got_encode(&g, head);
    assert_int_equal(shard_got_decode(head, sizeof head, &back, NULL), 0);
    assert_memory_equal(&back, &g, sizeof g);
    assert_int_equal(shard_got_decode(head, sizeof head - 1, &back, NULL),
                     ERR_BAD_INPUT);
    for (size_t bit = 0; bit < sizeof head * 8; bit++) {
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(shard_got_decode(head, sizeof head, &back, NULL),
                             0);
        head[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    g.length = 0;
    shard_got_encode(&g, head);
    assert_int_equal(shard_got_decode(head, sizeof head, &back, NULL),
                     ERR_BAD_INPUT);
}

static void an_answer_of_stat_is_not_one_of_verify(void **state)
{
    struct shard_info i = {key, 9, SHARD_BYTES_MAX}, back;
    uint8_t head[SHARD_INFO_BYTES];
    struct err err;

    (void)state;
    shard_info_encode(SHARD_STAT, &i, head);
    assert_int_equal(
        shard_info_decode(SHARD_STAT, head, sizeof head, &back, NULL), 0);
    assert_true(back.key.hi == key.hi && back.key.lo == key.lo &&
                back.key.slot == key.slot && back.group == 9 &&
                back.length == SHARD_BYTES_MAX);
    assert_int_equal(
        shard_info_decode(SHARD_VERIFY, head, sizeof head, &back, &err),
        ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard verify: verb: 4, not 7");
    head[5] ^= 1;
    assert_int_equal(
        shard_info_decode(SHARD_STAT, head, sizeof head, &back, &err),
        ERR_CORRUPT);
    assert_string_equal(err.text, "shard stat: head: wrong checksum");
}

static void a_page_of_shards_comes_back(void **state)
{
    struct shard_info in[SHARD_LIST_MAX], out[SHARD_LIST_MAX];
    struct shard_page l = {.count = SHARD_LIST_MAX, .shards = in, .last = key};
    struct shard_page back;
    struct buf b = {0};
    struct err err;

    (void)state;
    for (unsigned i = 0; i < SHARD_LIST_MAX; i++) {
        in[i] = (struct shard_info){{i, ~(uint64_t)i, (uint8_t)i}, i, i + 1};
    }
    shard_page_encode(&l, &b);
    assert_int_equal(
        shard_page_decode(b.data, b.len, out, SHARD_LIST_MAX, &back, NULL), 0);
    assert_int_equal(back.count, SHARD_LIST_MAX);
    assert_false(back.end);
    assert_int_equal(back.last.slot, key.slot);
    for (unsigned i = 0; i < SHARD_LIST_MAX; i++) {
        assert_true(out[i].key.hi == i && out[i].key.lo == ~(uint64_t)i);
        assert_int_equal(out[i].length, i + 1);
        assert_int_equal(out[i].group, i);
    }
    /* More than there is room for. */
    assert_int_equal(
        shard_page_decode(b.data, b.len, out, SHARD_LIST_MAX - 1, &back, &err),
        ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard list: count: 1024");
    for (size_t cut = 0; cut < b.len; cut += 13) {
        uint8_t *exact = mem_dup(b.data, cut);
        assert_int_not_equal(
            shard_page_decode(exact, cut, out, SHARD_LIST_MAX, &back, &err), 0);
        free(exact);
    }
    buf_free(&b);
}

static void an_empty_last_page_comes_back(void **state)
{
    struct shard_page l = {.end = true}, back;
    struct shard_info none[1];
    struct buf b = {0};

    (void)state;
    shard_page_encode(&l, &b);
    assert_int_equal(shard_page_decode(b.data, b.len, none, 1, &back, NULL), 0);
    assert_true(back.end);
    assert_int_equal(back.count, 0);
    b.data[4] = 2;
    store_u32(b.data + b.len - 4, crc32c(0, b.data, b.len - 4));
    assert_int_equal(shard_page_decode(b.data, b.len, none, 1, &back, NULL),
                     ERR_BAD_INPUT);
    buf_free(&b);
}

static void the_state_of_drives_comes_back(void **state)
{
    struct shard_store_stats in[3] = {
        {.drive = 7, .state = DRIVE_UP, .shards = 1, .compacted_bytes = ~0ull},
        {.drive = 8, .state = DRIVE_FULL, .reason = "below its reserve"},
        {.drive = 9, .state = DRIVE_FAILED, .live_bytes = 3, .syncs = 4},
    };
    struct shard_store_stats *out;
    struct buf b = {0};
    struct err err;
    size_t count;

    (void)state;
    memset(in[2].reason, 'x', sizeof in[2].reason - 1);
    shard_stats_encode(in, 3, &b);
    assert_int_equal(shard_stats_decode(b.data, b.len, &out, &count, NULL), 0);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(out[i].drive, in[i].drive);
        assert_int_equal(out[i].state, in[i].state);
        assert_string_equal(out[i].reason, in[i].reason);
        assert_true(out[i].compacted_bytes == in[i].compacted_bytes);
        assert_true(out[i].syncs == in[i].syncs);
        assert_true(out[i].live_bytes == in[i].live_bytes);
    }
    free(out);
    for (size_t cut = 0; cut < b.len; cut++) {
        uint8_t *exact = mem_dup(b.data, cut);
        if (cut >= 8) { /* also under a right checksum */
            store_u32(exact + cut - 4, crc32c(0, exact, cut - 4));
        }
        assert_int_not_equal(shard_stats_decode(exact, cut, &out, &count, &err),
                             0);
        free(exact);
    }
    b.data[6] = 3;
    store_u32(b.data + b.len - 4, crc32c(0, b.data, b.len - 4));
    assert_int_equal(shard_stats_decode(b.data, b.len, &out, &count, &err),
                     ERR_BAD_INPUT);
    assert_string_equal(err.text, "shard stats: state: 3");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_golden_heads_are_written_again),
        cmocka_unit_test(each_question_comes_back_as_it_went),
        cmocka_unit_test(no_flipped_bit_of_a_question_is_taken),
        cmocka_unit_test(a_question_of_another_length_is_refused),
        cmocka_unit_test(a_verb_that_is_none_is_refused),
        cmocka_unit_test(a_wrong_field_is_named),
        cmocka_unit_test(a_body_must_be_what_the_question_says),
        cmocka_unit_test(an_answer_of_get_comes_back_and_no_flipped_bit),
        cmocka_unit_test(an_answer_of_stat_is_not_one_of_verify),
        cmocka_unit_test(a_page_of_shards_comes_back),
        cmocka_unit_test(an_empty_last_page_comes_back),
        cmocka_unit_test(the_state_of_drives_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
