/* Goal: what a joining server and the cluster say to each other decodes to what
 * was encoded, and no other bytes do harm or pass for it.
 * Method: full examples; every cut of them; each byte changed in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/join_wire.h"
#include "crypto/root_key.h"

static void question(struct join_question *q)
{
    memset(q, 0, sizeof *q);
    q->token = mem_strdup("gwj1.token");
    q->name = mem_strdup("node-b");
    q->address = mem_strdup("127.0.0.1:9101");
    q->endpoint = mem_strdup("http://127.0.0.1:9001");
    q->zone = mem_strdup("z2");
    q->roles = 7;
    q->drive_count = 3;
    q->drives[0] = (struct command_drive){.weight = 1000, .uuid = {1}};
    q->drives[1] = (struct command_drive){.weight = 2000, .uuid = {2}};
    q->drives[2] = (struct command_drive){.weight = 1, .uuid = {3, 4}};
    buf_printf(&q->request, "%s", "-----BEGIN");
}

static void answer(struct join_answer *a)
{
    memset(a, 0, sizeof *a);
    a->server = 2;
    buf_printf(&a->ca_cert, "%s", "ca");
    buf_printf(&a->cert, "%s", "cert");
    buf_printf(&a->master_key, "%032d", 7);
    a->access_key = mem_strdup("AK");
    a->secret_key = mem_strdup("SK");
    a->drive_count = 3;
    a->drives[0] = 7;
    a->drives[1] = 0x1234;
    a->drives[2] = JOIN_NO_DRIVE;
    a->server_count = 1;
    a->servers = mem_calloc(1, sizeof *a->servers);
    a->servers[0] = (struct join_server){1, mem_strdup("127.0.0.1:9100")};
}

static void a_question_comes_back_as_it_was(void **state)
{
    struct join_question q, got;
    struct buf b = {0};
    struct err err;

    (void)state;
    question(&q);
    join_question_encode(&q, &b);
    assert_int_equal(join_question_decode(b.data, b.len, &got, &err), 0);
    assert_string_equal(got.token, q.token);
    assert_string_equal(got.name, q.name);
    assert_string_equal(got.address, q.address);
    assert_string_equal(got.endpoint, q.endpoint);
    assert_string_equal(got.zone, q.zone);
    assert_int_equal(got.roles, 7);
    assert_int_equal(got.drive_count, 3);
    assert_memory_equal(got.drives, q.drives, 3 * sizeof q.drives[0]);
    assert_int_equal(got.request.len, q.request.len);
    join_question_free(&got);
    join_question_free(&q);
    buf_free(&b);
}

static void an_answer_comes_back_as_it_was(void **state)
{
    struct join_answer a, got;
    struct buf b = {0};
    struct err err;

    (void)state;
    answer(&a);
    join_answer_encode(&a, &b);
    assert_int_equal(join_answer_decode(b.data, b.len, &got, &err), 0);
    assert_int_equal(got.server, 2);
    assert_int_equal(got.ca_key.len, 0);
    assert_int_equal(got.master_key.len, ROOT_KEY);
    assert_memory_equal(got.ca_cert.data, "ca", 2);
    assert_memory_equal(got.cert.data, "cert", 4);
    assert_string_equal(got.access_key, "AK");
    assert_string_equal(got.secret_key, "SK");
    assert_int_equal(got.drive_count, 3);
    assert_memory_equal(got.drives, a.drives, 3 * sizeof a.drives[0]);
    assert_int_equal(got.server_count, 1);
    assert_int_equal(got.servers[0].id, 1);
    assert_string_equal(got.servers[0].address, "127.0.0.1:9100");
    join_answer_free(&got);
    join_answer_free(&a);
    buf_free(&b);
}

static void what_is_cut_or_longer_is_refused(void **state)
{
    struct join_question q, gq;
    struct join_answer a, ga;
    struct buf b = {0};
    struct err err;

    (void)state;
    question(&q);
    join_question_encode(&q, &b);
    for (size_t n = 0; n < b.len; n++) {
        int rc = join_question_decode(b.data, n, &gq, &err);
        assert_int_equal(rc, n == 0 ? ERR_VERSION : ERR_BAD_INPUT);
        assert_true(err.text[0] != '\0');
    }
    buf_char(&b, 'x');
    assert_int_equal(join_question_decode(b.data, b.len, &gq, &err),
                     ERR_BAD_INPUT);
    buf_free(&b);
    answer(&a);
    join_answer_encode(&a, &b);
    for (size_t n = 0; n < b.len; n++) {
        assert_int_not_equal(join_answer_decode(b.data, n, &ga, &err), 0);
    }
    buf_char(&b, 'x');
    assert_int_equal(join_answer_decode(b.data, b.len, &ga, &err),
                     ERR_BAD_INPUT);
    buf_free(&b);
    join_question_free(&q);
    join_answer_free(&a);
}

/* Raise the first u16 that is @count by one, wherever it is. */
static void raise_count(struct buf *b, uint8_t count)
{
    for (size_t i = 0; i + 1 < b->len; i++) {
        if (b->data[i] == count && b->data[i + 1] == 0) {
            b->data[i]++;
            return;
        }
    }
    fail_msg("no count of %u", count);
}

static void counts_over_the_limits_are_refused(void **state)
{
    struct join_question q;
    struct join_answer a;
    struct buf b = {0};
    struct err err;

    (void)state;
    question(&q);
    q.drive_count = JOIN_DRIVES_MAX;
    join_question_encode(&q, &b);
    raise_count(&b, JOIN_DRIVES_MAX);
    join_question_free(&q);
    assert_int_equal(join_question_decode(b.data, b.len, &q, &err),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "drives"));
    buf_free(&b);
    answer(&a);
    a.drive_count = JOIN_DRIVES_MAX;
    join_answer_encode(&a, &b);
    raise_count(&b, JOIN_DRIVES_MAX);
    join_answer_free(&a);
    assert_int_equal(join_answer_decode(b.data, b.len, &a, &err),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "drives"));
    buf_free(&b);
}

static void any_changed_byte_is_survived(void **state)
{
    struct join_answer a, got;
    struct buf b = {0};
    struct err err;

    (void)state;
    answer(&a);
    join_answer_encode(&a, &b);
    for (size_t i = 0; i < b.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b.data[i] ^= (uint8_t)(1 << bit);
            if (join_answer_decode(b.data, b.len, &got, &err) == 0) {
                join_answer_free(&got);
            }
            b.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    join_answer_free(&a);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_comes_back_as_it_was),
        cmocka_unit_test(an_answer_comes_back_as_it_was),
        cmocka_unit_test(what_is_cut_or_longer_is_refused),
        cmocka_unit_test(counts_over_the_limits_are_refused),
        cmocka_unit_test(any_changed_byte_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
