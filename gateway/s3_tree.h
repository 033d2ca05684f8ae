/* s3_tree.h: a small document of S3, read as a tree.
 *
 * For documents of configuration, which AWS holds to their schema: an element
 * that is not known is an error, never skipped, as who sent it wants what it
 * says. A tree is bounded: S3_XML_DEPTH_MAX levels, S3_TREE_NODES_MAX elements,
 * S3_XML_TEXT_MAX bytes of text in one. Namespaces are ignored; a document type
 * is refused.
 *
 * Every reader fails with ERR_BAD_INPUT and one sentence: MalformedXML.
 *
 * Threads: any; a tree belongs to its caller.
 */
#ifndef GODWIT_GATEWAY_S3_TREE_H
#define GODWIT_GATEWAY_S3_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define S3_TREE_NODES_MAX 40000 /* 1,000 rules of 40 elements */

struct s3_node {
    char *name; /* without its prefix */
    char *text; /* of a leaf, as sent; "" for none */
    struct s3_node *first, *last, *next;
    size_t children;
};

/* Gives the root, whose name must be @root; s3_tree_free. An empty document is
 * an error. */
int s3_tree_read(const void *p, size_t len, const char *root,
                 struct s3_node **out, struct err *err);
void s3_tree_free(struct s3_node *n);

/* The document again, without its XML declaration, in S3's namespace. */
void s3_tree_write(const struct s3_node *root, struct buf *out);

/* The first child of that name; NULL for none. */
const struct s3_node *s3_node_child(const struct s3_node *n, const char *name);
/* The next sibling after @n of the same name; NULL for none. */
const struct s3_node *s3_node_again(const struct s3_node *n);

/* Are all children among @names? A name with '*' in front may stand often, all
 * others once; a name with '!' in front must be there. Ends with NULL. */
int s3_node_check(const struct s3_node *n, const char *const *names,
                  struct err *err);
/* The text without blanks around it; @n must be a leaf. Gives free(). */
int s3_node_word(const struct s3_node *n, char **out, struct err *err);
/* The text as it is; @n must be a leaf. Borrowed from the tree. */
int s3_node_text(const struct s3_node *n, const char **out, struct err *err);
int s3_node_u64(const struct s3_node *n, uint64_t *out, struct err *err);
int s3_node_bool(const struct s3_node *n, bool *out, struct err *err);

#endif
