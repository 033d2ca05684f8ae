#include "meta/raft_conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"

/* libraft's encoding: u8 version, u64 count; each: u64 id, text and NUL, u8
 * role. */
#define ENCODING 1
#define SERVERS_MAX 64

static void conf_close(struct raft_conf *c)
{
    raft_configuration_close(&c->servers);
}

static void copy_servers(struct raft_configuration *to,
                         const struct raft_configuration *from)
{
    raft_configuration_init(to);
    for (unsigned i = 0; i < from->n; i++) {
        const struct raft_server *s = &from->servers[i];
        CHECK(raft_configuration_add(to, s->id, s->address, s->role) == 0);
    }
}

static bool decode(struct raft_configuration *out, const void *data, size_t len)
{
    struct wire_reader r;
    uint64_t n;

    wire_init(&r, data, len);
    if (get_u8(&r) != ENCODING || (n = get_u64(&r)) > SERVERS_MAX) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t id = get_u64(&r);
        const char *address = (const char *)r.p;
        const void *end = r.left > 0 ? memchr(r.p, 0, r.left) : NULL;
        int role;

        if (end == NULL) {
            return false;
        }
        get_bytes(&r, (size_t)((const char *)end - address) + 1);
        role = get_u8(&r);
        if (!wire_ok(&r) ||
            raft_configuration_add(out, id, address, role) != 0) {
            return false;
        }
    }
    return wire_ok(&r);
}

/* A place at the end of the list. */
static struct raft_conf *push(struct raft_confs *c, uint64_t index)
{
    struct raft_conf *at;

    CHECK(c->count == 0 || c->list[c->count - 1].index < index);
    if (c->count == c->room) {
        c->room = c->room * 2 + 4;
        c->list = raft_realloc(c->list, c->room * sizeof *c->list);
        CHECK(c->list != NULL);
    }
    at = &c->list[c->count++];
    at->index = index;
    raft_configuration_init(&at->servers);
    return at;
}

void raft_confs_free(struct raft_confs *c)
{
    for (size_t i = 0; i < c->count; i++) {
        conf_close(&c->list[i]);
    }
    raft_free(c->list);
    *c = (struct raft_confs){0};
}

void raft_confs_base(struct raft_confs *c, const struct raft_snapshot *snapshot)
{
    uint64_t index = snapshot->configuration_index;

    raft_confs_free(c);
    index = index < snapshot->index ? index : snapshot->index;
    copy_servers(&push(c, index)->servers, &snapshot->configuration);
}

bool raft_confs_append(struct raft_confs *c, uint64_t index, const void *data,
                       size_t len)
{
    if (!decode(&push(c, index)->servers, data, len)) {
        conf_close(&c->list[--c->count]);
        return false;
    }
    return true;
}

static void use_newest(const struct raft_confs *c, struct raft *r)
{
    raft_configuration_close(&r->configuration);
    raft_configuration_init(&r->configuration);
    if (c->count > 0) {
        copy_servers(&r->configuration, &c->list[c->count - 1].servers);
    }
}

void raft_confs_adopt(const struct raft_confs *c, struct raft *r)
{
    if (r->state == RAFT_FOLLOWER) {
        use_newest(c, r);
    }
}

void raft_confs_truncate(struct raft_confs *c, uint64_t index, struct raft *r)
{
    bool changed = false;

    while (c->count > 0 && c->list[c->count - 1].index >= index) {
        conf_close(&c->list[--c->count]);
        changed = true;
    }
    if (changed) {
        use_newest(c, r);
    }
}

const struct raft_conf *raft_confs_snapshot(struct raft_confs *c,
                                            uint64_t index)
{
    size_t older = 0;

    while (older + 1 < c->count && c->list[older + 1].index <= index) {
        conf_close(&c->list[older++]);
    }
    if (older > 0) {
        c->count -= older;
        memmove(c->list, c->list + older, c->count * sizeof *c->list);
    }
    return c->count > 0 && c->list[0].index <= index ? &c->list[0] : NULL;
}

static bool votes(const struct raft *r)
{
    for (unsigned i = 0; i < r->configuration.n; i++) {
        const struct raft_server *s = &r->configuration.servers[i];
        if (s->id == r->id) {
            return s->role == RAFT_VOTER;
        }
    }
    return false;
}

/* The vote of a server that has one by the newest configuration of who asks.
 * Who does not vote never forgets a leader by itself. */
static void lend_vote(struct raft_confs *c, struct raft *r)
{
    if (r->state == RAFT_FOLLOWER &&
        r->io->time(r->io) - r->election_timer_start >= r->election_timeout) {
        r->follower_state.current_leader.id = 0;
    }
    c->lent = true;
    c->voter = (struct raft_server){
        .id = r->id, .address = r->address, .role = RAFT_VOTER};
    c->held = r->configuration;
    r->configuration =
        (struct raft_configuration){.servers = &c->voter, .n = 1};
}

void raft_confs_receive(struct raft_confs *c, struct raft *r,
                        const struct raft_message *m)
{
    bool follows =
        r->state != RAFT_LEADER || (m->type == RAFT_IO_APPEND_ENTRIES &&
                                    m->append_entries.term > r->current_term);

    if (follows) {
        /* There is nothing that libraft could take back. */
        r->configuration_uncommitted_index = 0;
    }
    if (m->type == RAFT_IO_REQUEST_VOTE && !votes(r)) {
        lend_vote(c, r);
    }
}

void raft_confs_received(struct raft_confs *c, struct raft *r)
{
    if (c->lent) {
        r->configuration = c->held;
        c->lent = false;
    }
}
