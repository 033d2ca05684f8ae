/* test_seal.c: sealed bodies and envelopes.
 *
 * Goal: a recipient gets the text back, whole or in ranges, in any split of the
 * input; nothing that was cut, changed, moved or sealed for another opens, and
 * no byte of such is given out.
 * Method: sizes around the chunk's; a small envelope cut at each length and
 * with each bit flipped; chunks swapped, dropped and taken from elsewhere; a
 * golden file made with random bytes 00 01 02 ... at each call. Linked twice,
 * see test_prim.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/seal.h"

#define GOLDEN "tests/golden/seal-v1.txt"
#define AES PRIM_AES_256_GCM
#define CHACHA PRIM_CHACHA20_POLY1305
#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define KIB64 SEAL_CHUNK

static const size_t sizes[] = {
    0,         1,         15,     1000,      KIB64 - 1,     KIB64,
    KIB64 + 1, 2 * KIB64, 150000, 3 * KIB64, 3 * KIB64 + 17};

static struct seal_identity own, stranger;
static struct seal_recipient to[2]; /* own, and another */

static int make_keys(void **state)
{
    struct seal_identity other;

    (void)state;
    seal_identity_new(&own);
    seal_identity_new(&stranger);
    seal_identity_new(&other);
    seal_identity_recipient(&own, &to[0]);
    seal_identity_recipient(&other, &to[1]);
    return 0;
}

static uint8_t *a_text(size_t len)
{
    uint8_t *p = malloc(len + 1);

    assert_non_null(p);
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)(i * 31 + i / 251);
    }
    return p;
}

static struct seal_segment *segment_for(size_t count,
                                        enum prim_algorithm algorithm)
{
    struct seal_segment *s;

    assert_int_equal(seal_segment_new(to, count, algorithm, &s, NULL), 0);
    return s;
}

/* Append head and header for the segment's next link and give its key. */
static void put_head(struct seal_segment *s, uint8_t flags, struct buf *out,
                     struct seal_key *key)
{
    uint8_t head[SEAL_OPENING_MAX];
    const uint8_t *header;
    size_t len;

    assert_int_equal(seal_segment_next(s, key, NULL), 0);
    header = seal_segment_header(s, &len);
    len = seal_head_write(flags, key->link, header, len, head);
    buf_append(out, head, len);
}

static void seal_whole(struct seal_segment *s, const uint8_t *text, size_t len,
                       struct buf *out)
{
    static const struct seal_key wiped;
    size_t size = (size_t)seal_body_size(len);
    struct seal_key key;

    put_head(s, 0, out, &key);
    buf_reserve(out, size);
    seal_body(&key, 0, text, len, out->data + out->len);
    out->len += size;
    assert_memory_equal(&key, &wiped, sizeof key);
}

/* In runs of @run bytes. */
static void seal_runs(struct seal_writer *w, struct seal_segment *s,
                      uint8_t flags, const uint8_t *text, size_t len,
                      size_t run, struct buf *out)
{
    struct seal_key key;
    size_t made;

    put_head(s, flags, out, &key);
    seal_writer_init(w, &key, flags);
    for (size_t at = 0; at < len; at += run) {
        size_t n = run < len - at ? run : len - at;
        buf_reserve(out, SEAL_UPDATE_MAX(n));
        assert_int_equal(seal_writer_update(w, text + at, n,
                                            out->data + out->len, &made, NULL),
                         0);
        assert_true(made <= SEAL_UPDATE_MAX(n));
        out->len += made;
    }
    buf_reserve(out, SEAL_FINAL_MAX);
    seal_writer_final(w, out->data + out->len, &made);
    assert_true(made <= SEAL_FINAL_MAX);
    out->len += made;
}

/* What opened before a failure stays in @out. */
static int open_runs(const struct seal_identity *identity, const uint8_t *p,
                     size_t len, size_t run, struct buf *out, struct err *err)
{
    struct seal_opener *o = seal_opener_new(identity, 1);
    size_t made = 0;
    int rc = 0;

    for (size_t at = 0; at < len && rc == 0; at += run) {
        size_t n = run < len - at ? run : len - at;
        buf_reserve(out, SEAL_OPEN_UPDATE_MAX(n));
        rc = seal_opener_update(o, p + at, n, out->data + out->len, &made, err);
        assert_true(rc != 0 || made <= SEAL_OPEN_UPDATE_MAX(n));
        out->len += rc == 0 ? made : 0;
    }
    if (rc == 0) {
        buf_reserve(out, SEAL_CHUNK);
        rc = seal_opener_final(o, out->data + out->len, &made, err);
        assert_true(rc != 0 || made <= SEAL_CHUNK);
        out->len += rc == 0 ? made : 0;
    }
    seal_opener_free(o);
    return rc;
}

static void assert_opens(const struct buf *envelope, const uint8_t *text,
                         size_t len)
{
    static const size_t runs[] = {1 << 20, KIB64 + 16, KIB64, 4099, 100};

    for (size_t i = 0; i < COUNT(runs); i++) {
        struct buf out = {0};
        struct err err = {""};
        int rc =
            open_runs(&own, envelope->data, envelope->len, runs[i], &out, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(rc, 0);
        assert_int_equal(out.len, len);
        assert_true(len == 0 || memcmp(out.data, text, len) == 0);
        buf_free(&out);
    }
}

/* Does not open, and all that came out before is of the true text. */
static void assert_shut(const struct buf *envelope, const uint8_t *text,
                        size_t len, struct err *err)
{
    struct buf out = {0};

    assert_int_not_equal(
        open_runs(&own, envelope->data, envelope->len, 1 << 20, &out, err), 0);
    assert_true(out.len <= len);
    assert_true(out.len == 0 || memcmp(out.data, text, out.len) == 0);
    buf_free(&out);
}

static void texts_of_any_size_come_back_in_any_split(void **state)
{
    struct seal_writer *w = seal_writer_new();

    (void)state;
    for (size_t a = 0; a < 2; a++) {
        struct seal_segment *s = segment_for(1 + a, a == 0 ? AES : CHACHA);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            static const size_t runs[] = {1 << 20, KIB64, 5000};
            uint8_t *text = a_text(sizes[i]);
            struct buf b = {0};
            seal_whole(s, text, sizes[i], &b);
            assert_opens(&b, text, sizes[i]);
            for (size_t r = 0; r < COUNT(runs); r++) {
                buf_clear(&b);
                seal_runs(w, s, 0, text, sizes[i], runs[r], &b);
                assert_opens(&b, text, sizes[i]);
            }
            buf_free(&b);
            free(text);
        }
        seal_segment_free(s);
    }
    seal_writer_free(w);
    seal_writer_free(NULL);
}

static void the_overhead_is_as_documented(void **state)
{
    struct seal_segment *s = segment_for(1, AES);

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t chunks = sizes[i] == 0 ? 1 : (sizes[i] + KIB64 - 1) / KIB64;
        uint8_t *text = a_text(sizes[i]);
        struct buf b = {0};
        uint64_t size;
        seal_whole(s, text, sizes[i], &b);
        assert_int_equal(b.len, sizes[i] + 124 + 16 * chunks);
        assert_int_equal(seal_text_size(b.len - 108, &size, NULL), 0);
        assert_int_equal(size, sizes[i]);
        buf_free(&b);
        free(text);
    }
    seal_segment_free(s);
}

static void impossible_body_sizes_are_refused(void **state)
{
    uint64_t size;
    struct err err;

    (void)state;
    for (uint64_t n = 0; n < SEAL_SALT + PRIM_TAG; n++) {
        assert_int_equal(seal_text_size(n, &size, NULL), ERR_CORRUPT);
    }
    for (uint64_t n = 1; n <= PRIM_TAG; n++) { /* a chunk without text */
        assert_int_equal(
            seal_text_size(SEAL_SALT + SEAL_CHUNK_SEALED + n, &size, &err),
            ERR_CORRUPT);
    }
    assert_string_equal(err.text, "sealed text: 65568 is no possible length");
    assert_int_equal(seal_text_size(UINT64_MAX, &size, NULL), ERR_CORRUPT);
}

static void only_a_recipient_opens(void **state)
{
    struct seal_segment *s = segment_for(2, AES);
    struct seal_identity both[2] = {stranger, own};
    struct seal_opener *o = seal_opener_new(both, 2);
    struct buf b = {0}, out = {0};
    uint8_t text[SEAL_CHUNK];
    struct err err;
    size_t made;

    (void)state;
    seal_whole(s, (const uint8_t *)"hello", 5, &b);
    assert_int_equal(open_runs(&stranger, b.data, b.len, 7, &out, &err),
                     ERR_DENIED);
    assert_string_equal(err.text, "not sealed to this identity");
    assert_int_equal(out.len, 0);
    assert_int_equal(seal_opener_update(o, b.data, b.len, text, &made, NULL),
                     0);
    assert_int_equal(seal_opener_final(o, text, &made, NULL), 0);
    assert_memory_equal(text, "hello", made);
    assert_int_equal(seal_opener_flags(o), 0);
    seal_opener_free(o);
    o = seal_opener_new(NULL, 0);
    assert_int_equal(seal_opener_update(o, b.data, b.len, text, &made, NULL),
                     ERR_DENIED);
    assert_int_equal(seal_opener_update(o, b.data, 1, text, &made, NULL),
                     ERR_MISMATCH);
    assert_int_equal(seal_opener_final(o, text, &made, NULL), ERR_MISMATCH);
    seal_opener_free(o);
    seal_opener_free(NULL);
    buf_free(&out);
    buf_free(&b);
    seal_segment_free(s);
}

static void an_envelope_cut_anywhere_does_not_open(void **state)
{
    uint8_t *text = a_text(2 * KIB64);
    struct seal_segment *s = segment_for(1, AES);
    struct buf b = {0};
    size_t whole;

    (void)state;
    seal_whole(s, text, 40, &b);
    whole = b.len;
    for (b.len = 0; b.len < whole; b.len++) {
        assert_shut(&b, text, 40, NULL);
    }
    buf_clear(&b);
    seal_whole(s, text, 2 * KIB64, &b);
    whole = b.len;
    /* At the joint, a byte to both sides, and a tag less: what would be left is
     * a chunk that was not the last. */
    for (int off = -17; off <= 17; off++) {
        struct err err;
        b.len = whole - SEAL_CHUNK_SEALED + (size_t)(ptrdiff_t)off;
        assert_shut(&b, text, 2 * KIB64, &err);
    }
    buf_free(&b);
    free(text);
    seal_segment_free(s);
}

static void every_flipped_bit_of_a_small_envelope_is_found(void **state)
{
    static const uint8_t text[] = "23.5 degrees";

    (void)state;
    for (size_t a = 0; a < 2; a++) {
        struct seal_segment *s = segment_for(2, a == 0 ? AES : CHACHA);
        struct buf b = {0}, out = {0};
        seal_whole(s, text, sizeof text, &b);
        for (size_t bit = 0; bit < 8 * b.len; bit++) {
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(
                open_runs(&own, b.data, b.len, b.len, &out, NULL), 0);
            assert_int_equal(out.len, 0);
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_opens(&b, text, sizeof text);
        buf_free(&out);
        buf_free(&b);
        seal_segment_free(s);
    }
}

static void a_longer_envelope_does_not_open(void **state)
{
    uint8_t *text = a_text(KIB64);
    struct seal_segment *s = segment_for(1, AES);

    (void)state;
    for (size_t size = KIB64 - 1; size <= KIB64; size++) {
        struct buf b = {0};
        seal_whole(s, text, size, &b);
        for (int i = 0; i < 40; i++) {
            buf_char(&b, 0);
            assert_shut(&b, text, size, NULL);
        }
        buf_free(&b);
    }
    free(text);
    seal_segment_free(s);
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t held = a[i];
        a[i] = b[i];
        b[i] = held;
    }
}

static void chunks_moved_dropped_or_repeated_are_found(void **state)
{
    size_t len = 4 * KIB64, unit = SEAL_CHUNK_SEALED;
    uint8_t *text = a_text(len);
    struct seal_segment *s = segment_for(1, AES);
    struct buf b = {0}, other = {0};
    uint8_t *body, *other_body;
    struct err err;

    (void)state;
    seal_whole(s, text, len, &b);
    seal_whole(s, text, len, &other);
    body = b.data + b.len - 4 * unit;
    other_body = other.data + other.len - 4 * unit;
    swap(body + unit, body + 2 * unit, unit);
    assert_shut(&b, text, len, &err);
    assert_string_equal(err.text,
                        "sealed text: chunk 1: sealed bytes: the tag "
                        "does not match");
    swap(body + unit, body + 2 * unit, unit);
    swap(body + 2 * unit, body + 3 * unit, unit); /* the last, too */
    assert_shut(&b, text, len, &err);
    swap(body + 2 * unit, body + 3 * unit, unit);
    swap(body, other_body, unit); /* of another object, same place */
    assert_shut(&b, text, len, &err);
    swap(body, other_body, unit);
    assert_opens(&b, text, len);
    b.len -= unit; /* the last one dropped */
    assert_shut(&b, text, len, &err);
    assert_string_equal(err.text,
                        "sealed text: chunk 2: sealed bytes: the tag "
                        "does not match");
    b.len += unit;
    memmove(body, body + unit, 3 * unit); /* the first dropped */
    b.len -= unit;
    assert_shut(&b, text, len, &err);
    buf_free(&other);
    buf_free(&b);
    free(text);
    seal_segment_free(s);
}

/* Head and body of two objects of one segment: the link chooses the key. */
static void the_key_of_an_object_opens_no_other(void **state)
{
    struct seal_segment *s = segment_for(1, CHACHA);
    struct buf b[3] = {{0}, {0}, {0}};
    size_t head = SEAL_HEAD + SEAL_HEADER(1);

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        seal_whole(s, (const uint8_t *)"same text", 9, &b[i]);
        assert_int_equal(load_u32(b[i].data + 8), i);
    }
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t link = 0; link < 4; link++) {
            struct buf out = {0};
            store_u32(b[i].data + 8, link);
            assert_int_equal(
                open_runs(&own, b[i].data, b[i].len, 999, &out, NULL),
                link == i ? 0 : ERR_MISMATCH);
            buf_free(&out);
        }
        store_u32(b[i].data + 8, (uint32_t)i);
    }
    assert_memory_not_equal(b[0].data + head, b[1].data + head,
                            b[0].len - head);
    /* A link number repeated under another body is refused, too. */
    memcpy(b[1].data + 8, b[0].data + 8, 4);
    assert_shut(&b[1], (const uint8_t *)"same text", 9, NULL);
    for (size_t i = 0; i < 3; i++) {
        buf_free(&b[i]);
    }
    seal_segment_free(s);
}

/* A device whose memory came back from a snapshot repeats a link: the salt
 * keeps the two texts apart. */
static void a_key_used_twice_gives_two_streams(void **state)
{
    struct seal_segment *s = segment_for(1, AES);
    struct seal_key key, again;
    uint8_t a[64], b[64];

    (void)state;
    assert_int_equal(seal_segment_next(s, &key, NULL), 0);
    again = key;
    seal_body(&key, 0, "same text", 9, a);
    seal_body(&again, 0, "same text", 9, b);
    assert_memory_not_equal(a, b, SEAL_SALT);
    assert_memory_not_equal(a + SEAL_SALT, b + SEAL_SALT, 9);
    seal_segment_free(s);
}

static void heads_that_cannot_be_are_named(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        int rc;
        const char *text;
    } cases[] = {
        {0, 'X', ERR_CORRUPT, "envelope: not one"},
        {4, 2, ERR_VERSION, "envelope: version 2"},
        {5, 0x82, ERR_UNSUPPORTED, "envelope: flags 0x82"},
        {6, 95, ERR_CORRUPT, "envelope: header of 95 bytes"},
        {7, 0xff, ERR_CORRUPT, "envelope: header of 65376 bytes"},
        {10, 1, ERR_CORRUPT, "seal: link 65536 of at most 65536"},
        {12, 'X', ERR_CORRUPT, "seal header: not one"},
    };
    struct seal_segment *s = segment_for(1, AES);
    struct buf b = {0}, out = {0};
    struct seal_head head;
    struct err err;

    (void)state;
    seal_whole(s, (const uint8_t *)"text", 4, &b);
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t before = b.data[cases[i].at];
        b.data[cases[i].at] = cases[i].value;
        assert_int_equal(open_runs(&own, b.data, b.len, 1, &out, &err),
                         cases[i].rc);
        assert_string_equal(err.text, cases[i].text);
        b.data[cases[i].at] = before;
    }
    assert_int_equal(seal_head_parse(b.data, b.len, &head, NULL), 0);
    assert_int_equal(head.size, SEAL_HEAD + SEAL_HEADER(1));
    assert_int_equal(head.link, 0);
    for (size_t len = 0; len < head.size; len++) {
        assert_int_equal(seal_head_parse(b.data, len, &head, NULL),
                         ERR_CORRUPT);
    }
    assert_true(seal_is_envelope(b.data, 4));
    assert_false(seal_is_envelope(b.data, 3));
    buf_free(&out);
    buf_free(&b);
    seal_segment_free(s);
}

static void the_flags_are_sealed_with_the_text(void **state)
{
    struct seal_segment *s = segment_for(1, AES);
    struct seal_writer *w = seal_writer_new();
    struct buf b = {0};

    (void)state;
    seal_runs(w, s, SEAL_FLAG_ZSTD, (const uint8_t *)"text", 4, 4, &b);
    assert_opens(&b, (const uint8_t *)"text", 4);
    b.data[5] = 0;
    assert_shut(&b, (const uint8_t *)"text", 4, NULL);
    buf_free(&b);
    seal_writer_free(w);
    seal_segment_free(s);
}

/* ---- ranges ---- */

static int range_of(struct seal_root *root, const struct buf *b,
                    uint64_t offset, uint64_t len, uint64_t cut,
                    struct buf *out, struct err *err)
{
    struct seal_reader *r = seal_reader_new();
    uint64_t from, end, body_len;
    struct seal_head head;
    struct seal_key key;
    const uint8_t *body;
    size_t made;
    int rc;

    assert_int_equal(seal_head_parse(b->data, b->len, &head, NULL), 0);
    body = b->data + head.size;
    body_len = b->len - head.size;
    assert_int_equal(seal_root_key(root, head.link, &key, NULL), 0);
    seal_reader_init(r, &key, head.flags, body);
    rc = seal_reader_range(r, body_len, offset, len, &from, &end, err);
    if (rc == 0) {
        assert_true(end <= body_len);
        assert_true(end - from <= len + 3 * SEAL_CHUNK_SEALED);
        end -= cut;
    }
    for (; rc == 0 && from < end; from += 3000) {
        size_t n = end - from < 3000 ? (size_t)(end - from) : 3000;
        buf_reserve(out, SEAL_OPEN_UPDATE_MAX(n));
        rc = seal_reader_update(r, body + from, n, out->data + out->len, &made,
                                err);
        out->len += rc == 0 ? made : 0;
    }
    if (rc == 0) {
        buf_reserve(out, SEAL_CHUNK);
        rc = seal_reader_final(r, out->data + out->len, &made, err);
        out->len += rc == 0 ? made : 0;
    }
    seal_reader_free(r);
    return rc;
}

static void ranges_open_by_themselves(void **state)
{
    static const size_t edges[] = {0,         1,
                                   77,        KIB64 - 1,
                                   KIB64,     KIB64 + 1,
                                   2 * KIB64, 3 * KIB64 - 1,
                                   3 * KIB64, 3 * KIB64 + 16};
    size_t len = 3 * KIB64 + 17;
    uint8_t *text = a_text(len);
    struct seal_segment *s = segment_for(1, AES);
    struct seal_root root;
    struct buf b = {0};
    const uint8_t *header;
    struct err err;
    size_t n;

    (void)state;
    header = seal_segment_header(s, &n);
    assert_int_equal(seal_open_root(&own, header, n, &root, NULL), 0);
    seal_whole(s, text, len, &b);
    for (size_t i = 0; i < COUNT(edges); i++) {
        for (size_t j = i; j < COUNT(edges); j++) {
            size_t want = edges[j] - edges[i] + 1;
            struct buf out = {0};
            assert_int_equal(range_of(&root, &b, edges[i], want, 0, &out, &err),
                             0);
            assert_int_equal(out.len, want);
            assert_memory_equal(out.data, text + edges[i], want);
            buf_clear(&out);
            assert_int_equal(range_of(&root, &b, edges[i], want, 1, &out, &err),
                             ERR_MISMATCH);
            buf_free(&out);
        }
    }
    assert_int_equal(range_of(&root, &b, len, 1, 0, NULL, &err), ERR_RANGE);
    assert_string_equal(err.text, "the sealed text has 196625 bytes");
    assert_int_equal(range_of(&root, &b, 0, len + 1, 0, NULL, NULL), ERR_RANGE);
    assert_int_equal(range_of(&root, &b, 5, UINT64_MAX, 0, NULL, NULL),
                     ERR_RANGE);
    buf_free(&b);
    free(text);
    seal_segment_free(s);
}

/* Who stores the body may lie about its length: the last chunk does not open as
 * one in the middle, nor the reverse. */
static void a_range_of_a_body_cut_at_a_chunk_is_refused(void **state)
{
    uint8_t *text = a_text(3 * KIB64);
    struct seal_segment *s = segment_for(1, AES);
    struct buf b = {0}, out = {0};
    struct seal_root root;
    const uint8_t *header;
    size_t n;

    (void)state;
    header = seal_segment_header(s, &n);
    assert_int_equal(seal_open_root(&own, header, n, &root, NULL), 0);
    seal_whole(s, text, 3 * KIB64, &b);
    b.len -= SEAL_CHUNK_SEALED;
    assert_int_equal(range_of(&root, &b, KIB64 + 5, 10, 0, &out, NULL),
                     ERR_MISMATCH);
    assert_int_equal(range_of(&root, &b, 5, 10, 0, &out, NULL), 0);
    buf_free(&out);
    buf_free(&b);
    free(text);
    seal_segment_free(s);
}

static void a_range_fed_too_much_is_refused(void **state)
{
    struct seal_segment *s = segment_for(1, AES);
    uint8_t *text = a_text(2 * KIB64), out[2 * SEAL_CHUNK];
    struct seal_reader *r = seal_reader_new();
    struct seal_root root;
    struct seal_head head;
    struct seal_key key;
    struct buf b = {0};
    uint64_t from, end;
    struct err err;
    size_t made;

    (void)state;
    seal_whole(s, text, 2 * KIB64, &b);
    assert_int_equal(seal_head_parse(b.data, b.len, &head, NULL), 0);
    assert_int_equal(
        seal_open_root(&own, head.header, head.header_len, &root, NULL), 0);
    assert_int_equal(seal_root_key(&root, 0, &key, NULL), 0);
    seal_reader_init(r, &key, 0, b.data + head.size);
    assert_int_equal(
        seal_reader_range(r, b.len - head.size, 0, 9, &from, &end, NULL), 0);
    assert_int_equal(
        seal_reader_update(r, b.data + head.size + from, 2 * SEAL_CHUNK_SEALED,
                           out, &made, NULL),
        0);
    assert_int_equal(seal_reader_final(r, out, &made, &err), ERR_MISMATCH);
    assert_string_equal(err.text, "sealed text: more than was sealed");
    assert_int_equal(seal_reader_update(r, "x", 1, out, &made, NULL),
                     ERR_MISMATCH);
    assert_int_equal(seal_reader_final(r, out, &made, NULL), ERR_MISMATCH);
    seal_reader_free(r);
    seal_reader_free(NULL);
    buf_free(&b);
    free(text);
    seal_segment_free(s);
}

/* ---- the golden file ---- */

static void counting(void *data, void *out, size_t len)
{
    (void)data;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)out)[i] = (uint8_t)i;
    }
}

static void put_hex(struct buf *out, const char *name, const void *p,
                    size_t len)
{
    char *hex = malloc(2 * len + 1);

    assert_non_null(hex);
    buf_printf(out, "%s %s\n", name, text_hex(p, len, hex));
    free(hex);
}

static void golden_text(struct buf *out)
{
    static const char hello[] = "hello, sealed world";
    char text[SEAL_IDENTITY_TEXT];
    struct seal_identity identity;

    seal_identity_new(&identity);
    seal_identity_recipient(&identity, &to[0]);
    buf_printf(out, "identity %s\n", seal_identity_format(&identity, text));
    buf_printf(out, "recipient %s\n", seal_recipient_format(&to[0], text));
    for (size_t a = 0; a < 2; a++) {
        struct seal_segment *s = segment_for(1, a == 0 ? AES : CHACHA);
        struct buf b = {0};
        struct seal_root root;
        const uint8_t *header;
        size_t len;
        buf_printf(out, "algorithm %s\n",
                   a == 0 ? "AES-256-GCM" : "ChaCha20-Poly1305");
        header = seal_segment_header(s, &len);
        put_hex(out, "header", header, len);
        assert_int_equal(seal_open_root(&identity, header, len, &root, NULL),
                         0);
        put_hex(out, "link-0", root.first, sizeof root.first);
        for (uint32_t link = 0; link < 2; link++) {
            struct seal_key key;
            assert_int_equal(seal_root_key(&root, link, &key, NULL), 0);
            put_hex(out, link == 0 ? "key-0" : "key-1", key.key,
                    sizeof key.key);
        }
        seal_whole(s, (const uint8_t *)hello, sizeof hello - 1, &b);
        put_hex(out, "envelope-0-hello", b.data, b.len);
        buf_clear(&b);
        seal_whole(s, NULL, 0, &b);
        put_hex(out, "envelope-1-empty", b.data, b.len);
        buf_free(&b);
        seal_segment_free(s);
    }
}

static void the_golden_file_is_written_the_same(void **state)
{
    static const struct rng_ops ops = {counting, NULL};
    struct buf want = {0}, got = {0};

    (void)state;
    rng_use(&ops);
    golden_text(&got);
    rng_use(NULL);
    if (getenv("GOLDEN_WRITE") != NULL) {
        assert_int_equal(fs_write(GOLDEN, got.data, got.len, 0644, NULL), 0);
    }
    assert_int_equal(fs_read(GOLDEN, 1 << 16, &want, NULL), 0);
    assert_string_equal((char *)got.data, (char *)want.data);
    buf_free(&want);
    buf_free(&got);
    make_keys(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_any_size_come_back_in_any_split),
        cmocka_unit_test(the_overhead_is_as_documented),
        cmocka_unit_test(impossible_body_sizes_are_refused),
        cmocka_unit_test(only_a_recipient_opens),
        cmocka_unit_test(an_envelope_cut_anywhere_does_not_open),
        cmocka_unit_test(every_flipped_bit_of_a_small_envelope_is_found),
        cmocka_unit_test(a_longer_envelope_does_not_open),
        cmocka_unit_test(chunks_moved_dropped_or_repeated_are_found),
        cmocka_unit_test(the_key_of_an_object_opens_no_other),
        cmocka_unit_test(a_key_used_twice_gives_two_streams),
        cmocka_unit_test(heads_that_cannot_be_are_named),
        cmocka_unit_test(the_flags_are_sealed_with_the_text),
        cmocka_unit_test(ranges_open_by_themselves),
        cmocka_unit_test(a_range_of_a_body_cut_at_a_chunk_is_refused),
        cmocka_unit_test(a_range_fed_too_much_is_refused),
        cmocka_unit_test(the_golden_file_is_written_the_same),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
