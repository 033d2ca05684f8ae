#include "fleet/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define NAME 100
#define SIZE_AT 124
#define MTIME_AT 136
#define SUM_AT 148
#define TYPE_AT 156
#define MAGIC_AT 257
#define PREFIX_AT 345
#define PREFIX 155
#define EXTENDED_MAX 16 /* headers about one member */
#define OCTAL_MAX 077777777777ull

static const uint8_t zeros[TAR_BLOCK];

/* What headers before a member say of it. */
struct extended {
    char *path; /* NULL: nothing */
    bool has_size, has_mtime, sparse;
    uint64_t size, mtime_s;
};

static int bad(const struct tar_reader *r, struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_INPUT, "byte %llu of the tar: %s",
                   (unsigned long long)r->at, what);
}

/* ---- fields ---- */

/* Octal with blanks around, or GNU's binary. False: neither, or negative. */
static bool take_number(const uint8_t *p, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;

    if (p[0] == 0x80) {
        for (i = 1; i < len; i++) {
            if (v >> 56 != 0) {
                return false;
            }
            v = v << 8 | p[i];
        }
        *out = v;
        return v <= INT64_MAX;
    }
    while (i < len && p[i] == ' ') {
        i++;
    }
    for (; i < len && p[i] >= '0' && p[i] <= '7'; i++) {
        v = v << 3 | (uint64_t)(p[i] - '0'); /* at most 12 digits */
    }
    while (i < len && (p[i] == ' ' || p[i] == '\0')) {
        i++;
    }
    *out = v;
    return i == len;
}

/* The sum counts its own field as blanks; some count bytes as signed. */
static bool sum_fits(const uint8_t *h)
{
    uint64_t want, sum = 0;
    int64_t with_sign = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++) {
        uint8_t c = i >= SUM_AT && i < SUM_AT + 8 ? ' ' : h[i];
        sum += c;
        with_sign += (int8_t)c;
    }
    return take_number(h + SUM_AT, 8, &want) &&
           (want == sum || (int64_t)want == with_sign);
}

static void take_path(const uint8_t *h, char *out)
{
    size_t prefix = strnlen((const char *)h + PREFIX_AT, PREFIX);
    size_t name = strnlen((const char *)h, NAME);
    size_t at = 0;

    /* With GNU's magic, "ustar" and a blank, other things stand there. */
    if (memcmp(h + MAGIC_AT, "ustar", 6) == 0 && prefix > 0) {
        memcpy(out, h + PREFIX_AT, prefix);
        out[prefix] = '/';
        at = prefix + 1;
    }
    memcpy(out + at, h, name);
    out[at + name] = '\0';
}

/* ---- headers about the next member ---- */

static int set_path(struct extended *x, const char *p, size_t len,
                    struct err *err)
{
    if (len > TAR_PATH_MAX) {
        return err_set(err, ERR_LIMIT, "a path of the tar is over %d bytes",
                       TAR_PATH_MAX);
    }
    if (memchr(p, 0, len) != NULL) {
        return err_set(err, ERR_BAD_INPUT, "a path of the tar holds a NUL");
    }
    free(x->path);
    x->path = mem_strndup(p, len);
    return 0;
}

static int take_record(const struct tar_reader *r, struct extended *x,
                       const char *p, size_t len, struct err *err)
{
    const char *eq = memchr(p, '=', len);
    const char *value = eq != NULL ? eq + 1 : NULL;
    size_t name_len = eq != NULL ? (size_t)(eq - p) : 0;
    size_t value_len = eq != NULL ? len - name_len - 1 : 0;

    if (eq == NULL) {
        return bad(r, err, "a record without =");
    }
    if (name_len == 4 && memcmp(p, "path", 4) == 0) {
        return set_path(x, value, value_len, err);
    }
    if (name_len == 4 && memcmp(p, "size", 4) == 0) {
        x->has_size =
            text_u64_n(value, value_len, &x->size) && x->size <= INT64_MAX;
        return x->has_size ? 0 : bad(r, err, "size: not a number");
    }
    if (name_len == 5 && memcmp(p, "mtime", 5) == 0) {
        const char *dot = memchr(value, '.', value_len);
        size_t n = dot != NULL ? (size_t)(dot - value) : value_len;
        x->has_mtime = text_u64_n(value, n, &x->mtime_s);
        return 0; /* before 1970, too */
    }
    x->sparse =
        x->sparse || (name_len > 10 && memcmp(p, "GNU.sparse", 10) == 0);
    return 0;
}

static int take_records(const struct tar_reader *r, struct extended *x,
                        const char *p, size_t len, struct err *err)
{
    int code = 0;

    while (code == 0 && len > 0 && *p != '\0') {
        const char *blank = memchr(p, ' ', len < 8 ? len : 8);
        size_t head = blank != NULL ? (size_t)(blank - p) + 1 : 0;
        uint64_t n;
        if (blank == NULL || !text_u64_n(p, head - 1, &n) || n > len ||
            n < head + 1 || p[n - 1] != '\n') {
            return bad(r, err, "not a record of pax");
        }
        code = take_record(r, x, p + head, (size_t)n - head - 1, err);
        p += n;
        len -= (size_t)n;
    }
    return code;
}

/* The bytes of a header that is about the next member. */
static int take_extended(struct tar_reader *r, char type, uint64_t size,
                         struct extended *x, struct err *err)
{
    const uint8_t *p;
    char *copy;
    int code;

    if (size > TAR_RECORDS_MAX) {
        return err_set(err, ERR_LIMIT,
                       "byte %llu of the tar: records of over %d bytes",
                       (unsigned long long)r->at, TAR_RECORDS_MAX);
    }
    if (type == 'g' || type == 'K' || size == 0) {
        return 0;
    }
    code = r->fetch(r->arg, r->at, (size_t)size, &p, err);
    if (code != 0) {
        return code;
    }
    copy = mem_strndup((const char *)p, (size_t)size); /* to the first NUL */
    if (type == 'L') {
        code = set_path(x, copy, strlen(copy), err);
    } else if (strlen(copy) == size) {
        code = take_records(r, x, copy, (size_t)size, err);
    } else {
        code = bad(r, err, "records with a NUL");
    }
    free(copy);
    return code;
}

/* ---- members ---- */

static enum tar_type type_of(uint8_t type, const char *path)
{
    size_t len = strlen(path);

    if (type == '5' ||
        ((type == '0' || type == '\0') && len > 0 && path[len - 1] == '/')) {
        return TAR_FOLDER;
    }
    return type == '0' || type == '\0' || type == '7' ? TAR_FILE : TAR_OTHER;
}

/* The header at r->at, which moves behind it. *@end: there are no more. */
static int take_header(struct tar_reader *r, uint8_t h[TAR_BLOCK],
                       uint64_t *size, bool *end, struct err *err)
{
    const uint8_t *p;
    int code;

    *end = r->at == r->size;
    if (*end) {
        return 0;
    }
    if (r->size - r->at < TAR_BLOCK) {
        return bad(r, err, "a header that is cut");
    }
    code = r->fetch(r->arg, r->at, TAR_BLOCK, &p, err);
    if (code != 0) {
        return code;
    }
    memcpy(h, p, TAR_BLOCK);
    if (memcmp(h, zeros, TAR_BLOCK) == 0) {
        *end = true;
        return 0;
    }
    if (!sum_fits(h)) {
        return bad(r, err, "not a header: its checksum is wrong");
    }
    if (!take_number(h + SIZE_AT, 12, size)) {
        return bad(r, err, "size: not a number");
    }
    r->at += TAR_BLOCK;
    return 0;
}

/* Go behind @size bytes and their padding. */
static int skip(struct tar_reader *r, uint64_t size, struct err *err)
{
    uint64_t padded;

    if (size > r->size - r->at) {
        return bad(r, err, "a member that is cut");
    }
    padded = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    /* Some leave out the last zeros. */
    r->at += padded < r->size - r->at ? padded : r->size - r->at;
    return 0;
}

static int make_member(struct tar_reader *r, const uint8_t *h, uint64_t size,
                       const struct extended *x, struct tar_member *out,
                       struct err *err)
{
    uint64_t mtime;

    if (x->path != NULL) {
        snprintf(out->path, sizeof out->path, "%s", x->path);
    } else {
        take_path(h, out->path);
    }
    out->type = x->sparse ? TAR_OTHER : type_of(h[TYPE_AT], out->path);
    out->offset = r->at;
    out->mtime_s = x->has_mtime                            ? x->mtime_s
                   : take_number(h + MTIME_AT, 12, &mtime) ? mtime
                                                           : 0;
    size = x->has_size ? x->size : size;
    out->size = out->type == TAR_FILE ? size : 0;
    /* Links and devices have no bytes, whatever their size says. */
    return strchr("123456", h[TYPE_AT]) != NULL && h[TYPE_AT] != '\0'
               ? 0
               : skip(r, size, err);
}

int tar_next(struct tar_reader *r, struct tar_member *out, bool *more,
             struct err *err)
{
    struct extended x = {.path = NULL};
    uint8_t h[TAR_BLOCK];
    uint64_t size = 0;
    bool end = false;
    int code = 0;

    for (int n = 0; code == 0; n++) {
        code = take_header(r, h, &size, &end, err);
        if (code != 0 || end) {
            break;
        }
        if (h[TYPE_AT] == '\0' || strchr("xgLK", h[TYPE_AT]) == NULL) {
            code = make_member(r, h, size, &x, out, err);
            break;
        }
        if (size > r->size - r->at) {
            code = bad(r, err, "records that are cut");
        } else if (n == EXTENDED_MAX) {
            code = bad(r, err, "too many headers of one member");
        } else {
            code = take_extended(r, (char)h[TYPE_AT], size, &x, err);
        }
        if (code == 0) {
            code = skip(r, size, err);
        }
    }
    free(x.path);
    if (code == 0) {
        *more = !end;
    }
    return code;
}

const char *tar_path_key(const char *path, const char **key)
{
    while (text_starts(path, "./") || *path == '/') {
        path += *path == '/' ? 1 : 2;
    }
    if (*path == '\0' || strcmp(path, ".") == 0) {
        return "the path is empty";
    }
    for (const char *p = path; p != NULL; p = strchr(p, '/')) {
        p += *p == '/' ? 1 : 0;
        if (text_starts(p, "..") && (p[2] == '/' || p[2] == '\0')) {
            return "a part of the path is ..";
        }
    }
    *key = path;
    return NULL;
}

/* ---- writing ---- */

/* All fields of a header but its name. */
static void put_header(struct buf *out, const char *name, char type,
                       uint64_t size, uint64_t mtime_s)
{
    uint8_t h[TAR_BLOCK] = {0};
    unsigned sum = 0;
    char text[24];

    memcpy(h, name, strnlen(name, NAME));
    memcpy(h + 100, "0000644", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
    memcpy(h + SIZE_AT, text, 12);
    snprintf(text, sizeof text, "%011llo",
             (unsigned long long)(mtime_s <= OCTAL_MAX ? mtime_s : 0));
    memcpy(h + MTIME_AT, text, 12);
    memset(h + SUM_AT, ' ', 8);
    h[TYPE_AT] = (uint8_t)type;
    memcpy(h + MAGIC_AT, "ustar\00000", 8);
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        sum += h[i];
    }
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(h + SUM_AT, text, 7);
    buf_append(out, h, sizeof h);
}

/* "LEN key=value LF", where LEN counts itself. */
static void put_record(struct buf *out, const char *key, const char *value)
{
    size_t rest = strlen(key) + strlen(value) + 3;
    size_t len = rest + 1;
    char text[24];

    while ((size_t)snprintf(text, sizeof text, "%zu", len) + rest != len) {
        len++;
    }
    buf_printf(out, "%zu %s=%s\n", len, key, value);
}

void tar_header(struct buf *out, const char *path, uint64_t size,
                uint64_t mtime_s)
{
    struct buf records = {0};
    char text[24];

    if (strlen(path) > NAME) {
        put_record(&records, "path", path);
    }
    if (size > OCTAL_MAX) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)size);
        put_record(&records, "size", text);
    }
    if (records.len > 0) {
        put_header(out, "pax", 'x', records.len, mtime_s);
        buf_append(out, records.data, records.len);
        tar_pad(out, records.len);
        buf_free(&records);
    }
    put_header(out, path, '0', size <= OCTAL_MAX ? size : 0, mtime_s);
}

void tar_pad(struct buf *out, uint64_t size)
{
    size_t tail = (size_t)(size % TAR_BLOCK);

    if (tail > 0) {
        buf_append(out, zeros, TAR_BLOCK - tail);
    }
}

void tar_end(struct buf *out)
{
    buf_append(out, zeros, TAR_BLOCK);
    buf_append(out, zeros, TAR_BLOCK);
}
