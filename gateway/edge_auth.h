/* edge_auth.h: devices, who show a certificate instead of signing.
 *
 * With --tls auto who connects may show a certificate of the cluster's CA for a
 * device (crypto/pki.h). Its chain, purpose and time are judged once for a
 * connection; that the device is enrolled, by this very key, and what it may,
 * at each request, by this server's copy of the catalogue: one that is revoked
 * is refused on a connection that stays.
 *
 * A device is a user called "device/NAME" with the policy of its row.
 * What is signed (SigV4) is of who signed it, whatever the connection showed.
 *
 * Threads: edge_authenticate on the I/O loop; the rest those of the request.
 */
#ifndef GODWIT_GATEWAY_EDGE_AUTH_H
#define GODWIT_GATEWAY_EDGE_AUTH_H

#include <stdbool.h>

#include "meta/command.h"

struct edge_peer; /* what a connection showed */
struct request;

#define EDGE_PATH "/-/edge/"
#define EDGE_DOCUMENT_MAX ((size_t)64 << 10) /* any body but a batch */

/* Fill r->user when the connection showed a device's certificate. Without any
 * r->user stays NULL, which is true, too. False: a reply was made. */
bool edge_authenticate(struct request *r);
/* The same of a request below EDGE_PATH: false also when there is no device, or
 * the body is too long to take. Enrolment needs no device. */
bool edge_judge(struct request *r);
void edge_peer_free(struct edge_peer *p); /* NULL is nothing */

/* x-godwit-sequence and x-godwit-floor of PutObject, DeleteObject and
 * CompleteMultipartUpload: into @more, which stays as it is without them.
 * False: a reply was made. */
bool edge_delivery(struct request *r, struct command_more *more);
/* Is the catalogue's answer @code to such a command that it was delivered
 * before? Then the reply is a success, with edge_reply_repeated's header. */
bool edge_is_repeat(const struct request *r, int code);
void edge_reply_repeated(struct request *r);
/* Reply to a delivery that the catalogue refused for a reason of its own;
 * false:
 * @code is no such reason, and nothing was replied. */
bool edge_reply_refused(struct request *r, int code);

/* {"error":"..."} */
void edge_error(struct request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
