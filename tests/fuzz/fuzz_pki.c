/* What strangers send: certificate requests, certificates, codes. A CA that is
 * made once; no input may pass for a device's certificate by it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "crypto/pki.h"

#define NOW 1800000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf ca_key, ca_cert;

static void try_texts(const uint8_t *data, size_t size)
{
    char *text = mem_strndup((const char *)data, size);
    char again[PKI_TOKEN_TEXT];
    uint8_t secret[PKI_TOKEN_SECRET];
    struct pki_token t;

    if (pki_code_parse(text, &t, NULL) == 0) {
        pki_code_format(&t, again);
        CHECK(strcmp(again, text) == 0);
    }
    if (pki_token_parse(text, &t, NULL) == 0) {
        pki_token_format(&t, again);
        CHECK(strcmp(again, text) == 0);
    }
    if (pki_secret_parse(text, secret)) {
        pki_secret_format(secret, again);
        CHECK(strcmp(again, text) == 0);
    }
    pki_name_ok(text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t cluster[PKI_CLUSTER_ID] = {1};
    uint8_t fingerprint[PKI_FINGERPRINT];
    struct buf cert = {0};
    struct pki_cert info;

    if (ca_key.len == 0) {
        CHECK(pki_ca_new(cluster, NOW, &ca_key, &ca_cert, NULL) == 0);
    }
    if (size == 0) {
        return 0;
    }
    CHECK(pki_device_verify(&ca_cert, data, size, NOW, &info, NULL) != 0);
    pki_cert_read(data, size, &info, NULL);
    if (pki_key_fingerprint(data, size, fingerprint, NULL) == 0 &&
        pki_issue_device(&ca_key, &ca_cert, data, size, 5, NOW, &cert, NULL) ==
            0) {
        CHECK(pki_cert_read(cert.data, cert.len, &info, NULL) == 0);
        CHECK(info.device == 5 &&
              memcmp(info.key, fingerprint, sizeof fingerprint) == 0);
    }
    buf_free(&cert);
    try_texts(data, size);
    return 0;
}
