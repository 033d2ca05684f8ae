/* link_proxy.h: a link between two servers that a test can hold and cut.
 *
 * Listens on a port of the loopback and passes bytes on to a target, both ways.
 *
 * Threads: any.
 */
#ifndef GODWIT_TESTS_LINK_PROXY_H
#define GODWIT_TESTS_LINK_PROXY_H

#include <stdint.h>

struct link_proxy;

enum link_mode {
    LINK_PASS,
    LINK_HOLD, /* connections stand, but not a byte gets through */
    LINK_CUT,  /* connections are closed, and new ones at once */
};

/* @target is "ADDR:PORT" of IPv4. */
struct link_proxy *link_proxy_new(const char *target);
void link_proxy_free(struct link_proxy *p);
/* "ADDR:PORT" that it listens on. */
const char *link_proxy_address(const struct link_proxy *p);
void link_proxy_set(struct link_proxy *p, enum link_mode mode);
/* Bytes passed on to the target so far. */
uint64_t link_proxy_bytes(struct link_proxy *p);

#endif
