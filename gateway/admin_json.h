/* admin_json.h: JSON as the admin paths write it.
 *
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_ADMIN_JSON_H
#define GODWIT_GATEWAY_ADMIN_JSON_H

#include <stdbool.h>
#include <stdint.h>

struct buf;

/* A string with its quotes, escaped. */
void put_json_text(struct buf *b, const char *s);
/* "name":"text" and "name":number, with a comma behind unless @last. */
void put_json_member(struct buf *b, const char *name, const char *text,
                     bool last);
void put_json_u64(struct buf *b, const char *name, uint64_t v, bool last);
void put_json_bool(struct buf *b, const char *name, bool v, bool last);

#endif
