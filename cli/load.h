/* load.h: many requests at once, at little cost to the machine they load.
 *
 * Each thread has an epoll set of connections with one request in flight on
 * each. Bodies go out by sendfile from one memory file, and what comes in is
 * thrown away by the kernel (MSG_TRUNC), so that generating the load costs the
 * server's cores as little as can be. Plain HTTP only.
 *
 * Threads: load_run starts its own and blocks its caller.
 */
#ifndef GODWIT_CLI_LOAD_H
#define GODWIT_CLI_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/load_request.h"

struct err;
struct http_endpoint;

#define LOAD_CONNECTIONS_MAX 10000
#define LOAD_THREADS_MAX 64
#define LOAD_BODY_FILE_MAX ((uint64_t)64 << 20) /* larger bodies repeat it */
#define LOAD_STALL_MS 60000 /* without a byte on any connection: give up */

enum load_op { LOAD_PUT, LOAD_GET, LOAD_LIST, LOAD_DELETE, LOAD_MIXED };

struct load_options {
    const struct http_endpoint *endpoint;
    struct load_identity identity;
    enum load_op op;
    const char *bucket;
    const char *prefix; /* keys are prefix and a number; "" or ends in '/' */
    uint64_t size;      /* of an object */
    bool hash_payload;  /* x-amz-content-sha256 of bodies */
    unsigned connections;
    unsigned threads;
    uint64_t objects;     /* numbers go round below it; 0: never */
    uint64_t requests;    /* stop after so many; 0: no bound */
    uint64_t duration_ms; /* stop after it; 0: no bound */
    /* Called ten times a second on load_run's thread; may be NULL. */
    void (*tick)(void *arg);
    void *tick_arg;
};

/* Latencies in buckets that are at most 1/32 wide of what they hold. */
#define LOAD_BUCKETS (64 * 32)

struct load_result {
    uint64_t requests; /* that went well */
    uint64_t errors;
    uint64_t bytes; /* of bodies of those that went well, both ways */
    uint64_t elapsed_us;
    uint64_t max_us;
    uint64_t buckets[LOAD_BUCKETS];
    char first_error[160]; /* "" when there was none */
};

/* ERR_UNAVAILABLE: no connection; ERR_TIMEOUT: the server stalled. Answers that
 * refuse are counted, not an error here. */
int load_run(const struct load_options *o, struct load_result *out,
             struct err *err);

/* The time that @share (0.99) of the requests took at most, in us. */
uint64_t load_percentile(const struct load_result *r, double share);

/* Bucket of a latency, and the middle of a bucket. */
unsigned load_bucket(uint64_t us);
uint64_t load_bucket_us(unsigned bucket);

#endif
