#include "gateway/s3_cors.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/s3_config.h"
#include "gateway/s3_tree.h"
#include "gateway/s3_xml.h"

/* ---- lists ---- */

static void list_add(struct s3_cors_list *l, char *item)
{
    l->items = mem_realloc(l->items, (l->count + 1) * sizeof l->items[0]);
    l->items[l->count++] = item;
}

static void list_free(struct s3_cors_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i]);
    }
    free(l->items);
}

static int read_list(const struct s3_node *rule, const char *name,
                     struct s3_cors_list *out, struct err *err)
{
    const struct s3_node *n = s3_node_child(rule, name);
    int rc = 0;

    for (; n != NULL && rc == 0; n = s3_node_again(n)) {
        char *word = NULL;
        rc = s3_node_word(n, &word, err);
        if (rc == 0 && word[0] == '\0') {
            rc = err_set(err, ERR_BAD_INPUT, "%s is empty", name);
        }
        if (rc == 0) {
            list_add(out, word);
        } else {
            free(word);
        }
    }
    return rc;
}

/* ---- the rules of rules ---- */

bool s3_cors_method(const char *method)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE",
                                          "HEAD"};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* At most one '*' in each. */
static enum s3_error check_wildcards(const struct s3_cors_list *l,
                                     const char *name, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        const char *star = strchr(l->items[i], '*');
        if (star != NULL && strchr(star + 1, '*') != NULL) {
            err_set(err, ERR_BAD_INPUT,
                    "%s \"%.64s\" can not have more than one wildcard.", name,
                    l->items[i]);
            return S3_InvalidRequest;
        }
    }
    return S3_OK;
}

static enum s3_error check_rule(const struct s3_cors_rule *r, struct err *err)
{
    enum s3_error e;

    for (size_t i = 0; i < r->methods.count; i++) {
        if (!s3_cors_method(r->methods.items[i])) {
            err_set(err, ERR_BAD_INPUT,
                    "Found unsupported HTTP method in CORS config. "
                    "Unsupported method is %.32s",
                    r->methods.items[i]);
            return S3_InvalidRequest;
        }
    }
    for (size_t i = 0; i < r->expose.count; i++) {
        if (strchr(r->expose.items[i], '*') != NULL) {
            err_set(err, ERR_BAD_INPUT,
                    "ExposeHeader \"%.64s\" contains wildcard. We currently "
                    "do not support wildcard for ExposeHeader.",
                    r->expose.items[i]);
            return S3_InvalidRequest;
        }
    }
    if (r->id != NULL && strlen(r->id) > S3_CORS_ID_MAX) {
        err_set(err, ERR_BAD_INPUT,
                "ID length should not exceed allowed limit of 255");
        return S3_InvalidArgument;
    }
    e = check_wildcards(&r->origins, "AllowedOrigin", err);
    return e != S3_OK ? e : check_wildcards(&r->headers, "AllowedHeader", err);
}

/* ---- reading ---- */

/* What was read so far is @out's, on failure too. */
static int take_rule(const struct s3_node *n, struct s3_cors_rule *out,
                     struct err *err)
{
    static const char *const names[] = {"ID",
                                        "*!AllowedMethod",
                                        "*!AllowedOrigin",
                                        "*AllowedHeader",
                                        "*ExposeHeader",
                                        "MaxAgeSeconds",
                                        NULL};
    const struct s3_node *id = s3_node_child(n, "ID");
    const struct s3_node *age = s3_node_child(n, "MaxAgeSeconds");
    const char *text = "";
    int rc = s3_node_check(n, names, err);

    if (rc == 0 && id != NULL) {
        rc = s3_node_text(id, &text, err);
        out->id = rc == 0 ? mem_strdup(text) : NULL;
    }
    if (rc == 0) {
        rc = read_list(n, "AllowedMethod", &out->methods, err);
    }
    if (rc == 0) {
        rc = read_list(n, "AllowedOrigin", &out->origins, err);
    }
    if (rc == 0) {
        rc = read_list(n, "AllowedHeader", &out->headers, err);
    }
    if (rc == 0) {
        rc = read_list(n, "ExposeHeader", &out->expose, err);
    }
    if (rc == 0 && age != NULL) {
        out->has_max_age = true;
        rc = s3_node_u64(age, &out->max_age_s, err);
        if (rc == 0 && out->max_age_s > INT32_MAX) {
            rc = err_set(err, ERR_BAD_INPUT, "MaxAgeSeconds is too large");
        }
    }
    return rc;
}

static enum s3_error take_rules(const struct s3_node *root, struct s3_cors *out,
                                struct err *err)
{
    static const char *const names[] = {"*!CORSRule", NULL};
    const struct s3_node *n = s3_node_child(root, "CORSRule");

    if (s3_node_check(root, names, err) != 0) {
        return s3_config_malformed(err);
    }
    if (root->children > S3_CORS_RULES_MAX) {
        err_set(err, ERR_LIMIT,
                "The number of CORS rules should not exceed allowed limit of "
                "100 rules.");
        return S3_InvalidRequest;
    }
    out->rules = mem_calloc(root->children, sizeof out->rules[0]);
    for (; n != NULL; n = s3_node_again(n)) {
        struct s3_cors_rule *rule = &out->rules[out->count++];
        enum s3_error e;
        if (take_rule(n, rule, err) != 0) {
            return s3_config_malformed(err);
        }
        e = check_rule(rule, err);
        if (e != S3_OK) {
            return e;
        }
    }
    return S3_OK;
}

enum s3_error s3_cors_read(const void *p, size_t len, struct s3_cors *out,
                           struct err *err)
{
    struct s3_cors c = {0};
    struct s3_node *root;
    enum s3_error e;

    if (s3_tree_read(p, len, "CORSConfiguration", &root, err) != 0) {
        return s3_config_malformed(err);
    }
    e = take_rules(root, &c, err);
    s3_tree_free(root);
    if (e != S3_OK) {
        s3_cors_free(&c);
        return e;
    }
    *out = c;
    return S3_OK;
}

void s3_cors_free(struct s3_cors *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct s3_cors_rule *r = &c->rules[i];
        free(r->id);
        list_free(&r->headers);
        list_free(&r->methods);
        list_free(&r->origins);
        list_free(&r->expose);
    }
    free(c->rules);
    *c = (struct s3_cors){0};
}

/* ---- writing ---- */

static void write_list(const struct s3_cors_list *l, const char *name,
                       struct buf *out)
{
    for (size_t i = 0; i < l->count; i++) {
        xml_text(out, name, l->items[i]);
    }
}

void s3_cors_write(const struct s3_cors *c, struct buf *out)
{
    buf_str(out,
            "<CORSConfiguration "
            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < c->count; i++) {
        const struct s3_cors_rule *r = &c->rules[i];
        xml_open(out, "CORSRule");
        if (r->id != NULL) {
            xml_text(out, "ID", r->id);
        }
        write_list(&r->headers, "AllowedHeader", out);
        write_list(&r->methods, "AllowedMethod", out);
        write_list(&r->origins, "AllowedOrigin", out);
        write_list(&r->expose, "ExposeHeader", out);
        if (r->has_max_age) {
            xml_u64(out, "MaxAgeSeconds", r->max_age_s);
        }
        xml_close(out, "CORSRule");
    }
    xml_close(out, "CORSConfiguration");
}

enum s3_error s3_cors_judge(const void *p, size_t len, struct buf *out,
                            struct err *err)
{
    struct s3_cors c = {0};
    enum s3_error e = s3_cors_read(p, len, &c, err);

    if (e == S3_OK) {
        s3_cors_write(&c, out);
    }
    s3_cors_free(&c);
    return e;
}

/* ---- matching ---- */

typedef int compare_fn(const char *a, const char *b, size_t len);

static bool fits(const char *pattern, const char *text, size_t len,
                 compare_fn *compare)
{
    size_t head = strcspn(pattern, "*");
    size_t tail;

    if (pattern[head] == '\0') {
        return head == len && compare(pattern, text, len) == 0;
    }
    tail = strlen(pattern + head + 1);
    return len >= head + tail && compare(pattern, text, head) == 0 &&
           compare(pattern + head + 1, text + len - tail, tail) == 0;
}

static bool any_fits(const struct s3_cors_list *l, const char *text, size_t len,
                     compare_fn *compare)
{
    for (size_t i = 0; i < l->count; i++) {
        if (fits(l->items[i], text, len, compare)) {
            return true;
        }
    }
    return false;
}

/* A list of names with commas between. */
static bool headers_fit(const struct s3_cors_list *allowed, const char *p)
{
    while (*p != '\0') {
        size_t len, next;
        p += strspn(p, " \t");
        next = strcspn(p, ",");
        len = next;
        while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
            len--;
        }
        if (len > 0 && !any_fits(allowed, p, len, strncasecmp)) {
            return false;
        }
        p += next;
        p += *p == ',';
    }
    return true;
}

const struct s3_cors_rule *s3_cors_match(const struct s3_cors *c,
                                         const char *origin, const char *method,
                                         const char *headers)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct s3_cors_rule *r = &c->rules[i];
        if (any_fits(&r->origins, origin, strlen(origin), strncmp) &&
            any_fits(&r->methods, method, strlen(method), strncmp) &&
            (headers == NULL || headers_fit(&r->headers, headers))) {
            return r;
        }
    }
    return NULL;
}

bool s3_cors_any_origin(const struct s3_cors_rule *rule)
{
    for (size_t i = 0; i < rule->origins.count; i++) {
        if (strcmp(rule->origins.items[i], "*") == 0) {
            return true;
        }
    }
    return false;
}
