#include "cluster/identity.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "crypto/tls.h"

static char *path_of(const struct identity *id, const char *name)
{
    return mem_printf("%s/%s", id->dir, name);
}

/* A missing file is an empty buf. */
static int load(const struct identity *id, const char *name, struct buf *out,
                struct err *err)
{
    char *path = path_of(id, name);
    int rc = fs_read(path, PKI_PEM_MAX, out, err);

    free(path);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int save(const struct identity *id, const char *name,
                const struct buf *b, struct err *err)
{
    char *path = path_of(id, name);
    int rc = fs_write(path, b->data, b->len, 0600, err);

    free(path);
    return rc;
}

static int corrupt(const struct identity *id, const char *name,
                   const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s/%s: %s", id->dir, name, what);
}

/* Take cluster, id and end from the certificate. */
static int read_cert(struct identity *id, struct err *err)
{
    struct pki_cert ca, own;
    struct err why;

    if (id->cert.len == 0) {
        return 0;
    }
    if (id->ca_cert.len == 0 || id->key.len == 0) {
        return corrupt(id, id->key.len == 0 ? "server.key" : "ca.crt",
                       "missing, but there is a server.crt", err);
    }
    if (pki_cert_read(id->ca_cert.data, id->ca_cert.len, &ca, &why) != 0) {
        return corrupt(id, "ca.crt", why.text, err);
    }
    if (pki_cert_read(id->cert.data, id->cert.len, &own, &why) != 0) {
        return corrupt(id, "server.crt", why.text, err);
    }
    if (own.server == 0 ||
        memcmp(own.cluster, ca.cluster, sizeof ca.cluster) != 0) {
        return corrupt(id, "server.crt", "is not of the cluster in ca.crt",
                       err);
    }
    memcpy(id->cluster, own.cluster, sizeof id->cluster);
    id->server = own.server;
    id->from_s = own.not_before_s;
    id->until_s = own.not_after_s;
    id->ca_until_s = ca.not_after_s;
    return 0;
}

int identity_load(const char *data, struct identity *out, struct err *err)
{
    int rc;

    memset(out, 0, sizeof *out);
    out->dir = mem_printf("%s/identity", data);
    if ((rc = load(out, "ca.crt", &out->ca_cert, err)) != 0 ||
        (rc = load(out, "ca.key", &out->ca_key, err)) != 0 ||
        (rc = load(out, "server.key", &out->key, err)) != 0 ||
        (rc = load(out, "server.csr", &out->request, err)) != 0 ||
        (rc = load(out, "server.crt", &out->cert, err)) != 0 ||
        (rc = load(out, "https.key", &out->https_key, err)) != 0 ||
        (rc = load(out, "https.crt", &out->https_cert, err)) != 0 ||
        (rc = read_cert(out, err)) != 0) {
        identity_free(out);
        return rc;
    }
    return 0;
}

void identity_free(struct identity *id)
{
    free(id->dir);
    buf_free(&id->ca_cert);
    buf_wipe(&id->ca_key);
    buf_wipe(&id->key);
    buf_free(&id->request);
    buf_free(&id->cert);
    buf_wipe(&id->https_key);
    buf_free(&id->https_cert);
    memset(id, 0, sizeof *id);
}

int identity_request(struct identity *id, struct err *err)
{
    int rc = fs_mkdirs(id->dir, err);

    if (rc != 0 || (id->key.len > 0 && id->request.len > 0)) {
        return rc;
    }
    buf_wipe(&id->key);
    buf_free(&id->request);
    if ((rc = pki_request_new(&id->key, &id->request, err)) != 0 ||
        (rc = save(id, "server.key", &id->key, err)) != 0) {
        return rc;
    }
    return save(id, "server.csr", &id->request, err);
}

/* The key first: where there is a certificate, its key is there. */
static int make_ca(struct identity *id, const uint8_t cluster[PKI_CLUSTER_ID],
                   uint64_t now_s, struct err *err)
{
    struct buf key = {0}, cert = {0};
    int rc = fs_mkdirs(id->dir, err);

    if (rc == 0) {
        rc = pki_ca_new(cluster, now_s, &key, &cert, err);
    }
    if (rc == 0) {
        rc = save(id, "ca.key", &key, err);
    }
    if (rc == 0) {
        rc = save(id, "ca.crt", &cert, err);
    }
    if (rc == 0) {
        buf_wipe(&id->ca_key);
        buf_append(&id->ca_key, key.data, key.len);
        buf_append(&id->ca_cert, cert.data, cert.len);
    }
    buf_wipe(&key);
    buf_free(&cert);
    return rc;
}

int identity_ca(struct identity *id, const uint8_t cluster[PKI_CLUSTER_ID],
                uint64_t now_s, struct err *err)
{
    struct pki_cert ca;
    struct err why;

    if (id->ca_cert.len == 0) {
        return make_ca(id, cluster, now_s, err);
    }
    if (id->ca_key.len == 0) {
        return corrupt(id, "ca.key", "missing, but there is a ca.crt", err);
    }
    if (pki_cert_read(id->ca_cert.data, id->ca_cert.len, &ca, &why) != 0) {
        return corrupt(id, "ca.crt", why.text, err);
    }
    if (!ca.ca || memcmp(ca.cluster, cluster, sizeof ca.cluster) != 0) {
        return corrupt(id, "ca.crt", "is of another cluster", err);
    }
    return 0;
}

int identity_found(struct identity *id, const uint8_t cluster[PKI_CLUSTER_ID],
                   uint64_t now_s, struct err *err)
{
    struct buf ca_key = {0}, ca_cert = {0}, cert = {0};
    int rc = identity_request(id, err);

    CHECK(id->server == 0);
    if (rc == 0) {
        rc = identity_ca(id, cluster, now_s, err);
    }
    if (rc == 0) {
        buf_append(&ca_key, id->ca_key.data, id->ca_key.len);
        buf_append(&ca_cert, id->ca_cert.data, id->ca_cert.len);
        rc = pki_issue(&ca_key, &ca_cert, id->request.data, id->request.len, 1,
                       now_s, &cert, err);
    }
    if (rc == 0) {
        rc = identity_accept(id, &ca_cert, &ca_key, &cert, err);
    }
    buf_wipe(&ca_key);
    buf_free(&ca_cert);
    buf_free(&cert);
    return rc;
}

static void replace(struct buf *to, const struct buf *from)
{
    buf_free(to);
    buf_append(to, from->data, from->len);
}

int identity_accept(struct identity *id, const struct buf *ca_cert,
                    const struct buf *ca_key, const struct buf *cert,
                    struct err *err)
{
    struct tls_context *fits = NULL;
    int rc = tls_context_new(ca_cert, cert, &id->key, &fits, err);

    if (rc != 0) {
        return rc;
    }
    tls_context_free(fits);
    if ((rc = save(id, "ca.crt", ca_cert, err)) != 0 ||
        (ca_key->len > 0 && (rc = save(id, "ca.key", ca_key, err)) != 0) ||
        (rc = save(id, "server.crt", cert, err)) != 0) {
        return rc;
    }
    replace(&id->ca_cert, ca_cert);
    buf_wipe(&id->ca_key);
    buf_append(&id->ca_key, ca_key->data, ca_key->len);
    replace(&id->cert, cert);
    return read_cert(id, err);
}

int identity_renew(struct identity *id, const struct buf *cert, struct err *err)
{
    struct tls_context *fits = NULL;
    struct pki_cert own;
    int rc = tls_context_new(&id->ca_cert, cert, &id->key, &fits, err);

    if (rc != 0) {
        return rc;
    }
    tls_context_free(fits);
    rc = pki_cert_read(cert->data, cert->len, &own, err);
    if (rc == 0 &&
        (own.server != id->server ||
         memcmp(own.cluster, id->cluster, sizeof id->cluster) != 0)) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "the certificate is for server %u, not %u", own.server,
                     id->server);
    }
    if (rc == 0) {
        rc = save(id, "server.crt", cert, err);
    }
    if (rc == 0) { /* server and cluster are read elsewhere meanwhile */
        replace(&id->cert, cert);
        id->from_s = own.not_before_s;
        id->until_s = own.not_after_s;
    }
    return rc;
}

int identity_tls(const struct identity *id, struct tls_context **out,
                 struct err *err)
{
    return tls_context_new(&id->ca_cert, &id->cert, &id->key, out, err);
}

int identity_https_request(struct identity *id, struct buf *request,
                           struct err *err)
{
    int rc;

    if (id->https_key.len > 0) {
        rc = pki_request_again(&id->https_key, request, err);
        return rc == 0 ? 0 : corrupt(id, "https.key", "is no key", err);
    }
    rc = fs_mkdirs(id->dir, err);
    if (rc == 0) {
        rc = pki_request_new(&id->https_key, request, err);
    }
    if (rc == 0) {
        rc = save(id, "https.key", &id->https_key, err);
    }
    if (rc != 0) {
        buf_wipe(&id->https_key);
    }
    return rc;
}

int identity_https_accept(struct identity *id, const struct buf *cert,
                          struct err *err)
{
    struct tls_context *fits = NULL;
    struct pki_cert info;
    int rc = pki_cert_read(cert->data, cert->len, &info, err);

    if (rc == 0 && !info.https) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "the certificate is not that of an https port");
    }
    if (rc == 0) {
        rc = tls_context_new(&id->ca_cert, cert, &id->https_key, &fits, err);
    }
    if (rc == 0) {
        tls_context_free(fits);
        rc = save(id, "https.crt", cert, err);
    }
    if (rc == 0) {
        replace(&id->https_cert, cert);
    }
    return rc;
}
