/* join_wire.h: what a server that joins and the cluster say to each other.
 *
 *     NET_JOIN 1 JOIN
 *         question  u8 version (2), text token, text name, text address,
 *                   text endpoint, text zone, u32 roles, u16 drives,
 *                   then for each: u32 weight, 16 bytes uuid; blob request
 *                   (PEM)
 *         answer    u8 version (2), u32 server, blob ca certificate,
 *                   blob ca key (empty but for the meta role), blob master
 *                   key (32 bytes, or none for who only keeps shards), blob
 *                   certificate, text access key, text secret key,
 *                   u16 drives, then for each of the question's, in order:
 *                   u16 id (0xffff: not known); u16 servers, then for each:
 *                   u32 id, text address
 *
 * Decoded texts are the caller's: join_*_free. Threads: any.
 */
#ifndef GODWIT_CLUSTER_JOIN_WIRE_H
#define GODWIT_CLUSTER_JOIN_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "meta/command.h"

struct err;

#define JOIN_TYPE 1
#define JOIN_NAME_MAX 63
#define JOIN_ADDRESS_MAX 255
#define JOIN_TOKEN_MAX 128
#define JOIN_DRIVES_MAX META_SERVER_DRIVES_MAX
#define JOIN_SERVERS_MAX 4096
#define JOIN_NO_DRIVE 0xffff

struct join_question {
    char *token, *name, *address, *endpoint, *zone;
    uint32_t roles;
    uint16_t drive_count;
    struct command_drive drives[JOIN_DRIVES_MAX];
    struct buf request;
};

struct join_server {
    uint32_t id;
    char *address;
};

struct join_answer {
    uint32_t server;
    struct buf ca_cert, ca_key, cert;
    struct buf master_key; /* crypto/root_key.h; or empty */
    char *access_key, *secret_key;
    uint16_t drive_count; /* as many as were asked for */
    uint16_t drives[JOIN_DRIVES_MAX];
    uint16_t server_count;
    struct join_server *servers;
};

void join_question_encode(const struct join_question *q, struct buf *out);
/* ERR_BAD_INPUT names the field. */
int join_question_decode(const void *p, size_t len, struct join_question *out,
                         struct err *err);
void join_question_free(struct join_question *q);

void join_answer_encode(const struct join_answer *a, struct buf *out);
int join_answer_decode(const void *p, size_t len, struct join_answer *out,
                       struct err *err);
void join_answer_free(struct join_answer *a); /* wipes the keys */

#endif
