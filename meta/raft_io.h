/* raft_io.h: libraft's struct raft_io over our own log.
 *
 * All calls of libraft come on the loop's thread and return at once: appends
 * and cuts go to one log writer thread in the order given, snapshots to the
 * keeper. Each completion is posted back to the loop. An append never fails
 * half: when the disk says no, the process stops (meta/meta_stop.h) before
 * anything is acknowledged.
 *
 * Messages go out by a call of the owner's and come in by raft_io_receive; both
 * ways they pass the guards (meta/raft_guard.h). A snapshot of another member
 * reaches libraft once the database holds what it speaks of.
 *
 * A snapshot is a file of some 100 bytes that says up to where the database
 * holds the log durably. The order is: make_durable(index), the file, the cut.
 *
 * Threads: raft_io_open and raft_io_free where no other uses it; the rest loop.
 */
#ifndef GODWIT_META_RAFT_IO_H
#define GODWIT_META_RAFT_IO_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct raft_log_files;
struct workers;
struct raft_disk;
struct raft_guard_view;

struct raft_io_options {
    const char *dir;
    uint32_t segment_bytes;             /* of the log; 0: its default */
    const struct raft_log_files *files; /* kept; NULL: posix */
    struct loop *loop;                  /* kept */
    struct workers *keeper;             /* kept; one thread */
    /* Return when the database holds all up to @index on stable media. Runs on
     * the keeper's thread. A failure stops the process. */
    int (*make_durable)(void *arg, uint64_t index, struct err *err);
    /* Each tick, after libraft's. On the loop. */
    void (*on_tick)(void *arg);
    /* Send a message (raft_wire.h) to another member; copies, and may lose it.
     * On the loop. NULL: there is no other member. */
    void (*send)(void *arg, raft_id to, const char *address,
                 const void *message, size_t len);
    /* A snapshot up to @index came from @from: is the database that far? If
     * not, it is seen to, and the message forgotten. On the loop. */
    bool (*install)(void *arg, raft_id from, uint64_t index);
    /* What libraft is at this moment. Needed with send. On the loop. */
    void (*view)(void *arg, struct raft_guard_view *out);
    void *arg;
};

/* Open log and snapshot. Fills @io, which @out stands behind until freed.
 * ERR_CORRUPT, ERR_VERSION, ERR_IO, ERR_FULL. */
int raft_io_open(const struct raft_io_options *options, struct raft_io *io,
                 struct raft_disk **out, struct err *err);
/* After raft_close. */
void raft_io_free(struct raft_disk *d);

/* A message of member @from came. ERR_BAD_INPUT: it is none. Loop. */
int raft_io_receive(struct raft_disk *d, raft_id from, const char *address,
                    const void *message, size_t len, struct err *err);

/* Nothing is being written. */
bool raft_io_idle(const struct raft_disk *d);
uint64_t raft_io_last(const struct raft_disk *d); /* index given to the log */
uint64_t raft_io_snapshot_index(const struct raft_disk *d);
/* Bytes of the entries that a snapshot would let go of. */
uint64_t raft_io_entry_bytes(const struct raft_disk *d);
/* Let the keeper make a spare segment when there is none. Cheap when there is;
 * a failure is logged once and tried again. */
void raft_io_prepare(struct raft_disk *d);
/* As raft_log_forget; what is then let go of by snapshots is gone. Loop. */
void raft_io_forget(struct raft_disk *d);
/* Is nothing left of what was in the log at that call? Loop. */
bool raft_io_forgot(const struct raft_disk *d);
/* Files of the log. Any thread. */
uint64_t raft_io_log_bytes(const struct raft_disk *d);
size_t raft_io_segments(const struct raft_disk *d);

#endif
