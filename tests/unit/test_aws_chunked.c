/* test_aws_chunked.c: the aws-chunked coding, decoded as bytes come.
 *
 * Goal: the payload and trailers of what AWS documents and real clients send,
 * whatever the split; an error for everything else.
 * Method: the two examples of the S3 documentation (64 KiB + 1 KiB); short
 * streams as each client writes them, whole, cut in two at every place, byte by
 * byte, and into every size of output; then one rule broken at a time.
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
#include "base/mem.h"
#include "base/text.h"
#include "crypto/aws_chunked.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SEED "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"

static uint8_t key[32];

static struct sigv4_auth auth_of(enum sigv4_payload payload, const char *seed)
{
    struct sigv4_auth a = {.time_ms = 1369353600000u, .payload = payload};

    strcpy(a.date, "20130524");
    strcpy(a.region, "us-east-1");
    strcpy(a.service, "s3");
    strcpy(a.signature, seed);
    sigv4_signing_key(SECRET, a.date, a.region, a.service, key);
    return a;
}

static struct aws_chunked *decoder(enum sigv4_payload payload,
                                   const char *trailers)
{
    struct sigv4_auth a = auth_of(payload, SEED);

    return aws_chunked_new(&a, key, trailers);
}

/* Decode @len bytes at @in, given in runs of @run, into room of @room at a
 * time; the payload is appended to @out. */
static int feed(struct aws_chunked *c, const void *in, size_t len, size_t run,
                size_t room, struct buf *out, struct err *err)
{
    const uint8_t *p = in;

    while (len > 0) {
        size_t used = len < run ? len : run;
        size_t given = used, made = 0;
        /* Memory of just these sizes: a step too far is seen. */
        uint8_t *from = mem_dup(p, used);
        uint8_t *to = mem_alloc(room);
        int rc = aws_chunked_decode(c, from, &used, to, room, &made, err);
        free(from);
        if (rc == 0) {
            assert_true(used == given || made == room);
            buf_append(out, to, made);
            p += used;
            len -= used;
        }
        free(to);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- making streams ---- */

static void put_chunk(struct buf *b, const char *data, size_t len,
                      char previous[SIGV4_SIGNATURE_HEX + 1])
{
    struct sigv4_auth a = auth_of(SIGV4_PAYLOAD_CHUNKED, SEED);
    uint8_t sum[DIGEST_MAX];

    digest_of(DIGEST_SHA256, data, len, sum);
    sigv4_chunk_signature(&a, key, previous, sum);
    buf_printf(b, "%zx;chunk-signature=%s\r\n", len, previous);
    buf_append(b, data, len);
    if (len > 0) {
        buf_str(b, "\r\n");
    }
}

/* "hello world" in two signed chunks and the last; gives the last signature. */
static void put_signed(struct buf *b, char previous[SIGV4_SIGNATURE_HEX + 1])
{
    strcpy(previous, SEED);
    put_chunk(b, "hello ", 6, previous);
    put_chunk(b, "world", 5, previous);
    put_chunk(b, "", 0, previous);
}

static const char *trailer_signature(const char *text,
                                     char previous[SIGV4_SIGNATURE_HEX + 1])
{
    struct sigv4_auth a = auth_of(SIGV4_PAYLOAD_CHUNKED_TRAILER, SEED);

    sigv4_trailer_signature(&a, key, previous, text, strlen(text));
    return previous;
}

#define CRC "x-amz-checksum-crc32"

static const struct stream {
    enum sigv4_payload payload;
    const char *before; /* the trailer's signature; NULL: unsigned */
    const char *after;
} streams[] = {
    {SIGV4_PAYLOAD_CHUNKED, "\r\n", NULL},
    /* AWS SDKs for Java, C (awscli with CRT). */
    {SIGV4_PAYLOAD_CHUNKED_TRAILER, CRC ":DUoRhQ==\r\n", "\r\n\r\n"},
    /* AWS's example; minio-go (mc). */
    {SIGV4_PAYLOAD_CHUNKED_TRAILER, CRC ":DUoRhQ==\n\r\n", "\r\n\r\n"},
    /* boto3, awscli, AWS SDKs for Go (rclone), JavaScript. */
    {SIGV4_PAYLOAD_UNSIGNED_TRAILER,
     "6\r\nhello \r\n5\r\nworld\r\n0\r\n" CRC ":DUoRhQ==\r\n\r\n", NULL},
    /* minio-go. */
    {SIGV4_PAYLOAD_UNSIGNED_TRAILER,
     "b\r\nhello world\r\n0\r\n" CRC ":DUoRhQ==\n\r\n\r\n", NULL},
    /* Leading zeros, capitals, blanks around the value. */
    {SIGV4_PAYLOAD_UNSIGNED_TRAILER,
     "000000000000000B\r\nhello world\r\n00\r\n"
     "X-Amz-Checksum-CRC32: \tDUoRhQ== \r\n\r\n",
     NULL},
};
#define STREAMS (sizeof streams / sizeof streams[0])

static void put_stream(struct buf *b, const struct stream *s)
{
    char previous[SIGV4_SIGNATURE_HEX + 1];

    if (s->payload != SIGV4_PAYLOAD_UNSIGNED_TRAILER) {
        put_signed(b, previous);
    }
    buf_str(b, s->before);
    if (s->after != NULL) {
        buf_printf(b, "x-amz-trailer-signature:%s%s",
                   trailer_signature(CRC ":DUoRhQ==\n", previous), s->after);
    }
}

static void check_done(struct aws_chunked *c, const struct stream *s,
                       const struct buf *out)
{
    const char *crc = aws_chunked_trailer(c, "X-AMZ-checksum-crc32");

    assert_true(aws_chunked_done(c));
    assert_int_equal(out->len, 11);
    assert_memory_equal(out->data, "hello world", 11);
    if (s->payload == SIGV4_PAYLOAD_CHUNKED) {
        assert_null(crc);
    } else {
        assert_string_equal(crc, "DUoRhQ==");
    }
    assert_null(aws_chunked_trailer(c, "x-amz-trailer-signature"));
    assert_null(aws_chunked_trailer(c, "x-amz-checksum-crc32c"));
}

static void any_split_gives_the_same_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAMS; i++) {
        const struct stream *s = &streams[i];
        struct buf b = {0}, out = {0};
        put_stream(&b, s);
        for (size_t cut = 0; cut <= b.len; cut++) {
            struct aws_chunked *c = decoder(s->payload, CRC);
            assert_int_equal(feed(c, b.data, cut, cut + 1, 64, &out, NULL), 0);
            assert_int_equal(aws_chunked_done(c), cut == b.len);
            assert_int_equal(
                feed(c, b.data + cut, b.len - cut, b.len, 64, &out, NULL), 0);
            check_done(c, s, &out);
            buf_clear(&out);
            aws_chunked_free(c);
        }
        for (size_t run = 1; run <= 16; run++) {
            for (size_t room = 1; room <= 12; room++) {
                struct aws_chunked *c = decoder(s->payload, CRC);
                assert_int_equal(feed(c, b.data, b.len, run, room, &out, NULL),
                                 0);
                check_done(c, s, &out);
                buf_clear(&out);
                aws_chunked_free(c);
            }
        }
        buf_free(&b);
        buf_free(&out);
    }
}

static void full_output_stops_before_data_only(void **state)
{
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, NULL);
    const char in[] = "3\r\nabc\r\n0\r\n\r\n";
    size_t used = sizeof in - 1, made = 9;
    char out[3];

    (void)state;
    assert_int_equal(aws_chunked_decode(c, in, &used, NULL, 0, &made, NULL), 0);
    assert_int_equal(used, 3);
    assert_int_equal(made, 0);
    used = sizeof in - 1 - 3;
    assert_int_equal(aws_chunked_decode(c, in + 3, &used, out, 3, &made, NULL),
                     0);
    assert_int_equal(used, sizeof in - 1 - 3);
    assert_int_equal(made, 3);
    assert_true(aws_chunked_done(c));
    aws_chunked_free(c);
}

/* ---- the examples of the S3 documentation ---- */

static void published_examples_decode(void **state)
{
    static const struct {
        enum sigv4_payload payload;
        const char *seed, *first, *second, *last, *trailer;
    } rows[] = {
        {SIGV4_PAYLOAD_CHUNKED, SEED,
         "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
         "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
         "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
         "\r\n"},
        {SIGV4_PAYLOAD_CHUNKED_TRAILER,
         "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
         "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
         "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
         "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
         "x-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:"
         "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
         "\r\n\r\n"}};
    char *data = mem_alloc(66560);

    (void)state;
    memset(data, 'a', 66560);
    for (size_t i = 0; i < 2; i++) {
        struct sigv4_auth a = auth_of(rows[i].payload, rows[i].seed);
        struct buf b = {0}, out = {0};
        buf_printf(&b, "10000;chunk-signature=%s\r\n%.65536s\r\n",
                   rows[i].first, data);
        buf_printf(&b, "400;chunk-signature=%s\r\n%.1024s\r\n", rows[i].second,
                   data);
        buf_printf(&b, "0;chunk-signature=%s\r\n%s", rows[i].last,
                   rows[i].trailer);
        if (i == 0) {
            assert_int_equal(b.len, 66824); /* as the example says */
        }
        for (size_t run = 1000; run <= 100000; run *= 10) {
            struct aws_chunked *c =
                aws_chunked_new(&a, key, "x-amz-checksum-crc32c");
            assert_int_equal(feed(c, b.data, b.len, run, 5000, &out, NULL), 0);
            assert_true(aws_chunked_done(c));
            assert_int_equal(out.len, 66560);
            assert_memory_equal(out.data, data, 66560);
            buf_clear(&out);
            aws_chunked_free(c);
        }
        buf_free(&b);
        buf_free(&out);
    }
    free(data);
}

/* ---- signatures ---- */

/* Every byte of a signed stream matters: of data and signatures as a mismatch,
 * of the framing as bad input, or as an end that does not come. */
static void changed_bytes_of_signed_streams_are_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buf b = {0}, out = {0};
        size_t mismatches = 0;
        put_stream(&b, &streams[i]);
        for (size_t at = 0; at < b.len; at++) {
            struct aws_chunked *c = decoder(streams[i].payload, CRC);
            uint8_t was = b.data[at];
            int rc;
            b.data[at] = was == 'a' ? 'b' : 'a';
            rc = feed(c, b.data, b.len, b.len, 64, &out, NULL);
            mismatches += rc == ERR_MISMATCH;
            assert_true(rc == ERR_MISMATCH || rc == ERR_BAD_INPUT ||
                        !aws_chunked_done(c));
            b.data[at] = was;
            buf_clear(&out);
            aws_chunked_free(c);
        }
        assert_true(mismatches >= 11 + 3 * 64);
        buf_free(&b);
        buf_free(&out);
    }
}

static void chunks_in_another_order_do_not_verify(void **state)
{
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_CHUNKED, NULL);
    char previous[SIGV4_SIGNATURE_HEX + 1];
    struct buf one = {0}, two = {0}, out = {0};
    struct err err;

    (void)state;
    strcpy(previous, SEED);
    put_chunk(&one, "one", 3, previous);
    put_chunk(&two, "two", 3, previous);
    assert_int_equal(feed(c, two.data, two.len, 99, 9, &out, &err),
                     ERR_MISMATCH);
    assert_string_equal(err.text,
                        "aws-chunked: a chunk's signature does not match");
    /* It stays failed. */
    assert_int_equal(feed(c, one.data, one.len, 99, 9, &out, &err),
                     ERR_BAD_INPUT);
    assert_false(aws_chunked_done(c));
    aws_chunked_free(c);
    buf_free(&one);
    buf_free(&two);
    buf_free(&out);
}

static void trailer_without_its_signature_is_refused(void **state)
{
    static const char *const ends[] = {
        "\r\n",
        CRC ":DUoRhQ==\r\n\r\n",
        CRC ":DUoRhQ==\n\r\n\r\n",
        "x-amz-trailer-signature:1234\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct aws_chunked *c = decoder(SIGV4_PAYLOAD_CHUNKED_TRAILER, CRC);
        char previous[SIGV4_SIGNATURE_HEX + 1];
        struct buf b = {0}, out = {0};
        struct err err;
        put_signed(&b, previous);
        buf_str(&b, ends[i]);
        assert_int_equal(feed(c, b.data, b.len, 999, 64, &out, &err),
                         ERR_BAD_INPUT);
        assert_non_null(strstr(err.text, "x-amz-trailer-signature is"));
        aws_chunked_free(c);
        buf_free(&b);
        buf_free(&out);
    }
}

static void trailer_behind_the_signature_is_refused(void **state)
{
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_CHUNKED_TRAILER, CRC);
    char previous[SIGV4_SIGNATURE_HEX + 1];
    struct buf b = {0}, out = {0};

    (void)state;
    put_signed(&b, previous);
    buf_printf(&b, "x-amz-trailer-signature:%s\r\n" CRC ":DUoRhQ==\r\n\r\n",
               trailer_signature("", previous));
    assert_int_equal(feed(c, b.data, b.len, 999, 64, &out, NULL),
                     ERR_BAD_INPUT);
    aws_chunked_free(c);
    buf_free(&b);
    buf_free(&out);
}

/* ---- framing ---- */

static void broken_framing_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *in, *reason;
    } rows[] = {
        {"\r\n", "chunk size"},
        {"g\r\n", "chunk size"},
        {"-1\r\n", "chunk size"},
        {"0x5\r\n", "chunk size"},
        {" 5\r\n", "chunk size"},
        {"5 \r\n", "chunk size"},
        {"00000000000000005\r\n", "chunk size"},
        {"140000001\r\n", "at most 5 GiB"},
        {"ffffffffffffffff\r\n", "at most 5 GiB"},
        {"5\n", "LF without CR"},
        {"5\r5", "CR without LF"},
        {"5\r\r\n", "CR without LF"},
        {"5;a=b\r\n", "an extension"},
        {"1\r\nab\r\n", "no CRLF behind"},
        {"1\r\na\n", "no CRLF behind"},
        {"1\r\na\ra", "no CRLF behind"},
        {"0\r\n\n", "LF without CR"},
        {"0\r\n\r\n\r\n", "bytes after the end"},
        {"0\r\n\r\nx", "bytes after the end"},
        {"0\r\nx-amz-other:1\r\n", "x-amz-other was not declared"},
        {"0\r\n" CRC ":1\r\n" CRC ":1\r\n", "comes twice"},
        {"0\r\n" CRC "\r\n", "not name:value"},
        {"0\r\n:1\r\n", "not name:value"},
        {"0\r\nx-amz-trailer-signature:" SEED "\r\n", "not expected"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t run = 1; run < 50; run += 48) {
            struct aws_chunked *c =
                decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, CRC);
            struct buf out = {0};
            struct err err = {""};
            assert_int_equal(
                feed(c, rows[i].in, strlen(rows[i].in), run, 9, &out, &err),
                ERR_BAD_INPUT);
            if (strstr(err.text, rows[i].reason) == NULL) {
                fail_msg("%s: %s", rows[i].in, err.text);
            }
            aws_chunked_free(c);
            buf_free(&out);
        }
    }
}

static void signed_chunks_need_their_extension(void **state)
{
    static const char *const bad[] = {"5\r\n",
                                      "5;\r\n",
                                      "5;chunk-signature=12\r\n",
                                      "5;chunk-signature=" SEED "0\r\n",
                                      "5;chunk-signature=" SEED ";\r\n",
                                      "5;Chunk-Signature=" SEED "\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct aws_chunked *c = decoder(SIGV4_PAYLOAD_CHUNKED, NULL);
        struct buf out = {0};
        assert_int_equal(feed(c, bad[i], strlen(bad[i]), 99, 9, &out, NULL),
                         ERR_BAD_INPUT);
        aws_chunked_free(c);
        buf_free(&out);
    }
}

/* Of the right length but no hex: wrong, not malformed. */
static void signature_that_is_not_hex_is_a_mismatch(void **state)
{
    static const char junk[] =
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_CHUNKED, NULL);
    char previous[SIGV4_SIGNATURE_HEX + 1];
    struct buf b = {0}, out = {0};

    (void)state;
    buf_printf(&b, "5;chunk-signature=%s\r\n", junk);
    assert_int_equal(feed(c, b.data, b.len, 99, 9, &out, NULL), ERR_MISMATCH);
    aws_chunked_free(c);

    c = decoder(SIGV4_PAYLOAD_CHUNKED_TRAILER, CRC);
    buf_clear(&b);
    put_signed(&b, previous);
    buf_printf(&b, CRC ":1\r\nx-amz-trailer-signature:%s\r\n\r\n", junk);
    assert_int_equal(feed(c, b.data, b.len, 99, 9, &out, NULL), ERR_MISMATCH);
    aws_chunked_free(c);
    buf_free(&b);
    buf_free(&out);
}

static void failure_leaves_the_counts_untouched(void **state)
{
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, NULL);
    size_t used = 6, made = 77;
    char out[9];

    (void)state;
    assert_int_equal(
        aws_chunked_decode(c, "1\r\nabc", &used, out, 9, &made, NULL),
        ERR_BAD_INPUT);
    assert_int_equal(used, 6);
    assert_int_equal(made, 77);
    aws_chunked_free(c);
}

static void trailers_need_their_kind_of_payload(void **state)
{
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_CHUNKED, CRC);
    char previous[SIGV4_SIGNATURE_HEX + 1];
    struct buf b = {0}, out = {0};

    (void)state;
    put_signed(&b, previous);
    buf_str(&b, CRC ":DUoRhQ==\r\n\r\n");
    assert_int_equal(feed(c, b.data, b.len, 999, 64, &out, NULL),
                     ERR_BAD_INPUT);
    aws_chunked_free(c);
    buf_free(&b);
    buf_free(&out);
}

static void lines_and_trailers_have_bounds(void **state)
{
    struct buf names = {0}, b = {0}, out = {0};
    struct aws_chunked *c;
    struct err err;

    (void)state;
    buf_str(&b, "0\r\n");
    for (int i = 0; i <= AWS_CHUNKED_TRAILERS_MAX; i++) {
        buf_printf(&names, "%sx-%d", i > 0 ? ", " : "", i);
        if (i < AWS_CHUNKED_TRAILERS_MAX) {
            buf_printf(&b, "x-%d:%d\r\n", i, i);
        }
    }
    c = decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, (char *)names.data);
    assert_int_equal(feed(c, b.data, b.len, 999, 1, &out, NULL), 0);
    assert_string_equal(aws_chunked_trailer(c, "x-7"), "7");
    assert_int_equal(feed(c, "x-8:8\r\n", 7, 999, 1, &out, NULL),
                     ERR_BAD_INPUT);
    aws_chunked_free(c);

    /* A line of just the most bytes, and one more. */
    for (int more = 0; more <= 1; more++) {
        buf_clear(&b);
        buf_str(&b, "0\r\nx-1:");
        while (b.len < 3 + AWS_CHUNKED_LINE_MAX + (size_t)more) {
            buf_char(&b, 'v');
        }
        buf_str(&b, "\r\n\r\n");
        c = decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, (char *)names.data);
        assert_int_equal(feed(c, b.data, b.len, 100, 1, &out, &err),
                         more ? ERR_BAD_INPUT : 0);
        assert_int_equal(aws_chunked_done(c), !more);
        aws_chunked_free(c);
    }
    assert_string_equal(err.text, "aws-chunked: a line is over 1024 bytes");
    buf_free(&names);
    buf_free(&b);
    buf_free(&out);
    aws_chunked_free(NULL);
}

static void nul_in_a_line_is_refused(void **state)
{
    struct aws_chunked *c = decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, CRC);
    struct buf out = {0};

    (void)state;
    assert_int_equal(feed(c, "0\0\r\n", 4, 9, 9, &out, NULL), ERR_BAD_INPUT);
    aws_chunked_free(c);
    buf_free(&out);
}

/* A bare LF owes a CRLF; without it the end does not come. */
static void bare_lf_does_not_end_the_trailers(void **state)
{
    static const struct {
        const char *in;
        bool done;
    } rows[] = {
        {"0\r\n" CRC ":1\n", false},
        {"0\r\n" CRC ":1\n\r\n", false},
        {"0\r\n" CRC ":1\n\r\n\r\n", true},
        {"0\r\n" CRC ":1\nx-2:2\n\r\n\r\n", true},
        {"0\r\n" CRC ":1\r\nx-2:2\r\n\r\n", true},
        {"0\r\n" CRC ":1\r\n", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct aws_chunked *c =
            decoder(SIGV4_PAYLOAD_UNSIGNED_TRAILER, CRC ",x-2");
        struct buf out = {0};
        assert_int_equal(
            feed(c, rows[i].in, strlen(rows[i].in), 1, 1, &out, NULL), 0);
        assert_int_equal(aws_chunked_done(c), rows[i].done);
        aws_chunked_free(c);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_answer),
        cmocka_unit_test(full_output_stops_before_data_only),
        cmocka_unit_test(published_examples_decode),
        cmocka_unit_test(changed_bytes_of_signed_streams_are_seen),
        cmocka_unit_test(chunks_in_another_order_do_not_verify),
        cmocka_unit_test(trailer_without_its_signature_is_refused),
        cmocka_unit_test(trailer_behind_the_signature_is_refused),
        cmocka_unit_test(broken_framing_is_refused_with_its_reason),
        cmocka_unit_test(signed_chunks_need_their_extension),
        cmocka_unit_test(signature_that_is_not_hex_is_a_mismatch),
        cmocka_unit_test(failure_leaves_the_counts_untouched),
        cmocka_unit_test(trailers_need_their_kind_of_payload),
        cmocka_unit_test(lines_and_trailers_have_bounds),
        cmocka_unit_test(nul_in_a_line_is_refused),
        cmocka_unit_test(bare_lf_does_not_end_the_trailers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
