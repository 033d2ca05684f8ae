/* raft_log.h: the Raft log and the term and vote, on disk.
 *
 * Segment files of one size, zeroed or recycled, so that an append changes no
 * metadata of the file system: one pwrite (O_DIRECT where there is) and one
 * fdatasync for each append. Every record starts at a multiple of 4 KiB, so a
 * block that holds an acknowledged record is never written again. Each opening
 * starts a fresh segment, and so does cutting off the end; the header of a
 * segment says at which index it goes on, so what stands behind that in the
 * segments before it is not part of the log.
 *
 * Opening: a record that was being written when the power went is not part of
 * the log, nor is what follows it. A damaged record of which it can be told
 * that it was acknowledged is ERR_CORRUPT with file and offset: one that a
 * later segment counts on, or that is followed by records of a later append.
 * docs/DISK.md gives the bytes.
 *
 * Threads: there MUST NOT be more than one thread in a raft_log at any time,
 * but for raft_log_prepare, _forgot, _bytes, _segments and _spares, which any
 * may call,
 * and for raft_vote_*, which may have a thread of their own.
 */
#ifndef GODWIT_META_RAFT_LOG_H
#define GODWIT_META_RAFT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct raft_log;

#define RAFT_LOG_BLOCK 4096
#define RAFT_LOG_SEGMENT_DEFAULT (16u << 20)
#define RAFT_LOG_SEGMENT_MIN (64u << 10)
#define RAFT_LOG_RECORD_MAX (20u << 20) /* bytes of one entry */
#define RAFT_LOG_SPARES_MAX 2

/* The seam for files: as the calls of the same names, errno on failure. A test
 * puts one in place that forgets what was not synced. */
struct raft_log_files {
    void *data;
    int (*open)(void *data, const char *path, int flags);
    int (*close)(void *data, int fd);
    ssize_t (*pwrite)(void *data, int fd, const void *p, size_t n, off_t at);
    int (*fdatasync)(void *data, int fd);
    int (*rename)(void *data, const char *from, const char *to);
    int (*unlink)(void *data, const char *path);
    int (*sync_dir)(void *data, const char *path);
};
extern const struct raft_log_files raft_log_files_posix;

struct raft_log_entry {
    uint64_t term;
    uint64_t index;
    uint16_t type;
    const void *data;
    size_t len;
};

/* What opening found, in order, one call for each entry above @after; the data
 * is borrowed until the call returns. */
typedef int (*raft_log_entry_fn)(void *arg, const struct raft_log_entry *e,
                                 struct err *err);

struct raft_log_options {
    const char *dir;
    uint32_t segment_bytes;             /* 0: RAFT_LOG_SEGMENT_DEFAULT */
    const struct raft_log_files *files; /* kept; NULL: posix */
    uint64_t after; /* index of the snapshot: entries above it are wanted */
};

/* Open or make the log in an existing folder and read it. ERR_CORRUPT,
 * ERR_VERSION, ERR_IO, ERR_FULL. */
int raft_log_open(const struct raft_log_options *options, raft_log_entry_fn fn,
                  void *arg, struct raft_log **out, struct err *err);
void raft_log_close(struct raft_log *l);

/* The last index in the log, or the index of the snapshot when that is higher
 * or the log is empty. */
uint64_t raft_log_last(const struct raft_log *l);

/* Append @n entries, whose indexes follow raft_log_last; durable on return.
 * After a failure only closing is legal: what reached the disk is unknown. */
int raft_log_append(struct raft_log *l, const struct raft_log_entry *entries,
                    size_t n, struct err *err);

/* Forget the entries from @index on, durably. */
int raft_log_truncate(struct raft_log *l, uint64_t index, struct err *err);

/* Entries up to @index are no longer needed: segments that hold nothing else
 * are recycled. @index may be above the last (an installed snapshot). */
int raft_log_cut(struct raft_log *l, uint64_t index, struct err *err);

/* What was appended so far is not to be found in any file any more, once
 * raft_log_cut has let go of it: a fresh segment begins, and files of before
 * are written over with zeros, spares now and segments when they are cut off.
 */
int raft_log_forget(struct raft_log *l, struct err *err);
/* Is that so, of the last call? Since the opening, if there was none. */
bool raft_log_forgot(struct raft_log *l);

/* Keep a zeroed segment ready, so that no append has to wait for one. */
int raft_log_prepare(struct raft_log *l, struct err *err);

uint64_t raft_log_bytes(struct raft_log *l); /* of all its files */
size_t raft_log_segments(struct raft_log *l);
size_t raft_log_spares(struct raft_log *l); /* ready ones */

/* ---- term and vote ---- */

struct raft_vote {
    uint64_t term;
    uint64_t vote; /* member id, 0: none */
};
/* Zeros when nothing was ever stored. ERR_CORRUPT when no slot is whole. */
int raft_vote_load(struct raft_log *l, struct raft_vote *out, struct err *err);
/* Durable on return. */
int raft_vote_store(struct raft_log *l, const struct raft_vote *v,
                    struct err *err);

#endif
