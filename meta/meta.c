#include "meta/meta.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/latch.h"
#include "base/mem.h"
#include "meta/meta_core.h"
#include "meta/meta_era.h"
#include "meta/meta_internal.h"

#define DB_FILE "catalogue.db"
#define SNAPSHOT_ENTRIES 8192
#define TRAILING_ENTRIES 4096
#define QUEUE_MAX 16384             /* proposals waiting for the log */
#define QUEUE_BYTES_MAX (64u << 20) /* of their commands */
#define KEEPER_QUEUE 64
#define CLOSE_POLL_MS 1

struct meta_readers *meta_readers_of(struct meta *m)
{
    CHECK_OBJ(m, META_MAGIC);
    return m->readers;
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
    m->net = options->net;
    m->server = options->net != NULL ? options->server : 1;
    m->address =
        mem_strdup(options->address != NULL ? options->address : "self");
    m->join = options->join;
    m->trailing_entries = options->trailing_entries != 0
                              ? options->trailing_entries
                              : TRAILING_ENTRIES;
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
    m->pump_call.fn = meta_on_pump;
    m->checkpoint_work.fn = meta_checkpoint_run;
    m->readers = meta_readers_new(m->db_path);
    meta_readers_keep(m->readers);
    m->keeper = workers_new("meta-keeper", 1, KEEPER_QUEUE);
    m->loop = loop_new();
    m->net_calls = meta_net_new(m);
    m->copy = m->net != NULL ? meta_copy_new(m) : NULL;
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
    meta_free_handovers(m);
    meta_copy_free(m->copy);
    meta_net_free(m->net_calls);
    free(m->address);
    free(m->db_path);
    free(m->dir);
    m->magic = 0;
    free(m);
}

int meta_open_database(struct meta *m, struct err *err)
{
    uint64_t era = 0;
    int rc = meta_db_open(&m->db, m->db_path, META_DB_WRITER, err);

    if (rc == 0) {
        rc = meta_apply_init(&m->apply, &m->db, err);
        /* All that was cached by it may be otherwise in this database. */
        m->apply.access_changes = atomic_load(&m->access_revision) + 1;
        atomic_store(&m->access_revision, m->apply.access_changes);
    }
    if (rc == 0) {
        rc = meta_db_open(&m->checkpoint_db, m->db_path, META_DB_READER, err);
    }
    if (rc == 0) {
        rc = meta_era_get(m->db.sqlite, &era, err);
    }
    if (rc == 0) {
        atomic_store(&m->db_era, era);
        atomic_store(&m->era, m->join && m->apply.state.applied == 0
                                  ? META_ERA_NONE
                                  : era);
        sqlite3_wal_hook(m->db.sqlite, meta_on_wal, m);
        m->shown = m->apply.state;
        m->applied = m->apply.state.applied;
        rc = meta_erase_open(m, err);
    }
    return rc;
}

void meta_close_database(struct meta *m)
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
    /* A copy that was taken may be ahead of what the log has learnt. */
    if (m->net == NULL && applied > raft_io_last(m->disk)) {
        return err_set(err, ERR_CORRUPT,
                       "%s: the log ends with record %llu, but the database "
                       "has applied %llu",
                       m->dir, (unsigned long long)raft_io_last(m->disk),
                       (unsigned long long)applied);
    }
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
        .make_durable = meta_make_durable,
        .on_tick = meta_on_tick};
    struct meta *m = meta_new(options);
    int rc = fs_mkdirs(m->dir, err);

    if (rc == 0) {
        rc = meta_open_database(m, err);
    }
    if (rc != 0) {
        goto err_after_db;
    }
    if (m->net != NULL) {
        io.send = meta_net_send;
        io.view = meta_raft_view;
        io.install = meta_install;
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
        meta_check_space(m);
        rc = meta_open_raft(m, err);
    }
    if (rc != 0) {
        goto err_after_io;
    }
    CHECK(pthread_create(&m->apply_thread, NULL, meta_apply_main, m) == 0);
    CHECK(pthread_create(&m->loop_thread, NULL, loop_main, m) == 0);
    if (m->net == NULL) {
        wait_ready(m);
    }
    *out = m;
    return 0;

err_after_io:
    raft_io_free(m->disk);
err_after_db:
    meta_close_database(m);
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
    return empty && m->flight == NULL && raft_io_idle(m->disk) &&
           meta_net_forwards(m->net_calls) == 0 && meta_copy_idle(m->copy);
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
    meta_net_close(m->net_calls);
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
    meta_close_database(m);
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
    int rc;

    CHECK_OBJ(m, META_MAGIC);
    p->next = NULL;
    p->queued_ms = m->net != NULL ? clock_mono_ms() : 0;
    p->status = 0;
    p->body = 0;
    p->version = 0;
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
        }
        pthread_mutex_unlock(&m->queue_mutex);
    }
    if (rc != 0) {
        p->status = rc;
        meta_refuse(m, p);
    } else {
        loop_post_once(m->loop, &m->pump_call);
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
        p->version = w.proposal.version;
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
                               .leader_server = m->leader_server,
                               .buckets = m->shown.buckets,
                               .objects = m->shown.objects,
                               .uploads = m->shown.uploads,
                               .garbage = m->shown.garbage,
                               .clock_ms = m->shown.clock_ms,
                               .commands = m->shown_commands,
                               .entries = m->shown_entries};
    pthread_mutex_unlock(&m->apply_mutex);
    out->log_bytes = raft_io_log_bytes(m->disk);
    out->database_bytes = file_bytes(m->db_path) + file_bytes(wal);
    free(wal);
}

int meta_barrier(struct meta *m, struct err *err)
{
    CHECK_OBJ(m, META_MAGIC);
    return meta_net_barrier(m, err);
}
