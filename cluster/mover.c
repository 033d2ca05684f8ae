/* The mover: where the catalogue is led, a thread that makes the first layout,
 * and then sees to it that the layout follows the drives: what was on a drive
 * that is gone is rebuilt elsewhere, what is on one that drains is copied off
 * it, and new drives get their share.
 *
 * The plan is erasure/map_plan.h's; it is kept while the drives stay as they
 * were, so that no slot moves twice. A slot of a drive that is gone moves at
 * once (its new server rebuilds it: object/object_mend.h); all others are
 * copied first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/cluster_internal.h"
#include "cluster/plan_drives.h"
#include "erasure/map_list.h"
#include "erasure/map_plan.h"
#include "meta/meta.h"
#include "node/peers.h"
#include "object/object_move.h"

#define ROUND_MS 1000
#define FOUND_GROUPS 256
/* Moves that are written down together: few enough that little is done again
 * after a failure, and many when there is nothing to copy. */
#define BATCH_BYTES ((uint64_t)64 << 20)
#define BATCH_MS 3000

struct mover {
    struct cluster *c;
    struct plan_drives drives;
    struct map_plan plan;
    unsigned map;   /* of the layout, that the plan is for */
    uint32_t first; /* its first group */
    size_t done;    /* moves of the plan that were made or given up */
    uint64_t revision;
    char said[ERR_TEXT_SIZE];
};

/* Each reason once, not each second. */
static void say(struct mover *v, const char *what, const struct err *err)
{
    if (strcmp(v->said, err->text) != 0) {
        log_errf(LOG_WARN, what, "%s", err->text);
        memcpy(v->said, err->text, sizeof v->said);
    }
}

/* ---- the layout, written down ---- */

/* In place of the layout that @r has. */
static int write_maps(struct cluster *c, const struct map_list *maps,
                      const struct meta_registry *r, struct err *err)
{
    struct buf layout = {0}, command = {0};
    int rc;

    map_list_encode(maps, &layout);
    command_layout_change(&command, r->epoch + 1, r->cluster.revision,
                          layout.data, layout.len);
    rc = meta_propose_wait(c->meta, &command, NULL, err);
    buf_free(&layout);
    buf_free(&command);
    return rc;
}

static int make_first(struct mover *v, const struct meta_registry *r,
                      struct err *err)
{
    struct map_list maps = {.count = 1};
    struct placement_map *map = &maps.maps[0];
    struct map_survival survival;
    char text[MAP_SURVIVES_MAX];
    int rc = map_make(v->c->policy, FOUND_GROUPS, v->drives.list,
                      v->drives.count, map, err);

    if (rc == 0) {
        rc = write_maps(v->c, &maps, r, err);
    }
    if (rc == 0) {
        survival = map_survives(map, v->drives.list, v->drives.count);
        log_errf(LOG_INFO, "layout made", "it %s",
                 map_survives_text(&survival, text));
    }
    map_list_free(&maps);
    return rc;
}

/* ---- carrying out ---- */

static bool goes_on(void *arg, uint64_t bytes)
{
    struct mover *v = arg;

    pthread_mutex_lock(&v->c->mutex);
    v->c->progress.bytes += bytes;
    pthread_mutex_unlock(&v->c->mutex);
    return cluster_goes_on(v->c);
}

static const struct map_drive *drive_of(const struct mover *v, uint16_t id)
{
    for (size_t i = 0; i < v->drives.count; i++) {
        if (v->drives.list[i].id == id) {
            return &v->drives.list[i];
        }
    }
    return NULL;
}

static bool is_gone(const struct mover *v, uint16_t id)
{
    const struct map_drive *d = drive_of(v, id);

    return d == NULL || d->state == MAP_DRIVE_GONE;
}

/* Copy what the move moves; a move off a drive that is gone has nothing to
 * copy. */
static int carry(struct mover *v, struct object_store *objects,
                 const struct map_move *move, uint64_t *bytes, struct err *err)
{
    struct object_copied copied = {0};
    int rc = 0;

    if (!is_gone(v, move->from)) {
        rc = object_copy_slot(objects, v->first + move->group, move->slot,
                              move->from, move->to, goes_on, v, &copied, err);
    }
    *bytes += copied.bytes;
    log_errf(rc == 0 ? LOG_DEBUG : LOG_INFO, "move",
             "group %u slot %u from drive %u to %u: %llu shards%s%s",
             v->first + move->group, move->slot, move->from, move->to,
             (unsigned long long)copied.shards, rc == 0 ? "" : ": ",
             rc == 0 ? "" : err->text);
    return rc;
}

/* The next moves: all that leave drives that are gone, or those of one wave. */
static size_t next_batch(const struct mover *v)
{
    const struct map_move *first = &v->plan.moves[v->done];
    bool gone = is_gone(v, first->from);
    size_t n = 1;

    while (v->done + n < v->plan.count && is_gone(v, first[n].from) == gone &&
           (gone || first[n].wave == first->wave)) {
        n++;
    }
    return n;
}

/* Carry out up to @max moves, as many as make a batch, in @map; gives how many
 * were tried. One that fails is left to the next plan. */
static size_t carry_batch(struct mover *v, struct object_store *objects,
                          struct placement_map *map, size_t max,
                          struct err *err)
{
    uint64_t end_ms = clock_mono_ms() + BATCH_MS;
    uint64_t bytes = 0;
    size_t n = 0;
    int rc = 0;

    while (n < max && rc != ERR_CLOSED && bytes < BATCH_BYTES &&
           clock_mono_ms() < end_ms) {
        const struct map_move *move = &v->plan.moves[v->done + n++];
        rc = carry(v, objects, move, &bytes, err);
        if (rc == 0) {
            rc = map_apply(map, move, err);
        }
    }
    return n;
}

static void show_progress(struct mover *v, size_t made)
{
    pthread_mutex_lock(&v->c->mutex);
    v->c->progress.moves_made += made;
    v->c->progress.moves_left = v->plan.count - v->done;
    pthread_mutex_unlock(&v->c->mutex);
}

static void drop_plan(struct mover *v)
{
    map_plan_free(&v->plan);
    v->plan = (struct map_plan){0};
    v->done = 0;
    show_progress(v, 0);
}

/* Of the first map of which anything is to move. */
static int make_plan(struct mover *v, const struct map_list *maps,
                     uint64_t revision, struct err *err)
{
    size_t homeless = 0;
    int rc = 0;

    drop_plan(v);
    for (v->map = 0; v->map < maps->count && rc == 0; v->map++) {
        map_plan_free(&v->plan);
        rc = map_plan(&maps->maps[v->map], v->drives.list, v->drives.count,
                      &v->plan, err);
        homeless += rc == 0 ? v->plan.homeless : 0;
        if (v->plan.count > 0) {
            break;
        }
    }
    if (rc == 0) {
        v->first = v->plan.count > 0 ? map_list_first(maps, v->map) : 0;
        v->revision = revision;
        pthread_mutex_lock(&v->c->mutex);
        v->c->progress.since_ms = clock_mono_ms();
        v->c->progress.moves_made = 0;
        v->c->progress.bytes = 0;
        v->c->progress.homeless = homeless;
        pthread_mutex_unlock(&v->c->mutex);
        show_progress(v, 0);
    }
    if (rc == 0 && v->plan.count > 0) {
        log_errf(LOG_INFO, "layout", "%zu slots are to move", v->plan.count);
    }
    return rc;
}

bool cluster_replan(struct cluster *c)
{
    struct meta_stats stats;

    meta_stats(c->meta, &stats);
    if (stats.leader) {
        pthread_mutex_lock(&c->mutex);
        c->replan = true;
        pthread_cond_signal(&c->mover_cond);
        pthread_mutex_unlock(&c->mutex);
    }
    return stats.leader;
}

static bool take_replan(struct cluster *c)
{
    bool wanted;

    pthread_mutex_lock(&c->mutex);
    wanted = c->replan;
    c->replan = false;
    pthread_mutex_unlock(&c->mutex);
    return wanted;
}

/* One batch of the plan; gives whether there is more to do at once. */
static bool step(struct mover *v, const struct meta_registry *r,
                 struct object_store *objects, struct err *err)
{
    struct map_list maps = {0};
    struct placement_map *map;
    uint32_t epoch;
    size_t n;
    int rc = map_list_decode(r->layout.data, r->layout.len, &maps, err);

    if (rc == 0 &&
        (take_replan(v->c) || plan_drives_changed(&v->drives) ||
         v->revision != r->cluster.revision || v->done == v->plan.count)) {
        rc = make_plan(v, &maps, r->cluster.revision, err);
    }
    if (rc != 0 || v->plan.count == 0) {
        map_list_free(&maps);
        return false;
    }
    map = &maps.maps[v->map];
    epoch = map->epoch;
    n = carry_batch(v, objects, map, next_batch(v), err);
    if (map->epoch != epoch) {
        rc = write_maps(v->c, &maps, r, err);
    }
    if (rc == 0) {
        v->done += n; /* what was not made comes with the next plan */
        show_progress(v, n);
        if (v->done == v->plan.count) {
            log_errf(LOG_INFO, "layout", "all %zu slots have moved",
                     v->plan.count);
        }
    } else {
        drop_plan(v);
    }
    map_list_free(&maps);
    return rc == 0;
}

static bool round_of(struct mover *v)
{
    struct meta_registry r = {0};
    struct object_store *objects;
    struct err err = {{0}};
    bool more = false;
    int rc = meta_registry_get(v->c->meta, &r, &err);

    /* policy.k 0: of a test that is about other things */

    if (rc == 0 && v->c->policy.k > 0) {
        plan_drives_look(&v->drives, &r, v->c->drive_peers,
                         v->c->repair_after_ms, clock_mono_ms());
        if (r.epoch == 0) {
            rc = make_first(v, &r, &err);
        } else if ((objects = cluster_objects_take(v->c)) != NULL) {
            err.text[0] = '\0';
            more = step(v, &r, objects, &err);
            rc = err.text[0] != '\0' && !more ? ERR_UNAVAILABLE : 0;
            cluster_objects_give(v->c);
        }
    }
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        say(v, "layout", &err);
    }
    meta_registry_free(&r);
    return more;
}

void *cluster_mover_main(void *arg)
{
    struct cluster *c = arg;
    struct mover v = {.c = c};

    pthread_setname_np(pthread_self(), "mover");
    while (cluster_goes_on(c)) {
        struct meta_stats stats;
        bool more = false;
        meta_stats(c->meta, &stats);
        if (stats.leader) {
            more = round_of(&v);
        } else {
            drop_plan(&v);
            plan_drives_forget(&v.drives);
        }
        pthread_mutex_lock(&c->mutex);
        if (!more && !c->stopping && !c->letting_go && !c->replan) {
            latch_cond_wait(&c->mover_cond, &c->mutex, ROUND_MS);
        }
        pthread_mutex_unlock(&c->mutex);
    }
    drop_plan(&v);
    plan_drives_free(&v.drives);
    return NULL;
}

void cluster_progress(struct cluster *c, struct cluster_progress *out)
{
    pthread_mutex_lock(&c->mutex);
    *out = c->progress;
    pthread_mutex_unlock(&c->mutex);
}
