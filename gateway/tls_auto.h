/* tls_auto.h: https with a certificate of the cluster's own CA (--tls auto).
 *
 * A server that has the CA's key certifies its port itself at each start; any
 * other shows the certificate of its last start until another server has given
 * it a new one, and before its first one its port answers no handshake. It is
 * renewed when a third of its life is left; connections stay.
 *
 * The certificate holds what the port is reached by: the listen address (for
 * all addresses: those of this machine), --advertise, the host's name,
 * localhost and its addresses, --domain with *.domain, and each --tls-name.
 *
 * Who connects may show a certificate and need not: gateway/edge_auth.h.
 *
 * Threads: open, start, stop and free from one; a thread of its own that
 * renews; the rest any.
 */
#ifndef GODWIT_GATEWAY_TLS_AUTO_H
#define GODWIT_GATEWAY_TLS_AUTO_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct gateway;
struct tls_auto;

/* When the store is open, before its port is. At most one in a process. ERR_IO,
 * ERR_CORRUPT: DATA/identity; ERR_BAD_INPUT: a name that is none. */
int tls_auto_open(struct gateway *g, struct tls_auto **out, struct err *err);
/* The cluster, if there is one, was started. */
void tls_auto_start(struct tls_auto *t);
void tls_auto_stop(struct tls_auto *t); /* NULL is nothing */
/* When the port is closed. NULL is nothing. */
void tls_auto_free(struct tls_auto *t);

/* The CA's certificate, PEM with a NUL behind it; borrowed. */
const struct buf *tls_auto_ca(const struct tls_auto *t);
/* Its file: for curl --cacert and the like. */
const char *tls_auto_ca_file(const struct tls_auto *t);
/* MHD_OPTION_HTTPS_CERT_CALLBACK of the one that is open. */
void *tls_auto_callback(void);

/* A certificate for device @number. Errors of cluster_issue_device. */
int tls_auto_issue_device(struct tls_auto *t, const void *request,
                          size_t request_len, uint64_t number, struct buf *cert,
                          struct err *err);
/* pki_sign_policy by the cluster's CA. Errors of cluster_sign_policy. */
int tls_auto_sign_policy(struct tls_auto *t, const void *p, size_t len,
                         struct buf *signature, struct err *err);

#endif
