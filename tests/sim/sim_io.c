/* As meta/raft_io.c, whose order of things is copied, over a disk that is
 * memory: the log writer and the keeper are two queues of jobs, each of which
 * takes its time. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "meta/raft_wire.h"
#include "tests/sim/sim.h"

#define SLOW_FACTOR 40

static struct sim_member *member_of(struct raft_io *io)
{
    struct sim_member *m = io->impl;

    CHECK(m->up);
    return m;
}

static uint64_t write_time(struct sim_member *m)
{
    const struct sim_knobs *k = &m->s->knobs;
    uint64_t us = sim_between(m->s, k->write_min, k->write_max);

    return m->slow_until > m->s->now ? us * SLOW_FACTOR : us;
}

static struct sim_job *job_new(enum sim_job_kind kind)
{
    struct sim_job *j = mem_alloc(sizeof *j);

    j->kind = kind;
    return j;
}

static void job_free(struct sim_job *j)
{
    for (size_t i = 0; i < j->count; i++) {
        sim_entry_free(j->entries[i]);
    }
    free(j->entries);
    free(j->next);
    free(j);
}

static void job_start(struct sim_member *m, struct list_node *queue,
                      struct sim_job *j)
{
    bool first = list_empty(queue);

    list_push(queue, &j->node);
    if (first) {
        sim_at(m->s, write_time(m),
               queue == &m->writer ? SIM_WRITTEN : SIM_KEPT, m);
    }
}

/* The first job is done: take it; the next one begins. */
static struct sim_job *job_done(struct sim_member *m, struct list_node *queue)
{
    struct sim_job *j = LIST_OF(queue->next, struct sim_job, node);

    CHECK(!list_empty(queue));
    list_remove(&j->node);
    if (!list_empty(queue)) {
        sim_at(m->s, write_time(m),
               queue == &m->writer ? SIM_WRITTEN : SIM_KEPT, m);
    }
    return j;
}

/* ---- the log ---- */

static void disk_append(struct sim_member *m, const struct sim_job *j, size_t n)
{
    struct sim_log *l = &m->disk.log;

    for (size_t i = 0; i < n; i++) {
        if (j->entries[i]->index != sim_log_last(l) + 1) {
            sim_fail(m->s, "member %u writes entry %llu after %llu", m->id,
                     (unsigned long long)j->entries[i]->index,
                     (unsigned long long)sim_log_last(l));
            return;
        }
        sim_log_push(l, sim_entry_ref(j->entries[i]));
    }
}

static void disk_cut(struct sim_member *m, uint64_t index)
{
    struct sim_log *l = &m->disk.log;
    const struct sim_snapshot *p = &m->disk.snapshot;

    if (index > sim_log_last(l)) { /* an installed snapshot */
        CHECK(index == p->index);
        sim_log_reset(l, p->index, p->term, p->chain);
    } else {
        sim_log_cut(l, index);
    }
}

static void put_last(struct sim_member *m, struct sim_job *j)
{
    if (j->replace) {
        m->installing = false;
        m->s->installs++;
    } else {
        sim_log_cut(&m->log, j->cut); /* as libraft does in the callback */
        m->s->snapshots++;
    }
    j->put_cb(j->put, 0);
}

void sim_io_written(struct sim_member *m)
{
    struct sim_job *j;

    if (m->full && !list_empty(&m->writer)) {
        m->full = false;
        sim_member_crash(m, "disk full");
        return;
    }
    j = job_done(m, &m->writer);
    switch (j->kind) {
        case SIM_APPEND:
            disk_append(m, j, j->count);
            j->append_cb(j->append, 0);
            if (j->changes) {
                raft_confs_adopt(&m->confs, &m->raft);
            }
            break;
        case SIM_TRUNCATE:
            sim_log_truncate(&m->disk.log, j->index);
            if (j->next != NULL) {
                job_start(m, &m->keeper, j->next);
                j->next = NULL;
            }
            break;
        case SIM_CUT:
            disk_cut(m, j->cut);
            put_last(m, j);
            break;
        case SIM_PUT:
        case SIM_GET:
            CHECK(false);
    }
    job_free(j);
}

void sim_io_crash(struct sim_member *m)
{
    struct sim *s = m->s;

    if (!list_empty(&m->writer)) {
        struct sim_job *j = LIST_OF(m->writer.next, struct sim_job, node);
        if (j->kind == SIM_APPEND && s->knobs.torn) {
            disk_append(m, j, sim_draw(s, j->count + 1));
        } else if (j->kind == SIM_TRUNCATE && sim_draw(s, 2) == 0) {
            sim_log_truncate(&m->disk.log, j->index);
        } else if (j->kind == SIM_CUT && sim_draw(s, 2) == 0) {
            disk_cut(m, j->cut);
        }
    }
    while (!list_empty(&m->writer)) {
        job_free(LIST_OF(list_pop(&m->writer), struct sim_job, node));
    }
    while (!list_empty(&m->keeper)) {
        job_free(LIST_OF(list_pop(&m->keeper), struct sim_job, node));
    }
}

/* ---- the keeper ---- */

static void io_truncate_job(struct sim_member *m, uint64_t index,
                            struct sim_job *next)
{
    struct sim_job *j = job_new(SIM_TRUNCATE);

    j->index = index;
    j->next = next;
    m->last = index - 1;
    job_start(m, &m->writer, j);
}

/* The file stands: only now may the log go. As put_done of raft_io.c. */
static void put_done(struct sim_member *m, struct sim_job *j)
{
    struct sim_job *cut = job_new(SIM_CUT);

    m->snapshot_index = j->snapshot.index;
    if (j->replace) {
        m->last = j->snapshot.index;
    }
    cut->replace = j->replace;
    cut->cut = j->cut;
    cut->put = j->put;
    cut->put_cb = j->put_cb;
    job_start(m, &m->writer, cut);
}

static struct raft_snapshot *snapshot_give(const struct sim_snapshot *p)
{
    struct raft_snapshot *out = raft_calloc(1, sizeof *out);

    raft_configuration_init(&out->configuration);
    out->index = p->index;
    out->term = p->term;
    out->configuration_index = p->configuration_index;
    for (unsigned i = 0; i < p->server_count; i++) {
        char address[2] = {(char)('0' + p->servers[i].id), 0};
        CHECK(raft_configuration_add(&out->configuration, p->servers[i].id,
                                     address, p->servers[i].role) == 0);
    }
    out->bufs = raft_calloc(1, sizeof *out->bufs);
    out->bufs[0].base = raft_malloc(sizeof p->data);
    out->bufs[0].len = sizeof p->data;
    memcpy(out->bufs[0].base, p->data, sizeof p->data);
    out->n_bufs = 1;
    return out;
}

void sim_io_kept(struct sim_member *m)
{
    struct sim_job *j = job_done(m, &m->keeper);

    if (j->kind == SIM_PUT) {
        if (m->state.applied < j->snapshot.index) {
            sim_fail(m->s, "member %u: a snapshot of %llu, applied %llu", m->id,
                     (unsigned long long)j->snapshot.index,
                     (unsigned long long)m->state.applied);
        }
        sim_state_copy(&m->disk.state, &m->state);
        m->disk.snapshot = j->snapshot;
        put_done(m, j);
    } else if (m->disk.snapshot.index > 0) {
        j->get_cb(j->get, snapshot_give(&m->disk.snapshot), 0);
    } else {
        j->get_cb(j->get, NULL, RAFT_NOTFOUND);
    }
    job_free(j);
}

/* ---- struct raft_io ---- */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)id;
    (void)address;
    (void)member_of(io);
    return 0;
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    cb(io); /* never: members crash */
}

static void load_confs(struct sim_member *m, const struct raft_snapshot *p)
{
    if (p != NULL) {
        raft_confs_base(&m->confs, p);
    }
    for (size_t i = 0; i < m->log.count; i++) {
        const struct sim_entry *e = m->log.entries[i];
        if (e->type == RAFT_CHANGE) {
            CHECK(raft_confs_append(&m->confs, e->index, e->data, e->len));
        }
    }
}

/* Entries above the snapshot, as raft_log_open gives them. */
static void load_log(struct sim_member *m)
{
    const struct sim_snapshot *p = &m->disk.snapshot;
    struct sim_log *l = &m->disk.log;
    struct sim_entry *e = sim_log_at(l, p->index);

    if (e != NULL && sim_log_last(l) > p->index && e->chain != p->chain) {
        sim_fail(m->s,
                 "member %u starts with a snapshot of %llu and the tail of "
                 "another log",
                 m->id, (unsigned long long)p->index);
    }
    if (p->index == 0) {
        sim_log_copy(&m->log, l);
        return;
    }
    if (sim_log_last(l) <= p->index) { /* nothing above it */
        sim_log_reset(l, p->index, p->term, p->chain);
    }
    sim_log_reset(&m->log, p->index, p->term, p->chain);
    for (uint64_t i = p->index + 1; (e = sim_log_at(l, i)) != NULL; i++) {
        sim_log_push(&m->log, sim_entry_ref(e));
    }
}

static int io_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                   struct raft_snapshot **snapshot, raft_index *start_index,
                   struct raft_entry *entries[], size_t *n_entries)
{
    struct sim_member *m = member_of(io);
    struct raft_entry *out = NULL;

    load_log(m);
    m->last = sim_log_last(&m->log);
    m->snapshot_index = m->disk.snapshot.index;
    *term = m->disk.term;
    *voted_for = m->disk.vote;
    *snapshot = m->snapshot_index > 0 ? snapshot_give(&m->disk.snapshot) : NULL;
    *start_index = m->snapshot_index + 1;
    load_confs(m, *snapshot);
    if (m->log.count > 0) {
        out = raft_calloc(m->log.count, sizeof *out);
    }
    for (size_t i = 0; i < m->log.count; i++) {
        const struct sim_entry *e = m->log.entries[i];
        out[i].term = e->term;
        out[i].type = e->type;
        out[i].buf.len = e->len;
        out[i].buf.base = raft_malloc(e->len > 0 ? e->len : 1);
        memcpy(out[i].buf.base, e->data, e->len);
        out[i].batch = out[i].buf.base;
    }
    *entries = out;
    *n_entries = m->log.count;
    return 0;
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb recv)
{
    struct sim_member *m = member_of(io);

    m->tick = tick;
    m->recv = recv;
    m->tick_ms = msecs;
    sim_at(m->s, msecs * SIM_MS, SIM_TICK, m);
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    struct sim_member *m = member_of(io);

    CHECK(term >= m->disk.term);
    m->disk.term = term;
    m->disk.vote = raft_guard_vote(&m->guard, term, false) ? m->id : 0;
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    struct sim_member *m = member_of(io);

    m->disk.vote = id;
    raft_guard_vote(&m->guard, m->disk.term, id == m->id);
    return 0;
}

static int io_bootstrap(struct raft_io *io,
                        const struct raft_configuration *conf)
{
    struct sim_member *m = member_of(io);
    struct raft_buffer buf;
    struct sim_entry *e;

    if (m->disk.term > 0 || m->disk.log.count > 0 ||
        m->disk.snapshot.index > 0) {
        return RAFT_CANTBOOTSTRAP;
    }
    CHECK(raft_configuration_encode(conf, &buf) == 0);
    e = sim_entry_new(&m->disk.log, 1, RAFT_CHANGE, buf.base, buf.len);
    sim_log_push(&m->disk.log, e);
    sim_check_entry(m, e);
    raft_free(buf.base);
    return io_set_term(io, 1);
}

static int io_recover(struct raft_io *io, const struct raft_configuration *c)
{
    (void)io;
    (void)c;
    return RAFT_INVALID;
}

static bool may_go(struct sim_member *m, struct raft_message *out)
{
    struct raft_guard_view view;
    bool result = out->type == RAFT_IO_APPEND_ENTRIES_RESULT;
    bool entries = out->type == RAFT_IO_APPEND_ENTRIES;
    bool ask = out->type == RAFT_IO_REQUEST_VOTE;
    bool answer = out->type == RAFT_IO_REQUEST_VOTE_RESULT;

    if ((result && sim_without(m->s, 1)) ||
        (entries && sim_without(m->s, 12)) || (ask && sim_without(m->s, 6)) ||
        (answer && sim_without(m->s, 14))) {
        return true;
    }
    sim_member_view(m, &view);
    return raft_guard_send(&m->guard, out, &view);
}

static void send_guarded(struct sim_member *m,
                         const struct raft_message *message)
{
    struct raft_message out = *message;
    struct buf bytes = {0};

    if (may_go(m, &out)) {
        raft_wire_encode(&out, &bytes);
        sim_net_send(m, (unsigned)out.server_id, bytes.data, bytes.len);
        buf_free(&bytes);
    }
}

static int io_send(struct raft_io *io, struct raft_io_send *req,
                   const struct raft_message *message, raft_io_send_cb cb)
{
    struct sim_member *m = member_of(io);

    send_guarded(m, message);
    if (m->posted_count == m->posted_room) {
        m->posted_room = m->posted_room * 2 + 16;
        m->posted = mem_realloc(m->posted, m->posted_room * sizeof *m->posted);
    }
    m->posted[m->posted_count++] = (struct sim_posted){req, cb};
    return 0;
}

void sim_io_run_posted(struct sim_member *m)
{
    for (size_t i = 0; i < m->posted_count; i++) {
        struct sim_posted p = m->posted[i];
        if (p.cb != NULL) {
            p.cb(p.request, 0);
        }
    }
    m->posted_count = 0;
}

static int io_append(struct raft_io *io, struct raft_io_append *req,
                     const struct raft_entry entries[], unsigned n,
                     raft_io_append_cb cb)
{
    struct sim_member *m = member_of(io);
    struct sim_job *j = job_new(SIM_APPEND);

    j->append = req;
    j->append_cb = cb;
    j->entries = mem_calloc(n, sizeof(struct sim_entry *));
    m->last += n;
    if (m->last != raft_last_index(&m->raft)) {
        sim_fail(m->s, "member %u: entry %llu of libraft is written as %llu",
                 m->id, (unsigned long long)raft_last_index(&m->raft),
                 (unsigned long long)m->last);
        m->last = raft_last_index(&m->raft);
    }
    for (unsigned i = 0; i < n; i++) {
        struct sim_entry *e =
            sim_entry_new(&m->log, entries[i].term, entries[i].type,
                          entries[i].buf.base, entries[i].buf.len);
        sim_log_push(&m->log, e);
        j->entries[j->count++] = sim_entry_ref(e);
        sim_check_entry(m, e);
        if (e->type == RAFT_CHANGE) {
            CHECK(raft_confs_append(&m->confs, e->index, e->data, e->len));
            j->changes = true;
        }
    }
    if (j->changes) {
        raft_confs_adopt(&m->confs, &m->raft);
    }
    job_start(m, &m->writer, j);
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct sim_member *m = member_of(io);

    sim_trace(m->s, m, "forgets entries from %llu on", index);
    sim_log_truncate(&m->log, index);
    raft_confs_truncate(&m->confs, index, &m->raft);
    io_truncate_job(m, index, NULL);
    return 0;
}

static void snapshot_keep(struct sim_member *m, struct sim_snapshot *out,
                          const struct raft_snapshot *p)
{
    out->index = p->index;
    out->term = p->term;
    out->configuration_index = p->configuration_index;
    CHECK(p->configuration.n <= SIM_MEMBERS_MAX);
    out->server_count = p->configuration.n;
    for (unsigned i = 0; i < p->configuration.n; i++) {
        out->servers[i].id = p->configuration.servers[i].id;
        out->servers[i].role = p->configuration.servers[i].role;
    }
    CHECK(p->n_bufs == 1 && p->bufs[0].len == sizeof out->data);
    memcpy(out->data, p->bufs[0].base, sizeof out->data);
    out->chain = sim_check_chain(m->s, out->index, out->term);
    if (out->chain == 0) {
        sim_fail(m->s,
                 "member %u: a snapshot of entry %llu of term %llu, "
                 "which was never written",
                 m->id, (unsigned long long)out->index,
                 (unsigned long long)out->term);
    }
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing,
                           struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot,
                           raft_io_snapshot_put_cb cb)
{
    struct sim_member *m = member_of(io);
    struct sim_job *j = job_new(SIM_PUT);
    struct raft_snapshot p = *snapshot;
    const struct raft_conf *conf;

    j->put = req;
    j->put_cb = cb;
    j->replace = trailing == 0;
    j->cut = snapshot->index > trailing ? snapshot->index - trailing : 0;
    if (j->replace) {
        raft_confs_base(&m->confs, &p);
    } else if ((conf = raft_confs_snapshot(&m->confs, p.index)) != NULL) {
        p.configuration_index = conf->index;
        p.configuration = conf->servers;
    }
    snapshot_keep(m, &j->snapshot, &p);
    sim_trace(m->s, m, "%s a snapshot of %llu",
              j->replace ? "installs" : "takes", snapshot->index);
    if (j->replace) {
        m->installing = true;
        sim_log_reset(&m->log, j->snapshot.index, j->snapshot.term,
                      j->snapshot.chain);
    }
    if (j->replace && m->last >= p.index) {
        io_truncate_job(m, p.index, j);
    } else {
        job_start(m, &m->keeper, j);
    }
    return 0;
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req,
                           raft_io_snapshot_get_cb cb)
{
    struct sim_member *m = member_of(io);
    struct sim_job *j = job_new(SIM_GET);

    j->get = req;
    j->get_cb = cb;
    job_start(m, &m->keeper, j);
    return 0;
}

static raft_time io_time(struct raft_io *io)
{
    return sim_member_time_us(member_of(io)) / SIM_MS;
}

static int io_random(struct raft_io *io, int min, int max)
{
    return (int)sim_between(member_of(io)->s, (uint64_t)min, (uint64_t)max - 1);
}

static int io_async_work(struct raft_io *io, struct raft_io_async_work *req,
                         raft_io_async_work_cb cb)
{
    (void)io;
    (void)req;
    (void)cb;
    return RAFT_INVALID; /* the state machine's version is 1 */
}

void sim_io_open(struct sim_member *m)
{
    m->io = (struct raft_io){.version = 2,
                             .impl = m,
                             .init = io_init,
                             .close = io_close,
                             .load = io_load,
                             .start = io_start,
                             .bootstrap = io_bootstrap,
                             .recover = io_recover,
                             .set_term = io_set_term,
                             .set_vote = io_set_vote,
                             .send = io_send,
                             .append = io_append,
                             .truncate = io_truncate,
                             .snapshot_put = io_snapshot_put,
                             .snapshot_get = io_snapshot_get,
                             .time = io_time,
                             .random = io_random,
                             .async_work = io_async_work};
}

bool sim_io_idle(const struct sim_member *m)
{
    return list_empty(&m->writer) && list_empty(&m->keeper);
}
