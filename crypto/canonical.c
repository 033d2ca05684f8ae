#include "crypto/canonical.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define PARAMS_STACK 32 /* more go to the heap */

/* ---- the way to the hash ---- */

struct sink {
    struct digest sha256;
    size_t len;
    char bytes[1024];
};

static void flush(struct sink *s)
{
    digest_update(&s->sha256, s->bytes, s->len);
    s->len = 0;
}

static inline void put(struct sink *s, char c)
{
    if (s->len == sizeof s->bytes) {
        flush(s);
    }
    s->bytes[s->len++] = c;
}

static void put_bytes_of(struct sink *s, const char *p, size_t len)
{
    if (len > sizeof s->bytes - s->len) {
        flush(s);
    }
    if (len > sizeof s->bytes) {
        digest_update(&s->sha256, p, len);
        return;
    }
    memcpy(s->bytes + s->len, p, len);
    s->len += len;
}

static void put_line(struct sink *s, const char *text)
{
    put_bytes_of(s, text, strlen(text));
    put(s, '\n');
}

/* ---- encoding ---- */

/* A part of a path or query, read as its canonical bytes: decoded once and
 * encoded once, or as it is when it has a bad escape. */
struct piece {
    const char *p;
    const char *end;
    bool raw;
    bool keep_slash;
    uint8_t pending; /* digits of an escape still to be given */
    uint8_t byte;    /* that is escaped */
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool has_bad_escape(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p == '%') {
            if (end - p < 3 || hex_value(p[1]) < 0 || hex_value(p[2]) < 0) {
                return true;
            }
            p += 2;
        }
    }
    return false;
}

static struct piece piece_of(const char *p, size_t len, bool keep_slash)
{
    return (struct piece){.p = p,
                          .end = p + len,
                          .raw = has_bad_escape(p, p + len),
                          .keep_slash = keep_slash};
}

static inline bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
           c == '~';
}

/* The next canonical byte, or -1 at the end. */
static int piece_next(struct piece *x)
{
    static const char digits[] = "0123456789ABCDEF";
    uint8_t c;

    if (x->pending > 0) {
        x->pending--;
        return digits[x->pending == 1 ? x->byte >> 4 : x->byte & 15];
    }
    if (x->p == x->end) {
        return -1;
    }
    c = (uint8_t)*x->p++;
    if (x->raw) {
        return c;
    }
    if (c == '%') {
        c = (uint8_t)(hex_value(x->p[0]) << 4 | hex_value(x->p[1]));
        x->p += 2;
    }
    if (unreserved(c) || (c == '/' && x->keep_slash)) {
        return c;
    }
    x->byte = c;
    x->pending = 2;
    return '%';
}

static void put_piece(struct sink *s, const char *p, size_t len,
                      bool keep_slash)
{
    struct piece x = piece_of(p, len, keep_slash);

    for (int c = piece_next(&x); c >= 0; c = piece_next(&x)) {
        put(s, (char)c);
    }
}

static int compare_pieces(const char *a, size_t a_len, const char *b,
                          size_t b_len)
{
    struct piece x = piece_of(a, a_len, false);
    struct piece y = piece_of(b, b_len, false);
    int c, d;

    do {
        c = piece_next(&x);
        d = piece_next(&y);
    } while (c == d && c >= 0);
    return c - d;
}

/* ---- the query ---- */

bool canonical_next_param(const char **p, struct canonical_param *out)
{
    const char *at = *p;
    size_t len;

    at += strspn(at, "&");
    len = strcspn(at, "&");
    *p = at + len;
    if (len == 0) {
        return false;
    }
    out->name = at;
    out->value = memchr(at, '=', len);
    if (out->value == NULL) {
        out->name_len = len;
        out->value = at + len;
        out->value_len = 0;
    } else {
        out->name_len = (size_t)(out->value - at);
        out->value++;
        out->value_len = len - out->name_len - 1;
    }
    return true;
}

static int compare_params(const void *a, const void *b)
{
    const struct canonical_param *x = a;
    const struct canonical_param *y = b;
    int c = compare_pieces(x->name, x->name_len, y->name, y->name_len);

    return c != 0
               ? c
               : compare_pieces(x->value, x->value_len, y->value, y->value_len);
}

/* By insertion: qsort allocates, and these are few. */
static void sort_few(struct canonical_param *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct canonical_param x = list[i];
        size_t at = i;
        while (at > 0 && compare_params(&x, &list[at - 1]) < 0) {
            list[at] = list[at - 1];
            at--;
        }
        list[at] = x;
    }
}

static size_t count_params(const char *query)
{
    size_t count = 1;

    for (const char *p = query; *p != '\0'; p++) {
        count += *p == '&';
    }
    return count;
}

static void put_query(struct sink *s, const char *query)
{
    struct canonical_param few[PARAMS_STACK];
    struct canonical_param *list = few;
    size_t most = count_params(query);
    size_t count = 0;

    if (most > PARAMS_STACK) {
        list = mem_calloc(most, sizeof *list);
    }
    while (canonical_next_param(&query, &list[count])) {
        count += list[count].name_len != 15 ||
                 memcmp(list[count].name, "X-Amz-Signature", 15) != 0;
    }
    if (list == few) {
        sort_few(list, count);
    } else {
        qsort(list, count, sizeof *list, compare_params);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            put(s, '&');
        }
        put_piece(s, list[i].name, list[i].name_len, false);
        put(s, '=');
        put_piece(s, list[i].value, list[i].value_len, false);
    }
    put(s, '\n');
    if (list != few) {
        free(list);
    }
}

/* ---- headers ---- */

bool canonical_same_name(const char *name, const char *other, size_t len)
{
    return ((name[0] ^ other[0]) & ~0x20) == 0 &&
           strncasecmp(name, other, len) == 0 && name[len] == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void put_value(struct sink *s, const char *v)
{
    while (is_blank(*v)) {
        v++;
    }
    for (; *v != '\0'; v++) {
        if (!is_blank(*v)) {
            put(s, *v);
        } else if (!is_blank(v[1]) && v[1] != '\0') {
            put(s, ' ');
        }
    }
}

/* A name that is signed but not sent counts as empty: no signer gives such a
 * one, so the signature will differ. */
static void put_header(struct sink *s, const struct sigv4_request *r,
                       const char *name, size_t len)
{
    bool found = false;

    put_bytes_of(s, name, len);
    put(s, ':');
    for (size_t i = 0; i < r->header_count; i++) {
        if (canonical_same_name(r->headers[i].name, name, len)) {
            if (found) {
                put(s, ',');
            }
            put_value(s, r->headers[i].value);
            found = true;
        }
    }
    put(s, '\n');
}

void canonical_hash(const struct sigv4_request *r, const char *names,
                    const char *payload, char hex[65])
{
    struct sink s;
    uint8_t sum[DIGEST_MAX];

    s.len = 0;
    digest_init(&s.sha256, DIGEST_SHA256);
    put_line(&s, r->method);
    if (r->path[0] == '\0') {
        put(&s, '/');
    }
    put_piece(&s, r->path, strlen(r->path), true);
    put(&s, '\n');
    put_query(&s, r->query);
    for (const char *p = names; *p != '\0';) {
        size_t len = strcspn(p, ";");
        put_header(&s, r, p, len);
        p += len;
        p += *p == ';';
    }
    put(&s, '\n');
    put_line(&s, names);
    put_bytes_of(&s, payload, strlen(payload));
    flush(&s);
    digest_final(&s.sha256, sum);
    text_hex(sum, 32, hex);
}
