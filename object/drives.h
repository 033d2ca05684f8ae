/* drives.h: the drives of this server, opened together.
 *
 * Threads: open and close at start and end; the rest any.
 */
#ifndef GODWIT_OBJECT_DRIVES_H
#define GODWIT_OBJECT_DRIVES_H

#include <stddef.h>
#include <stdint.h>

#include "node/shard_store.h"

struct drives;
struct err;
struct peers;

#define DRIVES_MAX 64

/* Open drive i at @paths[i] for each of @count. @shared holds what is the same
 * for all (its path and drive are not used). ERR_BAD_INPUT: too many; else as
 * shard_store_open, with the path in front. */
int drives_open(const char *const *paths, size_t count,
                const struct shard_store_options *shared, struct drives **out,
                struct err *err);
/* After the object store that uses them. NULL is nothing. */
void drives_close(struct drives *d);

size_t drives_count(const struct drives *d);
struct peers *drives_peers(struct drives *d); /* borrowed */
const char *drives_path(const struct drives *d, size_t i);
void drives_stats(struct drives *d, size_t i, struct shard_store_stats *out);

#endif
