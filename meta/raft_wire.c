#include "meta/raft_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/wire.h"

#define VERSION 1
#define ADDRESS_MAX 255
#define FLAG_DISRUPT 1
#define FLAG_PRE_VOTE 2

static const char *const names[] = {
    [RAFT_IO_APPEND_ENTRIES] = "AppendEntries",
    [RAFT_IO_APPEND_ENTRIES_RESULT] = "AppendEntriesResult",
    [RAFT_IO_REQUEST_VOTE] = "RequestVote",
    [RAFT_IO_REQUEST_VOTE_RESULT] = "RequestVoteResult",
    [RAFT_IO_INSTALL_SNAPSHOT] = "InstallSnapshot",
    [RAFT_IO_TIMEOUT_NOW] = "TimeoutNow",
};

/* ---- encoding ---- */

static void put_append(struct buf *out, const struct raft_append_entries *a)
{
    put_u64(out, a->term);
    put_u64(out, a->prev_log_index);
    put_u64(out, a->prev_log_term);
    put_u64(out, a->leader_commit);
    put_u32(out, a->n_entries);
    for (unsigned i = 0; i < a->n_entries; i++) {
        put_u64(out, a->entries[i].term);
        put_u16(out, a->entries[i].type);
        put_blob(out, a->entries[i].buf.base, a->entries[i].buf.len);
    }
}

static void put_install(struct buf *out, const struct raft_install_snapshot *s)
{
    put_u64(out, s->term);
    put_u64(out, s->last_index);
    put_u64(out, s->last_term);
    put_u64(out, s->conf_index);
    put_blob(out, s->data.base, s->data.len);
    put_u32(out, s->conf.n);
    for (unsigned i = 0; i < s->conf.n; i++) {
        put_u64(out, s->conf.servers[i].id);
        put_u8(out, (uint8_t)s->conf.servers[i].role);
        put_text(out, s->conf.servers[i].address);
    }
}

static uint8_t put_tribool(raft_tribool t)
{
    return t == raft_tribool_unknown ? 0 : t == raft_tribool_false ? 1 : 2;
}

void raft_wire_trim(struct raft_append_entries *a)
{
    size_t bytes = 0;
    unsigned n = 0;

    while (n < a->n_entries &&
           (n == 0 || bytes + a->entries[n].buf.len <= RAFT_WIRE_BATCH_BYTES) &&
           n < RAFT_WIRE_ENTRIES_MAX) {
        bytes += a->entries[n++].buf.len;
    }
    if (n < a->n_entries) {
        a->n_entries = n;
        /* What lies behind is not vouched for by this message. */
        if (a->leader_commit > a->prev_log_index + n) {
            a->leader_commit = a->prev_log_index + n;
        }
    }
}

void raft_wire_encode(const struct raft_message *m, struct buf *out)
{
    put_u8(out, VERSION);
    put_u8(out, (uint8_t)m->type);
    switch (m->type) {
        case RAFT_IO_APPEND_ENTRIES:
            put_append(out, &m->append_entries);
            break;
        case RAFT_IO_APPEND_ENTRIES_RESULT:
            put_u64(out, m->append_entries_result.term);
            put_u64(out, m->append_entries_result.rejected);
            put_u64(out, m->append_entries_result.last_log_index);
            break;
        case RAFT_IO_REQUEST_VOTE:
            put_u64(out, m->request_vote.term);
            put_u64(out, m->request_vote.candidate_id);
            put_u64(out, m->request_vote.last_log_index);
            put_u64(out, m->request_vote.last_log_term);
            put_u8(out, (m->request_vote.disrupt_leader ? FLAG_DISRUPT : 0) |
                            (m->request_vote.pre_vote ? FLAG_PRE_VOTE : 0));
            break;
        case RAFT_IO_REQUEST_VOTE_RESULT:
            put_u64(out, m->request_vote_result.term);
            put_u8(out, m->request_vote_result.vote_granted);
            put_u8(out, put_tribool(m->request_vote_result.pre_vote));
            break;
        case RAFT_IO_INSTALL_SNAPSHOT:
            put_install(out, &m->install_snapshot);
            break;
        default:
            CHECK(m->type == RAFT_IO_TIMEOUT_NOW);
            put_u64(out, m->timeout_now.term);
            put_u64(out, m->timeout_now.last_log_index);
            put_u64(out, m->timeout_now.last_log_term);
    }
}

/* ---- decoding ---- */

void *raft_wire_give(const void *p, size_t len)
{
    void *out = raft_malloc(len > 0 ? len : 1);

    CHECK(out != NULL);
    if (len > 0) {
        memcpy(out, p, len);
    }
    return out;
}

/* libraft frees all entries of a message by the one batch they point into. */
static void get_append(struct wire_reader *r, struct raft_append_entries *a)
{
    struct wire_reader again;
    size_t total = 0;
    uint32_t count;
    uint8_t *batch;

    a->term = get_u64(r);
    a->prev_log_index = get_u64(r);
    a->prev_log_term = get_u64(r);
    a->leader_commit = get_u64(r);
    count = get_u32(r);
    if (!wire_ok(r) || count > RAFT_WIRE_ENTRIES_MAX) {
        wire_fail(r);
        return;
    }
    again = *r;
    for (uint32_t i = 0; i < count && wire_ok(&again); i++) {
        size_t len = 0;
        uint16_t type;
        get_u64(&again);
        type = get_u16(&again);
        get_blob(&again, again.left, &len);
        if (len % 8 != 0 || (type != RAFT_COMMAND && type != RAFT_BARRIER &&
                             type != RAFT_CHANGE)) {
            wire_fail(&again);
        }
        total += len;
    }
    if (!wire_ok(&again) || count == 0) {
        if (!wire_ok(&again)) {
            wire_fail(r);
        }
        return;
    }
    batch = raft_malloc(total > 0 ? total : 1);
    a->entries = raft_calloc(count, sizeof *a->entries);
    CHECK(batch != NULL && a->entries != NULL);
    a->n_entries = count;
    for (uint32_t i = 0, at = 0; i < count; i++) {
        struct raft_entry *e = &a->entries[i];
        const uint8_t *p;
        size_t len = 0;
        e->term = get_u64(r);
        e->type = get_u16(r);
        p = get_blob(r, r->left, &len);
        if (len > 0) {
            memcpy(batch + at, p, len);
        }
        e->buf = (struct raft_buffer){.base = batch + at, .len = len};
        e->batch = batch;
        at += (uint32_t)len;
    }
}

static void get_install(struct wire_reader *r, struct raft_install_snapshot *s)
{
    const uint8_t *data;
    size_t len = 0;
    uint32_t count;

    raft_configuration_init(&s->conf);
    s->term = get_u64(r);
    s->last_index = get_u64(r);
    s->last_term = get_u64(r);
    s->conf_index = get_u64(r);
    data = get_blob(r, RAFT_WIRE_SNAPSHOT_MAX, &len);
    count = get_u32(r);
    if (!wire_ok(r) || count > RAFT_WIRE_SERVERS_MAX) {
        wire_fail(r);
        return;
    }
    s->data =
        (struct raft_buffer){.base = raft_wire_give(data, len), .len = len};
    for (uint32_t i = 0; i < count && wire_ok(r); i++) {
        uint64_t id = get_u64(r);
        int role = get_u8(r);
        char *address = get_text(r, ADDRESS_MAX);
        if (address == NULL ||
            raft_configuration_add(&s->conf, id, address, role) != 0) {
            wire_fail(r);
        }
        free(address);
    }
}

static void get_vote(struct wire_reader *r, struct raft_request_vote *v)
{
    uint8_t flags;

    v->term = get_u64(r);
    v->candidate_id = get_u64(r);
    v->last_log_index = get_u64(r);
    v->last_log_term = get_u64(r);
    flags = get_u8(r);
    v->disrupt_leader = flags & FLAG_DISRUPT;
    v->pre_vote = flags & FLAG_PRE_VOTE;
    if (flags > (FLAG_DISRUPT | FLAG_PRE_VOTE)) {
        wire_fail(r);
    }
}

static void get_vote_result(struct wire_reader *r,
                            struct raft_request_vote_result *v)
{
    uint8_t granted, pre_vote;

    v->term = get_u64(r);
    granted = get_u8(r);
    pre_vote = get_u8(r);
    v->vote_granted = granted;
    v->pre_vote = pre_vote == 0   ? raft_tribool_unknown
                  : pre_vote == 1 ? raft_tribool_false
                                  : raft_tribool_true;
    if (granted > 1 || pre_vote > 2) {
        wire_fail(r);
    }
}

int raft_wire_decode(const void *p, size_t len, struct raft_message *out,
                     struct err *err)
{
    struct wire_reader r;
    uint8_t version;

    memset(out, 0, sizeof *out);
    wire_init(&r, p, len);
    version = get_u8(&r);
    out->type = get_u8(&r);
    if (version != VERSION || out->type < RAFT_IO_APPEND_ENTRIES ||
        out->type > RAFT_IO_TIMEOUT_NOW) {
        return err_set(err, ERR_BAD_INPUT,
                       "raft message: version %u, type %u are not known",
                       version, out->type);
    }
    switch (out->type) {
        case RAFT_IO_APPEND_ENTRIES:
            get_append(&r, &out->append_entries);
            break;
        case RAFT_IO_APPEND_ENTRIES_RESULT:
            out->append_entries_result.term = get_u64(&r);
            out->append_entries_result.rejected = get_u64(&r);
            out->append_entries_result.last_log_index = get_u64(&r);
            break;
        case RAFT_IO_REQUEST_VOTE:
            get_vote(&r, &out->request_vote);
            break;
        case RAFT_IO_REQUEST_VOTE_RESULT:
            get_vote_result(&r, &out->request_vote_result);
            break;
        case RAFT_IO_INSTALL_SNAPSHOT:
            get_install(&r, &out->install_snapshot);
            break;
        default:
            out->timeout_now.term = get_u64(&r);
            out->timeout_now.last_log_index = get_u64(&r);
            out->timeout_now.last_log_term = get_u64(&r);
    }
    if (!wire_done(&r)) {
        const char *name = names[out->type];
        raft_wire_free(out);
        return err_set(err, ERR_BAD_INPUT, "raft message: %s is not whole",
                       name);
    }
    return 0;
}

void raft_wire_free(struct raft_message *m)
{
    if (m->type == RAFT_IO_APPEND_ENTRIES &&
        m->append_entries.entries != NULL) {
        raft_free(m->append_entries.entries[0].batch);
        raft_free(m->append_entries.entries);
    } else if (m->type == RAFT_IO_INSTALL_SNAPSHOT) {
        raft_configuration_close(&m->install_snapshot.conf);
        raft_free(m->install_snapshot.data.base);
    }
    memset(m, 0, sizeof *m);
}
