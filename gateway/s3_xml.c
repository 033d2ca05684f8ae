#include "gateway/s3_xml.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

/* ---- written ---- */

void xml_open(struct buf *b, const char *name)
{
    buf_printf(b, "<%s>", name);
}

void xml_close(struct buf *b, const char *name)
{
    buf_printf(b, "</%s>", name);
}

void xml_escape(struct buf *b, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        switch (c) {
            case '<':
                buf_str(b, "&lt;");
                break;
            case '>':
                buf_str(b, "&gt;");
                break;
            case '&':
                buf_str(b, "&amp;");
                break;
            case '"':
                buf_str(b, "&quot;");
                break;
            default:
                if (c < ' ' || c == 127) {
                    buf_printf(b, "&#x%X;", c);
                } else {
                    buf_char(b, (char)c);
                }
        }
    }
}

void xml_text(struct buf *b, const char *name, const char *text)
{
    xml_open(b, name);
    xml_escape(b, text, strlen(text));
    xml_close(b, name);
}

void xml_u64(struct buf *b, const char *name, uint64_t v)
{
    buf_printf(b, "<%s>%llu</%s>", name, (unsigned long long)v, name);
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

/* ---- read ---- */

/* A walk over one document: the path of open elements, and the text of the one
 * at hand. @on_end is called at the end of each element. */
struct walk {
    XML_Parser parser;
    char *owned[S3_XML_DEPTH_MAX];
    unsigned depth;
    struct buf text;
    int status;
    struct err *err;
    /* Element @name at @depth (1: the root) under @parent has ended. */
    void (*on_end)(struct walk *w, const char *name, const char *parent,
                   unsigned depth, const char *text);
    void (*on_start)(struct walk *w, const char *name, unsigned depth);
    void *out;
};

static void stop(struct walk *w, const char *why)
{
    if (w->status == 0) {
        w->status = err_set(w->err, ERR_BAD_INPUT, "XML line %lu: %s",
                            XML_GetCurrentLineNumber(w->parser), why);
    }
    XML_StopParser(w->parser, XML_FALSE);
}

/* "namespace|name": the name alone. */
static const char *local_name(const char *name)
{
    const char *bar = strrchr(name, '|');

    return bar != NULL ? bar + 1 : name;
}

static void XMLCALL start_element(void *data, const char *name,
                                  const char **attributes)
{
    struct walk *w = data;

    (void)attributes;
    if (w->depth == S3_XML_DEPTH_MAX) {
        stop(w, "elements are nested too deeply");
        return;
    }
    w->owned[w->depth] = mem_strdup(local_name(name));
    w->depth++;
    buf_clear(&w->text);
    if (w->on_start != NULL) {
        w->on_start(w, w->owned[w->depth - 1], w->depth);
    }
}

static void XMLCALL end_element(void *data, const char *name)
{
    struct walk *w = data;
    const char *text = w->text.data != NULL ? (char *)w->text.data : "";

    (void)name;
    CHECK(w->depth > 0);
    if (memchr(text, 0, w->text.len) != NULL) {
        stop(w, "NUL in text");
    } else {
        w->on_end(w, w->owned[w->depth - 1],
                  w->depth > 1 ? w->owned[w->depth - 2] : "", w->depth, text);
    }
    free(w->owned[--w->depth]);
    buf_clear(&w->text);
}

static void XMLCALL characters(void *data, const char *s, int len)
{
    struct walk *w = data;

    if (w->text.len + (size_t)len > S3_XML_TEXT_MAX) {
        stop(w, "the text of an element is too long");
        return;
    }
    buf_append(&w->text, s, (size_t)len);
}

/* No document type, so no entities: nothing to expand and nothing to fetch. */
static void XMLCALL doctype(void *data, const char *name, const char *sysid,
                            const char *pubid, int has_internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)has_internal;
    stop(data, "a document type is not allowed");
}

static int run(struct walk *w, const void *p, size_t len, const char *what)
{
    w->parser = XML_ParserCreateNS(NULL, '|');
    CHECK(w->parser != NULL);
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, start_element, end_element);
    XML_SetCharacterDataHandler(w->parser, characters);
    XML_SetStartDoctypeDeclHandler(w->parser, doctype);
    if (len > INT32_MAX) {
        w->status = err_set(w->err, ERR_BAD_INPUT, "XML: too long");
    } else if (XML_Parse(w->parser, p, (int)len, 1) != XML_STATUS_OK &&
               w->status == 0) {
        w->status = err_set(w->err, ERR_BAD_INPUT, "%s: XML line %lu: %s", what,
                            XML_GetCurrentLineNumber(w->parser),
                            XML_ErrorString(XML_GetErrorCode(w->parser)));
    }
    while (w->depth > 0) {
        free(w->owned[--w->depth]);
    }
    buf_free(&w->text);
    XML_ParserFree(w->parser);
    return w->status;
}

static void set(char **field, const char *text)
{
    free(*field);
    *field = mem_strdup(text);
}

/* An ETag without the quotes that may stand around it. */
static char *unquoted(const char *text)
{
    size_t len;

    text += strspn(text, " \t\r\n\"");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\n\"", text[len - 1]) != NULL) {
        len--;
    }
    return mem_strndup(text, len);
}

static bool is_object(const char *name, unsigned depth)
{
    return depth == 2 && strcmp(name, "Object") == 0;
}

static void delete_start(struct walk *w, const char *name, unsigned depth)
{
    struct xml_delete *d = w->out;

    if (depth == 1 && strcmp(name, "Delete") != 0) {
        stop(w, "the root element must be Delete");
    } else if (is_object(name, depth)) {
        if (d->count == META_DELETE_MAX) {
            stop(w, "more than 1000 objects");
            return;
        }
        d->count++;
    }
}

static void delete_end(struct walk *w, const char *name, const char *parent,
                       unsigned depth, const char *text)
{
    struct xml_delete *d = w->out;
    size_t i = d->count - 1;

    if (is_object(name, depth)) {
        if (d->keys[i] == NULL || d->keys[i][0] == '\0') {
            stop(w, "an Object has no Key");
        }
    } else if (depth == 3 && strcmp(parent, "Object") == 0) {
        if (strcmp(name, "Key") == 0) {
            set(&d->keys[i], text);
        } else if (strcmp(name, "VersionId") == 0) {
            set(&d->versions[i], text);
        } else if (strcmp(name, "ETag") == 0) {
            free(d->etags[i]);
            d->etags[i] = unquoted(text);
        }
    } else if (depth == 2 && strcmp(name, "Quiet") == 0) {
        d->quiet = text_ieq(text, "true");
    }
}

int xml_read_delete(const void *p, size_t len, struct xml_delete *out,
                    struct err *err)
{
    struct walk w = {
        .err = err, .on_start = delete_start, .on_end = delete_end, .out = out};
    int rc;

    *out = (struct xml_delete){0};
    out->keys = mem_calloc(META_DELETE_MAX, sizeof *out->keys);
    out->etags = mem_calloc(META_DELETE_MAX, sizeof *out->etags);
    out->versions = mem_calloc(META_DELETE_MAX, sizeof *out->versions);
    rc = run(&w, p, len, "Delete");
    if (rc == 0 && out->count == 0) {
        rc = err_set(err, ERR_BAD_INPUT, "Delete: no Object in it");
    }
    if (rc != 0) {
        xml_delete_free(out);
    }
    return rc;
}

void xml_delete_free(struct xml_delete *d)
{
    for (size_t i = 0; d->keys != NULL && i < META_DELETE_MAX; i++) {
        free(d->keys[i]);
        free(d->etags[i]);
        free(d->versions[i]);
    }
    free(d->keys);
    free(d->etags);
    free(d->versions);
    *d = (struct xml_delete){0};
}

static bool is_part(const char *name, unsigned depth)
{
    return depth == 2 && strcmp(name, "Part") == 0;
}

static void complete_start(struct walk *w, const char *name, unsigned depth)
{
    struct xml_complete *c = w->out;

    if (depth == 1 && strcmp(name, "CompleteMultipartUpload") != 0) {
        stop(w, "the root element must be CompleteMultipartUpload");
    } else if (is_part(name, depth)) {
        if (c->count == META_PARTS_MAX) {
            stop(w, "more than 10000 parts");
            return;
        }
        c->count++;
    }
}

static void complete_end(struct walk *w, const char *name, const char *parent,
                         unsigned depth, const char *text)
{
    struct xml_complete *c = w->out;
    size_t i = c->count - 1;
    uint64_t number;

    if (is_part(name, depth)) {
        if (c->parts[i].number == 0 || c->parts[i].etag == NULL) {
            stop(w, "a Part needs PartNumber and ETag");
        }
    } else if (depth == 3 && strcmp(parent, "Part") == 0) {
        if (strcmp(name, "PartNumber") == 0) {
            if (!text_u64(text, &number) || number < 1 ||
                number > META_PARTS_MAX) {
                stop(w, "a PartNumber is not 1 to 10000");
                return;
            }
            c->parts[i].number = (uint32_t)number;
        } else if (strcmp(name, "ETag") == 0) {
            free((char *)(uintptr_t)c->parts[i].etag);
            c->parts[i].etag = unquoted(text);
        } else if (text_starts(name, "Checksum")) {
            set(&c->checks[i], text);
        }
    }
}

int xml_read_complete(const void *p, size_t len, struct xml_complete *out,
                      struct err *err)
{
    struct walk w = {.err = err,
                     .on_start = complete_start,
                     .on_end = complete_end,
                     .out = out};
    int rc;

    *out = (struct xml_complete){0};
    out->parts = mem_calloc(META_PARTS_MAX, sizeof *out->parts);
    out->checks = mem_calloc(META_PARTS_MAX, sizeof *out->checks);
    rc = run(&w, p, len, "CompleteMultipartUpload");
    if (rc == 0 && out->count == 0) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "CompleteMultipartUpload: no Part in it");
    }
    if (rc != 0) {
        xml_complete_free(out);
    }
    return rc;
}

void xml_complete_free(struct xml_complete *c)
{
    for (size_t i = 0; c->parts != NULL && i < META_PARTS_MAX; i++) {
        free((char *)(uintptr_t)c->parts[i].etag);
        free(c->checks[i]);
    }
    free(c->parts);
    free(c->checks);
    *c = (struct xml_complete){0};
}

static void create_start(struct walk *w, const char *name, unsigned depth)
{
    if (depth == 1 && strcmp(name, "CreateBucketConfiguration") != 0) {
        stop(w, "the root element must be CreateBucketConfiguration");
    }
}

static void create_end(struct walk *w, const char *name, const char *parent,
                       unsigned depth, const char *text)
{
    char **location = w->out;

    (void)parent;
    if (depth == 2 && strcmp(name, "LocationConstraint") == 0) {
        set(location, text);
    }
}

int xml_read_create_bucket(const void *p, size_t len, char **location,
                           struct err *err)
{
    struct walk w = {.err = err,
                     .on_start = create_start,
                     .on_end = create_end,
                     .out = location};
    int rc;

    *location = NULL;
    if (len == 0) {
        return 0;
    }
    rc = run(&w, p, len, "CreateBucketConfiguration");
    if (rc != 0) {
        free(*location);
        *location = NULL;
    }
    return rc;
}
