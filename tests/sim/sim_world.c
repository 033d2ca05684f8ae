/* The clock and what happens at what time. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"
#include "tests/lib/random_command.h"
#include "tests/sim/sim.h"

#define LOAD_SECONDS 16   /* after the last fault, with clients */
#define QUIET_SECONDS 150 /* without; a snapshot is sent again after 30 s */

bool sim_without(const struct sim *s, int guard)
{
    return (s->options.without & SIM_GUARD(guard)) != 0;
}

/* ---- draws ---- */

uint64_t sim_draw(struct sim *s, uint64_t below)
{
    uint64_t z = (s->rng += 0x9e3779b97f4a7c15ull);

    CHECK(below > 0);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % below;
}

bool sim_chance(struct sim *s, uint64_t ppm)
{
    return ppm > 0 && sim_draw(s, 1000000) < ppm;
}

uint64_t sim_between(struct sim *s, uint64_t low, uint64_t high)
{
    CHECK(low <= high);
    return low + sim_draw(s, high - low + 1);
}

/* Something of that order: half of it to one and a half. */
static uint64_t around(struct sim *s, uint64_t mean)
{
    return mean / 2 + sim_draw(s, mean + 1);
}

static uint64_t pick(struct sim *s, const uint64_t *from, size_t n)
{
    return from[sim_draw(s, n)];
}
#define PICK(s, ...)                           \
    pick((s), (const uint64_t[]){__VA_ARGS__}, \
         sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* ---- words ---- */

void sim_fail(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (s->failed) {
        return;
    }
    s->failed = true;
    va_start(ap, fmt);
    vsnprintf(s->failure, sizeof s->failure, fmt, ap);
    va_end(ap);
    sim_trace(s, NULL, "VIOLATED: %s", s->failure);
}

void sim_trace(struct sim *s, const struct sim_member *m, const char *fmt, ...)
{
    va_list ap;

    if (!s->options.trace) {
        return;
    }
    printf("%10.4f ", (double)s->now / 1e6);
    if (m != NULL) {
        printf("member %u ", m->id);
    }
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

/* ---- events: a heap, the next one on top ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void heap_add(struct sim *s, struct sim_event *e)
{
    size_t i = s->event_count++;

    if (i == s->event_room) {
        s->event_room = s->event_room * 2 + 256;
        s->events = mem_realloc(s->events, s->event_room * sizeof *s->events);
    }
    while (i > 0 && before(e, s->events[(i - 1) / 2])) {
        s->events[i] = s->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->events[i] = e;
}

static struct sim_event *heap_take(struct sim *s)
{
    struct sim_event *top = s->events[0];
    struct sim_event *e = s->events[--s->event_count];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < s->event_count) {
        if (child + 1 < s->event_count &&
            before(s->events[child + 1], s->events[child])) {
            child++;
        }
        if (!before(s->events[child], e)) {
            break;
        }
        s->events[i] = s->events[child];
        i = child;
    }
    s->events[i] = e;
    return top;
}

struct sim_event *sim_at(struct sim *s, uint64_t after,
                         enum sim_event_kind kind, struct sim_member *m)
{
    struct sim_event *e = mem_alloc(sizeof *e);

    e->at = s->now + after;
    e->order = s->order++;
    e->kind = kind;
    e->member = m != NULL ? m->id : 0;
    e->life = m != NULL ? m->life : 0;
    heap_add(s, e);
    return e;
}

static void event_free(struct sim_event *e)
{
    free(e->bytes);
    free(e);
}

/* ---- clients ---- */

/* A few commands, and one that no catalogue knows, which makes them unlike all
 * others. */
static uint8_t *commands_new(struct sim *s, uint64_t number, size_t *len)
{
    uint8_t mark[9] = {0xff};
    size_t count = 1 + sim_draw(s, 4);
    size_t ends[8];
    struct buf all = {0};
    uint8_t *p, *at;

    for (size_t i = 0; i < count; i++) {
        s->commands->position = i;
        random_command_next(s->commands, &all);
        ends[i] = all.len;
    }
    s->commands->index++;
    *len = command_batch_size(count + 1, all.len + sizeof mark);
    p = mem_alloc(*len);
    at = command_batch_head(p, count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t from = i > 0 ? ends[i - 1] : 0;
        at = command_batch_put(at, all.data + from, ends[i] - from);
    }
    store_u64(mark + 1, number);
    command_batch_put(at, mark, sizeof mark);
    buf_free(&all);
    return p;
}

uint64_t sim_propose_new(struct sim *s)
{
    struct sim_proposal *p;
    uint64_t number = ++s->proposal_count;

    if (number >= s->proposal_room) {
        s->proposal_room = s->proposal_room * 2 + 256;
        s->proposals =
            mem_realloc(s->proposals, s->proposal_room * sizeof *s->proposals);
    }
    p = &s->proposals[number];
    *p = (struct sim_proposal){0};
    if (s->commands != NULL) {
        p->bytes = commands_new(s, number, &p->len);
    } else {
        p->len = 8 * (1 + sim_draw(s, 4));
        p->bytes = mem_alloc(p->len);
        store_u64(p->bytes, number);
    }
    return number;
}

/* To whoever believes that it leads; there may be more than one. */
static void client(struct sim *s)
{
    unsigned at = (unsigned)sim_draw(s, s->knobs.servers);

    if (!s->load_over) {
        sim_at(s, around(s, s->knobs.client_every), SIM_CLIENT, NULL);
    }
    for (unsigned i = 0; i < s->knobs.servers; i++) {
        struct sim_member *m = &s->members[(at + i) % s->knobs.servers + 1];
        if (m->up && raft_state(&m->raft) == RAFT_LEADER &&
            m->queue_count < SIM_QUEUE_MAX) {
            struct sim_event e = {.kind = SIM_CLIENT, .member = m->id};
            e.number = sim_propose_new(s);
            if (m->paused_until <= s->now) {
                sim_member_event(m, &e);
            }
            return;
        }
    }
}

static void change(struct sim *s)
{
    struct sim_event e = {.kind = SIM_CHANGE};

    if (!s->faults_over) {
        sim_at(s, around(s, s->knobs.change_every), SIM_CHANGE, NULL);
        for (unsigned i = 1; i <= s->knobs.servers; i++) {
            struct sim_member *m = &s->members[i];
            if (m->up && m->leading && m->paused_until <= s->now) {
                sim_member_event(m, &e);
                return;
            }
        }
    }
}

/* Somebody who leads is asked to hand over. */
static void hand_over(struct sim *s)
{
    struct sim_event e = {.kind = SIM_HAND_OVER};

    if (!s->faults_over) {
        sim_at(s, around(s, s->knobs.change_every), SIM_HAND_OVER, NULL);
        for (unsigned i = 1; i <= s->knobs.servers; i++) {
            struct sim_member *m = &s->members[i];
            if (m->up && m->leading && m->paused_until <= s->now) {
                sim_member_event(m, &e);
                return;
            }
        }
    }
}

/* ---- faults ---- */

static void cut(struct sim *s, unsigned from, unsigned to, bool both)
{
    s->blocked[from][to] = true;
    if (both) {
        s->blocked[to][from] = true;
    }
}

static void partition(struct sim *s)
{
    unsigned n = s->knobs.servers;
    bool both = !s->knobs.one_way || sim_draw(s, 3) > 0;
    bool side[SIM_MEMBERS_MAX + 1];
    unsigned one = (unsigned)sim_draw(s, n) + 1;
    bool halves = sim_draw(s, 2) == 0;

    for (unsigned i = 1; i <= n; i++) {
        side[i] = halves ? sim_draw(s, 2) == 0 : i == one;
    }
    sim_trace(s, NULL, "network: cut %s", both ? "both ways" : "one way");
    for (unsigned i = 1; i <= n; i++) {
        for (unsigned j = 1; j <= n; j++) {
            if (side[i] && !side[j]) {
                cut(s, i, j, both);
            }
        }
    }
    sim_at(s, sim_between(s, 20 * SIM_MS, 4 * SIM_SECOND), SIM_HEAL, NULL);
}

static void one_link(struct sim *s)
{
    unsigned a = (unsigned)sim_draw(s, s->knobs.servers) + 1;
    unsigned b = (unsigned)sim_draw(s, s->knobs.servers) + 1;

    sim_trace(s, NULL, "network: link %u to %u cut", a, b);
    cut(s, a, b, !s->knobs.one_way);
    sim_at(s, sim_between(s, 20 * SIM_MS, 4 * SIM_SECOND), SIM_HEAL, NULL);
}

static void power_cut(struct sim *s)
{
    for (unsigned i = 1; i <= s->knobs.servers; i++) {
        if (s->members[i].up) {
            sim_member_crash(&s->members[i], "power cut");
        }
    }
}

static void fault(struct sim *s)
{
    const struct sim_knobs *k = &s->knobs;
    struct sim_member *m = &s->members[sim_draw(s, k->servers) + 1];

    if (s->faults_over) {
        return;
    }
    sim_at(s, around(s, k->fault_every), SIM_FAULT, NULL);
    switch (sim_draw(s, 7)) {
        case 0:
            if (k->crash && sim_draw(s, 8) == 0) {
                power_cut(s);
            } else if (k->crash && m->up) {
                sim_member_crash(m, "killed");
            }
            break;
        case 1:
            if (k->partition) {
                partition(s);
            }
            break;
        case 2:
            if (k->partition) {
                one_link(s);
            }
            break;
        case 3:
            if (k->pause && m->up) {
                m->paused_until =
                    s->now + sim_between(s, 10 * SIM_MS, 2 * SIM_SECOND);
                sim_trace(s, m, "stands still");
            }
            break;
        case 4:
            if (k->slow) {
                m->slow_until = s->now + sim_draw(s, 5 * SIM_SECOND);
                sim_trace(s, m, "has a slow disk");
            }
            break;
        case 5:
            m->full = k->full;
            break;
        default: /* the leader, if there is one, is most worth it */
            for (unsigned i = 1; k->crash && i <= k->servers; i++) {
                if (s->members[i].up && s->members[i].leading) {
                    sim_member_crash(&s->members[i], "killed while it led");
                    break;
                }
            }
    }
}

/* ---- a history ---- */

/* Writes that outlast leaders, little to do, snapshots all the time: what is
 * seldom else. */
static void draw_harsh(struct sim *s)
{
    struct sim_knobs *k = &s->knobs;

    k->slow = true;
    k->real_state = false;
    k->snapshot_entries = 5;
    k->trailing_entries = 1;
    k->fault_every = 200 * SIM_MS;
    k->write_max = 300 * SIM_MS;
    k->client_every = PICK(s, 80, 300, 1000) * SIM_MS;
}

static void draw_knobs(struct sim *s)
{
    struct sim_knobs *k = &s->knobs;
    uint64_t joining = 0;

    k->real_state = sim_draw(s, 20) == 0;
    k->members_change = sim_draw(s, 3) == 0;
    k->voters = (unsigned)PICK(s, 3, 3, 3, 5, 5);
    if (k->members_change) {
        k->voters = (unsigned)PICK(s, 1, 3, 3, 5);
        joining = sim_between(s, k->voters == 1 ? 2 : 1, 2);
    }
    k->servers = k->voters + (unsigned)joining;
    k->fifo = sim_draw(s, 2) == 0;
    k->crash = sim_draw(s, 4) > 0;
    k->torn = sim_draw(s, 2) == 0;
    k->partition = sim_draw(s, 4) > 0;
    k->one_way = sim_draw(s, 2) == 0;
    k->pause = sim_draw(s, 3) == 0;
    k->slow = sim_draw(s, 3) == 0;
    k->full = sim_draw(s, 4) == 0;
    k->loss_ppm = PICK(s, 0, 0, 10000, 50000, 200000);
    k->again_ppm = PICK(s, 0, 0, 20000, 200000);
    k->long_ppm = PICK(s, 0, 0, 2000, 20000);
    k->delay_min = PICK(s, 100, 1000);
    k->delay_max = k->delay_min + PICK(s, 500, 5000, 30000, 200000);
    k->write_min = 200;
    k->write_max = k->write_min + PICK(s, 1000, 10000, 50000, 300000);
    k->fault_every = PICK(s, 200, 700, 2000) * SIM_MS;
    k->client_every = PICK(s, 3, 20, 80, 300) * SIM_MS;
    k->change_every = PICK(s, 100, 500, 2000) * SIM_MS;
    k->snapshot_entries = (unsigned)PICK(s, 5, 20, 100, 100000);
    k->trailing_entries = (unsigned)PICK(s, 1, 5, 50);
    if (sim_draw(s, 4) == 0) {
        draw_harsh(s);
    }
    k->run_for = sim_between(s, 5, 20) * SIM_SECOND;
}

static void begin(struct sim *s, const struct sim_options *options)
{
    s->options = *options;
    s->rng = options->seed * 0x2545f4914f6cdd1dull;
    draw_knobs(s);
    if (s->knobs.real_state) {
        s->commands = mem_alloc(sizeof *s->commands);
        random_command_init(s->commands, sim_draw(s, UINT32_MAX));
    }
    for (unsigned i = 1; i <= s->knobs.servers; i++) {
        sim_member_init(s, &s->members[i], i);
    }
    for (unsigned i = 1; i <= s->knobs.servers; i++) {
        if (i <= s->knobs.voters) {
            sim_member_bootstrap(&s->members[i]);
        }
        sim_at(s, sim_draw(s, SIM_SECOND), SIM_START, &s->members[i]);
    }
    sim_at(s, sim_draw(s, 3 * SIM_SECOND), SIM_FAULT, NULL);
    sim_at(s, SIM_SECOND, SIM_CLIENT, NULL);
    /* No draw: the other histories stay what they were. */
    s->knobs.hand_over = options->seed % 3 == 0;
    if (s->knobs.hand_over) {
        sim_at(s, 2 * SIM_SECOND, SIM_HAND_OVER, NULL);
    }
    if (s->knobs.members_change) {
        sim_at(s, 2 * SIM_SECOND, SIM_CHANGE, NULL);
    }
}

static void world_event(struct sim *s, struct sim_event *e)
{
    switch (e->kind) {
        case SIM_HEAL:
            sim_trace(s, NULL, "network: whole");
            sim_net_heal(s);
            break;
        case SIM_FAULT:
            fault(s);
            break;
        case SIM_CLIENT:
            client(s);
            break;
        case SIM_CHANGE:
            change(s);
            break;
        case SIM_HAND_OVER:
            hand_over(s);
            break;
        default:
            CHECK(false);
    }
}

static void step(struct sim *s)
{
    struct sim_event *e = heap_take(s);
    struct sim_member *m = &s->members[e->member];

    s->now = e->at;
    s->steps++;
    if (e->member == 0) {
        world_event(s, e);
    } else if (e->kind == SIM_MESSAGE && !sim_net_arrives(s, e)) {
        /* lost */
    } else if (e->life != 0 && e->life != m->life) {
        /* of a process that is no more */
    } else if (e->kind == SIM_START) {
        sim_member_start(m);
    } else if (!m->up) {
        /* as above */
    } else if (m->paused_until > s->now) {
        e->at = m->paused_until; /* the order stays */
        heap_add(s, e);
        return;
    } else {
        if (e->kind == SIM_MESSAGE) {
            s->messages++;
        }
        sim_member_event(m, e);
    }
    event_free(e);
}

static void run_until(struct sim *s, uint64_t until)
{
    while (!s->failed && s->event_count > 0 && s->events[0]->at <= until) {
        step(s);
    }
    if (!s->failed) {
        s->now = until;
    }
}

static bool converged(struct sim *s)
{
    uint64_t last = 0;
    bool leader = false;

    for (unsigned i = 1; i <= s->knobs.servers; i++) {
        const struct sim_member *m = &s->members[i];
        if (!m->up) {
            return false;
        }
        if (m->raft.state == RAFT_LEADER) {
            leader = true;
            last = sim_log_last(&m->log);
            for (unsigned v = 0; v < m->raft.configuration.n; v++) {
                const struct raft_server *r = &m->raft.configuration.servers[v];
                if (r->role != RAFT_SPARE &&
                    s->members[r->id].raft.last_applied != last) {
                    return false;
                }
            }
        }
    }
    return leader;
}

/* The world is whole: a leader appears, what is proposed is acknowledged, and
 * all members have the same. */
static void end_well(struct sim *s)
{
    struct sim_knobs *k = &s->knobs;
    uint64_t end;

    sim_trace(s, NULL, "no more faults");
    s->faults_over = true;
    sim_net_heal(s);
    k->delay_max = k->delay_max < 30000 ? k->delay_max : 30000;
    k->write_max = k->write_max < 10000 ? k->write_max : 10000;
    for (unsigned i = 1; i <= k->servers; i++) {
        s->members[i].paused_until = 0;
        s->members[i].slow_until = 0;
        s->members[i].full = false;
    }
    end = s->now + LOAD_SECONDS * SIM_SECOND;
    run_until(s, end);
    if (!s->failed && s->last_acked_at + LOAD_SECONDS / 2 * SIM_SECOND < end) {
        sim_fail(s, "nothing was acknowledged for %.1f s, without a fault",
                 (double)(end - s->last_acked_at) / 1e6);
    }
    s->load_over = true;
    end += QUIET_SECONDS * SIM_SECOND;
    while (!s->failed && s->now < end) {
        run_until(s, s->now + SIM_SECOND);
        if (converged(s)) {
            break;
        }
    }
    if (!s->failed) {
        sim_check_end(s);
    }
}

static void add_totals(struct sim *totals, const struct sim *s)
{
    totals->now += s->now;
    totals->steps += s->steps;
    totals->acked += s->acked;
    totals->proposal_count += s->proposal_count;
    totals->elections += s->elections;
    totals->crashes += s->crashes;
    totals->snapshots += s->snapshots;
    totals->installs += s->installs;
    totals->changes += s->changes;
    totals->messages += s->messages;
    totals->handed_over += s->handed_over;
}

static void end(struct sim *s)
{
    for (size_t i = 0; i < s->event_count; i++) {
        event_free(s->events[i]);
    }
    free(s->events);
    for (unsigned i = 1; i <= s->knobs.servers; i++) {
        sim_member_close(&s->members[i]);
    }
    sim_check_free(s);
    for (size_t i = 1; i <= s->proposal_count; i++) {
        free(s->proposals[i].bytes);
    }
    free(s->proposals);
    free(s->commands);
    free(s);
}

bool sim_run(const struct sim_options *options, char failure[SIM_FAILURE_MAX],
             struct sim *totals)
{
    struct sim *s = mem_alloc(sizeof *s);
    bool held;

    sim_heap_start();
    begin(s, options);
    run_until(s, s->knobs.run_for);
    if (!s->failed) {
        end_well(s);
    }
    add_totals(totals, s);
    held = !s->failed;
    memcpy(failure, s->failure, SIM_FAILURE_MAX);
    end(s);
    return held;
}
