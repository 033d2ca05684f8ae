/* Goal: promises P1, P3, P4 and P5 for runs of chunks over real shard stores:
 * any m drives lost, bad blocks, failing drives, aborts, orphans, repair.
 * Method: six drives in a temporary folder; bytes from a seed; drives are
 * taken away by closing their stores, damaged by flipping bytes in segments.
 */
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pool.h"
#include "node/peers.h"
#include "object/manifest.h"
#include "object/object_gc.h"
#include "object/object_get.h"
#include "object/object_put.h"
#include "object/object_store.h"
#include "tests/lib/temp_dir.h"

#define DRIVES 6
#define GROUPS 8
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

struct world {
    char *dir;
    struct pool *pool;
    struct peers *peers;
    struct shard_store *stores[DRIVES];
    struct object_store *objects;
    uint64_t orphan_age_ms;
};

static void open_drive(struct world *w, unsigned i)
{
    char *path = mem_printf("%s/%u", w->dir, i);
    struct shard_store_options o = {
        .path = path, .drive = (uint16_t)i, .segment_bytes = 16 * MIB};

    assert_int_equal(shard_store_open(&o, &w->stores[i], NULL), 0);
    free(path);
}

/* Open all but the drives in @without (a bit mask). */
static void world_open(struct world *w, uint32_t without)
{
    struct placement_drive drives[DRIVES] = {{0}};
    struct placement_group groups[GROUPS] = {{0}};
    struct object_store_options o = {.policy = {.k = 4, .m = 2},
                                     .groups = groups,
                                     .group_count = GROUPS,
                                     .put_timeout_ms = 20000,
                                     .get_timeout_ms = 20000,
                                     .hedge_ms = 200,
                                     .orphan_age_ms = w->orphan_age_ms};
    unsigned distinct;

    for (unsigned i = 0; i < DRIVES; i++) {
        drives[i] = (struct placement_drive){.drive = (uint16_t)i, .weight = 1};
    }
    for (uint32_t i = 0; i < GROUPS; i++) {
        groups[i].id = i;
        groups[i].policy = o.policy;
        placement_choose(drives, DRIVES, &groups[i], &distinct, NULL);
        assert_int_equal(distinct, DRIVES);
    }
    w->pool = pool_new(256 * MIB);
    w->peers = peers_new();
    for (unsigned i = 0; i < DRIVES; i++) {
        w->stores[i] = NULL;
        if (!(without >> i & 1)) {
            open_drive(w, i);
            peers_add(w->peers, w->stores[i], (uint16_t)i);
        }
    }
    o.peers = w->peers;
    o.pool = w->pool;
    assert_int_equal(object_store_open(&o, &w->objects, NULL), 0);
}

static void world_close(struct world *w)
{
    object_store_close(w->objects);
    for (unsigned i = 0; i < DRIVES; i++) {
        if (w->stores[i] != NULL) {
            shard_store_close(w->stores[i]);
        }
    }
    peers_free(w->peers);
    pool_free(w->pool);
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->dir = temp_dir_new();
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    temp_dir_free(w->dir);
    free(w);
    return 0;
}

static uint8_t byte_at(uint64_t seed, uint64_t i)
{
    uint64_t x = (i / 8 + seed) * 0x9e3779b97f4a7c15u;

    x ^= x >> 29;
    return (uint8_t)(x >> (i % 8 * 8));
}

static struct object_put *write_bytes(struct world *w, uint64_t seed,
                                      size_t size, size_t chunk)
{
    struct object_put *p = object_put_open(w->objects);

    for (size_t at = 0; at < size;) {
        size_t n = size - at < chunk ? size - at : chunk;
        uint8_t *b = pool_get_block(
            w->pool, object_buffer_bytes(w->objects, (uint32_t)chunk), 20000);
        assert_non_null(b);
        for (size_t i = 0; i < n; i++) {
            b[i] = byte_at(seed, at + i);
        }
        assert_int_equal(
            object_put_write(p, b, (uint32_t)chunk, (uint32_t)n, NULL), 0);
        at += n;
    }
    return p;
}

static struct buf put(struct world *w, uint64_t seed, size_t size, size_t chunk)
{
    struct object_put *p = write_bytes(w, seed, size, chunk);
    struct buf manifest = {0};
    struct err err = {{0}};
    int rc = object_put_commit(p, &manifest, &err);

    if (rc != 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    object_put_close(p, 1);
    return manifest;
}

/* Read a range in windows and compare every byte. */
static int get(struct world *w, const struct buf *manifest, uint64_t seed,
               uint64_t offset, uint64_t length, struct err *err)
{
    uint8_t *window = malloc(512 * KIB);
    struct object_get *g = NULL;
    size_t got = 1;
    int rc = object_get_open(w->objects, manifest->data, manifest->len, offset,
                             length, &g, err);

    while (rc == 0 && got > 0) {
        rc = object_get_read(g, window, 512 * KIB, &got, err);
        for (size_t i = 0; rc == 0 && i < got; i++) {
            if (window[i] != byte_at(seed, offset + i)) {
                fail_msg("wrong byte at %llu",
                         (unsigned long long)(offset + i));
            }
        }
        offset += rc == 0 ? got : 0;
        length -= rc == 0 ? got : 0;
    }
    object_get_close(g);
    free(window);
    if (rc == 0) {
        assert_int_equal(length, 0);
    }
    return rc;
}

static const size_t sizes[] = {1,       4095,        65536,   65537,
                               200000,  MIB - 1,     MIB,     MIB + 1,
                               8 * MIB, 8 * MIB + 1, 20 * MIB};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* P3 */
static void every_pair_of_drives_lost_reads_byte_for_byte(void **state)
{
    struct world *w = *state;
    struct buf manifests[SIZES];

    world_open(w, 0);
    for (size_t i = 0; i < SIZES; i++) {
        manifests[i] = put(w, i, sizes[i], 8 * MIB);
    }
    world_close(w);
    for (unsigned a = 0; a < DRIVES; a++) {
        for (unsigned b = a; b < DRIVES; b++) {
            world_open(w, 1u << a | 1u << b);
            for (size_t i = 0; i < SIZES; i++) {
                struct err err = {{0}};
                if (get(w, &manifests[i], i, 0, sizes[i], &err) != 0) {
                    fail_msg("drives %u and %u, %zu bytes: %s", a, b, sizes[i],
                             err.text);
                }
            }
            world_close(w);
        }
    }
    for (size_t i = 0; i < SIZES; i++) {
        buf_free(&manifests[i]);
    }
}

static void three_drives_lost_is_an_error_and_not_wrong_bytes(void **state)
{
    struct world *w = *state;
    struct err err = {{0}};
    struct buf m;

    world_open(w, 0);
    m = put(w, 7, 4 * MIB, 8 * MIB);
    world_close(w);
    world_open(w, 7);
    assert_int_equal(get(w, &m, 7, 0, 4 * MIB, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "of 4 shards needed"));
    world_close(w);
    buf_free(&m);
}

static void ranges_at_random_are_the_bytes_that_were_put(void **state)
{
    struct world *w = *state;
    size_t size = 5 * MIB + 12345;
    struct buf m;

    world_open(w, 0);
    m = put(w, 3, size, MIB);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t offset = (uint64_t)i * 7919 * 31 % size;
        uint64_t length = (uint64_t)i * 104729 % (size - offset);
        assert_int_equal(get(w, &m, 3, offset, length, NULL), 0);
    }
    assert_int_equal(get(w, &m, 3, size, 1, NULL), ERR_RANGE);
    world_close(w);
    buf_free(&m);
}

/* Flip one byte in each 64 KiB of the data of drive @i's segments. */
static void damage(struct world *w, unsigned i)
{
    char *pattern = mem_printf("%s/%u/*", w->dir, i);
    glob_t g;

    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t n = 0; n < g.gl_pathc; n++) {
        struct stat st;
        int fd = open(g.gl_pathv[n], O_RDWR);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > (off_t)MIB) {
            for (off_t at = 12288; at < st.st_size; at += 65536) {
                uint8_t b;
                if (pread(fd, &b, 1, at) == 1) {
                    b ^= 0x55;
                    assert_int_equal(pwrite(fd, &b, 1, at), 1);
                }
            }
            fsync(fd);
        }
        close(fd);
    }
    globfree(&g);
    free(pattern);
}

struct tally {
    unsigned missing, corrupt, unreadable, lost, bad;
};

static void count_defect(void *arg, enum object_defect defect,
                         const struct shard_key *key, uint16_t drive,
                         const char *why)
{
    struct tally *t = arg;

    (void)key;
    (void)drive;
    (void)why;
    t->missing += defect == OBJECT_SHARD_MISSING;
    t->corrupt += defect == OBJECT_SHARD_CORRUPT;
    t->unreadable += defect == OBJECT_SHARD_UNREADABLE;
    t->lost += defect == OBJECT_CHUNK_LOST;
    t->bad += defect == OBJECT_MANIFEST_BAD;
}

/* The drive that holds @slot of a run, by the placement of world_open. */
static unsigned drive_of(const struct buf *manifest, unsigned slot)
{
    struct placement_drive drives[DRIVES] = {{0}};
    struct placement_group g = {.policy = {.k = 4, .m = 2}};
    struct manifest m;
    unsigned distinct;

    for (unsigned i = 0; i < DRIVES; i++) {
        drives[i] = (struct placement_drive){.drive = (uint16_t)i, .weight = 1};
    }
    assert_int_equal(manifest_decode(manifest->data, manifest->len, &m, NULL),
                     0);
    g.id = m.group;
    manifest_free(&m);
    assert_int_equal(placement_choose(drives, DRIVES, &g, &distinct, NULL), 0);
    return g.slots[slot];
}

/* P5: damage while serving is seen by the read, not served, and mended. */
static void bad_blocks_are_rebuilt_and_repaired(void **state)
{
    struct world *w = *state;
    struct object_store_stats stats;
    struct tally t = {0};
    struct buf m;

    world_open(w, 0);
    m = put(w, 9, 8 * MIB, 8 * MIB);
    damage(w, drive_of(&m, 0));
    damage(w, drive_of(&m, 2));
    assert_true(
        object_verify(w->objects, m.data, m.len, false, count_defect, &t) >= 2);
    assert_int_equal(t.lost, 0);
    assert_int_equal(get(w, &m, 9, 0, 8 * MIB, NULL), 0);
    for (int i = 0; i < 500; i++) {
        object_store_stats(w->objects, &stats);
        if (stats.repairs_waiting == 0 && stats.shards_repaired > 0) {
            break;
        }
        clock_sleep_ms(10);
    }
    assert_true(stats.shards_repaired >= 1);
    object_verify(w->objects, m.data, m.len, true, count_defect, &t);
    t = (struct tally){0};
    assert_int_equal(
        object_verify(w->objects, m.data, m.len, false, count_defect, &t), 0);
    assert_int_equal(get(w, &m, 9, 0, 8 * MIB, NULL), 0);
    world_close(w);
    buf_free(&m);
}

/* P3: writes go on with one drive gone, and it is made whole later. */
static void writes_go_on_with_a_drive_gone_and_verify_names_it(void **state)
{
    struct world *w = *state;
    struct tally t = {0};
    struct buf m;

    world_open(w, 1u << 2);
    m = put(w, 5, 3 * MIB, 8 * MIB);
    assert_int_equal(get(w, &m, 5, 0, 3 * MIB, NULL), 0);
    world_close(w);
    world_open(w, 0);
    assert_int_equal(
        object_verify(w->objects, m.data, m.len, true, count_defect, &t), 1);
    assert_int_equal(t.missing, 1);
    assert_int_equal(
        object_verify(w->objects, m.data, m.len, false, count_defect, &t), 0);
    world_close(w);
    buf_free(&m);
}

static void a_lost_quorum_refuses_and_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct buf m = {0};
    struct err err = {{0}};
    struct object_put *p;

    world_open(w, 15);
    p = write_bytes(w, 1, 3 * MIB, 8 * MIB);
    assert_int_equal(object_put_commit(p, &m, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "needed"));
    object_put_abort(p);
    for (unsigned i = 4; i < DRIVES; i++) {
        struct shard_info info;
        assert_int_equal(shard_store_list(w->stores[i], NULL, &info, 1), 0);
    }
    world_close(w);
}

static uint64_t shards_of_all(struct world *w)
{
    struct shard_store_stats s;
    uint64_t n = 0;

    for (unsigned i = 0; i < DRIVES; i++) {
        shard_store_stats(w->stores[i], &s);
        n += s.shards;
    }
    return n;
}

/* P4 */
static void an_abort_leaves_no_shard(void **state)
{
    struct world *w = *state;
    struct object_put *p;

    world_open(w, 0);
    p = write_bytes(w, 1, 5 * MIB, MIB);
    object_put_abort(p);
    assert_int_equal(shards_of_all(w), 0);
    world_close(w);
}

static void a_deleted_run_leaves_no_shard(void **state)
{
    struct world *w = *state;
    struct buf m;

    world_open(w, 0);
    m = put(w, 1, 5 * MIB, MIB);
    assert_int_equal(shards_of_all(w), 5 * 6);
    assert_int_equal(object_delete(w->objects, m.data, m.len, NULL), 0);
    assert_int_equal(shards_of_all(w), 0);
    assert_int_equal(object_delete(w->objects, m.data, m.len, NULL), 0);
    assert_int_equal(object_delete(w->objects, m.data, 10, NULL), ERR_CORRUPT);
    world_close(w);
    buf_free(&m);
}

static bool known_is(void *arg, uint64_t hi, uint64_t lo)
{
    const uint64_t *known = arg;

    return hi == known[0] && lo == known[1];
}

static void orphans_go_and_named_and_open_runs_stay(void **state)
{
    struct world *w = *state;
    struct manifest decoded;
    struct buf named, orphan, open_manifest = {0};
    struct object_put *open;
    uint64_t known[2];

    world_open(w, 0);
    named = put(w, 1, MIB, MIB);
    orphan = put(w, 2, MIB, MIB);
    open = write_bytes(w, 3, MIB, MIB);
    assert_int_equal(object_put_commit(open, &open_manifest, NULL), 0);
    assert_int_equal(manifest_decode(named.data, named.len, &decoded, NULL), 0);
    known[0] = decoded.id_hi;
    known[1] = decoded.id_lo;
    manifest_free(&decoded);
    clock_sleep_ms(3);
    assert_int_equal(object_collect_orphans(w->objects, known_is, known), 6);
    assert_int_equal(get(w, &named, 1, 0, MIB, NULL), 0);
    assert_int_equal(get(w, &orphan, 2, 0, MIB, NULL), ERR_UNAVAILABLE);
    assert_int_equal(get(w, &open_manifest, 3, 0, MIB, NULL), 0);
    object_put_close(open, 1);
    assert_int_equal(object_collect_orphans(w->objects, known_is, known), 6);
    world_close(w);
    buf_free(&named);
    buf_free(&orphan);
    buf_free(&open_manifest);
}

static void young_orphans_stay(void **state)
{
    struct world *w = *state;
    uint64_t none[2] = {0, 0};
    struct buf m;

    w->orphan_age_ms = 3600000;
    world_open(w, 0);
    m = put(w, 1, MIB, MIB);
    assert_int_equal(object_collect_orphans(w->objects, known_is, none), 0);
    assert_int_equal(get(w, &m, 1, 0, MIB, NULL), 0);
    world_close(w);
    buf_free(&m);
}

static void groups_that_do_not_fit_are_refused(void **state)
{
    struct world *w = *state;
    struct placement_group groups[3] = {{.id = 0, .policy = {.k = 4, .m = 2}},
                                        {.id = 1, .policy = {.k = 4, .m = 2}},
                                        {.id = 2, .policy = {.k = 4, .m = 2}}};
    struct object_store_options o;
    struct object_store *s = NULL;
    struct err err;

    world_open(w, 0);
    o = (struct object_store_options){.peers = w->peers,
                                      .pool = w->pool,
                                      .policy = {.k = 4, .m = 2},
                                      .groups = groups};
    assert_int_equal(object_store_open(&o, &s, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "there is no placement group");
    o.group_count = 2;
    groups[1].id = 7;
    assert_int_equal(object_store_open(&o, &s, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "placement group 7 stands in place 1");
    groups[1].id = 1;
    groups[0].policy.m = 1;
    assert_int_equal(object_store_open(&o, &s, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "placement group 0 is 4+1, not 4+2");
    groups[0].policy.m = 2;
    groups[1].policy = (struct ec_policy){6, 4, 2};
    o.group_count = 3; /* 4+2 on both sides of 6+2+2 */
    assert_int_equal(object_store_open(&o, &s, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "placement group 2 is 4+2, not 6+2+2");
    assert_null(s);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(every_pair_of_drives_lost_reads_byte_for_byte),
        TEST(three_drives_lost_is_an_error_and_not_wrong_bytes),
        TEST(ranges_at_random_are_the_bytes_that_were_put),
        TEST(bad_blocks_are_rebuilt_and_repaired),
        TEST(writes_go_on_with_a_drive_gone_and_verify_names_it),
        TEST(a_lost_quorum_refuses_and_leaves_nothing),
        TEST(an_abort_leaves_no_shard),
        TEST(a_deleted_run_leaves_no_shard),
        TEST(orphans_go_and_named_and_open_runs_stay),
        TEST(young_orphans_stay),
        TEST(groups_that_do_not_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
