/* json.h: documents in JSON, read strictly.
 *
 * What is parsed is a tree of values; texts are decoded UTF-8 without NUL. A
 * member named twice, a number that JSON has not, text behind the end, and
 * nesting deeper than JSON_DEPTH_MAX are refused. Source: RFC 8259.
 *
 * Threads: a tree may be read by many.
 */
#ifndef GODWIT_BASE_JSON_H
#define GODWIT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define JSON_DEPTH_MAX 32

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER, /* text as it was written */
    JSON_TEXT,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json {
    enum json_type type;
    const char *name; /* of a member; else NULL */
    const char *text; /* of JSON_NUMBER and JSON_TEXT; else NULL */
    const struct json *first, *next; /* items or members, in order */
};

/* Give the value that @text holds; ERR_BAD_INPUT says what is wrong at which
 * byte. */
int json_parse(const char *text, size_t len, struct json **out,
               struct err *err);
void json_free(struct json *root); /* NULL is nothing */

/* The member of an object; NULL when it has none of that name. */
const struct json *json_member(const struct json *object, const char *name);

#endif
