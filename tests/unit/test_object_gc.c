/* test_object_gc.c: deleting, collecting orphans, verifying.
 *
 * Goal: a deleted run leaves nothing, and what a lost drive kept is collected;
 * an orphan is collected, and nothing else ever is: no run that is known, in
 * flight, or young (P4); verify reports exactly what was broken, and repairs.
 * Method: six fake disks; each defect is made by hand and looked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tests/lib/object_world.h"

static int setup(void **state)
{
    *state = world_new((struct ec_policy){.k = 4, .m = 2});
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static struct manifest decoded(const struct buf *b)
{
    struct manifest m;

    assert_int_equal(manifest_decode(b->data, b->len, &m, NULL), 0);
    return m;
}

/* ---- deleting ---- */

static void a_deleted_run_leaves_nothing_and_reads_as_lost(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0}, other = {0};

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 3 * MIB + 1, MIB, &manifest, NULL), 0);
    assert_int_equal(world_put(w, 2, 1000, MIB, &other, NULL), 0);
    assert_int_equal(world_shards(w), 3 * 6 + 3 + 3);
    assert_int_equal(
        object_delete(w->objects, manifest.data, manifest.len, NULL), 0);
    assert_int_equal(world_shards(w), 3);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), ERR_UNAVAILABLE);
    assert_int_equal(world_get_all(w, &other, 2, NULL), 0);
    assert_int_equal(
        object_delete(w->objects, manifest.data, manifest.len, NULL), 0);
    assert_int_equal(
        object_delete(w->objects, manifest.data, manifest.len - 1, NULL),
        ERR_CORRUPT);
    buf_free(&manifest);
    buf_free(&other);
    world_close(w);
}

/* ---- orphans ---- */

struct catalogue {
    struct manifest runs[16];
    unsigned count;
    unsigned asked;
    uint64_t refused_hi, refused_lo; /* must not be asked for */
};

static void remember(struct catalogue *c, const struct buf *manifest)
{
    c->runs[c->count++] = decoded(manifest);
}

static void forget_all(struct catalogue *c)
{
    while (c->count > 0) {
        manifest_free(&c->runs[--c->count]);
    }
}

static bool known(void *arg, uint64_t hi, uint64_t lo)
{
    struct catalogue *c = arg;

    c->asked++;
    assert_int_equal(lo & MANIFEST_CHUNK_LO_MASK, 0);
    assert_false(hi == c->refused_hi && lo == c->refused_lo);
    for (unsigned i = 0; i < c->count; i++) {
        if (c->runs[i].id_hi == hi && c->runs[i].id_lo == lo) {
            return true;
        }
    }
    return false;
}

static void what_a_lost_drive_kept_is_collected_when_it_is_back(void **state)
{
    struct world *w = *state;
    struct buf gone = {0}, stays = {0};
    struct catalogue c = {0};

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 2 * MIB, MIB, &gone, NULL), 0);
    assert_int_equal(world_put(w, 2, 2 * MIB, MIB, &stays, NULL), 0);
    remember(&c, &stays);
    world_reopen(w, 1u << 3);
    assert_int_equal(object_delete(w->objects, gone.data, gone.len, NULL), 0);
    world_reopen(w, 0);
    clock_sleep_ms(5); /* older than an age of 0 */
    assert_int_equal(world_shards(w), 12 + 2);
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 2);
    assert_int_equal(world_shards(w), 12);
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 0);
    assert_int_equal(world_get_all(w, &stays, 2, NULL), 0);
    forget_all(&c);
    buf_free(&gone);
    buf_free(&stays);
    world_close(w);
}

static void runs_in_flight_are_not_even_asked_for(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct catalogue c = {0};
    struct object_put *p;
    struct manifest m;

    world_open(w, 0);
    assert_int_equal(world_begin(w, 1, 2 * MIB, MIB, &p, NULL), 0);
    clock_sleep_ms(50);
    object_collect_orphans(w->objects, known, &c); /* while it is written */
    assert_int_equal(object_put_commit(p, &manifest, NULL), 0);
    m = decoded(&manifest);
    c.refused_hi = m.id_hi;
    c.refused_lo = m.id_lo;
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 0);
    assert_int_equal(c.asked, 0);
    assert_int_equal(world_shards(w), 12);
    object_put_close(p, 1);
    c.refused_hi = 0;
    remember(&c, &manifest);
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 0);
    assert_true(c.asked > 0);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    forget_all(&c);
    /* The catalogue lost it: now it goes. */
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 12);
    assert_int_equal(world_shards(w), 0);
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

static void orphans_that_are_young_stay(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct catalogue c = {0};

    w->options.orphan_age_ms = 3600000;
    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 0);
    assert_int_equal(c.asked, 0);
    assert_int_equal(world_shards(w), 6);
    buf_free(&manifest);
    world_close(w);
}

static atomic_ullong still_now = 1700000000000;

static uint64_t still_ms(void *data)
{
    (void)data;
    return atomic_load(&still_now);
}

static uint64_t real_us(void *data)
{
    struct timespec t;

    (void)data;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void real_sleep(void *data, uint64_t ms)
{
    (void)data;
    usleep((useconds_t)ms * 1000);
}

static void same_upper_halves(void *data, void *out, size_t len)
{
    static atomic_ullong count;
    uint64_t v = (atomic_fetch_add(&count, 1) + 1) << 24;

    (void)data;
    memset(out, 0, len);
    memcpy(out, &v, len < sizeof v ? len : sizeof v);
}

static void runs_of_one_moment_are_told_apart(void **state)
{
    static const struct clock_ops still = {still_ms, real_us, real_sleep, NULL};
    static const struct rng_ops rng = {same_upper_halves, NULL};
    struct world *w = *state;
    struct buf keep = {0}, drop = {0};
    struct catalogue c = {0};
    struct manifest m;

    clock_use(&still);
    rng_use(&rng);
    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 1000, MIB, &drop, NULL), 0);
    assert_int_equal(world_put(w, 2, 1000, MIB, &keep, NULL), 0);
    remember(&c, &keep);
    m = decoded(&drop);
    assert_int_equal(m.id_hi, c.runs[0].id_hi);
    assert_int_not_equal(m.id_lo, c.runs[0].id_lo);
    atomic_fetch_add(&still_now, 1000);
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 3);
    assert_int_equal(world_get_all(w, &keep, 2, NULL), 0);
    manifest_free(&m);
    forget_all(&c);
    buf_free(&keep);
    buf_free(&drop);
    world_close(w);
    clock_use(NULL);
    rng_use(NULL);
}

/* A run is shared by objects after a copy: the whole run, chunk by chunk. */
static void long_runs_are_judged_as_one(void **state)
{
    struct world *w = *state;
    struct buf keep = {0}, drop = {0};
    struct catalogue c = {0};
    struct object_store_stats stats;

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 500 * 4096, 4096, &keep, NULL), 0);
    assert_int_equal(world_put(w, 2, 500 * 4096, 4096, &drop, NULL), 0);
    remember(&c, &keep);
    clock_sleep_ms(5);
    assert_int_equal(object_collect_orphans(w->objects, known, &c), 1500);
    assert_in_range(c.asked, 2, 24); /* for each page of each drive */
    assert_int_equal(world_shards(w), 1500);
    assert_int_equal(world_get_all(w, &keep, 1, NULL), 0);
    object_store_stats(w->objects, &stats);
    assert_int_equal(stats.orphans_collected, 1500);
    forget_all(&c);
    buf_free(&keep);
    buf_free(&drop);
    world_close(w);
}

struct putter {
    struct world *w;
    pthread_mutex_t mutex;
    struct catalogue c;
    bool stop;
};

static bool known_to_putter(void *arg, uint64_t hi, uint64_t lo)
{
    struct putter *p = arg;
    bool found;

    pthread_mutex_lock(&p->mutex);
    found = known(&p->c, hi, lo);
    pthread_mutex_unlock(&p->mutex);
    return found;
}

static void *collect_all_the_time(void *arg)
{
    struct putter *p = arg;

    while (!__atomic_load_n(&p->stop, __ATOMIC_SEQ_CST)) {
        object_collect_orphans(p->w->objects, known_to_putter, p);
    }
    return NULL;
}

/* With an age of nothing, only the order list, in flight, known protects. */
static void collecting_all_the_time_takes_nothing_that_was_put(void **state)
{
    struct putter p = {.w = *state, .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct buf manifests[16] = {{0}};
    pthread_t thread;

    world_open(p.w, 0);
    assert_int_equal(pthread_create(&thread, NULL, collect_all_the_time, &p),
                     0);
    for (uint64_t i = 0; i < 16; i++) {
        struct object_put *put;
        assert_int_equal(world_begin(p.w, i, 300000, 65536, &put, NULL), 0);
        assert_int_equal(object_put_commit(put, &manifests[i], NULL), 0);
        pthread_mutex_lock(&p.mutex); /* the catalogue has it, then close */
        remember(&p.c, &manifests[i]);
        pthread_mutex_unlock(&p.mutex);
        object_put_close(put, 1);
    }
    __atomic_store_n(&p.stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    for (uint64_t i = 0; i < 16; i++) {
        assert_int_equal(world_defects(p.w, &manifests[i]), 0);
        assert_int_equal(world_get_all(p.w, &manifests[i], i, NULL), 0);
        buf_free(&manifests[i]);
    }
    forget_all(&p.c);
    world_close(p.w);
}

/* ---- verifying ---- */

struct findings {
    unsigned count[5]; /* by defect */
    struct shard_key key;
    uint16_t drive;
    char why[ERR_TEXT_SIZE];
};

static void note(void *arg, enum object_defect defect,
                 const struct shard_key *key, uint16_t drive, const char *why)
{
    struct findings *f = arg;

    f->count[defect]++;
    if (key != NULL) {
        f->key = *key;
    }
    f->drive = drive;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static struct findings verify(struct world *w, const struct buf *manifest,
                              bool repair, uint64_t expected)
{
    struct findings f = {.drive = 0};

    assert_int_equal(object_verify(w->objects, manifest->data, manifest->len,
                                   repair, note, &f),
                     expected);
    return f;
}

static void verify_names_each_defect_and_repairs_it(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 2 * MIB + 70000, MIB, &manifest, NULL), 0);
    m = decoded(&manifest);
    verify(w, &manifest, false, 0);
    for (uint32_t chunk = 0; chunk < 3; chunk++) {
        for (unsigned slot = 0; slot < 6; slot++) {
            struct shard_key key = manifest_shard(&m, chunk, slot);
            uint16_t drive = world_drive_of(w, &m, slot);
            struct findings f;
            if (chunk == 2 && slot >= 2 && slot < 4) {
                continue; /* two pieces: those slots are empty */
            }
            assert_int_equal(shard_delete_wait(w->stores[drive], key, NULL), 0);
            f = verify(w, &manifest, false, 1);
            assert_int_equal(f.count[OBJECT_SHARD_MISSING], 1);
            assert_int_equal(f.drive, drive);
            assert_memory_equal(&f.key.hi, &key.hi, sizeof key.hi);
            assert_int_equal(f.key.lo, key.lo);
            assert_int_equal(f.key.slot, slot);
            verify(w, &manifest, true, 1);
            verify(w, &manifest, false, 0);
            world_await_repairs(w);

            world_damage(w, drive, key, 20000);
            f = verify(w, &manifest, false, 1);
            assert_int_equal(f.count[OBJECT_SHARD_CORRUPT], 1);
            assert_int_equal(f.drive, drive);
            assert_int_equal(f.key.lo, key.lo);
            assert_int_equal(f.key.slot, slot);
            assert_non_null(strstr(f.why, "checksum"));
            verify(w, &manifest, true, 1);
            verify(w, &manifest, false, 0);
            world_await_repairs(w);
        }
    }
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

static void verify_tells_a_lost_chunk_from_a_rebuildable_one(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;
    struct findings f;

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 2 * MIB, MIB, &manifest, NULL), 0);
    m = decoded(&manifest);
    for (unsigned slot = 0; slot < 3; slot++) {
        shard_delete_wait(w->stores[world_drive_of(w, &m, slot)],
                          manifest_shard(&m, 1, slot), NULL);
        f = verify(w, &manifest, false, slot + 1 + (slot == 2));
        assert_int_equal(f.count[OBJECT_SHARD_MISSING], slot + 1);
        assert_int_equal(f.count[OBJECT_CHUNK_LOST], slot == 2);
    }
    f = verify(w, &manifest, true, 4); /* cannot, and does not crash */
    f = verify(w, &manifest, false, 4);
    assert_int_equal(f.count[OBJECT_CHUNK_LOST], 1);
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

static void verify_tells_drives_that_do_not_answer(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct findings f;

    w->options.get_timeout_ms = 2000;
    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    world_hold_reads(1u << 2);
    f = verify(w, &manifest, false, 1);
    assert_int_equal(f.count[OBJECT_SHARD_UNREADABLE], 1);
    assert_int_equal(f.drive, 2);
    assert_string_equal(f.why, "drive 2 does not answer");
    world_hold_reads(0);
    world_reopen(w, 1u << 4);
    f = verify(w, &manifest, false, 1);
    assert_int_equal(f.count[OBJECT_SHARD_UNREADABLE], 1);
    assert_int_equal(f.drive, 4);
    assert_string_equal(f.why, "drive 4 is not known here");
    world_reopen(w, 0);
    verify(w, &manifest, false, 0);
    manifest.len--;
    f = verify(w, &manifest, false, 1);
    assert_int_equal(f.count[OBJECT_MANIFEST_BAD], 1);
    buf_free(&manifest);
    world_close(w);
}

/* A drive was replaced by an empty one: verify with repair fills it. */
static void verify_fills_an_empty_drive(void **state)
{
    struct world *w = *state;
    struct buf manifests[8] = {{0}};

    world_open(w, 0);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(
            world_put(w, i, 1 + i * 200000, MIB, &manifests[i], NULL), 0);
    }
    world_close(w);
    fake_disk_wipe(w->disks[0]);
    fake_disk_wipe(w->disks[1]);
    world_open(w, 0);
    for (uint64_t i = 0; i < 8; i++) {
        struct findings f = {.drive = 0};
        object_verify(w->objects, manifests[i].data, manifests[i].len, true,
                      note, &f);
        assert_int_equal(f.count[OBJECT_CHUNK_LOST], 0);
        verify(w, &manifests[i], false, 0);
    }
    world_reopen(w, 0x0c); /* now others may be lost */
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
        buf_free(&manifests[i]);
    }
    world_close(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_deleted_run_leaves_nothing_and_reads_as_lost),
        TEST(what_a_lost_drive_kept_is_collected_when_it_is_back),
        TEST(runs_in_flight_are_not_even_asked_for),
        TEST(orphans_that_are_young_stay),
        TEST(runs_of_one_moment_are_told_apart),
        TEST(long_runs_are_judged_as_one),
        TEST(collecting_all_the_time_takes_nothing_that_was_put),
        TEST(verify_names_each_defect_and_repairs_it),
        TEST(verify_tells_a_lost_chunk_from_a_rebuildable_one),
        TEST(verify_tells_drives_that_do_not_answer),
        TEST(verify_fills_an_empty_drive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
