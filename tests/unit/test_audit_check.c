/* test_audit_check.c: an exported audit log, and every way to falsify it.
 *
 * Goal: `godwit audit verify` finds any removed, changed or reordered entry.
 * Method: random logs, chained and signed here by libcrypto alone; then every
 * byte is changed, every line removed, doubled and swapped with every other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/sign.h"
#include "meta/audit_check.h"

#define LINES_MAX 64

static const uint8_t cluster[16] = "a cluster's id";
static const uint8_t secret[SIGN_PRIVATE] = "the key that signs";
static const uint8_t other_secret[SIGN_PRIVATE] = "another";

/* ---- making logs ---- */

struct made {
    struct buf text;
    size_t at[LINES_MAX + 1]; /* of lines */
    size_t count;
    uint64_t number, clock_ms;
    uint8_t hash[32];
};

static void line_done(struct made *m)
{
    m->at[++m->count] = m->text.len;
}

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

/* As the header has it: the hash before, then the bytes. */
static void chain_by_hand(uint8_t hash[32], const struct buf *bytes)
{
    uint8_t *all = mem_alloc(32 + bytes->len);

    memcpy(all, hash, 32);
    memcpy(all + 32, bytes->data, bytes->len);
    SHA256(all, 32 + bytes->len, hash);
    free(all);
}

static void add_entry(struct made *m, enum audit_kind kind, uint64_t count)
{
    static const char *const words[] = {
        "",         "GetObject", "a \"quoted\" \\ key", "caf\xc3\xa9",
        "\x01\x1f", "plain/key", "\xf0\x9f\x90\xa6"};
    struct audit_entry e = {.kind = kind,
                            .denied = draw(2),
                            .rule = (enum audit_rule)draw(12),
                            .status = (uint16_t)draw(600),
                            .server = draw(5),
                            .time_ms = draw(100000),
                            .version = (uint64_t)draw(9) << 60,
                            .device = draw(3),
                            .count = count};
    struct buf bytes = {0};

    for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
        audit_set_text(&e, (enum audit_text)i, words[draw(7)]);
    }
    m->clock_ms += draw(3);
    put_u64(&bytes, ++m->number);
    put_u64(&bytes, m->clock_ms);
    audit_draft_put(&bytes, &e);
    chain_by_hand(m->hash, &bytes);
    assert_int_equal(audit_entry_read(bytes.data, bytes.len, &e, NULL), 0);
    audit_line_entry(&m->text, &e, m->hash);
    buf_free(&bytes);
    line_done(m);
}

static void add_checkpoint(struct made *m, const uint8_t key[SIGN_PRIVATE])
{
    struct audit_checkpoint c = {
        .number = m->number, .clock_ms = m->clock_ms, .server = 1};
    uint8_t text[AUDIT_SIGNED];

    memcpy(c.hash, m->hash, 32);
    sign_public(key, c.key);
    audit_checkpoint_text(&c, cluster, text);
    sign_make(key, text, sizeof text, c.signature);
    audit_line_checkpoint(&m->text, &c);
    line_done(m);
}

static void begin(struct made *m)
{
    *m = (struct made){.count = 0};
    audit_line_head(&m->text, cluster);
    line_done(m);
}

/* A log of up to @entries, cut before or not. */
static void make(struct made *m, unsigned entries)
{
    begin(m);
    if (draw(2)) {
        m->number = 1 + draw(1000);
        memset(m->hash, 7, sizeof m->hash);
        add_checkpoint(m, secret);
        add_entry(m, AUDIT_CUT, m->number);
    }
    for (unsigned i = 0; i < entries; i++) {
        add_entry(m, AUDIT_DECISION, 0);
        if (draw(4) == 0) {
            add_checkpoint(m, secret);
        }
    }
    add_entry(m, AUDIT_CHANGE, 0);
    add_checkpoint(m, secret);
}

/* ---- checking ---- */

static int check_with(const uint8_t *key, const uint8_t *p, size_t len,
                      struct err *err)
{
    struct audit_check c = {.lines = 0};
    int rc = 0;

    if (key != NULL) {
        memcpy(c.keys[c.key_count++], key, AUDIT_KEY);
    }
    audit_check_begin(&c);
    while (len > 0 && rc == 0) {
        const uint8_t *end = memchr(p, '\n', len);
        size_t n = end != NULL ? (size_t)(end - p) : len;
        rc = end != NULL ? audit_check_line(&c, (const char *)p, n, err)
                         : err_set(err, ERR_CORRUPT, "no newline");
        p += n + 1;
        len -= end != NULL ? n + 1 : n;
    }
    return rc == 0 ? audit_check_end(&c, err) : rc;
}

static int check(const uint8_t *p, size_t len)
{
    uint8_t key[AUDIT_KEY];

    sign_public(secret, key);
    return check_with(key, p, len, NULL);
}

/* The log with its lines in this order; SIZE_MAX ends it. */
static int check_order(const struct made *m, const size_t *order)
{
    struct buf b = {0};
    int rc;

    for (; *order != SIZE_MAX; order++) {
        buf_append(&b, m->text.data + m->at[*order],
                   m->at[*order + 1] - m->at[*order]);
    }
    rc = check(b.data, b.len);
    buf_free(&b);
    return rc;
}

static bool is_checkpoint(const struct made *m, size_t line)
{
    return memcmp(m->text.data + m->at[line], "{\"type\":\"checkpoint\"", 20) ==
           0;
}

/* ---- tests ---- */

static void a_log_as_it_was_made_is_good(void **state)
{
    (void)state;
    for (seed = 1; seed < 60; seed++) {
        uint64_t at = seed;
        struct made m;
        make(&m, draw(20));
        assert_int_equal(check(m.text.data, m.text.len), 0);
        assert_int_equal(check_with(NULL, m.text.data, m.text.len, NULL), 0);
        buf_free(&m.text);
        seed = at;
    }
}

static void any_byte_that_is_changed_is_found(void **state)
{
    struct made m;

    (void)state;
    seed = 77;
    make(&m, 3);
    for (size_t i = 0; i < m.text.len; i++) {
        uint8_t was = m.text.data[i];
        m.text.data[i] = was ^ (uint8_t)(1u << draw(8));
        assert_int_not_equal(check(m.text.data, m.text.len), 0);
        m.text.data[i] = was;
    }
    assert_int_equal(check(m.text.data, m.text.len), 0);
    buf_free(&m.text);
}

static void every_value_of_a_byte_is_found(void **state)
{
    struct made m;

    (void)state;
    seed = 5;
    begin(&m);
    add_entry(&m, AUDIT_DECISION, 0);
    add_checkpoint(&m, secret);
    for (size_t i = 0; i < m.text.len; i += 7) {
        uint8_t was = m.text.data[i];
        for (unsigned v = 0; v < 256; v += 1 + draw(40)) {
            m.text.data[i] = (uint8_t)v;
            assert_true((check(m.text.data, m.text.len) == 0) == (v == was));
        }
        m.text.data[i] = was;
    }
    buf_free(&m.text);
}

static void a_removed_line_is_found(void **state)
{
    (void)state;
    for (uint64_t round = 1; round < 15; round++) {
        struct made m;
        seed = round;
        make(&m, draw(12));
        for (size_t gone = 0; gone < m.count; gone++) {
            size_t order[LINES_MAX + 1], n = 0;
            bool middle =
                is_checkpoint(&m, gone) && gone + 1 < m.count && gone != 1;
            for (size_t i = 0; i < m.count; i++) {
                if (i != gone) {
                    order[n++] = i;
                }
            }
            order[n] = SIZE_MAX;
            /* A checkpoint between others holds up no entry: the next one
             * signs for the same. */
            assert_true((check_order(&m, order) == 0) == middle);
        }
        buf_free(&m.text);
    }
}

static void a_log_that_ends_early_is_found(void **state)
{
    struct made m;

    (void)state;
    seed = 9;
    make(&m, 10);
    for (size_t len = 0; len < m.text.len; len++) {
        bool at_checkpoint = false;
        for (size_t i = 2; i < m.count; i++) {
            at_checkpoint =
                at_checkpoint || (len == m.at[i + 1] && is_checkpoint(&m, i));
        }
        /* Up to an earlier checkpoint it is a good log of that time. */
        assert_true((check(m.text.data, len) == 0) == at_checkpoint);
    }
    buf_free(&m.text);
}

static void swapped_and_doubled_lines_are_found(void **state)
{
    (void)state;
    for (uint64_t round = 1; round < 5; round++) {
        struct made m;
        seed = round * 31;
        make(&m, 3 + draw(8));
        for (size_t a = 0; a < m.count; a++) {
            for (size_t b = a + 1; b < m.count; b++) {
                size_t order[LINES_MAX + 1];
                for (size_t i = 0; i < m.count; i++) {
                    order[i] = i == a ? b : i == b ? a : i;
                }
                order[m.count] = SIZE_MAX;
                assert_int_not_equal(check_order(&m, order), 0);
            }
        }
        buf_free(&m.text);
    }
}

static void a_log_made_anew_needs_the_key(void **state)
{
    struct err err = {{0}};
    uint8_t key[AUDIT_KEY];
    struct made m;

    (void)state;
    seed = 3;
    begin(&m);
    add_entry(&m, AUDIT_DECISION, 0);
    add_checkpoint(&m, other_secret);
    assert_int_equal(check(m.text.data, m.text.len), ERR_CORRUPT);
    sign_public(other_secret, key);
    assert_int_equal(check_with(key, m.text.data, m.text.len, &err), 0);
    /* Without a key named, one key signs all. */
    add_entry(&m, AUDIT_DECISION, 0);
    add_checkpoint(&m, secret);
    assert_int_equal(check_with(NULL, m.text.data, m.text.len, &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "that of those before"));
    buf_free(&m.text);
}

static void a_beginning_that_no_cut_explains_is_found(void **state)
{
    struct err err = {{0}};
    uint8_t key[AUDIT_KEY];
    struct made m;

    (void)state;
    seed = 4;
    begin(&m);
    m.number = 10;
    add_checkpoint(&m, secret);
    add_entry(&m, AUDIT_DECISION, 0);
    add_checkpoint(&m, secret);
    sign_public(secret, key);
    assert_int_equal(check_with(key, m.text.data, m.text.len, &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "entries were removed"));
    buf_free(&m.text);
}

static void a_long_or_broken_text_is_cut_to_whole_characters(void **state)
{
    char text[2000];
    struct audit_entry e = {.kind = AUDIT_DECISION}, got;
    struct buf b = {0};

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i + 1 < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xa9", 2);
    }
    text[sizeof text - 1] = '\0';
    audit_set_bytes(&e, AUDIT_TEXT_BUCKET, text, 200);
    assert_int_equal(e.text[AUDIT_TEXT_BUCKET].len, 62);
    audit_set_bytes(&e, AUDIT_TEXT_KEY, "\xff\xfe", 2);
    assert_memory_equal(e.text[AUDIT_TEXT_KEY].p, "?", 1);
    audit_draft_put(&b, &e);
    assert_int_equal(audit_draft_read(b.data, b.len, &got, NULL), 0);
    for (size_t len = 0; len < b.len; len++) {
        assert_int_equal(audit_draft_read(b.data, len, &got, NULL),
                         ERR_CORRUPT);
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_as_it_was_made_is_good),
        cmocka_unit_test(any_byte_that_is_changed_is_found),
        cmocka_unit_test(every_value_of_a_byte_is_found),
        cmocka_unit_test(a_removed_line_is_found),
        cmocka_unit_test(a_log_that_ends_early_is_found),
        cmocka_unit_test(swapped_and_doubled_lines_are_found),
        cmocka_unit_test(a_log_made_anew_needs_the_key),
        cmocka_unit_test(a_beginning_that_no_cut_explains_is_found),
        cmocka_unit_test(a_long_or_broken_text_is_cut_to_whole_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
