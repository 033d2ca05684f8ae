/* enroll.h: a device becomes known to a cluster.
 *
 *     1. look at the server's certificates: one must be the CA whose SHA-256
 *        stands in the code, or the server is an impostor;
 *     2. connect again, believing that CA alone, and hand over the code's
 * secret and a request for a certificate;
 *     3. check what comes back, and write DATA/identity.
 *
 * The secret is sent to nobody else. Blocking, with a loop of its own.
 * Threads: any.
 */
#ifndef GODWIT_EDGE_ENROLL_H
#define GODWIT_EDGE_ENROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* ERR_BAD_INPUT: URL or code; ERR_DENIED: an impostor, or the cluster refused
 * the code; ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_CLOSED: nobody there; ERR_LOCKED:
 * an agent runs over @data. On success the device's name is appended to @name.
 */
int enroll(const char *data, const char *gateway, const char *code,
           bool insecure, struct buf *name, struct err *err);

/* What an error answer says: {"error":"..."}, else "the gateway answered
 * STATUS". Appended as one line. */
void enroll_answer_error(int status, const uint8_t *body, size_t len,
                         struct buf *out);

#endif
