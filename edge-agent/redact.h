/* redact.h: members of a JSON object are left out.
 *
 * Only those of the object itself, not of what is in it; their names are
 * compared as they are meant ("g\u0070s" is "gps"). All else stays as it came,
 * to the byte, but blanks between members.
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_REDACT_H
#define GODWIT_EDGE_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct config_list;
struct err;

/* Append @json without the members of these names. What is no object has no
 * members, and comes as it is. ERR_BAD_INPUT: it is no JSON, or says a name
 * twice, so what it says to others cannot be told; ERR_LIMIT: too deep or too
 * many values (policy/json_tree.h). */
int redact_json(const void *json, size_t len, const struct config_list *names,
                struct buf *out, struct err *err);

/* application/json, or application/...+json, with any parameters. */
bool redact_is_json(const char *content_type);

#endif
