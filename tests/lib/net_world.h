/* net_world.h: servers of one cluster in one process, for tests: a CA, and nets
 * on loopback with certificates by it.
 *
 * Threads: one test at a time.
 */
#ifndef GODWIT_TESTS_NET_WORLD_H
#define GODWIT_TESTS_NET_WORLD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/pki.h"
#include "crypto/tls.h"
#include "net/net.h"

struct net_world {
    uint8_t cluster[PKI_CLUSTER_ID];
    struct buf ca_key, ca_cert;
    uint8_t fingerprint[PKI_FINGERPRINT];
};

static inline void net_world_must(int rc, const struct err *err)
{
    if (rc != 0) {
        fprintf(stderr, "net_world: %s\n", err->text);
        abort();
    }
}

static inline void net_world_make(struct net_world *w, uint8_t tag)
{
    struct pki_cert info;
    struct err err;

    memset(w, 0, sizeof *w);
    memset(w->cluster, tag, sizeof w->cluster);
    net_world_must(pki_ca_new(w->cluster, clock_real_ms() / 1000, &w->ca_key,
                              &w->ca_cert, &err),
                   &err);
    net_world_must(pki_cert_read(w->ca_cert.data, w->ca_cert.len, &info, &err),
                   &err);
    memcpy(w->fingerprint, info.fingerprint, sizeof w->fingerprint);
}

static inline void net_world_free(struct net_world *w)
{
    buf_wipe(&w->ca_key);
    buf_free(&w->ca_cert);
}

static inline struct tls_context *net_world_tls(struct net_world *w,
                                                uint32_t server)
{
    struct buf key = {0}, request = {0}, cert = {0};
    struct tls_context *tls = NULL;
    struct err err;

    net_world_must(pki_request_new(&key, &request, &err), &err);
    net_world_must(pki_issue(&w->ca_key, &w->ca_cert, request.data, request.len,
                             server, clock_real_ms() / 1000, &cert, &err),
                   &err);
    net_world_must(tls_context_new(&w->ca_cert, &cert, &key, &tls, &err), &err);
    buf_wipe(&key);
    buf_free(&request);
    buf_free(&cert);
    return tls;
}

/* Listens on @listen ("127.0.0.1:0" takes a free port); not started. */
static inline struct net *net_world_net(struct net_world *w, uint32_t server,
                                        const char *listen)
{
    struct net_options o = {
        .listen = listen, .server = server, .tls = net_world_tls(w, server)};
    struct net *n = NULL;
    struct err err;

    net_world_must(net_open(&o, &n, &err), &err);
    return n;
}

#endif
