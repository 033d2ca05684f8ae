/* test_raft_log.c: the Raft log, and term and vote, on disk.
 *
 * Goal: what was acknowledged is there after any power cut, in order and byte
 * for byte; what was cut off never comes back; damage that can be told from a
 * torn tail is reported with file and offset and never skipped over.
 * Method: a model of what was acknowledged beside the log. Power cuts at every
 * call of random histories, over files that forget unsynced sectors; bytes of
 * real files changed by hand; one golden folder.
 */
#include <dirent.h>
#include <fcntl.h>
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
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/raft_log.h"
#include "meta/raft_log_format.h"
#include "tests/lib/power_files.h"
#include "tests/lib/temp_dir.h"

#define SEGMENT RAFT_LOG_SEGMENT_MIN
#define MODEL_MAX 4096
#define GOLDEN "tests/golden/raft-log-v1.bin"
#define GOLDEN_SALT 0x0123456789abcdefull

/* What the log must hold: entry i stands at [i]. */
struct model {
    uint64_t first; /* the lowest that must still be there */
    uint64_t last;
    uint64_t after; /* the snapshot */
    uint64_t seeds[MODEL_MAX];
    size_t lens[MODEL_MAX];
};

/* What opening gave. */
struct seen {
    const struct model *model;
    uint64_t next;
    uint64_t last;
};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

static uint8_t *data_of(uint64_t seed, size_t len)
{
    uint8_t *p = mem_alloc(len + 1);

    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)mix(seed + i / 8);
    }
    return p;
}

static int see(void *arg, const struct raft_log_entry *e, struct err *err)
{
    struct seen *s = arg;
    uint8_t *want;

    (void)err;
    assert_int_equal(e->index, s->next);
    s->next++;
    s->last = e->index;
    if (s->model == NULL) {
        return 0;
    }
    assert_true(e->index < MODEL_MAX);
    assert_int_equal(e->len, s->model->lens[e->index]);
    assert_int_equal(e->term, s->model->seeds[e->index]);
    want = data_of(s->model->seeds[e->index], e->len);
    assert_memory_equal(e->data, want, e->len);
    free(want);
    return 0;
}

static int open_log(const char *dir, const struct raft_log_files *files,
                    const struct model *m, uint64_t after, struct seen *s,
                    struct raft_log **out, struct err *err)
{
    struct raft_log_options o = {
        .dir = dir, .segment_bytes = SEGMENT, .files = files, .after = after};

    *s = (struct seen){.model = m, .next = after + 1, .last = after};
    return raft_log_open(&o, see, s, out, err);
}

static struct raft_log *must_open(const char *dir, const struct model *m)
{
    struct raft_log *l;
    struct seen s;
    struct err err = {0};
    int rc = open_log(dir, NULL, m, m->after, &s, &l, &err);

    if (rc != 0) {
        fail_msg("open: %s", err.text);
    }
    assert_int_equal(s.last, m->last);
    assert_int_equal(raft_log_last(l), m->last);
    return l;
}

/* Append @n entries of about @len bytes; the model takes them in any case. */
static int append(struct raft_log *l, struct model *m, size_t n, size_t len,
                  uint64_t seed, struct err *err)
{
    struct raft_log_entry e[8];
    int rc;

    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        uint64_t index = raft_log_last(l) + 1 + i;
        assert_true(index < MODEL_MAX);
        m->seeds[index] = mix(seed + i);
        m->lens[index] = len;
        e[i] = (struct raft_log_entry){.term = m->seeds[index],
                                       .index = index,
                                       .type = 1,
                                       .data = data_of(m->seeds[index], len),
                                       .len = len};
    }
    rc = raft_log_append(l, e, n, err);
    for (size_t i = 0; i < n; i++) {
        free((void *)e[i].data);
    }
    if (rc == 0) {
        m->last = raft_log_last(l);
    }
    return rc;
}

static struct model *model_new(void)
{
    return mem_alloc(sizeof(struct model));
}

static void segment_name(char *out, const char *dir, unsigned sequence)
{
    snprintf(out, 300, "%s/log-%016x", dir, sequence);
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t b;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x40;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

/* ---- plain use ---- */

static void entries_come_back_in_order(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(append(l, m, 1 + i % 3, i * 97 % 9000, i, NULL), 0);
    }
    assert_true(raft_log_segments(l) > 2);
    raft_log_close(l);
    l = must_open(dir, m);
    assert_int_equal(append(l, m, 1, 10, 99, NULL), 0);
    raft_log_close(l);
    l = must_open(dir, m);
    raft_log_close(l);
    free(m);
    temp_dir_free(dir);
}

static void an_entry_larger_than_a_segment_is_kept(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);

    (void)state;
    assert_int_equal(append(l, m, 1, 5, 1, NULL), 0);
    assert_int_equal(append(l, m, 1, 3 * SEGMENT, 2, NULL), 0);
    assert_int_equal(append(l, m, 1, 5, 3, NULL), 0);
    raft_log_close(l);
    l = must_open(dir, m);
    m->after = 3;
    assert_int_equal(raft_log_cut(l, 3, NULL), 0);
    assert_int_equal(raft_log_segments(l), 1);
    raft_log_close(l);
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
}

static void what_was_cut_off_does_not_come_back(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);

    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(append(l, m, 1, 5000, i, NULL), 0);
    }
    assert_int_equal(raft_log_truncate(l, 12, NULL), 0);
    assert_int_equal(raft_log_last(l), 11);
    m->last = 11;
    raft_log_close(l);
    l = must_open(dir, m);
    assert_int_equal(append(l, m, 2, 100, 1000, NULL), 0);
    assert_int_equal(raft_log_truncate(l, 99, NULL), 0); /* nothing there */
    assert_int_equal(m->last, 13);
    raft_log_close(l);
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
}

static void segments_below_the_cut_are_recycled(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);
    uint64_t bytes;

    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 40; i++) {
            assert_int_equal(append(l, m, 1, 4000, i, NULL), 0);
        }
        m->after = m->last - 1;
        assert_int_equal(raft_log_cut(l, m->after, NULL), 0);
        assert_true(raft_log_segments(l) <= 2);
    }
    bytes = raft_log_bytes(l);
    assert_true(bytes <= (2 + RAFT_LOG_SPARES_MAX) * (uint64_t)SEGMENT);
    raft_log_close(l);
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
}

/* Is the start of entry @index in any file of the log? */
static bool is_on_disk(const char *dir, const struct model *m, uint64_t index)
{
    uint8_t *want = data_of(m->seeds[index], 64);
    struct dirent *e;
    bool found = false;
    DIR *d = opendir(dir);

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[600];
        struct buf b = {0};
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_type == DT_REG && fs_read(path, 1u << 30, &b, NULL) == 0) {
            found = found || memmem(b.data, b.len, want, 64) != NULL;
        }
        buf_free(&b);
    }
    closedir(d);
    free(want);
    return found;
}

static void what_is_forgotten_is_in_no_file(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);
    uint64_t secret, last;

    (void)state;
    assert_true(raft_log_forgot(l));
    for (unsigned i = 0; i < 40; i++) { /* spares of old bytes, too */
        assert_int_equal(append(l, m, 1, 4000, i, NULL), 0);
    }
    m->after = m->last - 1;
    assert_int_equal(raft_log_cut(l, m->after, NULL), 0);
    assert_true(raft_log_spares(l) > 0);
    assert_true(is_on_disk(dir, m, 3)); /* in a spare */
    assert_int_equal(append(l, m, 1, 4000, 99, NULL), 0);
    secret = last = m->last;
    assert_int_equal(raft_log_forget(l, NULL), 0);
    assert_false(is_on_disk(dir, m, 3));
    assert_true(is_on_disk(dir, m, secret)); /* not cut off yet */
    assert_false(raft_log_forgot(l));
    assert_int_equal(append(l, m, 1, 4000, 100, NULL), 0);
    m->after = last - 1;
    assert_int_equal(raft_log_cut(l, m->after, NULL), 0);
    assert_false(raft_log_forgot(l));
    m->after = last;
    assert_int_equal(raft_log_cut(l, m->after, NULL), 0);
    assert_true(raft_log_forgot(l));
    for (uint64_t i = 1; i <= last; i++) {
        assert_false(is_on_disk(dir, m, i));
    }
    assert_true(is_on_disk(dir, m, m->last));
    raft_log_close(l);
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
}

static void a_cut_above_the_last_entry_starts_there(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);

    (void)state;
    assert_int_equal(append(l, m, 3, 50, 1, NULL), 0);
    assert_int_equal(raft_log_cut(l, 100, NULL), 0);
    assert_int_equal(raft_log_last(l), 100);
    m->after = 100;
    m->last = 100;
    assert_int_equal(append(l, m, 1, 50, 2, NULL), 0);
    assert_int_equal(m->last, 101);
    raft_log_close(l);
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
}

static void many_starts_without_entries_leave_few_files(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);

    (void)state;
    assert_int_equal(append(l, m, 1, 50, 1, NULL), 0);
    raft_log_close(l);
    for (int i = 0; i < 20; i++) {
        l = must_open(dir, m);
        assert_int_equal(raft_log_prepare(l, NULL), 0);
        assert_true(raft_log_spares(l) > 0);
        assert_true(raft_log_bytes(l) <=
                    (2 + RAFT_LOG_SPARES_MAX) * (uint64_t)SEGMENT);
        raft_log_close(l);
    }
    free(m);
    temp_dir_free(dir);
}

/* ---- damage ---- */

/* A log of @n entries, each of one block, closed. */
static void build(const char *dir, struct model *m, size_t n)
{
    struct raft_log *l = must_open(dir, m);

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(append(l, m, 1, 100, i, NULL), 0);
    }
    raft_log_close(l);
}

static void expect_corrupt(const char *dir, const struct model *m,
                           const char *file, const char *offset)
{
    struct raft_log *l;
    struct seen s;
    struct err err = {0};

    assert_int_equal(open_log(dir, NULL, m, m->after, &s, &l, &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, file));
    assert_non_null(strstr(err.text, offset));
}

static void a_torn_last_record_is_not_part_of_the_log(void **state)
{
    char *dir = temp_dir_new();
    char path[300];
    struct model *m = model_new();

    (void)state;
    build(dir, m, 5);
    segment_name(path, dir, 1);
    flip(path, RAFT_LOG_BLOCK * 5 + 60); /* in the data of record 5 */
    m->last = 4;
    raft_log_close(must_open(dir, m));
    /* Seen as torn once, it stays away. */
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
}

static void damage_before_later_records_is_reported(void **state)
{
    (void)state;
    /* In head and in data of each record but the last. */
    for (unsigned i = 1; i < 5; i++) {
        for (unsigned at = 0; at < 120; at += 17) {
            char *dir = temp_dir_new();
            char path[300], offset[64];
            struct model *m = model_new();
            build(dir, m, 5);
            segment_name(path, dir, 1);
            flip(path, RAFT_LOG_BLOCK * i + at);
            snprintf(offset, sizeof offset, "offset %u", RAFT_LOG_BLOCK * i);
            expect_corrupt(dir, m, path, offset);
            free(m);
            temp_dir_free(dir);
        }
    }
}

static void damage_that_a_later_segment_counts_on_is_reported(void **state)
{
    char *dir = temp_dir_new();
    char path[300], offset[64];
    struct model *m = model_new();

    (void)state;
    build(dir, m, 3);
    raft_log_close(must_open(dir, m)); /* a second segment, from record 4 on */
    segment_name(path, dir, 1);
    flip(path, RAFT_LOG_BLOCK * 3 + 50); /* the last record of the first */
    snprintf(offset, sizeof offset, "offset %d", RAFT_LOG_BLOCK * 3);
    expect_corrupt(dir, m, path, offset);
    free(m);
    temp_dir_free(dir);
}

static void damaged_short_and_missing_files_are_reported(void **state)
{
    char *dir = temp_dir_new();
    char path[300];
    struct model *m = model_new();

    (void)state;
    build(dir, m, 40); /* several segments */
    segment_name(path, dir, 1);
    flip(path, 20);
    expect_corrupt(dir, m, path, "offset 0");
    flip(path, 20);
    assert_int_equal(truncate(path, SEGMENT / 2), 0);
    expect_corrupt(dir, m, path, "offset 0");
    assert_int_equal(truncate(path, 100), 0);
    expect_corrupt(dir, m, path, "offset 0");
    assert_int_equal(unlink(path), 0);
    expect_corrupt(dir, m, dir, "starts with record");
    temp_dir_remove(dir);
    assert_int_equal(fs_mkdirs(dir, NULL), 0);
    m->after = 3;
    expect_corrupt(dir, m, dir, "no log");
    free(m);
    temp_dir_free(dir);
}

static void a_missing_middle_segment_is_reported(void **state)
{
    char *dir = temp_dir_new();
    char path[300];
    struct model *m = model_new();

    (void)state;
    build(dir, m, 40);
    segment_name(path, dir, 2);
    assert_int_equal(unlink(path), 0);
    segment_name(path, dir, 1);
    expect_corrupt(dir, m, path, "damaged or missing");
    free(m);
    temp_dir_free(dir);
}

static void an_unknown_version_is_refused(void **state)
{
    char *dir = temp_dir_new();
    char path[300];
    uint8_t block[RAFT_LOG_BLOCK];
    struct model *m = model_new();
    struct raft_log *l;
    struct seen s;
    struct err err;
    int fd;

    (void)state;
    build(dir, m, 1);
    segment_name(path, dir, 1);
    fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, block, sizeof block, 0), sizeof block);
    block[8] = 9;
    store_u32(block + RAFT_LOG_BLOCK - 4, crc32c(0, block, RAFT_LOG_BLOCK - 4));
    assert_int_equal(pwrite(fd, block, sizeof block, 0), sizeof block);
    close(fd);
    assert_int_equal(open_log(dir, NULL, m, 0, &s, &l, &err), ERR_VERSION);
    free(m);
    temp_dir_free(dir);
}

static void what_a_user_wrote_never_looks_like_a_record(void **state)
{
    char *dir = temp_dir_new();
    char path[300];
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);
    struct raft_log_entry e = {.term = 7, .index = 1, .type = 1};
    struct raft_log_entry forged = {.term = 9, .index = 50, .type = 1};
    uint8_t *p = mem_alloc(3 * RAFT_LOG_BLOCK);
    struct seen s;
    struct err err = {0};

    (void)state;
    /* A forged record where a block of the file starts, in a write whose head
     * is torn: it would be taken for damage if it were believed. */
    raft_log_record_encode(p + RAFT_LOG_BLOCK - RAFT_LOG_RECORD_HEAD, &forged,
                           GOLDEN_SALT, 50);
    e.data = p;
    e.len = 2 * RAFT_LOG_BLOCK;
    assert_int_equal(raft_log_append(l, &e, 1, NULL), 0);
    raft_log_close(l);
    segment_name(path, dir, 1);
    flip(path, RAFT_LOG_BLOCK + 30);
    assert_int_equal(open_log(dir, NULL, NULL, 0, &s, &l, &err), 0);
    assert_int_equal(raft_log_last(l), 0);
    raft_log_close(l);
    free(p);
    free(m);
    temp_dir_free(dir);
}

/* ---- failing calls and power cuts ---- */

static void a_failing_call_is_an_error_and_loses_nothing(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        char *dir = temp_dir_new();
        struct power_files *p = power_files_new((uint64_t)n);
        struct model *m = model_new();
        struct raft_log *l = NULL;
        struct seen s;
        struct err err = {0};
        bool failed = false;
        int rc;

        power_files_fail_at(p, n);
        rc = open_log(dir, power_files_ops(p), m, 0, &s, &l, &err);
        for (unsigned i = 0; i < 20 && rc == 0; i++) {
            rc = append(l, m, 1, 4000, i, &err);
        }
        failed = rc != 0;
        if (failed) {
            assert_int_equal(rc, ERR_IO);
            assert_true(strlen(err.text) > 0);
        }
        raft_log_close(l);
        /* What was acknowledged is there; one more may be. */
        rc = open_log(dir, NULL, m, 0, &s, &l, &err);
        assert_int_equal(rc, 0);
        assert_true(s.last >= m->last && s.last <= m->last + 1);
        raft_log_close(l);
        power_files_free(p);
        free(m);
        temp_dir_free(dir);
        if (!failed) {
            assert_true(n > 20);
            break;
        }
    }
}

/* One step of a random history; the model knows what was acknowledged. */
static int random_step(struct raft_log *l, struct model *m, uint64_t r)
{
    uint64_t index;
    int rc;

    switch (r % 16) {
        case 0:
            if (m->last == m->after) {
                return 0;
            }
            index = m->after + 1 + r / 16 % (m->last - m->after);
            m->first = index; /* may be gone from here on, whatever comes */
            rc = raft_log_truncate(l, index, NULL);
            if (rc == 0) {
                m->last = index - 1;
                m->first = UINT64_MAX;
            }
            return rc;
        case 1:
            /* A snapshot stands already when its entries are cut. */
            m->after += (m->last - m->after) / 2;
            return raft_log_cut(l, m->after, NULL);
        case 2:
            return raft_log_prepare(l, NULL);
        case 3:
            return raft_log_forget(l, NULL);
        default:
            return append(l, m, 1 + r / 16 % 3, r / 64 % 12000, r, NULL);
    }
}

static void check_after_cut(const char *dir, struct model *m, uint64_t seed,
                            long n)
{
    struct raft_log *l;
    struct seen s;
    struct err err = {0};
    uint64_t must = m->last < m->first ? m->last : m->first - 1;
    int rc = open_log(dir, NULL, m, m->after, &s, &l, &err);

    if (rc != 0) {
        fail_msg("seed %llu call %ld: %s", (unsigned long long)seed, n,
                 err.text);
    }
    if (s.last < must || s.last > m->last + 3) {
        fail_msg("seed %llu call %ld: %llu of %llu", (unsigned long long)seed,
                 n, (unsigned long long)s.last, (unsigned long long)must);
    }
    m->last = s.last;
    m->first = UINT64_MAX;
    raft_log_close(l);
}

/* A history of up to @steps steps with the power cut in call @n; false when
 * it ended before. Then a second life without cuts on what is left. */
static bool cut_once(uint64_t seed, long n, unsigned steps)
{
    char *dir = temp_dir_new();
    struct power_files *p = power_files_new(seed * 1000 + (uint64_t)n);
    struct model *m = model_new();
    struct raft_log *l;
    struct seen s;
    uint64_t r = mix(seed + 1);
    bool cut;
    int rc;

    m->first = UINT64_MAX;
    power_files_cut_at(p, n);
    rc = open_log(dir, power_files_ops(p), m, 0, &s, &l, NULL);
    if (rc == 0) {
        for (unsigned i = 0; i < steps && rc == 0; i++) {
            rc = random_step(l, m, r = mix(r));
        }
        raft_log_close(l);
    }
    cut = power_files_is_cut(p);
    power_files_power_on(p);
    power_files_free(p);
    check_after_cut(dir, m, seed, n);
    l = must_open(dir, m);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(random_step(l, m, r = mix(r)), 0);
    }
    raft_log_close(l);
    raft_log_close(must_open(dir, m));
    free(m);
    temp_dir_free(dir);
    return cut;
}

static void a_power_cut_in_any_call_loses_nothing_acknowledged(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        for (long n = 0; cut_once(seed, n, 14); n++) {
        }
    }
}

static void cuts_one_after_the_other_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 130; seed++) {
        char *dir = temp_dir_new();
        struct power_files *p = power_files_new(seed);
        struct model *m = model_new();
        uint64_t r = mix(seed);

        m->first = UINT64_MAX;
        for (unsigned life = 0; life < 8; life++) {
            struct raft_log *l;
            struct seen s;
            int rc;
            power_files_cut_at(p, (long)((r = mix(r)) % 40));
            rc = open_log(dir, power_files_ops(p), m, m->after, &s, &l, NULL);
            if (rc == 0) {
                while (rc == 0) {
                    rc = random_step(l, m, r = mix(r));
                }
                raft_log_close(l);
            }
            power_files_power_on(p);
            check_after_cut(dir, m, seed, (long)life);
        }
        power_files_free(p);
        free(m);
        temp_dir_free(dir);
    }
}

/* A process that is killed between write and sync leaves a record that the
 * next one finds; from then on it counts, so it must be made durable. */
static void what_opening_found_stays_found(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        char *dir = temp_dir_new();
        struct power_files *p = power_files_new(seed);
        struct model *m = model_new();
        struct raft_log *l;
        struct seen s;

        assert_int_equal(open_log(dir, power_files_ops(p), m, 0, &s, &l, NULL),
                         0);
        assert_int_equal(append(l, m, 1, 3000, 1, NULL), 0);
        power_files_fail_at(p, 1); /* the sync */
        assert_int_equal(append(l, m, 1, 3000, 2, NULL), ERR_IO);
        raft_log_close(l);
        assert_int_equal(open_log(dir, power_files_ops(p), m, 0, &s, &l, NULL),
                         0);
        assert_int_equal(s.last, 2);
        raft_log_close(l);
        power_files_power_on(p);
        power_files_free(p);
        m->last = 2;
        raft_log_close(must_open(dir, m));
        free(m);
        temp_dir_free(dir);
    }
}

/* ---- term and vote ---- */

static void term_and_vote_survive_and_alternate(void **state)
{
    char *dir = temp_dir_new();
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);
    struct raft_vote v = {.term = 99};

    (void)state;
    assert_int_equal(raft_vote_load(l, &v, NULL), 0);
    assert_int_equal(v.term, 0);
    for (uint64_t term = 1; term < 6; term++) {
        v = (struct raft_vote){.term = term, .vote = term % 2};
        assert_int_equal(raft_vote_store(l, &v, NULL), 0);
        raft_log_close(l);
        l = must_open(dir, m);
        v = (struct raft_vote){0};
        assert_int_equal(raft_vote_load(l, &v, NULL), 0);
        assert_int_equal(v.term, term);
        assert_int_equal(v.vote, term % 2);
    }
    raft_log_close(l);
    free(m);
    temp_dir_free(dir);
}

static void one_damaged_slot_gives_the_other_and_two_are_reported(void **state)
{
    char *dir = temp_dir_new();
    char path[300];
    struct model *m = model_new();
    struct raft_log *l = must_open(dir, m);
    struct raft_vote v;
    struct err err = {0};

    (void)state;
    snprintf(path, sizeof path, "%s/vote", dir);
    for (uint64_t term = 1; term < 4; term++) {
        v = (struct raft_vote){.term = term};
        assert_int_equal(raft_vote_store(l, &v, NULL), 0);
    }
    flip(path, 3 % RAFT_VOTE_SLOTS * RAFT_LOG_BLOCK + 24); /* sequence 3 */
    assert_int_equal(raft_vote_load(l, &v, NULL), 0);
    assert_int_equal(v.term, 2);
    flip(path, 2 % RAFT_VOTE_SLOTS * RAFT_LOG_BLOCK + 24);
    assert_int_equal(raft_vote_load(l, &v, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, path));
    raft_log_close(l);
    free(m);
    temp_dir_free(dir);
}

static void a_cut_while_voting_keeps_the_old_vote_or_the_new(void **state)
{
    (void)state;
    for (long n = 0; n < 40; n++) {
        char *dir = temp_dir_new();
        struct power_files *p = power_files_new((uint64_t)n);
        struct model *m = model_new();
        struct raft_log *l;
        struct seen s;
        struct raft_vote v = {0};
        uint64_t stored = 0;

        assert_int_equal(open_log(dir, power_files_ops(p), m, 0, &s, &l, NULL),
                         0);
        power_files_cut_at(p, n);
        for (uint64_t term = 1; term < 10; term++) {
            v = (struct raft_vote){.term = term, .vote = 1};
            if (raft_vote_store(l, &v, NULL) != 0) {
                break;
            }
            stored = term;
        }
        raft_log_close(l);
        power_files_power_on(p);
        power_files_free(p);
        l = must_open(dir, m);
        assert_int_equal(raft_vote_load(l, &v, NULL), 0);
        assert_true(v.term == stored || v.term == stored + 1);
        raft_log_close(l);
        free(m);
        temp_dir_free(dir);
    }
}

/* ---- golden ---- */

/* Header, two records and a vote as version 1 writes them. */
static void golden_bytes(struct buf *out)
{
    struct raft_log_entry a = {
        .term = 3, .index = 7, .type = 1, .data = "godwit", .len = 6};
    struct raft_log_entry b = {.term = 4, .index = 8, .type = 2};
    struct raft_vote v = {.term = 5, .vote = 1};

    buf_reserve(out, 4 * RAFT_LOG_BLOCK);
    raft_log_head_encode(out->data, 12, GOLDEN_SALT, 7, SEGMENT);
    raft_log_record_encode(out->data + RAFT_LOG_BLOCK, &a, GOLDEN_SALT, 7);
    raft_log_record_encode(out->data + 2 * RAFT_LOG_BLOCK, &b, GOLDEN_SALT, 7);
    raft_vote_encode(out->data + 3 * RAFT_LOG_BLOCK, &v, 9);
    out->len = 4 * RAFT_LOG_BLOCK;
}

static void the_golden_file_is_written_and_read_the_same(void **state)
{
    struct buf want = {0}, have = {0};
    struct raft_log_head h;
    struct raft_log_record r;
    struct raft_vote v;
    uint64_t sequence;

    (void)state;
    golden_bytes(&want);
    if (getenv("GOLDEN_WRITE") != NULL) {
        assert_int_equal(fs_write(GOLDEN, want.data, want.len, 0644, NULL), 0);
    }
    assert_int_equal(fs_read(GOLDEN, 1 << 20, &have, NULL), 0);
    assert_int_equal(have.len, want.len);
    assert_memory_equal(have.data, want.data, want.len);
    assert_int_equal(raft_log_head_decode(have.data, &h, NULL), 0);
    assert_int_equal(h.first, 7);
    assert_int_equal(h.salt, GOLDEN_SALT);
    assert_true(raft_log_record_decode(have.data + RAFT_LOG_BLOCK,
                                       have.len - RAFT_LOG_BLOCK, h.salt, &r));
    assert_int_equal(r.entry.index, 7);
    assert_int_equal(r.entry.term, 3);
    assert_memory_equal(r.entry.data, "godwit", 6);
    assert_true(raft_log_record_decode(have.data + 2 * RAFT_LOG_BLOCK,
                                       have.len - 2 * RAFT_LOG_BLOCK, h.salt,
                                       &r));
    assert_int_equal(r.batch, 7);
    assert_int_equal(r.entry.len, 0);
    assert_true(
        raft_vote_decode(have.data + 3 * RAFT_LOG_BLOCK, &v, &sequence));
    assert_int_equal(v.term, 5);
    assert_int_equal(sequence, 9);
    buf_free(&want);
    buf_free(&have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back_in_order),
        cmocka_unit_test(an_entry_larger_than_a_segment_is_kept),
        cmocka_unit_test(what_was_cut_off_does_not_come_back),
        cmocka_unit_test(segments_below_the_cut_are_recycled),
        cmocka_unit_test(what_is_forgotten_is_in_no_file),
        cmocka_unit_test(a_cut_above_the_last_entry_starts_there),
        cmocka_unit_test(many_starts_without_entries_leave_few_files),
        cmocka_unit_test(a_torn_last_record_is_not_part_of_the_log),
        cmocka_unit_test(damage_before_later_records_is_reported),
        cmocka_unit_test(damage_that_a_later_segment_counts_on_is_reported),
        cmocka_unit_test(damaged_short_and_missing_files_are_reported),
        cmocka_unit_test(a_missing_middle_segment_is_reported),
        cmocka_unit_test(an_unknown_version_is_refused),
        cmocka_unit_test(what_a_user_wrote_never_looks_like_a_record),
        cmocka_unit_test(a_failing_call_is_an_error_and_loses_nothing),
        cmocka_unit_test(a_power_cut_in_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(cuts_one_after_the_other_lose_nothing),
        cmocka_unit_test(what_opening_found_stays_found),
        cmocka_unit_test(term_and_vote_survive_and_alternate),
        cmocka_unit_test(one_damaged_slot_gives_the_other_and_two_are_reported),
        cmocka_unit_test(a_cut_while_voting_keeps_the_old_vote_or_the_new),
        cmocka_unit_test(the_golden_file_is_written_and_read_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
