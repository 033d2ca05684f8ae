/* test_spool.c: objects outlive the power.
 *
 * Goal: what was committed is there after any power cut, byte for byte; a start
 * is never blocked; bounds and policies hold. Method: a disk in memory behind
 * the seam that knows which 512-byte sectors were synced; power is cut in every
 * call of a script, and unsynced sectors are kept or lost by a seed, as are
 * unsynced sizes and names. Objects have contents that follow from their key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "edge-agent/spool.h"
#include "edge-agent/spool_index.h"
#include "tests/lib/temp_dir.h"

#define SECTOR 512
#define FILES 12 /* segments 0 to 10, and the cursor */
#define FILE_SIZE SPOOL_SEGMENT
#define NUMBERS 4000 /* keys of the torture */

/* ---- the disk in memory ---- */

struct sim_file {
    bool exists, name_safe;
    uint64_t size, safe_size;
    uint8_t *now, *safe;
    uint8_t dirty[FILE_SIZE / SECTOR];
};

struct sim {
    struct sim_file files[FILES];
    uint64_t random;
    long calls, cut_at, fail_at;
    long footers; /* to be written until the power is cut, unsynced; or -1 */
    bool cut;
    uint64_t size_max; /* of all files: then ERR_FULL */
};

static uint64_t draw(struct sim *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random * 0x2545f4914f6cdd1dull;
}

static int sim_call(struct sim *m, struct err *err)
{
    if (m->cut || m->calls == m->cut_at) {
        m->cut = true;
        return err_set(err, ERR_IO, "the power is cut");
    }
    return m->calls++ == m->fail_at ? err_set(err, ERR_IO, "once") : 0;
}

static int sim_open(void *data, uint32_t number, bool create, int *file,
                    struct err *err)
{
    struct sim *m = data;
    uint32_t i = number == SPOOL_CURSOR_FILE ? FILES - 1 : number;
    int code = sim_call(m, err);

    assert_true(i < FILES);
    if (code != 0) {
        return code;
    }
    if (!m->files[i].exists) {
        if (!create) {
            return err_set(err, ERR_NOT_FOUND, "no file %u", number);
        }
        m->files[i].exists = true;
    }
    *file = (int)i;
    return 0;
}

static void sim_close(void *data, int file)
{
    (void)data;
    (void)file;
}

static int sim_size(void *data, int file, uint64_t *out, struct err *err)
{
    struct sim *m = data;

    (void)err;
    *out = m->files[file].size;
    return 0;
}

static int sim_read(void *data, int file, uint64_t at, void *p, size_t len,
                    struct err *err)
{
    struct sim *m = data;

    if (m->cut || at + len > m->files[file].size) {
        return err_set(err, m->cut ? ERR_IO : ERR_CORRUPT, "read");
    }
    memcpy(p, m->files[file].now + at, len);
    return 0;
}

/* When the power goes in a write, any part of it may have been done. */
static int sim_write(void *data, int file, uint64_t at, const void *p,
                     size_t len, struct err *err)
{
    struct sim *m = data;
    struct sim_file *f = &m->files[file];
    bool before = m->cut;
    int code = sim_call(m, err);
    uint64_t all = 0;

    if (code != 0 && (before || !m->cut)) {
        return code;
    }
    for (int i = 0; i < FILES; i++) {
        all += m->files[i].size;
    }
    if (m->size_max > 0 && at + len > f->size && all + len > m->size_max) {
        return err_set(err, ERR_FULL, "no space left");
    }
    assert_true(at % SECTOR == 0 && at + len <= FILE_SIZE);
    memcpy(f->now + at, p, len);
    for (uint64_t i = at / SECTOR; i < (at + len + SECTOR - 1) / SECTOR; i++) {
        f->dirty[i] = 1;
    }
    if (f->size == FILE_SIZE && at + len == FILE_SIZE && m->footers >= 0 &&
        m->footers-- == 0) {
        m->cut = true;
    }
    f->size = f->size > at + len ? f->size : at + len;
    return code;
}

static int sim_sync(void *data, int file, struct err *err)
{
    struct sim *m = data;
    struct sim_file *f = &m->files[file];
    int code = sim_call(m, err);

    if (code != 0) {
        return code;
    }
    for (size_t i = 0; i < FILE_SIZE / SECTOR; i++) {
        if (f->dirty[i]) {
            memcpy(f->safe + i * SECTOR, f->now + i * SECTOR, SECTOR);
        }
    }
    memset(f->dirty, 0, sizeof f->dirty);
    f->safe_size = f->size;
    return 0;
}

static int sim_sync_dir(void *data, struct err *err)
{
    struct sim *m = data;
    int code = sim_call(m, err);

    for (int i = 0; code == 0 && i < FILES; i++) {
        m->files[i].name_safe = m->files[i].exists;
    }
    return code;
}

static int sim_segments(void *data, uint32_t *count, struct err *err)
{
    struct sim *m = data;

    (void)err;
    *count = 0;
    for (uint32_t i = 0; i < FILES - 1; i++) {
        if (m->files[i].exists) {
            *count = i + 1;
        }
    }
    return 0;
}

static struct sim *sim_new(uint64_t seed)
{
    struct sim *m = mem_alloc(sizeof *m);

    m->random = seed * 0x9e3779b97f4a7c15ull + 1;
    m->cut_at = m->fail_at = m->footers = -1;
    for (int i = 0; i < FILES; i++) {
        m->files[i].now = mem_calloc(1, FILE_SIZE);
        m->files[i].safe = mem_calloc(1, FILE_SIZE);
    }
    return m;
}

static void sim_free(struct sim *m)
{
    for (int i = 0; i < FILES; i++) {
        free(m->files[i].now);
        free(m->files[i].safe);
    }
    free(m);
}

/* Each unsynced sector is kept or lost; so are sizes and names. */
static void sim_power_on(struct sim *m)
{
    for (int n = 0; n < FILES; n++) {
        struct sim_file *f = &m->files[n];
        unsigned mode = draw(m) % 4; /* all lost, all kept, each by chance */
        if (f->exists && !f->name_safe && mode != 1) {
            f->exists = f->name_safe = false;
            f->size = f->safe_size = 0;
            memset(f->now, 0, FILE_SIZE);
            memset(f->safe, 0, FILE_SIZE);
            memset(f->dirty, 0, sizeof f->dirty);
            continue;
        }
        for (size_t i = 0; i < FILE_SIZE / SECTOR; i++) {
            if (f->dirty[i] && (mode == 0 || (mode > 1 && draw(m) % 2 == 0))) {
                memcpy(f->now + i * SECTOR, f->safe + i * SECTOR, SECTOR);
            }
        }
        if (mode == 0 || (mode > 1 && draw(m) % 2 == 0)) {
            f->size = f->safe_size;
            memset(f->now + f->size, 0, FILE_SIZE - f->size);
        }
        memcpy(f->safe, f->now, FILE_SIZE);
        memset(f->dirty, 0, sizeof f->dirty);
        f->safe_size = f->size;
        f->name_safe = f->exists;
    }
    m->cut = false;
    m->cut_at = m->fail_at = m->footers = -1;
    m->calls = 0;
}

static struct spool_disk sim_disk(struct sim *m)
{
    return (struct spool_disk){
        .data = m,
        .open = sim_open,
        .close = sim_close,
        .size = sim_size,
        .read = sim_read,
        .write = sim_write,
        .sync = sim_sync,
        .sync_dir = sim_sync_dir,
        .segments = sim_segments,
    };
}

/* ---- objects ---- */

enum fate { NEVER, SENT, ACKED, DROPPED, SAVED };

/* What must be there. */
struct world {
    struct sim *sim;
    struct spool *spool;
    struct spool_options options;
    enum fate fates[NUMBERS];
    uint64_t ids[NUMBERS];
    uint32_t next;
    uint32_t waiting[1024];
    size_t waiting_count;
    unsigned sheds;
};

static uint8_t byte_of(uint32_t number, size_t i)
{
    return (uint8_t)((number * 2654435761u + i * 40503u) >> 7);
}

static bool in_parts(uint32_t number)
{
    return number % 13 == 5;
}

static size_t size_of(uint32_t number)
{
    return in_parts(number) ? 100000 + number * 31 % 90000
                            : number * 7919 % 3000;
}

static void fill(uint32_t number, size_t from, uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = byte_of(number, from + i);
    }
}

static void committed(void *arg, int code, const char *why)
{
    struct world *w = arg;

    assert_true(code == 0 || *why != '\0');
    for (size_t i = 0; i < w->waiting_count; i++) {
        w->fates[w->waiting[i]] = code == 0 ? ACKED : SENT;
    }
    w->waiting_count = 0;
}

static void shed(void *arg, const struct spool_object *o, const char *why)
{
    struct world *w = arg;

    assert_string_equal(why, "room");
    assert_true(o->id > 0);
    w->sheds++;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        if (w->ids[i] == o->id && w->fates[i] == ACKED) {
            w->fates[i] = DROPPED;
        }
    }
}

static int new_segment(void *arg, uint64_t sequence, uint8_t *header,
                       size_t *len, struct err *err)
{
    (void)arg;
    (void)err;
    *len = (size_t)snprintf((char *)header, SPOOL_HEADER_MAX, "seal %llu",
                            (unsigned long long)sequence);
    return 0;
}

static struct spool_object object_of(uint32_t number, char *key)
{
    int len = snprintf(key, 32, "obj/%u", number);

    return (struct spool_object){
        .kind = SPOOL_OBJECT,
        .class_id = (uint8_t)(number % SPOOL_CLASSES),
        .time_ms = 1000 + number,
        .plain_size = size_of(number),
        .link = number,
        .key = key,
        .key_len = (uint16_t)len,
        .meta = (const uint8_t *)"meta",
        .meta_len = 4,
    };
}

static int put_parts(struct world *w, uint32_t number, uint64_t *id,
                     struct err *err)
{
    struct spool_upload u = {0};
    char key[32];
    struct spool_object o = object_of(number, key);
    size_t size = size_of(number);
    int code = 0;

    for (size_t at = 0; at < size && code == 0;) {
        size_t len = size - at < 65000 ? size - at : 65000;
        uint8_t *p;
        code = spool_part_begin(w->spool, &u, len, o.class_id, &p, err);
        if (code == 0) {
            fill(number, at, p, len);
            spool_part_end(w->spool, &u);
            at += len;
        }
    }
    if (code == 0) {
        code = spool_finish(w->spool, &u, &o, id, err);
    }
    if (code != 0) {
        spool_abort(w->spool, &u);
    }
    return code;
}

static int put(struct world *w, uint32_t number, struct err *err)
{
    char key[32];
    struct spool_object o = object_of(number, key);
    uint64_t id;
    uint8_t *p;
    int code;

    if (in_parts(number)) {
        code = put_parts(w, number, &id, err);
    } else {
        code = spool_begin(w->spool, o.key_len, o.meta_len, size_of(number),
                           o.class_id, &p, err);
        if (code == 0) {
            fill(number, 0, p, size_of(number));
            spool_end(w->spool, &o, &id);
        }
    }
    if (code == 0) {
        w->fates[number] = SENT;
        w->ids[number] = id;
        w->waiting[w->waiting_count++] = number;
    }
    return code;
}

static void check_object(struct world *w, uint64_t id, uint32_t *number)
{
    struct spool_object o;
    struct buf text = {0}, payload = {0}, header = {0};
    struct err err = {{0}};
    uint64_t n, sequence;
    char want[32];

    if (spool_get(w->spool, id, &o, &text, &err) != 0 ||
        spool_payload(w->spool, id, 1 << 20, &payload, &err) != 0 ||
        spool_segment_of(w->spool, id, &sequence, &header, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_true(text_u64_n(o.key + 4, o.key_len - 4u, &n) && n < NUMBERS);
    assert_int_equal(payload.len, size_of((uint32_t)n));
    assert_int_equal(o.stored_size, payload.len);
    assert_int_equal(o.meta_len, 4);
    assert_memory_equal(o.meta, "meta", 4);
    for (size_t i = 0; i < payload.len; i++) {
        if (payload.data[i] != byte_of((uint32_t)n, i)) {
            fail_msg("object %u differs at %zu", (unsigned)n, i);
        }
    }
    snprintf(want, sizeof want, "seal %llu", (unsigned long long)sequence);
    assert_string_equal((char *)header.data, want);
    *number = (uint32_t)n;
    buf_free(&text);
    buf_free(&payload);
    buf_free(&header);
}

static void world_open(struct world *w)
{
    struct spool_disk disk = sim_disk(w->sim);
    struct err err = {{0}};

    if (spool_open(&disk, &w->options, &w->spool, &err) != 0) {
        fail_msg("a start is blocked: %s", err.text);
    }
}

static void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.sim = sim_new(seed)};
    w->options = (struct spool_options){
        .max_bytes = 8 * SPOOL_SEGMENT,
        .max_objects = 100000,
        .when_full = SPOOL_REFUSE,
        .new_segment = new_segment,
        .committed = committed,
        .shed = shed,
        .arg = w,
    };
}

static void world_close(struct world *w)
{
    spool_close(w->spool);
    sim_free(w->sim);
}

/* All that is acknowledged and not dropped is there; what else is there is
 * whole. */
static void world_check(struct world *w, bool all)
{
    static bool seen[NUMBERS];
    uint32_t number;

    memset(seen, 0, sizeof seen);
    for (uint64_t id = 0; (id = spool_next(w->spool, id)) != 0;) {
        check_object(w, id, &number);
        assert_false(seen[number]);
        seen[number] = true;
        assert_int_not_equal(w->fates[number], NEVER);
        assert_int_not_equal(w->fates[number], SAVED);
        if (w->fates[number] == SENT) {
            w->fates[number] = ACKED; /* it made it; from now on it counts */
        }
        w->ids[number] = id;
    }
    for (uint32_t i = 0; all && i < NUMBERS; i++) {
        if (w->fates[i] == ACKED && !seen[i]) {
            fail_msg("acknowledged object %u is lost", i);
        }
    }
}

static void restart(struct world *w)
{
    spool_close(w->spool);
    w->waiting_count = 0;
    sim_power_on(w->sim);
    world_open(w);
    world_check(w, true);
}

/* Deliver the @count oldest. */
static void deliver(struct world *w, size_t count, bool save)
{
    for (size_t n = 0; n < count; n++) {
        uint64_t id = spool_next(w->spool, 0);
        if (id == 0) {
            break;
        }
        for (uint32_t i = 0; i < NUMBERS; i++) {
            if (w->ids[i] == id && w->fates[i] == ACKED) {
                w->fates[i] = DROPPED;
            }
        }
        spool_drop(w->spool, id, SPOOL_DELIVERED);
    }
    if (save && spool_save(w->spool, NULL) == 0) {
        for (uint32_t i = 0; i < NUMBERS; i++) {
            w->fates[i] = w->fates[i] == DROPPED ? SAVED : w->fates[i];
        }
    }
}

/* A round: some puts, then a commit; now and then deliveries. */
static void step(struct world *w)
{
    size_t puts = 1 + draw(w->sim) % 12;

    for (size_t i = 0; i < puts && w->next < NUMBERS; i++) {
        uint32_t number = w->next++;
        if (put(w, number, NULL) != 0 && w->sim->cut) {
            w->fates[number] = SENT;
            return;
        }
    }
    (void)spool_commit(w->spool, NULL);
    if (draw(w->sim) % 6 == 0) {
        deliver(w, draw(w->sim) % 60, draw(w->sim) % 4 != 0);
    }
}

/* ---- tests ---- */

static void power_may_go_in_any_call(void **state)
{
    (void)state;
    for (long n = 0; n < 200; n++) {
        struct world *w = mem_alloc(sizeof *w);
        world_init(w, 7);
        world_open(w);
        w->sim->cut_at = n;
        while (!w->sim->cut && w->next < 400) {
            step(w);
        }
        w->sim->random += (uint64_t)n;
        restart(w);
        world_close(w);
        free(w);
    }
}

static void power_may_go_again_and_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct world *w = mem_alloc(sizeof *w);
        world_init(w, seed);
        world_open(w);
        for (int cycle = 0; cycle < 12; cycle++) {
            w->sim->cut_at = w->sim->calls + (long)(draw(w->sim) % 90);
            while (!w->sim->cut && w->next < NUMBERS) {
                step(w);
            }
            w->sim->cut = true;
            restart(w);
            /* Room again, as a gateway would make it. */
            deliver(w, 300, true);
        }
        world_close(w);
        free(w);
    }
}

/* Also while it starts, also while it starts again. */
static void power_may_go_while_it_starts(void **state)
{
    (void)state;
    for (long n = 0; n < 12; n++) {
        struct world *w = mem_alloc(sizeof *w);
        struct spool_disk disk;
        world_init(w, (uint64_t)n + 3);
        disk = sim_disk(w->sim);
        w->sim->cut_at = n;
        if (spool_open(&disk, &w->options, &w->spool, NULL) == 0) {
            step(w);
        } else {
            w->spool = NULL;
        }
        w->sim->cut = true;
        restart(w);
        for (int i = 0; i < 20; i++) {
            step(w);
        }
        restart(w);
        world_close(w);
        free(w);
    }
}

/* A kill loses nothing that was written, synced or not: what the next process
 * builds on must be made safe by it. */
static void the_power_may_go_after_a_kill(void **state)
{
    (void)state;
    for (long n = 0; n < 160; n++) {
        struct world *w = mem_alloc(sizeof *w);
        struct spool_disk disk;
        world_init(w, (uint64_t)n + 1);
        disk = sim_disk(w->sim);
        w->sim->cut_at = n % 80;
        if (spool_open(&disk, &w->options, &w->spool, NULL) == 0) {
            while (!w->sim->cut) {
                step(w);
            }
            spool_close(w->spool);
        }
        w->waiting_count = 0;
        w->sim->cut = false;
        w->sim->cut_at = -1;
        for (uint32_t i = 0; i < NUMBERS; i++) { /* it may be held again */
            w->fates[i] = w->fates[i] == DROPPED ? SENT : w->fates[i];
        }
        world_open(w);
        for (int i = 0; i < 3; i++) {
            step(w);
        }
        w->sim->cut = true;
        restart(w);
        world_close(w);
        free(w);
    }
}

/* A round that was not synced is read by the next process, which delivers it;
 * then the power goes, and the round with it. */
static void an_id_that_was_told_is_never_used_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = mem_alloc(sizeof *w);
        uint64_t told;
        world_init(w, seed);
        world_open(w);
        assert_int_equal(put(w, 0, NULL), 0);
        assert_int_equal(spool_commit(w->spool, NULL), 0);
        assert_int_equal(put(w, 1, NULL), 0);
        w->sim->fail_at = w->sim->calls + 1; /* the sync after the write */
        assert_int_equal(spool_commit(w->spool, NULL), ERR_IO);
        w->sim->cut = true; /* killed */
        spool_close(w->spool);
        w->sim->cut = false;
        world_open(w);
        told = spool_next(w->spool, w->ids[0]);
        assert_int_equal(told, w->ids[1]);
        w->sim->cut = true;
        spool_close(w->spool);
        sim_power_on(w->sim);
        world_open(w);
        assert_true(spool_coming_id(w->spool) > told);
        world_close(w);
        free(w);
    }
}

static void the_floor_that_was_told_never_falls(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *w = mem_alloc(sizeof *w);
        uint64_t told;
        world_init(w, seed);
        world_open(w);
        assert_int_equal(put(w, 0, NULL), 0);
        assert_int_equal(spool_commit(w->spool, NULL), 0);
        spool_drop(w->spool, w->ids[0], SPOOL_DELIVERED);
        w->sim->cut_at = w->sim->calls + 1; /* killed before the sync */
        assert_int_equal(spool_save(w->spool, NULL), ERR_IO);
        spool_close(w->spool);
        w->sim->cut = false;
        w->sim->cut_at = -1;
        world_open(w);
        told = spool_floor(w->spool);
        assert_int_equal(told, w->ids[0] + 1);
        w->sim->cut = true;
        spool_close(w->spool);
        sim_power_on(w->sim);
        world_open(w);
        assert_true(spool_floor(w->spool) >= told);
        world_close(w);
        free(w);
    }
}

/* It is on the disk before the round that it tells of. */
static void a_footer_tells_of_no_torn_round(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world *w = mem_alloc(sizeof *w);
        world_init(w, seed);
        world_open(w);
        w->sim->footers = (long)(seed % 3);
        while (!w->sim->cut) {
            step(w);
        }
        restart(w);
        world_close(w);
        free(w);
    }
}

static void a_call_that_fails_loses_only_its_round(void **state)
{
    (void)state;
    for (long n = 5; n < 110; n++) {
        struct world *w = mem_alloc(sizeof *w);
        world_init(w, 11);
        world_open(w);
        w->sim->fail_at = n;
        while (w->sim->calls < n + 40 && w->next < 500) {
            step(w);
        }
        world_check(w, true);
        restart(w);
        world_close(w);
        free(w);
    }
}

static void one_write_and_one_sync_for_a_round(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    long calls;

    (void)state;
    world_init(w, 1);
    world_open(w);
    assert_int_equal(put(w, 0, NULL), 0);
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    calls = w->sim->calls;
    for (uint32_t i = 6; i < 16; i++) {
        assert_int_equal(put(w, i, NULL), 0);
    }
    assert_true(spool_dirty(w->spool));
    assert_int_equal(w->sim->calls, calls);
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    assert_int_equal(w->sim->calls, calls + 2);
    assert_false(spool_dirty(w->spool));
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    assert_int_equal(w->sim->calls, calls + 2);
    world_close(w);
    free(w);
}

/* Fill until a put fails; gives its code. */
static int fill_up(struct world *w)
{
    int code = 0;

    while (code == 0 && w->next < NUMBERS - 1) {
        code = put(w, w->next, NULL);
        if (code == 0) {
            w->next++;
            code = spool_commit(w->spool, NULL);
        }
    }
    return code;
}

/* Rounds that fill up by themselves, with no commit between, move a record to
 * the next block: the footer must leave that much room. */
static void no_footer_reaches_into_a_record(void **state)
{
    struct spool_object o = {.kind = SPOOL_OBJECT, .key = "k", .key_len = 1};
    /* All but the last three end a round so near the end of a segment that one
     * block more is one too many. */
    static const size_t sizes[] = {12700, 13300, 14100, 14900, 15800,
                                   31200, 79500, 1500,  5000,  65000};
    uint64_t objects, damaged, id;

    (void)state;
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        size_t size = sizes[n];
        struct world *w = mem_alloc(sizeof *w);
        size_t puts = 3 * SPOOL_SEGMENT / size;
        uint8_t *p;
        world_init(w, 1);
        world_open(w);
        for (size_t i = 0; i < puts; i++) {
            assert_int_equal(spool_begin(w->spool, 1, 0, size, 0, &p, NULL), 0);
            memset(p, (int)i, size);
            spool_end(w->spool, &o, &id);
        }
        assert_int_equal(spool_commit(w->spool, NULL), 0);
        assert_int_equal(spool_verify(w->spool, &objects, &damaged, NULL), 0);
        assert_int_equal(objects, puts);
        assert_int_equal(damaged, 0);
        world_close(w);
        free(w);
    }
}

static void a_full_spool_refuses_and_serves_again(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    (void)state;
    world_init(w, 1);
    world_open(w);
    assert_int_equal(fill_up(w), ERR_FULL);
    world_check(w, true);
    restart(w);
    assert_int_equal(fill_up(w), ERR_FULL);
    deliver(w, 400, true);
    assert_int_equal(put(w, w->next++, NULL), 0);
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    world_check(w, true);
    assert_int_equal(w->sheds, 0);
    world_close(w);
    free(w);
}

static void a_full_disk_is_a_full_spool(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    (void)state;
    world_init(w, 1);
    w->sim->size_max = 3 * SPOOL_SEGMENT + SPOOL_SEGMENT / 2;
    world_open(w);
    assert_int_equal(fill_up(w), ERR_FULL);
    world_check(w, true);
    deliver(w, 400, true);
    assert_int_equal(put(w, w->next++, NULL), 0);
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    restart(w);
    world_close(w);
    free(w);
}

static void the_oldest_are_shed_and_counted(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct spool_status st;

    (void)state;
    world_init(w, 1);
    w->options.when_full = SPOOL_OLDEST;
    world_open(w);
    while (w->next < 2000) {
        assert_int_equal(put(w, w->next++, NULL), 0);
        assert_int_equal(spool_commit(w->spool, NULL), 0);
    }
    world_check(w, true);
    spool_status(w->spool, &st);
    assert_true(w->sheds > 0);
    assert_int_equal(st.counters.shed_objects, w->sheds);
    assert_int_equal(st.objects + w->sheds, 2000);
    assert_int_equal(st.counters.accepted_objects, 2000);
    assert_int_equal(spool_next(w->spool, 0), w->sheds + 1);
    assert_true(st.segments <= 8);
    world_close(w);
    free(w);
}

static void the_lowest_class_is_shed_first(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct spool_status st;

    (void)state;
    world_init(w, 1);
    w->options.when_full = SPOOL_LOWEST;
    w->options.max_objects = 20;
    world_open(w);
    for (uint32_t i = 0; i < 24; i++) { /* classes 0 to 9, 0 to 9, 0 to 3 */
        assert_int_equal(put(w, i, NULL), 0);
        assert_int_equal(spool_commit(w->spool, NULL), 0);
    }
    spool_status(w->spool, &st);
    assert_int_equal(st.objects, 20);
    assert_int_equal(w->sheds, 4);
    /* 20 (class 0) took the place of 0; 21 of 10; 22 of 20; 23 of 1. */
    assert_int_equal(w->fates[0], DROPPED);
    assert_int_equal(w->fates[10], DROPPED);
    assert_int_equal(w->fates[20], DROPPED);
    assert_int_equal(w->fates[1], DROPPED);
    assert_int_equal(w->fates[11], ACKED);
    /* Nothing of its class or below is left for an object of class 0. */
    assert_int_equal(put(w, 30, NULL), ERR_FULL);
    world_close(w);
    free(w);
}

static void the_newest_of_a_key_is_found(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct spool_object o = {.kind = SPOOL_OBJECT, .key = "k", .key_len = 1};
    struct buf payload = {0};
    uint64_t first, second, id;
    uint8_t *p;

    (void)state;
    world_init(w, 1);
    world_open(w);
    assert_int_equal(spool_find(w->spool, "k", 1, &id, NULL), ERR_NO_KEY);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(spool_begin(w->spool, 1, 0, 1, 0, &p, NULL), 0);
        *p = (uint8_t)('a' + i);
        spool_end(w->spool, &o, i == 0 ? &first : &second);
    }
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    assert_int_equal(spool_find(w->spool, "k", 1, &id, NULL), 0);
    assert_int_equal(id, second);
    assert_int_equal(spool_payload(w->spool, id, 10, &payload, NULL), 0);
    assert_string_equal((char *)payload.data, "b");
    assert_int_equal(spool_payload(w->spool, id, 0, &payload, NULL), ERR_LIMIT);
    spool_drop(w->spool, second, SPOOL_DELIVERED);
    assert_int_equal(spool_find(w->spool, "k", 1, &id, NULL), 0);
    assert_int_equal(id, first);
    o.kind = SPOOL_DELETE;
    assert_int_equal(spool_begin(w->spool, 1, 0, 0, 0, &p, NULL), 0);
    spool_end(w->spool, &o, &id);
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    assert_int_equal(spool_find(w->spool, "k", 1, &id, NULL), ERR_NO_KEY);
    assert_int_equal(spool_get(w->spool, 99, &o, &payload, NULL),
                     ERR_NOT_FOUND);
    buf_free(&payload);
    world_close(w);
    free(w);
}

static void too_long_is_refused(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    uint8_t *p;

    (void)state;
    world_init(w, 1);
    world_open(w);
    assert_int_equal(
        spool_begin(w->spool, SPOOL_KEY_MAX + 1, 0, 0, 0, &p, NULL), ERR_LIMIT);
    assert_int_equal(
        spool_begin(w->spool, 1, SPOOL_META_MAX + 1, 0, 0, &p, NULL),
        ERR_LIMIT);
    assert_int_equal(
        spool_begin(w->spool, 1, 0, SPOOL_PAYLOAD_MAX + 1, 0, &p, NULL),
        ERR_LIMIT);
    world_close(w);
    free(w);
}

static void a_flipped_bit_is_found_and_costs_one_object(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    uint64_t objects, damaged;
    struct buf payload = {0};

    (void)state;
    world_init(w, 1);
    world_open(w);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(put(w, i, NULL), 0);
        assert_int_equal(spool_commit(w->spool, NULL), 0);
    }
    assert_int_equal(spool_verify(w->spool, &objects, &damaged, NULL), 0);
    assert_int_equal(objects, 5);
    assert_int_equal(damaged, 0);
    /* Each round is a block here: the third holds object 2. */
    w->sim->files[0].now[2 * SPOOL_BLOCK + SPOOL_RECORD + 30] ^= 1;
    assert_int_equal(spool_verify(w->spool, &objects, &damaged, NULL), 0);
    assert_int_equal(damaged, 1);
    assert_int_equal(
        spool_payload(w->spool, w->ids[2], 1 << 20, &payload, NULL),
        ERR_CORRUPT);
    spool_close(w->spool);
    memcpy(w->sim->files[0].safe, w->sim->files[0].now, FILE_SIZE);
    world_open(w);
    assert_int_equal(spool_verify(w->spool, &objects, &damaged, NULL), 0);
    assert_int_equal(objects, 4); /* those after it are there */
    assert_int_equal(damaged, 0);
    buf_free(&payload);
    world_close(w);
    free(w);
}

/* Nobody reads the bytes of these: the key alone says what is done. */
static void a_flipped_bit_in_a_key_is_found_without_bytes(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct spool_object gone = {
        .kind = SPOOL_DELETE, .key = "bucket/some/key", .key_len = 15};
    struct spool_object o;
    struct buf text = {0};
    uint64_t id;
    uint8_t *p;

    (void)state;
    world_init(w, 1);
    world_open(w);
    assert_int_equal(spool_begin(w->spool, gone.key_len, 0, 0, 0, &p, NULL), 0);
    spool_end(w->spool, &gone, &id);
    assert_int_equal(put(w, 5, NULL), 0); /* in parts */
    assert_true(in_parts(5));
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    for (int i = 0; i < 2; i++) {
        const struct index_entry *e;
        uint64_t which = i == 0 ? id : w->ids[5];
        assert_int_equal(spool_get(w->spool, which, &o, &text, NULL), 0);
        e = spool_index_get(spool_held(w->spool), which);
        w->sim->files[e->slot].now[e->at + SPOOL_RECORD + 4] ^= 1;
        assert_int_equal(spool_get(w->spool, which, &o, &text, NULL),
                         ERR_CORRUPT);
    }
    buf_free(&text);
    world_close(w);
    free(w);
}

static void a_newer_version_is_left_alone(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct spool_disk disk;
    struct spool_head head = {.sequence = 9};
    uint8_t block[SPOOL_BLOCK] = {0};
    uint32_t crc;

    (void)state;
    world_init(w, 1);
    world_open(w);
    assert_int_equal(put(w, 0, NULL), 0);
    assert_int_equal(spool_commit(w->spool, NULL), 0);
    spool_close(w->spool);
    w->spool = NULL;
    spool_head_write(&head, block);
    memcpy(w->sim->files[0].now, block, SPOOL_HEAD);
    w->sim->files[0].now[8] = 2; /* and the checksum that goes with it */
    crc = crc32c(0, w->sim->files[0].now + 8, SPOOL_HEAD - 8);
    memcpy(w->sim->files[0].now + 4, &crc, sizeof crc);
    disk = sim_disk(w->sim);
    assert_int_equal(spool_open(&disk, &w->options, &w->spool, NULL),
                     ERR_VERSION);
    w->spool = NULL;
    world_close(w);
    free(w);
}

static void real_files_hold_what_they_were_given(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    char *dir = temp_dir_new();
    struct spool_disk disk;
    struct spool_status before, after;

    (void)state;
    world_init(w, 1);
    w->options.max_bytes = 64 * SPOOL_SEGMENT;
    assert_int_equal(spool_disk_open(dir, &disk, NULL), 0);
    assert_int_equal(spool_open(&disk, &w->options, &w->spool, NULL), 0);
    while (w->next < 1500) {
        assert_int_equal(put(w, w->next++, NULL), 0);
        if (w->next % 50 == 0) {
            assert_int_equal(spool_commit(w->spool, NULL), 0);
            deliver(w, 25, true);
        }
    }
    world_check(w, true);
    spool_status(w->spool, &before);
    spool_close(w->spool);
    assert_int_equal(spool_open(&disk, &w->options, &w->spool, NULL), 0);
    world_check(w, true);
    spool_status(w->spool, &after);
    assert_int_equal(after.objects, before.objects);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.oldest_id, before.oldest_id);
    assert_int_equal(after.oldest_time_ms, before.oldest_time_ms);
    assert_int_equal(after.newest_id, before.newest_id);
    spool_close(w->spool);
    w->spool = NULL;
    spool_disk_close(&disk);
    temp_dir_free(dir);
    world_close(w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_write_and_one_sync_for_a_round),
        cmocka_unit_test(the_newest_of_a_key_is_found),
        cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(real_files_hold_what_they_were_given),
        cmocka_unit_test(no_footer_reaches_into_a_record),
        cmocka_unit_test(a_full_spool_refuses_and_serves_again),
        cmocka_unit_test(a_full_disk_is_a_full_spool),
        cmocka_unit_test(the_oldest_are_shed_and_counted),
        cmocka_unit_test(the_lowest_class_is_shed_first),
        cmocka_unit_test(a_flipped_bit_is_found_and_costs_one_object),
        cmocka_unit_test(a_flipped_bit_in_a_key_is_found_without_bytes),
        cmocka_unit_test(a_newer_version_is_left_alone),
        cmocka_unit_test(the_power_may_go_after_a_kill),
        cmocka_unit_test(an_id_that_was_told_is_never_used_again),
        cmocka_unit_test(the_floor_that_was_told_never_falls),
        cmocka_unit_test(a_footer_tells_of_no_torn_round),
        cmocka_unit_test(a_call_that_fails_loses_only_its_round),
        cmocka_unit_test(power_may_go_while_it_starts),
        cmocka_unit_test(power_may_go_in_any_call),
        cmocka_unit_test(power_may_go_again_and_again),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
