/* test_seal_key.c: recipients, segment headers and the ratchet of keys.
 *
 * Goal: each recipient and nobody else opens a header; no byte of it can be
 * changed; each object's key is its own and says nothing of another.
 * Method: headers for 1 to 8 recipients, cut at each length, each bit flipped;
 * the ratchet computed again by hand from prim.h. Linked twice, see
 * test_prim.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"
#include "crypto/seal_key.h"

#define AES PRIM_AES_256_GCM
#define CHACHA PRIM_CHACHA20_POLY1305

static void keys_as_text_come_back(void **state)
{
    char text[SEAL_RECIPIENT_TEXT], secret[SEAL_IDENTITY_TEXT];
    struct seal_identity own, back;
    struct seal_recipient to, to_back;

    (void)state;
    seal_identity_new(&own);
    seal_identity_recipient(&own, &to);
    assert_int_equal(strlen(seal_recipient_format(&to, text)),
                     SEAL_RECIPIENT_TEXT - 1);
    assert_int_equal(strlen(seal_identity_format(&own, secret)),
                     SEAL_IDENTITY_TEXT - 1);
    assert_true(text_starts(text, "age1"));
    assert_true(text_starts(secret, "AGE-SECRET-KEY-1"));
    assert_int_equal(seal_recipient_parse(text, &to_back, NULL), 0);
    assert_int_equal(seal_identity_parse(secret, &back, NULL), 0);
    assert_memory_equal(&to, &to_back, sizeof to);
    assert_memory_equal(&own, &back, sizeof own);
}

static void an_identity_is_no_recipient_and_the_reverse(void **state)
{
    char text[SEAL_RECIPIENT_TEXT], secret[SEAL_IDENTITY_TEXT];
    struct seal_identity own;
    struct seal_recipient to;
    struct err err;

    (void)state;
    seal_identity_new(&own);
    seal_identity_recipient(&own, &to);
    seal_recipient_format(&to, text);
    seal_identity_format(&own, secret);
    assert_int_equal(seal_recipient_parse(secret, &to, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "not a recipient (age1 and 58 characters)");
    assert_int_equal(seal_identity_parse(text, &own, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text,
                        "not an identity (AGE-SECRET-KEY-1 and 58 characters)");
    assert_int_equal(seal_recipient_parse("", &to, NULL), ERR_BAD_INPUT);
}

struct group {
    struct seal_identity own[SEAL_RECIPIENTS_MAX];
    struct seal_recipient to[SEAL_RECIPIENTS_MAX];
    struct seal_segment *segment;
    const uint8_t *header;
    size_t len;
};

static void group_new(struct group *g, size_t n, enum prim_algorithm algorithm)
{
    for (size_t i = 0; i < n; i++) {
        seal_identity_new(&g->own[i]);
        seal_identity_recipient(&g->own[i], &g->to[i]);
    }
    assert_int_equal(seal_segment_new(g->to, n, algorithm, &g->segment, NULL),
                     0);
    g->header = seal_segment_header(g->segment, &g->len);
    assert_int_equal(g->len, SEAL_HEADER(n));
}

static void each_of_up_to_eight_recipients_gets_the_same_keys(void **state)
{
    (void)state;
    for (size_t n = 1; n <= SEAL_RECIPIENTS_MAX; n++) {
        struct seal_identity stranger;
        struct seal_recipient strange;
        struct seal_header parsed;
        struct seal_key key, other;
        struct seal_root root;
        struct group g;
        struct err err;
        group_new(&g, n, n % 2 == 0 ? AES : CHACHA);
        seal_identity_new(&stranger);
        seal_identity_recipient(&stranger, &strange);
        assert_int_equal(seal_header_parse(g.header, g.len, &parsed, NULL), 0);
        assert_int_equal(parsed.count, n);
        assert_false(seal_header_names(&parsed, &strange));
        assert_int_equal(seal_segment_next(g.segment, &key, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            assert_true(seal_header_names(&parsed, &g.to[i]));
            assert_int_equal(
                seal_open_root(&g.own[i], g.header, g.len, &root, NULL), 0);
            assert_int_equal(seal_root_key(&root, 0, &other, NULL), 0);
            assert_memory_equal(key.key, other.key, sizeof key.key);
            assert_int_equal(key.algorithm, other.algorithm);
        }
        assert_int_equal(
            seal_open_root(&stranger, g.header, g.len, &root, &err),
            ERR_DENIED);
        assert_string_equal(err.text, "not sealed to this identity");
        seal_segment_free(g.segment);
    }
}

static void no_recipient_too_many_and_bad_points_are_refused(void **state)
{
    struct seal_recipient to[SEAL_RECIPIENTS_MAX + 1];
    struct seal_segment *s = NULL;
    struct seal_identity own;
    struct err err;

    (void)state;
    for (size_t i = 0; i <= SEAL_RECIPIENTS_MAX; i++) {
        seal_identity_new(&own);
        seal_identity_recipient(&own, &to[i]);
    }
    assert_int_equal(seal_segment_new(to, 0, AES, &s, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "0 recipients: from 1 to 8");
    assert_int_equal(seal_segment_new(to, 9, AES, &s, NULL), ERR_BAD_INPUT);
    memset(&to[1], 0, sizeof to[1]);
    assert_int_equal(seal_segment_new(to, 2, AES, &s, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text,
                        "recipient 2: X25519 public key is of low order");
    assert_null(s);
    seal_segment_free(NULL);
}

static void the_ratchet_is_as_documented(void **state)
{
    struct seal_key key, opened;
    struct seal_root root;
    uint8_t link[32], want[32];
    struct group g;

    (void)state;
    group_new(&g, 1, AES);
    assert_int_equal(seal_open_root(&g.own[0], g.header, g.len, &root, NULL),
                     0);
    memcpy(link, root.first, sizeof link);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(seal_segment_next(g.segment, &key, NULL), 0);
        assert_int_equal(key.link, i);
        prim_hmac(link, 32, "object", 6, want);
        assert_memory_equal(key.key, want, 32);
        prim_hmac(link, 32, "next", 4, link);
        assert_int_equal(seal_root_key(&root, i, &opened, NULL), 0);
        assert_memory_equal(opened.key, want, 32);
    }
    seal_segment_free(g.segment);
}

static void links_are_asked_for_in_any_order(void **state)
{
    static const uint32_t order[] = {7, 3, 3, 9, 0, 8};
    struct seal_key keys[10], key;
    struct seal_root root;
    struct group g;

    (void)state;
    group_new(&g, 1, CHACHA);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(seal_segment_next(g.segment, &keys[i], NULL), 0);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(keys[i].key, keys[j].key, 32);
        }
    }
    assert_int_equal(seal_open_root(&g.own[0], g.header, g.len, &root, NULL),
                     0);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        assert_int_equal(seal_root_key(&root, order[i], &key, NULL), 0);
        assert_memory_equal(key.key, keys[order[i]].key, 32);
    }
    seal_segment_free(g.segment);
}

/* All that a segment holds is its header and one link; of the key of an object
 * that was sealed nothing is left in it. */
static void an_old_key_is_nowhere_in_the_segment(void **state)
{
    struct seal_key key, next;
    struct seal_root root;
    struct group g;
    uint8_t first[32];

    (void)state;
    group_new(&g, 1, AES);
    assert_int_equal(seal_open_root(&g.own[0], g.header, g.len, &root, NULL),
                     0);
    memcpy(first, root.first, sizeof first);
    assert_non_null(memmem(g.segment, 64, first, 32)); /* so it would be seen */
    assert_int_equal(seal_segment_next(g.segment, &key, NULL), 0);
    assert_null(memmem(g.segment, 48 + SEAL_HEADER_MAX, first, 32));
    assert_null(memmem(g.segment, 48 + SEAL_HEADER_MAX, key.key, 32));
    /* The key of an object does not lead to the next. */
    assert_int_equal(seal_segment_next(g.segment, &next, NULL), 0);
    prim_hmac(key.key, 32, "object", 6, first);
    assert_memory_not_equal(next.key, first, 32);
    prim_hmac(key.key, 32, "next", 4, first);
    assert_memory_not_equal(next.key, first, 32);
    seal_segment_free(g.segment);
}

static void links_end_at_their_bound(void **state)
{
    struct seal_root root;
    struct seal_key key;
    struct group g;
    struct err err;

    (void)state;
    group_new(&g, 1, AES);
    for (uint32_t i = 0; i < SEAL_LINKS_MAX; i++) {
        assert_int_equal(seal_segment_next(g.segment, &key, NULL), 0);
    }
    assert_int_equal(seal_segment_next(g.segment, &key, &err), ERR_LIMIT);
    assert_string_equal(err.text, "seal segment: all 65536 links are used");
    assert_int_equal(seal_open_root(&g.own[0], g.header, g.len, &root, NULL),
                     0);
    assert_int_equal(seal_root_key(&root, SEAL_LINKS_MAX, &key, &err),
                     ERR_CORRUPT);
    assert_int_equal(seal_root_key(&root, UINT32_MAX, &key, &err), ERR_CORRUPT);
    assert_int_equal(seal_root_key(&root, SEAL_LINKS_MAX - 1, &key, NULL), 0);
    seal_segment_free(g.segment);
}

static void a_header_of_any_other_length_is_refused(void **state)
{
    uint8_t longer[SEAL_HEADER(2) + 1] = {0};
    struct seal_header parsed;
    struct group g;

    (void)state;
    group_new(&g, 2, AES);
    for (size_t len = 0; len < g.len; len++) {
        assert_int_equal(seal_header_parse(g.header, len, &parsed, NULL),
                         ERR_CORRUPT);
    }
    memcpy(longer, g.header, g.len);
    assert_int_equal(seal_header_parse(longer, g.len + 1, &parsed, NULL),
                     ERR_CORRUPT);
    seal_segment_free(g.segment);
}

/* Also a bit of the other's part changes the keys. */
static void a_flipped_bit_anywhere_gives_no_key_or_another(void **state)
{
    uint8_t header[SEAL_HEADER(2)];
    struct seal_root root, changed;
    struct group g;
    size_t refused = 0;

    (void)state;
    group_new(&g, 2, AES);
    assert_int_equal(seal_open_root(&g.own[0], g.header, g.len, &root, NULL),
                     0);
    for (size_t bit = 0; bit < 8 * g.len; bit++) {
        memcpy(header, g.header, g.len);
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (seal_open_root(&g.own[0], header, g.len, &changed, NULL) != 0) {
            refused++;
        } else {
            assert_memory_not_equal(root.first, changed.first, 32);
        }
    }
    /* Its head and this recipient's part; the rest is for the digest. */
    assert_int_equal(refused, 8 * (8 + SEAL_STANZA));
    seal_segment_free(g.segment);
}

static void versions_and_algorithms_to_come_are_named(void **state)
{
    uint8_t header[SEAL_HEADER(1)];
    struct seal_header parsed;
    struct seal_root root;
    struct group g;
    struct err err;

    (void)state;
    group_new(&g, 1, AES);
    memcpy(header, g.header, g.len);
    header[4] = 2;
    assert_int_equal(seal_header_parse(header, g.len, &parsed, &err),
                     ERR_VERSION);
    assert_string_equal(err.text, "seal header: version 2");
    header[4] = 1;
    header[5] = 1;
    assert_int_equal(seal_header_parse(header, g.len, &parsed, &err),
                     ERR_UNSUPPORTED);
    assert_string_equal(err.text, "seal header: algorithm 1");
    header[5] = CHACHA;
    assert_int_equal(seal_open_root(&g.own[0], header, g.len, &root, &err),
                     ERR_MISMATCH);
    assert_string_equal(err.text, "seal header: changed, or for another key");
    seal_segment_free(g.segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_as_text_come_back),
        cmocka_unit_test(an_identity_is_no_recipient_and_the_reverse),
        cmocka_unit_test(each_of_up_to_eight_recipients_gets_the_same_keys),
        cmocka_unit_test(no_recipient_too_many_and_bad_points_are_refused),
        cmocka_unit_test(the_ratchet_is_as_documented),
        cmocka_unit_test(links_are_asked_for_in_any_order),
        cmocka_unit_test(an_old_key_is_nowhere_in_the_segment),
        cmocka_unit_test(links_end_at_their_bound),
        cmocka_unit_test(a_header_of_any_other_length_is_refused),
        cmocka_unit_test(a_flipped_bit_anywhere_gives_no_key_or_another),
        cmocka_unit_test(versions_and_algorithms_to_come_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
