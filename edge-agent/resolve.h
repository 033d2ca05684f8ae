/* resolve.h: names of hosts become addresses without the loop waiting.
 *
 * A number is one at once; a name is looked up by a thread of its own, which
 * ends by itself even when nobody waits for it any more.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_RESOLVE_H
#define GODWIT_EDGE_RESOLVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct err;
struct loop;
struct resolve;

#define RESOLVE_MAX 8 /* addresses tried, one after the other */

struct resolved {
    size_t count;
    struct {
        struct sockaddr_storage address;
        socklen_t len;
    } items[RESOLVE_MAX];
};

/* @code is 0, or ERR_NOT_FOUND and @why. Comes from the loop, after start has
 * returned. */
typedef void (*resolve_done)(void *arg, int code, const struct resolved *found,
                             const char *why);

/* ERR_BUSY: no thread could be made. */
int resolve_start(struct loop *loop, const char *host, uint16_t port,
                  resolve_done done, void *arg, struct resolve **out,
                  struct err *err);
/* @done will not come. Not after it came. */
void resolve_cancel(struct resolve *r);

#endif
