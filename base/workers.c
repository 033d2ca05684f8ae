#include "base/workers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct workers {
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t cond;
    struct list_node queue;
    size_t queued;
    size_t queue_max;
    bool stopping;
    unsigned threads;
    pthread_t ids[];
};

static void *worker_main(void *arg)
{
    struct workers *w = arg;

    pthread_mutex_lock(&w->mutex);
    for (;;) {
        struct list_node *node = list_pop(&w->queue);
        if (node != NULL) {
            struct work *work = LIST_OF(node, struct work, node);
            w->queued--;
            pthread_mutex_unlock(&w->mutex);
            work->fn(work);
            pthread_mutex_lock(&w->mutex);
        } else if (w->stopping) {
            break;
        } else {
            pthread_cond_wait(&w->cond, &w->mutex);
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

struct workers *workers_new(const char *name, unsigned threads,
                            size_t queue_max)
{
    struct workers *w = mem_alloc(sizeof *w + threads * sizeof w->ids[0]);

    CHECK(threads > 0);
    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&w->cond, NULL) == 0);
    list_init(&w->queue);
    w->queue_max = queue_max;
    w->threads = threads;
    for (unsigned i = 0; i < threads; i++) {
        CHECK(pthread_create(&w->ids[i], NULL, worker_main, w) == 0);
        pthread_setname_np(w->ids[i], name);
    }
    return w;
}

void workers_free(struct workers *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    for (unsigned i = 0; i < w->threads; i++) {
        pthread_join(w->ids[i], NULL);
    }
    CHECK(list_empty(&w->queue));
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

bool workers_run(struct workers *w, struct work *work)
{
    bool ok;

    pthread_mutex_lock(&w->mutex);
    ok = w->queued < w->queue_max && !w->stopping;
    if (ok) {
        list_push(&w->queue, &work->node);
        w->queued++;
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->mutex);
    return ok;
}
