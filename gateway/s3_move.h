/* s3_move.h: bytes of an object that are read and stored anew.
 *
 * For parts that are copies, whose bytes may be any range, and for copies that
 * are sealed otherwise than their source: chunk by chunk, through one pool
 * buffer.
 *
 * Set what is asked, zero the rest, move, name the content in the catalogue,
 * close. Threads: one at a time; moving blocks: a worker's.
 */
#ifndef GODWIT_GATEWAY_S3_MOVE_H
#define GODWIT_GATEWAY_S3_MOVE_H

#include <stdbool.h>

#include "base/buf.h"
#include "crypto/digest.h"
#include "gateway/s3_reader.h"
#include "meta/command.h"

struct err;
struct gateway;
struct object_put;
struct s3_sse;

struct s3_move {
    /* asked */
    struct gateway *gateway;
    const char *bucket;      /* that it is for */
    struct s3_reader reader; /* set up, nothing read; closed here */
    struct s3_sse *sse;      /* what seals; NULL: nothing. Kept */
    enum digest_kind kind;   /* of the checksum */
    /* made */
    struct meta_content content;
    char etag[33];
    char value[64]; /* the checksum in base64 */
    /* its own */
    struct digest md5, check;
    struct object_put *put;
    struct buf inline_bytes, manifest;
};

/* Make the bytes durable. On failure nothing is left behind; ERR_UNAVAILABLE
 * also when the source was collected since its row was read, or is damaged. */
int s3_move_bytes(struct s3_move *m, struct err *err);
/* @stored: a command that names them was or may have been taken. */
void s3_move_close(struct s3_move *m, bool stored);

#endif
