/* Goal: every message of libraft survives the wire as it was, and no other
 * bytes make one. Method: a full example of each; every cut; every flipped bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "meta/raft_wire.h"

static uint8_t one[8] = "entry 1", two[16] = "entry 2, longer";
static struct raft_entry entries[2] = {
    {.term = 3, .type = RAFT_COMMAND, .buf = {.base = one, .len = 8}},
    {.term = 4, .type = RAFT_BARRIER, .buf = {.base = two, .len = 16}}};
static char address[] = "127.0.0.1:1", other[] = "127.0.0.1:2";
static struct raft_server servers[2] = {
    {.id = 1, .address = address, .role = RAFT_VOTER},
    {.id = 7, .address = other, .role = RAFT_SPARE}};

static struct raft_message examples[] = {
    {.type = RAFT_IO_APPEND_ENTRIES,
     .append_entries = {5, 6, 7, 8, entries, 2}},
    {.type = RAFT_IO_APPEND_ENTRIES, .append_entries = {5, 6, 7, 8, NULL, 0}},
    {.type = RAFT_IO_APPEND_ENTRIES_RESULT,
     .append_entries_result = {9, 10, 11}},
    {.type = RAFT_IO_REQUEST_VOTE,
     .request_vote = {12, 13, 14, 15, true, false}},
    {.type = RAFT_IO_REQUEST_VOTE,
     .request_vote = {12, 13, 14, 15, false, true}},
    {.type = RAFT_IO_REQUEST_VOTE_RESULT,
     .request_vote_result = {16, true, raft_tribool_true}},
    {.type = RAFT_IO_REQUEST_VOTE_RESULT,
     .request_vote_result = {16, false, raft_tribool_false}},
    {.type = RAFT_IO_REQUEST_VOTE_RESULT,
     .request_vote_result = {16, false, raft_tribool_unknown}},
    {.type = RAFT_IO_INSTALL_SNAPSHOT,
     .install_snapshot = {17, 18, 19, {servers, 2}, 20, {one, 8}}},
    {.type = RAFT_IO_TIMEOUT_NOW, .timeout_now = {21, 22, 23}},
};
#define EXAMPLES (sizeof examples / sizeof examples[0])

static void each_message_comes_back_as_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct raft_message got;
        struct buf a = {0}, b = {0};
        struct err err;
        raft_wire_encode(&examples[i], &a);
        assert_int_equal(raft_wire_decode(a.data, a.len, &got, &err), 0);
        assert_int_equal(got.type, examples[i].type);
        raft_wire_encode(&got, &b); /* the same bytes: the same message */
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        raft_wire_free(&got);
        buf_free(&a);
        buf_free(&b);
    }
}

static void fields_stand_where_they_should(void **state)
{
    struct raft_message got;
    struct buf a = {0};

    (void)state;
    raft_wire_encode(&examples[0], &a);
    assert_int_equal(raft_wire_decode(a.data, a.len, &got, NULL), 0);
    assert_int_equal(got.append_entries.term, 5);
    assert_int_equal(got.append_entries.prev_log_index, 6);
    assert_int_equal(got.append_entries.prev_log_term, 7);
    assert_int_equal(got.append_entries.leader_commit, 8);
    assert_int_equal(got.append_entries.n_entries, 2);
    assert_int_equal(got.append_entries.entries[1].term, 4);
    assert_int_equal(got.append_entries.entries[1].type, RAFT_BARRIER);
    assert_memory_equal(got.append_entries.entries[1].buf.base, two, 16);
    raft_wire_free(&got);
    buf_free(&a);
    raft_wire_encode(&examples[8], &a);
    assert_int_equal(raft_wire_decode(a.data, a.len, &got, NULL), 0);
    assert_int_equal(got.install_snapshot.last_index, 18);
    assert_int_equal(got.install_snapshot.conf_index, 20);
    assert_int_equal(got.install_snapshot.conf.n, 2);
    assert_int_equal(got.install_snapshot.conf.servers[1].id, 7);
    raft_wire_free(&got);
    buf_free(&a);
    raft_wire_encode(&examples[5], &a);
    assert_int_equal(raft_wire_decode(a.data, a.len, &got, NULL), 0);
    assert_int_equal(got.request_vote_result.pre_vote, raft_tribool_true);
    buf_free(&a);
}

static void a_message_of_many_entries_is_trimmed(void **state)
{
    static uint8_t bytes[1 << 20];
    struct raft_entry many[10] = {{0}};
    struct raft_append_entries a = {.prev_log_index = 100,
                                    .leader_commit = 108,
                                    .entries = many,
                                    .n_entries = 10};

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        many[i].buf.base = bytes;
        many[i].buf.len = sizeof bytes;
    }
    raft_wire_trim(&a);
    assert_int_equal(a.n_entries, 4);
    assert_int_equal(a.leader_commit, 104); /* not behind what is sent */
    a.leader_commit = 50;
    many[0].buf.len = RAFT_WIRE_BATCH_BYTES + 1;
    raft_wire_trim(&a); /* one always goes */
    assert_int_equal(a.n_entries, 1);
    assert_int_equal(a.leader_commit, 50);
    raft_wire_trim(&a);
    assert_int_equal(a.n_entries, 1);
}

static void what_is_cut_or_longer_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct raft_message got;
        struct buf a = {0};
        struct err err;
        raft_wire_encode(&examples[i], &a);
        for (size_t n = 0; n < a.len; n++) {
            assert_int_equal(raft_wire_decode(a.data, n, &got, &err),
                             ERR_BAD_INPUT);
            assert_true(err.text[0] != '\0');
        }
        buf_char(&a, 'x');
        assert_int_equal(raft_wire_decode(a.data, a.len, &got, &err),
                         ERR_BAD_INPUT);
        buf_free(&a);
    }
}

static void any_flipped_bit_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct buf a = {0};
        raft_wire_encode(&examples[i], &a);
        for (size_t bit = 0; bit < a.len * 8; bit++) {
            struct raft_message got;
            a.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (raft_wire_decode(a.data, a.len, &got, NULL) == 0) {
                raft_wire_free(&got);
            }
            a.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        buf_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_comes_back_as_it_was),
        cmocka_unit_test(fields_stand_where_they_should),
        cmocka_unit_test(a_message_of_many_entries_is_trimmed),
        cmocka_unit_test(what_is_cut_or_longer_is_refused),
        cmocka_unit_test(any_flipped_bit_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
