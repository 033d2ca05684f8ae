#include "gateway/s3_form.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

/* A delimiter is "\r\n--" and the boundary, which has no CR: where one breaks
 * off, none has begun inside it, so a match that fails starts from nothing. */
#define DELIMITER_MAX (4 + S3_FORM_BOUNDARY_MAX)
#define PART_HEADERS_MAX (4 << 10)

enum state { PREAMBLE, AFTER_DELIMITER, HEADERS, VALUE, IN_FILE, END, BAD };

struct s3_form {
    enum state state;
    char delimiter[DELIMITER_MAX + 1];
    size_t delimiter_len;
    size_t matched; /* bytes of the delimiter that came */
    size_t owed;    /* of its beginning that were bytes of the file after all */
    size_t paid;
    char after[2]; /* what follows a delimiter */
    size_t after_len;
    size_t bytes; /* before the file */
    struct buf headers, value;
    char *name;
    char *filename;
    bool has_file;
    struct s3_form_field fields[S3_FORM_FIELDS_MAX];
    size_t count;
};

/* ---- the header ---- */

static bool boundary_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || strchr("'()+_,-./:=? ", c) != NULL;
}

struct s3_form *s3_form_new(const char *content_type)
{
    static const char type[] = "multipart/form-data";
    const char *p = strchr(content_type, ';');
    struct s3_form *f;
    size_t len;

    if (strncasecmp(content_type, type, sizeof type - 1) != 0) {
        return NULL;
    }
    while (p != NULL &&
           strncasecmp(p + 1 + strspn(p + 1, " \t"), "boundary=", 9) != 0) {
        p = strchr(p + 1, ';');
    }
    if (p == NULL) {
        return NULL;
    }
    p += 1 + strspn(p + 1, " \t") + 9;
    len = *p == '"' ? strcspn(p + 1, "\"") : strcspn(p, "; \t");
    p += *p == '"';
    if (len == 0 || len > S3_FORM_BOUNDARY_MAX || p[len - 1] == ' ') {
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        if (!boundary_char(p[i])) {
            return NULL;
        }
    }
    f = mem_alloc(sizeof *f);
    memcpy(f->delimiter, "\r\n--", 4);
    memcpy(f->delimiter + 4, p, len);
    f->delimiter_len = 4 + len;
    f->matched = 2; /* the first one needs no line end before it */
    return f;
}

void s3_form_free(struct s3_form *f)
{
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < f->count; i++) {
        free(f->fields[i].name);
        free(f->fields[i].value);
    }
    free(f->name);
    free(f->filename);
    buf_free(&f->headers);
    buf_free(&f->value);
    free(f);
}

/* ---- headers of a part ---- */

/* The parameter @name of a header's value, its quotes undone; NULL: none. Only
 * \" is an escape: browsers send paths with bare backslashes. */
static char *parameter(const char *value, size_t len, const char *name)
{
    const char *end = value + len;
    size_t name_len = strlen(name);
    const char *p = memchr(value, ';', len);

    while (p != NULL && p < end) {
        struct buf b = {0};
        bool ours;
        size_t size;
        p++;
        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }
        ours = (size_t)(end - p) > name_len &&
               strncasecmp(p, name, name_len) == 0 && p[name_len] == '=';
        while (p < end && *p != '=' && *p != ';') {
            p++;
        }
        buf_str(&b, "");
        if (p < end && *p == '=') {
            bool quoted = ++p < end && *p == '"';
            p += quoted;
            while (p < end && *p != (quoted ? '"' : ';')) {
                p += quoted && *p == '\\' && p + 1 < end && p[1] == '"';
                buf_char(&b, *p++);
            }
            p += quoted && p < end;
        }
        if (ours) {
            return (char *)buf_take(&b, &size);
        }
        buf_free(&b);
        p = p < end ? memchr(p, ';', (size_t)(end - p)) : NULL;
    }
    return NULL;
}

static void set_filename(struct s3_form *f, char *path)
{
    char *base = path;

    for (char *p = path; path != NULL && *p != '\0'; p++) {
        if (*p == '/' || *p == '\\') {
            base = p + 1;
        }
    }
    f->filename = mem_strdup(base != NULL ? base : "");
    free(path);
}

/* Where a part goes, by its Content-Disposition. */
static enum state take_headers(struct s3_form *f)
{
    static const char wanted[] = "content-disposition:";
    const char *p = (const char *)f->headers.data;
    const char *end = p + f->headers.len;

    free(f->name);
    f->name = NULL;
    while (p < end && f->name == NULL) {
        const char *line_end = memchr(p, '\r', (size_t)(end - p));
        size_t len = (size_t)((line_end != NULL ? line_end : end) - p);
        if (len > sizeof wanted - 1 &&
            strncasecmp(p, wanted, sizeof wanted - 1) == 0) {
            f->name = parameter(p, len, "name");
            if (f->name != NULL && strcasecmp(f->name, "file") == 0) {
                set_filename(f, parameter(p, len, "filename"));
            }
        }
        p += len + 2;
    }
    buf_clear(&f->headers);
    if (f->name == NULL || f->name[0] == '\0') {
        return BAD;
    }
    return f->filename != NULL ? IN_FILE : VALUE;
}

/* ---- one byte after the other, but for the file ---- */

static bool end_value(struct s3_form *f)
{
    struct s3_form_field *field = &f->fields[f->count];

    if (f->count == S3_FORM_FIELDS_MAX ||
        (f->value.len > 0 && memchr(f->value.data, 0, f->value.len) != NULL)) {
        return false;
    }
    field->name = f->name;
    field->value = mem_strndup(
        f->value.len > 0 ? (const char *)f->value.data : "", f->value.len);
    f->name = NULL;
    f->count++;
    buf_clear(&f->value);
    return true;
}

/* A delimiter is whole. */
static enum state found_delimiter(struct s3_form *f)
{
    enum state from = f->state;

    f->matched = 0;
    f->after_len = 0;
    if (from == IN_FILE) {
        return END;
    }
    return from == VALUE && !end_value(f) ? BAD : AFTER_DELIMITER;
}

static enum state take_after(struct s3_form *f, char c)
{
    f->after[f->after_len++] = c;
    if (f->after_len < 2) {
        return AFTER_DELIMITER;
    }
    if (memcmp(f->after, "--", 2) == 0) {
        return END;
    }
    return memcmp(f->after, "\r\n", 2) == 0 ? HEADERS : BAD;
}

static enum state take_header_byte(struct s3_form *f, char c)
{
    struct buf *b = &f->headers;

    if (c == '\0' || b->len == PART_HEADERS_MAX) {
        return BAD;
    }
    buf_char(b, c);
    if (b->len >= 4 && memcmp(b->data + b->len - 4, "\r\n\r\n", 4) == 0) {
        return take_headers(f);
    }
    return b->len == 2 && memcmp(b->data, "\r\n", 2) == 0 ? BAD : HEADERS;
}

/* Of a value or of what comes before the first delimiter. */
static enum state take_text_byte(struct s3_form *f, char c)
{
    if (f->matched > 0 && c != f->delimiter[f->matched]) {
        if (f->state == VALUE) {
            buf_append(&f->value, f->delimiter, f->matched);
        }
        f->matched = 0;
    }
    if (c == f->delimiter[f->matched]) {
        f->matched++;
        return f->matched == f->delimiter_len ? found_delimiter(f) : f->state;
    }
    if (f->state == VALUE) {
        buf_char(&f->value, c);
    }
    return f->state;
}

static enum s3_form_event feed_fields(struct s3_form *f, const char *data,
                                      size_t *used)
{
    size_t len = *used;

    for (*used = 0; *used < len;) {
        char c = data[(*used)++];
        if (++f->bytes > S3_FORM_FIELDS_BYTES_MAX) {
            f->state = BAD;
            return S3_FORM_TOO_LONG;
        }
        switch (f->state) {
            case AFTER_DELIMITER:
                f->state = take_after(f, c);
                break;
            case HEADERS:
                f->state = take_header_byte(f, c);
                break;
            default:
                f->state = take_text_byte(f, c);
        }
        if (f->state == IN_FILE) {
            f->has_file = true;
            f->matched = 0;
            return S3_FORM_FILE;
        }
        if (f->state == END || f->state == BAD) {
            return f->state == END ? S3_FORM_END : S3_FORM_BAD;
        }
    }
    return S3_FORM_MORE;
}

/* ---- the file ---- */

/* Give what was held back for a delimiter that it was not. False: no room. */
static bool pay(struct s3_form *f, uint8_t *out, size_t room, size_t *made)
{
    size_t n = f->owed - f->paid;

    n = n < room - *made ? n : room - *made;
    memcpy(out + *made, f->delimiter + f->paid, n);
    *made += n;
    f->paid += n;
    if (f->paid < f->owed) {
        return false;
    }
    f->owed = f->paid = 0;
    return true;
}

/* Bytes up to a CR need no look at each. */
static size_t plain_run(const char *data, size_t len)
{
    const char *cr = memchr(data, '\r', len);

    return cr != NULL ? (size_t)(cr - data) : len;
}

static enum s3_form_event feed_file(struct s3_form *f, const char *data,
                                    size_t *used, uint8_t *out, size_t room,
                                    size_t *made)
{
    size_t len = *used;
    size_t n;

    *used = 0;
    while (pay(f, out, room, made) && *used < len) {
        const char *p = data + *used;
        if (f->matched == 0 && *p != '\r') {
            n = plain_run(p, len - *used);
            n = n < room - *made ? n : room - *made;
            if (n == 0) {
                break;
            }
            memcpy(out + *made, p, n);
            *made += n;
            *used += n;
        } else if (*p == f->delimiter[f->matched]) {
            (*used)++;
            if (++f->matched == f->delimiter_len) {
                f->state = END;
                return S3_FORM_END;
            }
        } else {
            f->owed = f->matched;
            f->matched = 0;
        }
    }
    return S3_FORM_MORE;
}

enum s3_form_event s3_form_feed(struct s3_form *f, const char *data,
                                size_t *used, uint8_t *out, size_t room,
                                size_t *made)
{
    *made = 0;
    switch (f->state) {
        case IN_FILE:
            return feed_file(f, data, used, out, room, made);
        case END:
        case BAD:
            *used = 0;
            return f->state == END ? S3_FORM_END : S3_FORM_BAD;
        default:
            return feed_fields(f, data, used);
    }
}

/* ---- what came ---- */

bool s3_form_has_file(const struct s3_form *f)
{
    return f->has_file;
}

const char *s3_form_filename(const struct s3_form *f)
{
    return f->filename != NULL ? f->filename : "";
}

const char *s3_form_value(const struct s3_form *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strcasecmp(f->fields[i].name, name) == 0) {
            return f->fields[i].value;
        }
    }
    return NULL;
}

const struct s3_form_field *s3_form_fields(const struct s3_form *f,
                                           size_t *count)
{
    *count = f->count;
    return f->fields;
}

bool s3_form_expand(struct s3_form *f)
{
    static const char variable[] = "${filename}";
    const size_t len = sizeof variable - 1;
    size_t total = 0;

    for (size_t i = 0; i < f->count; i++) {
        struct buf b = {0};
        const char *p = f->fields[i].value;
        const char *at;
        size_t size;
        buf_str(&b, "");
        while ((at = strstr(p, variable)) != NULL &&
               b.len <= S3_FORM_FIELDS_BYTES_MAX) {
            buf_append(&b, p, (size_t)(at - p));
            buf_str(&b, s3_form_filename(f));
            p = at + len;
        }
        buf_str(&b, p);
        total += b.len;
        free(f->fields[i].value);
        f->fields[i].value = (char *)buf_take(&b, &size);
    }
    return total <= S3_FORM_FIELDS_BYTES_MAX;
}
