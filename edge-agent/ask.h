/* ask.h: what the commands of godwit-edge ask a running agent.
 *
 * One request over its socket file, blocking.
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_ASK_H
#define GODWIT_EDGE_ASK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct buf;
struct err;

#define ASK_HEAD_MAX (32U * 1024)

struct ask {
    const char *socket;
    const char *method;
    const char *path;   /* escaped */
    const char *fields; /* lines that end in CR LF; NULL for none */
    int body_fd;        /* -1: no body */
    uint64_t body_len;
};

/* Send and read the answer: its body goes to @to, or when that is NULL or the
 * status is not 2xx, to @body (appended). ERR_UNAVAILABLE: no agent listens. */
int ask(const struct ask *a, int *status, struct buf *body, FILE *to,
        struct err *err);

#endif
