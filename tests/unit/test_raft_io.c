/* test_raft_io.c: libraft's I/O over our log.
 *
 * Goal: what libraft gives is what it gets back at the next start: first
 * entry, term, vote, entries, snapshot; a snapshot's file stands only after
 * the database is durable, and the log is cut only after that; what the disk
 * refuses ends the process.
 * Method: the struct raft_io is called as libraft would, on a loop that the
 * test runs until the completion came.
 */
#include <raft.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/wire.h"
#include "base/workers.h"
#include "crypto/digest.h"
#include "meta/meta_stop.h"
#include "meta/raft_io.h"
#include "meta/raft_log.h"
#include "tests/lib/power_files.h"
#include "tests/lib/temp_dir.h"

/* One life of a member's I/O. */
struct life {
    struct loop *loop;
    struct workers *keeper;
    struct raft_io io;
    struct raft_disk *disk;
    char *dir;
    uint64_t durable; /* what make_durable was asked for */
    bool snapshot_was_there;
    int ticks;
    int completions;
    struct raft_snapshot *got;
    int status;
};

static struct life *now; /* callbacks of libraft have no argument for it */

static int make_durable(void *arg, uint64_t index, struct err *err)
{
    struct life *l = arg;
    char *path = mem_printf("%s/snapshot", l->dir);

    (void)err;
    l->durable = index;
    l->snapshot_was_there = access(path, F_OK) == 0;
    free(path);
    return 0;
}

static void complete(void)
{
    now->completions++;
    loop_stop(now->loop);
}

static void on_tick(void *arg)
{
    struct life *l = arg;

    if (++l->ticks == 3) {
        complete();
    }
}

static int life_open(struct life *l, char *dir,
                     const struct raft_log_files *files, struct err *err)
{
    struct raft_io_options o = {.dir = dir,
                                .segment_bytes = RAFT_LOG_SEGMENT_MIN,
                                .files = files,
                                .make_durable = make_durable,
                                .on_tick = on_tick,
                                .arg = l};
    int rc;

    *l = (struct life){.dir = dir};
    now = l;
    l->loop = loop_new();
    l->keeper = workers_new("keeper", 1, 16);
    o.loop = l->loop;
    o.keeper = l->keeper;
    rc = raft_io_open(&o, &l->io, &l->disk, err);
    if (rc != 0) {
        workers_free(l->keeper);
        loop_free(l->loop);
    }
    return rc;
}

static void must_open(struct life *l, char *dir)
{
    struct err err = {0};

    if (life_open(l, dir, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void life_close(struct life *l)
{
    assert_true(raft_io_idle(l->disk));
    raft_io_free(l->disk);
    workers_free(l->keeper);
    loop_free(l->loop);
}

/* Run the loop until the completion came. A loop that was stopped stays so:
 * one completion in each life. */
static void wait_completion(struct life *l)
{
    loop_run(l->loop, NULL, NULL);
    assert_int_equal(l->completions, 1);
}

static void append_done(struct raft_io_append *req, int status)
{
    (void)req;
    now->status = status;
    complete();
}

static void put_done(struct raft_io_snapshot_put *req, int status)
{
    (void)req;
    now->status = status;
    complete();
}

static void get_done(struct raft_io_snapshot_get *req, struct raft_snapshot *s,
                     int status)
{
    (void)req;
    now->got = s;
    now->status = status;
    complete();
}

static void send_done(struct raft_io_send *req, int status)
{
    (void)req;
    now->status = status;
    complete();
}

static void one_voter(struct raft_configuration *c)
{
    raft_configuration_init(c);
    assert_int_equal(raft_configuration_add(c, 1, "self", RAFT_VOTER), 0);
}

static void bootstrap(char *dir)
{
    struct life l;
    struct raft_configuration c;

    must_open(&l, dir);
    one_voter(&c);
    assert_int_equal(l.io.bootstrap(&l.io, &c), 0);
    assert_int_equal(l.io.bootstrap(&l.io, &c), RAFT_CANTBOOTSTRAP);
    raft_configuration_close(&c);
    life_close(&l);
}

/* Append @n entries that say their index. */
static void append(struct life *l, struct raft_io_append *req, unsigned n)
{
    struct raft_entry *e = mem_calloc(n, sizeof *e);
    uint64_t *data = mem_calloc(n, sizeof *data);

    for (unsigned i = 0; i < n; i++) {
        data[i] = raft_io_last(l->disk) + 1 + i;
        e[i] = (struct raft_entry){.term = 1,
                                   .type = RAFT_COMMAND,
                                   .buf = {.base = &data[i], .len = 8}};
    }
    assert_int_equal(l->io.append(&l->io, req, e, n, append_done), 0);
    wait_completion(l);
    assert_int_equal(l->status, 0);
    free(e);
    free(data);
}

/* Entries @from..@to, each with its index, as load gives them. */
static void expect_entries(struct life *l, uint64_t from, uint64_t to)
{
    raft_term term;
    raft_id vote;
    struct raft_snapshot *s;
    raft_index start;
    struct raft_entry *e;
    size_t n;

    assert_int_equal(l->io.load(&l->io, &term, &vote, &s, &start, &e, &n), 0);
    assert_int_equal(start, from);
    assert_int_equal(n, to + 1 - from);
    for (size_t i = 0; i < n; i++) {
        if (e[i].type == RAFT_COMMAND) {
            assert_int_equal(load_u64(e[i].buf.base), from + i);
        }
        assert_ptr_equal(e[i].batch, e[i].buf.base);
        raft_free(e[i].batch);
    }
    raft_free(e);
    if (s != NULL) {
        assert_int_equal(s->index, from - 1);
        raft_configuration_close(&s->configuration);
        raft_free(s->bufs[0].base);
        raft_free(s->bufs);
        raft_free(s);
    }
}

static void a_new_folder_is_bootstrapped_once(void **state)
{
    char *dir = temp_dir_new();
    struct life l;
    raft_term term;
    raft_id vote;
    struct raft_snapshot *s;
    raft_index start;
    struct raft_entry *e;
    size_t n;
    struct raft_configuration c;

    (void)state;
    bootstrap(dir);
    must_open(&l, dir);
    one_voter(&c);
    assert_int_equal(l.io.bootstrap(&l.io, &c), RAFT_CANTBOOTSTRAP);
    raft_configuration_close(&c);
    assert_int_equal(l.io.load(&l.io, &term, &vote, &s, &start, &e, &n), 0);
    assert_int_equal(term, 1);
    assert_int_equal(vote, 0);
    assert_null(s);
    assert_int_equal(start, 1);
    assert_int_equal(n, 1);
    assert_int_equal(e[0].type, RAFT_CHANGE);
    raft_free(e[0].batch);
    raft_free(e);
    life_close(&l);
    temp_dir_free(dir);
}

static void a_first_start_that_ended_early_goes_on(void **state)
{
    (void)state;
    for (long cut = 0; cut < 30; cut++) {
        char *dir = temp_dir_new();
        struct power_files *p = power_files_new((uint64_t)cut);
        pid_t pid = fork();
        struct life l;
        struct raft_configuration c;
        int rc;
        if (pid == 0) {
            struct err err;
            close(STDERR_FILENO);
            power_files_cut_at(p, cut);
            if (life_open(&l, dir, power_files_ops(p), &err) == 0) {
                one_voter(&c);
                l.io.bootstrap(&l.io, &c);
            }
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        must_open(&l, dir);
        one_voter(&c);
        rc = l.io.bootstrap(&l.io, &c);
        assert_true(rc == 0 || rc == RAFT_CANTBOOTSTRAP);
        raft_configuration_close(&c);
        expect_entries(&l, 1, 1);
        life_close(&l);
        power_files_free(p);
        temp_dir_free(dir);
    }
}

static void term_and_vote_come_back(void **state)
{
    char *dir = temp_dir_new();
    struct life l;
    raft_term term;
    raft_id vote;
    struct raft_snapshot *s;
    raft_index start;
    struct raft_entry *e;
    size_t n;

    (void)state;
    bootstrap(dir);
    must_open(&l, dir);
    assert_int_equal(l.io.set_term(&l.io, 5), 0);
    assert_int_equal(l.io.set_vote(&l.io, 1), 0);
    life_close(&l);
    must_open(&l, dir);
    assert_int_equal(l.io.load(&l.io, &term, &vote, &s, &start, &e, &n), 0);
    assert_int_equal(term, 5);
    assert_int_equal(vote, 1);
    raft_free(e[0].batch);
    raft_free(e);
    life_close(&l);
    temp_dir_free(dir);
}

static void a_log_without_a_vote_is_refused(void **state)
{
    char *dir = temp_dir_new();
    char *vote = mem_printf("%s/vote", dir);
    struct life l;
    struct raft_io_append req;
    struct err err = {0};

    (void)state;
    bootstrap(dir);
    must_open(&l, dir);
    append(&l, &req, 1);
    life_close(&l);
    assert_int_equal(unlink(vote), 0);
    assert_int_equal(life_open(&l, dir, NULL, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "vote"));
    free(vote);
    temp_dir_free(dir);
}

static void entries_come_back_after_appends_and_truncations(void **state)
{
    char *dir = temp_dir_new();
    struct life l;
    struct raft_io_append req;

    (void)state;
    bootstrap(dir);
    must_open(&l, dir);
    append(&l, &req, 5); /* 2..6 */
    assert_int_equal(raft_io_entry_bytes(l.disk) > 40, 1);
    life_close(&l);
    must_open(&l, dir);
    assert_int_equal(raft_io_last(l.disk), 6);
    assert_int_equal(l.io.truncate(&l.io, 4), 0);
    assert_int_equal(raft_io_last(l.disk), 3);
    append(&l, &req, 3); /* 4..6 again: in the order given */
    life_close(&l);
    must_open(&l, dir);
    expect_entries(&l, 1, 6);
    life_close(&l);
    temp_dir_free(dir);
}

static void put_snapshot(struct life *l, uint64_t index, unsigned trailing)
{
    struct raft_io_snapshot_put req;
    struct raft_buffer buf = {.base = "manifest", .len = 8};
    struct raft_snapshot s = {.index = index,
                              .term = 1,
                              .configuration_index = 1,
                              .bufs = &buf,
                              .n_bufs = 1};

    one_voter(&s.configuration);
    assert_int_equal(l->io.snapshot_put(&l->io, trailing, &req, &s, put_done),
                     0);
    wait_completion(l);
    assert_int_equal(l->status, 0);
    raft_configuration_close(&s.configuration);
}

static void a_snapshot_follows_the_database_and_cuts_the_log(void **state)
{
    char *dir = temp_dir_new();
    struct life l;
    struct raft_io_append req;
    struct raft_io_snapshot_get get;

    (void)state;
    bootstrap(dir);
    must_open(&l, dir);
    append(&l, &req, 9); /* 2..10 */
    life_close(&l);
    must_open(&l, dir);
    assert_int_equal(l.io.snapshot_get(&l.io, &get, get_done), 0);
    wait_completion(&l);
    assert_int_equal(l.status, RAFT_NOTFOUND);
    life_close(&l);
    must_open(&l, dir);
    put_snapshot(&l, 7, 2);
    assert_int_equal(l.durable, 7);
    assert_false(l.snapshot_was_there); /* the database came first */
    assert_int_equal(raft_io_snapshot_index(l.disk), 7);
    assert_int_equal(raft_io_entry_bytes(l.disk), 0);
    life_close(&l);
    must_open(&l, dir);
    expect_entries(&l, 8, 10);
    life_close(&l);
    must_open(&l, dir);
    assert_int_equal(l.io.snapshot_get(&l.io, &get, get_done), 0);
    wait_completion(&l);
    assert_int_equal(l.status, 0);
    assert_int_equal(l.got->index, 7);
    assert_int_equal(l.got->configuration.n, 1);
    assert_string_equal(l.got->configuration.servers[0].address, "self");
    assert_memory_equal(l.got->bufs[0].base, "manifest", 8);
    raft_configuration_close(&l.got->configuration);
    raft_free(l.got->bufs[0].base);
    raft_free(l.got->bufs);
    raft_free(l.got);
    life_close(&l);
    temp_dir_free(dir);
}

static void a_damaged_snapshot_is_refused_at_every_byte(void **state)
{
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/snapshot", dir);
    struct life l;
    struct raft_io_append req;
    struct buf b = {0};

    (void)state;
    bootstrap(dir);
    must_open(&l, dir);
    append(&l, &req, 3);
    life_close(&l);
    must_open(&l, dir);
    put_snapshot(&l, 3, 0);
    life_close(&l);
    assert_int_equal(fs_read(path, 4096, &b, NULL), 0);
    for (size_t i = 0; i < b.len; i++) {
        struct err err = {0};
        b.data[i] ^= 0x10;
        fs_write(path, b.data, b.len, 0600, NULL);
        assert_int_equal(life_open(&l, dir, NULL, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, path));
        b.data[i] ^= 0x10;
    }
    /* Sound, but of a version to come. */
    b.data[8] = 2;
    store_u32(b.data + b.len - 4, crc32c(0, b.data, b.len - 4));
    fs_write(path, b.data, b.len, 0600, NULL);
    assert_int_equal(life_open(&l, dir, NULL, NULL), ERR_VERSION);
    b.data[8] = 1;
    /* Sound, but cut short before its end. */
    store_u32(b.data + b.len - 12, crc32c(0, b.data, b.len - 12));
    fs_write(path, b.data, b.len - 8, 0600, NULL);
    assert_int_equal(life_open(&l, dir, NULL, NULL), ERR_CORRUPT);
    buf_free(&b);
    free(path);
    temp_dir_free(dir);
}

static void ticks_come_and_sends_complete(void **state)
{
    char *dir = temp_dir_new();
    struct life l;
    struct raft_io_send send;
    struct raft_message message = {.type = RAFT_IO_REQUEST_VOTE};

    (void)state;
    must_open(&l, dir);
    assert_int_equal(l.io.send(&l.io, &send, &message, send_done), 0);
    wait_completion(&l);
    assert_int_equal(l.status, 0);
    for (int i = 0; i < 100; i++) {
        assert_in_range(l.io.random(&l.io, 10, 20), 10, 19);
    }
    assert_true(l.io.time(&l.io) > 0);
    life_close(&l);
    temp_dir_free(dir);
}

static int work_there(struct raft_io_async_work *req)
{
    (void)req;
    return 17;
}

static void work_back(struct raft_io_async_work *req, int status)
{
    (void)req;
    now->status = status;
    complete();
}

static void work_runs_elsewhere_and_comes_back(void **state)
{
    char *dir = temp_dir_new();
    struct life l;
    struct raft_io_async_work req = {.work = work_there};

    (void)state;
    must_open(&l, dir);
    assert_int_equal(l.io.async_work(&l.io, &req, work_back), 0);
    wait_completion(&l);
    assert_int_equal(l.status, 17);
    life_close(&l);
    temp_dir_free(dir);
}

/* In a child: bootstrap, then let call @n of what follows fail. */
static int exit_of(void (*then)(struct life *l), long n)
{
    char *dir = temp_dir_new();
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct power_files *p = power_files_new(1);
        struct raft_configuration c;
        struct life l;
        close(STDERR_FILENO);
        if (life_open(&l, dir, power_files_ops(p), NULL) != 0) {
            _exit(1);
        }
        one_voter(&c);
        l.io.bootstrap(&l.io, &c);
        power_files_fail_at(p, n);
        then(&l);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    temp_dir_free(dir);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void then_append(struct life *l)
{
    struct raft_io_append req;

    append(l, &req, 1);
}

static void then_vote(struct life *l)
{
    l->io.set_term(&l->io, 9);
}

static void a_disk_that_refuses_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(exit_of(then_append, 0), META_STOP_EXIT); /* write */
    assert_int_equal(exit_of(then_append, 1), META_STOP_EXIT); /* sync */
    assert_int_equal(exit_of(then_append, 2), 0);
    assert_int_equal(exit_of(then_vote, 1), META_STOP_EXIT);
    assert_int_equal(exit_of(then_vote, 2), META_STOP_EXIT);
    assert_int_equal(exit_of(then_vote, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_folder_is_bootstrapped_once),
        cmocka_unit_test(a_first_start_that_ended_early_goes_on),
        cmocka_unit_test(term_and_vote_come_back),
        cmocka_unit_test(a_log_without_a_vote_is_refused),
        cmocka_unit_test(entries_come_back_after_appends_and_truncations),
        cmocka_unit_test(a_snapshot_follows_the_database_and_cuts_the_log),
        cmocka_unit_test(a_damaged_snapshot_is_refused_at_every_byte),
        cmocka_unit_test(ticks_come_and_sends_complete),
        cmocka_unit_test(work_runs_elsewhere_and_comes_back),
        cmocka_unit_test(a_disk_that_refuses_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
