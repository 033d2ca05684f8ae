/* The loop: one entry at a time through libraft. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"
#include "meta/meta_core.h"
#include "meta/meta_stop.h"
#include "meta/raft_guard.h"

#define ELECTION_MS 1000
#define HEARTBEAT_MS 100 /* also how often free space is looked at */
/* In a cluster: 0.96 s to a new leader. */
#define CLUSTER_ELECTION_MS 500
#define CLUSTER_HEARTBEAT_MS 50
/* A snapshot is sent again after this; the first is not taken before the member
 * has fetched the catalogue. libraft's 30 s would leave a cluster without a
 * majority for as long. */
#define CLUSTER_INSTALL_MS 2000
#define FORWARDS_MAX 4                 /* entries with the leader at once */
#define LEADERLESS_MS 10000            /* then what was proposed is refused */
#define SNAPSHOT_BYTES (16u << 20)     /* entries kept in memory until then */
#define SNAPSHOT_IDLE_BYTES (1u << 20) /* ... by a store with nothing to do */
#define SNAPSHOT_SEGMENTS 2            /* each start begins a file */
#define IDLE_TICKS 10
#define MANIFEST_SIZE 16

/* ---- proposing: the loop ---- */

static void refuse_entry(struct meta *m, struct meta_entry *e, int status)
{
    struct meta_proposal *p = e->proposals;

    while (p != NULL) {
        struct meta_proposal *next = p->next;
        p->status = err_set(&p->err, status, "%s", err_text(status));
        meta_refuse(m, p);
        p = next;
    }
    free(e);
}

/* Take what is queued, within the bounds of an entry; NULL when nothing is. */
static struct meta_entry *take_queued(struct meta *m)
{
    struct meta_entry *e = NULL;
    struct meta_proposal *p, **tail;
    size_t bytes = 0;

    pthread_mutex_lock(&m->queue_mutex);
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
    struct meta_entry *e = m->flight;

    (void)result;
    CHECK_OBJ(m, META_MAGIC);
    m->flight = NULL;
    if (status != 0 && e != NULL) {
        /* It may be in the log and be applied by the next start. */
        refuse_entry(m, e, ERR_UNKNOWN);
    }
    meta_post_pump(m); /* not from within libraft's walk over its entries */
}

static bool far_behind(struct meta *m)
{
    bool behind;

    pthread_mutex_lock(&m->apply_mutex);
    behind = m->behind_bytes > META_BEHIND_BYTES_MAX;
    pthread_mutex_unlock(&m->apply_mutex);
    return behind;
}

static void propose_entry(struct meta *m, struct meta_entry *e)
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
    if (rc == RAFT_NOTLEADER && m->net != NULL) {
        raft_free(buf.base);
        m->flight = NULL;
        m->leading = false;
        meta_requeue(m, e);
    } else if (rc != 0) {
        log_errf(LOG_WARN, "proposal not accepted", "%s", raft_strerror(rc));
        raft_free(buf.base);
        m->flight = NULL;
        refuse_entry(m, e, ERR_UNAVAILABLE);
    }
}

void meta_requeue(struct meta *m, struct meta_entry *e)
{
    struct meta_proposal **tail = &e->proposals;

    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    pthread_mutex_lock(&m->queue_mutex);
    if (m->queue == NULL) {
        m->queue_tail = tail;
    }
    for (struct meta_proposal *p = e->proposals; p != NULL; p = p->next) {
        m->queue_bytes += p->command_len;
    }
    *tail = m->queue;
    m->queue = e->proposals;
    m->queue_count += e->count;
    pthread_mutex_unlock(&m->queue_mutex);
    free(e);
}

/* Not the leader: to the one who is. What finds none waits for the next tick.
 */
static void forward(struct meta *m)
{
    struct meta_entry *e = NULL;

    while (meta_net_forwards(m->net_calls) < FORWARDS_MAX &&
           (e = take_queued(m)) != NULL) {
        if (!meta_net_forward(m->net_calls, e)) {
            meta_requeue(m, e);
            return;
        }
    }
}

/* What has waited too long for a leader. */
static void refuse_late(struct meta *m)
{
    struct meta_entry *late = mem_alloc(sizeof *late);
    struct meta_proposal **tail = &late->proposals;
    uint64_t now = clock_mono_ms();

    pthread_mutex_lock(&m->queue_mutex);
    while (m->queue != NULL && now - m->queue->queued_ms > LEADERLESS_MS) {
        struct meta_proposal *p = m->queue;
        m->queue = p->next;
        m->queue_count--;
        m->queue_bytes -= p->command_len;
        *tail = p;
        tail = &p->next;
    }
    *tail = NULL;
    if (m->queue == NULL) {
        m->queue_tail = &m->queue;
    }
    pthread_mutex_unlock(&m->queue_mutex);
    refuse_entry(m, late, ERR_UNAVAILABLE);
}

static void pump(struct meta *m)
{
    struct meta_entry *e;

    CHECK_ON_LOOP(m->loop);
    if (m->net != NULL && !m->leading && m->flight == NULL && !m->raft_closed) {
        forward(m);
        return;
    }
    if (m->flight != NULL || m->nudge_out || m->raft_closed || m->giving ||
        far_behind(m)) {
        return; /* what is waited for posts it again */
    }
    e = take_queued(m);
    if (e != NULL) {
        m->idle_ticks = 0;
        propose_entry(m, e);
    }
}

void meta_on_pump(struct loop_call *call)
{
    pump(LIST_OF(call, struct meta, pump_call));
}

bool meta_install(void *arg, raft_id from, uint64_t index)
{
    struct meta *m = arg;

    return meta_copy_wanted(m->copy, (uint32_t)from, index);
}

void meta_raft_view(void *arg, struct raft_guard_view *out)
{
    struct meta *m = arg;

    *out = (struct raft_guard_view){
        .state = raft_state(&m->raft),
        .term = m->raft.current_term,
        .last_index = raft_last_index(&m->raft),
        .last_stored = m->raft.last_stored,
        .snapshot_index = m->raft.log.snapshot.last_index,
        .snapshot_term = m->raft.log.snapshot.last_term,
        .cut = m->raft.log.offset,
        .voted_for = m->raft.voted_for};
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
    struct meta_entry *e;

    if (m->flight != NULL && m->flight->index == index) {
        e = m->flight; /* else one of an earlier leader comes before it */
        m->flight = NULL;
    } else {
        e = mem_alloc(sizeof *e);
        e->index = index;
    }
    e->data = buf->base;
    e->len = buf->len;
    meta_hand_over(m, e);
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
    struct meta_entry *e = mem_alloc(sizeof *e);
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
    meta_hand_over(m, e);
    raft_set_snapshot_threshold(&m->raft, m->snapshot_entries);
    return 0;
}

/* Of another member: raft_io has seen to it that the database is that far. */
static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct meta *m = meta_of(fsm);
    uint64_t applied;

    pthread_mutex_lock(&m->apply_mutex);
    applied = m->applied;
    pthread_mutex_unlock(&m->apply_mutex);
    if (buf->len != MANIFEST_SIZE ||
        load_u64((uint8_t *)buf->base + 8) > applied) {
        return RAFT_CORRUPT;
    }
    raft_free(buf->base);
    return 0;
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
    raft_id leader = 0;
    const char *address;

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
    raft_leader(&m->raft, &leader, &address);
    pthread_mutex_lock(&m->apply_mutex);
    m->is_leader = m->leading;
    m->leader_server = (uint32_t)leader;
    m->term = m->raft.current_term;
    pthread_mutex_unlock(&m->apply_mutex);
}

static void on_nudge(struct raft_barrier *b, int status)
{
    struct meta *m = b->data;

    (void)status;
    CHECK_OBJ(m, META_MAGIC);
    m->nudge_out = false;
    meta_post_pump(m);
}

void meta_take_snapshot(struct meta *m)
{
    raft_set_snapshot_threshold(&m->raft, 1);
    if (!m->leading || m->nudge_out || m->flight != NULL || m->giving ||
        !raft_io_idle(m->disk)) {
        return;
    }
    m->idle_ticks = 0;
    m->nudge.data = m;
    m->nudge_out = raft_barrier(&m->raft, &m->nudge, on_nudge) == 0;
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

    if (++m->idle_ticks >= IDLE_TICKS && many) {
        meta_take_snapshot(m);
    }
}

void meta_check_space(struct meta *m)
{
    uint64_t free_bytes, size_bytes;

    if (m->reserve_bytes > 0 &&
        fs_space(m->dir, &free_bytes, &size_bytes, NULL) == 0) {
        atomic_store(&m->full, free_bytes < m->reserve_bytes);
    }
}

void meta_on_tick(void *arg)
{
    struct meta *m = arg;

    CHECK_OBJ(m, META_MAGIC);
    check_state(m);
    meta_check_space(m);
    if (m->net != NULL) {
        if (raft_last_index(&m->raft) > 0) {
            atomic_store(&m->era, atomic_load(&m->db_era));
        }
        meta_show_members(m);
        refuse_late(m);
        meta_net_applied(m->net_calls);
        meta_net_tick(m->net_calls);
        meta_post_pump(m);
    }
    if (m->leading) {
        check_idle(m);
    }
    meta_check_erased(m);
    if (raft_io_segments(m->disk) <= SNAPSHOT_SEGMENTS) {
        raft_io_prepare(m->disk); /* else a snapshot gives spares soon */
    }
}

/* ---- starting ---- */

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
    rc = raft_configuration_add(&conf, m->server, m->address, RAFT_VOTER);
    if (rc == 0) {
        rc = raft_bootstrap(&m->raft, &conf);
    }
    raft_configuration_close(&conf);
    if (rc != 0 && rc != RAFT_CANTBOOTSTRAP) {
        return raft_error(m, "bootstrap", err);
    }
    return 0;
}

int meta_open_raft(struct meta *m, struct err *err)
{
    int rc;

    m->fsm = (struct raft_fsm){.version = 1,
                               .data = m,
                               .apply = fsm_apply,
                               .snapshot = fsm_snapshot,
                               .restore = fsm_restore};
    if (raft_init(&m->raft, &m->io, &m->fsm, m->server, m->address) != 0) {
        return raft_error(m, "init", err);
    }
    raft_set_election_timeout(
        &m->raft, m->net != NULL ? CLUSTER_ELECTION_MS : ELECTION_MS);
    raft_set_heartbeat_timeout(
        &m->raft, m->net != NULL ? CLUSTER_HEARTBEAT_MS : HEARTBEAT_MS);
    if (m->net != NULL) {
        raft_set_install_snapshot_timeout(&m->raft, CLUSTER_INSTALL_MS);
    }
    raft_set_pre_vote(&m->raft, true);
    raft_set_snapshot_threshold(&m->raft, m->snapshot_entries);
    if (raft_io_segments(m->disk) > SNAPSHOT_SEGMENTS) {
        /* With the first entry that is applied: the files of earlier starts
         * are not to be read again by the next. */
        raft_set_snapshot_threshold(&m->raft, 1);
    }
    raft_set_snapshot_trailing(&m->raft,
                               m->net != NULL ? m->trailing_entries : 0);
    rc = m->join ? 0 : bootstrap(m, err);
    if (rc == 0 && raft_start(&m->raft) != 0) {
        rc = raft_error(m, "start", err);
    }
    if (rc != 0) {
        raft_close(&m->raft, NULL);
        return rc;
    }
    if (m->net == NULL) {
        check_state(m); /* a single voter leads at once */
    }
    return 0;
}
