/* http_parse.h: heads of HTTP/1.1, and chunked bodies, strictly.
 *
 * What two readers could read in two ways is refused: bare LF, folded lines,
 * blanks before a colon, two lengths, a length beside Transfer-Encoding, chunk
 * sizes with signs or blanks. Source: RFC 9112, RFC 9110.
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_HTTP_PARSE_H
#define GODWIT_EDGE_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define HTTP_HEAD_MAX                                      \
    (16U * 1024) /* keys of 1 KiB, escaped; 2 KiB metadata \
                  */
#define HTTP_FIELDS_MAX 64
#define HTTP_BODY_MAX (1ull << 40)
#define HTTP_CHUNK_LINE_MAX 256 /* a chunk's size and extensions */
#define HTTP_TRAILER_MAX (4U * 1024)

struct http_field {
    const char *name;
    const char *value;
};

struct http_head {
    const char *method;
    const char *path;  /* as it came, escaped; begins with '/' */
    const char *query; /* after '?'; "" when there is none */
    struct http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
    bool has_length, chunked;
    uint64_t content_length;
    bool keep_alive;
    bool expect_continue;
};

/* Bytes of the head at @p, the empty line included; 0: not complete yet. */
size_t http_head_end(const char *p, size_t len);
/* Cut @text, a whole head, into parts that @out borrows. ERR_BAD_INPUT: the
 * answer is *@status, and no other request can be told from what follows. */
int http_head_parse(char *text, size_t len, struct http_head *out, int *status,
                    struct err *err);
/* The same for an answer: its status in *@status; @out has no method and no
 * path. ERR_BAD_INPUT. */
int http_reply_parse(char *text, size_t len, struct http_head *out, int *status,
                     struct err *err);
/* The field's value; NULL when there is none. */
const char *http_field(const struct http_head *h, const char *name);

/* A chunked body. Zeroed at first. */
struct http_chunks {
    int state;
    uint64_t left;  /* of the chunk */
    uint64_t total; /* so far */
    char line[HTTP_CHUNK_LINE_MAX];
    size_t line_len;
    size_t trailer_len;
};

/* Read from the @len bytes at @p: *@used of them are done with, of which the
 * @data_len bytes at *@data are the body's. *@end: the body is complete. Call
 * again while it uses bytes. ERR_BAD_INPUT, ERR_LIMIT. */
int http_chunks_read(struct http_chunks *c, const uint8_t *p, size_t len,
                     size_t *used, const uint8_t **data, size_t *data_len,
                     bool *end, struct err *err);

#endif
