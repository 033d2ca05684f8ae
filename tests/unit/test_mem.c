/* test_mem.c: allocation, pages, wiping.
 *
 * Goal: memory is zeroed, aligned and never NULL as the header says; what
 * cannot be allocated stops the process.
 * Method: look at the bytes; a child process for what aborts.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static void allocations_are_zeroed_and_never_null(void **state)
{
    uint8_t *p = mem_alloc(1000);
    uint64_t *q = mem_calloc(10, sizeof *q);
    void *empty[4] = {mem_alloc(0), mem_calloc(0, 8), mem_calloc(8, 0),
                      mem_realloc(NULL, 0)};

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(p[i], 0);
    }
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(q[i], 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(empty[i]);
        free(empty[i]);
    }
    p[999] = 7;
    p = mem_realloc(p, 100000);
    assert_int_equal(p[999], 7);
    free(p);
    free(q);
}

static void copies_are_equal_and_apart(void **state)
{
    char text[] = "text";
    char *a = mem_strdup(text);
    char *b = mem_strndup("text and more", 4);
    char *c = mem_dup("te\0t", 4);
    char *d = mem_printf("%s-%d", "text", 7);
    void *none = mem_dup(NULL, 0);

    (void)state;
    text[0] = 'X';
    assert_string_equal(a, "text");
    assert_string_equal(b, "text");
    assert_memory_equal(c, "te\0t", 4);
    assert_string_equal(d, "text-7");
    assert_non_null(none);
    free(a);
    free(b);
    free(c);
    free(d);
    free(none);
}

static void pages_stand_at_page_boundaries(void **state)
{
    static const size_t sizes[] = {1, 4095, 4096, 4097, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t whole = mem_round_up(sizes[i], MEM_PAGE);
        uint8_t *p = mem_pages(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % MEM_PAGE, 0);
        memset(p, 0xa5, whole);
        mem_pages_free(p, sizes[i]);
    }
    mem_pages_free(NULL, 4096);
}

static void pages_say_no_instead_of_stopping(void **state)
{
    (void)state;
    assert_null(mem_pages(SIZE_MAX / 2));
    assert_null(mem_pages(SIZE_MAX)); /* rounds up past the end */
}

static void small_memory_that_is_missing_stops_the_process(void **state)
{
    int status;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        /* The product does not fit in a size_t. */
        free(mem_calloc(SIZE_MAX / 2, 4));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(status != 0);
}

static void wipe_leaves_zeros_and_no_more(void **state)
{
    uint8_t bytes[16];

    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    mem_wipe(bytes + 4, 8);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], i >= 4 && i < 12 ? 0 : 0xff);
    }
    mem_wipe(NULL, 0);
}

static void diff_is_zero_only_for_equal_bytes(void **state)
{
    uint8_t a[33];
    uint8_t b[33];

    (void)state;
    memset(a, 0x11, sizeof a);
    memcpy(b, a, sizeof b);
    assert_int_equal(mem_diff(a, b, sizeof a), 0);
    assert_int_equal(mem_diff(a, b, 0), 0);
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(mem_diff(a, b, sizeof a), 0);
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    b[32] = 0;
    assert_int_equal(mem_diff(a, b, 32), 0);
}

static void round_up_goes_to_the_next_multiple(void **state)
{
    (void)state;
    assert_int_equal(mem_round_up(0, 8), 0);
    assert_int_equal(mem_round_up(1, 8), 8);
    assert_int_equal(mem_round_up(8, 8), 8);
    assert_int_equal(mem_round_up(4097, 4096), 8192);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_zeroed_and_never_null),
        cmocka_unit_test(copies_are_equal_and_apart),
        cmocka_unit_test(pages_stand_at_page_boundaries),
        cmocka_unit_test(pages_say_no_instead_of_stopping),
        cmocka_unit_test(small_memory_that_is_missing_stops_the_process),
        cmocka_unit_test(wipe_leaves_zeros_and_no_more),
        cmocka_unit_test(diff_is_zero_only_for_equal_bytes),
        cmocka_unit_test(round_up_goes_to_the_next_multiple),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
