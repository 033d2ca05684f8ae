#include "object/object_handoff.h"

#include <stdlib.h>

#include "base/rng.h"
#include "node/peers.h"
#include "object/drive_pulse.h"
#include "object/object_internal.h"

/* On one drive counts for more than on any number of its server's. */
#define SAME_DRIVE 1000u

/* One that is full is read from all the same. */
static bool can_read(struct object_store *s, uint16_t drive)
{
    enum peer_state state = peers_state(s->options.peers, drive);

    return (state == PEER_UP || state == PEER_FULL) &&
           !drive_is_hung(s->pulse, drive, PULSE_READ);
}

static uint32_t server_of(const struct peer_info *all, size_t count,
                          uint16_t drive)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].drive == drive) {
            return all[i].server;
        }
    }
    return UINT32_MAX;
}

uint16_t object_substitute(struct object_store *s, const uint16_t *used,
                           size_t used_count, unsigned max, uint16_t own)
{
    size_t count;
    struct peer_info *all = object_all_drives(s, &count);
    size_t first = count > 0 ? (size_t)(rng_u64() % count) : 0;
    uint16_t best = PLACEMENT_NO_DRIVE;
    unsigned least = max * SAME_DRIVE;

    for (size_t i = 0; i < count; i++) {
        const struct peer_info *d = &all[(first + i) % count];
        unsigned load = 0;
        if (d->drive == own || !object_drive_is_well(s, d->drive)) {
            continue;
        }
        for (size_t n = 0; n < used_count; n++) {
            load += used[n] == d->drive
                        ? SAME_DRIVE
                        : server_of(all, count, used[n]) == d->server;
        }
        if (load < least) {
            least = load;
            best = d->drive;
        }
    }
    free(all);
    return best;
}

uint16_t object_find_stray(struct object_store *s, const struct shard_key *key,
                           uint16_t own)
{
    size_t count;
    struct peer_info *all = object_all_drives(s, &count);
    uint16_t found = PLACEMENT_NO_DRIVE;
    struct shard_info info;

    for (size_t i = 0; i < count && found == PLACEMENT_NO_DRIVE; i++) {
        if (all[i].drive != own && can_read(s, all[i].drive) &&
            peers_stat(s->options.peers, all[i].drive, key, &info, NULL) == 0) {
            found = all[i].drive;
        }
    }
    free(all);
    return found;
}
