#include "object/drives.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "erasure/placement.h"
#include "node/peers.h"
#include "node/shard_server.h"

struct drives {
    struct peers *peers;
    struct shard_server *server; /* NULL: alone */
    struct shard_store *stores[DRIVES_MAX];
    size_t count;
};

int drives_add(struct drives *d, const char *path, uint16_t id,
               const struct shard_store_options *shared, struct err *err)
{
    struct shard_store_options o = *shared;
    int rc;

    if (d->count == DRIVES_MAX) {
        return err_set(err, ERR_BAD_INPUT, "drive: at most %d drives",
                       DRIVES_MAX);
    }
    o.path = path;
    o.drive = id;
    rc = shard_store_open(&o, &d->stores[d->count], err);
    if (rc != 0) {
        return err_wrap(err, rc, "drive %s", path);
    }
    peers_add(d->peers, d->stores[d->count++], id);
    return 0;
}

int drives_open(const char *const *paths, const uint16_t *ids, size_t count,
                const struct shard_store_options *shared, struct drives **out,
                struct err *err)
{
    struct drives *d = mem_alloc(sizeof *d);

    d->peers = peers_new();
    for (size_t i = 0; i < count; i++) {
        uint16_t id = ids != NULL ? ids[i] : (uint16_t)i;
        int rc = id == PLACEMENT_NO_DRIVE
                     ? 0
                     : drives_add(d, paths[i], id, shared, err);
        if (rc != 0) {
            drives_close(d);
            return rc;
        }
    }
    *out = d;
    return 0;
}

void drives_serve(struct drives *d, struct net *n)
{
    CHECK(d->server == NULL);
    d->server = shard_server_new(n, d->peers);
}

void drives_stop(struct drives *d)
{
    if (d != NULL && d->server != NULL) {
        shard_server_stop(d->server);
        peers_stop(d->peers);
    }
}

void drives_close(struct drives *d)
{
    if (d == NULL) {
        return;
    }
    shard_server_free(d->server);
    for (size_t i = 0; i < d->count; i++) {
        shard_store_close(d->stores[i]);
    }
    peers_free(d->peers);
    free(d);
}

size_t drives_count(const struct drives *d)
{
    return d->count;
}

bool drives_has(const struct drives *d, uint16_t id)
{
    return peers_store(d->peers, id) != NULL;
}

struct peers *drives_peers(struct drives *d)
{
    return d->peers;
}

const char *drives_path(const struct drives *d, size_t i)
{
    CHECK(i < d->count);
    return shard_store_path(d->stores[i]);
}

void drives_stats(struct drives *d, size_t i, struct shard_store_stats *out)
{
    CHECK(i < d->count);
    shard_store_stats(d->stores[i], out);
}
