/* json_tree.h: a JSON document as a tree, strictly read.
 *
 * For documents that strangers send: RFC 8259 to the letter, UTF-8 only, no
 * name twice in an object, no NUL inside a string, nothing behind the value,
 * and bounds on depth, count and size, so that a tree costs at most some
 * hundred times the bytes of its document.
 *
 * Threads: a tree is never changed once read; any may read it.
 */
#ifndef GODWIT_POLICY_JSON_TREE_H
#define GODWIT_POLICY_JSON_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define JSON_TREE_DEPTH_MAX 24        /* a policy needs 6 */
#define JSON_TREE_NODES_MAX 65536     /* values of a document */
#define JSON_TREE_BYTES_MAX (1 << 20) /* of a document */

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER, /* text: as written */
    JSON_STRING, /* text: escapes undone */
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_node {
    enum json_kind kind;
    const char *name; /* within an object, else NULL */
    const char *text; /* of numbers and strings, else "" */
    size_t count;     /* items of an array or an object */
    const struct json_node *first;
    const struct json_node *next; /* behind this one in its parent */
};

struct json_tree;

/* ERR_BAD_INPUT names the byte where the document goes wrong; ERR_LIMIT: over
 * a bound. */
int json_tree_read(const void *p, size_t len, struct json_tree **out,
                   struct err *err);
void json_tree_free(struct json_tree *t);
/* Borrowed from @t. */
const struct json_node *json_tree_root(const struct json_tree *t);

/* The member @name of an object; NULL: none, or @n is no object. */
const struct json_node *json_tree_member(const struct json_node *n,
                                         const char *name);

#endif
