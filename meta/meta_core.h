/* meta_core.h: struct meta, for the files that run it.
 *
 * The life of a proposal:
 *
 *     any thread    meta_propose: checked, queued
 *     loop          pump: all at hand become one entry -> raft_apply
 *     log writer    one pwrite, one fdatasync
 *     loop          libraft commits -> fsm_apply: handed to the apply thread
 *     apply thread  all entries at hand in one transaction -> COMMIT -> done()
 *
 * One entry is in the log's hands at a time (libraft's commit index starves
 * otherwise); what comes meanwhile is the next entry, so nothing is lost by it.
 * The entry's memory stays with libraft until a snapshot, and a snapshot waits
 * for the apply thread: entries cross to it without a copy.
 *
 * Threads: the struct says which on each part.
 */
#ifndef GODWIT_META_META_CORE_H
#define GODWIT_META_META_CORE_H

#include <pthread.h>
#include <raft.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/workers.h"
#include "meta/meta.h"
#include "meta/meta_apply.h"
#include "meta/meta_copy.h"
#include "meta/meta_net.h"
#include "meta/raft_io.h"

#define META_MAGIC 0x6174656du
/* Bytes logged and not yet applied; above it nothing more is proposed. */
#define META_BEHIND_BYTES_MAX (16u << 20)

struct meta_readers;

/* An entry on its way to the apply thread. */
struct meta_entry {
    struct meta_entry *next;
    uint64_t index;
    const void *data; /* libraft's; NULL: nothing to apply */
    size_t len;
    struct meta_proposal *proposals; /* NULL when replayed */
    size_t count;
};

struct meta {
    unsigned magic;
    char *dir;
    char *db_path;
    uint64_t reserve_bytes;
    uint32_t snapshot_entries, trailing_entries;
    struct meta_readers *readers;
    struct workers *keeper;
    struct net *net;            /* NULL: alone */
    struct meta_net *net_calls; /* NULL: alone */
    struct meta_copy *copy;     /* NULL: alone */
    uint32_t server;
    char *address;
    bool join;
    /* meta_era.h; what we say to others, and what the database is of. */
    atomic_uint_least64_t era, db_era;

    /* Any thread, under queue_mutex. */
    pthread_mutex_t queue_mutex;
    struct meta_proposal *queue, **queue_tail;
    size_t queue_count, queue_bytes;
    bool closing;
    struct loop_call pump_call;
    atomic_bool full;
    atomic_bool backing_up;

    /* The loop's. */
    struct loop *loop;
    pthread_t loop_thread;
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_disk *disk;
    struct raft_barrier barrier; /* of the election */
    struct raft_barrier nudge;   /* lets libraft take a snapshot */
    bool leading;
    bool barrier_out, nudge_out;
    struct raft_apply request;
    struct meta_entry *flight; /* in the log's hands */
    unsigned idle_ticks;
    uint64_t forgetting; /* index: the log was told to forget what is before */
    struct loop_call close_call;
    struct loop_timer close_timer;
    bool raft_closed;
    struct member_change *change; /* under way */
    bool giving;                  /* the lead to another: nothing is proposed */
    struct handover *handovers;   /* libraft may hold them until it is closed */

    /* The apply thread's. */
    pthread_t apply_thread;
    struct meta_db db;
    struct meta_apply apply;
    struct meta_result results[COMMAND_BATCH_MAX];

    /* Between loop, apply thread and keeper, under apply_mutex. */
    pthread_mutex_t apply_mutex;
    pthread_cond_t apply_more; /* the apply thread waits */
    pthread_cond_t apply_done; /* others wait for applied */
    struct meta_entry *entries, **entries_tail;
    struct meta_proposal *refused, **refused_tail;
    size_t behind_bytes; /* handed over, not yet applied */
    uint64_t handed;     /* index of the last entry handed over */
    uint64_t applied;    /* ... of the last one done */
    struct meta_state shown;
    uint64_t shown_commands, shown_entries;
    _Atomic uint64_t access_revision; /* meta_user.h */
    uint64_t term;
    bool is_leader;
    uint32_t leader_server;
    struct meta_member members[META_MEMBERS_MAX];
    size_t member_count;
    bool ready;
    bool stopping;
    bool finish_checkpoint; /* the keeper has done its part */
    bool checkpointing;
    int wal_pages;
    const char *swap_path; /* a database to take the place of ours ... */
    uint64_t swap_applied; /* ... if ours is not as far */
    bool swapped;
    /* Indexes of the log: the last that ended a pass of erasure; to wipe the
     * WAL of, and wiped; nothing is left up to. */
    uint64_t erased, wal_wipe, wal_clean, clean, told_clean;
    bool telling_clean;

    /* The keeper's. */
    struct meta_db checkpoint_db;
    struct work checkpoint_work;
};

/* ---- meta.c ---- */

int meta_open_database(struct meta *m, struct err *err);
void meta_close_database(struct meta *m);

/* ---- meta_lead.c ---- */

/* Take a snapshot with the next entry; who leads sees that there is one. */
void meta_take_snapshot(struct meta *m);

/* ---- meta_wipe.c ---- */

/* The database was opened: what was erased, and is this member clean of it? The
 * apply thread's, or before it runs. */
int meta_erase_open(struct meta *m, struct err *err);
/* Go on with leaving no trace of what was erased. Loop. */
void meta_check_erased(struct meta *m);

/* ---- meta_worker.c: the apply thread, and what it shares with the keeper ----
 */

void *meta_apply_main(void *arg);
int meta_on_wal(void *arg, sqlite3 *db, const char *name, int pages);
void meta_checkpoint_run(struct work *w); /* keeper */
/* raft_io's make_durable: the database holds all up to @index, and what a power
 * cut leaves of it does, too. Keeper. */
int meta_make_durable(void *arg, uint64_t index, struct err *err);
/* Put the database at @path, which holds all up to @applied, in place of ours,
 * between two transactions, and wait for it. Not when ours is as far: while the
 * copy was made the log may have been faster, and libraft does not hand over
 * again what it did. False then; @path stays. A failure stops the process.
 * Keeper. */
bool meta_swap_database(struct meta *m, const char *path, uint64_t applied);
/* Takes @e. Loop. */
void meta_hand_over(struct meta *m, struct meta_entry *e);
/* Answer without the log, on the apply thread as always. Any thread. */
void meta_refuse(struct meta *m, struct meta_proposal *p);
/* Ask the loop to pump, once. Any thread. */
void meta_post_pump(struct meta *m);

/* ---- meta_lead.c: the loop, which owns libraft ---- */

void meta_on_pump(struct loop_call *call);
void meta_on_tick(void *arg);
/* raft_io's install. Loop. */
bool meta_install(void *arg, raft_id from, uint64_t index);
/* raft_io's view. Loop. */
void meta_raft_view(void *arg, struct raft_guard_view *out);
/* Put what another leader did not take in front of the queue; takes @e. */
void meta_requeue(struct meta *m, struct meta_entry *e);
void meta_check_space(struct meta *m);
int meta_open_raft(struct meta *m, struct err *err);

/* ---- meta_members.c ---- */

/* The configuration as others see it. Loop. */
void meta_show_members(struct meta *m);
void meta_free_handovers(struct meta *m);

#endif
