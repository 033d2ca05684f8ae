/* test_sigv4.c: Signature Version 4, both ends.
 *
 * Goal: what AWS documents verifies; whatever differs in one place does not,
 * with the status that says why. Method: the examples of the S3 documentation
 * with their published signatures; then each rule broken by itself; then
 * signing and presigning against verifying. Canonical forms are tested in
 * test_canonical.c.
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
#include "base/mem.h"
#include "base/text.h"
#include "crypto/canonical.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define ACCESS_KEY "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SCOPE "/20130524/us-east-1/s3/aws4_request"
#define NOW 1369353600000u /* 20130524T000000Z */
#define MINUTE 60000u
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HEADERS_MAX 12

static enum sigv4_status judge(const struct sigv4_request *r,
                               const char *region, uint64_t now,
                               struct sigv4_auth *auth, struct err *err)
{
    uint8_t key[32];
    enum sigv4_status s = sigv4_parse(r, auth, err);

    if (s != SIGV4_OK) {
        return s;
    }
    assert_string_equal(auth->access_key, ACCESS_KEY);
    sigv4_signing_key(SECRET, auth->date, region, auth->service, key);
    return sigv4_verify(r, auth, region, key, now, err);
}

/* ---- the examples of the S3 documentation ---- */

#define HOST                                     \
    {                                            \
        "Host", "examplebucket.s3.amazonaws.com" \
    }
#define DATE_AND(sha256)                 \
    {"x-amz-content-sha256", sha256},    \
    {                                    \
        "x-amz-date", "20130524T000000Z" \
    }
#define AUTHORIZATION(names, signature)                                  \
    {                                                                    \
        "Authorization", "AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE \
                         ",SignedHeaders=" names ",Signature=" signature \
    }

static const struct example {
    const char *method, *path, *query;
    struct sigv4_header headers[HEADERS_MAX];
    enum sigv4_payload payload;
} examples[] = {
    {"GET",
     "/test.txt",
     "",
     {HOST,
      {"Range", "bytes=0-9"},
      DATE_AND(EMPTY),
      AUTHORIZATION(
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")},
     SIGV4_PAYLOAD_SHA256},
    {"PUT",
     "/test$file.text",
     "",
     {HOST,
      {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      DATE_AND(
          "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
      AUTHORIZATION(
          "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")},
     SIGV4_PAYLOAD_SHA256},
    {"GET",
     "/",
     "lifecycle",
     {HOST, DATE_AND(EMPTY),
      AUTHORIZATION(
          "host;x-amz-content-sha256;x-amz-date",
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")},
     SIGV4_PAYLOAD_SHA256},
    {"GET",
     "/",
     "max-keys=2&prefix=J",
     {HOST, DATE_AND(EMPTY),
      AUTHORIZATION(
          "host;x-amz-content-sha256;x-amz-date",
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")},
     SIGV4_PAYLOAD_SHA256},
    {"PUT",
     "/examplebucket/chunkObject.txt",
     "",
     {{"Host", "s3.amazonaws.com"},
      {"Content-Encoding", "aws-chunked"},
      {"Content-Length", "66824"},
      {"x-amz-decoded-content-length", "66560"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      DATE_AND("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
      AUTHORIZATION(
          "content-encoding;content-length;host;x-amz-content-sha256;"
          "x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
          "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")},
     SIGV4_PAYLOAD_CHUNKED},
    {"PUT",
     "/examplebucket/chunkObject.txt",
     "",
     {{"Host", "s3.amazonaws.com"},
      {"Content-Encoding", "aws-chunked"},
      {"x-amz-decoded-content-length", "66560"},
      {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
      {"x-amz-trailer", "x-amz-checksum-crc32c"},
      DATE_AND("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
      AUTHORIZATION(
          "content-encoding;host;x-amz-content-sha256;x-amz-date;"
          "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
          "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")},
     SIGV4_PAYLOAD_CHUNKED_TRAILER},
    {"GET",
     "/test.txt",
     "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" ACCESS_KEY
     "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
     "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
     "&X-Amz-SignedHeaders=host&X-Amz-Signature="
     "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
     {HOST},
     SIGV4_PAYLOAD_UNSIGNED},
};
#define EXAMPLES (sizeof examples / sizeof examples[0])

static struct sigv4_request request_of(const struct example *e)
{
    struct sigv4_request r = {.method = e->method,
                              .path = e->path,
                              .query = e->query,
                              .headers = e->headers,
                              .header_count = 0};

    while (r.header_count < HEADERS_MAX &&
           e->headers[r.header_count].name != NULL) {
        r.header_count++;
    }
    return r;
}

static void published_examples_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct sigv4_request r = request_of(&examples[i]);
        struct sigv4_auth auth;
        struct err err = {""};
        enum sigv4_status s = judge(&r, "us-east-1", NOW, &auth, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(s, SIGV4_OK);
        assert_int_equal(auth.payload, examples[i].payload);
        assert_int_equal(auth.presigned, strlen(examples[i].query) > 100);
        assert_int_equal(auth.time_ms, NOW);
        assert_string_equal(auth.date, "20130524");
        assert_string_equal(auth.region, "us-east-1");
        assert_string_equal(auth.service, "s3");
    }
}

/* Whatever is signed matters: method, path, query, each signed value. */
static void examples_with_one_change_do_not_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct example e = examples[i];
        struct sigv4_auth auth;
        struct sigv4_request r = request_of(&e);

        r.method = "DELETE";
        assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL),
                         SIGV4_MISMATCH);
        r = request_of(&e);
        r.path = "/other";
        assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL),
                         SIGV4_MISMATCH);
        r = request_of(&e);
        char *query = mem_printf("%s%sx", r.query, *r.query ? "&" : "");
        r.query = query;
        assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL),
                         SIGV4_MISMATCH);
        free(query);
        r = request_of(&e);
        for (size_t h = 0; h < r.header_count; h++) {
            const char *name = e.headers[h].name;
            const char *value = e.headers[h].value;
            if (text_ieq(name, "authorization") ||
                text_starts(name, "x-amz-date") ||
                text_starts(name, "x-amz-content")) {
                continue;
            }
            e.headers[h].value = "other";
            assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL),
                             SIGV4_MISMATCH);
            e.headers[h].value = value;
        }
        assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL), SIGV4_OK);
    }
}

/* ---- the header form, broken in one place ---- */

#define SIGNATURE \
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
#define NAMES "host;range;x-amz-content-sha256;x-amz-date"

/* The first example with @authorization (NULL: none) and, behind it, @more. */
static enum sigv4_status judge_get(const char *authorization, const char *name,
                                   const char *value, uint64_t now,
                                   struct err *err)
{
    struct example e = examples[0];
    struct sigv4_request r = request_of(&e);
    struct sigv4_auth auth;

    e.headers[4].value = authorization;
    if (authorization == NULL) {
        r.header_count = 4;
    }
    if (name != NULL) {
        for (size_t i = 0; i < r.header_count; i++) {
            if (text_ieq(e.headers[i].name, name)) {
                e.headers[i].name = value != NULL ? name : "x-other";
                e.headers[i].value = value != NULL ? value : "";
                name = NULL;
                break;
            }
        }
    }
    if (name != NULL) {
        e.headers[r.header_count++] = (struct sigv4_header){name, value};
    }
    return judge(&r, "us-east-1", now, &auth, err);
}

#define GOOD                                                                \
    "AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE ",SignedHeaders=" NAMES \
    ",Signature=" SIGNATURE

static void fields_may_come_in_any_order_with_or_without_blanks(void **state)
{
    static const char *const good[] = {
        GOOD,
        "AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE ", SignedHeaders=" NAMES
        ", Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256   Signature=" SIGNATURE " ,  SignedHeaders=" NAMES
        ",\tCredential=" ACCESS_KEY SCOPE " ",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(judge_get(good[i], NULL, NULL, NOW, NULL), SIGV4_OK);
    }
}

static void malformed_authorization_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *text, *reason;
    } bad[] = {
        {"", "must begin with"},
        {"AWS4-HMAC-SHA256", "must begin with"},
        {"AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
         "must begin with"},
        {"Bearer x", "must begin with"},
        {"AWS4-HMAC-SHA256 ", "needs Credential"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE
         ",SignedHeaders=" NAMES,
         "needs Credential"},
        {GOOD ",Extra=1", "not known"},
        {GOOD ",Signature=" SIGNATURE, "twice"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE ",SignedHeaders=" NAMES
         ",Signature=f0e8",
         "64 hex digits"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE
         ",SignedHeaders=,Signature=" SIGNATURE,
         "SignedHeaders is empty"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY ",SignedHeaders=" NAMES
         ",Signature=" SIGNATURE,
         "KEY/DATE/REGION"},
        {"AWS4-HMAC-SHA256 Credential=/20130524/us-east-1/s3/aws4_request"
         ",SignedHeaders=" NAMES ",Signature=" SIGNATURE,
         "KEY/DATE/REGION"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
         "/2013052a/us-east-1/s3/aws4_request"
         ",SignedHeaders=" NAMES ",Signature=" SIGNATURE,
         "KEY/DATE/REGION"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
         "/20130524/us-east-1/s3/aws3_request"
         ",SignedHeaders=" NAMES ",Signature=" SIGNATURE,
         "KEY/DATE/REGION"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
         "/20130524/us-east-1/ec2/aws4_request"
         ",SignedHeaders=" NAMES ",Signature=" SIGNATURE,
         "service ec2"},
        {"AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
         "/20130525/us-east-1/s3/aws4_request"
         ",SignedHeaders=" NAMES ",Signature=" SIGNATURE,
         "20130525, is not that of the request, 20130524"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {""};
        assert_int_equal(judge_get(bad[i].text, NULL, NULL, NOW, &err),
                         SIGV4_MALFORMED);
        if (strstr(err.text, bad[i].reason) == NULL) {
            fail_msg("%s: %s", bad[i].text, err.text);
        }
    }
}

static void access_key_may_hold_slashes(void **state)
{
    const struct sigv4_header headers[] = {
        {"Authorization",
         "AWS4-HMAC-SHA256 Credential=a/b/c/20130524/r/s3/aws4_request,"
         "SignedHeaders=host,Signature=" SIGNATURE},
        {"x-amz-date", "20130524T000000Z"},
        {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}};
    struct sigv4_request r = {.method = "GET",
                              .path = "/",
                              .query = "",
                              .headers = headers,
                              .header_count = 3};
    struct sigv4_auth auth;

    (void)state;
    assert_int_equal(sigv4_parse(&r, &auth, NULL), SIGV4_OK);
    assert_string_equal(auth.access_key, "a/b/c");
    assert_string_equal(auth.region, "r");
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_UNSIGNED);
}

static void each_status_of_the_header_form_has_its_cause(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(judge_get(NULL, NULL, NULL, NOW, NULL), SIGV4_ANONYMOUS);
    assert_int_equal(judge_get(GOOD, "x-amz-date", NULL, NOW, NULL),
                     SIGV4_BAD_DATE);
    assert_int_equal(judge_get(GOOD, "x-amz-date", "yesterday", NOW, NULL),
                     SIGV4_BAD_DATE);
    assert_int_equal(judge_get(GOOD, "x-amz-content-sha256", NULL, NOW, NULL),
                     SIGV4_BAD_PAYLOAD);
    assert_int_equal(judge_get(GOOD, "x-amz-content-sha256", "", NOW, NULL),
                     SIGV4_BAD_PAYLOAD);
    assert_int_equal(
        judge_get(GOOD, "x-amz-content-sha256", EMPTY "0", NOW, NULL),
        SIGV4_BAD_PAYLOAD);
    assert_int_equal(judge_get(GOOD, "x-amz-acl", "public-read", NOW, &err),
                     SIGV4_UNSIGNED_HEADER);
    assert_non_null(strstr(err.text, "not signed: x-amz-acl"));
    assert_int_equal(judge_get(GOOD, "x-other", "1", NOW, NULL), SIGV4_OK);
    assert_int_equal(
        judge_get("AWS4-HMAC-SHA256 Credential=" ACCESS_KEY SCOPE
                  ",SignedHeaders=range;x-amz-date,Signature=" SIGNATURE,
                  NULL, NULL, NOW, NULL),
        SIGV4_UNSIGNED_HEADER);
    assert_int_equal(
        judge_get("AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
                  "/20130524/us-west-9/s3/aws4_request,SignedHeaders=" NAMES
                  ",Signature=" SIGNATURE,
                  NULL, NULL, NOW, &err),
        SIGV4_BAD_REGION);
    assert_non_null(strstr(err.text, "'us-west-9' is wrong; expecting"));
}

static void clock_may_differ_by_fifteen_minutes(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        int64_t edge = sign * (int64_t)SIGV4_SKEW_MAX_MS;
        assert_int_equal(judge_get(GOOD, NULL, NULL, NOW + edge, NULL),
                         SIGV4_OK);
        assert_int_equal(judge_get(GOOD, NULL, NULL, NOW + edge + sign, NULL),
                         SIGV4_SKEWED);
    }
}

/* ---- signing and verifying ---- */

/* Sign @r, whose header list has room for one more, and add the result. */
static void sign(struct sigv4_request *r, struct sigv4_header *headers,
                 struct buf *out)
{
    buf_clear(out);
    sigv4_sign(r, ACCESS_KEY, SECRET, "us-east-1", NOW, out);
    headers[r->header_count].name = "Authorization";
    headers[r->header_count++].value = (char *)out->data;
}

static void another_service_signs_the_hash_of_its_body(void **state)
{
    static const char other[] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    struct sigv4_header headers[4] = {{"host", "h"},
                                      {"x-amz-date", "20130524T000000Z"}};
    struct sigv4_request r = {.method = "POST",
                              .path = "/",
                              .query = "",
                              .headers = headers,
                              .header_count = 2,
                              .service = "sts",
                              .body_sha256 = EMPTY};
    struct sigv4_auth auth;
    struct buf out = {0};

    (void)state;
    sign(&r, headers, &out);
    assert_non_null(strstr((char *)out.data, "/us-east-1/sts/aws4_request"));
    assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL), SIGV4_OK);
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_SHA256);
    r.body_sha256 = other;
    assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL), SIGV4_MISMATCH);
    r.body_sha256 = EMPTY;
    r.service = NULL; /* S3 */
    assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL), SIGV4_MALFORMED);
    /* A header must say the same, and cannot say that nothing is signed. */
    r.service = "sts";
    headers[3] = (struct sigv4_header){"x-amz-content-sha256", EMPTY};
    r.header_count = 4;
    assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL), SIGV4_OK);
    headers[3].value = "UNSIGNED-PAYLOAD";
    assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL),
                     SIGV4_BAD_PAYLOAD);
    buf_free(&out);
}

static void date_header_serves_when_x_amz_date_is_missing(void **state)
{
    static const char *const dates[] = {"Fri, 24 May 2013 00:00:00 GMT",
                                        "Friday, 24-May-13 00:00:00 GMT",
                                        "20130524T000000Z"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sigv4_header headers[4] = {
            {"host", "h"},
            {"Date", dates[i]},
            {"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}};
        struct sigv4_request r = {.method = "GET",
                                  .path = "/",
                                  .query = "",
                                  .headers = headers,
                                  .header_count = 3};
        struct buf out = {0};
        struct sigv4_auth auth;
        sign(&r, headers, &out);
        assert_int_equal(judge(&r, "us-east-1", NOW, &auth, NULL), SIGV4_OK);
        buf_free(&out);
    }
}

static void headers_of_the_signature_must_not_come_twice(void **state)
{
    static const struct {
        struct sigv4_header more;
        enum sigv4_status status;
    } rows[] = {
        {{"authorization", GOOD}, SIGV4_MALFORMED},
        {{"X-AMZ-DATE", "20130524T000000Z"}, SIGV4_BAD_DATE},
        {{"x-amz-content-sha256", EMPTY}, SIGV4_BAD_PAYLOAD},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct example e = examples[0];
        struct sigv4_request r = request_of(&e);
        struct sigv4_auth auth;
        e.headers[r.header_count++] = rows[i].more;
        assert_int_equal(sigv4_parse(&r, &auth, NULL), rows[i].status);
    }
}

/* ---- presigned ---- */

static enum sigv4_status judge_query(const char *query,
                                     const struct sigv4_header *more,
                                     uint64_t now, struct sigv4_auth *auth,
                                     struct err *err)
{
    struct sigv4_header headers[3] = {{"Host", "localhost"}};
    struct sigv4_request r = {.method = "GET",
                              .path = "/b/k",
                              .query = query,
                              .headers = headers,
                              .header_count = 1};

    if (more != NULL) {
        headers[r.header_count++] = *more;
    }
    return judge(&r, "us-east-1", now, auth, err);
}

static char *presign(const char *query, uint64_t expires_s)
{
    const struct sigv4_header host = {"Host", "localhost"};
    struct sigv4_request r = {.method = "GET",
                              .path = "/b/k",
                              .query = query,
                              .headers = &host,
                              .header_count = 1};
    struct buf out = {0};
    size_t len;

    sigv4_presign(&r, ACCESS_KEY, SECRET, "us-east-1", NOW, expires_s, &out);
    return (char *)buf_take(&out, &len);
}

static void what_is_presigned_verifies_until_it_expires(void **state)
{
    static const char *const queries[] = {"", "versionId=a%2Fb&acl", "x=1&a"};
    struct sigv4_auth auth;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *q = presign(queries[i], 60);
        struct err err;
        assert_true(text_starts(q, queries[i]));
        assert_int_equal(judge_query(q, NULL, NOW, &auth, NULL), SIGV4_OK);
        assert_true(auth.presigned);
        assert_int_equal(auth.payload, SIGV4_PAYLOAD_UNSIGNED);
        assert_int_equal(judge_query(q, NULL, NOW + 60000, &auth, NULL),
                         SIGV4_OK);
        assert_int_equal(judge_query(q, NULL, NOW + 60001, &auth, &err),
                         SIGV4_EXPIRED);
        assert_string_equal(err.text, "Request has expired");
        assert_int_equal(
            judge_query(q, NULL, NOW - SIGV4_SKEW_MAX_MS, &auth, NULL),
            SIGV4_OK);
        assert_int_equal(
            judge_query(q, NULL, NOW - SIGV4_SKEW_MAX_MS - 1, &auth, NULL),
            SIGV4_NOT_YET);
        free(q);
    }
}

/* @q with the first @from replaced by @to. */
static char *replaced(const char *q, const char *from, const char *to)
{
    const char *at = strstr(q, from);

    assert_non_null(at);
    return mem_printf("%.*s%s%s", (int)(at - q), q, to, at + strlen(from));
}

static void malformed_query_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *from, *to, *reason;
    } rows[] = {
        {"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "X-Amz-Algorithm"},
        {"X-Amz-Algorithm", "X-Amz-A", "X-Amz-Algorithm"},
        {"X-Amz-Credential", "X-Amz-C", "X-Amz-Credential is missing"},
        {"us-east-1%2F", "", "KEY/DATE/REGION"},
        {"X-Amz-Date=2013", "X-Amz-Date=yesterday", "X-Amz-Date must be"},
        {"X-Amz-Date", "X-Amz-D", "X-Amz-Date must be"},
        {"X-Amz-Date=20130524T000000Z", "X-Amz-Date=20130524T000000Z%00",
         "X-Amz-Date must be"},
        {"Expires=60", "Expires=0", "X-Amz-Expires must be"},
        {"Expires=60", "Expires=604801", "X-Amz-Expires must be"},
        {"Expires=60", "Expires=-1", "X-Amz-Expires must be"},
        {"Expires=60", "Expires=", "X-Amz-Expires must be"},
        {"SignedHeaders=host", "SignedHeaders=", "X-Amz-SignedHeaders"},
        {"SignedHeaders=host", "SignedHeaders=%zz", "X-Amz-SignedHeaders"},
        {"X-Amz-Signature=", "X-Amz-Signature=0", "64 hex digits"},
        {"X-Amz-Signature=", "X-Amz-S=", "64 hex digits"},
        {"X-Amz-Date=", "X-Amz-Date=1&X-Amz-Date=", "X-Amz-Date comes twice"},
    };
    char *q = presign("", 60);
    struct sigv4_auth auth;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *bad = replaced(q, rows[i].from, rows[i].to);
        struct err err = {""};
        assert_int_equal(judge_query(bad, NULL, NOW, &auth, &err),
                         SIGV4_MALFORMED);
        if (strstr(err.text, rows[i].reason) == NULL) {
            fail_msg("%s: %s", rows[i].to, err.text);
        }
        free(bad);
    }
    free(q);
    /* Not even decodable, but meant as a signature: not anonymous. */
    assert_int_equal(judge_query("X-Amz-Signature=%zz", NULL, NOW, &auth, NULL),
                     SIGV4_MALFORMED);
    /* What old clients sign is not anonymous either. */
    assert_int_equal(judge_query("AWSAccessKeyId=A&Signature=x&Expires=1", NULL,
                                 NOW, &auth, NULL),
                     SIGV4_MALFORMED);
    assert_int_equal(judge_query("x=X-Amz-Signature", NULL, NOW, &auth, NULL),
                     SIGV4_ANONYMOUS);
}

static void signature_in_query_and_header_is_malformed(void **state)
{
    const struct sigv4_header header = {"Authorization", GOOD};
    char *q = presign("", 60);
    struct sigv4_auth auth;

    (void)state;
    assert_int_equal(judge_query(q, &header, NOW, &auth, NULL),
                     SIGV4_MALFORMED);
    free(q);
}

static void presigned_region_must_be_ours(void **state)
{
    char *q = presign("", 60);
    char *bad = replaced(q, "us-east-1", "mars-1");
    struct sigv4_auth auth;
    struct err err;

    (void)state;
    assert_int_equal(judge_query(bad, NULL, NOW, &auth, &err),
                     SIGV4_BAD_REGION);
    assert_non_null(strstr(err.text, "the region 'mars-1' is wrong"));
    free(bad);
    free(q);
}

/* Sign a query by hand for what sigv4_presign does not make. */
static char *presign_payload(const char *names, const char *more,
                             const char *payload,
                             const struct sigv4_header *header)
{
    struct sigv4_header headers[2] = {{"Host", "localhost"}};
    char *q = mem_printf(
        "%sX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" ACCESS_KEY
        "%%2F20130524%%2Fus-east-1%%2Fs3%%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60"
        "&X-Amz-SignedHeaders=%s",
        more, names);
    struct sigv4_request r = {.method = "GET",
                              .path = "/b/k",
                              .query = q,
                              .headers = headers,
                              .header_count = 1};
    char hash[65], hex[65];
    uint8_t key[32], mac[32];
    char *text, *out;

    if (header != NULL) {
        headers[r.header_count++] = *header;
    }
    /* The names in clear: the query has them escaped. */
    canonical_hash(&r, header != NULL ? "host;x-amz-content-sha256" : "host",
                   payload, hash);
    text = mem_printf("AWS4-HMAC-SHA256\n20130524T000000Z\n%s\n%s", &SCOPE[1],
                      hash);
    sigv4_signing_key(SECRET, "20130524", "us-east-1", "s3", key);
    hmac_sha256(key, 32, text, strlen(text), mac);
    out = mem_printf("%s&X-Amz-Signature=%s", q, text_hex(mac, 32, hex));
    free(text);
    free(q);
    return out;
}

static void presigned_payload_counts_only_when_it_is_signed(void **state)
{
    const struct sigv4_header hash = {"x-amz-content-sha256", EMPTY};
    const struct sigv4_header stream = {"x-amz-content-sha256",
                                        "STREAMING-UNSIGNED-PAYLOAD-TRAILER"};
    const struct sigv4_header junk = {"x-amz-content-sha256", "junk"};
    struct sigv4_auth auth;
    char *q;

    (void)state;
    /* In the query. */
    q = presign_payload("host", "X-Amz-Content-Sha256=" EMPTY "&", EMPTY, NULL);
    assert_int_equal(judge_query(q, NULL, NOW, &auth, NULL), SIGV4_OK);
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_SHA256);
    free(q);
    q = presign_payload("host", "X-Amz-Content-Sha256=&", "", NULL);
    assert_int_equal(judge_query(q, NULL, NOW, &auth, NULL), SIGV4_BAD_PAYLOAD);
    free(q);
    /* In a signed header. */
    q = presign_payload("host%3Bx-amz-content-sha256", "", EMPTY, &hash);
    assert_int_equal(judge_query(q, &hash, NOW, &auth, NULL), SIGV4_OK);
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_SHA256);
    assert_false(auth.payload_not_signed);
    free(q);
    /* In a header that is not signed: a claim, not what was signed. */
    q = presign("", 60);
    assert_int_equal(judge_query(q, &hash, NOW, &auth, NULL), SIGV4_OK);
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_SHA256);
    assert_true(auth.payload_not_signed);
    assert_string_equal(auth.payload_text, EMPTY);
    assert_int_equal(judge_query(q, &stream, NOW, &auth, NULL),
                     SIGV4_UNSIGNED_HEADER);
    assert_int_equal(judge_query(q, &junk, NOW, &auth, NULL),
                     SIGV4_BAD_PAYLOAD);
    free(q);
}

/* ---- keys and chunks ---- */

static void cached_keys_are_those_derived(void **state)
{
    struct sigv4_keys *keys = sigv4_keys_new();
    char *long_text = mem_printf("%0300d", 7);
    uint8_t got[32], want[32];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            char access[16], secret[16];
            snprintf(access, sizeof access, "user%d", i % 100);
            snprintf(secret, sizeof secret, "secret%d", i);
            sigv4_signing_key(secret, "20130524", "r", "s3", want);
            sigv4_keys_get(keys, access, secret, "20130524", "r", "s3", got);
            assert_memory_equal(got, want, 32);
        }
    }
    /* A user with a new secret does not get the old key. */
    sigv4_keys_get(keys, "u", "old", "20130524", "r", "s3", got);
    sigv4_keys_get(keys, "u", "new", "20130524", "r", "s3", got);
    sigv4_signing_key("new", "20130524", "r", "s3", want);
    assert_memory_equal(got, want, 32);
    sigv4_keys_get(keys, "u", "new", "20130525", "r", "s3", got);
    assert_memory_not_equal(got, want, 32);
    sigv4_keys_get(keys, "u", "new", "20130524", "q", "s3", got);
    assert_memory_not_equal(got, want, 32);
    sigv4_keys_get(keys, "u", "new", "20130524", "r", "s4", got);
    assert_memory_not_equal(got, want, 32);
    sigv4_keys_get(keys, "u", long_text, "20130524", "r", "s3", got);
    sigv4_signing_key(long_text, "20130524", "r", "s3", want);
    assert_memory_equal(got, want, 32);
    free(long_text);
    sigv4_keys_free(keys);
    sigv4_keys_free(NULL);
}

/* Examples 4 and 5 go on with 65536 and 1024 times 'a' and an empty chunk. */
static void published_chunk_and_trailer_signatures_follow(void **state)
{
    static const char *const chunks[2][3] = {
        {"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
         "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
         "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"},
        {"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
         "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
         "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"}};
    static const size_t lens[] = {65536, 1024, 0};
    static const char trailer[] = "x-amz-checksum-crc32c:sOO8/Q==\n";
    char *bytes = mem_alloc(65536);
    uint8_t key[32], sum[DIGEST_MAX];

    (void)state;
    memset(bytes, 'a', 65536);
    sigv4_signing_key(SECRET, "20130524", "us-east-1", "s3", key);
    for (int i = 0; i < 2; i++) {
        struct sigv4_request r = request_of(&examples[4 + i]);
        struct sigv4_auth auth;
        char previous[SIGV4_SIGNATURE_HEX + 1];
        assert_int_equal(sigv4_parse(&r, &auth, NULL), SIGV4_OK);
        strcpy(previous, auth.signature);
        for (int c = 0; c < 3; c++) {
            digest_of(DIGEST_SHA256, bytes, lens[c], sum);
            sigv4_chunk_signature(&auth, key, previous, sum);
            assert_string_equal(previous, chunks[i][c]);
        }
        sigv4_trailer_signature(&auth, key, previous, trailer, strlen(trailer));
        if (i == 1) {
            assert_string_equal(
                previous,
                "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2"
                "e435");
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples_verify),
        cmocka_unit_test(examples_with_one_change_do_not_verify),
        cmocka_unit_test(fields_may_come_in_any_order_with_or_without_blanks),
        cmocka_unit_test(malformed_authorization_is_refused_with_its_reason),
        cmocka_unit_test(access_key_may_hold_slashes),
        cmocka_unit_test(each_status_of_the_header_form_has_its_cause),
        cmocka_unit_test(clock_may_differ_by_fifteen_minutes),
        cmocka_unit_test(another_service_signs_the_hash_of_its_body),
        cmocka_unit_test(date_header_serves_when_x_amz_date_is_missing),
        cmocka_unit_test(headers_of_the_signature_must_not_come_twice),
        cmocka_unit_test(what_is_presigned_verifies_until_it_expires),
        cmocka_unit_test(malformed_query_is_refused_with_its_reason),
        cmocka_unit_test(signature_in_query_and_header_is_malformed),
        cmocka_unit_test(presigned_region_must_be_ours),
        cmocka_unit_test(presigned_payload_counts_only_when_it_is_signed),
        cmocka_unit_test(cached_keys_are_those_derived),
        cmocka_unit_test(published_chunk_and_trailer_signatures_follow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
