/* Goal: a server's identity is whole or not there, survives being cut off in a
 * join, and is never mixed with another cluster's.
 * Method: found, ask, accept in folders of their own; files taken away, changed
 * and exchanged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cluster/identity.h"
#include "crypto/tls.h"
#include "tests/lib/temp_dir.h"

static const uint8_t cluster[PKI_CLUSTER_ID] = {1, 2, 3};

static uint64_t now_s(void)
{
    return clock_real_ms() / 1000;
}

static void must_load(const char *data, struct identity *id)
{
    struct err err = {{0}};

    if (identity_load(data, id, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* What the cluster answers to @who's request. */
static void certify(const struct identity *by, const struct identity *who,
                    uint32_t server, struct buf *cert)
{
    assert_int_equal(pki_issue(&by->ca_key, &by->ca_cert, who->request.data,
                               who->request.len, server, now_s(), cert, NULL),
                     0);
}

static void the_first_server_founds_the_cluster(void **state)
{
    char *dir = temp_dir_new();
    struct identity id;
    struct tls_context *tls;
    struct stat st;
    char *path = mem_printf("%s/identity/ca.key", dir);

    (void)state;
    must_load(dir, &id);
    assert_int_equal(id.server, 0);
    assert_int_equal(identity_found(&id, cluster, now_s(), NULL), 0);
    identity_free(&id);
    must_load(dir, &id); /* as a restart finds it */
    assert_int_equal(id.server, 1);
    assert_memory_equal(id.cluster, cluster, sizeof cluster);
    assert_true(id.until_s > now_s());
    assert_int_equal(identity_tls(&id, &tls, NULL), 0);
    tls_context_free(tls);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    identity_free(&id);
    free(path);
    temp_dir_free(dir);
}

static void a_join_that_was_cut_off_asks_the_same_again(void **state)
{
    char *a = temp_dir_new(), *b = temp_dir_new();
    struct identity one, two;
    struct buf cert = {0}, first = {0}, none = {0};

    (void)state;
    must_load(a, &one);
    assert_int_equal(identity_found(&one, cluster, now_s(), NULL), 0);
    must_load(b, &two);
    assert_int_equal(identity_request(&two, NULL), 0);
    buf_append(&first, two.request.data, two.request.len);
    identity_free(&two); /* the process ends before the answer */
    must_load(b, &two);
    assert_int_equal(two.server, 0);
    assert_int_equal(identity_request(&two, NULL), 0);
    assert_int_equal(two.request.len, first.len);
    assert_memory_equal(two.request.data, first.data, first.len);
    certify(&one, &two, 7, &cert);
    assert_int_equal(identity_accept(&two, &one.ca_cert, &none, &cert, NULL),
                     0);
    assert_int_equal(two.server, 7);
    identity_free(&two);
    must_load(b, &two);
    assert_int_equal(two.server, 7);
    assert_int_equal(two.ca_key.len, 0); /* it was not given */
    identity_free(&two);
    identity_free(&one);
    buf_free(&cert);
    buf_free(&first);
    temp_dir_free(a);
    temp_dir_free(b);
}

static void an_answer_that_does_not_fit_changes_nothing(void **state)
{
    char *a = temp_dir_new(), *b = temp_dir_new(), *c = temp_dir_new();
    struct identity one, two, other;
    struct buf cert = {0}, foreign = {0}, none = {0};
    struct err err;

    (void)state;
    must_load(a, &one);
    assert_int_equal(identity_found(&one, cluster, now_s(), NULL), 0);
    must_load(b, &other);
    assert_int_equal(identity_found(&other, cluster, now_s(), NULL), 0);
    must_load(c, &two);
    assert_int_equal(identity_request(&two, NULL), 0);
    certify(&one, &two, 7, &cert);
    certify(&one, &other, 8, &foreign); /* for another's key */
    assert_int_equal(identity_accept(&two, &other.ca_cert, &none, &cert, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(identity_accept(&two, &one.ca_cert, &none, &foreign, &err),
                     ERR_BAD_INPUT);
    identity_free(&two);
    must_load(c, &two);
    assert_int_equal(two.server, 0);
    assert_int_equal(two.ca_cert.len, 0);
    identity_free(&one);
    identity_free(&two);
    identity_free(&other);
    buf_free(&cert);
    buf_free(&foreign);
    temp_dir_free(a);
    temp_dir_free(b);
    temp_dir_free(c);
}

/* A certificate for @id's key, made by @by. */
static void again(const struct identity *by, const struct identity *id,
                  uint32_t server, uint64_t at_s, struct buf *cert)
{
    struct buf request = {0};

    buf_free(cert);
    assert_int_equal(pki_request_again(&id->key, &request, NULL), 0);
    assert_int_equal(pki_issue(&by->ca_key, &by->ca_cert, request.data,
                               request.len, server, at_s, cert, NULL),
                     0);
    buf_free(&request);
}

static void must_work(const char *data, uint64_t until_s)
{
    struct tls_context *tls;
    struct identity id;

    must_load(data, &id);
    assert_int_equal(id.server, 1);
    assert_int_equal(id.until_s, until_s);
    assert_int_equal(identity_tls(&id, &tls, NULL), 0);
    tls_context_free(tls);
    identity_free(&id);
}

static void a_renewal_cut_off_anywhere_leaves_a_pair_that_works(void **state)
{
    const uint64_t day = 86400, end = now_s() + (PKI_CERT_DAYS + 40) * day;
    char *dir = temp_dir_new();
    char *crt = mem_printf("%s/identity/server.crt", dir);
    char *half = mem_printf("%s/identity/server.crt.0123.tmp", dir);
    struct identity id;
    struct buf cert = {0}, old = {0};
    uint64_t first;

    (void)state;
    must_load(dir, &id);
    assert_int_equal(identity_found(&id, cluster, now_s(), NULL), 0);
    first = id.until_s;
    buf_append(&old, id.cert.data, id.cert.len);
    again(&id, &id, 1, now_s() + 40 * day, &cert);
    /* Before the rename: half of the new file beside the old one. */
    assert_int_equal(fs_write(half, cert.data, cert.len / 2, 0600, NULL), 0);
    must_work(dir, first);
    assert_int_equal(identity_renew(&id, &cert, NULL), 0);
    assert_in_range(id.until_s, end, end + 60);
    assert_in_range(id.from_s, end - 100 * day, end - PKI_CERT_DAYS * day);
    assert_memory_equal(id.cert.data, cert.data, cert.len);
    must_work(dir, id.until_s); /* after it */
    /* The rename itself was lost with the power. */
    assert_int_equal(fs_write(crt, old.data, old.len, 0600, NULL), 0);
    must_work(dir, first);
    identity_free(&id);
    buf_free(&cert);
    buf_free(&old);
    free(crt);
    free(half);
    temp_dir_free(dir);
}

static void a_certificate_of_another_is_not_taken(void **state)
{
    char *a = temp_dir_new(), *b = temp_dir_new();
    char *data_gone;
    struct identity one, other;
    struct buf cert = {0}, none = {0};
    struct err err;
    uint64_t until;

    (void)state;
    must_load(a, &one);
    assert_int_equal(identity_found(&one, cluster, now_s(), NULL), 0);
    must_load(b, &other);
    assert_int_equal(identity_found(&other, cluster, now_s(), NULL), 0);
    until = one.until_s;
    again(&one, &one, 2, now_s() + 1000, &cert);
    assert_int_equal(identity_renew(&one, &cert, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "for server 2, not 1"));
    again(&one, &other, 1, now_s() + 1000, &cert); /* not our key */
    assert_int_equal(identity_renew(&one, &cert, &err), ERR_BAD_INPUT);
    again(&other, &one, 1, now_s() + 1000, &cert); /* not our CA */
    assert_int_equal(identity_renew(&one, &cert, &err), ERR_BAD_INPUT);
    assert_int_equal(identity_renew(&one, &none, &err), ERR_BAD_INPUT);
    assert_int_equal(pki_request_again(&none, &cert, &err), ERR_BAD_INPUT);
    assert_int_equal(one.until_s, until);
    must_work(a, until);
    again(&one, &one, 1, now_s() + 1000, &cert); /* nowhere to write */
    data_gone = mem_printf("%s/gone", a);
    free(one.dir);
    one.dir = data_gone;
    assert_int_not_equal(identity_renew(&one, &cert, &err), 0);
    assert_int_equal(one.until_s, until);
    identity_free(&one);
    identity_free(&other);
    buf_free(&cert);
    temp_dir_free(a);
    temp_dir_free(b);
}

static void what_is_damaged_or_missing_is_named(void **state)
{
    static const char *const names[] = {"ca.crt", "server.crt", "server.key"};
    struct identity id;
    struct err err;

    (void)state;
    for (int damage = 0; damage < 2; damage++) {
        for (int i = 0; i < 3; i++) {
            char *dir = temp_dir_new();
            char *path = mem_printf("%s/identity/%s", dir, names[i]);
            must_load(dir, &id);
            assert_int_equal(identity_found(&id, cluster, now_s(), NULL), 0);
            identity_free(&id);
            if (damage) {
                assert_int_equal(fs_write(path, "rubbish", 7, 0600, NULL), 0);
            } else {
                assert_int_equal(unlink(path), 0);
            }
            if (damage ? i < 2 : i != 1) { /* a key is judged when used */
                assert_int_equal(identity_load(dir, &id, &err), ERR_CORRUPT);
                assert_non_null(strstr(err.text, names[i]));
            } else {
                struct tls_context *tls;
                must_load(dir, &id);
                if (damage) {
                    assert_int_equal(identity_tls(&id, &tls, &err),
                                     ERR_BAD_INPUT);
                } else {
                    assert_int_equal(id.server, 0); /* has yet to join */
                }
                identity_free(&id);
            }
            free(path);
            temp_dir_free(dir);
        }
    }
}

static void a_store_alone_keeps_its_ca_when_it_founds_a_cluster(void **state)
{
    static const uint8_t other[PKI_CLUSTER_ID] = {9};
    char *dir = temp_dir_new();
    struct identity id, again_id;
    struct pki_cert before, after;
    struct err err;

    (void)state;
    must_load(dir, &id);
    assert_int_equal(identity_ca(&id, cluster, now_s(), NULL), 0);
    assert_int_equal(
        pki_cert_read(id.ca_cert.data, id.ca_cert.len, &before, NULL), 0);
    identity_free(&id);
    must_load(dir, &id); /* another start, still alone */
    assert_int_equal(id.server, 0);
    assert_int_equal(identity_ca(&id, other, now_s(), &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "another cluster"));
    assert_int_equal(identity_found(&id, cluster, now_s(), NULL), 0);
    must_load(dir, &again_id);
    assert_int_equal(again_id.server, 1);
    assert_int_equal(pki_cert_read(again_id.ca_cert.data, again_id.ca_cert.len,
                                   &after, NULL),
                     0);
    assert_memory_equal(before.fingerprint, after.fingerprint,
                        sizeof before.fingerprint);
    buf_wipe(&again_id.ca_key);
    assert_int_equal(identity_ca(&again_id, cluster, now_s(), &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "ca.key"));
    identity_free(&again_id);
    identity_free(&id);
    temp_dir_free(dir);
}

static void an_https_port_keeps_its_key(void **state)
{
    static const char *const names[] = {"localhost", "127.0.0.1"};
    char *dir = temp_dir_new();
    struct identity id;
    struct buf one = {0}, two = {0}, cert = {0}, device = {0};
    uint8_t a[PKI_FINGERPRINT], b[PKI_FINGERPRINT];

    (void)state;
    must_load(dir, &id);
    assert_int_equal(identity_ca(&id, cluster, now_s(), NULL), 0);
    assert_int_equal(identity_https_request(&id, &one, NULL), 0);
    identity_free(&id);
    must_load(dir, &id);
    assert_int_equal(identity_https_request(&id, &two, NULL), 0);
    assert_int_equal(pki_key_fingerprint(one.data, one.len, a, NULL), 0);
    assert_int_equal(pki_key_fingerprint(two.data, two.len, b, NULL), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(pki_issue_device(&id.ca_key, &id.ca_cert, two.data,
                                      two.len, 4, now_s(), &device, NULL),
                     0);
    assert_int_equal(identity_https_accept(&id, &device, NULL), ERR_BAD_INPUT);
    assert_int_equal(id.https_cert.len, 0);
    assert_int_equal(pki_issue_https(&id.ca_key, &id.ca_cert, two.data, two.len,
                                     names, 2, now_s(), &cert, NULL),
                     0);
    assert_int_equal(identity_https_accept(&id, &cert, NULL), 0);
    identity_free(&id);
    must_load(dir, &id);
    assert_int_equal(id.https_cert.len, cert.len);
    identity_free(&id);
    buf_free(&one);
    buf_free(&two);
    buf_free(&cert);
    buf_free(&device);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_server_founds_the_cluster),
        cmocka_unit_test(a_join_that_was_cut_off_asks_the_same_again),
        cmocka_unit_test(an_answer_that_does_not_fit_changes_nothing),
        cmocka_unit_test(a_renewal_cut_off_anywhere_leaves_a_pair_that_works),
        cmocka_unit_test(a_certificate_of_another_is_not_taken),
        cmocka_unit_test(what_is_damaged_or_missing_is_named),
        cmocka_unit_test(a_store_alone_keeps_its_ca_when_it_founds_a_cluster),
        cmocka_unit_test(an_https_port_keeps_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
