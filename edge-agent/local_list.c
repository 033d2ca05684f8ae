#include "edge-agent/local_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/intake.h"

/* A key, or a common prefix. */
struct item {
    char *name;
    uint64_t id; /* 0: a common prefix */
};

struct page {
    struct item *items; /* in order */
    size_t count;
    size_t max; /* one more than a page, so that its end is seen */
};

void local_xml_text(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '&') {
            buf_str(out, "&amp;");
        } else if (c == '<') {
            buf_str(out, "&lt;");
        } else if (c == '>') {
            buf_str(out, "&gt;");
        } else if (c == '"') {
            buf_str(out, "&quot;");
        } else if (c < 0x20) {
            buf_printf(out, "&#%u;", c);
        } else {
            buf_char(out, (char)c);
        }
    }
}

/* Where @name stands or would stand. */
static size_t place_of(const struct page *p, const char *name)
{
    size_t low = 0, high = p->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(p->items[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Keep the smallest of all that is seen. */
static void keep(struct page *p, const char *name, uint64_t id)
{
    size_t at = place_of(p, name);

    if (at < p->count && strcmp(p->items[at].name, name) == 0) {
        return; /* a common prefix again: a key comes once */
    }
    if (p->count == p->max) {
        if (at == p->count) {
            return;
        }
        free(p->items[--p->count].name);
    }
    memmove(p->items + at + 1, p->items + at,
            (p->count - at) * sizeof p->items[0]);
    p->items[at] = (struct item){mem_strdup(name), id};
    p->count++;
}

static void see(struct page *p, const struct local_list *q, const char *after,
                char *key, uint64_t id)
{
    size_t prefix_len = strlen(q->prefix);
    char *cut = NULL;

    if (strncmp(key, q->prefix, prefix_len) != 0) {
        return;
    }
    if (*q->delimiter != '\0') {
        cut = strstr(key + prefix_len, q->delimiter);
    }
    if (cut != NULL) {
        cut[strlen(q->delimiter)] = '\0'; /* the key is a copy */
        id = 0;
    }
    if (strcmp(key, after) > 0) {
        keep(p, key, id);
    }
}

static int collect(struct intake *in, const struct local_list *q,
                   const char *after, struct page *p, struct err *err)
{
    struct spool *s = intake_spool(in);
    size_t bucket_len = strlen(q->bucket);
    struct buf text = {0};
    int code = 0;

    for (uint64_t id = 0; (id = spool_next(s, id)) != 0;) {
        struct spool_object o;
        char *key;
        code = spool_get(s, id, &o, &text, err);
        if (code == ERR_CORRUPT) {
            code = 0; /* verify tells of it */
            continue;
        }
        if (code != 0) {
            break;
        }
        if (o.kind == SPOOL_DELETE || o.key_len <= bucket_len ||
            memcmp(o.key, q->bucket, bucket_len) != 0 ||
            o.key[bucket_len] != '/' || !spool_is_newest(s, id)) {
            continue;
        }
        key = mem_strndup(o.key + bucket_len + 1, o.key_len - bucket_len - 1u);
        see(p, q, after, key, id);
        free(key);
    }
    buf_free(&text);
    return code;
}

static void element(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "<%s>", name);
    local_xml_text(out, value, strlen(value));
    buf_printf(out, "</%s>", name);
}

static void print_key(struct intake *in, const struct item *item,
                      struct buf *out)
{
    struct buf text = {0};
    struct spool_object o;
    uint8_t md5[PRIM_MD5];
    char time[TEXT_TIME_MAX], hex[2 * PRIM_MD5 + 1];

    if (spool_get(intake_spool(in), item->id, &o, &text, NULL) == 0) {
        buf_str(out, "<Contents>");
        element(out, "Key", item->name);
        element(out, "LastModified", text_iso8601(o.time_ms, time));
        if (intake_md5(in, &o, md5)) {
            buf_printf(out, "<ETag>&quot;%s&quot;</ETag>",
                       text_hex(md5, sizeof md5, hex));
        }
        buf_printf(out, "<Size>%llu</Size>", (unsigned long long)o.plain_size);
        buf_str(out, "<StorageClass>STANDARD</StorageClass></Contents>");
    }
    buf_free(&text);
}

static void print_page(struct intake *in, const struct local_list *q,
                       const struct page *p, size_t shown, struct buf *out)
{
    bool truncated = q->max_keys > 0 && p->count > shown;

    buf_str(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<ListBucketResult "
            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    element(out, "Name", q->bucket);
    element(out, "Prefix", q->prefix);
    if (*q->delimiter != '\0') {
        element(out, "Delimiter", q->delimiter);
    }
    if (*q->start_after != '\0') {
        element(out, "StartAfter", q->start_after);
    }
    if (*q->token != '\0') {
        element(out, "ContinuationToken", q->token);
    }
    buf_printf(out, "<KeyCount>%zu</KeyCount><MaxKeys>%zu</MaxKeys>", shown,
               q->max_keys);
    element(out, "IsTruncated", truncated ? "true" : "false");
    if (truncated && shown > 0) {
        const char *last = p->items[shown - 1].name;
        char *token = mem_alloc(TEXT_BASE64_MAX(strlen(last)));
        element(out, "NextContinuationToken",
                text_base64(last, strlen(last), token));
        free(token);
    }
    for (size_t i = 0; i < shown; i++) {
        if (p->items[i].id != 0) {
            print_key(in, &p->items[i], out);
        }
    }
    for (size_t i = 0; i < shown; i++) {
        if (p->items[i].id == 0) {
            buf_str(out, "<CommonPrefixes>");
            element(out, "Prefix", p->items[i].name);
            buf_str(out, "</CommonPrefixes>");
        }
    }
    buf_str(out, "</ListBucketResult>\n");
}

int local_list(struct intake *in, const struct local_list *q, struct buf *out,
               struct err *err)
{
    struct page p = {.max = q->max_keys + 1};
    size_t token_len = strlen(q->token);
    char *after = mem_alloc(token_len + 1);
    size_t len = 0;
    int code = 0;

    if (*q->token != '\0' && !text_unbase64(q->token, token_len, after, &len)) {
        code = err_set(err, ERR_BAD_INPUT,
                       "the continuation token is none of this agent's");
    }
    after[len] = '\0';
    if (code == 0) {
        p.items = mem_calloc(p.max, sizeof p.items[0]);
        code = collect(in, q, len > 0 ? after : q->start_after, &p, err);
    }
    if (code == 0) {
        print_page(in, q, &p, p.count < p.max ? p.count : p.max - 1, out);
    }
    for (size_t i = 0; i < p.count; i++) {
        free(p.items[i].name);
    }
    free(p.items);
    free(after);
    return code;
}
