/* cluster_world.h: whole servers of a cluster in one process, for tests:
 * identity, cluster port, catalogue and keeper of each, on loopback.
 *
 * Threads: one test at a time.
 */
#ifndef GODWIT_TESTS_LIB_CLUSTER_WORLD_H
#define GODWIT_TESTS_LIB_CLUSTER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "base/workers.h"
#include "cluster/cluster.h"
#include "meta/meta.h"
#include "meta/meta_cluster.h"
#include "net/net.h"
#include "tests/lib/temp_dir.h"

#define SITES 4
#define WAIT_MS 60000
#define ALL_ROLES (CLUSTER_ROLE_GATEWAY | CLUSTER_ROLE_NODE | CLUSTER_ROLE_META)

struct site {
    char *data, *listen; /* listen: the port that it got first */
    size_t drives;
    bool other_cluster;
    const char *name;
    uint32_t roles;
    struct cluster *cluster;
    struct meta *meta;
    struct workers *workers;
};

struct world {
    char *dir;
    struct site sites[SITES + 1]; /* from 1 */
};

static const uint8_t cluster_id_a[16] = {0xa, 1, 2, 3};

static inline void quiet(const char *line, void *arg)
{
    (void)arg;
    if (getenv("GODWIT_TEST_LOG") != NULL) {
        fputs(line, stderr);
    }
}

static inline int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    log_capture(quiet, NULL);
    w->dir = temp_dir_new();
    for (int i = 1; i <= SITES; i++) {
        w->sites[i].data = mem_printf("%s/%d", w->dir, i);
        w->sites[i].drives = 2;
        w->sites[i].roles = ALL_ROLES;
    }
    *state = w;
    return 0;
}

static inline void stop(struct site *s)
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

static inline int teardown(void **state)
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
static inline int open_site(struct site *s, const char *join, const char *token,
                            struct err *err)
{
    struct cluster_options o = {
        .data = s->data,
        .listen = s->listen != NULL ? s->listen : "127.0.0.1:0",
        .join = join,
        .token = token,
        .zone = "z1",
        .roles = s->roles,
        .name = s->name,
        .drive_count = s->drives,
        .weights = {1000, 2000, 3000}};

    memcpy(o.cluster_id, cluster_id_a, sizeof o.cluster_id);
    o.cluster_id[15] = s->other_cluster;
    return cluster_open(&o, &s->cluster, err);
}

static inline int start(struct site *s, const char *join, const char *token,
                        struct err *err)
{
    struct meta_options mo = {.log_segment_bytes = 1 << 20};
    char *dir;
    int rc = open_site(s, join, token, err);

    if (rc != 0) {
        return rc;
    }
    dir = mem_printf("%s/meta", s->data);
    mo.dir = dir;
    mo.net = cluster_net(s->cluster);
    mo.server = cluster_server(s->cluster);
    mo.address = cluster_address(s->cluster);
    mo.join = !cluster_founds(s->cluster);
    assert_int_equal(meta_open(&mo, &s->meta, err), 0);
    free(dir);
    s->workers = workers_new("test", 2, 16);
    cluster_start(s->cluster, s->meta, s->workers, "http://127.0.0.1:9000",
                  "AK", "SK");
    if (s->listen == NULL) {
        s->listen = mem_strdup(cluster_address(s->cluster));
    }
    return 0;
}

static inline void must_start(struct site *s, const char *join,
                              const char *token)
{
    struct err err = {{0}};

    if (start(s, join, token, &err) != 0) {
        fail_msg("start: %s", err.text);
    }
}

/* The registry that @s itself has, once it has @servers servers. */
static inline void await_servers(struct site *s, size_t servers,
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

/* Site @on has server @id at @address. */
static inline void await_address(struct world *w, int on, uint32_t id,
                                 const char *address)
{
    for (int ms = 0; ms < WAIT_MS; ms += 10) {
        struct meta_registry r;
        bool there = false;
        if (meta_registry_local(w->sites[on].meta, &r, NULL) == 0) {
            for (size_t i = 0; i < r.server_count; i++) {
                there = there || (r.servers[i].id == id &&
                                  strcmp(r.servers[i].address, address) == 0);
            }
            meta_registry_free(&r);
        }
        if (there) {
            return;
        }
        clock_sleep_ms(10);
    }
    fail_msg("site %d does not have server %u at %s", on, id, address);
}

/* ... and on its disk. */
static inline void await_saved(struct site *s, uint32_t id, const char *address)
{
    char *path = mem_printf("%s/identity/servers", s->data);
    char *line = mem_printf("%u %s\n", id, address);
    bool there = false;

    for (int ms = 0; ms < WAIT_MS && !there; ms += 10) {
        struct buf text = {0};
        if (fs_read(path, 4096, &text, NULL) == 0) {
            buf_char(&text, '\0');
            there = strstr((char *)text.data, line) != NULL;
        }
        buf_free(&text);
        clock_sleep_ms(10);
    }
    assert_true(there);
    free(path);
    free(line);
}

static inline void await_barrier(struct site *s)
{
    struct err err = {{0}};

    for (int ms = 0; ms < WAIT_MS; ms += 10) {
        if (meta_barrier(s->meta, &err) == 0) {
            return;
        }
        clock_sleep_ms(10);
    }
    fail_msg("server %u: %s", cluster_server(s->cluster), err.text);
}

static inline char *token(struct site *s, uint64_t for_ms, uint32_t uses)
{
    struct err err = {{0}};
    char *text = NULL;

    if (cluster_token_create(s->cluster, clock_real_ms() + for_ms, uses, "test",
                             &text, &err) != 0) {
        fail_msg("token: %s", err.text);
    }
    return text;
}

static inline void found(struct world *w)
{
    struct meta_registry r;

    must_start(&w->sites[1], NULL, NULL);
    await_servers(&w->sites[1], 1, &r);
    meta_registry_free(&r);
}

/* Sites 2..@n join through site @by, by one token. */
static inline void join(struct world *w, int from, int to, int by)
{
    char *t = token(&w->sites[by], 60000, (uint32_t)(to - from + 1));

    for (int i = from; i <= to; i++) {
        must_start(&w->sites[i], w->sites[by].listen, t);
    }
    free(t);
}

static inline struct site *leader(struct world *w)
{
    for (int i = 1; i <= SITES; i++) {
        struct meta_stats stats;
        if (w->sites[i].meta != NULL) {
            meta_stats(w->sites[i].meta, &stats);
            if (stats.leader) {
                return &w->sites[i];
            }
        }
    }
    return NULL;
}

/* The leader says: so many vote, so many stand by, and no one else is there. */
static inline void await_members(struct world *w, size_t voters,
                                 size_t standbys)
{
    size_t v = 0, s = 0, n = 0;

    for (int ms = 0; ms < WAIT_MS; ms += 10) {
        struct meta_member members[META_MEMBERS_MAX];
        struct site *l = leader(w);
        n = l != NULL ? meta_members(l->meta, members) : 0;
        v = s = 0;
        for (size_t i = 0; i < n; i++) {
            v += members[i].role == META_VOTER;
            s += members[i].role == META_STANDBY;
        }
        if (v == voters && s == standbys && n == v + s) {
            return;
        }
        clock_sleep_ms(10);
    }
    fail_msg("%zu members, of which %zu vote and %zu stand by", n, v, s);
}

static inline bool exists(const struct site *s, const char *name)
{
    char *path = mem_printf("%s/identity/%s", s->data, name);
    bool yes = access(path, F_OK) == 0;

    free(path);
    return yes;
}

static inline void forget(struct site *s, const char *name)
{
    char *path = mem_printf("%s/identity/%s", s->data, name);

    assert_int_equal(unlink(path), 0);
    free(path);
}

/* A ping, as the keeper sends it. */
static inline int call(struct site *from, uint32_t server, struct err *why)
{
    struct net_call c = {.service = NET_CLUSTER, .type = 1, .timeout_ms = 2000};
    struct buf head = {0};
    int rc;

    put_text(&head, cluster_address(from->cluster));
    c.head = head.data;
    c.head_len = head.len;
    rc = net_call_wait(cluster_net(from->cluster), server, &c);
    buf_free(&head);

    *why = c.err;
    buf_free(&c.reply_head);
    buf_free(&c.reply_body);
    return rc;
}

static inline void await_forbidden(struct site *s, uint32_t server)
{
    struct err err = {{0}};
    int rc = 0;

    for (int ms = 0; ms < WAIT_MS && rc != ERR_DENIED; ms += 10) {
        rc = call(s, server, &err);
        clock_sleep_ms(10);
    }
    assert_int_equal(rc, ERR_DENIED);
    assert_non_null(strstr(err.text, "was removed"));
}

#endif
