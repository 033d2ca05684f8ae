/* Goal: any server gets certificates for its https port and for devices,
 * also where the CA's key is not; strangers and odd questions get none.
 * Method: whole servers in one process on loopback.
 */
#include "base/fs.h"
#include "base/wire.h"
#include "cluster/identity.h"
#include "tests/lib/cluster_world.h"

#define ISSUE 5

static const char *const names[] = {"localhost", "127.0.0.1"};

static void any_server_gets_them(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    struct buf key = {0}, request = {0}, cert = {0}, ca = {0};
    char *path;
    struct pki_cert info;
    struct err err = {{0}};

    b->roles = CLUSTER_ROLE_GATEWAY | CLUSTER_ROLE_NODE;
    found(w);
    join(w, 2, 2, 1);
    assert_false(exists(b, "ca.key"));
    path = mem_printf("%s/identity/ca.crt", b->data);
    assert_int_equal(fs_read(path, PKI_PEM_MAX, &ca, NULL), 0);
    free(path);
    assert_int_equal(pki_request_new(&key, &request, NULL), 0);
    for (int i = 1; i <= 2; i++) {
        struct cluster *c = w->sites[i].cluster;
        if (cluster_issue_device(c, request.data, request.len, 77, &cert,
                                 &err) != 0) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(pki_cert_read(cert.data, cert.len, &info, NULL), 0);
        assert_int_equal(info.device, 77);
        buf_free(&cert);
        assert_int_equal(
            cluster_issue_https(c, &request, names, 2, &cert, &err), 0);
        assert_int_equal(pki_cert_read(cert.data, cert.len, &info, NULL), 0);
        assert_true(info.https);
        buf_free(&cert);
        assert_int_equal(cluster_issue_device(c, "no", 2, 77, &cert, &err),
                         ERR_BAD_INPUT);
        assert_int_equal(cert.len, 0);
        assert_non_null(strstr(err.text, "PEM"));
        assert_int_equal(cluster_sign_policy(c, "{}", 2, &cert, &err), 0);
        assert_int_equal(
            pki_verify_policy(&ca, "{}", 2, cert.data, cert.len, &err), 0);
        buf_free(&cert);
    }
    buf_wipe(&key);
    buf_free(&request);
    buf_free(&ca);
}

static int ask(struct site *from, const struct buf *question)
{
    struct net_call c = {.service = NET_CLUSTER,
                         .type = ISSUE,
                         .head = question->data,
                         .head_len = question->len,
                         .timeout_ms = 10000};
    int rc = net_call_wait(cluster_net(from->cluster), 1, &c);

    buf_free(&c.reply_head);
    buf_free(&c.reply_body);
    return rc;
}

/* What is wrong, of all that a question holds. */
enum { NOTHING, KIND, NUMBER, COUNT, NO_NAME, BAD_NAME, CUT, TAIL, WRONGS };

static void put_question(struct buf *q, const struct buf *request, int wrong)
{
    put_u8(q, wrong == KIND ? 4 : 1);
    put_u64(q, wrong == NUMBER ? 5 : 0);
    put_blob(q, request->data, request->len);
    put_u32(q, wrong == COUNT ? PKI_NAMES_MAX + 1 : 1);
    put_text(q, wrong == NO_NAME ? NULL : wrong == BAD_NAME ? "a,b" : "a.b");
    q->len -= wrong == CUT;
    if (wrong == TAIL) {
        put_u8(q, 0);
    }
}

static void odd_questions_are_refused(void **state)
{
    struct world *w = *state;
    struct buf key = {0}, request = {0};

    found(w);
    join(w, 2, 2, 1);
    assert_int_equal(pki_request_new(&key, &request, NULL), 0);
    for (int wrong = NOTHING; wrong < WRONGS; wrong++) {
        struct buf q = {0};
        put_question(&q, &request, wrong);
        assert_int_equal(ask(&w->sites[2], &q),
                         wrong == NOTHING ? 0 : ERR_BAD_INPUT);
        buf_free(&q);
    }
    buf_wipe(&key);
    buf_free(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_server_gets_them, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_questions_are_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
