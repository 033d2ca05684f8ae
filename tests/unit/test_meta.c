/* test_meta.c: the catalogue from end to end.
 *
 * Goal: what was acknowledged is read by the next read and survives the end of
 * the process at any moment; of racing conditional puts exactly one wins; the
 * database and the log never disagree unnoticed; a disk that fails ends the
 * process before anything is acknowledged.
 * Method: real folders under /tmp; processes killed by SIGKILL while threads
 * put; databases put back to an earlier state, as a power cut may, and
 * replayed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/mem.h"
#include "meta/meta.h"
#include "meta/meta_core.h"
#include "meta/meta_internal.h"
#include "meta/meta_stop.h"
#include "meta/raft_log.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/random_command.h"
#include "tests/lib/temp_dir.h"

#define THREADS 8

/* ---- plain use ---- */

static void what_was_put_is_read_with_all_its_fields(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_object o;
    struct meta_bucket b;
    struct err err = {0};

    (void)state;
    assert_int_equal(bucket_create(m, "b"), 0);
    assert_int_equal(bucket_create(m, "b"), ERR_BUCKET_EXISTS);
    assert_int_equal(put(m, "k", "hello"), 0);
    assert_int_equal(meta_object_get(m, "b", "k", false, &o, NULL), 0);
    assert_string_equal(o.etag, "etag");
    assert_int_equal(o.modified_ms, 2);
    assert_int_equal(o.attrs_len, 5);
    assert_null(o.inline_bytes);
    assert_int_equal(o.parts, 0);
    meta_object_free(&o);
    meta_object_free(&o); /* a freed one is nothing */
    expect_text(m, "k", "hello");
    assert_int_equal(meta_object_get(m, "b", "none", true, &o, &err),
                     ERR_NO_KEY);
    assert_int_equal(meta_object_get(m, "none", "k", true, &o, &err),
                     ERR_NO_BUCKET);
    assert_int_equal(meta_bucket_get(m, "b", &b, NULL), 0);
    assert_string_equal(b.owner, "me");
    assert_int_equal(b.created_ms, 1);
    meta_bucket_free(&b);
    assert_int_equal(meta_bucket_get(m, "none", &b, &err), ERR_NO_BUCKET);
    verify(m);
    meta_close(m);
    m = must_open(dir);
    expect_text(m, "k", "hello");
    meta_close(m);
    meta_close(NULL);
    temp_dir_free(dir);
}

static void deletes_of_many_answer_with_codes(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    const char *keys[] = {"a", "b"};
    const char *etags[] = {NULL, "other"};
    uint8_t codes[META_DELETE_MAX];
    struct meta_proposal p = {.codes = codes};
    struct buf b = {0};

    (void)state;
    bucket_create(m, "b");
    put(m, "a", "1");
    put(m, "b", "2");
    command_objects_delete(&b, "b", keys, etags, 2, 1);
    assert_int_equal(meta_propose_wait(m, &b, &p, NULL), 0);
    assert_int_equal(codes[0], 0);
    assert_int_equal(codes[1], ERR_PRECONDITION);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void statistics_count_rows_and_commands(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_stats s;

    (void)state;
    bucket_create(m, "b");
    put(m, "a", "1");
    put(m, "b", "2");
    meta_stats(m, &s);
    assert_true(s.leader);
    assert_true(s.term > 0);
    assert_true(s.applied_index >= 3);
    assert_int_equal(s.buckets, 1);
    assert_int_equal(s.objects, 2);
    assert_int_equal(s.uploads, 0);
    assert_int_equal(s.garbage, 0);
    assert_int_equal(s.commands, 3);
    assert_int_equal(s.entries, 3);
    assert_true(s.log_bytes >= STORE_SEGMENT);
    assert_true(s.database_bytes > 0);
    meta_close(m);
    temp_dir_free(dir);
}

/* ---- refusals ---- */

static void what_cannot_be_decoded_is_refused_before_the_log(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_stats before, after;
    struct buf b = {0};
    struct err err = {0};

    (void)state;
    meta_stats(m, &before);
    buf_append(&b, "\x03\x01xyz", 5);
    assert_int_equal(meta_propose_wait(m, &b, NULL, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "OBJECT_PUT"));
    meta_stats(m, &after);
    assert_int_equal(before.entries, after.entries);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void below_the_reserve_only_what_frees_is_taken(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_options o = {.dir = dir,
                             .log_segment_bytes = STORE_SEGMENT,
                             .reserve_bytes = UINT64_MAX};
    struct buf b = {0};
    struct err err = {0};

    (void)state;
    bucket_create(m, "b");
    put(m, "k", "1");
    meta_close(m);
    assert_int_equal(meta_open(&o, &m, NULL), 0);
    assert_int_equal(put(m, "k", "2"), ERR_FULL);
    assert_int_equal(bucket_create(m, "c"), ERR_FULL);
    expect_text(m, "k", "1");
    command_object_delete(&b, "b", "k", NULL, 1);
    assert_int_equal(meta_propose_wait(m, &b, NULL, &err), 0);
    buf_clear(&b);
    command_bucket_delete(&b, "b");
    assert_int_equal(meta_propose_wait(m, &b, NULL, &err), 0);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

struct gate {
    struct meta_proposal p;
    struct latch closed, open;
};

/* The apply thread stands here until the gate is opened. */
static void stand(struct meta_proposal *p)
{
    struct gate *g = LIST_OF(p, struct gate, p);

    latch_signal(&g->closed);
    latch_wait(&g->open, 1, STORE_WAIT_MS);
}

/* A megabyte: 1,000 keys to delete. */
static void large_command(struct buf *out)
{
    static char key[META_KEY_MAX + 1];
    const char *keys[META_DELETE_MAX];

    memset(key, 'k', META_KEY_MAX);
    for (size_t i = 0; i < META_DELETE_MAX; i++) {
        keys[i] = key;
    }
    command_objects_delete(out, "b", keys, NULL, META_DELETE_MAX, 1);
}

/* Nothing is applied meanwhile: the log takes what may be behind, the queue
 * what it holds, and the rest is refused. */
static void a_full_queue_says_busy(void **state)
{
    enum { COUNT = 120 };
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct loose *all = mem_calloc(COUNT, sizeof *all);
    struct buf b = {0}, small = {0};
    struct gate gate = {.p = {.done = stand}};
    struct latch latch;
    _Atomic int busy = 0, other = 0;

    (void)state;
    bucket_create(m, "b");
    latch_init(&latch);
    latch_init(&gate.closed);
    latch_init(&gate.open);
    command_object_delete(&small, "b", "k", NULL, 1);
    gate.p.command = small.data;
    gate.p.command_len = small.len;
    meta_propose(m, &gate.p);
    assert_true(latch_wait(&gate.closed, 1, STORE_WAIT_MS));
    large_command(&b);
    for (int i = 0; i < COUNT; i++) {
        all[i] = (struct loose){
            .p = {.command = b.data, .command_len = b.len, .done = loose_done},
            .latch = &latch,
            .busy = &busy,
            .other = &other};
        meta_propose(m, &all[i].p);
    }
    latch_signal(&gate.open);
    assert_true(latch_wait(&latch, COUNT, STORE_WAIT_MS));
    assert_true(busy > 0);
    assert_true(busy < COUNT);
    assert_int_equal(other, 0);
    latch_close(&latch);
    latch_close(&gate.closed);
    latch_close(&gate.open);
    buf_free(&b);
    buf_free(&small);
    free(all);
    meta_close(m);
    temp_dir_free(dir);
}

static void closing_answers_what_was_proposed(void **state)
{
    enum { COUNT = 3000 };
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct loose *all = mem_calloc(COUNT, sizeof *all);
    struct buf b = {0};
    struct latch latch;
    _Atomic int busy = 0, other = 0;

    (void)state;
    latch_init(&latch);
    command_bucket_delete(&b, "none");
    for (int i = 0; i < COUNT; i++) {
        all[i] = (struct loose){
            .p = {.command = b.data, .command_len = b.len, .done = loose_done},
            .latch = &latch,
            .busy = &busy,
            .other = &other};
        meta_propose(m, &all[i].p);
    }
    meta_close(m);
    assert_true(latch_wait(&latch, COUNT, STORE_WAIT_MS));
    assert_int_equal(other, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(all[i].p.status, ERR_NO_BUCKET);
    }
    latch_close(&latch);
    buf_free(&b);
    free(all);
    temp_dir_free(dir);
}

/* ---- races ---- */

struct racer {
    struct meta *m;
    pthread_t thread;
    unsigned number;
    unsigned won;
};

#define ROUNDS 20

static void *race(void *arg)
{
    struct racer *r = arg;
    struct meta_condition none = {.if_none_match = "*"};

    for (unsigned i = 0; i < ROUNDS; i++) {
        char key[16], text[16];
        int rc;
        snprintf(key, sizeof key, "k%u", i);
        snprintf(text, sizeof text, "w%u", r->number);
        rc = put_if(r->m, key, text, text, &none);
        if (rc == 0) {
            r->won++;
            expect_text(r->m, key, text); /* read after write */
        } else {
            assert_int_equal(rc, ERR_PRECONDITION);
        }
    }
    return NULL;
}

static void of_racing_conditional_puts_exactly_one_wins(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct racer r[THREADS];
    unsigned won = 0;

    (void)state;
    bucket_create(m, "b");
    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct racer){.m = m, .number = i};
        pthread_create(&r[i].thread, NULL, race, &r[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
        won += r[i].won;
    }
    assert_int_equal(won, ROUNDS);
    verify(m);
    meta_close(m);
    temp_dir_free(dir);
}

/* Each increments a number that the object holds, by If-Match. */
static void *count_up(void *arg)
{
    struct racer *r = arg;

    while (r->won < ROUNDS) {
        struct meta_object o;
        struct meta_condition c = {0};
        char text[32];
        int rc;
        assert_int_equal(meta_object_get(r->m, "b", "n", true, &o, NULL), 0);
        c.if_match = o.etag;
        snprintf(text, sizeof text, "%ld", strtol(o.etag, NULL, 10) + 1);
        rc = put_if(r->m, "n", text, text, &c);
        assert_true(rc == 0 || rc == ERR_PRECONDITION);
        r->won += rc == 0;
        meta_object_free(&o);
    }
    return NULL;
}

static void no_conditional_update_is_lost(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct racer r[THREADS];
    char want[32];

    (void)state;
    bucket_create(m, "b");
    assert_int_equal(put_if(m, "n", "0", "0", NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct racer){.m = m};
        pthread_create(&r[i].thread, NULL, count_up, &r[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
    }
    snprintf(want, sizeof want, "%d", THREADS * ROUNDS);
    expect_text(m, "n", want);
    meta_close(m);
    temp_dir_free(dir);
}

/* ---- snapshots and what a power cut leaves ---- */

static void snapshots_cut_the_log_and_restarts_go_on(void **state)
{
    char *dir = temp_dir_new();
    struct meta_options o = {.dir = dir,
                             .log_segment_bytes = RAFT_LOG_SEGMENT_MIN,
                             .snapshot_entries = 20};
    char *snapshot = mem_printf("%s/snapshot", dir);

    (void)state;
    for (unsigned life = 0; life < 3; life++) {
        struct meta *m;
        struct meta_stats s;
        struct err err = {0};
        if (meta_open(&o, &m, &err) != 0) {
            fail_msg("%s", err.text);
        }
        bucket_create(m, "b");
        for (unsigned i = 0; i < 120; i++) {
            char key[32], text[2000];
            memset(text, 'x', sizeof text);
            text[sizeof text - 1] = '\0';
            snprintf(key, sizeof key, "%u/%u", life, i);
            assert_int_equal(put(m, key, text), 0);
        }
        meta_stats(m, &s);
        assert_int_equal(s.objects, (life + 1) * 120);
        /* 120 records are 480 KiB; what is left is a few segments, once the
         * snapshot that is under way has been taken. */
        for (int i = 0; i < 2000 && s.log_bytes > 6 * RAFT_LOG_SEGMENT_MIN;
             i++) {
            clock_sleep_ms(10);
            meta_stats(m, &s);
        }
        assert_true(s.log_bytes <= 6 * RAFT_LOG_SEGMENT_MIN);
        verify(m);
        meta_close(m);
        assert_int_equal(access(snapshot, F_OK), 0);
    }
    free(snapshot);
    temp_dir_free(dir);
}

static void many_starts_leave_few_files_of_the_log(void **state)
{
    char *dir = temp_dir_new();
    uint64_t most = 0;

    (void)state;
    for (unsigned life = 0; life < 12; life++) {
        struct meta *m = must_open(dir);
        struct meta_stats s;
        bucket_create(m, "b");
        meta_stats(m, &s);
        most = s.log_bytes > most ? s.log_bytes : most;
        meta_close(m);
    }
    /* Three segments, two spares; one more while a snapshot is on its way. */
    assert_true(most <= 6 * STORE_SEGMENT);
    temp_dir_free(dir);
}

static void copy_file(const char *dir, const char *name, const char *to)
{
    char *from_path = mem_printf("%s/%s", dir, name);
    char *to_path = mem_printf("%s/%s", dir, to);
    struct buf b = {0};

    unlink(to_path);
    if (fs_read(from_path, 1 << 30, &b, NULL) == 0) {
        assert_int_equal(fs_write(to_path, b.data, b.len, 0600, NULL), 0);
    }
    buf_free(&b);
    free(from_path);
    free(to_path);
}

static void dump(struct meta *m, struct buf *out)
{
    struct meta_db *db;

    assert_int_equal(meta_read_begin(m, &db, NULL), 0);
    assert_int_equal(meta_dump_on(db, out, NULL), 0);
    meta_read_end(m, db);
}

/* The first line has the applied index, which barriers raise. */
static const char *rows(const struct buf *b)
{
    return strchr((const char *)b->data, '\n');
}

static void propose_random(struct meta *m, struct random_command *r, int n)
{
    for (int i = 0; i < n; i++) {
        struct buf b = {0};
        struct meta_stats s;
        meta_stats(m, &s);
        r->index = s.applied_index + 1;
        random_command_next(r, &b);
        meta_propose_wait(m, &b, NULL, NULL);
        buf_free(&b);
    }
}

/* A power cut may take the last commits from the database, never from the
 * log: put an older database back and the log makes up for it. */
static void an_older_database_is_made_whole_by_the_log(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        char *dir = temp_dir_new();
        struct random_command r;
        struct buf want = {0}, have = {0};
        struct meta *m = must_open(dir);
        random_command_init(&r, seed);
        propose_random(m, &r, 60);
        meta_close(m);
        copy_file(dir, "catalogue.db", "old");
        m = must_open(dir);
        propose_random(m, &r, 90);
        dump(m, &want);
        meta_close(m);
        copy_file(dir, "old", "catalogue.db");
        m = must_open(dir);
        dump(m, &have);
        assert_string_equal(rows(&want), rows(&have));
        verify(m);
        meta_close(m);
        buf_free(&want);
        buf_free(&have);
        temp_dir_free(dir);
    }
}

static void a_database_older_than_the_snapshot_is_refused(void **state)
{
    char *dir = temp_dir_new();
    struct meta_options o = {
        .dir = dir, .log_segment_bytes = STORE_SEGMENT, .snapshot_entries = 10};
    struct meta *m;
    struct err err = {0};

    (void)state;
    assert_int_equal(meta_open(&o, &m, NULL), 0);
    bucket_create(m, "b");
    meta_close(m);
    copy_file(dir, "catalogue.db", "old");
    assert_int_equal(meta_open(&o, &m, NULL), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(put(m, "k", "v"), 0);
    }
    meta_close(m);
    copy_file(dir, "old", "catalogue.db");
    assert_int_equal(open_error(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "catalogue.db"));
    temp_dir_free(dir);
}

static void a_log_that_lost_its_end_is_refused(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct err err = {0};
    char *path = mem_printf("%s/log-%016x", dir, 1);
    int fd;

    (void)state;
    bucket_create(m, "b");
    for (int i = 0; i < 5; i++) {
        put(m, "k", "v");
    }
    meta_close(m);
    fd = open(path, O_RDWR);
    /* The last record, of index 8: configuration, barrier and six. */
    assert_int_equal(pwrite(fd, "?", 1, 8 * RAFT_LOG_BLOCK + 50), 1);
    close(fd);
    assert_int_equal(open_error(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "has applied 8"));
    free(path);
    temp_dir_free(dir);
}

static void foreign_and_damaged_databases_are_refused(void **state)
{
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/catalogue.db", dir);
    struct meta *m = must_open(dir);
    struct meta_db db;
    struct err err = {0};
    char junk[200];

    (void)state;
    meta_close(m);
    assert_int_equal(meta_db_open(&db, path, META_DB_WRITER, NULL), 0);
    assert_int_equal(meta_db_exec(&db, "PRAGMA user_version = 99", NULL), 0);
    meta_db_close(&db);
    assert_int_equal(open_error(dir, &err), ERR_VERSION);
    assert_non_null(strstr(err.text, "99"));
    memset(junk, 'j', sizeof junk);
    assert_int_equal(fs_write(path, junk, sizeof junk, 0600, NULL), 0);
    assert_int_equal(open_error(dir, &err), ERR_CORRUPT);
    free(path);
    temp_dir_free(dir);
}

/* ---- the end of the process ---- */

/* What a child has seen acknowledged: for each thread, puts so far. */
struct acks {
    _Atomic unsigned started[THREADS];
    _Atomic unsigned done[THREADS];
};

struct putter {
    struct meta *m;
    struct acks *acks;
    unsigned number;
    unsigned from;
};

static void *put_for_ever(void *arg)
{
    struct putter *p = arg;

    for (unsigned i = p->from;; i++) {
        char key[32], text[32];
        snprintf(key, sizeof key, "t%u", p->number);
        snprintf(text, sizeof text, "%u", i);
        p->acks->started[p->number] = i;
        if (put(p->m, key, text) != 0) {
            _exit(1);
        }
        p->acks->done[p->number] = i;
    }
    return NULL;
}

static void child_main(const char *dir, struct acks *acks)
{
    struct meta_options o = {.dir = dir,
                             .log_segment_bytes = RAFT_LOG_SEGMENT_MIN,
                             .snapshot_entries = 50};
    struct putter p[THREADS];
    struct meta *m;
    pthread_t t;

    if (meta_open(&o, &m, NULL) != 0) {
        _exit(2);
    }
    bucket_create(m, "b");
    for (unsigned i = 0; i < THREADS; i++) {
        p[i] = (struct putter){
            .m = m, .acks = acks, .number = i, .from = acks->started[i] + 1};
        pthread_create(&t, NULL, put_for_ever, &p[i]);
    }
    for (;;) {
        pause();
    }
}

static unsigned total_done(struct acks *acks)
{
    unsigned total = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        total += acks->done[i];
    }
    return total;
}

static void a_killed_process_loses_nothing_acknowledged(void **state)
{
    char *dir = temp_dir_new();
    struct acks *acks = mmap(NULL, sizeof *acks, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned total;

    (void)state;
    for (unsigned life = 0; life < 10; life++) {
        struct meta *m;
        pid_t pid = fork();
        int status;
        unsigned before;
        if (pid == 0) {
            child_main(dir, acks);
        }
        before = total_done(acks);
        while (total_done(acks) == before) {
            assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
            clock_sleep_ms(1); /* it has opened and answered something */
        }
        clock_sleep_ms(life * 37 % 90);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        m = must_open(dir);
        for (unsigned i = 0; i < THREADS; i++) {
            struct meta_object o;
            char key[32];
            unsigned have;
            snprintf(key, sizeof key, "t%u", i);
            if (acks->done[i] == 0) {
                continue;
            }
            assert_int_equal(meta_object_get(m, "b", key, true, &o, NULL), 0);
            have = (unsigned)strtoul((char *)o.inline_bytes, NULL, 10);
            assert_true(have >= acks->done[i] && have <= acks->started[i]);
            meta_object_free(&o);
        }
        verify(m);
        meta_close(m);
    }
    total = total_done(acks);
    print_message("%u puts acknowledged over 10 kills\n", total);
    assert_true(total >= 10);
    munmap(acks, sizeof *acks);
    temp_dir_free(dir);
}

static void a_failing_log_write_ends_the_process(void **state)
{
    char *dir = temp_dir_new();
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        struct meta *m = must_open(dir);
        struct rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
        bucket_create(m, "b");
        close(STDERR_FILENO);
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit); /* every write fails: EFBIG */
        put(m, "k", "v");
        _exit(0); /* acknowledged: wrong */
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), META_STOP_EXIT);
    {
        struct meta *m = must_open(dir);
        struct meta_object o;
        assert_int_equal(meta_object_get(m, "b", "k", false, &o, NULL),
                         ERR_NO_KEY);
        meta_close(m);
    }
    temp_dir_free(dir);
}

/* ---- a copy of another member ---- */

/* While it was fetched the log may have been faster. */
static void a_copy_that_is_not_ahead_is_not_taken(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    uint64_t applied;

    (void)state;
    assert_int_equal(bucket_create(m, "b"), 0);
    assert_int_equal(put(m, "k", "hello"), 0);
    pthread_mutex_lock(&m->apply_mutex);
    applied = m->applied;
    pthread_mutex_unlock(&m->apply_mutex);
    assert_true(applied > 1);
    assert_false(meta_swap_database(m, "/nowhere", applied - 1));
    assert_false(meta_swap_database(m, "/nowhere", applied));
    assert_int_equal(put(m, "l", "again"), 0);
    expect_text(m, "k", "hello");
    meta_close(m);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_read_with_all_its_fields),
        cmocka_unit_test(deletes_of_many_answer_with_codes),
        cmocka_unit_test(statistics_count_rows_and_commands),
        cmocka_unit_test(what_cannot_be_decoded_is_refused_before_the_log),
        cmocka_unit_test(below_the_reserve_only_what_frees_is_taken),
        cmocka_unit_test(a_full_queue_says_busy),
        cmocka_unit_test(closing_answers_what_was_proposed),
        cmocka_unit_test(of_racing_conditional_puts_exactly_one_wins),
        cmocka_unit_test(no_conditional_update_is_lost),
        cmocka_unit_test(snapshots_cut_the_log_and_restarts_go_on),
        cmocka_unit_test(many_starts_leave_few_files_of_the_log),
        cmocka_unit_test(an_older_database_is_made_whole_by_the_log),
        cmocka_unit_test(a_database_older_than_the_snapshot_is_refused),
        cmocka_unit_test(a_log_that_lost_its_end_is_refused),
        cmocka_unit_test(foreign_and_damaged_databases_are_refused),
        cmocka_unit_test(a_killed_process_loses_nothing_acknowledged),
        cmocka_unit_test(a_failing_log_write_ends_the_process),
        cmocka_unit_test(a_copy_that_is_not_ahead_is_not_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
