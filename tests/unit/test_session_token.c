/* test_session_token.c: temporary credentials as bytes.
 *
 * Goal: what was sealed opens, by the same root key only; a token with any bit
 * changed, cut or longer does not; keys follow from root key and id alone.
 * Method: sweeps over every bit and length; the derivations of the header once
 * more, by hand.
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
#include "crypto/prim.h"
#include "gateway/session_token.h"

static const uint8_t root[ROOT_KEY] = {1, 2, 3};
static const uint8_t id[SESSION_ID] = {0xff, 0, 0x80, 7, 9};

static struct session_claims claims(size_t policy_len)
{
    struct session_claims c = {.made_ms = 1000,
                               .expires_ms = 5000,
                               .kind = SESSION_ASSUMED,
                               .access_key = "ALICEKEY",
                               .user = "alice",
                               .mark = {7},
                               .name = "a-session",
                               .policy_len = policy_len};

    memset(c.policy, 'p', policy_len);
    return c;
}

static void what_was_sealed_opens(void **state)
{
    static const size_t lens[] = {0, 1, 100, SESSION_POLICY_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct session_claims c = claims(lens[i]), got;
        uint8_t got_id[SESSION_ID];
        struct buf token = {0};
        session_token_seal(root, id, &c, &token);
        assert_true(token.len <= SESSION_TOKEN_MAX);
        assert_int_equal(
            session_token_open(root, (char *)token.data, got_id, &got, NULL),
            0);
        assert_memory_equal(got_id, id, sizeof id);
        assert_memory_equal(&got, &c, sizeof c);
        buf_free(&token);
    }
}

static void the_largest_claims_fit(void **state)
{
    struct session_claims c = claims(SESSION_POLICY_MAX), got;
    uint8_t got_id[SESSION_ID];
    struct buf token = {0};

    (void)state;
    memset(c.access_key, 'k', sizeof c.access_key - 1);
    memset(c.user, 'u', sizeof c.user - 1);
    memset(c.name, 'n', sizeof c.name - 1);
    session_token_seal(root, id, &c, &token);
    assert_int_equal(
        session_token_open(root, (char *)token.data, got_id, &got, NULL), 0);
    assert_string_equal(got.access_key, c.access_key);
    assert_string_equal(got.name, c.name);
    buf_free(&token);
}

static int opens(const uint8_t *with, const char *token)
{
    struct session_claims got;
    uint8_t got_id[SESSION_ID];
    struct err err = {{0}};
    int rc = session_token_open(with, token, got_id, &got, &err);

    assert_true(rc == 0 || err.text[0] != '\0');
    return rc;
}

static void no_other_token_opens(void **state)
{
    static const uint8_t other[ROOT_KEY] = {1, 2, 4};
    struct session_claims c = claims(40);
    struct buf token = {0};
    char *text, *bad;
    size_t len;

    (void)state;
    session_token_seal(root, id, &c, &token);
    text = (char *)buf_take(&token, &len);
    assert_int_equal(opens(other, text), ERR_BAD_INPUT);
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        for (int bit = 0; bit < 7; bit++) {
            text[i] = (char)(was ^ 1 << bit);
            assert_int_equal(opens(root, text), ERR_BAD_INPUT);
        }
        text[i] = '\0'; /* and cut there */
        assert_int_equal(opens(root, text), ERR_BAD_INPUT);
        text[i] = was;
    }
    bad = mem_printf("%sAAAA", text);
    assert_int_equal(opens(root, bad), ERR_BAD_INPUT);
    free(bad);
    bad = mem_alloc(100001);
    memset(bad, 'A', 100000);
    assert_int_equal(opens(root, bad), ERR_BAD_INPUT);
    free(bad);
    assert_int_equal(opens(root, text), 0);
    free(text);
}

static void claims_have_one_form(void **state)
{
    struct session_claims c = claims(5), got;
    struct buf b = {0};

    (void)state;
    session_claims_put(&b, &c);
    for (size_t len = 0; len < b.len; len++) {
        assert_int_equal(session_claims_read(b.data, len, &got, NULL),
                         ERR_BAD_INPUT);
    }
    assert_int_equal(session_claims_read(b.data, b.len, &got, NULL), 0);
    b.data[16] = SESSION_KINDS;
    assert_int_equal(session_claims_read(b.data, b.len, &got, NULL),
                     ERR_BAD_INPUT);
    b.data[16] = SESSION_PLAIN;
    b.data[21] = '\0'; /* within the access key */
    assert_int_equal(session_claims_read(b.data, b.len, &got, NULL),
                     ERR_BAD_INPUT);
    buf_free(&b);
    c.user[0] = '\0';
    session_claims_put(&b, &c);
    assert_int_equal(session_claims_read(b.data, b.len, &got, NULL),
                     ERR_BAD_INPUT);
    buf_free(&b);
}

static void keys_follow_from_root_and_id(void **state)
{
    static const char info[] = "godwit session secret 1";
    struct session_keys k, other;
    uint8_t prk[PRIM_SHA256], secret[30], other_id[SESSION_ID] = {1};
    char text[TEXT_BASE64_MAX(30)];

    (void)state;
    session_keys(root, id, &k);
    /* ff 00 80 07 09 00.. by RFC 4648 */
    assert_string_equal(k.access_key, "ASIA74AIABYJAAAAAAAA");
    assert_true(session_key_is(k.access_key));
    assert_false(session_key_is("GWABC"));
    prim_hkdf_extract(id, sizeof id, root, sizeof root, prk);
    prim_hkdf_expand(prk, info, strlen(info), secret, sizeof secret);
    assert_string_equal(k.secret_key, text_base64(secret, 30, text));
    session_keys(root, other_id, &other);
    assert_string_not_equal(k.secret_key, other.secret_key);
    assert_string_not_equal(k.access_key, other.access_key);
}

static void marks_are_of_secret_and_session(void **state)
{
    uint8_t a[SESSION_MARK], b[SESSION_MARK], other_id[SESSION_ID] = {1};

    (void)state;
    session_mark(root, id, "secret", a);
    session_mark(root, id, "secret", b);
    assert_memory_equal(a, b, sizeof a);
    session_mark(root, id, "secres", b);
    assert_memory_not_equal(a, b, sizeof a);
    session_mark(root, other_id, "secret", b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens),
        cmocka_unit_test(the_largest_claims_fit),
        cmocka_unit_test(no_other_token_opens),
        cmocka_unit_test(claims_have_one_form),
        cmocka_unit_test(keys_follow_from_root_and_id),
        cmocka_unit_test(marks_are_of_secret_and_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
