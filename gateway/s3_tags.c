#include "gateway/s3_tags.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/s3_tree.h"
#include "gateway/s3_xml.h"

static enum s3_error refuse(struct err *err, enum s3_error e, const char *what)
{
    err_set(err, ERR_BAD_INPUT, "%s", what);
    return e;
}

/* MalformedXML has but one message. */
static enum s3_error malformed(struct err *err)
{
    return refuse(err, S3_MalformedXML, s3_error_message(S3_MalformedXML));
}

/* ---- the rules of one tag ---- */

/* At most @max characters, of those that tags may have. Beyond ASCII all pass:
 * which are letters is for Unicode to say. */
static bool text_valid(const char *s, size_t max)
{
    size_t count = 0;

    for (const unsigned char *p = (const unsigned char *)s; *p != '\0'; p++) {
        count += (*p & 0xc0) != 0x80;
        if (*p < 0x80 && !(*p >= 'a' && *p <= 'z') &&
            !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
            strchr(" +-=._:/@", *p) == NULL) {
            return false;
        }
    }
    return count <= max && text_utf8(s, strlen(s));
}

static enum s3_error judge_tag(const struct s3_tag *t, struct err *err)
{
    if (t->key[0] == '\0' || !text_valid(t->key, S3_TAG_KEY_MAX)) {
        return refuse(err, S3_InvalidTag,
                      "The TagKey you have provided is invalid");
    }
    if (!text_valid(t->value, S3_TAG_VALUE_MAX)) {
        return refuse(err, S3_InvalidTag,
                      "The TagValue you have provided is invalid");
    }
    if (strncasecmp(t->key, "aws:", 4) == 0) {
        return refuse(err, S3_InvalidTag,
                      "System tags cannot be added/updated by requester");
    }
    return S3_OK;
}

/* ---- sets ---- */

/* Takes @t's strings, on failure too. */
static enum s3_error add(struct s3_tags *set, struct s3_tag t, size_t max,
                         struct err *err)
{
    enum s3_error e = judge_tag(&t, err);

    if (e == S3_OK && s3_tags_value(set, t.key) != NULL) {
        e = refuse(err, S3_InvalidTag,
                   "Cannot provide multiple Tags with the same key");
    }
    if (e == S3_OK && set->count == max) {
        e = refuse(err, S3_BadRequest,
                   max == S3_TAGS_OBJECT_MAX
                       ? "Object tags cannot be greater than 10"
                       : "Bucket tag count cannot be greater than 50");
    }
    if (e != S3_OK) {
        free(t.key);
        free(t.value);
        return e;
    }
    set->list = mem_realloc(set->list, (set->count + 1) * sizeof set->list[0]);
    set->list[set->count++] = t;
    return S3_OK;
}

void s3_tags_free(struct s3_tags *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->list[i].key);
        free(t->list[i].value);
    }
    free(t->list);
    *t = (struct s3_tags){0};
}

const char *s3_tags_value(const struct s3_tags *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->list[i].key, key) == 0) {
            return t->list[i].value;
        }
    }
    return NULL;
}

/* ---- documents ---- */

/* Key and value as they stand. */
static int take_tag(const struct s3_node *tag, struct s3_tag *out,
                    struct err *err)
{
    static const char *const names[] = {"!Key", "!Value", NULL};
    const char *key = "", *value = "";
    int rc = s3_node_check(tag, names, err);

    if (rc == 0) {
        rc = s3_node_text(s3_node_child(tag, "Key"), &key, err);
    }
    if (rc == 0) {
        rc = s3_node_text(s3_node_child(tag, "Value"), &value, err);
    }
    if (rc == 0) {
        out->key = mem_strdup(key);
        out->value = mem_strdup(value);
    }
    return rc;
}

enum s3_error s3_tag_read(const struct s3_node *tag, struct s3_tag *out,
                          struct err *err)
{
    struct s3_tag t;
    enum s3_error e;

    if (take_tag(tag, &t, err) != 0) {
        return malformed(err);
    }
    e = judge_tag(&t, err);
    if (e != S3_OK) {
        free(t.key);
        free(t.value);
        return e;
    }
    *out = t;
    return S3_OK;
}

static enum s3_error take_set(const struct s3_node *root, size_t max,
                              struct s3_tags *out, struct err *err)
{
    static const char *const in_root[] = {"!TagSet", NULL};
    static const char *const in_set[] = {"*Tag", NULL};
    const struct s3_node *set, *tag;
    struct s3_tag t;
    enum s3_error e = S3_OK;

    if (s3_node_check(root, in_root, err) != 0) {
        return malformed(err);
    }
    set = s3_node_child(root, "TagSet");
    if (s3_node_check(set, in_set, err) != 0) {
        return malformed(err);
    }
    tag = s3_node_child(set, "Tag");
    for (; tag != NULL && e == S3_OK; tag = s3_node_again(tag)) {
        if (take_tag(tag, &t, err) != 0) {
            return malformed(err);
        }
        e = add(out, t, max, err);
    }
    return e;
}

enum s3_error s3_tags_read(const void *p, size_t len, size_t max,
                           struct s3_tags *out, struct err *err)
{
    struct s3_tags set = {0};
    struct s3_node *root;
    enum s3_error e;

    if (s3_tree_read(p, len, "Tagging", &root, err) != 0) {
        return malformed(err);
    }
    e = take_set(root, max, &set, err);
    s3_tree_free(root);
    if (e != S3_OK) {
        s3_tags_free(&set);
        return e;
    }
    *out = set;
    return S3_OK;
}

void s3_tags_write(const struct s3_tags *t, struct buf *out)
{
    buf_str(out,
            "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<TagSet>");
    for (size_t i = 0; i < t->count; i++) {
        xml_open(out, "Tag");
        xml_text(out, "Key", t->list[i].key);
        xml_text(out, "Value", t->list[i].value);
        xml_close(out, "Tag");
    }
    buf_str(out, "</TagSet></Tagging>");
}

/* ---- headers ---- */

/* A name or value of a query, where '+' is a blank. NULL: a bad escape. */
static char *decoded(const char *p, size_t len)
{
    char *plain = mem_strndup(p, len);
    struct buf b = {0};
    size_t size;

    for (char *c = plain; *c != '\0'; c++) {
        *c = *c == '+' ? ' ' : *c;
    }
    buf_reserve(&b, len);
    if (!text_uri_decode(&b, plain, len) || memchr(b.data, 0, b.len) != NULL) {
        buf_free(&b);
    }
    free(plain);
    return b.data != NULL ? (char *)buf_take(&b, &size) : NULL;
}

enum s3_error s3_tags_query(const char *query, size_t max, struct s3_tags *out,
                            struct err *err)
{
    struct s3_tags set = {0};
    enum s3_error e = S3_OK;

    for (const char *p = query; *p != '\0' && e == S3_OK;) {
        size_t len = strcspn(p, "&");
        size_t key_len = strcspn(p, "=&");
        size_t skip = key_len < len ? key_len + 1 : len;
        struct s3_tag t = {decoded(p, key_len), decoded(p + skip, len - skip)};
        if (t.key == NULL || t.value == NULL || len == 0) {
            free(t.key);
            free(t.value);
            e = refuse(err, S3_InvalidArgument,
                       "The header 'x-amz-tagging' shall be encoded as UTF-8 "
                       "then URLEncoded URL query parameters without tag name "
                       "duplicates.");
        } else {
            e = add(&set, t, max, err);
        }
        p += len;
        p += *p == '&';
    }
    if (e != S3_OK) {
        s3_tags_free(&set);
        return e;
    }
    *out = set;
    return S3_OK;
}

void s3_tags_write_query(const struct s3_tags *t, struct buf *out)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct s3_tag *tag = &t->list[i];
        if (i > 0) {
            buf_char(out, '&');
        }
        text_uri_encode(out, tag->key, strlen(tag->key), false);
        buf_char(out, '=');
        text_uri_encode(out, tag->value, strlen(tag->value), false);
    }
}
