/* sim.h: a cluster of members in one thread, judged at every step.
 *
 * Real: libraft, the guards (meta/raft_guard.h), the messages
 * (meta/raft_wire.h) and, for some seeds, the catalogue (meta/meta_apply.h).
 * Simulated: clock, network, disks, crashes, clients. All draws come from one
 * generator, so a seed is one history.
 *
 *     sim_main.c    arguments, many seeds
 *     sim_world.c   the clock and its events, faults, clients, the end
 *     sim_member.c  a member's life: start, crash, messages, ticks
 *     sim_lead.c    what meta_lead.c and meta_members.c do: propose, change
 *     sim_io.c      struct raft_io over a disk, as raft_io.c
 *     sim_log.c     entries and runs of them
 *     sim_net.c     links
 *     sim_state.c   state machines: a chain of digests, or the catalogue
 *     sim_check.c   what must always hold
 *     sim_heap.c    memory of libraft, which dies with its member
 *
 * sim_io.c, sim_lead.c and sim_member.c repeat what meta/raft_io.c,
 * meta_lead.c, meta_members.c and meta_copy.c do, in the same order: who
 * changes one changes the other.
 *
 * A crash is an end without a word, as of a process that is killed: all events
 * of that life are forgotten, its memory is released, and of what was being
 * written a prefix may have reached the disk.
 *
 * Units: us of the one true clock; each member has its own, which runs at
 * another rate.
 * Threads: one.
 */
#ifndef GODWIT_TESTS_SIM_H
#define GODWIT_TESTS_SIM_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "meta/raft_conf.h"
#include "meta/raft_guard.h"

#define SIM_MEMBERS_MAX 7
#define SIM_QUEUE_MAX 64
#define SIM_MS 1000ull
#define SIM_SECOND 1000000ull
#define SIM_FAILURE_MAX 400

struct sim;
struct sim_base;

/* ---- sim_log.c ---- */

/* An entry of some log; never changes, shared by all that hold it. @chain is a
 * digest of this one and all before it. */
struct sim_entry {
    unsigned refs;
    uint16_t type;
    uint64_t index, term, hash, chain;
    size_t len;
    uint8_t data[];
};

struct sim_log {
    uint64_t before; /* index of the entry before the first one here ... */
    uint64_t before_term, before_chain; /* ... and what it was */
    struct sim_entry **entries;
    size_t count, room;
};

uint64_t sim_hash(uint64_t seed, const void *p, size_t len);
struct sim_entry *sim_entry_new(const struct sim_log *follows, uint64_t term,
                                unsigned type, const void *data, size_t len);
struct sim_entry *sim_entry_ref(struct sim_entry *e);
void sim_entry_free(struct sim_entry *e); /* a reference */
uint64_t sim_log_last(const struct sim_log *l);
uint64_t sim_log_last_term(const struct sim_log *l);
uint64_t sim_log_chain(const struct sim_log *l); /* of the last */
struct sim_entry *sim_log_at(const struct sim_log *l, uint64_t index);
void sim_log_push(struct sim_log *l, struct sim_entry *e); /* takes */
void sim_log_truncate(struct sim_log *l, uint64_t index);  /* and above */
void sim_log_cut(struct sim_log *l, uint64_t index);       /* and below */
void sim_log_reset(struct sim_log *l, uint64_t index, uint64_t term,
                   uint64_t chain);
void sim_log_copy(struct sim_log *to, const struct sim_log *from);
void sim_log_free(struct sim_log *l);

/* ---- sim_state.c ---- */

struct sim_state {
    uint64_t applied, hash;
    struct sim_base *base; /* the catalogue; NULL: the digest alone */
};

void sim_state_init(struct sim_state *st, bool real);
void sim_state_close(struct sim_state *st);
void sim_state_copy(struct sim_state *to, const struct sim_state *from);
/* False and a failure: it could not be applied. */
bool sim_state_apply(struct sim *s, struct sim_state *st, uint64_t index,
                     const void *data, size_t len);
/* An entry without commands. */
void sim_state_empty(struct sim_state *st, uint64_t index);
bool sim_state_same(struct sim *s, struct sim_state *a, struct sim_state *b);

/* ---- disks: sim_io.c ---- */

struct sim_server {
    uint64_t id;
    int role;
};

struct sim_snapshot {
    uint64_t index, term, chain, configuration_index; /* index 0: none */
    struct sim_server servers[SIM_MEMBERS_MAX];
    unsigned server_count;
    uint8_t data[16];
};

/* What outlives a crash. */
struct sim_disk {
    struct sim_log log;
    uint64_t term, vote;
    struct sim_snapshot snapshot;
    struct sim_state state; /* the database */
};

enum sim_job_kind {
    SIM_APPEND,
    SIM_TRUNCATE,
    SIM_CUT,
    SIM_PUT,
    SIM_GET,
};

/* What a thread of raft_io.c would do. */
struct sim_job {
    struct list_node node;
    struct sim_job *next; /* to be done after this one */
    enum sim_job_kind kind;
    uint64_t index, cut;
    bool replace, changes;
    struct sim_entry **entries;
    size_t count;
    struct sim_snapshot snapshot;
    struct raft_io_append *append;
    raft_io_append_cb append_cb;
    struct raft_io_snapshot_put *put;
    raft_io_snapshot_put_cb put_cb;
    struct raft_io_snapshot_get *get;
    raft_io_snapshot_get_cb get_cb;
};

struct sim_posted {
    struct raft_io_send *request;
    raft_io_send_cb cb;
};

/* ---- members ---- */

/* A proposal that libraft has. */
struct sim_flight {
    struct list_node node;
    struct raft_apply request;
    uint64_t proposal; /* 0: it is applied */
    uint64_t index;
};

struct sim_member {
    struct sim *s;
    unsigned id; /* from 1 */
    char address[8];
    struct sim_disk disk;
    bool up;
    bool full;     /* the next write finds no room */
    uint64_t life; /* counts starts; events of an older one are forgotten */
    uint64_t rate_ppm, offset_us;
    uint64_t paused_until;
    uint64_t slow_until; /* its disk */

    /* Of this life. */
    struct list_node heap;
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft_guard guard;
    struct raft_confs confs;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    unsigned tick_ms;
    struct sim_log log; /* as libraft has it */
    uint64_t last;      /* as raft_io.c counts */
    uint64_t snapshot_index;
    bool installing;
    struct list_node writer, keeper; /* jobs */
    struct sim_posted *posted;
    size_t posted_count, posted_room;
    struct sim_state state; /* what is applied; the disk has it later */
    bool fetching;
    bool leading, barrier_out;
    struct raft_barrier barrier;
    uint64_t queue[SIM_QUEUE_MAX]; /* proposals */
    size_t queue_count;
    struct list_node flights; /* one, but without B3 */
    struct raft_change change;
    bool change_out;
    bool handing_over;
    uint64_t stop_at; /* at the latest, cleanly; 0: it stays */
    /* For the checks. */
    uint64_t seen_commit, seen_lead_term;
};

/* ---- the world ---- */

enum sim_event_kind {
    SIM_TICK,
    SIM_MESSAGE,
    SIM_WRITTEN,
    SIM_KEPT,
    SIM_FETCHED,
    SIM_START,
    SIM_HEAL,
    SIM_FAULT,
    SIM_CLIENT,
    SIM_CHANGE,
    SIM_HAND_OVER,
};

struct sim_event {
    uint64_t at, order;
    enum sim_event_kind kind;
    unsigned member; /* whose; 0: the world's */
    uint64_t life;
    unsigned from;
    uint64_t number;
    uint8_t *bytes; /* of a message; freed with it */
    size_t len;
};

struct sim_proposal {
    uint64_t hash;
    size_t len;
    uint8_t *bytes;
    uint64_t acked; /* the index, or 0 */
};

/* What is known of an index: all entries that ever stood there, and the one
 * that was committed. */
struct sim_variant {
    uint64_t term, chain;
};

struct sim_place {
    struct sim_entry *truth;
    uint64_t truth_term; /* of the member that saw it committed first */
    unsigned truth_member;
    struct sim_variant *variants;
    size_t variant_count;
};

/* Guards that are switched off, to see what they are for: meta/raft_guard.h and
 * raft_conf.h name them. */
#define SIM_GUARD(n) (1u << (n))
#define SIM_GUARD_MAX 14

struct sim_options {
    uint64_t seed;
    unsigned without;
    bool trace;
};

/* What a seed makes of the world. */
struct sim_knobs {
    unsigned voters, servers; /* the rest joins */
    bool real_state, fifo, members_change;
    bool crash, torn, partition, one_way, pause, slow, full, hand_over;
    uint64_t loss_ppm, again_ppm, delay_min, delay_max, long_ppm;
    uint64_t write_min, write_max;
    uint64_t fault_every, client_every, change_every;
    unsigned snapshot_entries, trailing_entries;
    uint64_t run_for;
};

struct sim {
    struct sim_options options;
    struct sim_knobs knobs;
    uint64_t rng;
    uint64_t now, order, steps;
    struct sim_event **events;
    size_t event_count, event_room;
    struct sim_member members[SIM_MEMBERS_MAX + 1]; /* from 1 */
    bool blocked[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1];
    uint64_t link_free[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1];
    bool faults_over, load_over;
    struct sim_place *places; /* by index */
    size_t place_count;
    unsigned *leaders; /* by term */
    size_t leader_count;
    struct sim_proposal *proposals; /* by number; 0 is none */
    size_t proposal_count, proposal_room;
    uint64_t acked, last_acked_at;
    struct random_command *commands; /* with a real state */
    bool failed;
    char failure[SIM_FAILURE_MAX];
    /* What happened, for the curious. */
    uint64_t elections, crashes, snapshots, installs, changes, messages;
    uint64_t handed_over;
};

/* One history. True: all held. Else @failure says what did not; what happened
 * is added to @totals. */
bool sim_run(const struct sim_options *options, char failure[SIM_FAILURE_MAX],
             struct sim *totals);

bool sim_without(const struct sim *s, int guard);
uint64_t sim_draw(struct sim *s, uint64_t below); /* 0 .. below - 1 */
bool sim_chance(struct sim *s, uint64_t ppm);
uint64_t sim_between(struct sim *s, uint64_t low, uint64_t high);
void sim_fail(struct sim *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *s, const struct sim_member *m, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Later. The event is the world's; fill what else it needs. */
struct sim_event *sim_at(struct sim *s, uint64_t after,
                         enum sim_event_kind kind, struct sim_member *m);
uint64_t sim_propose_new(struct sim *s); /* the number of a new proposal */

/* ---- sim_member.c ---- */

void sim_member_init(struct sim *s, struct sim_member *m, unsigned id);
void sim_member_close(struct sim_member *m);
void sim_member_bootstrap(struct sim_member *m); /* first voters */
void sim_member_start(struct sim_member *m);
void sim_member_crash(struct sim_member *m, const char *why);
void sim_member_event(struct sim_member *m, struct sim_event *e);
uint64_t sim_member_time_us(const struct sim_member *m);
void sim_member_view(struct sim_member *m, struct raft_guard_view *out);

/* ---- sim_lead.c ---- */

void sim_lead_tick(struct sim_member *m);
void sim_lead_pump(struct sim_member *m);
/* Entry @index is applied: is it one of ours? */
void sim_lead_applied(struct sim_member *m, uint64_t index, const void *data,
                      size_t len);
/* Add, promote, demote or remove some server. */
void sim_lead_change(struct sim_member *m);
/* Give the lead to another voter, and perhaps stop after that. */
void sim_lead_hand_over(struct sim_member *m);
/* What is to stop does, once it may. True: it is no more. */
bool sim_lead_stopped(struct sim_member *m);

/* ---- sim_io.c ---- */

void sim_io_open(struct sim_member *m);
void sim_io_crash(struct sim_member *m); /* what of the jobs is on the disk? */
void sim_io_written(struct sim_member *m);
void sim_io_kept(struct sim_member *m);
void sim_io_run_posted(struct sim_member *m);
bool sim_io_idle(const struct sim_member *m);

/* ---- sim_net.c ---- */

void sim_net_send(struct sim_member *m, unsigned to, const void *bytes,
                  size_t len);
bool sim_net_arrives(struct sim *s, const struct sim_event *e);
void sim_net_heal(struct sim *s);

/* ---- sim_check.c ---- */

void sim_check_entry(struct sim_member *m, const struct sim_entry *e);
/* The digest up to an entry that was seen; 0: never seen. */
uint64_t sim_check_chain(struct sim *s, uint64_t index, uint64_t term);
void sim_check_member(struct sim_member *m);
void sim_check_acked(struct sim_member *m, uint64_t proposal, uint64_t index,
                     const void *data, size_t len);
void sim_check_end(struct sim *s);
void sim_check_free(struct sim *s);

/* ---- sim_heap.c ---- */

void sim_heap_start(void);
/* From now on memory of libraft is @head's; NULL: nobody's. */
void sim_heap_use(struct list_node *head);
void sim_heap_free(struct list_node *head); /* all of it */

#endif
