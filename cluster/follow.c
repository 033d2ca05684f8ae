/* What the registry says of drives and layout, made true here: where each drive
 * is asked, and which groups the objects go by.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/cluster_internal.h"
#include "erasure/map_list.h"
#include "node/peers.h"
#include "object/object_store.h"

/* ---- the objects, which come late and go early ---- */

void cluster_use_objects(struct cluster *c, struct object_store *objects)
{
    pthread_mutex_lock(&c->mutex);
    if (objects != NULL) {
        c->objects = objects;
        c->epoch = 0; /* look at the layout again */
    } else {
        c->letting_go = true;
        while (c->objects_used > 0) {
            pthread_cond_wait(&c->unused, &c->mutex);
        }
        c->objects = NULL;
    }
    pthread_mutex_unlock(&c->mutex);
}

struct object_store *cluster_objects_take(struct cluster *c)
{
    struct object_store *s;

    pthread_mutex_lock(&c->mutex);
    s = c->letting_go || c->stopping ? NULL : c->objects;
    c->objects_used += s != NULL;
    pthread_mutex_unlock(&c->mutex);
    return s;
}

void cluster_objects_give(struct cluster *c)
{
    pthread_mutex_lock(&c->mutex);
    CHECK(c->objects_used > 0);
    c->objects_used--;
    pthread_cond_signal(&c->unused);
    pthread_mutex_unlock(&c->mutex);
}

uint32_t cluster_epoch(struct cluster *c)
{
    uint32_t epoch;

    pthread_mutex_lock(&c->mutex);
    epoch = c->epoch;
    pthread_mutex_unlock(&c->mutex);
    return epoch;
}

bool cluster_goes_on(struct cluster *c)
{
    bool on;

    pthread_mutex_lock(&c->mutex);
    on = !c->stopping && !c->letting_go;
    pthread_mutex_unlock(&c->mutex);
    return on;
}

/* ---- following ---- */

void cluster_learn_drives(struct cluster *c, const struct meta_registry *r)
{
    for (size_t i = 0; i < r->drive_count; i++) {
        const struct meta_drive *d = &r->drives[i];
        if (d->server == c->identity.server) {
            continue;
        }
        if (d->state == META_DRIVE_REMOVED ||
            d->server_state == META_SERVER_REMOVED) {
            peers_remove(c->drive_peers, d->id);
        } else {
            peers_add_remote(c->drive_peers, d->id, d->server);
        }
    }
}

static void follow_layout(struct cluster *c, const struct meta_registry *r)
{
    struct object_store *objects = cluster_objects_take(c);
    struct placement_group *groups;
    struct map_list maps = {0};
    struct err err;
    int rc;

    if (objects == NULL) {
        return;
    }
    rc = map_list_decode(r->layout.data, r->layout.len, &maps, &err);
    if (rc == 0) {
        groups = map_list_flat(&maps);
        rc = object_store_set_groups(objects, groups, map_list_groups(&maps),
                                     &err);
        free(groups);
        map_list_free(&maps);
    }
    if (rc == 0) {
        pthread_mutex_lock(&c->mutex);
        c->epoch = r->epoch;
        pthread_mutex_unlock(&c->mutex);
    } else {
        log_errf(LOG_ERROR, "layout", "%s", err.text);
    }
    cluster_objects_give(c);
}

void cluster_follow(struct cluster *c, const struct meta_registry *r)
{
    if (c->drive_peers == NULL) {
        return;
    }
    if (r->cluster.revision != c->revision) {
        cluster_learn_drives(c, r);
    }
    if (r->epoch != 0 && r->epoch != cluster_epoch(c)) {
        follow_layout(c, r);
    }
}
