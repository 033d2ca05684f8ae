#include "gateway/s3_tree.h"

#include <stdlib.h>
#include <string.h>

#include <expat.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/s3_xml.h"

#define NAME_MAX_BYTES 128

/* ---- reading ---- */

struct reader {
    XML_Parser parser;
    struct err *err;
    int rc;
    const char *root;
    struct s3_node *tree;
    struct s3_node *open[S3_XML_DEPTH_MAX];
    unsigned depth;
    size_t nodes;
    struct buf text; /* since the last tag */
};

static void bad(struct reader *r, const char *what)
{
    r->rc = err_set(r->err, ERR_BAD_INPUT, "line %lu: %s",
                    (unsigned long)XML_GetCurrentLineNumber(r->parser), what);
    XML_StopParser(r->parser, XML_FALSE);
}

static bool blank(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++) {
        if (strchr(" \t\r\n", b->data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void add_child(struct s3_node *parent, struct s3_node *n)
{
    if (parent->last != NULL) {
        parent->last->next = n;
    } else {
        parent->first = n;
    }
    parent->last = n;
    parent->children++;
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
    struct reader *r = arg;
    const char *colon = strrchr(name, ':');
    struct s3_node *n;

    (void)attrs;
    if (r->rc != 0) {
        return;
    }
    name = colon != NULL ? colon + 1 : name;
    if (r->depth == S3_XML_DEPTH_MAX || r->nodes == S3_TREE_NODES_MAX) {
        bad(r, "too many elements, or nested too deep");
    } else if (strlen(name) > NAME_MAX_BYTES) {
        bad(r, "the name of an element is too long");
    } else if (!blank(&r->text)) {
        bad(r, "text beside elements");
    } else if (r->depth == 0 && strcmp(name, r->root) != 0) {
        bad(r, "the document is another one");
    } else {
        n = mem_alloc(sizeof *n);
        n->name = mem_strdup(name);
        if (r->depth == 0) {
            r->tree = n;
        } else {
            add_child(r->open[r->depth - 1], n);
        }
        r->open[r->depth++] = n;
        r->nodes++;
        buf_clear(&r->text);
    }
}

static void on_end(void *arg, const XML_Char *name)
{
    struct reader *r = arg;
    struct s3_node *n;

    (void)name;
    if (r->rc != 0) {
        return;
    }
    CHECK(r->depth > 0);
    n = r->open[--r->depth];
    if (n->first == NULL) {
        n->text =
            mem_strndup(r->text.data != NULL ? (const char *)r->text.data : "",
                        r->text.len);
    } else if (!blank(&r->text)) {
        bad(r, "text beside elements");
    } else {
        n->text = mem_strdup("");
    }
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

int s3_tree_read(const void *p, size_t len, const char *root,
                 struct s3_node **out, struct err *err)
{
    struct reader r = {.err = err, .root = root};
    enum XML_Status status;

    CHECK(len < INT32_MAX);
    r.parser = XML_ParserCreate(NULL);
    CHECK(r.parser != NULL);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    status = XML_Parse(r.parser, p != NULL ? p : "", (int)len, XML_TRUE);
    if (status != XML_STATUS_OK && r.rc == 0) {
        bad(&r, XML_ErrorString(XML_GetErrorCode(r.parser)));
    }
    XML_ParserFree(r.parser);
    buf_free(&r.text);
    if (r.rc != 0) {
        s3_tree_free(r.tree);
        return r.rc;
    }
    *out = r.tree;
    return 0;
}

/* At most S3_XML_DEPTH_MAX deep. */
void s3_tree_free(struct s3_node *n)
{
    while (n != NULL) {
        struct s3_node *next = n->next;
        s3_tree_free(n->first);
        free(n->name);
        free(n->text);
        free(n);
        n = next;
    }
}

static void write_inside(const struct s3_node *n, struct buf *out)
{
    xml_escape(out, n->text, strlen(n->text));
    for (const struct s3_node *c = n->first; c != NULL; c = c->next) {
        xml_open(out, c->name);
        write_inside(c, out);
        xml_close(out, c->name);
    }
}

void s3_tree_write(const struct s3_node *root, struct buf *out)
{
    buf_printf(out, "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
               root->name);
    write_inside(root, out);
    xml_close(out, root->name);
}

/* ---- asking ---- */

static const struct s3_node *named(const struct s3_node *n, const char *name)
{
    while (n != NULL && strcmp(n->name, name) != 0) {
        n = n->next;
    }
    return n;
}

const struct s3_node *s3_node_child(const struct s3_node *n, const char *name)
{
    return named(n->first, name);
}

const struct s3_node *s3_node_again(const struct s3_node *n)
{
    return named(n->next, n->name);
}

/* The entry of @name; NULL for none. */
static const char *entry_of(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names + strspn(*names, "*!"), name) == 0) {
            return *names;
        }
    }
    return NULL;
}

int s3_node_check(const struct s3_node *n, const char *const *names,
                  struct err *err)
{
    if (n->text[strspn(n->text, " \t\r\n")] != '\0') {
        return err_set(err, ERR_BAD_INPUT, "%s holds elements only", n->name);
    }
    for (const struct s3_node *c = n->first; c != NULL; c = c->next) {
        const char *entry = entry_of(names, c->name);
        if (entry == NULL) {
            return err_set(err, ERR_BAD_INPUT, "%s in %s is not known", c->name,
                           n->name);
        }
        if (strcspn(entry, "*") == strlen(entry) && s3_node_again(c) != NULL) {
            return err_set(err, ERR_BAD_INPUT, "%s in %s stands twice", c->name,
                           n->name);
        }
    }
    for (; *names != NULL; names++) {
        const char *bare = *names + strspn(*names, "*!");
        size_t marks = (size_t)(bare - *names);
        if (memchr(*names, '!', marks) != NULL &&
            s3_node_child(n, bare) == NULL) {
            return err_set(err, ERR_BAD_INPUT, "%s needs %s", n->name, bare);
        }
    }
    return 0;
}

int s3_node_text(const struct s3_node *n, const char **out, struct err *err)
{
    if (n->first != NULL) {
        return err_set(err, ERR_BAD_INPUT, "%s holds text only", n->name);
    }
    *out = n->text;
    return 0;
}

int s3_node_word(const struct s3_node *n, char **out, struct err *err)
{
    const char *text = "";
    size_t len;
    int rc = s3_node_text(n, &text, err);

    if (rc != 0) {
        return rc;
    }
    text += strspn(text, " \t\r\n");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL) {
        len--;
    }
    *out = mem_strndup(text, len);
    return 0;
}

int s3_node_u64(const struct s3_node *n, uint64_t *out, struct err *err)
{
    char *word = NULL;
    int rc = s3_node_word(n, &word, err);

    if (rc != 0) {
        return rc;
    }
    if (!text_u64(word, out)) {
        rc = err_set(err, ERR_BAD_INPUT, "%s is not a number", n->name);
    }
    free(word);
    return rc;
}

int s3_node_bool(const struct s3_node *n, bool *out, struct err *err)
{
    char *word = NULL;
    int rc = s3_node_word(n, &word, err);

    if (rc != 0) {
        return rc;
    }
    if (text_ieq(word, "true") || text_ieq(word, "false")) {
        *out = text_ieq(word, "true");
    } else {
        rc = err_set(err, ERR_BAD_INPUT, "%s is true or false", n->name);
    }
    free(word);
    return rc;
}
