/* fuzz_aws_chunked.c: bodies of any bytes and any split against the decoder.
 *
 * Goal: no body crashes or is read past its end; an answer does not depend on
 * how the bytes came; a signed stream of any chunks decodes to its payload.
 * Method: byte 0 picks the kind, bytes 1 and 2 the sizes of the pieces in and
 * out. Odd: the rest is the body, decoded whole and in pieces, which must
 * agree. Even: the rest is payload, signed in chunks of sizes that it gives
 * itself, decoded in pieces.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/aws_chunked.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define NAMES "x-amz-checksum-crc32, x-a"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[32] = {7};

static struct sigv4_auth auth_of(unsigned pick)
{
    static const enum sigv4_payload kinds[] = {SIGV4_PAYLOAD_CHUNKED,
                                               SIGV4_PAYLOAD_CHUNKED_TRAILER,
                                               SIGV4_PAYLOAD_UNSIGNED_TRAILER};
    struct sigv4_auth a = {.date = "20130524",
                           .region = "r",
                           .service = "s3",
                           .time_ms = 1369353600000u,
                           .payload = kinds[pick % 3]};

    memset(a.signature, '0', SIGV4_SIGNATURE_HEX);
    return a;
}

static int decode(struct aws_chunked *c, const uint8_t *p, size_t len,
                  size_t run, size_t room, struct buf *out)
{
    uint8_t *to = mem_alloc(room);
    int rc = 0;

    while (len > 0) {
        size_t used = len < run ? len : run;
        size_t given = used, made = 0;
        struct err err = {""};
        uint8_t *from = mem_dup(p, used);
        rc = aws_chunked_decode(c, from, &used, to, room, &made, &err);
        free(from);
        CHECK((rc == 0) == (err.text[0] == '\0'));
        if (rc != 0) {
            CHECK(rc == ERR_BAD_INPUT || rc == ERR_MISMATCH);
            break;
        }
        CHECK(used == given || made == room);
        CHECK(used <= given && made <= room && made <= used);
        buf_append(out, to, made);
        p += used;
        len -= used;
    }
    free(to);
    return rc;
}

static void same_trailer(const struct aws_chunked *a,
                         const struct aws_chunked *b, const char *name)
{
    const char *x = aws_chunked_trailer(a, name);
    const char *y = aws_chunked_trailer(b, name);

    CHECK((x == NULL) == (y == NULL));
    CHECK(x == NULL || strcmp(x, y) == 0);
}

static void compare(const struct sigv4_auth *auth, const uint8_t *p, size_t len,
                    size_t run, size_t room)
{
    struct aws_chunked *whole = aws_chunked_new(auth, key, NAMES);
    struct aws_chunked *split = aws_chunked_new(auth, key, NAMES);
    struct buf a = {0}, b = {0};
    int rc = decode(whole, p, len, len + 1, len + 1, &a);

    CHECK(decode(split, p, len, run, room, &b) == rc);
    CHECK(aws_chunked_done(whole) == aws_chunked_done(split));
    if (rc == 0) {
        CHECK(a.len == b.len);
        CHECK(a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
        same_trailer(whole, split, "x-amz-checksum-crc32");
        same_trailer(whole, split, "x-a");
    }
    aws_chunked_free(whole);
    aws_chunked_free(split);
    buf_free(&a);
    buf_free(&b);
}

static void put_chunk(struct buf *b, const struct sigv4_auth *auth,
                      char previous[SIGV4_SIGNATURE_HEX + 1], const uint8_t *p,
                      size_t len)
{
    uint8_t sum[DIGEST_MAX];

    if (auth->payload == SIGV4_PAYLOAD_UNSIGNED_TRAILER) {
        buf_printf(b, "%zx\r\n", len);
    } else {
        digest_of(DIGEST_SHA256, p, len, sum);
        sigv4_chunk_signature(auth, key, previous, sum);
        buf_printf(b, "%zX;chunk-signature=%s\r\n", len, previous);
    }
    buf_append(b, p, len);
    buf_str(b, len > 0 ? "\r\n" : "");
}

static void round_trip(const struct sigv4_auth *auth, const uint8_t *p,
                       size_t len, size_t run, size_t room)
{
    struct aws_chunked *c = aws_chunked_new(auth, key, NAMES);
    char previous[SIGV4_SIGNATURE_HEX + 1];
    struct buf body = {0}, out = {0};

    memcpy(previous, auth->signature, sizeof previous);
    for (size_t at = 0; at < len;) {
        size_t n = (size_t)p[at] * 3 + 1;
        n = n < len - at ? n : len - at;
        put_chunk(&body, auth, previous, p + at, n);
        at += n;
    }
    put_chunk(&body, auth, previous, (const uint8_t *)"", 0);
    if (auth->payload != SIGV4_PAYLOAD_CHUNKED) {
        buf_str(&body, "X-A:v\r\n");
    }
    if (auth->payload == SIGV4_PAYLOAD_CHUNKED_TRAILER) {
        sigv4_trailer_signature(auth, key, previous, "x-a:v\n", 6);
        buf_printf(&body, "x-amz-trailer-signature:%s\r\n", previous);
    }
    buf_str(&body, "\r\n");
    CHECK(decode(c, body.data, body.len, run, room, &out) == 0);
    CHECK(aws_chunked_done(c));
    CHECK(out.len == len && (len == 0 || memcmp(out.data, p, len) == 0));
    aws_chunked_free(c);
    buf_free(&body);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sigv4_auth auth;

    if (size < 3) {
        return 0;
    }
    auth = auth_of(data[0] / 2);
    (data[0] % 2 != 0 ? compare : round_trip)(
        &auth, data + 3, size - 3, (size_t)data[1] + 1, (size_t)data[2] + 1);
    return 0;
}
