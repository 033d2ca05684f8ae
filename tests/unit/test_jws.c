/* test_jws.c: signed documents.
 *
 * Goal: what was signed opens and says who signed it; nothing else does.
 * Method: the key, payload and signature of RFC 8037, A.4 and A.5; every
 * character of a token changed, and every cut.
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
#include "crypto/jws.h"
#include "crypto/sign.h"

/* RFC 8037, A.1 and A.2. */
#define SEED "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define PUBLIC "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

static void seed_of(uint8_t seed[JWS_KEY])
{
    assert_true(text_unhex(SEED, strlen(SEED), seed, JWS_KEY));
}

static void the_key_of_the_rfc_comes_of_its_seed(void **state)
{
    uint8_t seed[JWS_KEY], key[JWS_KEY];
    char text[JWS_KEY_TEXT];

    (void)state;
    seed_of(seed);
    sign_public(seed, key);
    jws_key_text(key, text);
    assert_string_equal(text, PUBLIC);
}

static void a_token_that_names_no_key_is_refused(void **state)
{
    /* RFC 8037, A.4: good, but by whom? */
    static const char token[] =
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt"
        "9g7sVvpAr_MuM0KAg";
    uint8_t key[JWS_KEY];
    struct buf out = {0};

    (void)state;
    assert_int_equal(jws_open(token, strlen(token), &out, key, NULL),
                     ERR_BAD_INPUT);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void what_was_signed_opens_and_nothing_else(void **state)
{
    static const char payload[] = "{\"a\":1}";
    uint8_t seed[JWS_KEY], key[JWS_KEY], own[JWS_KEY];
    struct buf token = {0}, out = {0};

    (void)state;
    seed_of(seed);
    sign_public(seed, own);
    jws_sign(seed, payload, strlen(payload), &token);
    assert_int_equal(jws_open((char *)token.data, token.len, &out, key, NULL),
                     0);
    assert_int_equal(out.len, strlen(payload));
    assert_memory_equal(out.data, payload, out.len);
    assert_memory_equal(key, own, JWS_KEY);
    for (size_t i = 0; i < token.len; i++) {
        char *changed = mem_strndup((char *)token.data, token.len);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        buf_clear(&out);
        if (jws_open(changed, token.len, &out, key, NULL) == 0 &&
            memcmp(key, own, JWS_KEY) == 0) {
            fail_msg("character %zu", i);
        }
        assert_int_not_equal(jws_open((char *)token.data, i, &out, key, NULL),
                             0);
        free(changed);
    }
    buf_free(&token);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_of_the_rfc_comes_of_its_seed),
        cmocka_unit_test(a_token_that_names_no_key_is_refused),
        cmocka_unit_test(what_was_signed_opens_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
