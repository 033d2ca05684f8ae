/* Names of other servers' addresses, looked up where nothing waits for it but
 * the calls to that server. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "net/net_internal.h"

#define LOOKUPS_MAX 1024
#define AGAIN_MS 1000 /* after one that failed */

static int resolve(const char *address, int flags, char **numeric,
                   struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(address, ':');
    bool brackets = address[0] == '[';
    char host[NI_MAXHOST], port[NI_MAXSERV];
    char *name;
    int rc;

    if (colon == NULL) {
        return err_set(err, ERR_BAD_INPUT, "%s is not ADDR:PORT", address);
    }
    name = mem_strndup(address + brackets,
                       (size_t)(colon - address) - 2 * brackets);
    rc = getaddrinfo(name, colon + 1, &hints, &found);
    free(name);
    if (rc == 0) {
        rc = getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host,
                         port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    }
    if (rc != 0) {
        rc = err_set(err, ERR_UNAVAILABLE, "%s: %s", address, gai_strerror(rc));
    } else {
        *numeric = mem_printf(
            found->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return rc;
}

int net_names_resolve(const char *address, char **numeric, struct err *err)
{
    return resolve(address, 0, numeric, err);
}

static void lookup_free(struct lookup *l)
{
    if (l != NULL) {
        free(l->address);
        free(l->numeric);
        free(l);
    }
}

/* Loop. */
static void on_found(struct loop_call *call)
{
    struct lookup *l = LIST_OF(call, struct lookup, call);
    struct peer *p = l->peer;

    CHECK(p->lookup == l);
    p->lookup = NULL;
    if (strcmp(p->address, l->address) != 0) {
        /* it has another one now */
    } else if (l->numeric != NULL) {
        net_names_forget(p);
        p->numeric = l->numeric;
        l->numeric = NULL;
        p->failed_ms = 0;
    } else {
        p->failed_ms = clock_mono_ms();
        p->backoff_ms = AGAIN_MS;
        p->why = l->err;
    }
    lookup_free(l);
}

static void look_up(struct work *w)
{
    struct lookup *l = LIST_OF(w, struct lookup, work);
    struct net *n = l->net;

    if (n->resolve(l->address, &l->numeric, &l->err) != 0) {
        l->numeric = NULL;
    }
    l->call.fn = on_found;
    pthread_mutex_lock(&n->mutex);
    if (!n->stopped) {
        loop_post(n->loop, &l->call);
    }
    pthread_mutex_unlock(&n->mutex);
}

bool net_names_known(struct net *n, struct peer *p, struct err *err)
{
    struct lookup *l;

    if (p->numeric != NULL ||
        resolve(p->address, AI_NUMERICHOST, &p->numeric, NULL) == 0) {
        return true;
    }
    err_set(err, 0, "%s is being looked up", p->address);
    if (p->lookup != NULL) {
        return false;
    }
    if (n->names == NULL) {
        n->names = workers_new("net-names", 1, LOOKUPS_MAX);
    }
    l = mem_alloc(sizeof *l);
    l->work.fn = look_up;
    l->net = n;
    l->peer = p;
    l->address = mem_strdup(p->address);
    if (workers_run(n->names, &l->work)) {
        p->lookup = l;
    } else {
        lookup_free(l);
    }
    return false;
}

void net_names_forget(struct peer *p)
{
    free(p->numeric);
    p->numeric = NULL;
}

void net_names_close(struct net *n)
{
    workers_free(n->names);
    n->names = NULL;
    LIST_EACH (node, &n->peers) {
        struct peer *p = LIST_OF(node, struct peer, node);
        lookup_free(p->lookup);
        p->lookup = NULL;
        net_names_forget(p);
    }
}
