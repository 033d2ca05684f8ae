#include "client/xml_walk.h"

#include <stdbool.h>
#include <string.h>

#include <expat.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"

#define NAME_MAX_BYTES 128

struct walk {
    XML_Parser parser;
    int (*fn)(void *arg, const char *path, const char *text, struct err *err);
    void *arg;
    struct err *err;
    int rc;
    unsigned depth;
    struct buf path;
    struct buf text[XML_WALK_DEPTH_MAX];
};

static void stop(struct walk *w, int rc)
{
    w->rc = rc;
    XML_StopParser(w->parser, XML_FALSE);
}

static void refuse(struct walk *w, const char *why)
{
    stop(w, err_set(w->err, ERR_BAD_INPUT, "XML: %s", why));
}

static void on_start(void *data, const XML_Char *name, const XML_Char **attrs)
{
    struct walk *w = data;
    int rc;

    (void)attrs;
    if (w->depth == XML_WALK_DEPTH_MAX || strlen(name) > NAME_MAX_BYTES) {
        refuse(w, "too deep");
        return;
    }
    if (w->depth > 0) {
        buf_char(&w->path, '/');
    }
    buf_str(&w->path, name);
    buf_clear(&w->text[w->depth]);
    w->depth++;
    rc = w->fn(w->arg, (char *)w->path.data, NULL, w->err);
    if (rc != 0) {
        stop(w, rc);
    }
}

static void on_text(void *data, const XML_Char *s, int len)
{
    struct walk *w = data;
    struct buf *text;

    if (w->rc != 0 || w->depth == 0) {
        return;
    }
    text = &w->text[w->depth - 1];
    if ((size_t)len > XML_WALK_TEXT_MAX - text->len) {
        refuse(w, "an element's text is too long");
        return;
    }
    buf_append(text, s, (size_t)len);
}

static void on_end(void *data, const XML_Char *name)
{
    struct walk *w = data;
    struct buf *text;
    int rc;

    if (w->rc != 0) {
        return;
    }
    text = &w->text[w->depth - 1];
    rc = w->fn(w->arg, (char *)w->path.data,
               text->len > 0 ? (char *)text->data : "", w->err);
    w->depth--;
    w->path.len -= strlen(name) + (w->depth > 0);
    w->path.data[w->path.len] = '\0';
    if (rc != 0) {
        stop(w, rc);
    }
}

static void on_doctype(void *data, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    refuse(data, "a document type is not allowed");
}

int xml_walk(const void *p, size_t len,
             int (*fn)(void *arg, const char *path, const char *text,
                       struct err *err),
             void *arg, struct err *err)
{
    struct walk w = {.fn = fn, .arg = arg, .err = err};
    int rc;

    if (len > INT32_MAX) {
        return err_set(err, ERR_BAD_INPUT, "XML: too long");
    }
    w.parser = XML_ParserCreate("UTF-8");
    CHECK(w.parser != NULL);
    XML_SetUserData(w.parser, &w);
    XML_SetElementHandler(w.parser, on_start, on_end);
    XML_SetCharacterDataHandler(w.parser, on_text);
    XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
    if (XML_Parse(w.parser, p, (int)len, 1) != XML_STATUS_OK && w.rc == 0) {
        w.rc = err_set(err, ERR_BAD_INPUT, "XML: line %lu: %s",
                       XML_GetCurrentLineNumber(w.parser),
                       XML_ErrorString(XML_GetErrorCode(w.parser)));
    }
    rc = w.rc;
    XML_ParserFree(w.parser);
    buf_free(&w.path);
    for (unsigned i = 0; i < XML_WALK_DEPTH_MAX; i++) {
        buf_free(&w.text[i]);
    }
    return rc;
}
