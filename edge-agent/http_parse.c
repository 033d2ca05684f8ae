#include "edge-agent/http_parse.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/text.h"

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *s)
{
    if (*s == '\0') {
        return false;
    }
    for (; *s != '\0'; s++) {
        bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                      (*s >= '0' && *s <= '9');
        if (!letter && strchr("!#$%&'*+-.^_`|~", *s) == NULL) {
            return false;
        }
    }
    return true;
}

/* Visible characters alone, when @blanks also blanks and tabs; bytes above
 * ASCII pass in values. */
static bool is_clean(const char *s, bool blanks)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == 0x7f || c < 0x20 || (c == ' ' && !blanks) ||
            (c >= 0x80 && !blanks)) {
            if (!(c == '\t' && blanks)) {
                return false;
            }
        }
    }
    return true;
}

size_t http_head_end(const char *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4);

    return end != NULL ? (size_t)(end - p) + 4 : 0;
}

const char *http_field(const struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->field_count; i++) {
        if (strcasecmp(h->fields[i].name, name) == 0) {
            return h->fields[i].value;
        }
    }
    return NULL;
}

static int bad(int *status, int code, struct err *err, const char *what)
{
    *status = code;
    return err_set(err, ERR_BAD_INPUT, "%s", what);
}

static int request_line(char *line, struct http_head *h, bool *newer,
                        int *status, struct err *err)
{
    char *target = strchr(line, ' ');
    char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
    char *query;

    if (version == NULL) {
        return bad(status, 400, err, "the request line is not three words");
    }
    *target++ = '\0';
    *version++ = '\0';
    if (strncmp(version, "HTTP/", 5) != 0) {
        return bad(status, 400, err, "the request line names no version");
    }
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        return bad(status, 505, err, "only HTTP/1.1 and HTTP/1.0 are spoken");
    }
    *newer = version[7] == '1';
    if (!is_token(line)) {
        return bad(status, 400, err, "the method is no token");
    }
    if (*target != '/' || !is_clean(target, false) ||
        strchr(target, '#') != NULL) {
        return bad(status, 400, err, "the target is no path");
    }
    query = strchr(target, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    h->method = line;
    h->path = target;
    h->query = query != NULL ? query : "";
    return 0;
}

static int header_line(char *line, struct http_head *h, int *status,
                       struct err *err)
{
    char *colon = strchr(line, ':');
    char *value, *end;

    if (h->field_count == HTTP_FIELDS_MAX) {
        return bad(status, 431, err, "too many header fields");
    }
    if (colon == NULL) {
        return bad(status, 400, err, "a header line has no colon");
    }
    *colon = '\0';
    for (value = colon + 1; *value == ' ' || *value == '\t'; value++) {
    }
    for (end = value + strlen(value);
         end > value && (end[-1] == ' ' || end[-1] == '\t'); end--) {
    }
    *end = '\0';
    if (!is_token(line)) {
        return bad(status, 400, err, "a header's name is no token");
    }
    if (!is_clean(value, true)) {
        return bad(status, 400, err, "a header's value has control bytes");
    }
    h->fields[h->field_count++] = (struct http_field){line, value};
    return 0;
}

static size_t times(const struct http_head *h, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < h->field_count; i++) {
        n += strcasecmp(h->fields[i].name, name) == 0;
    }
    return n;
}

/* How the body is framed, and what becomes of the connection. */
static int framing(struct http_head *h, bool newer, int *status,
                   struct err *err)
{
    const char *coding = http_field(h, "Transfer-Encoding");
    const char *length = http_field(h, "Content-Length");
    const char *connection = http_field(h, "Connection");

    if (times(h, "Content-Length") > 1 || times(h, "Transfer-Encoding") > 1 ||
        (length != NULL && coding != NULL)) {
        return bad(status, 400, err, "the body has more than one length");
    }
    if (coding != NULL && !newer) {
        return bad(status, 400, err, "Transfer-Encoding in HTTP/1.0");
    }
    if (coding != NULL && strcasecmp(coding, "chunked") != 0) {
        return bad(status, 501, err, "Transfer-Encoding other than chunked");
    }
    if (length != NULL && !text_u64(length, &h->content_length)) {
        return bad(status, 400, err, "Content-Length is no number");
    }
    if (h->content_length > HTTP_BODY_MAX) {
        return bad(status, 413, err, "the body is too long");
    }
    h->has_length = length != NULL;
    h->chunked = coding != NULL;
    h->keep_alive =
        newer ? connection == NULL || strcasecmp(connection, "close") != 0
              : connection != NULL && strcasecmp(connection, "keep-alive") == 0;
    return 0;
}

/* What only requests have. */
static int request_fields(struct http_head *h, bool newer, int *status,
                          struct err *err)
{
    const char *expect = http_field(h, "Expect");

    if (times(h, "Host") > 1 || (newer && times(h, "Host") == 0)) {
        return bad(status, 400, err, "there must be one Host");
    }
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0) {
        return bad(status, 417, err, "Expect other than 100-continue");
    }
    h->expect_continue = expect != NULL && newer;
    return 0;
}

typedef int (*first_line)(char *line, struct http_head *h, bool *newer,
                          int *status, struct err *err);

static int parse(char *text, size_t len, first_line read_first,
                 struct http_head *h, bool *newer, int *status, struct err *err)
{
    char *end = text + len;
    bool first = true;
    int code = 0;

    memset(h, 0, sizeof *h);
    if (len < 4 || memchr(text, '\0', len) != NULL) {
        return bad(status, 400, err, "the head has a NUL");
    }
    for (char *line = text; code == 0;) {
        char *cr = memchr(line, '\r', (size_t)(end - line));
        if (cr == NULL || cr + 1 == end || cr[1] != '\n' ||
            memchr(line, '\n', (size_t)(cr - line)) != NULL) {
            return bad(status, 400, err, "a line does not end in CR LF");
        }
        if (cr == line) {
            break; /* the empty line */
        }
        *cr = '\0';
        code = first ? read_first(line, h, newer, status, err)
                     : header_line(line, h, status, err);
        first = false;
        line = cr + 2;
    }
    if (code == 0 && first) {
        return bad(status, 400, err, "there is no first line");
    }
    return code;
}

int http_head_parse(char *text, size_t len, struct http_head *out, int *status,
                    struct err *err)
{
    bool newer = true;
    int code = parse(text, len, request_line, out, &newer, status, err);

    if (code == 0) {
        code = framing(out, newer, status, err);
    }
    return code == 0 ? request_fields(out, newer, status, err) : code;
}

/* "HTTP/1.1 200 OK"; the reason may be missing, and is not looked at. */
static int status_line(char *line, struct http_head *h, bool *newer,
                       int *status, struct err *err)
{
    uint64_t n = 0;

    (void)h;
    if (strncmp(line, "HTTP/1.1 ", 9) != 0 &&
        strncmp(line, "HTTP/1.0 ", 9) != 0) {
        return bad(status, 0, err, "the answer is no HTTP/1.1");
    }
    if (strlen(line) < 12 || !text_u64_n(line + 9, 3, &n) || n < 100 ||
        n > 599 || (line[12] != ' ' && line[12] != '\0') ||
        !is_clean(line, true)) {
        return bad(status, 0, err, "the answer has no status");
    }
    *newer = line[7] == '1';
    *status = (int)n;
    return 0;
}

int http_reply_parse(char *text, size_t len, struct http_head *out, int *status,
                     struct err *err)
{
    bool newer = true;
    int unused = 0;
    int told = 0;
    int code = parse(text, len, status_line, out, &newer, &told, err);

    if (code == 0) {
        code = framing(out, newer, &unused, err);
    }
    if (code == 0) {
        *status = told;
    }
    return code;
}

/* ---- chunks ---- */

enum state { SIZE, DATA, DATA_CR, DATA_LF, TRAILER, END };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "1a2b" or "1a2b;extension". */
static int chunk_size(struct http_chunks *c, struct err *err)
{
    uint64_t size = 0;
    size_t i = 0;

    for (; i < c->line_len && hex_digit(c->line[i]) >= 0; i++) {
        if (i == 10) { /* 2^40 needs 11 digits, and is over the limit */
            return err_set(err, ERR_LIMIT, "a chunk is too long");
        }
        size = size << 4 | (uint64_t)hex_digit(c->line[i]);
    }
    if (i == 0 || (i < c->line_len && c->line[i] != ';')) {
        return err_set(err, ERR_BAD_INPUT, "a chunk's size is no number");
    }
    c->total += size;
    if (c->total > HTTP_BODY_MAX) {
        return err_set(err, ERR_LIMIT, "the body is too long");
    }
    c->left = size;
    c->state = size > 0 ? DATA : TRAILER;
    c->line_len = 0;
    return 0;
}

/* One byte of a line; a line ends in CR LF and has no other control bytes. */
static int line_byte(struct http_chunks *c, char byte, bool *whole,
                     struct err *err)
{
    bool cr = c->line_len > 0 && c->line[c->line_len - 1] == '\r';

    *whole = false;
    if (byte == '\n' && cr) {
        c->line_len--;
        *whole = true;
        return 0;
    }
    if (cr || (byte != '\r' && byte != '\t' &&
               ((unsigned char)byte < 0x20 || byte == 0x7f))) {
        return err_set(err, ERR_BAD_INPUT, "a line of the body is malformed");
    }
    if (c->line_len == sizeof c->line) {
        return err_set(err, ERR_LIMIT, "a line of the body is too long");
    }
    c->line[c->line_len++] = byte;
    return 0;
}

static int chunk_line(struct http_chunks *c, char byte, struct err *err)
{
    bool whole;
    int code = line_byte(c, byte, &whole, err);

    if (code != 0 || !whole) {
        return code;
    }
    if (c->state == SIZE) {
        return chunk_size(c, err);
    }
    if (c->line_len == 0) {
        c->state = END;
        return 0;
    }
    c->trailer_len += c->line_len;
    c->line_len = 0;
    return c->trailer_len > HTTP_TRAILER_MAX
               ? err_set(err, ERR_LIMIT, "the trailers are too long")
               : 0;
}

int http_chunks_read(struct http_chunks *c, const uint8_t *p, size_t len,
                     size_t *used, const uint8_t **data, size_t *data_len,
                     bool *end, struct err *err)
{
    size_t i = 0;
    int code = 0;

    *data_len = 0;
    *data = NULL;
    while (code == 0 && i < len && c->state != END) {
        if (c->state == DATA) {
            size_t n = len - i < c->left ? len - i : (size_t)c->left;
            *data = p + i;
            *data_len = n;
            c->left -= n;
            c->state = c->left == 0 ? DATA_CR : DATA;
            i += n;
            break; /* one run at a time */
        }
        if (c->state == DATA_CR || c->state == DATA_LF) {
            if (p[i] != (c->state == DATA_CR ? '\r' : '\n')) {
                code = err_set(err, ERR_BAD_INPUT,
                               "a chunk is longer than it says");
            }
            c->state = c->state == DATA_CR ? DATA_LF : SIZE;
        } else {
            code = chunk_line(c, (char)p[i], err);
        }
        i++;
    }
    *used = i;
    *end = c->state == END;
    return code;
}
