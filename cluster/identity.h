/* identity.h: who this server is in its cluster, on disk.
 *
 *     DATA/identity/ca.crt       the cluster's certificate authority
 *     DATA/identity/ca.key       its key; servers that keep the catalogue only
 *     DATA/identity/server.key   this server's key; never leaves it
 *     DATA/identity/server.csr   the request made with it, to join
 *     DATA/identity/server.crt   its certificate, which names cluster and id
 *     DATA/identity/https.key    of the port that S3 is served on, when the
 *     DATA/identity/https.crt    cluster's CA certifies that (--tls auto)
 *
 * A store that stands alone has a CA, too, once it needs one; when it becomes
 * the first server of a cluster, its CA becomes the cluster's.
 *
 * Beside them stand drives (own_drives.c) and servers, "<id> <address>" lines
 * of whom to call before the catalogue can be asked.
 *
 * All PEM, mode 0600. server.crt is written last: with it the identity is
 * complete; without it the server has yet to join, with the same key and
 * request if it was cut off in between, and so as the same server.
 *
 * A renewed certificate is for the key that is there: one file takes the place
 * of another, so a crash leaves a pair that works, old or new; with a new key
 * there would be two. And who lost its certificate can repeat its join.
 *
 * Threads: one at a time.
 */
#ifndef GODWIT_CLUSTER_IDENTITY_H
#define GODWIT_CLUSTER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crypto/pki.h"

struct err;
struct tls_context;

struct identity {
    char *dir;
    uint8_t cluster[PKI_CLUSTER_ID];
    uint32_t server; /* 0: has yet to join */
    struct buf ca_cert, ca_key, key, request, cert;
    uint64_t from_s, until_s; /* the certificate is good */
    uint64_t ca_until_s;
    struct buf https_key, https_cert;
};

/* Read DATA/identity; what is not there is empty, and server is 0.
 * ERR_CORRUPT names the file that is damaged, or of another cluster. */
int identity_load(const char *data, struct identity *out, struct err *err);
void identity_free(struct identity *id); /* wipes */

/* A new cluster of id @cluster, and in it server 1. Errors of identity_ca. */
int identity_found(struct identity *id, const uint8_t cluster[PKI_CLUSTER_ID],
                   uint64_t now_s, struct err *err);
/* The CA of cluster @cluster, made here when there is none yet. ERR_CORRUPT: it
 * is another's, or half of it is missing. */
int identity_ca(struct identity *id, const uint8_t cluster[PKI_CLUSTER_ID],
                uint64_t now_s, struct err *err);
/* A request for the https port, by its key, which is made when missing. */
int identity_https_request(struct identity *id, struct buf *request,
                           struct err *err);
/* The answer to it, kept. ERR_BAD_INPUT: not for an https port by this key. */
int identity_https_accept(struct identity *id, const struct buf *cert,
                          struct err *err);
/* Key and request for a join, kept over a crash. */
int identity_request(struct identity *id, struct err *err);
/* The answer to it. @ca_key may be empty. ERR_BAD_INPUT when its parts do not
 * belong together; then nothing is written. */
int identity_accept(struct identity *id, const struct buf *ca_cert,
                    const struct buf *ca_key, const struct buf *cert,
                    struct err *err);
/* Exchange the certificate for a newer one. ERR_BAD_INPUT: it is not for this
 * server, its key and its cluster; then nothing is written. ERR_IO. */
int identity_renew(struct identity *id, const struct buf *cert,
                   struct err *err);
/* What the cluster port speaks with. */
int identity_tls(const struct identity *id, struct tls_context **out,
                 struct err *err);

#endif
