/* json.h: find values in a JSON document by their path; write members.
 *
 * For small documents: of the admin interface, of devices. A path is names and
 * indexes with dots between: "drives.0.path". Nothing is built: each look-up
 * scans.
 *
 * Source: RFC 8259.
 * Threads: any.
 */
#ifndef GODWIT_BASE_JSON_H
#define GODWIT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define JSON_DEPTH_MAX 32

/* The raw text of a value, a string with its quotes; NULL: there is none, or
 * the document is malformed before it. Borrowed from @json. */
const char *json_find(const char *json, const char *path, size_t *len);

/* A whole number that is not negative; 0 when there is none. */
uint64_t json_u64(const char *json, const char *path);
/* A string, its escapes undone; "" when there is none. free(). */
char *json_text(const char *json, const char *path);
/* False when there is none. */
bool json_true(const char *json, const char *path);
/* Elements of an array; 0 when there is none. */
size_t json_count(const char *json, const char *path);
/* The @i-th of them, as json_find. */
const char *json_item(const char *json, const char *path, size_t i);

/* ---- writing: appended to a buf ---- */

/* A string with its quotes, escaped. */
void put_json_text(struct buf *out, const char *s);
/* "name":"text" and "name":number, with a comma behind unless @last. */
void put_json_member(struct buf *b, const char *name, const char *text,
                     bool last);
void put_json_u64(struct buf *b, const char *name, uint64_t v, bool last);
void put_json_bool(struct buf *b, const char *name, bool v, bool last);

#endif
