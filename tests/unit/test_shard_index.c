/* Goal: the index is a sorted map of keys.
 *
 * Method: random inserts and removes beside a plain array that is sorted by
 * brute force; after each phase both are walked and compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/shard_index.h"

#define COUNT 5000

static uint64_t state_of_random = 12345;

static uint64_t draw(void)
{
    state_of_random ^= state_of_random << 13;
    state_of_random ^= state_of_random >> 7;
    state_of_random ^= state_of_random << 17;
    return state_of_random;
}

static int by_key(const void *a, const void *b)
{
    return shard_key_compare(a, b);
}

struct walk {
    const struct shard_key *want;
    size_t at;
};

static bool compare_one(void *arg, struct index_entry *e)
{
    struct walk *w = arg;
    struct shard_key key = index_entry_key(e);

    assert_int_equal(shard_key_compare(&key, &w->want[w->at]), 0);
    w->at++;
    return true;
}

static void compare_all(struct shard_index *x, struct shard_key *keys,
                        size_t count)
{
    struct walk w = {.want = keys};

    qsort(keys, count, sizeof *keys, by_key);
    shard_index_walk(x, NULL, compare_one, &w);
    assert_int_equal(w.at, count);
    assert_int_equal(shard_index_count(x), count);
}

static void random_inserts_and_removes_keep_the_order(void **state)
{
    struct shard_index *x = shard_index_new();
    struct shard_key *keys = mem_calloc(COUNT, sizeof *keys);
    size_t left = COUNT;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        keys[i] = (struct shard_key){draw() % 50, draw(), (uint8_t)draw()};
        assert_int_equal(shard_index_insert(x, &keys[i])->state, INDEX_NEW);
        shard_index_find(x, &keys[i])->state = INDEX_LIVE;
    }
    compare_all(x, keys, COUNT);
    while (left > 0) {
        for (size_t i = 0; i < COUNT / 10; i++) {
            size_t at = draw() % left;
            assert_int_equal(shard_index_insert(x, &keys[at])->state,
                             INDEX_LIVE); /* it is there already */
            shard_index_remove(x, &keys[at]);
            assert_null(shard_index_find(x, &keys[at]));
            shard_index_remove(x, &keys[at]); /* nothing */
            keys[at] = keys[--left];
        }
        compare_all(x, keys, left);
    }
    assert_null(shard_index_after(x, NULL));
    free(keys);
    shard_index_free(x);
}

static void keys_in_order_fill_their_leaves(void **state)
{
    struct shard_index *x = shard_index_new();
    struct shard_key *keys = mem_calloc(COUNT, sizeof *keys);

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        keys[i] = (struct shard_key){7, i, 0};
        shard_index_insert(x, &keys[i]);
    }
    compare_all(x, keys, COUNT);
    for (size_t i = COUNT; i-- > 0;) {
        shard_index_remove(x, &keys[i]);
    }
    assert_int_equal(shard_index_count(x), 0);
    shard_index_insert(x, &keys[3]); /* an emptied index works on */
    assert_non_null(shard_index_find(x, &keys[3]));
    free(keys);
    shard_index_free(x);
}

static void after_gives_the_next_key_be_it_there_or_not(void **state)
{
    struct shard_index *x = shard_index_new();
    struct shard_key key = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        key.lo = i * 2;
        shard_index_insert(x, &key);
    }
    for (uint64_t i = 0; i < 1997; i++) {
        key.lo = i;
        assert_int_equal(shard_index_after(x, &key)->lo, i / 2 * 2 + 2);
    }
    key.lo = 1998;
    assert_null(shard_index_after(x, &key));
    assert_int_equal(shard_index_after(x, NULL)->lo, 0);
    shard_index_free(x);
    shard_index_free(NULL);
}

static void slots_of_a_chunk_stand_in_order(void **state)
{
    const struct shard_key a = {1, 1, 0};
    const struct shard_key b = {1, 1, 255};
    const struct shard_key c = {1, 2, 0};

    (void)state;
    assert_true(shard_key_compare(&a, &b) < 0);
    assert_true(shard_key_compare(&b, &c) < 0);
    assert_true(shard_key_compare(&c, &a) > 0);
    assert_int_equal(shard_key_compare(&b, &b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_inserts_and_removes_keep_the_order),
        cmocka_unit_test(keys_in_order_fill_their_leaves),
        cmocka_unit_test(after_gives_the_next_key_be_it_there_or_not),
        cmocka_unit_test(slots_of_a_chunk_stand_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
