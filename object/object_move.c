#include "object/object_move.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "node/peers.h"
#include "node/shard_wire.h"
#include "object/object_internal.h"

#define PAGE 1024
/* Shards on their way at once. */
#define BATCH_SHARDS 32
#define BATCH_BYTES ((size_t)16 << 20)

/* ---- a batch: read here, write there ---- */

struct batch {
    struct object_store *store;
    struct latch latch;
    atomic_uint refs;
    unsigned count;
    struct batch_item {
        struct shard_get get;
        struct shard_put put;
        struct batch *all;
        uint8_t *data;
        uint32_t length, group;
        int status;
        struct err err;
    } items[BATCH_SHARDS];
};

static struct batch *batch_new(struct object_store *s)
{
    struct batch *b = mem_alloc(sizeof *b);

    b->store = s;
    latch_init(&b->latch);
    atomic_store(&b->refs, 1);
    return b;
}

static void batch_unref(struct batch *b)
{
    if (atomic_fetch_sub(&b->refs, 1) != 1) {
        return;
    }
    for (unsigned i = 0; i < b->count; i++) {
        mem_pages_free(b->items[i].data,
                       mem_round_up(b->items[i].length, MEM_PAGE));
    }
    latch_close(&b->latch);
    free(b);
}

static void answered(struct batch_item *item, int status, const struct err *err)
{
    struct batch *b = item->all;
    struct object_store *s = b->store;

    item->status = status;
    if (status != 0 && err != NULL) {
        item->err = *err;
    }
    latch_signal(&b->latch);
    batch_unref(b);
    atomic_fetch_sub(&s->pending, 1);
}

static void on_got(struct shard_get *get, int status, const struct err *err)
{
    answered(LIST_OF(get, struct batch_item, get), status, err);
}

static void on_stored(struct shard_put *put, int status, const struct err *err)
{
    answered(LIST_OF(put, struct batch_item, put), status, err);
}

static void expect(struct batch *b)
{
    atomic_fetch_add(&b->refs, 1);
    atomic_fetch_add(&b->store->pending, 1);
}

/* False when there was no memory. */
static bool batch_add(struct batch *b, const struct shard_info *info)
{
    struct batch_item *item = &b->items[b->count];

    item->data = mem_pages(mem_round_up(info->length, MEM_PAGE));
    if (item->data == NULL) {
        return false;
    }
    item->all = b;
    item->length = info->length;
    item->group = info->group;
    item->get = (struct shard_get){.key = info->key,
                                   .length = info->length,
                                   .out = item->data,
                                   .done = on_got};
    b->count++;
    return true;
}

/* A drive that says this of one shard is well. */
static bool is_of_shard(int status)
{
    return status == ERR_CORRUPT || status == ERR_NOT_FOUND ||
           status == ERR_RANGE;
}

/* Read all, then write what could be read: 0, or the first error that is not of
 * a single shard. */
static int batch_run(struct batch *b, uint16_t from, uint16_t to,
                     struct err *err)
{
    struct object_store *s = b->store;
    unsigned asked = b->count;
    int rc = 0;

    for (unsigned i = 0; i < b->count; i++) {
        expect(b);
        peers_get(s->options.peers, from, &b->items[i].get);
    }
    if (!latch_wait(&b->latch, asked, s->options.get_timeout_ms)) {
        return err_set(err, ERR_TIMEOUT, "drive %u does not answer",
                       (unsigned)from);
    }
    for (unsigned i = 0; i < b->count; i++) {
        struct batch_item *item = &b->items[i];
        if (item->status != 0) {
            if (!is_of_shard(item->status)) {
                rc = err_set(err, item->status, "drive %u: %s", (unsigned)from,
                             item->err.text);
            }
            continue;
        }
        item->put = (struct shard_put){.key = item->get.key,
                                       .group = item->group,
                                       .data = item->data,
                                       .length = item->length,
                                       .done = on_stored};
        expect(b);
        asked++;
        peers_put(s->options.peers, to, &item->put);
    }
    if (!latch_wait(&b->latch, asked, s->options.put_timeout_ms)) {
        return err_set(err, ERR_TIMEOUT, "drive %u does not answer",
                       (unsigned)to);
    }
    for (unsigned i = 0; i < b->count && rc == 0; i++) {
        const struct batch_item *item = &b->items[i];
        if (item->put.done != NULL && item->status != 0) {
            rc = err_set(err, item->status, "drive %u: %s", (unsigned)to,
                         item->err.text);
        }
    }
    return rc;
}

static void count_batch(const struct batch *b, struct object_copied *out)
{
    for (unsigned i = 0; i < b->count; i++) {
        if (b->items[i].status != 0) {
            out->missed++;
        } else {
            out->shards++;
            out->bytes += b->items[i].length;
        }
    }
}

/* ---- a slot ---- */

static int copy_page(struct object_store *s, unsigned slot, uint16_t from,
                     uint16_t to, const struct shard_info *page, size_t count,
                     struct object_copied *out, struct err *err,
                     bool (*go_on)(void *arg, uint64_t bytes), void *arg)
{
    size_t i = 0;
    int rc = 0;

    while (i < count && rc == 0) {
        struct batch *b = batch_new(s);
        size_t bytes = 0;
        for (; i < count && b->count < BATCH_SHARDS && bytes < BATCH_BYTES;
             i++) {
            if (page[i].key.slot != slot) {
                continue;
            }
            if (!batch_add(b, &page[i])) {
                rc = err_set(err, ERR_NOMEM, "no memory for a move");
                break;
            }
            bytes += page[i].length;
        }
        if (rc == 0 && b->count > 0) {
            rc = batch_run(b, from, to, err);
        }
        if (rc == 0) {
            count_batch(b, out);
        }
        batch_unref(b);
        if (rc == 0) {
            object_pace(s, bytes, go_on, arg);
        }
        if (rc == 0 && !go_on(arg, bytes)) {
            rc = err_set(err, ERR_CLOSED, "the move was given up");
        }
    }
    return rc;
}

int object_copy_slot(struct object_store *s, uint32_t group, unsigned slot,
                     uint16_t from, uint16_t to,
                     bool (*go_on)(void *arg, uint64_t bytes), void *arg,
                     struct object_copied *out, struct err *err)
{
    struct shard_info *shards = mem_calloc(PAGE, sizeof *shards);
    struct shard_page page = {0};
    struct shard_key after;
    const struct shard_key *at = NULL;
    int rc;

    *out = (struct object_copied){0};
    do {
        rc = peers_list(s->options.peers, from, group, at, shards, PAGE, &page,
                        err);
        if (rc == 0) {
            rc = copy_page(s, slot, from, to, shards, page.count, out, err,
                           go_on, arg);
        }
        after = page.last;
        at = &after;
    } while (rc == 0 && !page.end);
    free(shards);
    return rc;
}

/* ---- strays ---- */

struct settle {
    struct object_store *store;
    uint16_t drive;
    uint64_t strays;
};

/* Has @to the shard, or can it be given it now? */
static bool hand_on(struct settle *w, const struct shard_info *info,
                    uint16_t to)
{
    struct object_store *s = w->store;
    struct shard_info there;
    struct batch *b;
    bool done;
    int rc = peers_stat(s->options.peers, to, &info->key, &there, NULL);

    if (rc == 0 && there.length == info->length) {
        return true;
    }
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        return false;
    }
    b = batch_new(s);
    done = batch_add(b, info) && batch_run(b, w->drive, to, NULL) == 0 &&
           b->items[0].status == 0;
    batch_unref(b);
    if (done) {
        object_pace(s, info->length, NULL, NULL);
    }
    return done;
}

static void settle_drive(struct settle *w, struct shard_store *store)
{
    struct shard_info *page = mem_calloc(PAGE, sizeof *page);
    struct shard_key after;
    const struct shard_key *from = NULL;
    size_t n;

    while ((n = shard_store_list(store, from, page, PAGE)) > 0) {
        for (size_t i = 0; i < n; i++) {
            uint16_t to =
                object_group_drive(w->store, page[i].group, page[i].key.slot);
            if (to == w->drive || to == PLACEMENT_NO_DRIVE) {
                continue;
            }
            w->strays++;
            if (hand_on(w, &page[i], to)) {
                object_forget_shard(w->store, w->drive, &page[i].key);
            }
        }
        after = page[n - 1].key;
        from = &after;
    }
    free(page);
}

uint64_t object_settle(struct object_store *s)
{
    struct settle w = {.store = s};
    struct shard_store *store;

    for (size_t i = 0; peers_at(s->options.peers, i, &w.drive, &store); i++) {
        settle_drive(&w, store);
    }
    return w.strays;
}
