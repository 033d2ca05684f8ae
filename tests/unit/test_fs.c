/* test_fs.c: small files, whole and durable.
 *
 * Goal: a file is replaced whole or not at all and nothing is left behind;
 * each error says which file and why.
 * Method: a folder of its own for each test; failures by paths that cannot
 * work for any user, root included.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

struct fixture {
    char dir[32];
    char path[96];
    struct err err;
};

/* @name inside the test's folder; stays until the next call. */
static const char *at(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
    return f->path;
}

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/godwit-fs-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static void remove_all(const char *path)
{
    DIR *d = opendir(path);

    if (d != NULL) {
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
                char *below = mem_printf("%s/%s", path, e->d_name);
                remove_all(below);
                free(below);
            }
        }
        closedir(d);
    }
    remove(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    remove_all(f->dir);
    free(f);
    return 0;
}

static unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);

    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2;
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void what_was_written_is_read(void **state)
{
    struct fixture *f = *state;
    const char *path = at(f, "file");
    struct buf b = {0};

    assert_int_equal(fs_write(path, "one\0two", 7, 0600, &f->err), 0);
    buf_str(&b, "before ");
    assert_int_equal(fs_read(path, 7, &b, &f->err), 0);
    assert_int_equal(b.len, 14);
    assert_memory_equal(b.data, "before one\0two", 15);
    assert_int_equal(fs_write(path, NULL, 0, 0600, &f->err), 0);
    buf_clear(&b);
    assert_int_equal(fs_read(path, 0, &b, &f->err), 0);
    assert_int_equal(b.len, 0);
    assert_int_equal(count_entries(f->dir), 1);
    buf_free(&b);
}

static void long_files_are_read_whole(void **state)
{
    struct fixture *f = *state;
    size_t len = 300000;
    uint8_t *bytes = mem_alloc(len);
    struct buf b = {0};

    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 31 >> 3);
    }
    assert_int_equal(fs_write(at(f, "file"), bytes, len, 0600, NULL), 0);
    assert_int_equal(fs_read(f->path, len, &b, NULL), 0);
    assert_int_equal(b.len, len);
    assert_memory_equal(b.data, bytes, len);
    buf_free(&b);
    free(bytes);
}

static void modes_do_not_depend_on_the_umask(void **state)
{
    struct fixture *f = *state;
    mode_t old = umask(0077);
    int rc = fs_write(at(f, "file"), "x", 1, 0644, NULL);

    umask(0);
    assert_int_equal(rc, 0);
    assert_int_equal(mode_of(f->path), 0644);
    /* The new mode holds also for what was there. */
    rc = fs_write(f->path, "y", 1, 0600, NULL);
    umask(old);
    assert_int_equal(rc, 0);
    assert_int_equal(mode_of(f->path), 0600);
}

static void a_limit_leaves_the_buf_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};

    assert_int_equal(fs_write(at(f, "file"), "12345678", 8, 0600, NULL), 0);
    buf_str(&b, "kept");
    assert_int_equal(fs_read(f->path, 7, &b, &f->err), ERR_LIMIT);
    assert_non_null(strstr(f->err.text, f->path));
    assert_non_null(strstr(f->err.text, "larger than 7 bytes"));
    assert_string_equal(b.data, "kept");
    buf_free(&b);
}

static void missing_files_are_not_found(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    char expected[160];
    int fd = -7;
    uint64_t n = 42;

    assert_int_equal(fs_read(at(f, "none"), 10, &b, &f->err), ERR_NOT_FOUND);
    snprintf(expected, sizeof expected, "%s: open: %s", f->path,
             strerror(ENOENT));
    assert_string_equal(f->err.text, expected);
    assert_int_equal(fs_write(at(f, "none/x"), "x", 1, 0600, &f->err),
                     ERR_NOT_FOUND);
    assert_int_equal(fs_sync_dir(at(f, "none"), &f->err), ERR_NOT_FOUND);
    assert_int_equal(fs_lock(at(f, "none/lock"), &fd, &f->err), ERR_NOT_FOUND);
    assert_int_equal(fd, -7);
    assert_int_equal(fs_space(at(f, "none"), &n, &n, &f->err), ERR_NOT_FOUND);
    assert_int_equal(n, 42);
    assert_int_equal(count_entries(f->dir), 0);
    buf_free(&b);
}

static void folders_are_no_files(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};

    assert_int_equal(fs_read(f->dir, 10, &b, &f->err), ERR_IO);
    assert_int_equal(mkdir(at(f, "d"), 0700), 0);
    assert_int_equal(fs_write(f->path, "x", 1, 0600, &f->err), ERR_IO);
    assert_non_null(strstr(f->err.text, "rename"));
    /* The temporary file is gone again. */
    assert_int_equal(count_entries(f->dir), 1);
    assert_int_equal(fs_write(at(f, "file"), "x", 1, 0600, NULL), 0);
    assert_int_equal(fs_sync_dir(f->path, &f->err), ERR_IO);
    buf_free(&b);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    int status;
    pid_t child;

    assert_int_equal(fs_write(at(f, "file"), "old", 3, 0600, NULL), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* A file may have 4 KiB; writing more fails halfway with EFBIG. */
        struct rlimit limit = {4096, 4096};
        char new[8192] = {1};
        int rc;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGXFSZ);
        sigprocmask(SIG_BLOCK, &set, NULL);
        setrlimit(RLIMIT_FSIZE, &limit);
        rc = fs_write(f->path, new, sizeof new, 0600, &f->err);
        _exit(rc == ERR_IO && strstr(f->err.text, ": write: ") ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fs_read(f->path, 10, &b, NULL), 0);
    assert_string_equal(b.data, "old");
    assert_int_equal(count_entries(f->dir), 1);
    buf_free(&b);
}

static void mkdirs_makes_every_level(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fs_mkdirs(at(f, "a/b//c/"), &f->err), 0);
    assert_int_equal(mode_of(at(f, "a")), 0700);
    assert_int_equal(mode_of(at(f, "a/b/c")), 0700);
    /* Again, and with more below. */
    assert_int_equal(fs_mkdirs(at(f, "a/b/c"), &f->err), 0);
    assert_int_equal(fs_mkdirs(at(f, "a/b/c/d"), &f->err), 0);
    assert_int_equal(fs_mkdirs("/", &f->err), 0);
    assert_int_equal(fs_mkdirs("/tmp", &f->err), 0);
}

static void mkdirs_takes_relative_paths(void **state)
{
    struct fixture *f = *state;
    char *old = getcwd(NULL, 0);
    int rc[3];

    assert_non_null(old);
    assert_int_equal(chdir(f->dir), 0);
    rc[0] = fs_mkdirs("x", &f->err);
    rc[1] = fs_mkdirs("y/z", &f->err);
    rc[2] = fs_write("plain", "p", 1, 0600, &f->err);
    assert_int_equal(chdir(old), 0);
    free(old);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rc[i], 0);
    }
    assert_int_equal(mode_of(at(f, "y/z")), 0700);
    assert_int_equal(mode_of(at(f, "plain")), 0600);
}

static void mkdirs_stops_at_what_is_no_folder(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fs_write(at(f, "file"), "x", 1, 0600, NULL), 0);
    assert_int_equal(fs_mkdirs(f->path, &f->err), ERR_IO);
    assert_non_null(strstr(f->err.text, "file: Not a directory"));
    assert_int_equal(fs_mkdirs(at(f, "file/below"), &f->err), ERR_IO);
    assert_int_equal(fs_mkdirs("", &f->err), ERR_NOT_FOUND);
}

static void a_lock_is_held_once(void **state)
{
    struct fixture *f = *state;
    int first = -1;
    int second = -1;

    assert_int_equal(fs_lock(at(f, "lock"), &first, &f->err), 0);
    assert_true(first >= 0);
    assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fs_lock(f->path, &second, &f->err), ERR_LOCKED);
    assert_non_null(strstr(f->err.text, "in use by another process"));
    assert_int_equal(second, -1);
    close(first);
    assert_int_equal(fs_lock(f->path, &second, &f->err), 0);
    close(second);
}

static void space_is_within_the_size(void **state)
{
    struct fixture *f = *state;
    uint64_t free_bytes = 0;
    uint64_t size_bytes = 0;

    assert_int_equal(fs_space(f->dir, &free_bytes, &size_bytes, &f->err), 0);
    assert_true(size_bytes > 0);
    assert_true(free_bytes <= size_bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read),
        TEST(long_files_are_read_whole),
        TEST(modes_do_not_depend_on_the_umask),
        TEST(a_limit_leaves_the_buf_as_it_was),
        TEST(missing_files_are_not_found),
        TEST(folders_are_no_files),
        TEST(a_failed_write_leaves_the_old_file),
        TEST(mkdirs_makes_every_level),
        TEST(mkdirs_takes_relative_paths),
        TEST(mkdirs_stops_at_what_is_no_folder),
        TEST(a_lock_is_held_once),
        TEST(space_is_within_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
