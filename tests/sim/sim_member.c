#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/meta_db.h"
#include "meta/raft_wire.h"
#include "tests/sim/sim.h"

/* As meta_lead.c. */
#define ELECTION_MS 500
#define HEARTBEAT_MS 50
#define INSTALL_MS 2000
#define PPM 1000000ull

uint64_t sim_member_time_us(const struct sim_member *m)
{
    return m->offset_us + m->s->now / PPM * m->rate_ppm +
           m->s->now % PPM * m->rate_ppm / PPM;
}

void sim_member_view(struct sim_member *m, struct raft_guard_view *out)
{
    struct raft *r = &m->raft;

    *out =
        (struct raft_guard_view){.state = raft_state(r),
                                 .term = r->current_term,
                                 .last_index = raft_last_index(r),
                                 .last_stored = r->last_stored,
                                 .snapshot_index = r->log.snapshot.last_index,
                                 .snapshot_term = r->log.snapshot.last_term,
                                 .cut = r->log.offset,
                                 .voted_for = r->voted_for};
}

void sim_member_init(struct sim *s, struct sim_member *m, unsigned id)
{
    m->s = s;
    m->id = id;
    m->address[0] = (char)('0' + id);
    m->rate_ppm = sim_between(s, 900000, 1100000);
    m->offset_us = sim_draw(s, 1000 * SIM_SECOND);
    sim_state_init(&m->disk.state, s->knobs.real_state);
    sim_state_init(&m->state, s->knobs.real_state);
    list_init(&m->heap);
    list_init(&m->writer);
    list_init(&m->keeper);
}

static void end_life(struct sim_member *m)
{
    m->up = false;
    sim_io_crash(m);
    sim_log_free(&m->log);
    free(m->posted);
    m->posted = NULL;
    m->posted_count = m->posted_room = 0;
    sim_heap_free(&m->heap);
}

void sim_member_close(struct sim_member *m)
{
    if (m->up) {
        end_life(m);
    }
    sim_log_free(&m->disk.log);
    sim_state_close(&m->disk.state);
    sim_state_close(&m->state);
}

void sim_member_crash(struct sim_member *m, const char *why)
{
    struct sim *s = m->s;

    CHECK(m->up);
    sim_trace(s, m, "crashes: %s", why);
    end_life(m);
    /* What the database has not synced may have reached the disk as well. */
    if (sim_draw(s, 2) == 0) {
        sim_state_copy(&m->disk.state, &m->state);
    }
    m->paused_until = 0;
    s->crashes++;
    sim_at(s, sim_between(s, 50 * SIM_MS, 3 * SIM_SECOND), SIM_START, m);
}

/* ---- libraft's state machine ---- */

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf,
                     void **result)
{
    struct sim_member *m = fsm->data;
    uint64_t index = raft_last_applied(&m->raft) + 1;
    const struct sim_entry *e = sim_log_at(&m->log, index);

    if (e == NULL || e->len != buf->len ||
        memcmp(e->data, buf->base, buf->len) != 0) {
        sim_fail(m->s, "member %u applies at %llu what is not in its log",
                 m->id, (unsigned long long)index);
    }
    sim_state_apply(m->s, &m->state, index, buf->base, buf->len);
    sim_lead_applied(m, index, buf->base, buf->len);
    *result = NULL;
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[],
                        unsigned *n_bufs)
{
    struct sim_member *m = fsm->data;
    uint64_t index = raft_last_applied(&m->raft);
    uint8_t *manifest = raft_calloc(1, 16);

    *bufs = raft_malloc(sizeof **bufs);
    store_u64(manifest, META_FORMAT);
    store_u64(manifest + 8, index);
    (*bufs)[0] = (struct raft_buffer){.base = manifest, .len = 16};
    *n_bufs = 1;
    sim_state_empty(&m->state, index);
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct sim_member *m = fsm->data;

    if (buf->len != 16 ||
        load_u64((uint8_t *)buf->base + 8) > m->state.applied) {
        return RAFT_CORRUPT;
    }
    raft_free(buf->base);
    return 0;
}

/* ---- a life ---- */

static void begin_life(struct sim_member *m)
{
    struct sim_state state = m->state;

    memset(&m->heap, 0, sizeof *m - offsetof(struct sim_member, heap));
    m->state = state;
    sim_state_copy(&m->state, &m->disk.state);
    list_init(&m->heap);
    list_init(&m->writer);
    list_init(&m->keeper);
    list_init(&m->flights);
    m->life++;
    m->up = true;
    m->fsm = (struct raft_fsm){.version = 1,
                               .data = m,
                               .apply = fsm_apply,
                               .snapshot = fsm_snapshot,
                               .restore = fsm_restore};
    sim_heap_use(&m->heap);
    sim_io_open(m);
    CHECK(raft_init(&m->raft, &m->io, &m->fsm, m->id, m->address) == 0);
    raft_set_election_timeout(&m->raft, ELECTION_MS);
    raft_set_heartbeat_timeout(&m->raft, HEARTBEAT_MS);
    raft_set_install_snapshot_timeout(&m->raft, INSTALL_MS);
    raft_set_pre_vote(&m->raft, true);
    raft_set_snapshot_threshold(&m->raft, m->s->knobs.snapshot_entries);
    raft_set_snapshot_trailing(&m->raft, m->s->knobs.trailing_entries);
}

void sim_member_bootstrap(struct sim_member *m)
{
    struct raft_configuration conf;

    begin_life(m);
    raft_configuration_init(&conf);
    for (unsigned i = 1; i <= m->s->knobs.voters; i++) {
        CHECK(raft_configuration_add(&conf, i, m->s->members[i].address,
                                     RAFT_VOTER) == 0);
    }
    CHECK(raft_bootstrap(&m->raft, &conf) == 0);
    raft_configuration_close(&conf);
    end_life(m);
}

/* After each step: what libraft posted, what waits for a leader. */
static void settle(struct sim_member *m)
{
    sim_io_run_posted(m);
    sim_lead_pump(m);
    sim_io_run_posted(m);
    sim_check_member(m);
}

void sim_member_start(struct sim_member *m)
{
    int rc;

    begin_life(m);
    rc = raft_start(&m->raft);
    sim_trace(m->s, m, "starts with %llu entries in term %llu",
              (unsigned long long)sim_log_last(&m->log), m->raft.current_term);
    if (rc != 0) {
        sim_fail(m->s, "member %u does not start: %s", m->id,
                 raft_strerror(rc));
        return;
    }
    settle(m);
}

static void claim(struct sim_member *m)
{
    struct raft_guard_view view;
    struct raft_message in;

    sim_member_view(m, &view);
    if (raft_guard_claim(&m->guard, &view, &in)) {
        sim_trace(m->s, m, "goes on to a term of its own");
        in.server_id = m->id;
        in.server_address = m->address;
        m->recv(&m->io, &in);
        raft_guard_claimed(&m->guard);
    }
}

static void tick(struct sim_member *m)
{
    struct sim *s = m->s;
    struct raft_guard_view view;

    sim_at(s, m->tick_ms * SIM_MS * PPM / m->rate_ppm + sim_draw(s, SIM_MS),
           SIM_TICK, m);
    claim(m);
    m->tick(&m->io);
    claim(m);
    sim_member_view(m, &view);
    raft_guard_watch(&m->guard, &view);
    sim_lead_tick(m);
}

/* ---- the catalogue of another member, as meta_copy.c ---- */

static bool install(struct sim_member *m, unsigned from, uint64_t index)
{
    struct sim *s = m->s;
    struct sim_event *e;

    if (m->fetching || m->state.applied >= index) {
        return !m->fetching;
    }
    m->fetching = true;
    e = sim_at(s, sim_between(s, 5 * SIM_MS, SIM_SECOND), SIM_FETCHED, m);
    e->from = from;
    e->number = index;
    return false;
}

static void fetched(struct sim_member *m, const struct sim_event *e)
{
    struct sim *s = m->s;
    struct sim_member *from = &s->members[e->from];

    m->fetching = false;
    if (!from->up || s->blocked[from->id][m->id] ||
        s->blocked[m->id][from->id] || from->state.applied < e->number) {
        return; /* it is tried again when the snapshot is */
    }
    if (from->state.applied <= m->state.applied) {
        return; /* the log was faster */
    }
    sim_trace(s, m, "has the rows of %u up to %llu", from->id,
              (unsigned long long)from->state.applied);
    sim_state_copy(&m->state, &from->state);
    sim_state_copy(&m->disk.state, &m->state);
}

/* ---- messages: as raft_io_receive ---- */

static bool may_come(struct sim_member *m, const struct raft_message *in,
                     const struct raft_guard_view *view)
{
    bool result = in->type == RAFT_IO_APPEND_ENTRIES_RESULT;
    bool vote = in->type == RAFT_IO_REQUEST_VOTE;
    bool install = in->type == RAFT_IO_INSTALL_SNAPSHOT;

    return raft_guard_receive(&m->guard, in, view) ||
           (result && sim_without(m->s, 2)) || (vote && sim_without(m->s, 5)) ||
           (install && sim_without(m->s, 13));
}

static void deliver(struct sim_member *m, struct raft_message *in)
{
    bool vote = in->type == RAFT_IO_REQUEST_VOTE;
    struct raft_message head = *in;
    struct raft_guard_view view;

    if (!sim_without(m->s, vote ? 10 : 7)) {
        raft_confs_receive(&m->confs, &m->raft, in);
    }
    m->recv(&m->io, in);
    raft_confs_received(&m->confs, &m->raft);
    sim_member_view(m, &view);
    raft_guard_received(&m->guard, &head, &view);
}

static void receive(struct sim_member *m, const struct sim_event *e)
{
    struct sim *s = m->s;
    struct raft_guard_view view;
    struct raft_message in;
    struct err err = {{0}};

    if (raft_wire_decode(e->bytes, e->len, &in, &err) != 0) {
        sim_fail(s, "a message cannot be decoded: %s", err.text);
        return;
    }
    if (in.type == RAFT_IO_INSTALL_SNAPSHOT &&
        !install(m, e->from, in.install_snapshot.last_index)) {
        raft_wire_free(&in);
        return;
    }
    in.server_id = e->from;
    in.server_address = s->members[e->from].address;
    sim_member_view(m, &view);
    if (sim_without(s, 11)) {
        view.cut = 0;
    }
    if (sim_without(s, 13)) {
        view.last_stored = view.last_index;
    }
    raft_guard_repair(&m->guard, &in, &view);
    sim_member_view(m, &view);
    if (may_come(m, &in, &view)) {
        deliver(m, &in);
    } else {
        raft_wire_free(&in);
    }
}

void sim_member_event(struct sim_member *m, struct sim_event *e)
{
    sim_heap_use(&m->heap);
    if (sim_without(m->s, 8)) {
        m->guard.claimed = m->raft.current_term;
    }
    switch (e->kind) {
        case SIM_TICK:
            tick(m);
            break;
        case SIM_MESSAGE:
            receive(m, e);
            break;
        case SIM_WRITTEN:
            sim_io_written(m);
            break;
        case SIM_KEPT:
            sim_io_kept(m);
            break;
        case SIM_FETCHED:
            fetched(m, e);
            break;
        case SIM_CLIENT:
            m->queue[m->queue_count++] = e->number;
            break;
        case SIM_CHANGE:
            sim_lead_change(m);
            break;
        case SIM_HAND_OVER:
            sim_lead_hand_over(m);
            break;
        case SIM_START:
        case SIM_HEAL:
        case SIM_FAULT:
            CHECK(false);
    }
    if (m->up) {
        settle(m);
    }
    if (m->up && sim_lead_stopped(m)) {
        return;
    }
    if (m->up && raft_state(&m->raft) == RAFT_UNAVAILABLE) {
        sim_fail(m->s, "libraft of member %u gives up: %s", m->id,
                 raft_errmsg(&m->raft));
    }
}
