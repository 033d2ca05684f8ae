/* drives.h: the drives of this server, opened together.
 *
 * Threads: open and close at start and end; the rest any.
 */
#ifndef GODWIT_OBJECT_DRIVES_H
#define GODWIT_OBJECT_DRIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/shard_store.h"

struct drives;
struct err;
struct net;
struct peers;

#define DRIVES_MAX 64

/* Open the drive of id @ids[i] (NULL: of id i) at @paths[i] for each of @count,
 * which may be none; those of PLACEMENT_NO_DRIVE are left for drives_add.
 * @shared holds what is the same for all (its path and drive are not used).
 * ERR_BAD_INPUT: too many; else as shard_store_open, with the path in front. */
int drives_open(const char *const *paths, const uint16_t *ids, size_t count,
                const struct shard_store_options *shared, struct drives **out,
                struct err *err);
/* One more, before the object store is opened. As drives_open. */
int drives_add(struct drives *d, const char *path, uint16_t id,
               const struct shard_store_options *shared, struct err *err);

/* Let other servers use them, by @n (kept; opened, not started yet). Once. */
void drives_serve(struct drives *d, struct net *n);
/* No other server is served or asked any more: after the object store is
 * closed, before net_close. NULL is nothing. */
void drives_stop(struct drives *d);
/* After the object store that uses them, and net_close. NULL is nothing. */
void drives_close(struct drives *d);

size_t drives_count(const struct drives *d);
bool drives_has(const struct drives *d, uint16_t id);
struct peers *drives_peers(struct drives *d); /* borrowed */
const char *drives_path(const struct drives *d, size_t i);
void drives_stats(struct drives *d, size_t i, struct shard_store_stats *out);

#endif
