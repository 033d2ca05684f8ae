/* shard_wait.h: the verbs of a shard store, made to block; for tests.
 *
 * Functions stand in the header because tests/lib is linked into tests of
 * folders that may not use node/.
 *
 * Threads: any.
 */
#ifndef GODWIT_TESTS_SHARD_WAIT_H
#define GODWIT_TESTS_SHARD_WAIT_H

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "node/shard_store.h"

#define SHARD_WAIT_MS 60000 /* a test that hangs ends */

struct shard_wait {
    struct shard_put put;
    struct shard_get get;
    struct shard_delete del;
    struct latch latch;
    int status;
    struct err err;
};

static inline void shard_wait_end(struct shard_wait *w, int status,
                                  const struct err *err)
{
    w->status = status;
    if (status != 0) {
        w->err = *err;
    }
    latch_signal(&w->latch);
}

static inline void shard_wait_put_done(struct shard_put *p, int status,
                                       const struct err *err)
{
    shard_wait_end(LIST_OF(p, struct shard_wait, put), status, err);
}

static inline void shard_wait_get_done(struct shard_get *g, int status,
                                       const struct err *err)
{
    shard_wait_end(LIST_OF(g, struct shard_wait, get), status, err);
}

static inline void shard_wait_delete_done(struct shard_delete *d, int status,
                                          const struct err *err)
{
    shard_wait_end(LIST_OF(d, struct shard_wait, del), status, err);
}

static inline void shard_wait_init(struct shard_wait *w)
{
    memset(w, 0, sizeof *w);
    latch_init(&w->latch);
}

static inline int shard_wait_for(struct shard_wait *w, struct err *err)
{
    CHECK(latch_wait(&w->latch, 1, SHARD_WAIT_MS));
    latch_close(&w->latch);
    if (w->status != 0 && err != NULL) {
        *err = w->err;
    }
    return w->status;
}

static inline void shard_put_begin(struct shard_store *s, struct shard_wait *w,
                                   struct shard_key key, const void *data,
                                   uint32_t length)
{
    shard_wait_init(w);
    w->put.key = key;
    w->put.group = 7;
    w->put.data = data;
    w->put.length = length;
    w->put.done = shard_wait_put_done;
    shard_store_put(s, &w->put);
}

static inline int shard_put_wait(struct shard_store *s, struct shard_key key,
                                 const void *data, uint32_t length,
                                 struct err *err)
{
    struct shard_wait w;

    shard_put_begin(s, &w, key, data, length);
    return shard_wait_for(&w, err);
}

static inline int shard_get_wait(struct shard_store *s, struct shard_key key,
                                 uint32_t offset, uint32_t length, void *out,
                                 struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.get.key = key;
    w.get.offset = offset;
    w.get.length = length;
    w.get.out = out;
    w.get.done = shard_wait_get_done;
    shard_store_get(s, &w.get);
    return shard_wait_for(&w, err);
}

static inline int shard_delete_wait(struct shard_store *s, struct shard_key key,
                                    struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.del.key = key;
    w.del.done = shard_wait_delete_done;
    shard_store_delete(s, &w.del);
    return shard_wait_for(&w, err);
}

/* Wait until the drive is in @state; the reason in @reason (may be NULL). */
static inline bool shard_wait_state(struct shard_store *s,
                                    enum drive_state state, char *reason)
{
    struct shard_store_stats stats;

    for (int i = 0; i < SHARD_WAIT_MS / 10; i++) {
        shard_store_stats(s, &stats);
        if (stats.state == state) {
            if (reason != NULL) {
                strcpy(reason, stats.reason);
            }
            return true;
        }
        clock_sleep_ms(10);
    }
    return false;
}

#endif
