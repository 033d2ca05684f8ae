/* command_internal.h: what command.c and command_cluster.c share.
 *
 * Threads: any; a decoder belongs to its caller.
 */
#ifndef GODWIT_META_COMMAND_INTERNAL_H
#define GODWIT_META_COMMAND_INTERNAL_H

#include "base/wire.h"
#include "meta/command.h"

void command_put_head(struct buf *out, enum command_type type);

struct decoder {
    struct wire_reader r;
    const char *field; /* being read when the first failure came */
};

/* From here on @field is read. */
void decode_note(struct decoder *d, const char *field);
/* A text of @min..@max bytes without NUL; NULL when @null_ok and so coded. */
struct command_bytes decode_text(struct decoder *d, const char *field,
                                 size_t min, size_t max, bool null_ok);
struct command_bytes decode_blob(struct decoder *d, const char *field,
                                 size_t max);
void decode_time(struct decoder *d, struct command *c);
void decode_items(struct decoder *d, struct command *c, size_t max);

/* ---- command_user.c ---- */

/* The fields of a command of users and keys. */
void decode_user(struct decoder *d, struct command *c);

/* Of a command of master keys. */
void decode_master_key(struct decoder *d, struct command *c);

/* ---- command_device.c ---- */

/* The fields of a command of devices. */
void decode_device(struct decoder *d, struct command *c);

/* ---- command_erase.c ---- */

/* The fields of a command of erasures, and an item of ERASE_SOME. */
void decode_erase(struct decoder *d, struct command *c);
void decode_erased(struct decoder *d, struct command_item *out);

/* ---- command_audit.c ---- */

void decode_audit(struct decoder *d, struct command *c);
void decode_audit_item(struct decoder *d, struct command_item *out);
void command_put_actor(struct buf *out, const struct command_actor *a);

/* ---- command_cluster.c ---- */

/* The fields of a command of the registry; fails for another type. */
void decode_cluster(struct decoder *d, struct command *c);
/* A drive of CLUSTER_INIT and SERVER_JOIN. */
void decode_drive_item(struct decoder *d, struct command_item *out);

#endif
