/* http_internal.h: what http.c and http_stream.c share about a loop.
 *
 * Threads: all of it belongs to the loop's thread once it runs.
 */
#ifndef GODWIT_GATEWAY_HTTP_INTERNAL_H
#define GODWIT_GATEWAY_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"

struct edge_peer;
struct MHD_Connection;
struct MHD_Daemon;
struct http;
struct request;

/* One TCP connection, from accept to close. */
struct http_connection {
    struct MHD_Connection *connection;
    struct request *request; /* NULL between requests */
    uint64_t since_us;       /* accepted, or the last request ended */
    struct list_node node;
    bool looked;            /* for a certificate that was shown: */
    struct edge_peer *peer; /* NULL: none was */
};

struct http_loop {
    struct http *http;
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_fd mhd_fd;
    struct list_node requests;
    struct list_node connections;
    struct loop_timer tick;
    uint64_t tick_ms;
    uint64_t next_id; /* of a request */
    bool run_owed;    /* MHD has work that no descriptor shows */
    pthread_t thread;
    struct loop_call stop_call;
    struct loop_timer quiesce;
    uint64_t stop_at_ms;
    int listen_fd;
};

#endif
