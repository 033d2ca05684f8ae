/* Goal: what is asked of another server's drives is done there and comes back
 * byte for byte; what is no good question, or has wrong bytes, is refused by
 * name and changes nothing.
 *
 * Method: two servers in one process over loopback TLS. Server 1 asks, by peers
 * or with raw frames; server 2 has drives 20 and 21 on fake disks.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "node/shard_wire.h"
#include "tests/lib/shard_site.h"
#include "tests/lib/shard_wait.h"

#define MIB ((uint32_t)1 << 20)

static struct site near, far;
static uint8_t *bytes, *back;

/* Reads of disks wait while it is locked. */
static pthread_mutex_t reads = PTHREAD_MUTEX_INITIALIZER;
static int (*disk_read)(void *data, struct drive_file *file,
                        const struct iovec *iov, int count, uint64_t offset,
                        size_t *got, struct err *err);

static int read_in_turn(void *data, struct drive_file *file,
                        const struct iovec *iov, int count, uint64_t offset,
                        size_t *got, struct err *err)
{
    pthread_mutex_lock(&reads);
    pthread_mutex_unlock(&reads);
    return disk_read(data, file, iov, count, offset, got, err);
}

static int set_up(void **state)
{
    struct fake_disk *d = fake_disk_new(1);

    disk_read = fake_disk_ops(d)->read;
    fake_disk_free(d);
    (void)state;
    memset(&near, 0, sizeof near);
    memset(&far, 0, sizeof far);
    far.read = read_in_turn;
    near.options = (struct peers_net_options){.refresh_ms = 20};
    site_open(&near, 1, 10, 0);
    site_open(&far, 2, 20, 2);
    site_link(&near, &far, NULL);
    return site_wait_state(&near, 20, PEER_UP) ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&near);
    site_close(&far);
    return 0;
}

static int put(uint16_t drive, struct shard_key key, uint32_t group,
               const void *data, uint32_t length, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.put = (struct shard_put){.key = key,
                               .group = group,
                               .data = data,
                               .length = length,
                               .done = shard_wait_put_done};
    peers_put(near.peers, drive, &w.put);
    return shard_wait_for(&w, err);
}

static int get(uint16_t drive, struct shard_key key, uint32_t offset,
               uint32_t length, struct err *err)
{
    struct shard_wait w;

    memset(back, 0xee, length + 1);
    shard_wait_init(&w);
    w.get = (struct shard_get){.key = key,
                               .offset = offset,
                               .length = length,
                               .out = back,
                               .done = shard_wait_get_done};
    peers_get(near.peers, drive, &w.get);
    return shard_wait_for(&w, err);
}

static int take_away(uint16_t drive, struct shard_key key, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.del = (struct shard_delete){.key = key, .done = shard_wait_delete_done};
    peers_delete(near.peers, drive, &w.del);
    return shard_wait_for(&w, err);
}

/* Ask server 2 with any head and body; the answer's head is dropped. */
static int ask_raw(uint8_t type, const void *head, size_t head_len,
                   const void *body, size_t body_len, struct err *err)
{
    struct net_call c = {.service = NET_SHARD,
                         .type = type,
                         .head = head,
                         .head_len = head_len,
                         .body = body,
                         .body_len = body_len,
                         .timeout_ms = SITE_WAIT_MS};
    int rc = net_call_wait(near.net, 2, &c);

    *err = c.err;
    buf_free(&c.reply_head);
    buf_free(&c.reply_body);
    return rc;
}

static int ask(const struct shard_ask *a, const void *body, size_t body_len,
               struct err *err)
{
    uint8_t head[SHARD_ASK_BYTES_MAX];
    size_t len = shard_ask_encode(a, head);

    return ask_raw((uint8_t)a->verb, head, len, body, body_len, err);
}

static void shards_of_all_lengths_come_back(void **state)
{
    static const uint32_t lengths[] = {
        1,       100,     4095,           4096,
        65535,   65536,   65537,          3 * 65536u + 1,
        MIB - 1, 2 * MIB, SHARD_BYTES_MAX};
    struct err err;

    (void)state;
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct shard_key key = {5, i, (uint8_t)i};
        uint32_t n = lengths[i];
        assert_int_equal(put(20, key, 7, bytes + i, n, &err), 0);
        assert_int_equal(get(20, key, 0, n, &err), 0);
        assert_memory_equal(back, bytes + i, n);
        assert_int_equal(get(21, key, 0, n, &err), ERR_NOT_FOUND);
    }
    /* They stand on server 2's drive. */
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct shard_key key = {5, i, (uint8_t)i};
        struct shard_info info;
        assert_true(shard_store_stat(far.stores[0], &key, &info));
        assert_int_equal(info.length, lengths[i]);
        assert_int_equal(info.group, 7);
    }
}

static void ranges_come_back(void **state)
{
    static const uint32_t ranges[][2] = {
        {0, 1},         {MIB - 1, 1},       {65535, 2},
        {65536, 65536}, {100, 3 * 65536u},  {MIB - 65537, 65537},
        {1, MIB - 1},   {MIB / 2, MIB / 2}, {12345, 54321}};
    struct shard_key key = {6, 1, 0};
    struct err err;

    (void)state;
    assert_int_equal(put(20, key, 7, bytes, MIB, &err), 0);
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_int_equal(get(20, key, ranges[i][0], ranges[i][1], &err), 0);
        assert_memory_equal(back, bytes + ranges[i][0], ranges[i][1]);
        assert_int_equal(back[ranges[i][1]], 0xee);
    }
    assert_int_equal(get(20, key, MIB, 1, &err), ERR_RANGE);
    assert_int_equal(get(20, key, MIB - 1, 2, &err), ERR_RANGE);
    assert_int_equal(get(20, key, 0, 0, &err), ERR_RANGE);
    assert_int_equal(get(20, key, SHARD_BYTES_MAX, 1, &err), ERR_RANGE);
}

static void a_missing_shard_is_not_found_by_any_verb(void **state)
{
    struct shard_key key = {9, 9, 9};
    struct shard_info info;
    struct err err;

    (void)state;
    assert_int_equal(get(20, key, 0, 1, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "drive 20: no such shard"));
    assert_int_equal(peers_stat(near.peers, 20, &key, &info, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(peers_verify(near.peers, 20, &key, &info, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(take_away(20, key, &err), 0);
}

static void a_deleted_shard_is_gone(void **state)
{
    struct shard_key key = {8, 1, 2};
    struct shard_info info;
    struct err err;

    (void)state;
    assert_int_equal(put(21, key, 3, bytes, 5000, &err), 0);
    assert_int_equal(peers_stat(near.peers, 21, &key, &info, &err), 0);
    assert_int_equal(info.length, 5000);
    assert_int_equal(info.group, 3);
    assert_int_equal(peers_verify(near.peers, 21, &key, &info, &err), 0);
    assert_int_equal(info.length, 5000);
    assert_int_equal(take_away(21, key, &err), 0);
    assert_int_equal(get(21, key, 0, 1, &err), ERR_NOT_FOUND);
}

static void a_damaged_shard_is_corrupt_by_get_and_verify(void **state)
{
    struct shard_key key = {8, 2, 2};
    struct shard_info info;
    struct err err;

    (void)state;
    assert_int_equal(put(20, key, 3, bytes, 65536, &err), 0);
    /* The only record: its data begin behind a header of one unit. */
    assert_true(fake_disk_flip(far.disks[0], "00000000.seg", 4096 * 3 + 9));
    assert_int_equal(get(20, key, 0, 65536, &err), ERR_CORRUPT);
    assert_int_equal(peers_verify(near.peers, 20, &key, &info, &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "wrong checksums"));
}

static void lists_come_in_pages_and_by_group(void **state)
{
    struct shard_info infos[SHARD_LIST_MAX];
    struct shard_key after;
    const struct shard_key *from = NULL;
    struct shard_page page = {0};
    unsigned seen = 0, pages = 0;
    struct err err;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct shard_key key = {1, i, 0};
        assert_int_equal(put(20, key, i % 3, bytes, 10, &err), 0);
    }
    while (!page.end) {
        assert_int_equal(peers_list(near.peers, 20, SHARD_ANY_GROUP, from,
                                    infos, 7, &page, &err),
                         0);
        for (unsigned i = 0; i < page.count; i++) {
            assert_int_equal(infos[i].key.lo, seen++);
        }
        after = page.last;
        from = &after;
        pages++;
    }
    assert_int_equal(seen, 100);
    assert_int_equal(pages, 15);
    from = NULL;
    seen = 0;
    for (page.end = false; !page.end;) {
        assert_int_equal(
            peers_list(near.peers, 20, 2, from, infos, 8, &page, &err), 0);
        for (unsigned i = 0; i < page.count; i++) {
            assert_int_equal(infos[i].group, 2);
            assert_int_equal(infos[i].key.lo % 3, 2);
        }
        seen += page.count;
        after = page.last;
        from = &after;
    }
    assert_int_equal(seen, 33);
    assert_int_equal(peers_list(near.peers, 20, 5, NULL, infos, 8, &page, &err),
                     0);
    assert_true(page.end && page.count == 0);
    /* The same of the drive's own server. */
    assert_int_equal(peers_list(far.peers, 20, 2, NULL, infos, 40, &page, &err),
                     0);
    assert_true(page.end && page.count == 33);
}

static void wrong_bytes_on_the_way_are_refused_and_not_stored(void **state)
{
    struct shard_ask a = {
        .verb = SHARD_PUT, .drive = 20, .key = {4, 4, 4}, .length = 1000};
    struct shard_server_stats stats;
    struct shard_info info;
    struct err err;

    (void)state;
    a.body_crc = crc32c(0, bytes, 1000) ^ 1;
    assert_int_equal(ask(&a, bytes, 1000, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.text, "shard put: body: wrong checksum"));
    a.body_crc ^= 1;
    assert_int_equal(ask(&a, bytes, 999, &err), ERR_BAD_INPUT);
    assert_int_equal(ask(&a, NULL, 0, &err), ERR_BAD_INPUT);
    assert_false(shard_store_stat(far.stores[0], &a.key, &info));
    shard_server_stats(far.shards, &stats);
    assert_int_equal(stats.refused, 3);
    /* And the right ones are taken. */
    assert_int_equal(ask(&a, bytes, 1000, &err), 0);
    assert_true(shard_store_stat(far.stores[0], &a.key, &info));
}

static void what_is_no_question_is_refused_by_name(void **state)
{
    struct shard_ask a = {.verb = SHARD_DELETE, .drive = 20};
    uint8_t head[SHARD_ASK_BYTES_MAX];
    size_t len = shard_ask_encode(&a, head);
    struct err err;

    (void)state;
    assert_int_equal(ask_raw(99, head, len, NULL, 0, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "shard: verb: 99"));
    assert_int_equal(ask_raw(SHARD_DELETE, NULL, 0, NULL, 0, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(ask_raw(SHARD_DELETE, head, len, "x", 1, &err),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "shard delete: body: 1 bytes"));
    head[9] ^= 4;
    assert_int_equal(ask_raw(SHARD_DELETE, head, len, NULL, 0, &err),
                     ERR_CORRUPT);
    head[9] ^= 4;
    head[0] = 2;
    store_u32(head + len - 4, crc32c(0, head, len - 4));
    assert_int_equal(ask_raw(SHARD_DELETE, head, len, NULL, 0, &err),
                     ERR_VERSION);
}

static void a_drive_of_another_server_is_not_served(void **state)
{
    struct shard_ask a = {.verb = SHARD_STAT, .drive = 22};
    struct shard_key key = {1, 1, 1};
    struct err err;

    (void)state;
    assert_int_equal(ask(&a, NULL, 0, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "drive 22 is not of this server"));
    /* Nor passed on to where it is. */
    peers_add_remote(far.peers, 22, 1);
    assert_int_equal(ask(&a, NULL, 0, &err), ERR_UNAVAILABLE);
    /* By peers it is no missing shard. */
    peers_add_remote(near.peers, 22, 2);
    assert_int_equal(get(22, key, 0, 1, &err), ERR_IO);
}

static void many_puts_and_gets_at_once_all_come_back(void **state)
{
    enum { N = 200, BYTES = 70000 };
    struct shard_wait *w = mem_calloc(N, sizeof *w);
    uint8_t *all = mem_alloc((size_t)N * BYTES);

    struct err err = {{0}};

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        shard_wait_init(&w[i]);
        w[i].put = (struct shard_put){.key = {2, i, 1},
                                      .data = bytes + i,
                                      .length = BYTES,
                                      .done = shard_wait_put_done};
        peers_put(near.peers, (uint16_t)(20 + i % 2), &w[i].put);
    }
    for (unsigned i = 0; i < N; i++) {
        shard_wait_for(&w[i], &err);
        assert_string_equal(err.text, "");
        shard_wait_init(&w[i]);
        w[i].get = (struct shard_get){.key = {2, i, 1},
                                      .out = all + (size_t)i * BYTES,
                                      .length = BYTES,
                                      .done = shard_wait_get_done};
        peers_get(near.peers, (uint16_t)(20 + i % 2), &w[i].get);
    }
    for (unsigned i = 0; i < N; i++) {
        shard_wait_for(&w[i], &err);
        assert_string_equal(err.text, "");
        assert_memory_equal(all + (size_t)i * BYTES, bytes + i, BYTES);
    }
    free(all);
    free(w);
}

static void what_comes_after_its_deadline_is_not_begun(void **state)
{
    struct shard_ask a = {
        .verb = SHARD_PUT, .drive = 20, .key = {4, 4, 5}, .length = 1000};
    uint8_t head[SHARD_ASK_BYTES_MAX];
    struct net_call c = {.service = NET_SHARD, .type = SHARD_PUT};
    struct shard_server_stats stats = {0};
    struct shard_info info;

    (void)state;
    a.body_crc = crc32c(0, bytes, 1000);
    c.head = head;
    c.head_len = shard_ask_encode(&a, head);
    c.body = bytes;
    c.body_len = 1000;
    for (int i = 0; i < 1000 && stats.refused == 0; i++) {
        c.timeout_ms = 0;
        assert_int_equal(net_call_wait(near.net, 2, &c), ERR_TIMEOUT);
        buf_free(&c.reply_head);
        buf_free(&c.reply_body);
        shard_server_stats(far.shards, &stats);
    }
    assert_true(stats.refused > 0);
    assert_false(shard_store_stat(far.stores[0], &a.key, &info));
}

/* Verifies under way at once; counts those refused. */
struct verifies {
    struct latch latch;
    atomic_uint good, busy;
    struct one {
        struct net_call call;
        struct verifies *all;
    } ones[100];
};

static void on_verified(struct net_call *c)
{
    struct one *one = LIST_OF(c, struct one, call);

    atomic_fetch_add(&one->all->good, c->status == 0);
    atomic_fetch_add(&one->all->busy, c->status == ERR_BUSY);
    buf_free(&c->reply_head);
    buf_free(&c->reply_body);
    latch_signal(&one->all->latch);
}

static void verifies_over_the_bound_are_told_to_wait(void **state)
{
    struct verifies *v = mem_alloc(sizeof *v);
    struct shard_ask a = {.verb = SHARD_VERIFY, .drive = 20, .key = {3, 3, 3}};
    uint8_t head[SHARD_ASK_BYTES_MAX];
    size_t len = shard_ask_encode(&a, head);
    struct err err;

    (void)state;
    assert_int_equal(put(20, a.key, 1, bytes, 100, &err), 0);
    latch_init(&v->latch);
    pthread_mutex_lock(&reads);
    for (int i = 0; i < 100; i++) {
        v->ones[i].all = v;
        v->ones[i].call = (struct net_call){.service = NET_SHARD,
                                            .type = SHARD_VERIFY,
                                            .head = head,
                                            .head_len = len,
                                            .timeout_ms = SITE_WAIT_MS,
                                            .done = on_verified};
        net_call(near.net, 2, &v->ones[i].call);
    }
    /* 2 are worked on, 64 wait, one may be between. */
    assert_true(latch_wait(&v->latch, 100 - 67, SITE_WAIT_MS));
    assert_int_equal(v->good, 0);
    pthread_mutex_unlock(&reads);
    assert_true(latch_wait(&v->latch, 100, SITE_WAIT_MS));
    assert_int_equal(v->good + v->busy, 100);
    assert_true(v->good >= SHARD_SERVER_VERIFIES_MAX && v->busy >= 33);
    latch_close(&v->latch);
    free(v);
}

static void a_server_that_stops_refuses(void **state)
{
    struct shard_ask a = {.verb = SHARD_STATS};
    struct err err;

    (void)state;
    assert_int_equal(ask(&a, NULL, 0, &err), 0);
    shard_server_stop(far.shards);
    assert_int_equal(ask(&a, NULL, 0, &err), ERR_CLOSED);
}

static void quiet(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

static int set_up_all(void **state)
{
    (void)state;
    log_capture(quiet, NULL);
    site_ca_make();
    bytes = mem_alloc(SHARD_BYTES_MAX + 4096);
    back = mem_alloc(SHARD_BYTES_MAX + 4096);
    for (uint32_t i = 0; i < SHARD_BYTES_MAX + 4096; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    site_ca_free();
    free(bytes);
    free(back);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shards_of_all_lengths_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ranges_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_missing_shard_is_not_found_by_any_verb, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deleted_shard_is_gone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_damaged_shard_is_corrupt_by_get_and_verify, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_come_in_pages_and_by_group,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            wrong_bytes_on_the_way_are_refused_and_not_stored, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_question_is_refused_by_name,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_drive_of_another_server_is_not_served,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            many_puts_and_gets_at_once_all_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            what_comes_after_its_deadline_is_not_begun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            verifies_over_the_bound_are_told_to_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_stops_refuses, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
