/* Goal: a cluster is founded, grows by tokens, elects its voters by itself and
 * goes on through restarts, moved ports and lost servers; who has no good
 * token, or was removed, stays outside.
 * Method: whole servers (identity, cluster port, catalogue, keeper) in one
 * process, over real TLS on loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/workers.h"
#include "cluster/cluster.h"
#include "meta/meta.h"
#include "meta/meta_cluster.h"
#include "tests/lib/temp_dir.h"

#define SITES 4
#define WAIT_MS 20000
#define ALL_ROLES (CLUSTER_ROLE_GATEWAY | CLUSTER_ROLE_NODE | CLUSTER_ROLE_META)

struct site {
    char *data, *listen; /* listen: the port that it got first */
    size_t drives;
    struct cluster *cluster;
    struct meta *meta;
    struct workers *workers;
};

struct world {
    char *dir;
    struct site sites[SITES + 1]; /* from 1 */
};

static const uint8_t cluster_id_a[16] = {0xa, 1, 2, 3};

static void quiet(const char *line, void *arg)
{
    (void)arg;
    if (getenv("GODWIT_TEST_LOG") != NULL) {
        fputs(line, stderr);
    }
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    log_capture(quiet, NULL);
    w->dir = temp_dir_new();
    for (int i = 1; i <= SITES; i++) {
        w->sites[i].data = mem_printf("%s/%d", w->dir, i);
        w->sites[i].drives = 2;
    }
    *state = w;
    return 0;
}

static void stop(struct site *s)
{
    if (s->cluster != NULL) {
        cluster_stop(s->cluster);
        workers_free(s->workers);
        meta_close(s->meta);
        cluster_close(s->cluster);
        s->cluster = NULL;
        s->meta = NULL;
        s->workers = NULL;
    }
}

static int teardown(void **state)
{
    struct world *w = *state;

    for (int i = 1; i <= SITES; i++) {
        stop(&w->sites[i]);
        free(w->sites[i].data);
        free(w->sites[i].listen);
    }
    temp_dir_free(w->dir);
    free(w);
    return 0;
}

/* As a server's start does; on failure nothing is open. */
static int start(struct site *s, const char *join, const char *token,
                 struct err *err)
{
    struct cluster_options o = {
        .data = s->data,
        .listen = s->listen != NULL ? s->listen : "127.0.0.1:0",
        .join = join,
        .token = token,
        .zone = "z1",
        .roles = ALL_ROLES,
        .drive_count = s->drives,
        .weights = {1000, 2000, 3000}};
    struct meta_options mo = {.log_segment_bytes = 1 << 20};
    char *dir = mem_printf("%s/meta", s->data);
    int rc;

    memcpy(o.cluster_id, cluster_id_a, sizeof o.cluster_id);
    rc = cluster_open(&o, &s->cluster, err);
    if (rc == 0) {
        mo.dir = dir;
        mo.net = cluster_net(s->cluster);
        mo.server = cluster_server(s->cluster);
        mo.address = cluster_address(s->cluster);
        mo.join = mo.server != 1;
        assert_int_equal(meta_open(&mo, &s->meta, err), 0);
        s->workers = workers_new("test", 2, 16);
        cluster_start(s->cluster, s->meta, s->workers, "http://127.0.0.1:9000",
                      "AK", "SK");
        if (s->listen == NULL) {
            s->listen = mem_strdup(cluster_address(s->cluster));
        }
    }
    free(dir);
    return rc;
}

static void must_start(struct site *s, const char *join, const char *token)
{
    struct err err = {{0}};

    if (start(s, join, token, &err) != 0) {
        fail_msg("start: %s", err.text);
    }
}

/* The registry that @s itself has, once it has @servers servers. */
static void await_servers(struct site *s, size_t servers,
                          struct meta_registry *out)
{
    for (int ms = 0; ms < WAIT_MS; ms += 10) {
        if (meta_registry_local(s->meta, out, NULL) == 0) {
            if (out->server_count == servers) {
                return;
            }
            meta_registry_free(out);
        }
        clock_sleep_ms(10);
    }
    fail_msg("server %u never had %zu servers", cluster_server(s->cluster),
             servers);
}

static void founding_makes_server_1_and_its_row(void **state)
{
    struct world *w = *state;
    struct site *s = &w->sites[1];
    struct meta_registry r;
    uint16_t ids[2];

    must_start(s, NULL, NULL);
    assert_int_equal(cluster_drive_ids(s->cluster, ids, NULL), 0);
    assert_int_equal(cluster_server(s->cluster), 1);
    assert_memory_equal(cluster_id(s->cluster), cluster_id_a, 16);
    assert_null(cluster_access_key(s->cluster));
    assert_null(cluster_secret_key(s->cluster));
    await_servers(s, 1, &r);
    assert_memory_equal(r.cluster.id, cluster_id_a, 16);
    assert_int_equal(r.servers[0].id, 1);
    assert_int_equal(r.servers[0].roles, ALL_ROLES);
    assert_string_equal(r.servers[0].address, cluster_address(s->cluster));
    assert_string_equal(r.servers[0].endpoint, "http://127.0.0.1:9000");
    assert_string_equal(r.servers[0].zone, "z1");
    assert_int_equal(r.drive_count, 2);
    for (uint16_t i = 0; i < 2; i++) { /* by their order */
        assert_int_equal(r.drives[i].id, i);
        assert_int_equal(ids[i], i);
        assert_int_equal(r.drives[i].server, 1);
        assert_int_equal(r.drives[i].weight, 1000 * (i + 1));
    }
    meta_registry_free(&r);
}

static char *token(struct site *s, uint64_t for_ms, uint32_t uses)
{
    struct err err = {{0}};
    char *text = NULL;

    if (cluster_token_create(s->cluster, clock_real_ms() + for_ms, uses, "test",
                             &text, &err) != 0) {
        fail_msg("token: %s", err.text);
    }
    return text;
}

static void found(struct world *w)
{
    struct meta_registry r;

    must_start(&w->sites[1], NULL, NULL);
    await_servers(&w->sites[1], 1, &r);
    meta_registry_free(&r);
}

/* Sites 2..@n join through site @by, by one token. */
static void join(struct world *w, int from, int to, int by)
{
    char *t = token(&w->sites[by], 60000, (uint32_t)(to - from + 1));

    for (int i = from; i <= to; i++) {
        must_start(&w->sites[i], w->sites[by].listen, t);
    }
    free(t);
}

static void a_server_joins_by_a_token_with_its_drives(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    struct meta_registry r;
    uint16_t ids[2];

    found(w);
    join(w, 2, 2, 1);
    assert_int_equal(cluster_server(b->cluster), 2);
    assert_memory_equal(cluster_id(b->cluster), cluster_id_a, 16);
    assert_string_equal(cluster_access_key(b->cluster), "AK");
    assert_string_equal(cluster_secret_key(b->cluster), "SK");
    assert_int_equal(cluster_drive_ids(b->cluster, ids, NULL), 0);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    for (int i = 1; i <= 2; i++) { /* both know it */
        await_servers(&w->sites[i], 2, &r);
        assert_int_equal(r.servers[1].id, 2);
        assert_int_equal(r.servers[1].roles, ALL_ROLES);
        assert_string_equal(r.servers[1].address, cluster_address(b->cluster));
        assert_int_equal(r.drive_count, 4);
        for (uint16_t d = 0; d < 2; d++) {
            assert_int_equal(r.drives[2 + d].id, ids[d]);
            assert_int_equal(r.drives[2 + d].server, 2);
            assert_int_equal(r.drives[2 + d].weight, 1000 * (d + 1));
        }
        meta_registry_free(&r);
    }
}

/* What DATA/identity/drives says; lines as in the file. */
static void put_drives_file(struct site *s, const char *text)
{
    char *path = mem_printf("%s/identity/drives", s->data);

    assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
    free(path);
}

static void drive_ids_are_known_without_the_catalogue(void **state)
{
    struct world *w = *state;
    struct site *s = &w->sites[1];
    struct err err = {{0}};
    uint16_t ids[3] = {9, 9, 9};

    must_start(s, NULL, NULL);
    stop(s);
    put_drives_file(s,
                    "0123456789abcdef0123456789abcdef 41\n"
                    "00000000000000000000000000000001 65534\n");
    must_start(s, NULL, NULL);
    assert_int_equal(cluster_drive_ids(s->cluster, ids, NULL), 0);
    assert_int_equal(ids[0], 41);
    assert_int_equal(ids[1], 65534);
    stop(s);
    s->drives = 1; /* the second is taken out, */
    must_start(s, NULL, NULL);
    assert_int_equal(cluster_drive_ids(s->cluster, ids, NULL), 0);
    stop(s);
    s->drives = 3; /* put in again, and one comes */
    must_start(s, NULL, NULL);
    ids[1] = 0;
    assert_int_equal(cluster_drive_ids(s->cluster, ids, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "drive 3"));
    assert_int_equal(ids[1], 0);
}

static void a_damaged_list_of_drives_is_named(void **state)
{
    static const char *const bad[] = {
        "0123456789abcdef0123456789abcde\n",
        "0123456789abcdef0123456789abcdef 65535\n",
        "0123456789abcdef0123456789abcdefx1\n",
        "0123456789abcdef0123456789abcdef 1",
        "0123456789abcdef0123456789abcdeg 1\n",
        "\n",
    };
    struct world *w = *state;
    struct site *s = &w->sites[1];

    must_start(s, NULL, NULL);
    stop(s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {{0}};
        char *text =
            mem_printf("%s%s", "0123456789abcdef0123456789abcdef 1\n", bad[i]);
        put_drives_file(s, text);
        free(text);
        assert_int_equal(start(s, NULL, NULL, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, "identity/drives: line 2"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(founding_makes_server_1_and_its_row,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_server_joins_by_a_token_with_its_drives, setup, teardown),
        cmocka_unit_test_setup_teardown(
            drive_ids_are_known_without_the_catalogue, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_list_of_drives_is_named,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
