#include "gateway/eraser.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "gateway/erase_walk.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "meta/meta_erase.h"

#define LOOK_MS 1000
/* A hold that ended, or a catalogue that did not answer, is noticed after. */
#define AGAIN_MS 10000
#define REQUESTS_MAX 100 /* of a round */

struct eraser {
    struct gateway *gateway;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stopping and woken */
    pthread_cond_t cond;
    bool stopping, woken;
    uint64_t again_ms; /* when blocked ones are gone over */
    struct metric *erased;
};

/* A pass of one request. */
struct pass {
    struct eraser *eraser;
    const struct meta_erase *erase;
    struct command_erased items[META_DELETE_MAX];
    size_t count;
    bool begun;
};

static bool asked_to_stop(struct eraser *e)
{
    bool stop;

    pthread_mutex_lock(&e->mutex);
    stop = e->stopping;
    pthread_mutex_unlock(&e->mutex);
    return stop;
}

static void drop_items(struct pass *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free((char *)p->items[i].key);
    }
    p->count = 0;
}

static int propose(struct pass *p, bool end, struct err *err)
{
    struct buf command = {0};
    int rc;

    command_erase_some(&command, p->erase->id, !p->begun, end, p->items,
                       p->count, clock_real_ms());
    rc = meta_propose_wait(p->eraser->gateway->meta, &command, NULL, err);
    buf_free(&command);
    p->begun = true;
    metric_add(p->eraser->erased, rc == 0 ? p->count : 0);
    drop_items(p);
    return rc;
}

static int add_version(void *arg, const struct meta_list_entry *e,
                       enum meta_erased_how how, struct err *err)
{
    struct pass *p = arg;

    p->items[p->count++] = (struct command_erased){
        mem_strdup(e->name), e->version, e->modified_ms, e->size_bytes, how};
    return p->count == META_DELETE_MAX ? propose(p, false, err) : 0;
}

static int abort_upload(void *arg, const struct meta_list_entry *e,
                        struct err *err)
{
    struct pass *p = arg;
    struct buf command = {0};
    int rc;

    command_upload_abort(&command, p->erase->bucket, e->name, e->upload,
                         clock_real_ms());
    rc = meta_propose_wait(p->eraser->gateway->meta, &command, NULL, err);
    buf_free(&command);
    return rc == ERR_NO_UPLOAD ? 0 : rc;
}

static bool pass_stops(void *arg)
{
    const struct pass *p = arg;

    return asked_to_stop(p->eraser);
}

static void go_over(struct eraser *e, const struct meta_erase *erase)
{
    struct pass *p = mem_alloc(sizeof *p);
    struct err err = {{0}};
    int rc;

    p->eraser = e;
    p->erase = erase;
    rc = erase_walk(&(struct erase_walk){.gateway = e->gateway,
                                         .erase = erase,
                                         .stopping = pass_stops,
                                         .version = add_version,
                                         .upload = abort_upload,
                                         .arg = p},
                    &err);
    if (rc == 0) {
        rc = propose(p, true, &err);
    }
    if (rc != 0 && rc != ERR_BUSY && rc != ERR_PRECONDITION) {
        log_errf(LOG_WARN, "erasure", "%llu: %s", (unsigned long long)erase->id,
                 err.text);
    }
    drop_items(p);
    free(p);
}

/* Is it time for it? */
static bool is_due(const struct meta_erase *erase, uint64_t cluster_ms,
                   bool again)
{
    return erase->state == META_ERASE_RUNNING ||
           (erase->until_ms != 0 && erase->until_ms <= cluster_ms) ||
           (again && erase->held > 0);
}

static void round_of(struct eraser *e)
{
    uint64_t now = clock_mono_ms();
    bool again = now >= e->again_ms;
    struct meta_erase *list = NULL;
    struct meta_stats stats;
    size_t count = 0;

    if (!gateway_leads(e->gateway) ||
        meta_erase_pending(e->gateway->meta, REQUESTS_MAX, &list, &count,
                           NULL) != 0) {
        return;
    }
    meta_stats(e->gateway->meta, &stats);
    e->again_ms = again ? now + AGAIN_MS : e->again_ms;
    for (size_t i = 0; i < count; i++) {
        if (!asked_to_stop(e) && is_due(&list[i], stats.clock_ms, again)) {
            go_over(e, &list[i]);
        }
        meta_erase_free(&list[i]);
    }
    free(list);
}

static void *eraser_main(void *arg)
{
    struct eraser *e = arg;

    while (!asked_to_stop(e)) {
        round_of(e);
        pthread_mutex_lock(&e->mutex);
        if (!e->stopping && !e->woken) {
            latch_cond_wait(&e->cond, &e->mutex, LOOK_MS);
        }
        e->woken = false;
        pthread_mutex_unlock(&e->mutex);
    }
    return NULL;
}

struct eraser *eraser_start(struct gateway *g)
{
    struct eraser *e = mem_alloc(sizeof *e);

    e->gateway = g;
    e->erased = metric_counter("godwit_erased_versions_total", NULL,
                               "Versions proposed for erasure.");
    CHECK(pthread_mutex_init(&e->mutex, NULL) == 0);
    latch_cond_init(&e->cond);
    CHECK(pthread_create(&e->thread, NULL, eraser_main, e) == 0);
    pthread_setname_np(e->thread, "eraser");
    return e;
}

static void tell(struct eraser *e, bool stop)
{
    pthread_mutex_lock(&e->mutex);
    e->stopping = e->stopping || stop;
    e->woken = true;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->mutex);
}

void eraser_wake(struct eraser *e)
{
    if (e != NULL) {
        tell(e, false);
    }
}

void eraser_stop(struct eraser *e)
{
    if (e == NULL) {
        return;
    }
    tell(e, true);
    pthread_join(e->thread, NULL);
    pthread_cond_destroy(&e->cond);
    pthread_mutex_destroy(&e->mutex);
    free(e);
}
