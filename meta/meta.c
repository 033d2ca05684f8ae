/* The life of a proposal:
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
 */
#include "meta/meta.h"

#include <fcntl.h>
#include <pthread.h>
#include <raft.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fs.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/wire.h"
#include "base/workers.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"
#include "meta/meta_stop.h"
#include "meta/raft_io.h"

#define META_MAGIC 0x6174656du
#define MEMBER_ID 1
#define MEMBER_ADDRESS "self"
#define DB_FILE "catalogue.db"
#define ELECTION_MS 1000
#define HEARTBEAT_MS 100 /* also how often free space is looked at */
#define SNAPSHOT_ENTRIES 8192
#define SNAPSHOT_BYTES (16u << 20)     /* entries kept in memory until then */
#define SNAPSHOT_IDLE_BYTES (1u << 20) /* ... by a store with nothing to do */
#define SNAPSHOT_SEGMENTS 4            /* each start begins a file */
#define IDLE_TICKS 10
#define QUEUE_MAX 16384              /* proposals waiting for the log */
#define QUEUE_BYTES_MAX (64u << 20)  /* of their commands */
#define BEHIND_BYTES_MAX (16u << 20) /* logged and not yet applied */
#define WAL_PAGES 1000               /* then the keeper checkpoints */
#define WAL_PAGES_MAX 16000 /* then the apply thread waits for a checkpoint */
#define KEEPER_QUEUE 64
#define CLOSE_POLL_MS 1
#define MANIFEST_SIZE 16

/* An entry on its way to the apply thread. */
struct entry {
    struct entry *next;
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
    uint32_t snapshot_entries;
    struct meta_readers *readers;
    struct workers *keeper;

    /* Any thread, under queue_mutex. */
    pthread_mutex_t queue_mutex;
    struct meta_proposal *queue, **queue_tail;
    size_t queue_count, queue_bytes;
    bool pump_posted;
    bool closing;
    struct loop_call pump_call;
    atomic_bool full;

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
    struct entry *flight; /* in the log's hands */
    unsigned idle_ticks;
    struct loop_call close_call;
    struct loop_timer close_timer;
    bool raft_closed;

    /* The apply thread's. */
    pthread_t apply_thread;
    struct meta_db db;
    struct meta_apply apply;
    struct meta_result results[COMMAND_BATCH_MAX];

    /* Between loop, apply thread and keeper, under apply_mutex. */
    pthread_mutex_t apply_mutex;
    pthread_cond_t apply_more; /* the apply thread waits */
    pthread_cond_t apply_done; /* others wait for applied */
    struct entry *entries, **entries_tail;
    struct meta_proposal *refused, **refused_tail;
    size_t behind_bytes; /* handed over, not yet applied */
    uint64_t handed;     /* index of the last entry handed over */
    uint64_t applied;    /* ... of the last one done */
    struct meta_state shown;
    uint64_t shown_commands, shown_entries;
    uint64_t term;
    bool is_leader;
    bool ready;
    bool stopping;
    bool finish_checkpoint; /* the keeper has done its part */
    bool checkpointing;
    int wal_pages;

    /* The keeper's. */
    struct meta_db checkpoint_db;
    struct work checkpoint_work;
};

struct meta_readers *meta_readers_of(struct meta *m)
{
    CHECK_OBJ(m, META_MAGIC);
    return m->readers;
}

/* ---- the apply thread ---- */

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct meta *m = arg;

    (void)db;
    (void)name;
    m->wal_pages = pages; /* on the apply thread, in COMMIT */
    return SQLITE_OK;
}

static void checkpoint_run(struct work *w)
{
    struct meta *m = LIST_OF(w, struct meta, checkpoint_work);

    /* Beside writers and readers; what it cannot do now it does next time. */
    sqlite3_wal_checkpoint_v2(m->checkpoint_db.sqlite, NULL,
                              SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    pthread_mutex_lock(&m->apply_mutex);
    m->checkpointing = false;
    m->finish_checkpoint = true;
    pthread_mutex_unlock(&m->apply_mutex);
}

/* The WAL starts over only when nothing in it is left to copy at the moment of
 * a commit. The keeper copies the bulk while commits go on; the few pages that
 * came meanwhile are copied here, between two transactions. */
static void keep_wal_short(struct meta *m)
{
    bool finish, start;

    pthread_mutex_lock(&m->apply_mutex);
    finish = m->finish_checkpoint || m->wal_pages > WAL_PAGES_MAX;
    m->finish_checkpoint = false;
    start = !finish && !m->checkpointing && m->wal_pages > WAL_PAGES;
    m->checkpointing = m->checkpointing || start;
    pthread_mutex_unlock(&m->apply_mutex);
    if (finish) {
        sqlite3_wal_checkpoint_v2(m->db.sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                  NULL, NULL);
    }
    if (start && !workers_run(m->keeper, &m->checkpoint_work)) {
        pthread_mutex_lock(&m->apply_mutex);
        m->checkpointing = false;
        pthread_mutex_unlock(&m->apply_mutex);
    }
}

static void answer(struct meta_proposal *p)
{
    while (p != NULL) {
        struct meta_proposal *next = p->next;
        p->next = NULL;
        p->done(p); /* p may be gone now */
        p = next;
    }
}

static void apply_one(struct meta *m, struct entry *e, struct err *err)
{
    struct meta_proposal *p = e->proposals;
    size_t i = 0;
    int rc;

    for (; p != NULL; p = p->next) {
        m->results[i++] = (struct meta_result){.codes = p->codes};
    }
    CHECK(i == e->count);
    rc = meta_apply_entry(&m->apply, e->index, e->data, e->len,
                          i > 0 ? m->results : NULL, err);
    if (rc != 0) {
        meta_stop("apply", err->text);
    }
    i = 0;
    for (p = e->proposals; p != NULL; p = p->next, i++) {
        p->status = m->results[i].status;
        p->body = m->results[i].body;
        if (p->status != 0) {
            err_set(&p->err, p->status, "%s", err_text(p->status));
        }
    }
}

/* One transaction for all; answers only after COMMIT. */
static void apply_all(struct meta *m, struct entry *list)
{
    struct err err;
    size_t bytes = 0, count = 0;
    uint64_t last = 0;

    if (meta_apply_begin(&m->apply, &err) != 0) {
        meta_stop("apply", err.text);
    }
    for (struct entry *e = list; e != NULL; e = e->next) {
        if (e->data != NULL) {
            apply_one(m, e, &err);
            count++;
        } else {
            meta_apply_empty(&m->apply, e->index);
        }
        bytes += e->len;
        last = e->index;
    }
    if (meta_apply_commit(&m->apply, &err) != 0) {
        meta_stop("apply", err.text);
    }
    pthread_mutex_lock(&m->apply_mutex);
    m->behind_bytes -= bytes;
    m->applied = last > m->applied ? last : m->applied; /* or replayed */
    m->shown = m->apply.state;
    m->shown_commands = m->apply.commands;
    m->shown_entries += count;
    pthread_cond_broadcast(&m->apply_done);
    pthread_mutex_unlock(&m->apply_mutex);
    while (list != NULL) {
        struct entry *next = list->next;
        answer(list->proposals);
        free(list);
        list = next;
    }
}

/* Ask the loop to pump, once. */
static void post_pump(struct meta *m)
{
    bool post;

    pthread_mutex_lock(&m->queue_mutex);
    post = !m->pump_posted;
    m->pump_posted = true;
    pthread_mutex_unlock(&m->queue_mutex);
    if (post) {
        loop_post(m->loop, &m->pump_call);
    }
}

static void *apply_main(void *arg)
{
    struct meta *m = arg;

    pthread_setname_np(pthread_self(), "meta-apply");
    for (;;) {
        struct entry *list;
        struct meta_proposal *refused;
        bool was_behind;

        pthread_mutex_lock(&m->apply_mutex);
        while (m->entries == NULL && m->refused == NULL && !m->stopping) {
            pthread_cond_wait(&m->apply_more, &m->apply_mutex);
        }
        if (m->entries == NULL && m->refused == NULL) {
            pthread_mutex_unlock(&m->apply_mutex);
            return NULL;
        }
        list = m->entries;
        m->entries = NULL;
        m->entries_tail = &m->entries;
        refused = m->refused;
        m->refused = NULL;
        m->refused_tail = &m->refused;
        was_behind = m->behind_bytes > BEHIND_BYTES_MAX;
        pthread_mutex_unlock(&m->apply_mutex);
        answer(refused);
        if (list != NULL) {
            apply_all(m, list);
            keep_wal_short(m);
        }
        if (was_behind) {
            post_pump(m);
        }
    }
}

static void hand_over(struct meta *m, struct entry *e)
{
    pthread_mutex_lock(&m->apply_mutex);
    e->next = NULL;
    *m->entries_tail = e;
    m->entries_tail = &e->next;
    m->behind_bytes += e->len;
    m->handed = e->index;
    pthread_cond_signal(&m->apply_more);
    pthread_mutex_unlock(&m->apply_mutex);
}

static void wait_applied(struct meta *m, uint64_t index)
{
    pthread_mutex_lock(&m->apply_mutex);
    while (m->applied < index) {
        pthread_cond_wait(&m->apply_done, &m->apply_mutex);
    }
    pthread_mutex_unlock(&m->apply_mutex);
}

/* ---- proposing: the loop ---- */

/* Answer without the log, on the apply thread as always. */
static void refuse(struct meta *m, struct meta_proposal *p)
{
    pthread_mutex_lock(&m->apply_mutex);
    p->next = NULL;
    *m->refused_tail = p;
    m->refused_tail = &p->next;
    pthread_cond_signal(&m->apply_more);
    pthread_mutex_unlock(&m->apply_mutex);
}

static void refuse_entry(struct meta *m, struct entry *e, int status)
{
    struct meta_proposal *p = e->proposals;

    while (p != NULL) {
        struct meta_proposal *next = p->next;
        p->status = err_set(&p->err, status, "%s", err_text(status));
        refuse(m, p);
        p = next;
    }
    free(e);
}

/* Take what is queued, within the bounds of an entry; NULL when nothing is. */
static struct entry *take_queued(struct meta *m)
{
    struct entry *e = NULL;
    struct meta_proposal *p, **tail;
    size_t bytes = 0;

    pthread_mutex_lock(&m->queue_mutex);
    m->pump_posted = false;
    if (m->queue != NULL) {
        e = mem_alloc(sizeof *e);
        tail = &e->proposals;
        while ((p = m->queue) != NULL && e->count < COMMAND_BATCH_MAX &&
               (e->count == 0 ||
                bytes + p->command_len <= COMMAND_BATCH_BYTES_MAX)) {
            m->queue = p->next;
            *tail = p;
            tail = &p->next;
            bytes += p->command_len;
            e->count++;
        }
        *tail = NULL;
        if (m->queue == NULL) {
            m->queue_tail = &m->queue;
        }
        m->queue_count -= e->count;
        m->queue_bytes -= bytes;
        e->len = command_batch_size(e->count, bytes);
    }
    pthread_mutex_unlock(&m->queue_mutex);
    return e;
}

static void on_logged(struct raft_apply *request, int status, void *result)
{
    struct meta *m = request->data;
    struct entry *e = m->flight;

    (void)result;
    CHECK_OBJ(m, META_MAGIC);
    m->flight = NULL;
    if (status != 0 && e != NULL) {
        /* It may be in the log and be applied by the next start. */
        refuse_entry(m, e, ERR_UNKNOWN);
    }
    post_pump(m); /* not from within libraft's walk over its entries */
}

static bool far_behind(struct meta *m)
{
    bool behind;

    pthread_mutex_lock(&m->apply_mutex);
    behind = m->behind_bytes > BEHIND_BYTES_MAX;
    pthread_mutex_unlock(&m->apply_mutex);
    return behind;
}

static void propose_entry(struct meta *m, struct entry *e)
{
    struct raft_buffer buf = {.len = e->len, .base = raft_malloc(e->len)};
    uint8_t *at;
    int rc;

    CHECK(buf.base != NULL);
    at = command_batch_head(buf.base, e->count);
    for (struct meta_proposal *p = e->proposals; p != NULL; p = p->next) {
        at = command_batch_put(at, p->command, p->command_len);
    }
    memset(at, 0, (size_t)((uint8_t *)buf.base + buf.len - at));
    e->index = raft_last_index(&m->raft) + 1;
    m->flight = e;
    m->request.data = m;
    rc = raft_apply(&m->raft, &m->request, &buf, 1, on_logged);
    if (rc != 0) {
        log_line(LOG_WARN, "proposal not accepted", "err", raft_strerror(rc),
                 NULL);
        raft_free(buf.base);
        m->flight = NULL;
        refuse_entry(m, e, ERR_UNAVAILABLE);
    }
}

static void pump(struct meta *m)
{
    struct entry *e;

    CHECK_ON_LOOP(m->loop);
    if (m->flight != NULL || m->nudge_out || m->raft_closed || far_behind(m)) {
        pthread_mutex_lock(&m->queue_mutex);
        m->pump_posted = false; /* what is waited for posts it again */
        pthread_mutex_unlock(&m->queue_mutex);
        return;
    }
    e = take_queued(m);
    if (e != NULL) {
        m->idle_ticks = 0;
        propose_entry(m, e);
    }
}

static void on_pump(struct loop_call *call)
{
    pump(LIST_OF(call, struct meta, pump_call));
}

/* ---- libraft's state machine: the loop ---- */

static struct meta *meta_of(struct raft_fsm *fsm)
{
    struct meta *m = fsm->data;

    CHECK_OBJ(m, META_MAGIC);
    return m;
}

/* libraft raises last_applied after this call. */
static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf,
                     void **result)
{
    struct meta *m = meta_of(fsm);
    uint64_t index = raft_last_applied(&m->raft) + 1;
    struct entry *e;

    if (m->flight != NULL) {
        e = m->flight;
        CHECK(e->index == index);
        m->flight = NULL;
    } else {
        e = mem_alloc(sizeof *e);
        e->index = index;
    }
    e->data = buf->base;
    e->len = buf->len;
    hand_over(m, e);
    if (raft_io_entry_bytes(m->disk) > SNAPSHOT_BYTES) {
        raft_set_snapshot_threshold(&m->raft, 1);
    }
    *result = NULL;
    return 0;
}

/* The snapshot's data: up to where the database has it. */
static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[],
                        unsigned *n_bufs)
{
    struct meta *m = meta_of(fsm);
    uint64_t index = raft_last_applied(&m->raft);
    struct entry *e = mem_alloc(sizeof *e);
    uint8_t *manifest = raft_calloc(1, MANIFEST_SIZE);

    CHECK(manifest != NULL);
    *bufs = raft_malloc(sizeof **bufs);
    CHECK(*bufs != NULL);
    store_u64(manifest, META_FORMAT);
    store_u64(manifest + 8, index);
    (*bufs)[0] = (struct raft_buffer){.base = manifest, .len = MANIFEST_SIZE};
    *n_bufs = 1;
    /* Barriers are entries too: let the database count them. */
    e->index = index;
    hand_over(m, e);
    raft_set_snapshot_threshold(&m->raft, m->snapshot_entries);
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct meta *m = meta_of(fsm);

    if (buf->len != MANIFEST_SIZE ||
        load_u64((uint8_t *)buf->base + 8) > m->apply.state.applied) {
        return RAFT_CORRUPT;
    }
    raft_free(buf->base);
    return 0;
}

/* raft_io's keeper: the database holds all up to @index, and what a power cut
 * leaves of it does, too. Frames of the WAL that were copied were synced by the
 * checkpoint; the others are synced here. */
static int make_durable(void *arg, uint64_t index, struct err *err)
{
    struct meta *m = arg;
    char *wal = mem_printf("%s-wal", m->db_path);
    int rc = 0;
    int fd;

    wait_applied(m, index);
    sqlite3_wal_checkpoint_v2(m->checkpoint_db.sqlite, NULL,
                              SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    fd = open(wal, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        rc = err_errno(err, "%s: open", wal);
    } else {
        if (fdatasync(fd) != 0) {
            rc = err_errno(err, "%s: fdatasync", wal);
        }
        close(fd);
    }
    free(wal);
    return rc == 0 ? fs_sync_dir(m->dir, err) : rc;
}

/* ---- leading: the loop ---- */

static void on_barrier(struct raft_barrier *b, int status)
{
    struct meta *m = b->data;

    CHECK_OBJ(m, META_MAGIC);
    m->barrier_out = false;
    if (status == 0) {
        pthread_mutex_lock(&m->apply_mutex);
        m->ready = true;
        pthread_cond_broadcast(&m->apply_done);
        pthread_mutex_unlock(&m->apply_mutex);
    }
}

/* A new leader commits an entry of its own term first: before that, entries of
 * older terms must not count as committed (dissertation, section 6.4; libraft
 * does not do it by itself). */
static void check_state(struct meta *m)
{
    int state = raft_state(&m->raft);

    if (state == RAFT_UNAVAILABLE) {
        meta_stop("raft", raft_errmsg(&m->raft));
    }
    if (state == RAFT_LEADER && !m->leading && !m->barrier_out) {
        m->barrier.data = m;
        m->barrier_out = raft_barrier(&m->raft, &m->barrier, on_barrier) == 0;
        m->leading = m->barrier_out;
    } else if (state != RAFT_LEADER) {
        m->leading = false;
    }
    pthread_mutex_lock(&m->apply_mutex);
    m->is_leader = m->leading;
    m->term = m->raft.current_term;
    pthread_mutex_unlock(&m->apply_mutex);
}

static void on_nudge(struct raft_barrier *b, int status)
{
    struct meta *m = b->data;

    (void)status;
    CHECK_OBJ(m, META_MAGIC);
    m->nudge_out = false;
    post_pump(m);
}

/* An idle store lets go of the entries that it keeps in memory, and of the
 * files that many starts leave behind. libraft takes a snapshot only after an
 * entry, so it gets one. */
static void check_idle(struct meta *m)
{
    bool many =
        raft_io_entry_bytes(m->disk) > SNAPSHOT_IDLE_BYTES ||
        (raft_io_segments(m->disk) > SNAPSHOT_SEGMENTS &&
         raft_last_applied(&m->raft) > raft_io_snapshot_index(m->disk) + 1);

    if (++m->idle_ticks < IDLE_TICKS || !many || m->nudge_out ||
        m->flight != NULL || !raft_io_idle(m->disk)) {
        return;
    }
    m->idle_ticks = 0;
    raft_set_snapshot_threshold(&m->raft, 1);
    m->nudge.data = m;
    m->nudge_out = raft_barrier(&m->raft, &m->nudge, on_nudge) == 0;
}

static void check_space(struct meta *m)
{
    uint64_t free_bytes, size_bytes;

    if (m->reserve_bytes > 0 &&
        fs_space(m->dir, &free_bytes, &size_bytes, NULL) == 0) {
        atomic_store(&m->full, free_bytes < m->reserve_bytes);
    }
}

static void on_tick(void *arg)
{
    struct meta *m = arg;

    CHECK_OBJ(m, META_MAGIC);
    check_state(m);
    check_space(m);
    if (m->leading) {
        check_idle(m);
    }
    raft_io_prepare(m->disk);
}

/* ---- opening ---- */

static void *loop_main(void *arg)
{
    struct meta *m = arg;

    pthread_setname_np(pthread_self(), "meta-loop");
    loop_run(m->loop, NULL, NULL);
    return NULL;
}

static struct meta *meta_new(const struct meta_options *options)
{
    struct meta *m = mem_alloc(sizeof *m);

    m->magic = META_MAGIC;
    m->dir = mem_strdup(options->dir);
    m->db_path = mem_printf("%s/" DB_FILE, options->dir);
    m->reserve_bytes = options->reserve_bytes;
    m->snapshot_entries = options->snapshot_entries != 0
                              ? options->snapshot_entries
                              : SNAPSHOT_ENTRIES;
    CHECK(pthread_mutex_init(&m->queue_mutex, NULL) == 0);
    CHECK(pthread_mutex_init(&m->apply_mutex, NULL) == 0);
    CHECK(pthread_cond_init(&m->apply_more, NULL) == 0);
    CHECK(pthread_cond_init(&m->apply_done, NULL) == 0);
    m->queue_tail = &m->queue;
    m->entries_tail = &m->entries;
    m->refused_tail = &m->refused;
    m->pump_call.fn = on_pump;
    m->checkpoint_work.fn = checkpoint_run;
    m->readers = meta_readers_new(m->db_path);
    m->keeper = workers_new("meta-keeper", 1, KEEPER_QUEUE);
    m->loop = loop_new();
    return m;
}

static void meta_free(struct meta *m)
{
    workers_free(m->keeper);
    meta_readers_free(m->readers);
    loop_free(m->loop);
    pthread_cond_destroy(&m->apply_done);
    pthread_cond_destroy(&m->apply_more);
    pthread_mutex_destroy(&m->apply_mutex);
    pthread_mutex_destroy(&m->queue_mutex);
    free(m->db_path);
    free(m->dir);
    m->magic = 0;
    free(m);
}

static int open_db(struct meta *m, struct err *err)
{
    int rc = meta_db_open(&m->db, m->db_path, META_DB_WRITER, err);

    if (rc == 0) {
        rc = meta_apply_init(&m->apply, &m->db, err);
    }
    if (rc == 0) {
        rc = meta_db_open(&m->checkpoint_db, m->db_path, META_DB_READER, err);
    }
    if (rc == 0) {
        sqlite3_wal_hook(m->db.sqlite, on_wal, m);
        m->shown = m->apply.state;
        m->applied = m->apply.state.applied;
    }
    return rc;
}

static void close_db(struct meta *m)
{
    meta_db_close(&m->checkpoint_db);
    meta_db_close(&m->db);
}

/* What the log and the database say of each other. */
static int check_agreement(struct meta *m, struct err *err)
{
    uint64_t applied = m->apply.state.applied;

    if (applied < raft_io_snapshot_index(m->disk)) {
        return err_set(err, ERR_CORRUPT,
                       "%s: holds the log up to %llu, but the snapshot says "
                       "%llu: an older copy of the file?",
                       m->db_path, (unsigned long long)applied,
                       (unsigned long long)raft_io_snapshot_index(m->disk));
    }
    if (applied > raft_io_last(m->disk)) {
        return err_set(err, ERR_CORRUPT,
                       "%s: the log ends with record %llu, but the database "
                       "has applied %llu",
                       m->dir, (unsigned long long)raft_io_last(m->disk),
                       (unsigned long long)applied);
    }
    return 0;
}

static int raft_error(struct meta *m, const char *what, struct err *err)
{
    return err_set(err, ERR_IO, "raft: %s: %s", what, raft_errmsg(&m->raft));
}

/* One voter, this process, on a folder that has never had any. */
static int bootstrap(struct meta *m, struct err *err)
{
    struct raft_configuration conf;
    int rc;

    raft_configuration_init(&conf);
    rc = raft_configuration_add(&conf, MEMBER_ID, MEMBER_ADDRESS, RAFT_VOTER);
    if (rc == 0) {
        rc = raft_bootstrap(&m->raft, &conf);
    }
    raft_configuration_close(&conf);
    if (rc != 0 && rc != RAFT_CANTBOOTSTRAP) {
        return raft_error(m, "bootstrap", err);
    }
    return 0;
}

static int open_raft(struct meta *m, struct err *err)
{
    int rc;

    m->fsm = (struct raft_fsm){.version = 1,
                               .data = m,
                               .apply = fsm_apply,
                               .snapshot = fsm_snapshot,
                               .restore = fsm_restore};
    if (raft_init(&m->raft, &m->io, &m->fsm, MEMBER_ID, MEMBER_ADDRESS) != 0) {
        return raft_error(m, "init", err);
    }
    raft_set_election_timeout(&m->raft, ELECTION_MS);
    raft_set_heartbeat_timeout(&m->raft, HEARTBEAT_MS);
    raft_set_pre_vote(&m->raft, true);
    raft_set_snapshot_threshold(&m->raft, m->snapshot_entries);
    raft_set_snapshot_trailing(&m->raft, 0); /* no follower to catch up */
    rc = bootstrap(m, err);
    if (rc == 0 && raft_start(&m->raft) != 0) {
        rc = raft_error(m, "start", err);
    }
    if (rc != 0) {
        raft_close(&m->raft, NULL);
        return rc;
    }
    check_state(m); /* a single voter leads at once */
    return 0;
}

static void wait_ready(struct meta *m)
{
    pthread_mutex_lock(&m->apply_mutex);
    while (!m->ready || m->applied < m->handed) {
        pthread_cond_wait(&m->apply_done, &m->apply_mutex);
    }
    pthread_mutex_unlock(&m->apply_mutex);
}

int meta_open(const struct meta_options *options, struct meta **out,
              struct err *err)
{
    struct raft_io_options io = {
        .dir = options->dir,
        .segment_bytes = (uint32_t)options->log_segment_bytes,
        .make_durable = make_durable,
        .on_tick = on_tick};
    struct meta *m = meta_new(options);
    int rc = fs_mkdirs(m->dir, err);

    if (rc == 0) {
        rc = open_db(m, err);
    }
    if (rc != 0) {
        goto err_after_db;
    }
    io.loop = m->loop;
    io.keeper = m->keeper;
    io.arg = m;
    rc = raft_io_open(&io, &m->io, &m->disk, err);
    if (rc != 0) {
        goto err_after_db;
    }
    rc = check_agreement(m, err);
    if (rc == 0) {
        check_space(m);
        rc = open_raft(m, err);
    }
    if (rc != 0) {
        goto err_after_io;
    }
    CHECK(pthread_create(&m->apply_thread, NULL, apply_main, m) == 0);
    CHECK(pthread_create(&m->loop_thread, NULL, loop_main, m) == 0);
    wait_ready(m);
    *out = m;
    return 0;

err_after_io:
    raft_io_free(m->disk);
err_after_db:
    close_db(m);
    meta_free(m);
    return rc;
}

/* ---- closing ---- */

static void on_raft_closed(struct raft *raft)
{
    (void)raft;
}

static bool quiet(struct meta *m)
{
    bool empty;

    pthread_mutex_lock(&m->queue_mutex);
    empty = m->queue == NULL;
    pthread_mutex_unlock(&m->queue_mutex);
    pthread_mutex_lock(&m->apply_mutex);
    empty = empty && m->entries == NULL && m->refused == NULL &&
            m->applied >= m->handed;
    pthread_mutex_unlock(&m->apply_mutex);
    return empty && m->flight == NULL && raft_io_idle(m->disk);
}

static void try_close(struct meta *m)
{
    if (!quiet(m)) {
        loop_timer_set(m->loop, &m->close_timer, CLOSE_POLL_MS);
        return;
    }
    m->raft_closed = true;
    raft_close(&m->raft, on_raft_closed);
    loop_stop(m->loop);
}

static void on_close_timer(struct loop_timer *t)
{
    try_close(LIST_OF(t, struct meta, close_timer));
}

static void on_close(struct loop_call *call)
{
    struct meta *m = LIST_OF(call, struct meta, close_call);

    loop_timer_init(&m->close_timer, on_close_timer);
    try_close(m);
}

void meta_close(struct meta *m)
{
    if (m == NULL) {
        return;
    }
    CHECK_OBJ(m, META_MAGIC);
    pthread_mutex_lock(&m->queue_mutex);
    m->closing = true;
    pthread_mutex_unlock(&m->queue_mutex);
    m->close_call.fn = on_close;
    loop_post(m->loop, &m->close_call);
    pthread_join(m->loop_thread, NULL);
    pthread_mutex_lock(&m->apply_mutex);
    m->stopping = true;
    pthread_cond_signal(&m->apply_more);
    pthread_mutex_unlock(&m->apply_mutex);
    pthread_join(m->apply_thread, NULL);
    raft_io_free(m->disk);
    workers_free(m->keeper); /* a checkpoint may still run */
    m->keeper = NULL;
    close_db(m);
    meta_free(m);
}

/* ---- any thread ---- */

/* 0 when the proposal may go to the log. */
static int admit(struct meta *m, struct meta_proposal *p)
{
    struct command c;
    int rc = command_decode(p->command, p->command_len, &c, &p->err);

    if (rc == 0 && atomic_load(&m->full) && command_adds((int)c.type)) {
        rc = err_set(&p->err, ERR_FULL,
                     "the catalogue's disk is down to its "
                     "reserve");
    }
    return rc;
}

void meta_propose(struct meta *m, struct meta_proposal *p)
{
    bool post = false;
    int rc;

    CHECK_OBJ(m, META_MAGIC);
    p->next = NULL;
    p->status = 0;
    p->body = 0;
    p->err.text[0] = '\0';
    rc = admit(m, p);
    if (rc == 0) {
        pthread_mutex_lock(&m->queue_mutex);
        if (m->closing) {
            rc = err_set(&p->err, ERR_CLOSED, "the catalogue is closing");
        } else if (m->queue_count == QUEUE_MAX ||
                   m->queue_bytes + p->command_len > QUEUE_BYTES_MAX) {
            rc = err_set(&p->err, ERR_BUSY, "%zu proposals wait already",
                         m->queue_count);
        } else {
            *m->queue_tail = p;
            m->queue_tail = &p->next;
            m->queue_count++;
            m->queue_bytes += p->command_len;
            post = !m->pump_posted;
            m->pump_posted = true;
        }
        pthread_mutex_unlock(&m->queue_mutex);
    }
    if (rc != 0) {
        p->status = rc;
        refuse(m, p);
    } else if (post) {
        loop_post(m->loop, &m->pump_call);
    }
}

struct waiter {
    struct meta_proposal proposal;
    struct latch latch;
};

static void wake_waiter(struct meta_proposal *p)
{
    struct waiter *w = LIST_OF(p, struct waiter, proposal);

    latch_signal(&w->latch);
}

int meta_propose_wait(struct meta *m, const struct buf *command,
                      struct meta_proposal *p, struct err *err)
{
    struct waiter w = {.proposal = {.command = command->data,
                                    .command_len = command->len,
                                    .done = wake_waiter,
                                    .codes = p != NULL ? p->codes : NULL}};

    latch_init(&w.latch);
    meta_propose(m, &w.proposal);
    /* The log answers or the process ends: there is nothing to give up for. */
    while (!latch_wait(&w.latch, 1, UINT32_MAX)) {
    }
    latch_close(&w.latch);
    if (p != NULL) {
        p->status = w.proposal.status;
        p->err = w.proposal.err;
        p->body = w.proposal.body;
    }
    if (w.proposal.status != 0) {
        err_set(err, w.proposal.status, "%s", w.proposal.err.text);
    }
    return w.proposal.status;
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void meta_stats(struct meta *m, struct meta_stats *out)
{
    char *wal;

    CHECK_OBJ(m, META_MAGIC);
    wal = mem_printf("%s-wal", m->db_path);
    pthread_mutex_lock(&m->apply_mutex);
    *out = (struct meta_stats){.applied_index = m->applied,
                               .term = m->term,
                               .leader = m->is_leader,
                               .buckets = m->shown.buckets,
                               .objects = m->shown.objects,
                               .uploads = m->shown.uploads,
                               .garbage = m->shown.garbage,
                               .commands = m->shown_commands,
                               .entries = m->shown_entries};
    pthread_mutex_unlock(&m->apply_mutex);
    out->log_bytes = raft_io_log_bytes(m->disk);
    out->database_bytes = file_bytes(m->db_path) + file_bytes(wal);
    free(wal);
}
