/* xml_walk.h: walk a small XML document and hear of its elements.
 *
 * By expat: no document type, no external entities; at most XML_WALK_DEPTH_MAX
 * levels and XML_WALK_TEXT_MAX bytes of text in an element. Namespaces are
 * ignored (S3 declares its own as the default).
 *
 * Threads: any.
 */
#ifndef GODWIT_CLIENT_XML_WALK_H
#define GODWIT_CLIENT_XML_WALK_H

#include <stddef.h>

struct err;

#define XML_WALK_DEPTH_MAX 8
#define XML_WALK_TEXT_MAX ((size_t)8192)

/* An element begins: @text is NULL. It ended: @text is its own text, without
 * that of elements inside. @path is like "ListBucketResult/Contents/Key".
 * What it returns but 0 ends the walk with that code. */
int xml_walk(const void *p, size_t len,
             int (*fn)(void *arg, const char *path, const char *text,
                       struct err *err),
             void *arg, struct err *err);

#endif
