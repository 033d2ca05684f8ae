/* local_list.h: ListObjectsV2 over what a spool holds.
 *
 * The page is found in one pass over all that is held, in memory for one page:
 * a device holds at most some 100,000 objects, and lists seldom.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_LOCAL_LIST_H
#define GODWIT_EDGE_LOCAL_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct intake;

struct local_list {
    const char *bucket;
    const char *prefix;      /* "" for none */
    const char *delimiter;   /* "" for none; one byte or more */
    const char *start_after; /* "" for none */
    const char *token;       /* continuation token; "" for none */
    size_t max_keys;         /* at most LOCAL_S3_LIST_MAX */
};

/* Append the answer's XML. ERR_BAD_INPUT: the token is none of ours. */
int local_list(struct intake *in, const struct local_list *q, struct buf *out,
               struct err *err);

/* Append text as XML wants it. */
void local_xml_text(struct buf *out, const char *s, size_t len);

#endif
