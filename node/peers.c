#include "node/peers.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"

struct peer {
    uint16_t drive;
    struct shard_store *store; /* kept */
};

struct peers {
    struct peer *list; /* in the order added; fixed once serving */
    size_t count;
};

struct peers *peers_new(void)
{
    return mem_alloc(sizeof(struct peers));
}

void peers_free(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    free(p->list);
    free(p);
}

void peers_add(struct peers *p, struct shard_store *s, uint16_t drive)
{
    CHECK(s != NULL);
    CHECK(peers_store(p, drive) == NULL);
    p->list = mem_realloc(p->list, (p->count + 1) * sizeof *p->list);
    p->list[p->count++] = (struct peer){.drive = drive, .store = s};
}

struct shard_store *peers_store(struct peers *p, uint16_t drive)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->list[i].drive == drive) {
            return p->list[i].store;
        }
    }
    return NULL;
}

static int unknown(uint16_t drive, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "drive %u is not known here",
                   (unsigned)drive);
}

void peers_put(struct peers *p, uint16_t drive, struct shard_put *put)
{
    struct shard_store *s = peers_store(p, drive);
    struct err err;

    if (s == NULL) {
        put->done(put, unknown(drive, &err), &err);
        return;
    }
    shard_store_put(s, put);
}

void peers_get(struct peers *p, uint16_t drive, struct shard_get *get)
{
    struct shard_store *s = peers_store(p, drive);
    struct err err;

    if (s == NULL) {
        get->done(get, unknown(drive, &err), &err);
        return;
    }
    shard_store_get(s, get);
}

void peers_delete(struct peers *p, uint16_t drive, struct shard_delete *del)
{
    struct shard_store *s = peers_store(p, drive);
    struct err err;

    if (s == NULL) {
        del->done(del, unknown(drive, &err), &err);
        return;
    }
    shard_store_delete(s, del);
}

bool peers_at(struct peers *p, size_t i, uint16_t *drive,
              struct shard_store **store)
{
    if (i >= p->count) {
        return false;
    }
    *drive = p->list[i].drive;
    *store = p->list[i].store;
    return true;
}
