#include "node/peers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/latch.h"
#include "base/mem.h"
#include "node/peers_private.h"
#include "node/shard_wire.h"

/* Shards looked at for one page, and read from the index at a time. */
#define LOOK_MAX 16384
#define LOOK_AT 256

struct peers *peers_new(void)
{
    struct peers *p = mem_alloc(sizeof *p);

    p->table = mem_calloc(PEERS_DRIVES, sizeof *p->table);
    CHECK(pthread_mutex_init(&p->mutex, NULL) == 0);
    latch_cond_init(&p->cond);
    return p;
}

void peers_stop(struct peers *p)
{
    bool started;

    atomic_store(&p->net, NULL);
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    started = p->started;
    p->started = false;
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
    if (started) {
        pthread_join(p->thread, NULL);
    }
}

void peers_free(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    peers_stop(p);
    pthread_mutex_lock(&p->mutex);
    while (p->asking > 0) {
        pthread_cond_wait(&p->cond, &p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    for (size_t i = 0; i < p->count; i++) {
        free(p->list[i]);
    }
    for (size_t i = 0; i < p->server_count; i++) {
        free(p->servers[i]);
    }
    free(p->list);
    free(p->servers);
    free(p->table);
    pthread_cond_destroy(&p->cond);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* ---- the map ---- */

static struct peer *find(struct peers *p, uint16_t drive)
{
    return atomic_load_explicit(&p->table[drive], memory_order_acquire);
}

/* Lock held. */
static struct peer *insert(struct peers *p, uint16_t drive,
                           struct shard_store *store,
                           struct peer_server *server)
{
    struct peer *d = mem_alloc(sizeof *d);

    d->drive = drive;
    d->stats.drive = (uint16_t)~drive; /* nothing was said yet */
    d->store = store;
    atomic_init(&d->server, server);
    atomic_init(&d->state, PEER_UNREACHABLE);
    p->list = mem_realloc(p->list, (p->count + 1) * sizeof *p->list);
    p->list[p->count++] = d;
    atomic_store_explicit(&p->table[drive], d, memory_order_release);
    return d;
}

void peers_add(struct peers *p, struct shard_store *s, uint16_t drive)
{
    CHECK(s != NULL);
    CHECK(find(p, drive) == NULL);
    pthread_mutex_lock(&p->mutex);
    insert(p, drive, s, NULL);
    pthread_mutex_unlock(&p->mutex);
}

/* Lock held. */
static struct peer_server *know_server(struct peers *p, uint32_t id)
{
    struct peer_server *v;

    for (size_t i = 0; i < p->server_count; i++) {
        if (p->servers[i]->id == id) {
            return p->servers[i];
        }
    }
    v = mem_alloc(sizeof *v);
    v->peers = p;
    v->id = id;
    p->servers =
        mem_realloc(p->servers, (p->server_count + 1) * sizeof *p->servers);
    p->servers[p->server_count++] = v;
    return v;
}

void peers_add_remote(struct peers *p, uint16_t drive, uint32_t server)
{
    struct peer_server *v;
    struct peer *d;

    CHECK(server != 0);
    pthread_mutex_lock(&p->mutex);
    d = find(p, drive);
    CHECK(d == NULL || d->store == NULL);
    v = know_server(p, server);
    if (d == NULL) {
        insert(p, drive, NULL, v);
        p->changed = true;
    } else if (atomic_load(&d->server) != v) {
        atomic_store(&d->server, v);
        atomic_store(&d->state, PEER_UNREACHABLE);
        atomic_store(&d->lost, false); /* not asked yet */
        d->stats.drive = (uint16_t)~drive;
        p->changed = true;
    }
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
}

void peers_remove(struct peers *p, uint16_t drive)
{
    struct peer *d = find(p, drive);

    CHECK(d == NULL || d->store == NULL);
    if (d != NULL) {
        atomic_store(&d->server, NULL);
    }
}

struct shard_store *peers_store(struct peers *p, uint16_t drive)
{
    struct peer *d = find(p, drive);

    return d != NULL ? d->store : NULL;
}

bool peers_at(struct peers *p, size_t i, uint16_t *drive,
              struct shard_store **store)
{
    bool found = false;

    pthread_mutex_lock(&p->mutex);
    for (size_t at = 0; at < p->count && !found; at++) {
        struct peer *d = p->list[at];
        if (d->store != NULL && i-- == 0) {
            *drive = d->drive;
            *store = d->store;
            found = true;
        }
    }
    pthread_mutex_unlock(&p->mutex);
    return found;
}

size_t peers_all(struct peers *p, struct peer_info *out, size_t max)
{
    size_t known = 0;

    pthread_mutex_lock(&p->mutex);
    for (size_t i = 0; i < p->count; i++) {
        struct peer *d = p->list[i];
        const struct peer_server *v = atomic_load(&d->server);
        if (d->store == NULL && v == NULL) {
            continue;
        }
        if (known < max) {
            out[known] = (struct peer_info){d->drive, v != NULL ? v->id : 0};
        }
        known++;
    }
    pthread_mutex_unlock(&p->mutex);
    return known;
}

/* ---- how a drive is ---- */

void peers_set_failed(struct shard_store_stats *s, uint16_t drive,
                      const char *why)
{
    s->drive = drive;
    s->state = DRIVE_FAILED;
    snprintf(s->reason, sizeof s->reason, "%s", why);
}

enum peer_state peers_state(struct peers *p, uint16_t drive)
{
    struct peer *d = find(p, drive);

    if (d != NULL && d->store != NULL) {
        return (enum peer_state)shard_store_state(d->store);
    }
    if (d == NULL || atomic_load(&d->server) == NULL) {
        return PEER_UNKNOWN;
    }
    return (enum peer_state)atomic_load(&d->state);
}

bool peers_stats(struct peers *p, uint16_t drive, struct shard_store_stats *out)
{
    struct peer *d = find(p, drive);

    if (d != NULL && d->store != NULL) {
        shard_store_stats(d->store, out);
        return true;
    }
    if (d == NULL || atomic_load(&d->server) == NULL) {
        return false;
    }
    pthread_mutex_lock(&p->mutex);
    *out = d->stats;
    pthread_mutex_unlock(&p->mutex);
    if (out->drive != drive) {
        peers_set_failed(out, drive, "its server has not answered yet");
    }
    return true;
}

/* ---- verbs ---- */

static int unknown(uint16_t drive, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "drive %u is not known here",
                   (unsigned)drive);
}

/* 0 with *@store or *@route set, or why the drive cannot be asked. */
static int look_up(struct peers *p, uint16_t drive, struct shard_store **store,
                   struct shard_route *route, struct err *err)
{
    struct peer *d = find(p, drive);
    struct peer_server *v;

    *store = d != NULL ? d->store : NULL;
    if (*store != NULL) {
        return 0;
    }
    v = d != NULL ? atomic_load(&d->server) : NULL;
    if (v == NULL) {
        return unknown(drive, err);
    }
    *route = (struct shard_route){.net = atomic_load(&p->net),
                                  .server = v->id,
                                  .drive = drive,
                                  .timeout_ms = p->timeout_ms,
                                  .answered_ms = &v->answered_ms};
    if (route->net == NULL || atomic_load(&d->lost)) {
        return err_set(err, ERR_IO, "drive %u: server %u is not reached",
                       (unsigned)drive, (unsigned)v->id);
    }
    return 0;
}

void peers_put(struct peers *p, uint16_t drive, struct shard_put *put)
{
    struct shard_store *s;
    struct shard_route route;
    struct err err;
    int rc = look_up(p, drive, &s, &route, &err);

    if (rc != 0) {
        put->done(put, rc, &err);
    } else if (s != NULL) {
        shard_store_put(s, put);
    } else {
        p->remote->put(&route, put);
    }
}

void peers_get(struct peers *p, uint16_t drive, struct shard_get *get)
{
    struct shard_store *s;
    struct shard_route route;
    struct err err;
    int rc = look_up(p, drive, &s, &route, &err);

    if (rc != 0) {
        get->done(get, rc, &err);
    } else if (s != NULL) {
        shard_store_get(s, get);
    } else {
        p->remote->get(&route, get);
    }
}

void peers_delete(struct peers *p, uint16_t drive, struct shard_delete *del)
{
    struct shard_store *s;
    struct shard_route route;
    struct err err;
    int rc = look_up(p, drive, &s, &route, &err);

    if (rc != 0) {
        del->done(del, rc, &err);
    } else if (s != NULL) {
        shard_store_delete(s, del);
    } else {
        p->remote->del(&route, del);
    }
}

/* As look_up, where ERR_NOT_FOUND is to mean the shard. */
static int look_up_to_ask(struct peers *p, uint16_t drive,
                          struct shard_store **store, struct shard_route *route,
                          struct err *err)
{
    int rc = look_up(p, drive, store, route, err);

    if (rc == 0 && *store != NULL &&
        shard_store_state(*store) == DRIVE_FAILED) {
        rc = err_set(err, ERR_IO, "drive %u has failed", (unsigned)drive);
    }
    return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

static int no_shard(uint16_t drive, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "drive %u: no such shard",
                   (unsigned)drive);
}

int peers_stat(struct peers *p, uint16_t drive, const struct shard_key *key,
               struct shard_info *out, struct err *err)
{
    struct shard_store *s;
    struct shard_route route;
    int rc = look_up_to_ask(p, drive, &s, &route, err);

    if (rc == 0 && s == NULL) {
        rc = p->remote->info(&route, SHARD_STAT, key, out, err);
    } else if (rc == 0 && !shard_store_stat(s, key, out)) {
        rc = no_shard(drive, err);
    }
    return rc;
}

int peers_verify(struct peers *p, uint16_t drive, const struct shard_key *key,
                 struct shard_info *out, struct err *err)
{
    struct shard_store *s;
    struct shard_route route;
    int rc = look_up_to_ask(p, drive, &s, &route, err);

    if (rc == 0 && s == NULL) {
        return p->remote->info(&route, SHARD_VERIFY, key, out, err);
    }
    if (rc == 0) {
        *out = (struct shard_info){.key = *key};
        shard_store_stat(s, key, out);
        rc = shard_store_verify(s, key, err);
    }
    return rc;
}

/* A page of the shards of one group. */
static void look_for_group(struct shard_store *s, uint32_t group,
                           const struct shard_key *after, uint16_t max,
                           struct shard_page *page)
{
    struct shard_info look[LOOK_AT];
    size_t looked = 0, n;

    while (looked < LOOK_MAX && page->count < max) {
        n = shard_store_list(s, after, look, LOOK_AT);
        for (size_t i = 0; i < n && page->count < max; i++) {
            page->last = look[i].key;
            if (look[i].group == group) {
                page->shards[page->count++] = look[i];
            }
        }
        if (n < LOOK_AT && page->count < max) {
            page->end = true;
            return;
        }
        after = &page->last;
        looked += n;
    }
}

int peers_list(struct peers *p, uint16_t drive, uint32_t group,
               const struct shard_key *after, struct shard_info *shards,
               uint16_t max, struct shard_page *out, struct err *err)
{
    struct shard_page page = {.shards = shards};
    struct shard_store *s;
    struct shard_route route;
    int rc = look_up_to_ask(p, drive, &s, &route, err);

    CHECK(max >= 1 && max <= SHARD_LIST_MAX);
    if (rc != 0) {
        return rc;
    }
    if (s == NULL) {
        return p->remote->list(&route, group, after, shards, max, out, err);
    }
    if (group != SHARD_ANY_GROUP) {
        look_for_group(s, group, after, max, &page);
    } else {
        page.count = (uint16_t)shard_store_list(s, after, shards, max);
        page.end = page.count < max;
        page.last = page.count > 0 ? shards[page.count - 1].key : page.last;
    }
    /* One that failed meanwhile has shown nothing. */
    if (page.end && shard_store_state(s) == DRIVE_FAILED) {
        return err_set(err, ERR_IO, "drive %u has failed", (unsigned)drive);
    }
    *out = page;
    return 0;
}
