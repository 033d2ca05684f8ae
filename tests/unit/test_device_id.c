/* test_device_id.c: who a device is, on its disk.
 *
 * Goal: what was saved is loaded, whole or not at all; files that do not fit
 * together are refused; codes and settings are read strictly. Method: a folder
 * of the test's own; certificates by crypto/pki.h would need libcrypto, so a CA
 * with a device's certificate stands here (openssl, valid to 2126).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "edge-agent/device_id.h"
#include "edge-agent/edge_tls.h"
#include "tests/lib/temp_dir.h"

static void text(struct buf *b, const char *s)
{
    buf_clear(b);
    buf_str(b, s);
}

static const char ca_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBcTCCARegAwIBAgIUdVbj+l8MRs906z2X+BxzcEvfieUwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCQ0EwIBcNMjYxMTIzMTgzMTQzWhgPMjEyNjEwMzAxODMxNDNa\n"
    "MA0xCzAJBgNVBAMMAkNBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmt3NWMmT\n"
    "Nm7SXmnyVI8uQLqqc27/KbpW5sacy/6FlWT22IwRBew92AhtSzf7Ek1/AwhjprRR\n"
    "bShDJgloOB0nC6NTMFEwHQYDVR0OBBYEFOrAvPPvSKyXYKrr+CKe7U1kwDW5MB8G\n"
    "A1UdIwQYMBaAFOrAvPPvSKyXYKrr+CKe7U1kwDW5MA8GA1UdEwEB/wQFMAMBAf8w\n"
    "CgYIKoZIzj0EAwIDSAAwRQIhAKkBV11kJi0PY3DPvfHIZmYK1tcf5m6Di1dvb4Fd\n"
    "At3dAiAWChyrsJgOyh6FBP80NxjODq2+vaWJZxhk49Zynp5Jlw==\n"
    "-----END CERTIFICATE-----\n";

static const char cert_pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBHDCBwwIUaub4pIvlKzHsugcjbAEhVN3yvicwCgYIKoZIzj0EAwIwDTELMAkG\n"
    "A1UEAwwCQ0EwIBcNMjYxMTIzMTgzMTQzWhgPMjEyNjEwMzAxODMxNDNaMBMxETAP\n"
    "BgNVBAMMCGRldmljZS03MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPYwDiz6y\n"
    "clDgNgEETIo24fTgcR2lVGcXGt2vlej5Jh7wluFY38hepC0thr7gPPdoIMK6B4UW\n"
    "emWFlcaXgXom9DAKBggqhkjOPQQDAgNIADBFAiEArcaP+d/Q2eiR7kC65USkRIFB\n"
    "174XUJX82r5QmhR385YCIAwsMMnOplxOKbaGYSVT+EUg/bdHj34xMjEjFNlQ1AuK\n"
    "-----END CERTIFICATE-----\n";

static const char key_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyUlSTvIVLf3sf5/w\n"
    "kMjTaUxlwOJMUau/jYm/HLAsUe6hRANCAAQ9jAOLPrJyUOA2AQRMijbh9OBxHaVU\n"
    "Zxca3a+V6PkmHvCW4VjfyF6kLS2GvuA892ggwroHhRZ6ZYWVxpeBeib0\n"
    "-----END PRIVATE KEY-----\n";

static void make(struct device_id *id)
{
    *id = (struct device_id){.number = 7};
    text(&id->key, key_pem);
    text(&id->cert, cert_pem);
    text(&id->ca, ca_pem);
    text(&id->settings, "{\"bucket\":\"b\"}");
    id->gateway = mem_strdup("https://h:9000");
    id->device = mem_strdup("dev \"42\"");
}

static void save(const char *data, struct device_id *id)
{
    struct buf key = {0};

    assert_int_equal(device_id_new_key(data, &key, NULL), 0);
    buf_free(&key);
    assert_int_equal(device_id_save(data, id, NULL), 0);
}

static void what_was_saved_is_loaded(void **state)
{
    char *data = temp_dir_new();
    struct device_id id, back;
    char *path = mem_printf("%s/identity/key.pem", data);
    struct stat st;

    (void)state;
    assert_int_equal(device_id_load(data, &back, NULL), ERR_NOT_FOUND);
    make(&id);
    save(data, &id);
    assert_int_equal(device_id_load(data, &back, NULL), 0);
    assert_int_equal(back.number, 7);
    assert_string_equal(back.gateway, "https://h:9000");
    assert_string_equal(back.device, "dev \"42\"");
    assert_memory_equal(back.key.data, id.key.data, id.key.len);
    assert_string_equal((char *)back.settings.data, "{\"bucket\":\"b\"}");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    device_id_free(&back);
    /* Another replaces it. */
    id.number = 8;
    save(data, &id);
    assert_int_equal(device_id_load(data, &back, NULL), 0);
    assert_int_equal(back.number, 8);
    device_id_free(&back);
    device_id_free(&id);
    free(path);
    temp_dir_free(data);
}

static void files_that_do_not_fit_are_refused(void **state)
{
    static const char *const names[] = {"key.pem", "cert.pem", "ca.pem",
                                        "device.json"};
    struct buf other = {0};
    struct err err;

    (void)state;
    assert_int_equal(edge_tls_key_new(&other, NULL), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *data = temp_dir_new();
        char *path = mem_printf("%s/identity/%s", data, names[i]);
        struct device_id id, back;
        make(&id);
        save(data, &id);
        assert_int_equal(fs_write(path, other.data, other.len, 0600, NULL), 0);
        assert_int_equal(device_id_load(data, &back, &err), ERR_CORRUPT);
        assert_memory_equal(err.text, "identity: ", 10);
        device_id_free(&id);
        free(path);
        temp_dir_free(data);
    }
    buf_free(&other);
}

static void an_enrolment_that_failed_asks_again_by_its_key(void **state)
{
    char *data = temp_dir_new();
    struct buf first = {0}, again = {0}, request = {0};

    (void)state;
    assert_int_equal(device_id_new_key(data, &first, NULL), 0);
    assert_int_equal(device_id_new_key(data, &again, NULL), 0);
    assert_int_equal(first.len, again.len);
    assert_memory_equal(first.data, again.data, first.len);
    assert_int_equal(edge_tls_request_new(&first, &request, NULL), 0);
    assert_non_null(strstr((char *)request.data, "CERTIFICATE REQUEST"));
    buf_free(&first);
    buf_free(&again);
    buf_free(&request);
    temp_dir_free(data);
}

static void certificates_are_by_the_ca_for_the_key(void **state)
{
    struct buf ca = {0}, cert = {0}, key = {0}, other = {0};
    struct edge_tls_cert read;

    (void)state;
    text(&ca, ca_pem);
    text(&cert, cert_pem);
    text(&key, key_pem);
    assert_int_equal(edge_tls_key_new(&other, NULL), 0);
    assert_int_equal(edge_tls_cert_check(&cert, &key, &ca, NULL), 0);
    assert_int_equal(edge_tls_cert_check(&cert, &other, &ca, NULL),
                     ERR_BAD_INPUT);
    assert_int_equal(edge_tls_cert_check(&cert, &key, &cert, NULL), ERR_DENIED);
    assert_int_equal(edge_tls_cert_check(&key, &key, &ca, NULL), ERR_BAD_INPUT);
    assert_int_equal(edge_tls_cert_read(&cert, &read, NULL), 0);
    assert_true(read.not_before_ms < read.not_after_ms);
    buf_free(&ca);
    buf_free(&cert);
    buf_free(&key);
    buf_free(&other);
}

static void codes_are_read_strictly(void **state)
{
    /* 32 bytes of 0, 16 bytes of 0xff */
    char good[] =
        "gwe1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA."
        "_____________________w";
    static const char *const bad[] = {
        "",
        "gwj1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA."
        "_____________________w",
        "gwe1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA."
        "_____________________",
        "gwe1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+."
        "_____________________w",
        "gwe1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_"
        "_____________________w",
        "gwe1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA."
        "_____________________=",
    };
    uint8_t ca[DEVICE_ID_CA_PIN];
    char secret[DEVICE_ID_SECRET_TEXT + 1];
    struct err err;

    (void)state;
    memset(ca, 1, sizeof ca);
    assert_int_equal(device_id_code_parse(good, ca, secret, NULL), 0);
    assert_string_equal(secret, "_____________________w");
    assert_int_equal(ca[0] | ca[31], 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(device_id_code_parse(bad[i], ca, secret, &err),
                         ERR_BAD_INPUT);
        assert_null(strstr(err.text, "____"));
    }
}

static void settings_name_a_bucket(void **state)
{
    struct buf json = {0};
    struct device_id_settings s;

    (void)state;
    text(&json,
         "{\"bucket\":\"b\",\"prefix\":\"p/\",\"recipients\":[\"x\",\"y\"],"
         "\"more\":{\"bucket\":\"z\"}}");
    assert_int_equal(device_id_settings_read(&json, &s, NULL), 0);
    assert_string_equal(s.bucket, "b");
    assert_string_equal(s.prefix, "p/");
    assert_int_equal(s.recipients.count, 2);
    assert_string_equal(s.recipients.items[1], "y");
    assert_null(s.cipher);
    device_id_settings_free(&s);
    text(&json, "<html>{\"bucket\":\"b\"}");
    assert_int_equal(device_id_settings_read(&json, &s, NULL), ERR_BAD_INPUT);
    text(&json, "{\"bucket\":\"\"}");
    assert_int_equal(device_id_settings_read(&json, &s, NULL), ERR_BAD_INPUT);
    buf_free(&json);
}

static void memory_is_kept_or_empty(void **state)
{
    char *data = temp_dir_new();
    struct sync_memory m = {7, -12345, 99, 4, 5}, back;

    (void)state;
    sync_memory_load(data, &back);
    assert_int_equal(back.number | back.seen_ms, 0);
    assert_int_equal(sync_memory_save(data, &m, NULL), 0);
    sync_memory_load(data, &back);
    assert_memory_equal(&back, &m, sizeof m);
    temp_dir_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_saved_is_loaded),
        cmocka_unit_test(files_that_do_not_fit_are_refused),
        cmocka_unit_test(an_enrolment_that_failed_asks_again_by_its_key),
        cmocka_unit_test(certificates_are_by_the_ca_for_the_key),
        cmocka_unit_test(codes_are_read_strictly),
        cmocka_unit_test(settings_name_a_bucket),
        cmocka_unit_test(memory_is_kept_or_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
