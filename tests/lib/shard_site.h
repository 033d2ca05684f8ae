/* shard_site.h: a server with drives on fake disks, for tests of several.
 *
 * Servers of one process talk over loopback TLS with certificates of one CA.
 * site_link tells one where another listens, if wanted through a link_proxy.
 *
 * Functions stand in the header because tests/lib is linked into tests of
 * folders that may not use node/.
 *
 * Threads: one.
 */
#ifndef GODWIT_TESTS_SHARD_SITE_H
#define GODWIT_TESTS_SHARD_SITE_H

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "crypto/pki.h"
#include "crypto/tls.h"
#include "net/net.h"
#include "node/peers.h"
#include "node/shard_server.h"
#include "tests/lib/fake_disk.h"

#define SITE_DRIVES_MAX 6
#define SITE_WAIT_MS 20000

struct site {
    uint32_t server;
    uint16_t first; /* its drives are first, first + 1, ... */
    unsigned drives;
    uint64_t reserve_bytes;
    struct peers_net_options options;
    /* In place of the disks' own, which it may call; NULL: none. */
    int (*read)(void *data, struct drive_file *file, const struct iovec *iov,
                int count, uint64_t offset, size_t *got, struct err *err);
    struct drive_ops ops[SITE_DRIVES_MAX];
    struct fake_disk *disks[SITE_DRIVES_MAX];
    struct shard_store *stores[SITE_DRIVES_MAX];
    struct peers *peers;
    struct net *net;
    struct shard_server *shards;
    char address[64];
};

static struct {
    uint8_t cluster[PKI_CLUSTER_ID];
    struct buf key, cert;
} site_ca;

static inline void site_ca_make(void)
{
    struct err err = {{0}};

    memset(site_ca.cluster, 7, sizeof site_ca.cluster);
    CHECK(pki_ca_new(site_ca.cluster, clock_real_ms() / 1000, &site_ca.key,
                     &site_ca.cert, &err) == 0);
}

static inline void site_ca_free(void)
{
    buf_wipe(&site_ca.key);
    buf_free(&site_ca.cert);
}

/* A context of @server; NULL is given for no server. */
static inline struct tls_context *site_tls(uint32_t server)
{
    struct buf key = {0}, request = {0}, cert = {0};
    struct tls_context *tls;
    struct err err = {{0}};

    CHECK(pki_request_new(&key, &request, &err) == 0);
    CHECK(pki_issue(&site_ca.key, &site_ca.cert, request.data, request.len,
                    server, clock_real_ms() / 1000, &cert, &err) == 0);
    CHECK(tls_context_new(&site_ca.cert, &cert, &key, &tls, &err) == 0);
    buf_wipe(&key);
    buf_free(&request);
    buf_free(&cert);
    return tls;
}

static inline struct net *site_net(uint32_t server, const char *listen)
{
    struct net_options o = {
        .listen = listen, .tls = site_tls(server), .server = server};
    struct net *n = NULL;

    /* The port may be in use for a moment after a server has gone. */
    for (int i = 0; n == NULL && i < SITE_WAIT_MS / 10; i++) {
        struct err err;
        if (net_open(&o, &n, &err) != 0) {
            n = NULL;
            clock_sleep_ms(10);
        }
    }
    CHECK(n != NULL);
    return n;
}

/* Listen and serve; where it did before, if it did. */
static inline void site_up(struct site *s)
{
    s->net =
        site_net(s->server, s->address[0] != '\0' ? s->address : "127.0.0.1:0");
    strcpy(s->address, net_address(s->net));
    s->peers = peers_new();
    for (unsigned i = 0; i < s->drives; i++) {
        peers_add(s->peers, s->stores[i], (uint16_t)(s->first + i));
    }
    s->shards = shard_server_new(s->net, s->peers);
    net_start(s->net);
    peers_use_net(s->peers, s->net, &s->options);
}

/* As when the process ends; the drives keep what they have. */
static inline void site_down(struct site *s)
{
    shard_server_stop(s->shards);
    peers_stop(s->peers);
    net_close(s->net);
    shard_server_free(s->shards);
    peers_free(s->peers);
    s->net = NULL;
}

static inline void site_open(struct site *s, uint32_t server, uint16_t first,
                             unsigned drives)
{
    s->server = server;
    s->first = first;
    s->drives = drives;
    if (s->options.refresh_ms == 0) {
        s->options.refresh_ms = 20;
        s->options.lost_ms = 500;
    }
    for (unsigned i = 0; i < drives; i++) {
        struct shard_store_options o = {.path = "/fake",
                                        .drive = (uint16_t)(first + i),
                                        .segment_bytes = (uint64_t)16 << 20,
                                        .reserve_bytes = s->reserve_bytes};
        s->disks[i] = fake_disk_new(server * 100 + i);
        s->ops[i] = *fake_disk_ops(s->disks[i]);
        s->ops[i].read = s->read != NULL ? s->read : s->ops[i].read;
        o.ops = &s->ops[i];
        CHECK(shard_store_open(&o, &s->stores[i], NULL) == 0);
    }
    site_up(s);
}

static inline void site_close(struct site *s)
{
    if (s->net != NULL) {
        site_down(s);
    }
    for (unsigned i = 0; i < s->drives; i++) {
        shard_store_close(s->stores[i]);
        fake_disk_free(s->disks[i]);
    }
}

/* @a knows @b, at @address (NULL: its own), and its drives. */
static inline void site_link(struct site *a, const struct site *b,
                             const char *address)
{
    net_peer(a->net, b->server, address != NULL ? address : b->address);
    for (unsigned i = 0; i < b->drives; i++) {
        peers_add_remote(a->peers, (uint16_t)(b->first + i), b->server);
    }
}

static inline bool site_wait_state(struct site *s, uint16_t drive,
                                   enum peer_state state)
{
    for (int i = 0; i < SITE_WAIT_MS / 5; i++) {
        if (peers_state(s->peers, drive) == state) {
            return true;
        }
        clock_sleep_ms(5);
    }
    return false;
}

#endif
