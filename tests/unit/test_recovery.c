/* Goal: whatever the moment at which power goes or a call of the disk fails,
 * an acknowledged put is there afterwards, byte for byte, nothing shows wrong
 * bytes, and the drive comes up again.
 *
 * Method: random histories of puts and deletes of a few keys against a disk in
 * memory, several in flight, with segments of 1 MiB so that compaction and
 * reuse take part. Each version of a shard carries its number, so that after
 * a crash what is read tells which put it is; a model keeps what may be there.
 * Then sweeps: let the nth call fail, for n = 0, 1, ... until none fails.
 * GODWIT_SEEDS=n runs n histories and every n of the sweeps, of which else
 * some are left out; GODWIT_SEED=n begins there. A failure names its seed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/recovery.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#define KEYS 24
#define VERSIONS_MAX 4096
#define FLIGHT 8
#define LENGTH_MAX 220000u

struct key_model {
    uint32_t versions;  /* given so far; a version is a number from 1 */
    uint32_t acked;     /* the last put that was acknowledged; 0: none */
    bool deleted_since; /* a delete was asked for after that put */
    uint32_t length[VERSIONS_MAX];
};

struct op {
    struct shard_wait wait;
    unsigned key;
    uint32_t version; /* 0: a delete */
    uint8_t *data;
    bool busy;
};

struct history {
    struct fake_disk *disk;
    struct shard_store *store;
    uint64_t seed;
    uint64_t random;
    struct key_model keys[KEYS];
    struct op ops[FLIGHT];
    uint8_t *out;
};

static uint64_t draw(struct history *h)
{
    h->random ^= h->random << 13;
    h->random ^= h->random >> 7;
    h->random ^= h->random << 17;
    return h->random;
}

static struct shard_key key_of(unsigned i)
{
    return (struct shard_key){
        .hi = i / 4, .lo = i % 4 * 1000, .slot = (uint8_t)(i % 3)};
}

static void fill(uint8_t *p, unsigned key, uint32_t version, uint32_t length)
{
    uint64_t x = key * 0x9e3779b97f4a7c15u + version * 0xbf58476d1ce4e5b9u + 1;

    for (uint32_t i = 0; i < length; i += 8) {
        uint32_t n = length - i < 8 ? length - i : 8;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(p + i, &x, n);
    }
    memcpy(p, &version, sizeof version);
}

static uint32_t draw_length(struct history *h)
{
    static const uint32_t some[] = {8,     100,   4000,  4036,  4037,
                                    8132,  30000, 32767, 32768, 65536,
                                    65537, 90000, 131072};
    if (draw(h) % 8 == 0) {
        return (uint32_t)(8 + draw(h) % (LENGTH_MAX - 8));
    }
    return some[draw(h) % (sizeof some / sizeof some[0])];
}

/* The operation is done: the model learns what must be there. Operations are
 * awaited in the order asked. */
static void settle(struct history *h, struct op *op)
{
    struct key_model *k = &h->keys[op->key];
    int status;

    if (!op->busy) {
        return;
    }
    status = shard_wait_for(&op->wait, NULL);
    op->busy = false;
    if (status == 0 && op->version > k->acked) {
        k->acked = op->version;
        k->deleted_since = false;
        for (unsigned i = 0; i < FLIGHT; i++) { /* asked for after it */
            struct op *other = &h->ops[i];
            k->deleted_since |= other->busy && other->key == op->key &&
                                other->version == 0 &&
                                other->wait.del.turn > op->wait.put.turn;
        }
    }
}

static void ask(struct history *h, struct op *op)
{
    struct key_model *k;
    uint32_t length;

    settle(h, op);
    op->key = (unsigned)(draw(h) % KEYS);
    k = &h->keys[op->key];
    op->busy = true;
    if (draw(h) % 4 == 0) {
        op->version = 0;
        k->deleted_since = true;
        shard_wait_init(&op->wait);
        op->wait.del.key = key_of(op->key);
        op->wait.del.done = shard_wait_delete_done;
        shard_store_delete(h->store, &op->wait.del);
        return;
    }
    length = draw_length(h);
    op->version = ++k->versions;
    assert_true(op->version < VERSIONS_MAX);
    k->length[op->version] = length;
    fill(op->data, op->key, op->version, length);
    shard_put_begin(h->store, &op->wait, key_of(op->key), op->data, length);
}

static void settle_all(struct history *h)
{
    for (;;) { /* in the order asked */
        struct op *first = NULL;
        for (unsigned i = 0; i < FLIGHT; i++) {
            struct op *op = &h->ops[i];
            uint64_t turn = op->version ? op->wait.put.turn : op->wait.del.turn;
            if (op->busy && (first == NULL ||
                             turn < (first->version ? first->wait.put.turn
                                                    : first->wait.del.turn))) {
                first = op;
            }
        }
        if (first == NULL) {
            return;
        }
        settle(h, first);
    }
}

static void open_store(struct history *h)
{
    struct shard_store_options o = {
        .path = "fake",
        .drive = 3,
        .segment_bytes = SEGMENT_BYTES_MIN,
        .ops = fake_disk_ops(h->disk),
        .reader_threads = 1,
        .bulk_bytes = h->seed % 2, /* 1: nothing is zeroed */
    };
    struct err err;

    memcpy(o.cluster, "cluster.cluster.", 16);
    assert_int_equal(shard_store_open(&o, &h->store, &err), 0);
}

#define FAIL(h, ...)                                               \
    do {                                                           \
        print_error("seed %llu: ", (unsigned long long)(h)->seed); \
        print_error(__VA_ARGS__);                                  \
        fail();                                                    \
    } while (0)

/* Read all of a shard; ERR_NOT_FOUND when there is none. */
static int read_shard(struct history *h, unsigned key, struct shard_info *info,
                      struct err *err)
{
    const struct shard_key k = key_of(key);

    if (!shard_store_stat(h->store, &k, info)) {
        return err_set(err, ERR_NOT_FOUND, "no such shard");
    }
    return shard_get_wait(h->store, k, 0, info->length, h->out, err);
}

/* Which version the store shows; 0: none. Its bytes must be right. */
static uint32_t shown(struct history *h, unsigned key)
{
    static uint8_t want[LENGTH_MAX];
    struct key_model *k = &h->keys[key];
    struct shard_info info;
    struct err err = {{0}};
    uint32_t version;
    int status = read_shard(h, key, &info, &err);

    if (status == ERR_NOT_FOUND || status == ERR_IO) {
        /* A call that failed before the faults ended may be about to take the
         * drive down; it comes up again. */
        assert_true(shard_wait_state(h->store, DRIVE_UP, NULL));
        status = read_shard(h, key, &info, &err);
    }
    if (status == ERR_NOT_FOUND) {
        return 0;
    }
    if (status == ERR_CORRUPT) {
        return UINT32_MAX;
    }
    if (status != 0) {
        FAIL(h, "key %u: %s: %s\n", key, err_name(status), err.text);
    }
    memcpy(&version, h->out, sizeof version);
    if (version == 0 || version > k->versions ||
        k->length[version] != info.length) {
        FAIL(h, "key %u: not a version that was written\n", key);
    }
    fill(want, key, version, info.length);
    if (memcmp(want, h->out, info.length) != 0) {
        FAIL(h, "key %u: wrong bytes of version %u\n", key, version);
    }
    return version;
}

/* Compare with the model, which then takes what is there as its base. */
static void check(struct history *h)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct key_model *k = &h->keys[i];
        uint32_t version = shown(h, i);
        bool must = k->acked > 0 && !k->deleted_since;
        if (must && version == 0) {
            FAIL(h, "key %u: version %u is lost\n", i, k->acked);
        }
        if (must && version == UINT32_MAX) {
            FAIL(h, "key %u: version %u is damaged\n", i, k->acked);
        }
        if (must && version < k->acked) {
            FAIL(h, "key %u: version %u came back for %u\n", i, version,
                 k->acked);
        }
        k->acked = version == UINT32_MAX ? 0 : version;
        k->deleted_since = version == 0;
    }
}

static void check_up(struct history *h)
{
    struct shard_store_stats stats;

    shard_store_stats(h->store, &stats);
    if (stats.state != DRIVE_UP) {
        FAIL(h, "did not come up: %s\n", stats.reason);
    }
}

static void history_init(struct history *h, uint64_t seed)
{
    memset(h, 0, sizeof *h);
    h->seed = seed;
    h->random = seed * 0x9e3779b97f4a7c15u + 99;
    h->disk = fake_disk_new(seed);
    h->out = mem_pages(LENGTH_MAX);
    for (unsigned i = 0; i < FLIGHT; i++) {
        h->ops[i].data = mem_pages(LENGTH_MAX);
    }
}

static void history_close(struct history *h)
{
    for (unsigned i = 0; i < FLIGHT; i++) {
        mem_pages_free(h->ops[i].data, LENGTH_MAX);
    }
    mem_pages_free(h->out, LENGTH_MAX);
    fake_disk_free(h->disk);
}

static void run_history(struct history *h)
{
    unsigned rounds = 4 + (unsigned)(draw(h) % 5);

    open_store(h);
    for (unsigned round = 0; round < rounds; round++) {
        unsigned count = (unsigned)(draw(h) % 150);
        bool cut = draw(h) % 8 != 0;
        if (cut) {
            fake_disk_cut_at(h->disk, (long)(draw(h) % 300));
        }
        for (unsigned i = 0; i < count; i++) {
            ask(h, &h->ops[i % FLIGHT]);
            if (draw(h) % 40 == 0) {
                shard_store_compact_now(h->store);
            }
        }
        if (draw(h) % 2 == 0) { /* else what is in flight is cut off */
            settle_all(h);
        }
        if (cut) {
            fake_disk_cut_at(h->disk, 0);
        }
        settle_all(h);
        shard_store_close(h->store);
        if (draw(h) % 3 == 0) {
            fake_disk_process_end(h->disk);
        } else {
            fake_disk_power_on(h->disk);
        }
        open_store(h);
        check_up(h);
        check(h);
    }
    shard_store_close(h->store);
    open_store(h);
    check(h);
    shard_store_close(h->store);
}

static void a_power_cut_loses_nothing_acknowledged(void **state)
{
    const char *more = getenv("GODWIT_SEEDS");
    const char *first = getenv("GODWIT_SEED");
    uint64_t begin = first != NULL ? strtoull(first, NULL, 10) : 1;
    uint64_t seeds = more != NULL ? strtoull(more, NULL, 10) : 40;
    static struct history h;

    (void)state;
    for (uint64_t seed = begin; seed < begin + seeds; seed++) {
        history_init(&h, seed);
        run_history(&h);
        history_close(&h);
    }
}

/* Everything once, in a fixed order; true when the fault was reached. */
static bool run_with_fault(struct history *h, long n, int code, bool sticky)
{
    long before;

    fake_disk_fail(h->disk, n, code, sticky);
    before = fake_disk_calls(h->disk);
    open_store(h);
    for (unsigned i = 0; i < 70; i++) {
        ask(h, &h->ops[i % FLIGHT]);
        if (i % 32 == 31) {
            settle_all(h);
            shard_store_compact_now(h->store);
        }
    }
    settle_all(h);
    fake_disk_fail(h->disk, -1, 0, false);
    if (!shard_wait_state(h->store, DRIVE_UP, NULL)) {
        FAIL(h, "call %ld: does not come up again\n", n);
    }
    check(h);
    shard_store_close(h->store);
    open_store(h);
    check_up(h);
    check(h);
    shard_store_close(h->store);
    return fake_disk_calls(h->disk) - before > n;
}

static void sweep(int code, bool sticky, long step)
{
    static struct history h;
    bool reached = true;

    if (getenv("GODWIT_SEEDS") != NULL) {
        step = 1;
    }
    for (long n = 0; reached && n < 400; n += step) {
        history_init(&h, 77 + (uint64_t)n);
        reached = run_with_fault(&h, n, code, sticky);
        history_close(&h);
    }
}

static void any_one_call_may_fail(void **state)
{
    (void)state;
    sweep(ERR_IO, false, 2);
}

static void any_one_call_may_find_the_disk_full(void **state)
{
    (void)state;
    sweep(ERR_FULL, false, 5);
}

static void the_disk_may_stay_full_from_any_call_on(void **state)
{
    (void)state;
    sweep(ERR_FULL, true, 50);
}

static void quiet(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_loses_nothing_acknowledged),
        cmocka_unit_test(any_one_call_may_fail),
        cmocka_unit_test(any_one_call_may_find_the_disk_full),
        cmocka_unit_test(the_disk_may_stay_full_from_any_call_on),
    };

    log_capture(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
