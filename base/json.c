#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

/* After a string that begins at @p; NULL when it does not end. */
static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++) {
        if (*p == '\\') {
            p++;
        }
        if ((unsigned char)*p < ' ') {
            return NULL;
        }
    }
    return p + 1;
}

static const char *skip_value(const char *p, unsigned depth);

/* After an object or array; calls nothing, keeps nothing. */
static const char *skip_container(const char *p, unsigned depth)
{
    char close = *p == '{' ? '}' : ']';

    p = skip_blanks(p + 1);
    if (*p == close) {
        return p + 1;
    }
    for (;;) {
        if (close == '}') {
            p = *p == '"' ? skip_string(p) : NULL;
            p = p != NULL ? skip_blanks(p) : NULL;
            if (p == NULL || *p != ':') {
                return NULL;
            }
            p = skip_blanks(p + 1);
        }
        p = skip_value(p, depth + 1);
        if (p == NULL) {
            return NULL;
        }
        p = skip_blanks(p);
        if (*p == close) {
            return p + 1;
        }
        if (*p != ',') {
            return NULL;
        }
        p = skip_blanks(p + 1);
    }
}

static const char *skip_value(const char *p, unsigned depth)
{
    size_t len;

    if (depth > JSON_DEPTH_MAX) {
        return NULL;
    }
    if (*p == '{' || *p == '[') {
        return skip_container(p, depth);
    }
    if (*p == '"') {
        return skip_string(p);
    }
    len = strspn(p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
    return len > 0 ? p + len : NULL;
}

/* The value of member @name (of @len bytes) of the object at @p. */
static const char *member(const char *p, const char *name, size_t len)
{
    p = skip_blanks(p + 1);
    while (*p == '"') {
        const char *key = p + 1;
        const char *end = skip_string(p);
        bool same;
        if (end == NULL) {
            return NULL;
        }
        same = (size_t)(end - key) == len + 1 && memcmp(key, name, len) == 0;
        p = skip_blanks(end);
        if (*p != ':') {
            return NULL;
        }
        p = skip_blanks(p + 1);
        if (same) {
            return p;
        }
        p = skip_value(p, 1);
        if (p == NULL) {
            return NULL;
        }
        p = skip_blanks(p);
        if (*p == ',') {
            p = skip_blanks(p + 1);
        }
    }
    return NULL;
}

/* Element @index of the array at @p. */
static const char *element(const char *p, uint64_t index)
{
    p = skip_blanks(p + 1);
    while (*p != ']') {
        if (index-- == 0) {
            return p;
        }
        p = skip_value(p, 1);
        if (p == NULL) {
            return NULL;
        }
        p = skip_blanks(p);
        if (*p == ',') {
            p = skip_blanks(p + 1);
        } else if (*p != ']') {
            return NULL;
        }
    }
    return NULL;
}

const char *json_find(const char *json, const char *path, size_t *len)
{
    const char *p = skip_blanks(json);
    const char *end;

    while (*path != '\0') {
        size_t n = strcspn(path, ".");
        uint64_t index;
        if (*p == '{') {
            p = member(p, path, n);
        } else if (*p == '[' && text_u64_n(path, n, &index)) {
            p = element(p, index);
        } else {
            return NULL;
        }
        if (p == NULL) {
            return NULL;
        }
        path += n + (path[n] == '.');
    }
    end = skip_value(p, 0);
    if (end == NULL) {
        return NULL;
    }
    *len = (size_t)(end - p);
    return p;
}

uint64_t json_u64(const char *json, const char *path)
{
    uint64_t v = 0;
    size_t len;
    const char *p = json_find(json, path, &len);

    if (p != NULL) {
        text_u64_n(p, len, &v);
    }
    return v;
}

/* \uXXXX as UTF-8; what is no scalar value by itself becomes '?'. */
static void put_unicode(struct buf *b, const char *hex)
{
    uint8_t raw[2];
    unsigned v;

    if (!text_unhex(hex, 4, raw, 2)) {
        buf_char(b, '?');
        return;
    }
    v = (unsigned)raw[0] << 8 | raw[1];
    if (v < 0x80) {
        buf_char(b, (char)v);
    } else if (v < 0x800) {
        buf_char(b, (char)(0xc0 | v >> 6));
        buf_char(b, (char)(0x80 | (v & 0x3f)));
    } else if (v >= 0xd800 && v < 0xe000) {
        buf_char(b, '?');
    } else {
        buf_char(b, (char)(0xe0 | v >> 12));
        buf_char(b, (char)(0x80 | (v >> 6 & 0x3f)));
        buf_char(b, (char)(0x80 | (v & 0x3f)));
    }
}

char *json_text(const char *json, const char *path)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    struct buf b = {0};
    size_t len = 0;
    const char *p = json_find(json, path, &len);

    for (size_t i = 1; p != NULL && *p == '"' && i + 1 < len; i++) {
        const char *which;
        if (p[i] != '\\') {
            buf_char(&b, p[i]);
            continue;
        }
        i++;
        which = strchr(escapes, p[i]);
        if (p[i] == 'u' && i + 5 < len) {
            put_unicode(&b, p + i + 1);
            i += 4;
        } else if (which != NULL && *which != '\0') {
            buf_char(&b, values[which - escapes]);
        }
    }
    buf_char(&b, '\0');
    return (char *)buf_take(&b, &len);
}

size_t json_count(const char *json, const char *path)
{
    size_t count = 0;
    size_t len;
    const char *p = json_find(json, path, &len);

    if (p == NULL || *p != '[') {
        return 0;
    }
    while (element(p, count) != NULL) {
        count++;
    }
    return count;
}

bool json_true(const char *json, const char *path)
{
    size_t len;
    const char *value = json_find(json, path, &len);

    return value != NULL && value[0] == 't';
}

const char *json_item(const char *json, const char *path, size_t i)
{
    char *item = mem_printf("%s.%zu", path, i);
    size_t len;
    const char *value = json_find(json, item, &len);

    free(item);
    return value;
}

void put_json_text(struct buf *out, const char *s)
{
    buf_char(out, '"');
    for (; *s != '\0'; s++) {
        if (*s == '\n') {
            buf_str(out, "\\n");
        } else if ((unsigned char)*s < ' ') {
            buf_printf(out, "\\u%04x", (unsigned char)*s);
        } else {
            if (*s == '"' || *s == '\\') {
                buf_char(out, '\\');
            }
            buf_char(out, *s);
        }
    }
    buf_char(out, '"');
}

void put_json_member(struct buf *b, const char *name, const char *text,
                     bool last)
{
    buf_printf(b, "\"%s\":", name);
    put_json_text(b, text);
    buf_str(b, last ? "" : ",");
}

void put_json_u64(struct buf *b, const char *name, uint64_t v, bool last)
{
    buf_printf(b, "\"%s\":%llu%s", name, (unsigned long long)v,
               last ? "" : ",");
}

void put_json_bool(struct buf *b, const char *name, bool v, bool last)
{
    buf_printf(b, "\"%s\":%s%s", name, v ? "true" : "false", last ? "" : ",");
}
