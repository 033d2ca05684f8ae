/* raft_snapshot.h: the file of a Raft snapshot: up to which index the database
 * holds the log, and who the members were. docs/DISK.md gives the bytes.
 *
 * Memory of what goes to libraft is raft_malloc's.
 * Threads: any.
 */
#ifndef GODWIT_META_RAFT_SNAPSHOT_H
#define GODWIT_META_RAFT_SNAPSHOT_H

#include <raft.h>

struct buf;
struct err;

void raft_snapshot_encode(const struct raft_snapshot *s, struct buf *out);
/* Read the file at @path; *@out is NULL when there never was one. ERR_CORRUPT,
 * ERR_VERSION, ERR_IO. */
int raft_snapshot_read(const char *path, struct raft_snapshot **out,
                       struct err *err);
void raft_snapshot_free(struct raft_snapshot *s); /* NULL is nothing */

#endif
