/* object_mend.h: shards that drives lost, rebuilt unasked (P3, P5).
 *
 * A drive may come up empty, or without what was written while it was gone; a
 * scrub may find a shard bad. What must be rebuilt is known only to who holds
 * the manifests, so that one asks object_mend_wanted now and then, and when it
 * says so walks all manifests through object_mend.
 *
 * Threads: any, but one at a time.
 */
#ifndef GODWIT_OBJECT_OBJECT_MEND_H
#define GODWIT_OBJECT_OBJECT_MEND_H

#include <stdbool.h>
#include <stddef.h>

struct object_store;

/* True once after each start, each time a drive of this server has come up or
 * another server is reached again, a while after the map gave slots to drives
 * of this server, and while scrub has found shards bad since the last call. */
bool object_mend_wanted(struct object_store *s);

/* Queue the rebuilding of those shards of a run that drives of this server
 * which are up do not have, or that scrub found bad. Waits while the queue is
 * long; gives up when the store is closing. A damaged manifest is passed over:
 * verify tells. */
void object_mend(struct object_store *s, const void *manifest, size_t len);

/* The same for a first walk, which is not held up by what can wait: chunks that
 * miss one shard are left out while the queue is long. True: some were, so walk
 * with object_mend after this. */
bool object_mend_urgent(struct object_store *s, const void *manifest,
                        size_t len);

#endif
