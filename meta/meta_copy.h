/* meta_copy.h: the catalogue's database, from one member to another.
 *
 * A snapshot of Raft says only up to where the database holds the log. A member
 * that lags behind what the leader's log keeps is told of such a snapshot, and
 * then needs the database itself, of that index or a later one: what follows in
 * the log and is in the copy already is not applied again.
 *
 * The leader makes a copy on its keeper (SQLite's backup, in one read
 * transaction, beside all others) and gives it piece by piece; the other writes
 * it beside its own, checks size and SHA-256, and puts it in place between two
 * transactions. Only then does libraft hear of the snapshot.
 *
 *     NET_META  4 COPY_OPEN   u64 index that it must hold; answer: u64 copy,
 *                             u64 size, u64 applied index, 32 bytes SHA-256
 *               5 COPY_READ   u64 copy, u64 offset; answer: body, up to 1 MiB.
 *                             ERR_NOT_FOUND: another copy was made since
 *
 * A copy serves all who ask within a minute.
 * Threads: the keeper, but for what says otherwise.
 */
#ifndef GODWIT_META_META_COPY_H
#define GODWIT_META_META_COPY_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct meta;
struct meta_copy;
struct net_request;

struct meta_copy *meta_copy_new(struct meta *m);
void meta_copy_free(struct meta_copy *c); /* NULL is nothing */

/* Answer COPY_OPEN or COPY_READ. Loop. */
void meta_copy_serve(struct meta_copy *c, struct net_request *r);
/* A message of libraft that installs a snapshot up to @index came from @from:
 * true when the database has all of it; else a copy is fetched, if none is
 * being, and the message is to be forgotten: the leader sends it again. Loop.
 */
bool meta_copy_wanted(struct meta_copy *c, uint32_t from, uint64_t index);
/* Nothing is being fetched or given. Loop. */
bool meta_copy_idle(const struct meta_copy *c);

#endif
