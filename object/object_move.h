/* object_move.h: shards from one drive to another, as the map moves them.
 *
 * Who carries out a move of the placement map copies the slot first, then has
 * the move written down; from then on all look on the new drive. What the old
 * one still has, or got meanwhile from who did not know yet, is a stray: its
 * own server hands it on and lets go of it (object_settle).
 *
 * Threads: any, settle one at a time; calls block, with deadlines.
 */
#ifndef GODWIT_OBJECT_OBJECT_MOVE_H
#define GODWIT_OBJECT_OBJECT_MOVE_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct object_store;

struct object_copied {
    uint64_t shards, bytes;
    uint64_t missed; /* the source had them, and could not give them */
};

/* Copy every shard of @slot of @group that drive @from has to drive @to.
 * @go_on(arg, bytes) is asked after each batch, and false ends it (ERR_CLOSED).
 * An error of either drive ends it; shards that are damaged are passed over and
 * counted: they will be rebuilt. */
int object_copy_slot(struct object_store *s, uint32_t group, unsigned slot,
                     uint16_t from, uint16_t to,
                     bool (*go_on)(void *arg, uint64_t bytes), void *arg,
                     struct object_copied *out, struct err *err);

/* Hand on the strays of this server's drives, by the groups as they are now;
 * gives how many there were. Call it when the groups are surely not older than
 * those of the others. */
uint64_t object_settle(struct object_store *s);

#endif
