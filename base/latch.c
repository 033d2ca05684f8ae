#include "base/latch.h"

#include <errno.h>

#include "base/check.h"
#include "base/clock.h"

void latch_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

static bool wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex,
                       const struct timespec *deadline)
{
    int rc = pthread_cond_timedwait(cond, mutex, deadline);

    CHECK(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

bool latch_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                     uint64_t timeout_ms)
{
    struct timespec deadline = clock_deadline(timeout_ms);

    return wait_until(cond, mutex, &deadline);
}

void latch_init(struct latch *l)
{
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    latch_cond_init(&l->cond);
    l->count = 0;
}

void latch_close(struct latch *l)
{
    /* The last signaller may still be inside the mutex. */
    pthread_mutex_lock(&l->mutex);
    pthread_mutex_unlock(&l->mutex);
    pthread_cond_destroy(&l->cond);
    pthread_mutex_destroy(&l->mutex);
}

void latch_signal(struct latch *l)
{
    pthread_mutex_lock(&l->mutex);
    l->count++;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mutex);
}

bool latch_wait(struct latch *l, uint64_t count, uint64_t timeout_ms)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    bool reached;

    pthread_mutex_lock(&l->mutex);
    while (l->count < count && wait_until(&l->cond, &l->mutex, &deadline)) {
    }
    reached = l->count >= count;
    pthread_mutex_unlock(&l->mutex);
    return reached;
}
