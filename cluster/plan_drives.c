#include "cluster/plan_drives.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/peers.h"

static uint64_t *silence_of(struct plan_drives *p, uint16_t drive)
{
    if (drive >= p->silent_count) {
        size_t count = (size_t)drive + 1;
        p->silent_ms = mem_realloc(p->silent_ms, count * sizeof *p->silent_ms);
        memset(&p->silent_ms[p->silent_count], 0,
               (count - p->silent_count) * sizeof *p->silent_ms);
        p->silent_count = count;
    }
    return &p->silent_ms[drive];
}

static bool is_removed(const struct meta_drive *d)
{
    return d->state == META_DRIVE_REMOVED ||
           d->server_state == META_SERVER_REMOVED;
}

static struct map_drive judge(struct plan_drives *p, const struct meta_drive *d,
                              struct peers *peers, uint64_t grace_ms,
                              uint64_t now_ms)
{
    enum peer_state state = peers != NULL ? peers_state(peers, d->id) : PEER_UP;
    uint64_t *silent = silence_of(p, d->id);
    struct map_drive out = {.id = d->id,
                            .node = (uint16_t)d->server,
                            .zone = d->zone_id,
                            .state = MAP_DRIVE_UP,
                            .weight = d->weight,
                            .free_bytes = state == PEER_UP};

    if (state == PEER_UP || state == PEER_FULL) {
        *silent = 0;
    } else if (*silent == 0) {
        *silent = now_ms;
    }
    if (*silent != 0 && now_ms - *silent >= grace_ms) {
        out.state = MAP_DRIVE_GONE;
    } else if (d->state == META_DRIVE_DRAINING ||
               d->server_state == META_SERVER_DRAINING) {
        out.state = MAP_DRIVE_DRAINING;
    }
    return out;
}

void plan_drives_look(struct plan_drives *p, const struct meta_registry *r,
                      struct peers *peers, uint64_t grace_ms, uint64_t now_ms)
{
    struct map_drive *list = mem_calloc(r->drive_count + 1, sizeof *list);
    size_t count = 0;

    for (size_t i = 0; i < r->drive_count; i++) {
        if (!is_removed(&r->drives[i])) {
            list[count++] = judge(p, &r->drives[i], peers, grace_ms, now_ms);
        }
    }
    p->changed = count != p->count || p->list == NULL ||
                 memcmp(list, p->list, count * sizeof *list) != 0;
    free(p->list);
    p->list = list;
    p->count = count;
}

bool plan_drives_changed(const struct plan_drives *p)
{
    return p->changed;
}

void plan_drives_forget(struct plan_drives *p)
{
    if (p->silent_count > 0) {
        memset(p->silent_ms, 0, p->silent_count * sizeof *p->silent_ms);
    }
}

void plan_drives_free(struct plan_drives *p)
{
    free(p->list);
    free(p->silent_ms);
    *p = (struct plan_drives){0};
}
