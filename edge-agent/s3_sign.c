#include "edge-agent/s3_sign.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/prim.h"

#define KEY_FILE_MAX 1024
#define SIGNED_MAX 64 /* fields; the agent gives 40 at most */
#define QUERY_MAX 16

/* ---- keys ---- */

static char *next_line(const char **p)
{
    size_t len = strcspn(*p, "\r\n");
    char *line = mem_strndup(*p, len);

    *p += len;
    *p += strspn(*p, "\r\n");
    return line;
}

int s3_keys_read(const char *path, const char *region, struct s3_keys *out,
                 struct err *err)
{
    struct s3_keys k = {NULL};
    struct buf text = {0};
    int code = fs_read(path, KEY_FILE_MAX, &text, err);

    if (code != 0) {
        return code;
    }
    if (text.len > 0) {
        const char *p = (const char *)text.data;
        k.access = next_line(&p);
        k.secret = next_line(&p);
        k.region = mem_strdup(region);
    }
    buf_wipe(&text);
    if (k.access == NULL || *k.access == '\0' || *k.secret == '\0') {
        s3_keys_free(&k);
        return err_set(err, ERR_BAD_INPUT,
                       "%s: the access key in its first line, the secret key "
                       "in the second",
                       path);
    }
    *out = k;
    return 0;
}

void s3_keys_free(struct s3_keys *k)
{
    if (k->secret != NULL) {
        mem_wipe(k->secret, strlen(k->secret));
    }
    free(k->access);
    free(k->secret);
    free(k->region);
    *k = (struct s3_keys){NULL};
}

/* ---- the canonical request ---- */

/* A field in canonical form, "name:value", free(); NULL: not to be signed. */
static char *canonical_field(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    struct buf b = {0};
    size_t name, out_len;
    bool blank = false;

    if (colon == NULL || len < 6 || strncasecmp(line, "x-amz-", 6) != 0) {
        return NULL;
    }
    name = (size_t)(colon - line);
    for (size_t i = 0; i < name; i++) {
        buf_char(&b, (char)tolower((unsigned char)line[i]));
    }
    buf_char(&b, ':');
    for (size_t i = name + 1; i < len; i++) {
        if (line[i] == ' ' || line[i] == '\t') {
            blank = true;
            continue;
        }
        if (blank && b.data[b.len - 1] != ':') {
            buf_char(&b, ' '); /* of many one, at the ends none */
        }
        blank = false;
        buf_char(&b, line[i]);
    }
    buf_char(&b, '\0');
    return (char *)buf_take(&b, &out_len);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ':' sorts behind '-', so names are compared, not lines. */
static int by_name(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    size_t xl = strcspn(x, ":"), yl = strcspn(y, ":");
    int order = strncmp(x, y, xl < yl ? xl : yl);

    return order != 0 ? order : (xl > yl) - (xl < yl);
}

static size_t collect_fields(const struct buf *lines, const char *host,
                             char **out)
{
    const char *p = (const char *)lines->data;
    size_t n = 0;

    out[n++] = mem_printf("host:%s", host);
    while (p != NULL && *p != '\0') {
        size_t len = strcspn(p, "\r\n");
        char *field = n < SIGNED_MAX ? canonical_field(p, len) : NULL;
        if (field != NULL) {
            out[n++] = field;
        }
        p += len;
        p += strspn(p, "\r\n");
    }
    qsort(out, n, sizeof out[0], by_name);
    return n;
}

static void put_query(const char *query, struct buf *out)
{
    char *parts[QUERY_MAX] = {NULL};
    size_t n = 0;

    while (*query != '\0' && n < QUERY_MAX) {
        size_t len = strcspn(query, "&");
        bool bare = memchr(query, '=', len) == NULL;
        parts[n++] = mem_printf("%.*s%s", (int)len, query, bare ? "=" : "");
        query += len;
        query += *query == '&' ? 1 : 0;
    }
    qsort(parts, n, sizeof parts[0], by_text);
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s%s", i > 0 ? "&" : "", parts[i]);
        free(parts[i]);
    }
}

/* Method to payload; @names gets the names that are signed. */
static void put_canonical(const struct s3_sign_request *r,
                          const struct buf *lines, const char *payload,
                          struct buf *out, struct buf *names)
{
    size_t path = strcspn(r->path, "?");
    char *fields[SIGNED_MAX] = {NULL};
    size_t n = collect_fields(lines, r->host, fields);

    buf_printf(out, "%s\n%.*s\n", r->method, (int)path, r->path);
    put_query(r->path[path] == '?' ? r->path + path + 1 : "", out);
    buf_char(out, '\n');
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s\n", fields[i]);
        buf_printf(names, "%s%.*s", i > 0 ? ";" : "",
                   (int)strcspn(fields[i], ":"), fields[i]);
        free(fields[i]);
    }
    buf_printf(out, "\n%s\n%s", (char *)names->data, payload);
}

/* ---- the signature ---- */

static void signing_key(const struct s3_keys *k, const char *day,
                        uint8_t out[PRIM_SHA256])
{
    char *first = mem_printf("AWS4%s", k->secret);

    prim_hmac(first, strlen(first), day, strlen(day), out);
    prim_hmac(out, PRIM_SHA256, k->region, strlen(k->region), out);
    prim_hmac(out, PRIM_SHA256, "s3", 2, out);
    prim_hmac(out, PRIM_SHA256, "aws4_request", 12, out);
    mem_wipe(first, strlen(first));
    free(first);
}

void s3_sign(const struct s3_keys *k, const struct s3_sign_request *r,
             struct buf *out)
{
    struct buf lines = {0}, canonical = {0}, names = {0}, text = {0};
    char time[TEXT_TIME_MAX], day[9], payload[2 * PRIM_SHA256 + 1];
    char hex[2 * PRIM_SHA256 + 1];
    uint8_t sum[PRIM_SHA256], key[PRIM_SHA256];

    text_basic8601(r->time_ms, time);
    memcpy(day, time, 8);
    day[8] = '\0';
    prim_sha256(r->body_len > 0 ? r->body : "", r->body_len, sum);
    text_hex(sum, sizeof sum, payload);
    buf_str(&lines, r->fields != NULL ? r->fields : "");
    buf_printf(&lines, "x-amz-content-sha256: %s\r\nx-amz-date: %s\r\n",
               payload, time);
    put_canonical(r, &lines, payload, &canonical, &names);
    prim_sha256(canonical.data, canonical.len, sum);
    buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/s3/aws4_request\n%s", time,
               day, k->region, text_hex(sum, sizeof sum, hex));
    signing_key(k, day, key);
    prim_hmac(key, sizeof key, text.data, text.len, sum);
    mem_wipe(key, sizeof key);
    buf_append(out, lines.data, lines.len);
    buf_printf(out,
               "Authorization: AWS4-HMAC-SHA256 Credential=%s/%s/%s/s3/"
               "aws4_request,SignedHeaders=%s,Signature=%s\r\n",
               k->access, day, k->region, (char *)names.data,
               text_hex(sum, sizeof sum, hex));
    buf_free(&lines);
    buf_free(&canonical);
    buf_free(&names);
    buf_free(&text);
}
