#include "edge-agent/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"

#define STACK (64U * 1024) /* glibc's resolver needs some of it */

struct resolve {
    struct loop_call call;
    pthread_mutex_t mutex;
    bool cancelled;    /* the thread frees it */
    struct loop *loop; /* not looked at when cancelled */
    resolve_done done;
    void *arg;
    char *host;
    char port[8];
    int code;
    char why[160];
    struct resolved found;
};

static void resolve_free(struct resolve *r)
{
    pthread_mutex_destroy(&r->mutex);
    free(r->host);
    free(r);
}

static void look_up(struct resolve *r, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *list = NULL;
    int gai = getaddrinfo(r->host, r->port, &hints, &list);

    if (gai != 0) {
        r->code = ERR_NOT_FOUND;
        snprintf(r->why, sizeof r->why, "%.100s: %s", r->host,
                 gai_strerror(gai));
        return;
    }
    r->code = 0;
    for (const struct addrinfo *a = list;
         a != NULL && r->found.count < RESOLVE_MAX; a = a->ai_next) {
        if (a->ai_addrlen <= sizeof r->found.items[0].address) {
            memcpy(&r->found.items[r->found.count].address, a->ai_addr,
                   a->ai_addrlen);
            r->found.items[r->found.count++].len = a->ai_addrlen;
        }
    }
    freeaddrinfo(list);
}

static void on_call(struct loop_call *call)
{
    struct resolve *r = LIST_OF(call, struct resolve, call);
    bool cancelled;

    pthread_mutex_lock(&r->mutex); /* the thread has let go of it */
    cancelled = r->cancelled;
    pthread_mutex_unlock(&r->mutex);
    if (!cancelled) {
        r->done(r->arg, r->code, &r->found, r->why);
    }
    resolve_free(r);
}

static void *run(void *arg)
{
    struct resolve *r = arg;
    bool cancelled;

    look_up(r, 0);
    pthread_mutex_lock(&r->mutex);
    cancelled = r->cancelled;
    if (!cancelled) {
        loop_post(r->loop, &r->call);
    }
    pthread_mutex_unlock(&r->mutex);
    if (cancelled) {
        resolve_free(r);
    }
    return NULL;
}

static int start_thread(struct resolve *r, struct err *err)
{
    pthread_attr_t attr;
    pthread_t thread;
    int failed;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 4 * STACK);
    failed = pthread_create(&thread, &attr, run, r);
    pthread_attr_destroy(&attr);
    return failed == 0 ? 0
                       : err_set(err, ERR_BUSY, "no thread to look up a name");
}

int resolve_start(struct loop *loop, const char *host, uint16_t port,
                  resolve_done done, void *arg, struct resolve **out,
                  struct err *err)
{
    struct resolve *r = mem_alloc(sizeof *r);
    int code = 0;

    r->call.fn = on_call;
    pthread_mutex_init(&r->mutex, NULL);
    r->loop = loop;
    r->done = done;
    r->arg = arg;
    r->host = mem_strdup(host);
    snprintf(r->port, sizeof r->port, "%u", port);
    look_up(r, AI_NUMERICHOST);
    if (r->code == 0) {
        loop_post(loop, &r->call);
    } else {
        code = start_thread(r, err);
    }
    if (code != 0) {
        resolve_free(r);
        return code;
    }
    *out = r;
    return 0;
}

void resolve_cancel(struct resolve *r)
{
    /* Once posted, the loop's call frees it; before, the thread does. */
    pthread_mutex_lock(&r->mutex);
    r->cancelled = true;
    pthread_mutex_unlock(&r->mutex);
}
