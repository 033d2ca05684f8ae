#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* All values and texts of a document, in one piece: no document has more values
 * than bytes, nor more text. The root is the first value. */
struct parser {
    const char *start, *p, *end;
    struct json *values;
    size_t count;
    char *texts;
    const char *why;
};

static void skip(struct parser *r)
{
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) {
        r->p++;
    }
}

static bool fail(struct parser *r, const char *why)
{
    if (r->why == NULL) {
        r->why = why;
    }
    return false;
}

static bool take(struct parser *r, char c)
{
    skip(r);
    if (r->p < r->end && *r->p == c) {
        r->p++;
        return true;
    }
    return false;
}

static bool word(struct parser *r, const char *w)
{
    size_t len = strlen(w);

    if ((size_t)(r->end - r->p) < len || memcmp(r->p, w, len) != 0) {
        return fail(r, "no value");
    }
    r->p += len;
    return true;
}

/* ---- texts ---- */

static bool hex4(struct parser *r, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = r->p < r->end ? *r->p++ : 0;
        unsigned digit;
        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (unsigned)(c - 'A') + 10;
        } else {
            return fail(r, "a bad \\u escape");
        }
        *out = *out << 4 | digit;
    }
    return true;
}

static void put_utf8(char **to, unsigned c)
{
    unsigned char *p = (unsigned char *)*to;

    if (c < 0x80) {
        *p++ = (unsigned char)c;
    } else if (c < 0x800) {
        *p++ = (unsigned char)(0xc0 | c >> 6);
        *p++ = (unsigned char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *p++ = (unsigned char)(0xe0 | c >> 12);
        *p++ = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (unsigned char)(0x80 | (c & 0x3f));
    } else {
        *p++ = (unsigned char)(0xf0 | c >> 18);
        *p++ = (unsigned char)(0x80 | (c >> 12 & 0x3f));
        *p++ = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (unsigned char)(0x80 | (c & 0x3f));
    }
    *to = (char *)p;
}

static bool escape(struct parser *r, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = r->p < r->end ? *r->p++ : 0;
    const char *at = c != 0 ? strchr(from, c) : NULL;
    unsigned code, low;

    if (at != NULL) {
        *(*to)++ = into[at - from];
        return true;
    }
    if (c != 'u') {
        return fail(r, "a bad escape");
    }
    if (!hex4(r, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xdc00) {
        if (r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u') {
            return fail(r, "half a surrogate pair");
        }
        r->p += 2;
        if (!hex4(r, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return fail(r, "half a surrogate pair");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return fail(r, "half a surrogate pair");
    }
    if (code == 0) {
        return fail(r, "a NUL in a text");
    }
    put_utf8(to, code);
    return true;
}

/* Behind the opening quote. */
static bool text(struct parser *r, const char **out)
{
    char *to = r->texts;

    *out = to;
    while (r->p < r->end && *r->p != '"') {
        unsigned char c = (unsigned char)*r->p++;
        if (c < 0x20) {
            return fail(r, "a control character in a text");
        }
        if (c != '\\') {
            *to++ = (char)c;
        } else if (!escape(r, &to)) {
            return false;
        }
    }
    if (r->p == r->end) {
        return fail(r, "a text without its end");
    }
    r->p++;
    *to++ = '\0';
    r->texts = to;
    return true;
}

/* ---- values ---- */

static size_t digits(struct parser *r)
{
    const char *from = r->p;

    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') {
        r->p++;
    }
    return (size_t)(r->p - from);
}

static bool number(struct parser *r, struct json *v)
{
    const char *from = r->p;
    size_t whole;

    r->p += *r->p == '-';
    whole = digits(r);
    if (whole == 0 || (whole > 1 && r->p[-(ptrdiff_t)whole] == '0')) {
        return fail(r, "a bad number");
    }
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (digits(r) == 0) {
            return fail(r, "a bad number");
        }
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        r->p += r->p < r->end && (*r->p == '+' || *r->p == '-');
        if (digits(r) == 0) {
            return fail(r, "a bad number");
        }
    }
    v->type = JSON_NUMBER;
    v->text = r->texts;
    memcpy(r->texts, from, (size_t)(r->p - from));
    r->texts += r->p - from;
    *r->texts++ = '\0';
    return true;
}

static bool value(struct parser *r, struct json *v, unsigned depth);

static bool members(struct parser *r, struct json *v, unsigned depth)
{
    const struct json **last = &v->first;

    v->type = JSON_OBJECT;
    if (take(r, '}')) {
        return true;
    }
    do {
        struct json *m = &r->values[r->count++];
        const char *name;
        if (!take(r, '"')) {
            return fail(r, "a member without its name");
        }
        if (!text(r, &name)) {
            return false;
        }
        if (json_member(v, name) != NULL) {
            return fail(r, "a member named twice");
        }
        if (!take(r, ':')) {
            return fail(r, "a member without ':'");
        }
        if (!value(r, m, depth)) {
            return false;
        }
        m->name = name;
        *last = m;
        last = &m->next;
    } while (take(r, ','));
    return take(r, '}') || fail(r, "an object without its end");
}

static bool items(struct parser *r, struct json *v, unsigned depth)
{
    const struct json **last = &v->first;

    v->type = JSON_ARRAY;
    if (take(r, ']')) {
        return true;
    }
    do {
        struct json *item = &r->values[r->count++];
        if (!value(r, item, depth)) {
            return false;
        }
        *last = item;
        last = &item->next;
    } while (take(r, ','));
    return take(r, ']') || fail(r, "an array without its end");
}

static bool value(struct parser *r, struct json *v, unsigned depth)
{
    if (depth == 0) {
        return fail(r, "nested too deep");
    }
    skip(r);
    if (r->p == r->end) {
        return fail(r, "no value");
    }
    switch (*r->p) {
        case '{':
            r->p++;
            return members(r, v, depth - 1);
        case '[':
            r->p++;
            return items(r, v, depth - 1);
        case '"':
            r->p++;
            v->type = JSON_TEXT;
            return text(r, &v->text);
        case 't':
            v->type = JSON_TRUE;
            return word(r, "true");
        case 'f':
            v->type = JSON_FALSE;
            return word(r, "false");
        case 'n':
            v->type = JSON_NULL;
            return word(r, "null");
        default:
            return number(r, v);
    }
}

int json_parse(const char *text_at, size_t len, struct json **out,
               struct err *err)
{
    /* Each value takes a byte or more of the text, and each text two more than
     * it has left when it is decoded; a number ends where something else is. */
    size_t values = (len + 2) * sizeof(struct json);
    char *block = mem_alloc(values + 2 * len + 2);
    struct parser r = {.start = text_at,
                       .p = text_at,
                       .end = text_at + len,
                       .values = (struct json *)(void *)block,
                       .count = 1,
                       .texts = block + values};
    bool good = value(&r, r.values, JSON_DEPTH_MAX);

    skip(&r);
    if (good && r.p != r.end) {
        good = fail(&r, "something behind the end");
    }
    if (!good) {
        free(block);
        return err_set(err, ERR_BAD_INPUT, "JSON, byte %zu: %s",
                       (size_t)(r.p - r.start), r.why);
    }
    *out = r.values;
    return 0;
}

void json_free(struct json *root)
{
    free(root);
}

const struct json *json_member(const struct json *object, const char *name)
{
    const struct json *m = object->type == JSON_OBJECT ? object->first : NULL;

    while (m != NULL && strcmp(m->name, name) != 0) {
        m = m->next;
    }
    return m;
}
