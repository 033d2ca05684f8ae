#include "gateway/s3_xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/access.h"
#include "gateway/s3_attrs.h"

#define NAME_MAX_BYTES 128

/* ---- written ---- */

void xml_open(struct buf *b, const char *name)
{
    buf_char(b, '<');
    buf_str(b, name);
    buf_char(b, '>');
}

void xml_close(struct buf *b, const char *name)
{
    buf_str(b, "</");
    buf_str(b, name);
    buf_char(b, '>');
}

static const char *entity(char c)
{
    switch (c) {
        case '&':
            return "&amp;";
        case '<':
            return "&lt;";
        case '>':
            return "&gt;";
        case '"':
            return "&quot;";
        default:
            return NULL;
    }
}

void xml_escape(struct buf *b, const char *text, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        const char *name = entity(text[i]);
        if (name == NULL && (unsigned char)text[i] >= 0x20) {
            continue;
        }
        buf_append(b, text + start, i - start);
        start = i + 1;
        if (name != NULL) {
            buf_str(b, name);
        } else {
            buf_printf(b, "&#x%x;", (unsigned)text[i]);
        }
    }
    buf_append(b, text + start, len - start);
}

void xml_text(struct buf *b, const char *name, const char *text)
{
    xml_open(b, name);
    xml_escape(b, text, strlen(text));
    xml_close(b, name);
}

void xml_u64(struct buf *b, const char *name, uint64_t v)
{
    xml_open(b, name);
    buf_printf(b, "%llu", (unsigned long long)v);
    xml_close(b, name);
}

void xml_bool(struct buf *b, const char *name, bool v)
{
    xml_text(b, name, v ? "true" : "false");
}

void xml_time(struct buf *b, const char *name, uint64_t time_ms)
{
    char text[TEXT_TIME_MAX];

    xml_text(b, name, text_iso8601(time_ms, text));
}

void xml_etag(struct buf *b, const char *name, const char *etag)
{
    xml_open(b, name);
    buf_str(b, "&quot;");
    xml_escape(b, etag, strlen(etag));
    buf_str(b, "&quot;");
    xml_close(b, name);
}

void xml_owner_fields(struct buf *b, const char *access_key)
{
    char id[65];

    access_canonical_id(access_key, id);
    xml_text(b, "ID", id);
    xml_text(b, "DisplayName", access_key);
}

void xml_owner(struct buf *b, const char *name, const char *access_key)
{
    xml_open(b, name);
    xml_owner_fields(b, access_key);
    xml_close(b, name);
}

void xml_checksum(struct buf *b, enum digest_kind kind, const char *value)
{
    char name[32];

    snprintf(name, sizeof name, "Checksum%s", digest_name(kind));
    xml_text(b, name, value);
}

/* ---- reading: elements as paths ----
 * Each document is read by two functions: @open gets the path of an element
 * ("Delete/Object") when it begins, @close its path and text when it ends.
 * They return 0 or fail. */

struct reader {
    XML_Parser parser;
    struct err *err;
    int rc;
    const char *root;
    unsigned depth;
    struct buf path;
    size_t name_at[S3_XML_DEPTH_MAX]; /* where each level's name begins */
    bool has_child[S3_XML_DEPTH_MAX];
    struct buf text; /* since the last tag */
    int (*open)(struct reader *r, const char *path);
    int (*close)(struct reader *r, const char *path, const char *text);
    void *out;
};

static int fail(struct reader *r, int code, const char *what, const char *name)
{
    r->rc = err_set(r->err, code, "line %lu: %s%s%s",
                    (unsigned long)XML_GetCurrentLineNumber(r->parser), what,
                    name[0] != '\0' ? ": " : "", name);
    XML_StopParser(r->parser, XML_FALSE);
    return r->rc;
}

static int bad(struct reader *r, const char *what)
{
    return fail(r, ERR_BAD_INPUT, what, "");
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
    struct reader *r = arg;
    const char *colon = strrchr(name, ':');

    (void)attrs;
    if (r->rc != 0) {
        return;
    }
    if (colon != NULL) {
        name = colon + 1;
    }
    if (r->depth == S3_XML_DEPTH_MAX) {
        bad(r, "elements are nested too deep");
        return;
    }
    if (strlen(name) > NAME_MAX_BYTES) {
        bad(r, "the name of an element is too long");
        return;
    }
    if (r->depth == 0 && strcmp(name, r->root) != 0) {
        fail(r, ERR_BAD_INPUT, "the document must be", r->root);
        return;
    }
    if (r->depth > 0) {
        r->has_child[r->depth - 1] = true;
        buf_char(&r->path, '/');
    }
    r->name_at[r->depth] = r->path.len;
    r->has_child[r->depth] = false;
    r->depth++;
    buf_str(&r->path, name);
    buf_clear(&r->text);
    r->open(r, (const char *)r->path.data);
}

static void on_end(void *arg, const XML_Char *name)
{
    struct reader *r = arg;
    const char *path = (const char *)r->path.data;

    (void)name;
    if (r->rc != 0) {
        return;
    }
    CHECK(r->depth > 0);
    r->close(r, path, r->text.data != NULL ? (const char *)r->text.data : "");
    r->depth--;
    r->path.len = r->name_at[r->depth];
    if (r->depth > 0) {
        r->path.len--; /* the slash */
    }
    r->path.data[r->path.len] = '\0';
    buf_clear(&r->text);
}

static void on_text(void *arg, const XML_Char *text, int len)
{
    struct reader *r = arg;

    if (r->rc != 0) {
        return;
    }
    if (r->text.len + (size_t)len > S3_XML_TEXT_MAX) {
        bad(r, "the text of an element is too long");
        return;
    }
    buf_append(&r->text, text, (size_t)len);
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)has_internal;
    bad(arg, "a document type is not allowed");
}

static int parse(struct reader *r, const void *p, size_t len)
{
    enum XML_Status status;

    CHECK(len < INT32_MAX);
    r->parser = XML_ParserCreate(NULL);
    CHECK(r->parser != NULL);
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    status = XML_Parse(r->parser, p, (int)len, XML_TRUE);
    if (status != XML_STATUS_OK && r->rc == 0) {
        fail(r, ERR_BAD_INPUT, XML_ErrorString(XML_GetErrorCode(r->parser)),
             "");
    }
    XML_ParserFree(r->parser);
    buf_free(&r->path);
    buf_free(&r->text);
    return r->rc;
}

static int open_nothing(struct reader *r, const char *path)
{
    (void)r;
    (void)path;
    return 0;
}

/* An element that must hold just text, and once. Takes it to *@out. */
static int take_text(struct reader *r, const char *text, char **out)
{
    if (r->has_child[r->depth - 1]) {
        return bad(r, "an element where text is due");
    }
    if (*out != NULL) {
        return bad(r, "an element stands twice");
    }
    *out = mem_strdup(text);
    return 0;
}

/* As take_text, without blanks around it. */
static int take_word(struct reader *r, const char *text, char **out)
{
    size_t len;
    char *word;
    int rc;

    text += strspn(text, " \t\r\n");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL) {
        len--;
    }
    word = mem_strndup(text, len);
    rc = take_text(r, word, out);
    free(word);
    return rc;
}

/* An ETag with or without quotes, without them. */
static int take_etag(struct reader *r, const char *text, char **out)
{
    char *etag = NULL;
    size_t len;
    int rc = *out != NULL ? bad(r, "an ETag stands twice")
                          : take_word(r, text, &etag);

    if (rc != 0) {
        return rc;
    }
    len = strlen(etag);
    if (len >= 2 && etag[0] == '"' && etag[len - 1] == '"') {
        memmove(etag, etag + 1, len - 2);
        etag[len - 2] = '\0';
    }
    *out = etag;
    return 0;
}

/* Room for one more in an array that doubles at powers of two. */
static void *grow(void *array, size_t count, size_t size)
{
    if (count == 0 || (count & (count - 1)) == 0) {
        array = mem_realloc(array, (count == 0 ? 1 : count * 2) * size);
    }
    return array;
}

/* ---- <Delete> ---- */

static int delete_open(struct reader *r, const char *path)
{
    struct xml_delete *d = r->out;

    if (strcmp(path, "Delete/Object") != 0) {
        return 0;
    }
    if (d->count == META_DELETE_MAX) {
        return bad(r, "more than 1000 objects");
    }
    d->keys = grow(d->keys, d->count, sizeof d->keys[0]);
    d->etags = grow(d->etags, d->count, sizeof d->etags[0]);
    d->versions = grow(d->versions, d->count, sizeof d->versions[0]);
    d->keys[d->count] = NULL;
    d->etags[d->count] = NULL;
    d->versions[d->count] = NULL;
    d->count++;
    return 0;
}

static int delete_quiet(struct reader *r, const char *text, bool *quiet)
{
    char *word = NULL;
    int rc = take_word(r, text, &word);

    if (rc == 0) {
        *quiet = text_ieq(word, "true");
        if (!*quiet && !text_ieq(word, "false")) {
            rc = bad(r, "Quiet is true or false");
        }
    }
    free(word);
    return rc;
}

static int delete_close(struct reader *r, const char *path, const char *text)
{
    struct xml_delete *d = r->out;
    size_t i = d->count - 1;

    if (strcmp(path, "Delete/Quiet") == 0) {
        return delete_quiet(r, text, &d->quiet);
    }
    if (strcmp(path, "Delete/Object/Key") == 0) {
        return take_text(r, text, &d->keys[i]);
    }
    if (strcmp(path, "Delete/Object/ETag") == 0) {
        return take_etag(r, text, &d->etags[i]);
    }
    if (strcmp(path, "Delete/Object/VersionId") == 0) {
        return take_word(r, text, &d->versions[i]);
    }
    if (strcmp(path, "Delete/Object/Size") == 0 ||
        strcmp(path, "Delete/Object/LastModifiedTime") == 0) {
        /* Conditions: to skip them would delete what must stay. */
        return fail(r, ERR_UNSUPPORTED, "is not supported", path);
    }
    if (strcmp(path, "Delete/Object") == 0 &&
        (d->keys[i] == NULL || d->keys[i][0] == '\0')) {
        return bad(r, "an Object has no Key");
    }
    return 0;
}

int xml_read_delete(const void *p, size_t len, struct xml_delete *out,
                    struct err *err)
{
    struct xml_delete d = {0};
    struct reader r = {.err = err,
                       .root = "Delete",
                       .open = delete_open,
                       .close = delete_close,
                       .out = &d};
    int rc = parse(&r, p, len);

    if (rc == 0 && d.count == 0) {
        rc = err_set(err, ERR_BAD_INPUT, "Delete names no Object");
    }
    if (rc != 0) {
        xml_delete_free(&d);
        return rc;
    }
    *out = d;
    return 0;
}

void xml_delete_free(struct xml_delete *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->keys[i]);
        free(d->etags[i]);
        free(d->versions[i]);
    }
    free(d->keys);
    free(d->etags);
    free(d->versions);
    *d = (struct xml_delete){0};
}

/* ---- <CompleteMultipartUpload> ---- */

static int complete_open(struct reader *r, const char *path)
{
    struct xml_complete *c = r->out;

    if (strcmp(path, "CompleteMultipartUpload/Part") != 0) {
        return 0;
    }
    if (c->count == META_PARTS_MAX) {
        return bad(r, "more than 10000 parts");
    }
    c->parts = grow(c->parts, c->count, sizeof c->parts[0]);
    c->checks = grow(c->checks, c->count, sizeof c->checks[0]);
    c->parts[c->count] = (struct command_part){0, NULL};
    c->checks[c->count] = NULL;
    c->count++;
    return 0;
}

static int complete_number(struct reader *r, const char *text, uint32_t *number)
{
    char *word = NULL;
    uint64_t v;
    int rc = *number != 0 ? bad(r, "a PartNumber stands twice")
                          : take_word(r, text, &word);

    if (rc == 0) {
        if (text_u64(word, &v) && v >= 1 && v <= META_PARTS_MAX) {
            *number = (uint32_t)v;
        } else {
            rc = bad(r, "PartNumber must be from 1 to 10000");
        }
    }
    free(word);
    return rc;
}

/* ChecksumCRC32 and its like; what is not known is skipped. */
static int complete_check(struct reader *r, const char *name, const char *text,
                          char **check)
{
    enum digest_kind kind;
    char *word = NULL;
    int rc;

    if (!text_starts(name, "Checksum") || !digest_kind_parse(name + 8, &kind) ||
        s3_checksum_header(kind) == NULL) {
        return 0;
    }
    rc = *check != NULL ? bad(r, "a Part has two checksums")
                        : take_word(r, text, &word);
    if (rc == 0 && word[0] != '\0') {
        *check = mem_printf("%s:%s", s3_checksum_header(kind), word);
    }
    free(word);
    return rc;
}

static int complete_close(struct reader *r, const char *path, const char *text)
{
    static const char part[] = "CompleteMultipartUpload/Part";
    struct xml_complete *c = r->out;
    struct command_part *last;
    const char *name;
    char *etag;
    int rc;

    if (!text_starts(path, part)) {
        return 0;
    }
    name = path + sizeof part - 1;
    if (name[0] != '\0' && name[0] != '/') {
        return 0; /* an element whose name only begins like ours */
    }
    last = &c->parts[c->count - 1];
    if (name[0] == '\0') {
        return last->number != 0 && last->etag != NULL
                   ? 0
                   : bad(r, "a Part needs PartNumber and ETag");
    }
    name++;
    if (strcmp(name, "PartNumber") == 0) {
        return complete_number(r, text, &last->number);
    }
    if (strcmp(name, "ETag") == 0) {
        etag = (char *)last->etag;
        rc = take_etag(r, text, &etag);
        last->etag = etag;
        return rc;
    }
    return complete_check(r, name, text, &c->checks[c->count - 1]);
}

int xml_read_complete(const void *p, size_t len, struct xml_complete *out,
                      struct err *err)
{
    struct xml_complete c = {0};
    struct reader r = {.err = err,
                       .root = "CompleteMultipartUpload",
                       .open = complete_open,
                       .close = complete_close,
                       .out = &c};
    int rc = parse(&r, p, len);

    if (rc == 0 && c.count == 0) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "CompleteMultipartUpload names no Part");
    }
    if (rc != 0) {
        xml_complete_free(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void xml_complete_free(struct xml_complete *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free((char *)c->parts[i].etag);
        free(c->checks[i]);
    }
    free(c->parts);
    free(c->checks);
    *c = (struct xml_complete){0};
}

/* ---- <CreateBucketConfiguration> ---- */

static int create_close(struct reader *r, const char *path, const char *text)
{
    if (strcmp(path, "CreateBucketConfiguration/LocationConstraint") == 0) {
        return take_word(r, text, r->out);
    }
    if (strcmp(path, "CreateBucketConfiguration") != 0 && r->depth == 2 &&
        r->has_child[1]) {
        /* Bucket, Location, Tags: other kinds of buckets, and tags. */
        return fail(r, ERR_UNSUPPORTED, "is not supported", path);
    }
    return 0;
}

int xml_read_create_bucket(const void *p, size_t len, char **location,
                           struct err *err)
{
    char *found = NULL;
    struct reader r = {.err = err,
                       .root = "CreateBucketConfiguration",
                       .open = open_nothing,
                       .close = create_close,
                       .out = &found};
    const char *text = p;
    size_t blanks = 0;
    int rc;

    while (blanks < len && strchr(" \t\r\n", text[blanks]) != NULL &&
           text[blanks] != '\0') {
        blanks++;
    }
    if (blanks == len) {
        *location = NULL;
        return 0;
    }
    rc = parse(&r, p, len);
    if (rc != 0) {
        free(found);
        return rc;
    }
    if (found != NULL && found[0] == '\0') {
        free(found);
        found = NULL;
    }
    *location = found;
    return 0;
}
