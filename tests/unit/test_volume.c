/* Goal: what counts as live, dead and still needed is right through puts,
 * deletes, moves and segments that go away.
 *
 * Method: entries applied by hand to two or three segments without files;
 * docs of the invariants in volume.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/volume.h"

#define LENGTH 5000u
#define SPAN 8192u

static struct volume *v;
static struct segment *a;
static struct segment *b;
static const struct shard_key key = {1, 2, 3};

static struct segment *add_segment(void)
{
    struct segment *g = volume_add_segment(v, volume_unused_number(v));

    g->state = SEGMENT_SEALED;
    return g;
}

static int set_up(void **state)
{
    (void)state;
    v = volume_new(drive_posix(), "none", 1,
                   (const uint8_t *)"0123456789abcdef");
    a = add_segment();
    b = add_segment();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    volume_free(v);
    volume_free(NULL);
    return 0;
}

static struct segment_entry shard(uint32_t unit)
{
    return (struct segment_entry){
        .key = key, .type = RECORD_SHARD, .length = LENGTH, .unit = unit};
}

static struct segment_entry tombstone(uint32_t unit)
{
    return (struct segment_entry){
        .key = key, .type = RECORD_TOMBSTONES, .length = 24, .unit = unit};
}

static void put(struct segment *g, uint32_t unit)
{
    struct segment_entry e = shard(unit);

    volume_apply(v, g, &e);
}

static void take_away(struct segment *g, uint32_t unit)
{
    struct segment_entry e = tombstone(unit);

    volume_apply(v, g, &e);
}

static unsigned stale(void)
{
    return shard_index_find(v->index, &key)->stale;
}

static void a_put_that_replaces_leaves_a_dead_record(void **state)
{
    (void)state;
    put(a, 1);
    put(b, 1);
    assert_int_equal(a->live_bytes, 0);
    assert_int_equal(b->live_bytes, SPAN);
    assert_int_equal(v->live_bytes, SPAN);
    assert_int_equal(v->data_bytes, LENGTH);
    assert_int_equal(v->shards, 1);
    assert_int_equal(stale(), 1);
    volume_unstale(v, &key);
    assert_int_equal(stale(), 0);
    assert_int_equal(v->shards, 1);
}

static void a_tombstone_stays_until_the_last_dead_record_goes(void **state)
{
    struct segment_entry e = tombstone(9);

    (void)state;
    put(a, 1);
    put(a, 3);
    take_away(b, 9);
    take_away(b, 10); /* a second one is of no use */
    assert_int_equal(v->shards, 0);
    assert_int_equal(v->data_bytes, 0);
    assert_int_equal(b->live_bytes, VOLUME_TOMBSTONE_BYTES);
    assert_true(volume_is_current(v, b, &e));
    volume_unstale(v, &key);
    assert_true(volume_is_current(v, b, &e));
    volume_unstale(v, &key);
    assert_int_equal(shard_index_count(v->index), 0);
    assert_int_equal(v->live_bytes, 0);
}

static void a_tombstone_of_nothing_is_nothing(void **state)
{
    (void)state;
    take_away(a, 1);
    assert_int_equal(shard_index_count(v->index), 0);
    assert_int_equal(a->live_bytes, 0);
    volume_unstale(v, &key);
    volume_forget(v, &key);
    volume_lose(v, &key);
}

static void a_put_after_a_delete_lives(void **state)
{
    (void)state;
    put(a, 1);
    take_away(a, 3);
    put(b, 1);
    assert_int_equal(v->shards, 1);
    assert_int_equal(v->live_bytes, SPAN);
    assert_int_equal(a->live_bytes, 0);
    assert_int_equal(stale(), 1);
}

static void a_move_is_refused_once_the_record_is_dead(void **state)
{
    struct segment_entry e = shard(7);

    (void)state;
    put(a, 1);
    assert_false(volume_move(v, a, 2, b, &e));
    assert_true(volume_move(v, a, 1, b, &e));
    assert_false(volume_move(v, a, 1, b, &e));
    assert_int_equal(a->live_bytes, 0);
    assert_int_equal(b->live_bytes, SPAN);
    assert_int_equal(stale(), 1); /* the record that it was moved from */
    take_away(b, 20);
    assert_false(volume_move(v, b, 7, a, &e));
    e = tombstone(30);
    assert_true(volume_move(v, b, 20, a, &e));
    assert_int_equal(a->live_bytes, VOLUME_TOMBSTONE_BYTES);
    assert_int_equal(stale(), 2);
}

static void a_bad_record_stands_in_for_nothing_good(void **state)
{
    struct segment_entry bad = shard(5);
    struct segment_entry good = shard(1);

    (void)state;
    bad.bad = true;
    volume_apply(v, a, &bad);
    assert_true(volume_is_current(v, a, &bad)); /* better than none */
    put(a, 1);
    volume_apply(v, b, &bad);
    assert_true(volume_is_current(v, a, &good));
    assert_int_equal(v->shards, 1);
}

static void a_lost_shard_is_there_without_a_place(void **state)
{
    (void)state;
    put(a, 1);
    volume_lose(v, &key);
    assert_int_equal(shard_index_find(v->index, &key)->state, INDEX_LOST);
    assert_int_equal(v->shards, 1);
    assert_int_equal(a->live_bytes, 0);
    assert_int_equal(v->data_bytes, 0);
    put(b, 1);
    assert_int_equal(v->shards, 1);
    assert_int_equal(b->live_bytes, SPAN);
}

static void a_forgotten_shard_takes_its_tombstone_in_memory(void **state)
{
    (void)state;
    put(a, 1);
    volume_forget(v, &key);
    assert_int_equal(v->shards, 0);
    assert_int_equal(v->live_bytes, 0);
    assert_int_equal(stale(), 1);
    take_away(b, 1); /* now it can be written */
    assert_int_equal(b->live_bytes, VOLUME_TOMBSTONE_BYTES);
    volume_unplace_tombstone(v, &key);
    assert_int_equal(b->live_bytes, 0);
    volume_unstale(v, &key);
    assert_int_equal(shard_index_count(v->index), 0);
}

static void numbers_of_dropped_segments_are_used_again(void **state)
{
    struct segment *c;

    (void)state;
    a->state = SEGMENT_FREE;
    volume_push_free(v, a);
    assert_ptr_equal(volume_pop_free(v), a);
    assert_null(volume_pop_free(v));
    volume_drop_segment(v, a);
    c = add_segment();
    assert_int_equal(c->number, 0);
    assert_int_equal(add_segment()->number, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_that_replaces_leaves_a_dead_record),
        TEST(a_tombstone_stays_until_the_last_dead_record_goes),
        TEST(a_tombstone_of_nothing_is_nothing),
        TEST(a_put_after_a_delete_lives),
        TEST(a_move_is_refused_once_the_record_is_dead),
        TEST(a_bad_record_stands_in_for_nothing_good),
        TEST(a_lost_shard_is_there_without_a_place),
        TEST(a_forgotten_shard_takes_its_tombstone_in_memory),
        TEST(numbers_of_dropped_segments_are_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
