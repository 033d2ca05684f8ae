/* object_world.h: an object store over real shard stores on fake disks: six,
 * or as many as WORLD_DRIVES says when it is defined before, in WORLD_GROUPS.
 *
 * Disks are those of fake_disk.h: they can fail, fill up, lose power, hang (in
 * writes), and change bytes; world_hold_reads hangs reads too. What is put is
 * made from a seed, so that what is read needs no copy to be compared with.
 *
 * Functions stand in the header because tests/lib is linked into tests of
 * folders that may not use object/.
 *
 * Threads: any for put and get; the rest of one thread.
 */
#ifndef GODWIT_TESTS_OBJECT_WORLD_H
#define GODWIT_TESTS_OBJECT_WORLD_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "node/peers.h"
#include "object/manifest.h"
#include "object/object_gc.h"
#include "object/object_get.h"
#include "object/object_put.h"
#include "object/object_store.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#ifndef WORLD_DRIVES
#define WORLD_DRIVES 6
#endif
#ifndef WORLD_GROUPS
#define WORLD_GROUPS 8
#endif
#define WORLD_POOL ((size_t)192 << 20)
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

struct world {
    struct object_store_options options; /* set before world_open */
    struct object_put_how how;
    uint64_t segment_bytes;
    uint64_t reserve_bytes;
    uint64_t scrub_interval_ms;
    struct fake_disk *disks[WORLD_DRIVES];
    struct drive_ops ops[WORLD_DRIVES];
    struct shard_store *stores[WORLD_DRIVES]; /* NULL: not opened */
    struct placement_group groups[WORLD_GROUPS];
    struct peers *peers;
    struct pool *pool;
    struct object_store *objects;
};

/* Disks whose reads are held: bit i of the mask for disk i; and what was read
 * of each. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint32_t held;
    uint64_t bytes[WORLD_DRIVES];
    void *disks[WORLD_DRIVES];
    int (*read)(void *data, struct drive_file *file, const struct iovec *iov,
                int count, uint64_t offset, size_t *got, struct err *err);
} world_reads = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                 .cond = PTHREAD_COND_INITIALIZER};

static inline int world_read(void *data, struct drive_file *file,
                             const struct iovec *iov, int count,
                             uint64_t offset, size_t *got, struct err *err)
{
    uint32_t bit = 0;

    pthread_mutex_lock(&world_reads.mutex);
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        if (world_reads.disks[i] == data) {
            bit |= 1u << i;
            for (int n = 0; n < count; n++) {
                world_reads.bytes[i] += iov[n].iov_len;
            }
        }
    }
    while (world_reads.held & bit) {
        pthread_cond_wait(&world_reads.cond, &world_reads.mutex);
    }
    pthread_mutex_unlock(&world_reads.mutex);
    return world_reads.read(data, file, iov, count, offset, got, err);
}

static inline void world_hold_reads(uint32_t mask)
{
    pthread_mutex_lock(&world_reads.mutex);
    world_reads.held = mask;
    pthread_cond_broadcast(&world_reads.cond);
    pthread_mutex_unlock(&world_reads.mutex);
}

/* Bytes that were read of all disks so far. */
static inline uint64_t world_bytes_read(void)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&world_reads.mutex);
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        sum += world_reads.bytes[i];
    }
    pthread_mutex_unlock(&world_reads.mutex);
    return sum;
}

static inline void world_no_log(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

static inline struct world *world_new(struct ec_policy policy)
{
    struct world *w = mem_alloc(sizeof *w);

    log_capture(world_no_log, NULL); /* drives say why they fail */
    w->options = (struct object_store_options){
        .policy = policy,
        .put_timeout_ms = 20000,
        .get_timeout_ms = 20000,
        .hedge_ms = 100,
        .orphan_age_ms = 0,
    };
    w->segment_bytes = 4 * MIB;
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        w->disks[i] = fake_disk_new(i + 1);
        w->ops[i] = *fake_disk_ops(w->disks[i]);
        world_reads.read = w->ops[i].read;
        world_reads.disks[i] = w->ops[i].data;
        w->ops[i].read = world_read;
    }
    return w;
}

static inline void world_free(struct world *w)
{
    world_hold_reads(0);
    if (w->objects != NULL) {
        return; /* the test failed, and its threads still run */
    }
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        fake_disk_free(w->disks[i]);
    }
    free(w);
}

static inline void world_open_drive(struct world *w, unsigned i)
{
    struct shard_store_options o = {.path = "/fake",
                                    .drive = (uint16_t)i,
                                    .segment_bytes = w->segment_bytes,
                                    .reserve_bytes = w->reserve_bytes,
                                    .scrub_interval_ms = w->scrub_interval_ms,
                                    .ops = &w->ops[i]};

    CHECK(shard_store_open(&o, &w->stores[i], NULL) == 0);
    peers_add(w->peers, w->stores[i], (uint16_t)i);
}

/* Open all but the drives in @without (a bit mask). */
static inline void world_open(struct world *w, uint32_t without)
{
    struct placement_drive drives[WORLD_DRIVES] = {{0}};
    unsigned distinct;

    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        drives[i] = (struct placement_drive){.drive = (uint16_t)i, .weight = 1};
    }
    for (uint32_t i = 0; i < WORLD_GROUPS; i++) {
        w->groups[i].id = i;
        w->groups[i].policy = w->options.policy;
        CHECK(placement_choose(drives, WORLD_DRIVES, &w->groups[i], &distinct,
                               NULL) == 0);
    }
    w->pool = pool_new(WORLD_POOL);
    w->peers = peers_new();
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        w->stores[i] = NULL;
        if (!(without >> i & 1)) {
            world_open_drive(w, i);
        }
    }
    w->options.peers = w->peers;
    w->options.pool = w->pool;
    w->options.groups = w->groups;
    w->options.group_count = WORLD_GROUPS;
    CHECK(object_store_open(&w->options, &w->objects, NULL) == 0);
}

static inline void world_close(struct world *w)
{
    object_store_close(w->objects);
    w->objects = NULL;
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        if (w->stores[i] != NULL) {
            shard_store_close(w->stores[i]);
        }
    }
    peers_free(w->peers);
    pool_free(w->pool); /* CHECKs that every buffer came back */
}

static inline void world_reopen(struct world *w, uint32_t without)
{
    world_close(w);
    world_open(w, without);
}

/* ---- bytes ---- */

/* Of these seeds most, not all, can be compressed. */
#define WORLD_SOFT ((uint64_t)1 << 20)

static inline uint8_t world_byte(uint64_t seed, uint64_t i)
{
    uint64_t x = (i / 8 + (seed << 32) + 1) * 0x9e3779b97f4a7c15u;
    uint8_t byte;

    x ^= x >> 29;
    byte = (uint8_t)(x >> (i % 8 * 8));
    return (seed & WORLD_SOFT) && (i >> 16) % 7 != 6 ? byte & 3 : byte;
}

static inline void world_fill(uint64_t seed, uint64_t at, uint8_t *out,
                              size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = world_byte(seed, at + i);
    }
}

/* Where the first wrong byte is; @n when all are right. */
static inline size_t world_compare(uint64_t seed, uint64_t at, const uint8_t *p,
                                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != world_byte(seed, at + i)) {
            return i;
        }
    }
    return n;
}

/* One chunk of @n bytes that begins at @at; on failure the buffer goes back. */
static inline int world_write(struct world *w, struct object_put *p,
                              uint64_t seed, uint64_t at, uint32_t chunk,
                              uint32_t n, struct err *err)
{
    size_t bytes = object_buffer_bytes(w->objects, chunk);
    uint8_t *b = pool_get_block(w->pool, bytes, 20000);
    int rc;

    if (b == NULL) {
        return err_set(err, ERR_BUSY, "the pool is empty");
    }
    world_fill(seed, at, b, n);
    rc = object_put_write(p, b, chunk, n, err);
    if (rc != 0) {
        pool_put(w->pool, b, bytes);
    }
    return rc;
}

/* Write a run and leave the put open. */
static inline int world_begin(struct world *w, uint64_t seed, uint64_t size,
                              uint32_t chunk, struct object_put **out,
                              struct err *err)
{
    int rc = 0;

    *out = object_put_open_as(w->objects, &w->how);
    for (uint64_t at = 0; at < size && rc == 0; at += chunk) {
        uint32_t n = size - at < chunk ? (uint32_t)(size - at) : chunk;
        rc = world_write(w, *out, seed, at, chunk, n, err);
    }
    return rc;
}

/* Put a run whole, or abort it. */
static inline int world_put(struct world *w, uint64_t seed, uint64_t size,
                            uint32_t chunk, struct buf *manifest,
                            struct err *err)
{
    struct object_put *p;
    int rc = world_begin(w, seed, size, chunk, &p, err);

    if (rc == 0) {
        rc = object_put_commit(p, manifest, err);
    }
    if (rc == 0) {
        object_put_close(p, 1);
    } else {
        object_put_abort(p);
    }
    return rc;
}

#define WORLD_WRONG (-1) /* bytes were read that were never put */

/* Read a range in windows and compare; WORLD_WRONG is the worst. */
static inline int world_get(struct world *w, const struct buf *manifest,
                            uint64_t seed, uint64_t offset, uint64_t length,
                            size_t window, struct err *err)
{
    struct object_get *g = NULL;
    uint8_t *bytes;
    size_t got = 1;
    int rc = object_get_open(w->objects, manifest->data, manifest->len, offset,
                             length, &g, err);

    while (rc == 0 && got > 0) {
        /* New memory each time: a late write into it is found by ASan. */
        bytes = malloc(window);
        CHECK(bytes != NULL);
        rc = object_get_read(g, bytes, window, &got, err);
        if (rc == 0 && world_compare(seed, offset, bytes, got) != got) {
            rc = WORLD_WRONG;
        }
        offset += rc == 0 ? got : 0;
        length -= rc == 0 ? got : 0;
        free(bytes);
    }
    object_get_close(g);
    return rc == 0 && length != 0 ? WORLD_WRONG : rc;
}

static inline int world_get_all(struct world *w, const struct buf *manifest,
                                uint64_t seed, struct err *err)
{
    struct manifest m;
    uint64_t size;

    CHECK(manifest_decode(manifest->data, manifest->len, &m, NULL) == 0);
    size = manifest_bytes(&m);
    manifest_free(&m);
    return world_get(w, manifest, seed, 0, size, 512 * KIB, err);
}

/* ---- shards ---- */

static inline uint64_t world_shards_on(struct world *w, unsigned drive)
{
    struct shard_info info[64];
    struct shard_key after;
    const struct shard_key *from = NULL;
    uint64_t count = 0;
    size_t n;

    while ((n = shard_store_list(w->stores[drive], from, info, 64)) > 0) {
        count += n;
        after = info[n - 1].key;
        from = &after;
    }
    return count;
}

/* Of all open drives. */
static inline uint64_t world_shards(struct world *w)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        count += w->stores[i] != NULL ? world_shards_on(w, i) : 0;
    }
    return count;
}

static inline uint16_t world_drive_of(struct world *w, const struct manifest *m,
                                      unsigned slot)
{
    return w->groups[m->group].slots[slot];
}

/* The slot of the run's shards on @drive. */
static inline unsigned world_slot_of(struct world *w, const struct manifest *m,
                                     uint16_t drive)
{
    unsigned slot = 0;

    while (world_drive_of(w, m, slot) != drive) {
        slot++;
    }
    return slot;
}

/* Change one byte of a shard, at @offset in it, on the disk: in each place
 * that looks like it, for dead records may stay where they were. */
static inline void world_damage(struct world *w, uint16_t drive,
                                struct shard_key key, uint32_t offset)
{
    struct shard_info info;
    uint8_t *shard;
    bool done = false;

    CHECK(shard_store_stat(w->stores[drive], &key, &info));
    shard = malloc(info.length);
    CHECK(shard != NULL);
    CHECK(shard_get_wait(w->stores[drive], key, 0, info.length, shard, NULL) ==
          0);
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        uint64_t len = 0;
        uint8_t *bytes, *at;
        snprintf(name, sizeof name, "%08x.seg", i);
        bytes = fake_disk_bytes(w->disks[drive], name, &len);
        at = bytes;
        while (at != NULL) {
            at = memmem(at, len - (size_t)(at - bytes), shard, info.length);
            if (at != NULL) {
                done = fake_disk_flip(w->disks[drive], name,
                                      (uint64_t)(at - bytes) + offset);
                at += info.length;
            }
        }
        free(bytes);
    }
    free(shard);
    CHECK(done);
}

/* Wait until @drive's store says that it is in @state. */
static inline void world_await(struct world *w, unsigned drive,
                               enum drive_state state)
{
    CHECK(shard_wait_state(w->stores[drive], state, NULL));
}

static inline void world_ignore(void *arg, enum object_defect defect,
                                const struct shard_key *key, uint16_t drive,
                                const char *why)
{
    (void)arg;
    (void)defect;
    (void)key;
    (void)drive;
    (void)why;
}

static inline uint64_t world_defects(struct world *w,
                                     const struct buf *manifest)
{
    return object_verify(w->objects, manifest->data, manifest->len, false,
                         world_ignore, NULL);
}

/* Wait until the repair thread has nothing to do: what reads find bad it mends
 * at some time later. */
static inline void world_await_repairs(struct world *w)
{
    struct object_store_stats stats;

    do {
        clock_sleep_ms(1);
        object_store_stats(w->objects, &stats);
    } while (stats.repairs_waiting > 0);
}

/* Wait until every buffer came back to the pool; false after a minute. */
static inline bool world_pool_empties(struct world *w)
{
    for (int i = 0; i < 6000 && pool_used(w->pool) > 0; i++) {
        clock_sleep_ms(10);
    }
    return pool_used(w->pool) == 0;
}

/* Wait until repair has made the run whole; false after a minute. */
static inline bool world_heals(struct world *w, const struct buf *manifest)
{
    for (int i = 0; i < 600; i++) {
        if (world_defects(w, manifest) == 0) {
            return true;
        }
        clock_sleep_ms(100);
    }
    return false;
}

static inline struct object_store_stats world_stats(struct world *w)
{
    struct object_store_stats stats;

    object_store_stats(w->objects, &stats);
    return stats;
}

/* The shard in @slot of the first chunk; free(). */
static inline uint8_t *world_shard_bytes(struct world *w,
                                         const struct manifest *m,
                                         unsigned slot, uint32_t *length)
{
    struct shard_store *s = w->stores[world_drive_of(w, m, slot)];
    struct shard_key key = manifest_shard(m, 0, slot);
    struct shard_info info;
    uint8_t *bytes;

    assert_true(shard_store_stat(s, &key, &info));
    bytes = malloc(info.length);
    assert_int_equal(shard_get_wait(s, key, 0, info.length, bytes, NULL), 0);
    *length = info.length;
    return bytes;
}

static inline void world_delete_shard(struct world *w, const struct manifest *m,
                                      unsigned slot)
{
    assert_int_equal(shard_delete_wait(w->stores[world_drive_of(w, m, slot)],
                                       manifest_shard(m, 0, slot), NULL),
                     0);
}

#endif
