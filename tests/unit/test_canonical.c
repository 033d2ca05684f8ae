/* test_canonical.c: the canonical request of SigV4.
 *
 * Goal: the same canonical text as AWS and its clients, whatever the path,
 * query and headers.
 * Method: texts written by hand, compared by their hash; vectors made with
 * botocore 1.29 (region eu-west-1, host s3.example.com, 20130524T000000Z, the
 * credentials of the S3 documentation) for odd paths, queries and headers;
 * signing against verifying.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/canonical.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define ACCESS_KEY "AKIAIOSFODNN7EXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define NOW 1369353600000u /* 20130524T000000Z */
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static enum sigv4_status judge(const struct sigv4_request *r,
                               const char *region)
{
    uint8_t key[32];
    struct sigv4_auth auth;
    enum sigv4_status s = sigv4_parse(r, &auth, NULL);

    if (s != SIGV4_OK) {
        return s;
    }
    sigv4_signing_key(SECRET, auth.date, region, auth.service, key);
    return sigv4_verify(r, &auth, region, key, NOW, NULL);
}

/* ---- the text itself ---- */

/* The hash of @r is that of @text. */
static void check_text(const struct sigv4_request *r, const char *names,
                       const char *text)
{
    char got[65], want[65];
    uint8_t sum[DIGEST_MAX];

    canonical_hash(r, names, "P", got);
    digest_of(DIGEST_SHA256, text, strlen(text), sum);
    assert_string_equal(got, text_hex(sum, 32, want));
}

static void check_query(const char *query, const char *canonical)
{
    struct sigv4_request r = {.method = "GET",
                              .path = "/",
                              .query = query,
                              .headers = NULL,
                              .header_count = 0};
    char *text = mem_printf("GET\n/\n%s\n\n\nP", canonical);

    check_text(&r, "", text);
    free(text);
}

static void query_is_sorted_by_encoded_name_then_value(void **state)
{
    (void)state;
    check_query("", "");
    check_query("&&", "");
    check_query("acl", "acl=");
    check_query("acl=", "acl=");
    check_query("b&a", "a=&b=");
    check_query("a=2&a=1&a&a=10", "a=&a=1&a=10&a=2");
    check_query("a=1=2", "a=1%3D2");
    /* By bytes of the encoded name: '%' before '-' before digits. */
    check_query("a0=&a-=&a%2F=&a=&a.=&aa=&aA=&A=",
                "A=&a=&a%2F=&a-=&a.=&a0=&aA=&aa=");
    /* The name decides before '=': "a=z" stands before "a-b". */
    check_query("a-b=1&a=z", "a=z&a-b=1");
    check_query("X-Amz-Signature=1&X-Amz-SignatureX=2&x=3",
                "X-Amz-SignatureX=2&x=3");
}

static void query_is_decoded_once_and_encoded_once(void **state)
{
    (void)state;
    check_query("k=a%2fb%7E%c3%bc", "k=a%2Fb~%C3%BC");
    check_query("k=a/b+c d", "k=a%2Fb%2Bc%20d");
    check_query("k=%2525", "k=%2525");
    check_query("%6b=v", "k=v");
    /* What is badly escaped stays as it is. */
    check_query("k=%zz", "k=%zz");
    check_query("k=a%2", "k=a%2");
    check_query("%=%&b", "%=%&b=");
}

static void check_path(const char *path, const char *canonical)
{
    struct sigv4_request r = {.method = "GET",
                              .path = path,
                              .query = "",
                              .headers = NULL,
                              .header_count = 0};
    char *text = mem_printf("GET\n%s\n\n\n\nP", canonical);

    check_text(&r, "", text);
    free(text);
}

static void path_is_decoded_once_and_encoded_once(void **state)
{
    (void)state;
    check_path("", "/");
    check_path("/", "/");
    check_path("//a/./../b/", "//a/./../b/");
    check_path("/a%20b%2Fc+d$", "/a%20b/c%2Bd%24");
    check_path("/%e2%82%ac", "/%E2%82%AC");
    check_path("/%2525", "/%2525");
    check_path("/a%b c", "/a%b c");
    check_path("/-_.~azAZ09", "/-_.~azAZ09");
}

static void check_value(const char *value, const char *canonical)
{
    struct sigv4_header h[] = {{"N", "no"}, {"Name", value}, {"Names", "no"}};
    struct sigv4_request r = {.method = "GET",
                              .path = "/",
                              .query = "",
                              .headers = h,
                              .header_count = 3};
    char *text = mem_printf("GET\n/\n\nname:%s\n\nname\nP", canonical);

    check_text(&r, "name", text);
    free(text);
}

static void header_values_are_trimmed_and_folded(void **state)
{
    (void)state;
    check_value("", "");
    check_value("   \t ", "");
    check_value("a", "a");
    check_value("  a  ", "a");
    check_value("a  b   c", "a b c");
    check_value("\ta\tb \t c\t", "a b c");
    check_value("\"a  b\"", "\"a b\"");
    check_value("a,  b", "a, b");
}

static void signed_name_without_a_header_is_empty(void **state)
{
    struct sigv4_header h = {"Host", "h"};
    struct sigv4_request r = {.method = "GET",
                              .path = "/",
                              .query = "",
                              .headers = &h,
                              .header_count = 1};

    (void)state;
    check_text(&r, "host;x", "GET\n/\n\nhost:h\nx:\n\nhost;x\nP");
}

static void long_texts_hash_as_short_ones_do(void **state)
{
    /* Around and far above the buffer on the way to the hash. */
    static const size_t lens[] = {900,  1015, 1016, 1017,
                                  1023, 1024, 1025, 9999};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        char *run = mem_alloc(lens[i] + 1);
        char *path = mem_printf("/%0*d", (int)lens[i], 0);
        char *query = mem_printf("%0*d=", (int)lens[i], 0);
        memset(run, 'r', lens[i]);
        check_value(run, run);
        check_query(query, query);
        free(query);
        check_path(path, path);
        free(path);
        free(run);
    }
}

/* ---- vectors by botocore ---- */

static const struct vector {
    const char *method, *path, *query;
    struct sigv4_header headers[3];
    const char *names, *signature;
    const char *presign_query, *presign_signature;
} vectors[] = {
    {"GET",
     "/",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "dace463f9e6b9503cdd44666f7c418d53fa9cf60d3f9ad392fe73c7dd564b24d",
     "",
     "7266110d8818fb5d2b4f791b23a819cd0e57185ca77a2d10eaa6324690e0b222"},
    {"GET",
     "/bucket/key",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "83deaa529af8ef1d3f21a470f8e23dc0a0bccf5f6c4210ad1dfcb94c2ce18138",
     "",
     "1a14ec555be156881b71619fd83fb8812be0ea3d591788397c539c2618ff65c9"},
    {"GET",
     "/bucket/a%20b",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "fe556f03fe9f97c5452032f2aa2550ee85d291638332f547fd796eee976c098b",
     "",
     "1bb33f46508b7594c68387298e17e77d0ff8334d3bb384b055b94cdbcdf6ca0d"},
    {"GET",
     "/bucket/a%2Bb%26c%3Dd",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "276a3af9dc2f433585b3ef052b2ac3b8f358b3bc93ce4683cd3ceb3bef9a6b00",
     "",
     "a74643b694864a6980bcd4946c95966bb3157d1de48711ae4cc46878442c6ed4"},
    {"GET",
     "/bucket//double//slash/",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "0562be45b5c4392dee0a3d54835c5ee5744541a9c2ad203b370de99f8dfbe6b1",
     "",
     "2ee63d33335ce17419c3e5ef659b4d14d92e5a92945eb63b3cc7457d239cf848"},
    {"GET",
     "/bucket/./a/../b",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "5e902228f19c16ac56419590edd4c2c544e75e691b678e508fcab1c6058d68bb",
     "",
     "a667affd124214497af8a440683b527b732470f448e63b5f16553da766897a09"},
    {"GET",
     "/bucket/%E2%82%AC/%F0%9F%90%A6",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "74673b8f84bd9caeda23c2849322eaa0b92955ac4f0ee4972101e7466b897533",
     "",
     "3b7e6da48f169038efde69c3b8edb0825abd55a1a8fd05b1f65d64acfa69f8ec"},
    {"PUT",
     "/bucket/~tilde-_.%21%2A%27%28%29",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "52dfa1b8fd35f93923b8947612a07777d317ea24cb767c1b4874077a0da398e2",
     "",
     "7277ab31b881ccd6d8ec634eac26decf5806c15940782a0a59698465b986a909"},
    {"GET",
     "/bucket/%2525",
     "",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "2c642fb6d7f1d64173804ece162b80c03af466d9e5324d0c3ac7a20bb279ff91",
     "",
     "c529df396f1e6a00e8962e15ff5402d0f1b74f83a3ec65e3f8122966725c7fa7"},
    {"GET",
     "/bucket",
     "list-type=2&prefix=&delimiter=%2F",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "e3cd42c0cf1e02eee80fad11fb572310cba4d54ec71da3630df5f5044c9055ad",
     "list-type=2&prefix=&delimiter=%2F&",
     "70c46712ff7754431d7cc7a84316b12cb4f9c84bdec0447e7c1568b179e144b9"},
    {"GET",
     "/bucket",
     "acl",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "ea55306bb05af44896af3885b18cdd5d58e2303c6609d29b5d8afbfa98e3ac85",
     "acl=&",
     "35a2416cfcfc00b48df958aecbb94c901eb8c63abf2f9fafff748df049a84e0c"},
    {"GET",
     "/bucket",
     "prefix=b&prefix=a&a=2&a=1&A=3",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "2eb7ac936e9529e62b0c0d5be65533555e25db22c54ef155557e04fe9ff1af13",
     "prefix=b&a=2&A=3&",
     "f53dab0a218229f59b27d6efa542c5ae24d2d0b3b092552bcce9eb3077190210"},
    {"GET",
     "/bucket",
     "a-b=1&a=2&a.b=3&a_b=4&a~=5&aa=6",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "c81841193a6fec60d9e16ce3e2637de629605e4b0e751a7a3194d6d8a8055a2c",
     "a-b=1&a=2&a.b=3&a_b=4&a~=5&aa=6&",
     "3befb52fef785f189902dcf20d7cb0262119232f5d2acde24deba5a57cdaba20"},
    {"GET",
     "/bucket",
     "uploads&max-uploads=2&key-marker=%C3%A9",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "96373b39fcab32f03976d4901501627e345dbf2f2773534c6eb08bb4eba819e8",
     "uploads=&max-uploads=2&key-marker=%C3%A9&",
     "1c30dadb425938ffb41f56772b278b6843885f9f3b31b6c578bc98741898855d"},
    {"GET",
     "/bucket/key",
     "versionId=a%2Fb%3D%3D&partNumber=1",
     {{NULL, NULL}},
     "host;x-amz-content-sha256;x-amz-date",
     "bab92c7a01e983f0c2b4ea3588b6ec80906c037acec6ba1167168a7775b90501",
     "versionId=a%2Fb%3D%3D&partNumber=1&",
     "6635bad3e5b8e2edeb219094ab843bbb24506d3b0ffcd746955a34ff194609ee"},
    {"POST",
     "/bucket",
     "delete",
     {{"Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="}},
     "content-md5;host;x-amz-content-sha256;x-amz-date",
     "32600fa83a7c26643d910175403a8b535c674669148d24f8aab9746ed36a0550",
     "delete=&",
     "1e73afb694fdf34e543298b5ec2cec6c41f78f1525384e3d076b933902b990b0"},
    {"PUT",
     "/bucket/key",
     "",
     {{"X-Amz-Meta-One", "  spaces   in  the middle  "},
      {"x-amz-meta-two", ""},
      {"Content-Type", "text/plain; charset=utf-8"}},
     "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-one;x-amz-"
     "meta-two",
     "8a0c91e269f1a512a9f2ea834a6537cfab01ad1eb038010db05b842367f6e60c",
     "",
     "f4624b1c21243d2b6d8a570df114f828b06c0077a3f289725f04f25045df81b7"},
    {"PUT",
     "/bucket/key",
     "",
     {{"x-amz-meta-tab", "a\tb \t c"}},
     "host;x-amz-content-sha256;x-amz-date;x-amz-meta-tab",
     "5215fd7f2fc04e5888ec53e17d61061b1259ea2a671b3b87357f28583abb56b9",
     "",
     "f4624b1c21243d2b6d8a570df114f828b06c0077a3f289725f04f25045df81b7"},
    {"PUT",
     "/bucket/key",
     "",
     {{"x-amz-meta-quoted", "\"a   b\""}},
     "host;x-amz-content-sha256;x-amz-date;x-amz-meta-quoted",
     "a8607ee9fd7f8823f04f2bdeb5469864a75e0908ccf8e7bcc4ebed977ba2866d",
     "",
     "f4624b1c21243d2b6d8a570df114f828b06c0077a3f289725f04f25045df81b7"},
    {"PUT",
     "/bucket/key",
     "",
     {{"x-amz-acl", "private"}, {"x-amz-copy-source", "/b/k%20x?versionId=1"}},
     "host;x-amz-acl;x-amz-content-sha256;x-amz-copy-source;x-amz-date",
     "3da3b900e83f074573af4edd20dd2cd11ab60f43cb8393e55149f1263ed5cb3a",
     "",
     "f4624b1c21243d2b6d8a570df114f828b06c0077a3f289725f04f25045df81b7"},
};
#define VECTORS (sizeof vectors / sizeof vectors[0])
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static void requests_signed_by_botocore_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        bool has_body = v->method[0] == 'P';
        char *authorization =
            mem_printf("AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
                       "/20130524/eu-west-1/s3/aws4_request, SignedHeaders=%s, "
                       "Signature=%s",
                       v->names, v->signature);
        struct sigv4_header headers[7] = {
            {"Host", "s3.example.com"},
            {"X-Amz-Date", "20130524T000000Z"},
            {"X-Amz-Content-SHA256", has_body ? HELLO : EMPTY},
            {"Authorization", authorization},
        };
        struct sigv4_request r = {.method = v->method,
                                  .path = v->path,
                                  .query = v->query,
                                  .headers = headers,
                                  .header_count = 4};
        for (size_t h = 0; h < 3 && v->headers[h].name != NULL; h++) {
            headers[r.header_count++] = v->headers[h];
        }
        if (judge(&r, "eu-west-1") != SIGV4_OK) {
            fail_msg("%s %s?%s", v->method, v->path, v->query);
        }
        free(authorization);
    }
}

static void urls_presigned_by_botocore_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        const struct vector *v = &vectors[i];
        char *query = mem_printf(
            "%sX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" ACCESS_KEY
            "%%2F20130524%%2Feu-west-1%%2Fs3%%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=3600"
            "&X-Amz-SignedHeaders=host&X-Amz-Signature=%s",
            v->presign_query, v->presign_signature);
        const struct sigv4_header host = {"host", "s3.example.com"};
        struct sigv4_request r = {.method = v->method,
                                  .path = v->path,
                                  .query = query,
                                  .headers = &host,
                                  .header_count = 1};
        if (judge(&r, "eu-west-1") != SIGV4_OK) {
            fail_msg("%s %s?%s", v->method, v->path, v->presign_query);
        }
        free(query);
    }
}

/* ---- signing and verifying ---- */

static const struct sigv4_header base_headers[] = {
    {"Host", "localhost:9000"},
    {"X-Amz-Date", "20130524T000000Z"},
    {"X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"},
};

/* Sign @r, whose header list has room for one more, and add the result. */
static void sign(struct sigv4_request *r, struct sigv4_header *headers,
                 struct buf *out)
{
    buf_clear(out);
    sigv4_sign(r, ACCESS_KEY, SECRET, "us-east-1", NOW, out);
    headers[r->header_count].name = "Authorization";
    headers[r->header_count++].value = (char *)out->data;
}

static void what_is_signed_verifies(void **state)
{
    static const char *const paths[] = {"/", "", "/b/%20%2F/..//%C3%BC",
                                        "/b/bad%escape", "/b/100%"};
    static const char *const queries[] = {
        "",           "a",       "a=&b", "b=2&a=1&a=&a",  "x=%zz&%=1",
        "&&a=1&&b=2", "a=1=2=3", "=v",   "a%20b=c%20d+e", "A=1&a=1&%41=2"};
    struct sigv4_header headers[8];
    struct buf out = {0};

    (void)state;
    for (size_t p = 0; p < sizeof paths / sizeof paths[0]; p++) {
        for (size_t q = 0; q < sizeof queries / sizeof queries[0]; q++) {
            struct sigv4_request r = {.method = "PUT",
                                      .path = paths[p],
                                      .query = queries[q],
                                      .headers = headers,
                                      .header_count = 3};
            memcpy(headers, base_headers, sizeof base_headers);
            sign(&r, headers, &out);
            assert_int_equal(judge(&r, "us-east-1"), SIGV4_OK);
        }
    }
    buf_free(&out);
}

static void headers_of_one_name_join_in_the_order_sent(void **state)
{
    struct sigv4_header headers[8] = {{"X-Amz-Meta-A", " one "},
                                      {"Host", "localhost:9000"},
                                      {"x-amz-meta-a", "two  three"},
                                      {"X-Amz-Date", "20130524T000000Z"},
                                      {"x-amz-content-sha256", EMPTY}};
    struct sigv4_header joined[8] = {{"x-amz-meta-a", "one,two three"},
                                     {"Host", "localhost:9000"},
                                     {"X-Amz-Date", "20130524T000000Z"},
                                     {"x-amz-content-sha256", EMPTY}};
    struct sigv4_request r = {.method = "GET",
                              .path = "/",
                              .query = "",
                              .headers = headers,
                              .header_count = 5};
    struct sigv4_request j = {.method = "GET",
                              .path = "/",
                              .query = "",
                              .headers = joined,
                              .header_count = 4};
    struct buf out = {0};

    (void)state;
    sign(&r, headers, &out);
    assert_non_null(strstr((char *)out.data,
                           "SignedHeaders=host;x-amz-content-sha256;"
                           "x-amz-date;x-amz-meta-a,"));
    assert_int_equal(judge(&r, "us-east-1"), SIGV4_OK);
    joined[j.header_count++] = headers[5];
    assert_int_equal(judge(&j, "us-east-1"), SIGV4_OK);
    headers[0] = (struct sigv4_header){"x-amz-meta-a", "two three"};
    headers[2] = (struct sigv4_header){"x-amz-meta-a", "one"};
    assert_int_equal(judge(&r, "us-east-1"), SIGV4_MISMATCH);
    buf_free(&out);
}

static void any_number_of_headers_and_parameters_verifies(void **state)
{
    enum { MANY = 200 };
    struct sigv4_header *headers = mem_calloc(MANY + 4, sizeof *headers);
    struct buf query = {0}, out = {0};
    struct sigv4_request r = {.method = "GET",
                              .path = "/",
                              .query = NULL,
                              .headers = headers,
                              .header_count = MANY + 3};

    (void)state;
    memcpy(headers, base_headers, sizeof base_headers);
    for (unsigned i = 0; i < MANY; i++) {
        headers[i + 3].name = mem_printf("x-amz-meta-%u", i * 7919 % MANY);
        headers[i + 3].value = "v";
        buf_printf(&query, "&p%u=%u", i * 104729 % MANY, i);
    }
    r.query = (char *)query.data;
    sign(&r, headers, &out);
    assert_int_equal(judge(&r, "us-east-1"), SIGV4_OK);
    for (unsigned i = 0; i < MANY; i++) {
        free((char *)(uintptr_t)headers[i + 3].name);
    }
    free(headers);
    buf_free(&query);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_is_sorted_by_encoded_name_then_value),
        cmocka_unit_test(query_is_decoded_once_and_encoded_once),
        cmocka_unit_test(path_is_decoded_once_and_encoded_once),
        cmocka_unit_test(header_values_are_trimmed_and_folded),
        cmocka_unit_test(signed_name_without_a_header_is_empty),
        cmocka_unit_test(long_texts_hash_as_short_ones_do),
        cmocka_unit_test(requests_signed_by_botocore_verify),
        cmocka_unit_test(urls_presigned_by_botocore_verify),
        cmocka_unit_test(what_is_signed_verifies),
        cmocka_unit_test(headers_of_one_name_join_in_the_order_sent),
        cmocka_unit_test(any_number_of_headers_and_parameters_verifies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
