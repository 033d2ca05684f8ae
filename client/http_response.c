#include "client/http_response.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define STATUS_LINE_MIN 12 /* "HTTP/1.1 200" */

void http_response_free(struct http_response *r)
{
    buf_free(&r->body);
    free(r->text);
    memset(r, 0, sizeof *r);
}

size_t http_response_head_end(const void *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4);

    return end == NULL ? 0 : (size_t)(end - (const char *)p) + 4;
}

static int broken(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "response: %s", what);
}

/* RFC 9110 section 5.6.2. */
static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK"; the reason is for no one. */
static int parse_status(struct http_response *r, const char *line,
                        struct err *err)
{
    size_t len = strlen(line);

    if (len < STATUS_LINE_MIN || !text_starts(line, "HTTP/1.") ||
        (line[7] != '0' && line[7] != '1') || line[8] != ' ') {
        return broken(err, "not an HTTP/1.1 status line");
    }
    if (!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
        (line[12] != '\0' && line[12] != ' ')) {
        return broken(err, "status is not three digits");
    }
    r->status =
        (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (r->status < 100 || r->status > 599) {
        return broken(err, "status is out of range");
    }
    r->keep_alive = line[7] == '1';
    return 0;
}

static int parse_header(struct http_response *r, char *line, struct err *err)
{
    size_t name_len = 0;
    char *value;
    size_t len;

    while (is_token_char(line[name_len])) {
        name_len++;
    }
    if (name_len == 0 || line[name_len] != ':') {
        return broken(err, "a header's name is not a token and a colon");
    }
    if (r->header_count == HTTP_HEADERS_MAX) {
        return broken(err, "too many headers");
    }
    line[name_len] = '\0';
    value = line + name_len + 1;
    value += strspn(value, " \t");
    len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    value[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return broken(err, "a header's value has a control byte");
        }
    }
    r->headers[r->header_count++] = (struct http_header){line, value};
    return 0;
}

/* What the framing headers say; RFC 9112 section 6. */
static int judge_framing(struct http_response *r, struct err *err)
{
    for (size_t i = 0; i < r->header_count; i++) {
        const char *name = r->headers[i].name;
        const char *value = r->headers[i].value;
        uint64_t n;

        if (text_ieq(name, "content-length")) {
            if (!text_u64(value, &n)) {
                return broken(err, "Content-Length is not a number");
            }
            if (r->has_length && r->length != n) {
                return broken(err, "Content-Length comes twice and differs");
            }
            r->has_length = true;
            r->length = n;
        } else if (text_ieq(name, "transfer-encoding")) {
            if (r->chunked || !text_ieq(value, "chunked")) {
                return broken(err, "Transfer-Encoding is not \"chunked\"");
            }
            r->chunked = true;
        } else if (text_ieq(name, "connection")) {
            if (text_ieq(value, "close")) {
                r->keep_alive = false;
            } else if (text_ieq(value, "keep-alive")) {
                r->keep_alive = true;
            }
        }
    }
    if (r->chunked && r->has_length) {
        return broken(err, "Content-Length with Transfer-Encoding");
    }
    return 0;
}

/* Cut @text, which ends in an empty line, at its CRLFs. */
static int parse_lines(struct http_response *r, char *text, size_t len,
                       struct err *err)
{
    char *line = text;
    bool first = true;
    int rc;

    if (memchr(text, '\0', len) != NULL) {
        return broken(err, "a NUL byte in the head");
    }
    while (strncmp(line, "\r\n", 2) != 0) {
        char *end = strpbrk(line, "\r\n");
        if (end == NULL || end[0] != '\r' || end[1] != '\n') {
            return broken(err, "a line does not end in CR LF");
        }
        *end = '\0';
        rc = first ? parse_status(r, line, err) : parse_header(r, line, err);
        if (rc != 0) {
            return rc;
        }
        first = false;
        line = end + 2;
    }
    if (first) {
        return broken(err, "not an HTTP/1.1 status line");
    }
    if (line + 2 != text + len) {
        return broken(err, "bytes after the head");
    }
    return judge_framing(r, err);
}

int http_response_parse(struct http_response *r, const void *p, size_t len,
                        struct err *err)
{
    int rc;

    CHECK(r->text == NULL);
    CHECK(len >= 4);
    if (len > HTTP_HEAD_MAX) {
        return broken(err, "the head is over 64 KiB");
    }
    r->text = mem_realloc(NULL, len + 1);
    memcpy(r->text, p, len);
    r->text[len] = '\0';
    rc = parse_lines(r, r->text, len, err);
    if (rc != 0) {
        http_response_free(r);
    }
    return rc;
}

const char *http_response_header(const struct http_response *r,
                                 const char *name)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (text_ieq(r->headers[i].name, name)) {
            return r->headers[i].value;
        }
    }
    return NULL;
}

void http_body_init(struct http_body *b, const struct http_response *r,
                    const char *method)
{
    b->left = 0;
    b->line_len = 0;
    b->trailer_bytes = 0;
    if (strcmp(method, "HEAD") == 0 || r->status < 200 || r->status == 204 ||
        r->status == 304) {
        b->state = HTTP_BODY_DONE;
    } else if (r->chunked) {
        b->state = HTTP_BODY_SIZE;
    } else if (r->has_length) {
        b->state = r->length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_DONE;
        b->left = r->length;
    } else {
        b->state = HTTP_BODY_CLOSE;
    }
}

/* Gather a line up to its LF; *@whole says that it is there, without its end.
 * Gives the bytes consumed. */
static int take_line(struct http_body *b, const uint8_t *in, size_t *len,
                     bool *whole, struct err *err)
{
    const uint8_t *end = memchr(in, '\n', *len);
    size_t n = end != NULL ? (size_t)(end - in) + 1 : *len;

    *whole = false;
    if (n > sizeof b->line - b->line_len) {
        return broken(err, "a chunk's line is over 1 KiB");
    }
    memcpy(b->line + b->line_len, in, n);
    b->line_len += n;
    *len = n;
    if (end == NULL) {
        return 0;
    }
    if (b->line_len < 2 || b->line[b->line_len - 2] != '\r') {
        return broken(err, "a chunk's line does not end in CR LF");
    }
    b->line_len -= 2;
    b->line[b->line_len] = '\0';
    if (memchr(b->line, '\0', b->line_len) != NULL ||
        memchr(b->line, '\r', b->line_len) != NULL) {
        return broken(err, "a chunk's line has a control byte");
    }
    *whole = true;
    return 0;
}

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "1f40[;extension]" in b->line. */
static int take_size(struct http_body *b, struct err *err)
{
    size_t digits = 0;
    uint64_t size = 0;

    while (digits < b->line_len && hex_value(b->line[digits]) >= 0) {
        if (digits == 15) {
            return broken(err, "a chunk's size is too long");
        }
        size = size * 16 + (uint64_t)hex_value(b->line[digits]);
        digits++;
    }
    if (digits == 0 || (digits < b->line_len && b->line[digits] != ';')) {
        return broken(err, "a chunk's size is not a number");
    }
    b->line_len = 0;
    b->left = size;
    b->state = size > 0 ? HTTP_BODY_CHUNK : HTTP_BODY_TRAILER;
    return 0;
}

/* The CR LF that follows a chunk's bytes. */
static int take_chunk_end(struct http_body *b, const uint8_t *in, size_t *len,
                          struct err *err)
{
    *len = 1;
    if (in[0] != (b->left == 0 ? '\r' : '\n')) {
        return broken(err, "a chunk does not end in CR LF");
    }
    b->left++;
    if (b->left == 2) {
        b->left = 0;
        b->state = HTTP_BODY_SIZE;
    }
    return 0;
}

static int take_trailer(struct http_body *b, struct err *err)
{
    b->trailer_bytes += b->line_len + 2;
    if (b->trailer_bytes > HTTP_TRAILERS_MAX) {
        return broken(err, "trailers are over 8 KiB");
    }
    if (b->line_len == 0) {
        b->state = HTTP_BODY_DONE;
    }
    b->line_len = 0;
    return 0;
}

static int decode_line(struct http_body *b, const uint8_t *in, size_t *len,
                       struct err *err)
{
    bool whole;
    int rc = take_line(b, in, len, &whole, err);

    if (rc != 0 || !whole) {
        return rc;
    }
    return b->state == HTTP_BODY_SIZE ? take_size(b, err)
                                      : take_trailer(b, err);
}

int http_body_decode(struct http_body *b, const uint8_t *in, size_t *len,
                     const uint8_t **out, size_t *out_len, struct err *err)
{
    *out = in;
    *out_len = 0;
    if (*len == 0) {
        return 0;
    }
    switch (b->state) {
        case HTTP_BODY_DONE:
            *len = 0;
            return 0;
        case HTTP_BODY_CLOSE:
            *out_len = *len;
            return 0;
        case HTTP_BODY_SIZE:
        case HTTP_BODY_TRAILER:
            return decode_line(b, in, len, err);
        case HTTP_BODY_CHUNK_END:
            return take_chunk_end(b, in, len, err);
        case HTTP_BODY_LENGTH:
        case HTTP_BODY_CHUNK:
            break;
    }
    if (*len > b->left) {
        *len = (size_t)b->left;
    }
    *out_len = *len;
    b->left -= *len;
    if (b->left == 0) {
        b->state =
            b->state == HTTP_BODY_CHUNK ? HTTP_BODY_CHUNK_END : HTTP_BODY_DONE;
    }
    return 0;
}

int http_body_end(struct http_body *b, struct err *err)
{
    if (b->state == HTTP_BODY_CLOSE) {
        b->state = HTTP_BODY_DONE;
    }
    if (b->state != HTTP_BODY_DONE) {
        return err_set(err, ERR_CLOSED, "response: ends before its last byte");
    }
    return 0;
}
