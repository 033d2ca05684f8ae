/* How a device becomes one: POST of /-/edge/v1/enroll, and of /-/edge/v1/renew.
 *
 * A code is a secret of 128 bits that an operator gave (admin_devices.c). It is
 * looked up before anything is proposed, so that guesses cost no writes. Who
 * asks again by the key that the code was used with gets the same answer: the
 * first may have been lost, and the certificate is of use only to who has the
 * key. Renewal is safe to repeat, too, as long as the key stays; by a new key
 * the old certificate ends at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/pki.h"
#include "gateway/access.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/tls_auto.h"
#include "meta/meta_device.h"
#include "policy/json_tree.h"

struct asked {
    struct json_tree *tree;
    const char *code, *request;
    uint8_t code_hash[DIGEST_MAX];
    uint8_t key[PKI_FINGERPRINT]; /* of the request */
};

static bool fail(struct request *r, int code, const struct err *err)
{
    edge_error(r, s3_error_status(s3_error_of(code)), "%s", err->text);
    return false;
}

static const char *text_member(const struct asked *a, const char *name)
{
    const struct json_node *n = json_tree_member(json_tree_root(a->tree), name);

    return n != NULL && n->kind == JSON_STRING ? n->text : "";
}

static bool read_code(struct request *r, struct asked *a)
{
    uint8_t secret[PKI_TOKEN_SECRET];

    if (!pki_secret_parse(a->code, secret)) {
        edge_error(r, 400, "code: the last %d characters of an enrolment code",
                   PKI_SECRET_TEXT - 1);
        return false;
    }
    digest_of(DIGEST_SHA256, secret, sizeof secret, a->code_hash);
    mem_wipe(secret, sizeof secret);
    return true;
}

/* False: a reply was made. Free a->tree. */
static bool read_asked(struct request *r, bool enrols, struct asked *a)
{
    static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
    struct err err = {{0}};

    *a = (struct asked){.tree = NULL};
    if (json_tree_read(r->document.data, r->document.len, &a->tree, &err) !=
        0) {
        edge_error(r, 400, "%s", err.text);
        return false;
    }
    a->code = text_member(a, "code");
    a->request = text_member(a, "request");
    if (enrols && !read_code(r, a)) {
        return false;
    }
    if (!text_starts(a->request, begin) ||
        pki_key_fingerprint(a->request, strlen(a->request), a->key, &err) !=
            0) {
        edge_error(r, 400, "request: %s",
                   err.text[0] != '\0' ? err.text
                                       : "not a certificate request in PEM");
        return false;
    }
    return true;
}

/* ---- answering ---- */

static int certify(struct request *r, const struct asked *a, uint64_t device,
                   struct buf *cert, struct err *err)
{
    int rc = tls_auto_issue_device(r->gateway->tls, a->request,
                                   strlen(a->request), device, cert, err);

    if (rc == 0) {
        buf_char(cert, '\0');
        log_errf(LOG_INFO, "certificate given", "to device %llu",
                 (unsigned long long)device);
    }
    return rc;
}

static void answer(struct request *r, const struct asked *a,
                   const struct meta_device *d)
{
    struct buf cert = {0}, *b = &r->reply_body;
    struct err err = {{0}};
    int rc = certify(r, a, d->number, &cert, &err);

    if (rc != 0) {
        fail(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_char(b, '{');
    put_json_member(b, "device", d->name, false);
    put_json_u64(b, "number", d->number, false);
    put_json_member(b, "certificate", (const char *)cert.data, false);
    put_json_member(b, "ca", (const char *)tls_auto_ca(r->gateway->tls)->data,
                    false);
    buf_printf(b, "\"settings\":%s}\n",
               d->settings_len > 0 ? d->settings : "{}");
    buf_free(&cert);
}

/* ---- enrolment ---- */

/* The code is not known. Was it used by this very key? */
static void answer_again(struct request *r, const struct asked *a)
{
    struct meta_device d = {.policy = NULL};
    struct err err = {{0}};
    int rc = meta_device_by_key(r->gateway->meta, a->key, &d, &err);

    if (rc == 0 && d.state == META_DEVICE_ENROLLED) {
        answer(r, a, &d);
    } else if (rc == 0 || rc == ERR_NOT_FOUND) {
        edge_error(r, 403,
                   "the code is not known, or it was used: ask for a new one");
    } else {
        fail(r, rc, &err);
    }
    meta_device_free(&d);
}

static void refuse(struct request *r, const struct asked *a, int rc,
                   const struct err *err)
{
    switch (rc) {
        case ERR_NOT_FOUND:
            answer_again(r, a);
            break;
        case ERR_TIMEOUT:
            edge_error(r, 403, "the code has expired: ask for a new one");
            break;
        case ERR_EXISTS:
            edge_error(r, 403,
                       "the key is that of an enrolled device: make a new one");
            break;
        default:
            fail(r, rc, err);
    }
}

/* Is there such a code, as far as can be told without a write? */
static int judge_code(struct request *r, const struct asked *a, struct err *err)
{
    uint64_t expires_ms = 0;
    int rc = meta_device_code(r->gateway->meta, a->code_hash, &expires_ms, err);

    return rc == 0 && expires_ms <= r->time_ms ? ERR_TIMEOUT : rc;
}

static int enroll(struct request *r, const struct asked *a,
                  struct meta_device *d, struct err *err)
{
    struct meta *m = r->gateway->meta;
    int rc;

    command_device_enroll(&r->command, a->code_hash, a->key, r->time_ms);
    rc = request_propose_wait(r, &r->proposal, err);
    if (rc == 0) {
        rc = meta_barrier(m, err); /* seen by the copy here, too */
    }
    if (rc == 0) {
        rc = meta_device_local(m, r->proposal.body, d, err);
        /* Not: there is no such code. */
        rc = rc == ERR_NOT_FOUND ? ERR_UNAVAILABLE : rc;
    }
    return rc;
}

void edge_enroll(struct request *r)
{
    struct meta_device d = {.policy = NULL};
    struct err err = {{0}};
    struct asked a;

    if (read_asked(r, true, &a)) {
        int rc = judge_code(r, &a, &err);
        if (rc == 0) {
            rc = enroll(r, &a, &d, &err);
        }
        if (rc == 0) {
            log_errf(LOG_INFO, "device enrolled", "%s, number %llu", d.name,
                     (unsigned long long)d.number);
            answer(r, &a, &d);
        } else {
            refuse(r, &a, rc, &err);
        }
    }
    meta_device_free(&d);
    json_tree_free(a.tree);
}

/* ---- renewal ---- */

/* See to it that the request's key is the device's. False: a reply was made. */
static bool take_key(struct request *r, const struct asked *a)
{
    struct err err = {{0}};
    int rc;

    if (mem_diff(a->key, r->user->key, sizeof a->key) == 0) {
        return true;
    }
    command_device_key(&r->command, r->user->device, a->key, r->time_ms);
    rc = request_propose_wait(r, &r->proposal, &err);
    if (rc == 0) {
        rc = meta_barrier(r->gateway->meta, &err); /* known here from now on */
    }
    if (rc == ERR_EXISTS) {
        edge_error(r, 403, "the key is that of another device");
        return false;
    }
    if (rc == ERR_DENIED) {
        edge_error(r, 403, "the device is not enrolled, or was revoked");
        return false;
    }
    return rc == 0 || fail(r, rc, &err);
}

void edge_renew(struct request *r)
{
    struct buf cert = {0};
    struct err err = {{0}};
    struct asked a;

    if (read_asked(r, false, &a) && take_key(r, &a)) {
        int rc = certify(r, &a, r->user->device, &cert, &err);
        if (rc == 0) {
            reply_json(r);
            buf_char(&r->reply_body, '{');
            put_json_member(&r->reply_body, "certificate",
                            (const char *)cert.data, true);
            buf_str(&r->reply_body, "}\n");
        } else {
            fail(r, rc, &err);
        }
    }
    buf_free(&cert);
    json_tree_free(a.tree);
}
