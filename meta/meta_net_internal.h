/* meta_net_internal.h: what meta_net.c and meta_net_read.c share.
 *
 * Threads: the loop, but for what says otherwise.
 */
#ifndef GODWIT_META_META_NET_INTERNAL_H
#define GODWIT_META_META_NET_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/loop.h"
#include "meta/meta_core.h"
#include "net/net.h"

#define META_CALL_TIMEOUT_MS 2000

enum {
    META_PROPOSE = 1,
    META_READ_INDEX = 2,
    META_CONFIRM = 3,
    META_COPY_OPEN = 4,
    META_COPY_READ = 5
};

/* Who waits to read: a thread of ours, or another member. */
struct reader {
    struct reader *next;
    struct net_request *remote; /* NULL: a thread of ours, in latch */
    struct latch latch;
    uint64_t deadline_ms;
    uint64_t index;  /* that libraft must have applied */
    uint64_t handed; /* then: that the apply thread must have */
    int status;
    struct err err;
};

struct reader_list {
    struct reader *first, **last;
};

/* One question to the leader, or to a majority, for all in @readers. */
struct round {
    struct reader_list readers;
    uint64_t index;
    uint64_t term;
    unsigned voters, yes, answered, asked;
    bool settled;
};

struct meta_net {
    struct meta *m;
    struct net *net;

    /* Under mutex; any thread. */
    pthread_mutex_t mutex;
    struct reader_list asking;
    bool closed;
    struct loop_call read_call;

    /* The loop's. */
    struct round *round;         /* in flight */
    struct reader_list applying; /* wait for libraft to apply their index */
    unsigned forwards;
    uint64_t era_said_ms; /* clock_mono_ms */
};

/* A call of ours in flight, and its way back to the loop. */
struct call {
    struct net_call call;
    struct loop_call back;
    struct meta_net *n;
    struct round *round;
    struct meta_entry *entry;
    struct buf head, body;
};

/* ---- meta_net.c ---- */

/* A call of NET_META, whose answer runs @fn on the loop. */
struct call *meta_call_new(struct meta_net *n, uint8_t type,
                           uint64_t timeout_ms, void (*fn)(struct loop_call *));
void meta_call_send(struct call *c, uint64_t to);
void meta_call_free(struct call *c);
/* The other member that leads; 0: none known, or we do. */
uint64_t meta_other_leader(struct meta *m);
/* Do we, and is our own first entry of @term committed? */
bool meta_still_leads(struct meta *m, uint64_t term);

/* ---- meta_net_read.c ---- */

void meta_readers_init(struct meta_net *n);
/* Another member asks for our index; answered in time. */
void meta_serve_index(struct meta_net *n, struct net_request *r);
/* Refuse all who wait, and all who come. */
void meta_readers_close(struct meta_net *n);

#endif
