/* Goal: a verb goes to the store of its drive, here or on another server; an
 * unknown drive is said to be so at once; a server that is gone gives errors
 * within the deadline, and works again once it is back.
 *
 * Method: two stores in memory; then servers 1 and 2 of one process over
 * loopback TLS, with a link between them that can be held and cut, and a
 * server 3 that answers wrongly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/digest.h"
#include "node/peers.h"
#include "node/shard_wire.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/link_proxy.h"
#include "tests/lib/shard_site.h"
#include "tests/lib/shard_wait.h"

static struct fake_disk *disks[2];
static struct shard_store *stores[2];
static struct peers *peers;
static uint8_t data[100] = "a shard";
static uint8_t out[100];

static int set_up(void **state)
{
    (void)state;
    peers = peers_new();
    for (unsigned i = 0; i < 2; i++) {
        struct shard_store_options o = {.path = "fake",
                                        .drive = (uint16_t)(10 + i),
                                        .segment_bytes = 1 << 20};
        disks[i] = fake_disk_new(i + 1);
        o.ops = fake_disk_ops(disks[i]);
        if (shard_store_open(&o, &stores[i], NULL) != 0) {
            return 1;
        }
        peers_add(peers, stores[i], o.drive);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peers_free(peers);
    peers_free(NULL);
    for (unsigned i = 0; i < 2; i++) {
        shard_store_close(stores[i]);
        fake_disk_free(disks[i]);
    }
    return 0;
}

static int put(uint16_t drive, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.put = (struct shard_put){.key = {.lo = 1},
                               .data = data,
                               .length = sizeof data,
                               .done = shard_wait_put_done};
    peers_put(peers, drive, &w.put);
    return shard_wait_for(&w, err);
}

static int get(uint16_t drive, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.get = (struct shard_get){.key = {.lo = 1},
                               .out = out,
                               .length = sizeof out,
                               .done = shard_wait_get_done};
    peers_get(peers, drive, &w.get);
    return shard_wait_for(&w, err);
}

static int take_away(uint16_t drive, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.del =
        (struct shard_delete){.key = {.lo = 1}, .done = shard_wait_delete_done};
    peers_delete(peers, drive, &w.del);
    return shard_wait_for(&w, err);
}

static void a_verb_reaches_its_drive_and_no_other(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(put(11, &err), 0);
    assert_int_equal(get(11, &err), 0);
    assert_memory_equal(out, data, sizeof data);
    assert_int_equal(get(10, &err), ERR_NOT_FOUND);
    assert_int_equal(take_away(10, &err), 0);
    assert_int_equal(get(11, &err), 0);
    assert_int_equal(take_away(11, &err), 0);
    assert_int_equal(get(11, &err), ERR_NOT_FOUND);
}

static void an_unknown_drive_is_not_found(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(put(12, &err), ERR_NOT_FOUND);
    assert_string_equal(err.text, "drive 12 is not known here");
    assert_int_equal(get(12, &err), ERR_NOT_FOUND);
    assert_int_equal(take_away(12, &err), ERR_NOT_FOUND);
    assert_null(peers_store(peers, 12));
}

static void drives_are_listed_in_the_order_added(void **state)
{
    struct shard_store *s;
    uint16_t drive;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_true(peers_at(peers, i, &drive, &s));
        assert_int_equal(drive, 10 + i);
        assert_ptr_equal(s, stores[i]);
        assert_ptr_equal(peers_store(peers, drive), s);
    }
    assert_false(peers_at(peers, 2, &drive, &s));
}

static void drives_of_this_server_and_of_others_are_told_apart(void **state)
{
    struct peer_info all[4];
    struct shard_store_stats stats;
    struct shard_store *s;
    struct err err;
    uint16_t drive;

    (void)state;
    peers_add_remote(peers, 12, 3);
    assert_int_equal(peers_all(peers, all, 4), 3);
    assert_int_equal(all[1].drive, 11);
    assert_int_equal(all[1].server, 0);
    assert_int_equal(all[2].drive, 12);
    assert_int_equal(all[2].server, 3);
    assert_int_equal(peers_all(peers, NULL, 0), 3);
    assert_false(peers_at(peers, 2, &drive, &s));
    assert_null(peers_store(peers, 12));
    assert_int_equal(peers_state(peers, 11), PEER_UP);
    assert_int_equal(peers_state(peers, 12), PEER_UNREACHABLE);
    assert_int_equal(peers_state(peers, 13), PEER_UNKNOWN);
    assert_true(peers_stats(peers, 11, &stats));
    assert_int_equal(stats.state, DRIVE_UP);
    assert_true(peers_stats(peers, 12, &stats));
    assert_int_equal(stats.state, DRIVE_FAILED);
    assert_string_equal(stats.reason, "its server has not answered yet");
    assert_false(peers_stats(peers, 13, &stats));
    /* There is no net to ask by. */
    assert_int_equal(put(12, &err), ERR_IO);
    assert_string_equal(err.text, "drive 12: server 3 is not reached");
    peers_remove(peers, 12);
    peers_remove(peers, 13);
    assert_int_equal(put(12, &err), ERR_NOT_FOUND);
    assert_int_equal(peers_all(peers, all, 4), 2);
    assert_int_equal(peers_state(peers, 12), PEER_UNKNOWN);
}

static void verbs_that_wait_work_on_drives_of_this_server(void **state)
{
    struct shard_info info, infos[4];
    struct shard_page page;
    struct err err;

    (void)state;
    assert_int_equal(put(10, &err), 0);
    assert_int_equal(
        peers_stat(peers, 10, &(struct shard_key){.lo = 1}, &info, &err), 0);
    assert_int_equal(info.length, sizeof data);
    assert_int_equal(
        peers_stat(peers, 11, &(struct shard_key){.lo = 1}, &info, &err),
        ERR_NOT_FOUND);
    assert_int_equal(
        peers_verify(peers, 10, &(struct shard_key){.lo = 1}, &info, &err), 0);
    assert_int_equal(
        peers_list(peers, 10, SHARD_ANY_GROUP, NULL, infos, 4, &page, &err), 0);
    assert_true(page.end && page.count == 1);
    /* Of an unknown drive nothing is known, not even that it lacks a shard. */
    assert_int_equal(
        peers_stat(peers, 12, &(struct shard_key){.lo = 1}, &info, &err),
        ERR_IO);
    fake_disk_set_present(disks[0], false);
    assert_true(shard_wait_state(stores[0], DRIVE_FAILED, NULL));
    assert_int_equal(
        peers_list(peers, 10, SHARD_ANY_GROUP, NULL, infos, 4, &page, &err),
        ERR_IO);
    assert_int_equal(peers_state(peers, 10), PEER_FAILED);
    fake_disk_set_present(disks[0], true);
    assert_true(shard_wait_state(stores[0], DRIVE_UP, NULL));
}

/* ---- other servers ---- */

static struct site near, far;
static struct link_proxy *wire;
static uint8_t *large; /* SHARD_BYTES_MAX of them */

static int servers_up(void **state)
{
    (void)state;
    memset(&near, 0, sizeof near);
    memset(&far, 0, sizeof far);
    near.options.timeout_ms = 1000;
    far.reserve_bytes = (uint64_t)64 << 20;
    site_open(&near, 1, 10, 1);
    site_open(&far, 2, 20, 2);
    wire = link_proxy_new(far.address);
    site_link(&near, &far, link_proxy_address(wire));
    return site_wait_state(&near, 20, PEER_UP) ? 0 : 1;
}

static int servers_down(void **state)
{
    (void)state;
    site_close(&near);
    site_close(&far);
    link_proxy_free(wire);
    return 0;
}

static void begin_put(struct shard_wait *w, uint16_t drive, uint64_t lo,
                      uint32_t length)
{
    shard_wait_init(w);
    w->put = (struct shard_put){.key = {.lo = lo},
                                .data = large,
                                .length = length,
                                .done = shard_wait_put_done};
    peers_put(near.peers, drive, &w->put);
}

static int put_far(uint16_t drive, uint64_t lo, uint32_t length,
                   struct err *err)
{
    struct shard_wait w;

    begin_put(&w, drive, lo, length);
    return shard_wait_for(&w, err);
}

static int get_far(uint16_t drive, uint64_t lo, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.get = (struct shard_get){.key = {.lo = lo},
                               .out = out,
                               .length = sizeof out,
                               .done = shard_wait_get_done};
    peers_get(near.peers, drive, &w.get);
    return shard_wait_for(&w, err);
}

static void a_drive_of_another_server_that_fails_says_so(void **state)
{
    struct shard_store_stats stats;
    struct err err;

    (void)state;
    assert_int_equal(put_far(20, 1, 100, &err), 0);
    fake_disk_set_present(far.disks[0], false);
    assert_true(site_wait_state(&near, 20, PEER_FAILED));
    assert_int_equal(put_far(20, 2, 100, &err), ERR_IO);
    assert_non_null(strstr(err.text, "drive 20"));
    assert_int_equal(get_far(20, 1, &err), ERR_IO);
    assert_true(peers_stats(near.peers, 20, &stats));
    assert_int_equal(stats.state, DRIVE_FAILED);
    assert_int_equal(stats.drive, 20);
    assert_true(stats.reason[0] != '\0');
    assert_int_equal(put_far(21, 2, 100, &err), 0); /* the other works */
    fake_disk_set_present(far.disks[0], true);
    assert_true(site_wait_state(&near, 20, PEER_UP));
    assert_int_equal(get_far(20, 1, &err), 0);
    assert_memory_equal(out, large, sizeof out);
}

static void a_drive_of_another_server_that_is_full_refuses(void **state)
{
    struct err err;
    int rc = 0;

    (void)state;
    assert_int_equal(put_far(21, 1, 100, &err), 0);
    fake_disk_set_size(far.disks[1], (uint64_t)32 << 20);
    for (unsigned i = 0; i < 10 && rc == 0; i++) {
        rc = put_far(21, 10 + i, SHARD_BYTES_MAX, &err);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_true(site_wait_state(&near, 21, PEER_FULL));
    assert_int_equal(get_far(21, 1, &err), 0);
}

static void a_link_cut_in_mid_put_fails_it_and_later_ones_at_once(void **state)
{
    struct shard_wait w;
    uint64_t before;
    struct err err;

    (void)state;
    fake_disk_hang(far.disks[0], true); /* so that it cannot be done before */
    before = link_proxy_bytes(wire);
    begin_put(&w, 20, 1, SHARD_BYTES_MAX);
    while (link_proxy_bytes(wire) < before + 65536) {
        clock_sleep_ms(1);
    }
    link_proxy_set(wire, LINK_CUT);
    assert_int_equal(shard_wait_for(&w, &err), ERR_IO);
    assert_true(site_wait_state(&near, 20, PEER_UNREACHABLE));
    assert_int_equal(put_far(20, 2, 100, &err), ERR_IO);
    assert_string_equal(err.text, "drive 20: server 2 is not reached");
    fake_disk_hang(far.disks[0], false);
    link_proxy_set(wire, LINK_PASS);
    assert_true(site_wait_state(&near, 20, PEER_UP));
    assert_int_equal(put_far(20, 3, 100, &err), 0);
    assert_int_equal(get_far(20, 3, &err), 0);
}

static void a_link_that_hangs_gives_a_timeout(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(put_far(20, 1, 100, &err), 0);
    link_proxy_set(wire, LINK_HOLD);
    assert_int_equal(put_far(20, 2, SHARD_BYTES_MAX, &err), ERR_TIMEOUT);
    assert_true(site_wait_state(&near, 20, PEER_UNREACHABLE));
    link_proxy_set(wire, LINK_PASS);
    assert_true(site_wait_state(&near, 20, PEER_UP));
    assert_int_equal(get_far(20, 1, &err), 0);
    assert_memory_equal(out, large, sizeof out);
}

static void a_drive_that_hangs_there_gives_a_timeout(void **state)
{
    struct err err;

    (void)state;
    fake_disk_hang(far.disks[0], true);
    assert_int_equal(put_far(20, 1, 100, &err), ERR_TIMEOUT);
    assert_int_equal(peers_state(near.peers, 21), PEER_UP);
    assert_int_equal(put_far(21, 1, 100, &err), 0); /* the other works */
    fake_disk_hang(far.disks[0], false);
}

static void a_server_that_ends_and_starts_again_is_found_again(void **state)
{
    struct shard_store_stats stats;
    struct err err;

    (void)state;
    assert_int_equal(put_far(20, 1, 100, &err), 0);
    site_down(&far);
    assert_true(site_wait_state(&near, 20, PEER_UNREACHABLE));
    assert_int_equal(get_far(20, 1, &err), ERR_IO);
    assert_true(peers_stats(near.peers, 20, &stats));
    assert_int_equal(stats.state, DRIVE_FAILED);
    site_up(&far);
    assert_true(site_wait_state(&near, 20, PEER_UP));
    assert_int_equal(get_far(20, 1, &err), 0);
    assert_true(peers_stats(near.peers, 20, &stats));
    assert_int_equal(stats.shards, 1);
}

static void after_peers_stop_other_servers_are_not_asked(void **state)
{
    struct err err;

    (void)state;
    peers_stop(near.peers);
    assert_int_equal(put_far(20, 1, 100, &err), ERR_IO);
    assert_int_equal(put_far(10, 1, 100, &err), 0);
}

/* ---- a server that answers wrongly ---- */

enum lie { LIE_CRC, LIE_SHORT, LIE_LONG, LIE_HEAD, LIE_STATUS, LIE_STATS };
static _Atomic enum lie lie;

static void answer_wrongly(void *arg, struct net_request *r)
{
    static const uint8_t body[200] = "not what was asked for";
    struct shard_got got = {1, 100, crc32c(0, body, 100)};
    struct shard_page page = {.end = false, .last = {.lo = 1}};
    struct shard_store_stats stats[2] = {{.drive = 30}, {.drive = 21}};
    uint8_t head[SHARD_GOT_BYTES];
    struct buf list = {0};
    struct net *n = arg;

    if (r->type == SHARD_LIST || r->type == SHARD_STATS) {
        if (r->type == SHARD_LIST) {
            shard_page_encode(&page, &list);
        } else {
            shard_stats_encode(stats, 2, &list);
        }
        /* Broken stats are as none at all. */
        list.data[list.len - 1] ^= lie == LIE_STATS;
        net_reply(n, r, 0, NULL, list.data, list.len, NULL, 0, NULL, NULL);
        buf_free(&list);
        return;
    }
    got.body_crc ^= lie == LIE_CRC;
    shard_got_encode(&got, head);
    head[4] ^= lie == LIE_HEAD;
    net_reply(n, r, lie == LIE_STATUS ? ERR_PRECONDITION : 0, "a lie", head,
              sizeof head, body,
              lie == LIE_SHORT  ? 99
              : lie == LIE_LONG ? 101
                                : 100,
              NULL, NULL);
}

static void wrong_answers_are_not_taken(void **state)
{
    struct net *n = site_net(3, "127.0.0.1:0");
    struct shard_info info, infos[4];
    struct shard_page page;
    struct err err;

    (void)state;
    net_serve(n, NET_SHARD, answer_wrongly, n);
    net_start(n);
    net_peer(near.net, 3, net_address(n));
    peers_add_remote(near.peers, 30, 3);
    assert_true(site_wait_state(&near, 30, PEER_UP));
    for (int i = 0; i < LIE_STATS; i++) {
        lie = (enum lie)i;
        assert_int_equal(get_far(30, 1, &err), ERR_IO);
    }
    assert_int_equal(
        peers_stat(near.peers, 30, &(struct shard_key){.lo = 1}, &info, &err),
        ERR_IO);
    assert_int_equal(
        peers_list(near.peers, 30, SHARD_ANY_GROUP,
                   &(struct shard_key){.lo = 1}, infos, 4, &page, &err),
        ERR_IO);
    /* A drive that was said to be elsewhere is asked there from now on. */
    lie = LIE_CRC;
    peers_add_remote(near.peers, 21, 3);
    assert_int_equal(put_far(21, 1, 100, &err), 0); /* as it says */
    peers_add_remote(near.peers, 21, 2);
    assert_int_equal(get_far(21, 1, &err), ERR_NOT_FOUND);
    peers_remove(near.peers, 21);
    assert_int_equal(get_far(21, 1, &err), ERR_NOT_FOUND);
    assert_string_equal(err.text, "drive 21 is not known here");
    lie = LIE_STATS;
    assert_true(site_wait_state(&near, 30, PEER_UNREACHABLE));
    peers_remove(near.peers, 30);
    net_close(n);
}

static void quiet(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

static int set_up_all(void **state)
{
    log_capture(quiet, NULL);
    site_ca_make();
    large = mem_alloc(SHARD_BYTES_MAX);
    for (uint32_t i = 0; i < SHARD_BYTES_MAX; i++) {
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return set_up(state);
}

static int tear_down_all(void **state)
{
    site_ca_free();
    free(large);
    return tear_down(state);
}

#define WITH_SERVERS(test) \
    cmocka_unit_test_setup_teardown(test, servers_up, servers_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verb_reaches_its_drive_and_no_other),
        cmocka_unit_test(an_unknown_drive_is_not_found),
        cmocka_unit_test(drives_are_listed_in_the_order_added),
        cmocka_unit_test(drives_of_this_server_and_of_others_are_told_apart),
        cmocka_unit_test(verbs_that_wait_work_on_drives_of_this_server),
        WITH_SERVERS(a_drive_of_another_server_that_fails_says_so),
        WITH_SERVERS(a_drive_of_another_server_that_is_full_refuses),
        WITH_SERVERS(a_link_cut_in_mid_put_fails_it_and_later_ones_at_once),
        WITH_SERVERS(a_link_that_hangs_gives_a_timeout),
        WITH_SERVERS(a_drive_that_hangs_there_gives_a_timeout),
        WITH_SERVERS(a_server_that_ends_and_starts_again_is_found_again),
        WITH_SERVERS(after_peers_stop_other_servers_are_not_asked),
        WITH_SERVERS(wrong_answers_are_not_taken),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
