/* test_spool_index.c: what a spool holds, by id, key and class.
 *
 * Goal: the index answers as a plain array would, over growth, gaps, and their
 * closing. Method: random adds and removes beside such an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

#include "edge-agent/spool_index.h"

#define IDS 60000

struct model {
    bool live[IDS];
    uint32_t hash[IDS];
    uint8_t class_id[IDS];
};

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void compare(struct spool_index *x, const struct model *m, uint32_t ids)
{
    size_t count = 0, classes[SPOOL_CLASSES] = {0};
    uint64_t after = 0;

    for (uint32_t id = 1; id < ids; id++) {
        const struct index_entry *e = spool_index_get(x, id);
        assert_int_equal(e != NULL, m->live[id]);
        if (m->live[id]) {
            count++;
            classes[m->class_id[id]]++;
            assert_int_equal(e->hash, m->hash[id]);
            assert_int_equal(spool_index_after(x, after)->id, id);
            after = id;
        }
    }
    assert_null(spool_index_after(x, after));
    assert_int_equal(spool_index_count(x), count);
    assert_int_equal(spool_index_bytes(x), count * 10);
    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        assert_int_equal(spool_index_class_count(x, c), classes[c]);
    }
}

static void compare_keys(struct spool_index *x, const struct model *m,
                         uint32_t ids)
{
    for (uint32_t hash = 0; hash < 50; hash++) {
        uint64_t below = UINT64_MAX;
        for (uint32_t id = ids; id-- > 1;) {
            if (m->live[id] && m->hash[id] == hash) {
                const struct index_entry *e = spool_index_find(x, hash, below);
                assert_non_null(e);
                assert_int_equal(e->id, id);
                below = id;
            }
        }
        assert_null(spool_index_find(x, hash, below));
    }
}

static void it_answers_as_an_array_would(void **state)
{
    struct model *m = calloc(1, sizeof *m);
    struct spool_index *x = spool_index_new();
    uint32_t seed = 5, id = 1;

    (void)state;
    while (id < IDS) {
        struct index_entry e = {.stored_size = 10};
        uint32_t adds = draw(&seed) % 3000, removes = draw(&seed) % 2800;
        for (uint32_t i = 0; i < adds && id < IDS; i++, id++) {
            e.id = id;
            e.hash = m->hash[id] = draw(&seed) % 700;
            e.class_id = m->class_id[id] = (uint8_t)(draw(&seed) % 10);
            m->live[id] = true;
            spool_index_add(x, &e);
        }
        /* Mostly at random, so that gaps are many; some from the front. */
        for (uint32_t i = 0; i < removes; i++) {
            const struct index_entry *old =
                i % 4 == 0 ? spool_index_after(x, 0)
                           : spool_index_get(x, draw(&seed) % id);
            if (old != NULL) {
                m->live[old->id] = false;
                spool_index_remove(x, old->id);
            }
        }
        if (draw(&seed) % 8 == 0) {
            compare(x, m, id);
            compare_keys(x, m, id);
        }
    }
    compare(x, m, id);
    spool_index_free(x);
    free(m);
}

static void each_class_has_its_oldest_and_its_bytes(void **state)
{
    static const uint8_t classes[] = {5, 2, 7, 2, 5};
    struct spool_index *x = spool_index_new();

    (void)state;
    for (uint64_t i = 0; i < 5; i++) {
        struct index_entry e = {.id = i + 1,
                                .class_id = classes[i],
                                .stored_size = (uint32_t)(100 << i)};
        spool_index_add(x, &e);
    }
    assert_null(spool_index_oldest(x, 1));
    assert_int_equal(spool_index_oldest(x, 2)->id, 2);
    assert_int_equal(spool_index_class_bytes(x, 2), 200 + 800);
    spool_index_remove(x, 2);
    assert_int_equal(spool_index_oldest(x, 2)->id, 4);
    assert_int_equal(spool_index_class_bytes(x, 2), 800);
    spool_index_remove(x, 4);
    assert_null(spool_index_oldest(x, 2));
    assert_int_equal(spool_index_class_bytes(x, 2), 0);
    assert_int_equal(spool_index_oldest(x, 5)->id, 1);
    assert_int_equal(spool_index_oldest(x, 7)->id, 3);
    spool_index_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_as_an_array_would),
        cmocka_unit_test(each_class_has_its_oldest_and_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
