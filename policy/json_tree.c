#include "policy/json_tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

struct json_tree {
    struct json_node *nodes;
    size_t count, cap;
    char *text; /* every string of the tree, NUL-terminated */
    size_t used;
};

/* Links are indexes while the array grows, and pointers at the end. */
struct reader {
    const char *p;
    size_t at, len;
    struct json_tree *tree;
    struct link {
        size_t first, next;
    } * links;
    struct err *err;
    int rc;
};

#define NO_NODE ((size_t)0) /* 0 is the root, which nothing links to */

static bool fail(struct reader *r, const char *why)
{
    if (r->rc == 0) {
        r->rc =
            err_set(r->err, ERR_BAD_INPUT, "JSON: byte %zu: %s", r->at, why);
    }
    return false;
}

static bool over(struct reader *r, const char *what)
{
    if (r->rc == 0) {
        r->rc = err_set(r->err, ERR_LIMIT, "JSON: %s", what);
    }
    return false;
}

static void blanks(struct reader *r)
{
    while (r->at < r->len && r->p[r->at] != '\0' &&
           strchr(" \t\r\n", r->p[r->at]) != NULL) {
        r->at++;
    }
}

static char peek(const struct reader *r)
{
    return r->at < r->len ? r->p[r->at] : '\0';
}

static bool hex4(struct reader *r, unsigned *out)
{
    uint8_t b[2];

    if (r->len - r->at < 4 || !text_unhex(r->p + r->at, 4, b, 2)) {
        return fail(r, "\\u needs four hex digits");
    }
    r->at += 4;
    *out = (unsigned)b[0] << 8 | b[1];
    return true;
}

static void put_utf8(struct json_tree *t, unsigned c)
{
    char *s = t->text + t->used;

    if (c < 0x80) {
        s[0] = (char)c;
        t->used += 1;
    } else if (c < 0x800) {
        s[0] = (char)(0xc0 | c >> 6);
        s[1] = (char)(0x80 | (c & 63));
        t->used += 2;
    } else if (c < 0x10000) {
        s[0] = (char)(0xe0 | c >> 12);
        s[1] = (char)(0x80 | (c >> 6 & 63));
        s[2] = (char)(0x80 | (c & 63));
        t->used += 3;
    } else {
        s[0] = (char)(0xf0 | c >> 18);
        s[1] = (char)(0x80 | (c >> 12 & 63));
        s[2] = (char)(0x80 | (c >> 6 & 63));
        s[3] = (char)(0x80 | (c & 63));
        t->used += 4;
    }
}

static bool read_u(struct reader *r)
{
    unsigned c, low;

    if (!hex4(r, &c)) {
        return false;
    }
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->len - r->at < 6 || memcmp(r->p + r->at, "\\u", 2) != 0) {
            return fail(r, "half a surrogate pair");
        }
        r->at += 2;
        if (!hex4(r, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return fail(r, "half a surrogate pair");
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (c >= 0xdc00 && c < 0xe000) {
        return fail(r, "half a surrogate pair");
    }
    if (c == 0) {
        return fail(r, "NUL in a string");
    }
    put_utf8(r->tree, c);
    return true;
}

/* A decoded string is never longer than its text with the quotes, so the
 * room of the document is enough for all, NULs included. */
static bool read_string(struct reader *r, const char **out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    char *start = r->tree->text + r->tree->used;

    if (peek(r) != '"') {
        return fail(r, "a string was expected");
    }
    for (r->at++; r->at < r->len;) {
        char c = r->p[r->at++];
        if (c == '"') {
            r->tree->text[r->tree->used++] = '\0';
            *out = start;
            return true;
        }
        if ((unsigned char)c < 0x20) {
            return fail(r, "a control character in a string");
        }
        if (c == '\\') {
            char e = peek(r);
            const char *is = e != '\0' ? strchr(from, e) : NULL;
            r->at++;
            if (e == 'u') {
                if (!read_u(r)) {
                    return false;
                }
                continue;
            }
            if (is == NULL) {
                return fail(r, "unknown escape");
            }
            c = to[is - from];
        }
        r->tree->text[r->tree->used++] = c;
    }
    return fail(r, "a string does not end");
}

static size_t digits(struct reader *r)
{
    size_t start = r->at;

    while (peek(r) >= '0' && peek(r) <= '9') {
        r->at++;
    }
    return r->at - start;
}

static bool read_number(struct reader *r, const char **out)
{
    size_t start = r->at;
    char *text = r->tree->text + r->tree->used;
    bool zero;
    size_t n;

    r->at += peek(r) == '-';
    zero = peek(r) == '0';
    n = digits(r);
    if (n == 0 || (zero && n > 1)) {
        return fail(r, "not a value");
    }
    if (peek(r) == '.') {
        r->at++;
        if (digits(r) == 0) {
            return fail(r, "not a number");
        }
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        r->at += peek(r) == '+' || peek(r) == '-';
        if (digits(r) == 0) {
            return fail(r, "not a number");
        }
    }
    memcpy(text, r->p + start, r->at - start);
    text[r->at - start] = '\0';
    r->tree->used += r->at - start + 1;
    *out = text;
    return true;
}

static bool word(struct reader *r, const char *w)
{
    size_t n = strlen(w);

    if (r->len - r->at < n || memcmp(r->p + r->at, w, n) != 0) {
        return fail(r, "not a value");
    }
    r->at += n;
    return true;
}

static bool new_node(struct reader *r, size_t *out)
{
    struct json_tree *t = r->tree;

    if (t->count == JSON_TREE_NODES_MAX) {
        return over(r, "too many values");
    }
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 64 : t->cap * 2;
        t->nodes = mem_realloc(t->nodes, t->cap * sizeof *t->nodes);
        r->links = mem_realloc(r->links, t->cap * sizeof *r->links);
    }
    t->nodes[t->count] = (struct json_node){.text = ""};
    r->links[t->count] = (struct link){NO_NODE, NO_NODE};
    *out = t->count++;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, as a document of many names must not cost their square. */
static bool names_differ(struct reader *r, size_t parent)
{
    struct json_tree *t = r->tree;
    size_t n = t->nodes[parent].count, k = 0;
    const char **names = mem_calloc(n + 1, sizeof *names);
    bool same = false;

    for (size_t i = r->links[parent].first; i != NO_NODE;
         i = r->links[i].next) {
        names[k++] = t->nodes[i].name;
    }
    qsort(names, k, sizeof *names, by_name);
    for (size_t i = 1; i < k && !same; i++) {
        same = strcmp(names[i - 1], names[i]) == 0;
    }
    free(names);
    return !same || fail(r, "a name stands twice in an object");
}

static bool read_value(struct reader *r, size_t node, unsigned depth);

static bool read_items(struct reader *r, size_t node, char end, unsigned depth)
{
    size_t last = NO_NODE;

    r->at++;
    blanks(r);
    if (peek(r) == end) {
        r->at++;
        return true;
    }
    for (;;) {
        const char *name = NULL;
        size_t child;
        blanks(r);
        if (end == '}') {
            if (!read_string(r, &name)) {
                return false;
            }
            blanks(r);
            if (peek(r) != ':') {
                return fail(r, "a ':' was expected");
            }
            r->at++;
        }
        if (!new_node(r, &child)) {
            return false;
        }
        r->tree->nodes[child].name = name;
        if (last == NO_NODE) {
            r->links[node].first = child;
        } else {
            r->links[last].next = child;
        }
        last = child;
        r->tree->nodes[node].count++;
        if (!read_value(r, child, depth + 1)) {
            return false;
        }
        blanks(r);
        if (peek(r) == end) {
            r->at++;
            return end != '}' || names_differ(r, node);
        }
        if (peek(r) != ',') {
            return fail(r, "a ',' or the end of a list was expected");
        }
        r->at++;
    }
}

static bool read_value(struct reader *r, size_t node, unsigned depth)
{
    struct json_node *n = &r->tree->nodes[node];

    if (depth > JSON_TREE_DEPTH_MAX) {
        return over(r, "nested too deeply");
    }
    blanks(r);
    switch (peek(r)) {
        case '{':
            n->kind = JSON_OBJECT;
            return read_items(r, node, '}', depth);
        case '[':
            n->kind = JSON_ARRAY;
            return read_items(r, node, ']', depth);
        case '"':
            n->kind = JSON_STRING;
            return read_string(r, &n->text);
        case 't':
            n->kind = JSON_TRUE;
            return word(r, "true");
        case 'f':
            n->kind = JSON_FALSE;
            return word(r, "false");
        case 'n':
            n->kind = JSON_NULL;
            return word(r, "null");
        default:
            n->kind = JSON_NUMBER;
            return read_number(r, &n->text);
    }
}

int json_tree_read(const void *p, size_t len, struct json_tree **out,
                   struct err *err)
{
    struct reader r = {.p = p, .len = len, .err = err};
    size_t root;

    if (len > JSON_TREE_BYTES_MAX) {
        return err_set(err, ERR_LIMIT, "JSON: over %d bytes",
                       JSON_TREE_BYTES_MAX);
    }
    if (!text_utf8(p, len)) {
        return err_set(err, ERR_BAD_INPUT, "JSON: not UTF-8");
    }
    r.tree = mem_alloc(sizeof *r.tree);
    r.tree->text = mem_alloc(len + 2); /* a bare number has no quotes */
    if (new_node(&r, &root) && read_value(&r, root, 0)) {
        blanks(&r);
        if (r.at != len) {
            fail(&r, "something behind the value");
        }
    }
    for (size_t i = 0; i < r.tree->count; i++) {
        struct link l = r.links[i];
        r.tree->nodes[i].first =
            l.first != NO_NODE ? &r.tree->nodes[l.first] : NULL;
        r.tree->nodes[i].next =
            l.next != NO_NODE ? &r.tree->nodes[l.next] : NULL;
    }
    free(r.links);
    if (r.rc != 0) {
        json_tree_free(r.tree);
        return r.rc;
    }
    *out = r.tree;
    return 0;
}

void json_tree_free(struct json_tree *t)
{
    if (t == NULL) {
        return;
    }
    free(t->nodes);
    free(t->text);
    free(t);
}

const struct json_node *json_tree_root(const struct json_tree *t)
{
    return t->nodes;
}

const struct json_node *json_tree_member(const struct json_node *n,
                                         const char *name)
{
    if (n->kind != JSON_OBJECT) {
        return NULL;
    }
    for (const struct json_node *m = n->first; m != NULL; m = m->next) {
        if (strcmp(m->name, name) == 0) {
            return m;
        }
    }
    return NULL;
}
