/* The placement map, as the catalogue keeps it (erasure/map.h), and what the
 * command line says of it. A store on one machine makes its own; in a cluster
 * who leads makes and changes it (cluster/mover.c).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/operate.h"
#include "erasure/map_list.h"
#include "erasure/map_plan.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/drives.h"
#include "object/object_store.h"

/* How long this server may take to hear of a layout. */
#define HEARD_MS 5000

/* Drives 0..@drives-1 of one server. */
static void describe(struct map_drive *list, unsigned drives)
{
    for (unsigned i = 0; i < drives; i++) {
        list[i] = (struct map_drive){.id = (uint16_t)i,
                                     .node = 1,
                                     .zone = 1,
                                     .state = MAP_DRIVE_UP,
                                     .weight = 1,
                                     .free_bytes = 1};
    }
}

static int write_down(struct meta *m, uint32_t epoch,
                      const struct map_list *maps, struct err *err)
{
    struct buf layout = {0};
    struct buf command = {0};
    int rc;

    map_list_encode(maps, &layout);
    command_layout_set(&command, epoch, layout.data, layout.len);
    rc = meta_propose_wait(m, &command, NULL, err);
    buf_free(&layout);
    buf_free(&command);
    return rc;
}

static int make(struct meta *m, struct ec_policy policy, unsigned drives,
                struct map_list *out, struct err *err)
{
    struct map_drive list[DRIVES_MAX] = {{0}};
    struct map_list maps = {.count = 1};
    int rc;

    describe(list, drives);
    rc = map_make(policy, LAYOUT_GROUPS, list, drives, &maps.maps[0], err);
    if (rc != 0) {
        return err_wrap(err, rc, "layout");
    }
    rc = write_down(m, maps.maps[0].epoch, &maps, err);
    if (rc != 0) {
        map_list_free(&maps);
        return err_wrap(err, rc, "layout");
    }
    *out = maps;
    return 0;
}

int layout_check_policy(const struct gateway *g, struct ec_policy made,
                        struct err *err)
{
    char text[EC_POLICY_TEXT_MAX];

    if (g->options->ec != NULL && !ec_policy_same(made, g->policy)) {
        return err_set(err, ERR_BAD_INPUT,
                       "this store was made with --ec %s; start it with the "
                       "same, or without --ec",
                       ec_policy_text(made, text));
    }
    return 0;
}

/* Every drive that a group names must be here, and each drive here be named:
 * one more or less than the store was made with is a mistake. */
static int check_drives(const struct placement_map *map, unsigned drives,
                        struct err *err)
{
    unsigned had = 0;

    for (uint32_t i = 0; i < map->count; i++) {
        for (unsigned n = 0; n < map_slots(map); n++) {
            unsigned drive = map->groups[i].slots[n];
            had = drive >= had ? drive + 1 : had;
        }
    }
    if (had > drives ||
        (had < drives && map->count * map_slots(map) >= 4 * drives)) {
        return err_set(err, ERR_BAD_INPUT,
                       "this store was made over %u drives, and now has %u; "
                       "start it with the same (drives are added to a "
                       "cluster: --cluster)",
                       had, drives);
    }
    return 0;
}

static void warn_of_few(const struct placement_map *map, unsigned drives)
{
    struct map_drive list[DRIVES_MAX] = {{0}};
    struct map_survival survival;
    char text[160];

    if (drives >= map_slots(map)) {
        return;
    }
    describe(list, drives);
    survival = map_survives(map, list, drives);
    snprintf(text, sizeof text,
             "%u drives for %u shards: some hold several of a chunk, so the "
             "store survives the loss of %u drives",
             drives, map_slots(map), survival.drives);
    log_line(LOG_WARN, "fewer drives than shards", "why", text, NULL);
}

int layout_load(struct gateway *g, struct map_list *out, struct err *err)
{
    unsigned drives = (unsigned)drives_count(g->drives);
    struct buf layout = {0};
    uint32_t epoch = 0;
    int rc = meta_layout(g->meta, &epoch, &layout, err);

    if (rc == ERR_NOT_FOUND) {
        rc = make(g->meta, g->policy, drives, out, err);
    } else if (rc == 0) {
        rc = map_list_decode(layout.data, layout.len, out, err);
        if (rc == 0) {
            rc = layout_check_policy(g, out->maps[0].policy, err);
            if (rc == 0) {
                rc = check_drives(&out->maps[0], drives, err);
            }
            if (rc != 0) {
                map_list_free(out);
            }
        }
    }
    buf_free(&layout);
    if (rc == 0) {
        warn_of_few(&out->maps[0], drives);
    }
    return rc;
}

/* ---- one more policy ---- */

int layout_use(struct object_store *objects, const struct map_list *maps,
               struct err *err)
{
    struct placement_group *groups = map_list_flat(maps);
    int rc =
        object_store_set_groups(objects, groups, map_list_groups(maps), err);

    free(groups);
    return rc;
}

static int add_alone(struct gateway *g, struct ec_policy policy,
                     struct err *err)
{
    unsigned drives = (unsigned)drives_count(g->drives);
    struct map_drive list[DRIVES_MAX] = {{0}};
    struct buf layout = {0};
    struct map_list maps = {0};
    uint32_t epoch = 0;
    int rc = meta_layout(g->meta, &epoch, &layout, err);

    if (rc == 0) {
        rc = map_list_decode(layout.data, layout.len, &maps, err);
    }
    buf_free(&layout);
    if (rc == 0 && map_list_find(&maps, policy) < 0) {
        describe(list, drives);
        rc = map_list_add(&maps, policy, list, drives, err);
        if (rc == 0) {
            rc = write_down(g->meta, epoch + 1, &maps, err);
        }
    }
    if (rc == 0) {
        rc = layout_use(g->objects, &maps, err);
    }
    map_list_free(&maps);
    return rc;
}

int layout_add_policy(struct gateway *g, struct ec_policy policy,
                      struct err *err)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    uint64_t end = clock_mono_ms() + HEARD_MS;
    int rc;

    if (object_store_knows(g->objects, policy)) {
        return 0;
    }
    pthread_mutex_lock(&one_at_a_time);
    rc = g->cluster != NULL ? cluster_add_policy(g->cluster, policy, err)
                            : add_alone(g, policy, err);
    pthread_mutex_unlock(&one_at_a_time);
    while (rc == 0 && !object_store_knows(g->objects, policy) &&
           clock_mono_ms() < end) {
        clock_sleep_ms(20);
    }
    return rc;
}
