#include "fleet/edge_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "policy/json_tree.h"

#define BYTES_MIN ((uint64_t)4 << 20) /* four segments of the spool */
#define BYTES_MAX ((uint64_t)60 << 30)
#define OBJECTS_MAX 10000000
#define BUDGET_MIN ((uint64_t)1 << 20)

typedef int member_reader(struct edge_policy *p, const struct json_node *n,
                          struct err *err);

struct member {
    const char *name;
    member_reader *read;
};

static int bad(struct err *err, const char *name, const char *what)
{
    return err_set(err, ERR_BAD_INPUT, "%s: %s", name, what);
}

/* Fields with a dot between, as the operator would name them. */
static int under(struct err *err, int code, const char *name)
{
    char *colon = err != NULL ? strstr(err->text, ": ") : NULL;
    char text[ERR_TEXT_SIZE];

    if (colon == NULL) {
        return code;
    }
    snprintf(text, sizeof text, "%s", err->text);
    return err_set(err, code, "%s.%s", name, text);
}

/* ---- kinds of values ---- */

/* Bytes, as a number or as "64MiB". */
static bool take_size(const struct json_node *n, uint64_t min, uint64_t max,
                      uint64_t *out)
{
    uint64_t v;
    bool ok = (n->kind == JSON_NUMBER && text_u64(n->text, &v)) ||
              (n->kind == JSON_STRING && text_size(n->text, &v));

    if (ok && v >= min && v <= max) {
        *out = v;
        return true;
    }
    return false;
}

static bool take_number(const struct json_node *n, uint64_t min, uint64_t max,
                        uint64_t *out)
{
    return n->kind == JSON_NUMBER && take_size(n, min, max, out);
}

static bool take_order(const struct json_node *n, enum edge_order *out)
{
    if (n->kind == JSON_STRING && strcmp(n->text, "oldest") == 0) {
        *out = EDGE_ORDER_OLDEST;
    } else if (n->kind == JSON_STRING && strcmp(n->text, "newest") == 0) {
        *out = EDGE_ORDER_NEWEST;
    } else {
        return false;
    }
    return true;
}

static int take_members(const struct json_node *object,
                        const struct member *members, struct edge_policy *p,
                        const char *name, struct err *err)
{
    if (object->kind != JSON_OBJECT) {
        return bad(err, name, "not an object");
    }
    for (const struct json_node *n = object->first; n != NULL; n = n->next) {
        const struct member *m = members;
        int code;
        while (m->name != NULL && strcmp(m->name, n->name) != 0) {
            m++;
        }
        if (m->name == NULL) {
            return err_set(err, ERR_BAD_INPUT, "%.64s: not known", n->name);
        }
        code = m->read(p, n, err);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* ---- the spool ---- */

static int read_full(struct edge_policy *p, const struct json_node *n,
                     struct err *err)
{
    static const char *const names[] = {"refuse", "oldest", "class"};

    for (int i = 0; i < 3; i++) {
        if (n->kind == JSON_STRING && strcmp(n->text, names[i]) == 0) {
            p->when_full = (enum edge_full)(EDGE_FULL_REFUSE + i);
            return 0;
        }
    }
    return bad(err, n->name, "refuse, oldest or class");
}

static int read_bytes(struct edge_policy *p, const struct json_node *n,
                      struct err *err)
{
    return take_size(n, BYTES_MIN, BYTES_MAX, &p->max_bytes)
               ? 0
               : bad(err, n->name, "4MiB to 60GiB");
}

static int read_objects(struct edge_policy *p, const struct json_node *n,
                        struct err *err)
{
    return take_number(n, 1, OBJECTS_MAX, &p->max_objects)
               ? 0
               : bad(err, n->name, "a number from 1 to 10000000");
}

static int read_budget(struct edge_policy *p, const struct json_node *n,
                       struct err *err)
{
    return take_size(n, BUDGET_MIN, INT64_MAX, &p->flash_budget)
               ? 0
               : bad(err, n->name, "bytes a day, at least 1MiB");
}

static int read_zstd(struct edge_policy *p, const struct json_node *n,
                     struct err *err)
{
    if (n->kind != JSON_TRUE && n->kind != JSON_FALSE) {
        return bad(err, n->name, "true or false");
    }
    p->zstd_said = true;
    p->zstd = n->kind == JSON_TRUE;
    return 0;
}

/* ---- classes ---- */

static int read_class_member(struct edge_policy_class *c,
                             const struct json_node *n, struct err *err)
{
    uint64_t v;

    if (strcmp(n->name, "priority") == 0) {
        if (!take_number(n, 0, EDGE_CLASSES - 1, &v)) {
            return bad(err, n->name, "a number from 0 to 9");
        }
        c->priority = (uint8_t)v;
    } else if (strcmp(n->name, "reserved") == 0) {
        if (!take_number(n, 0, EDGE_RESERVED_MAX, &v)) {
            return bad(err, n->name, "percent of the spool, 0 to 90");
        }
        c->reserved = (uint8_t)v;
    } else if (strcmp(n->name, "order") == 0) {
        if (!take_order(n, &c->order)) {
            return bad(err, n->name, "oldest or newest");
        }
    } else if (strcmp(n->name, "deadline") == 0) {
        if (n->kind != JSON_STRING || !text_duration_ms(n->text, &v) ||
            v == 0) {
            return bad(err, n->name, "a time, as 30s, 10m, 24h or 7d");
        }
        c->deadline_ms = v;
    } else {
        return err_set(err, ERR_BAD_INPUT, "%.64s: not known", n->name);
    }
    return 0;
}

static int read_class(struct edge_policy *p, const struct json_node *n,
                      struct err *err)
{
    uint64_t number;

    if (!text_u64(n->name, &number) || number >= EDGE_CLASSES ||
        strlen(n->name) != 1) {
        return err_set(err, ERR_BAD_INPUT, "%.64s: not a class, 0 to 9",
                       n->name);
    }
    if (n->kind != JSON_OBJECT) {
        return bad(err, n->name, "not an object");
    }
    for (const struct json_node *m = n->first; m != NULL; m = m->next) {
        int code = read_class_member(&p->classes[number], m, err);
        if (code != 0) {
            return under(err, code, n->name);
        }
    }
    return 0;
}

static int read_classes(struct edge_policy *p, const struct json_node *n,
                        struct err *err)
{
    unsigned reserved = 0;

    if (n->kind != JSON_OBJECT) {
        return bad(err, n->name, "not an object");
    }
    for (const struct json_node *c = n->first; c != NULL; c = c->next) {
        int code = read_class(p, c, err);
        if (code != 0) {
            return under(err, code, n->name);
        }
    }
    for (size_t i = 0; i < EDGE_CLASSES; i++) {
        reserved += p->classes[i].reserved;
    }
    return reserved <= EDGE_RESERVED_MAX
               ? 0
               : bad(err, n->name, "over 90 percent are reserved");
}

/* ---- delivery ---- */

static int read_order(struct edge_policy *p, const struct json_node *n,
                      struct err *err)
{
    enum edge_order order;

    if (!take_order(n, &order)) {
        return bad(err, n->name, "oldest or newest");
    }
    for (size_t i = 0; i < EDGE_CLASSES; i++) {
        if (p->classes[i].order == EDGE_ORDER_UNSAID) {
            p->classes[i].order = order;
        }
    }
    return 0;
}

static int read_rate(struct edge_policy *p, const struct json_node *n,
                     struct err *err)
{
    if (!take_size(n, 0, INT64_MAX, &p->rate)) {
        return bad(err, n->name, "bytes a second, as 64K; 0: no bound");
    }
    p->rate_said = true;
    return 0;
}

bool edge_hours(const char *text, unsigned *from, unsigned *to)
{
    const char *dash = strchr(text, '-');
    uint64_t a, b;

    if (dash == NULL || !text_u64_n(text, (size_t)(dash - text), &a) ||
        !text_u64(dash + 1, &b) || a > 23 || b > 24 || a == b % 24) {
        return false;
    }
    *from = (unsigned)a;
    *to = (unsigned)(b % 24);
    return true;
}

static int read_hours(struct edge_policy *p, const struct json_node *n,
                      struct err *err)
{
    unsigned from, to;

    if (n->kind != JSON_STRING ||
        (n->text[0] != '\0' && !edge_hours(n->text, &from, &to))) {
        return bad(err, n->name, "two hours of the day (UTC), as \"22-6\"");
    }
    p->hours = mem_strdup(n->text);
    return 0;
}

static int read_metered_file(struct edge_policy *p, const struct json_node *n,
                             struct err *err)
{
    if (n->kind != JSON_STRING || n->text[0] != '/' ||
        strlen(n->text) > EDGE_PATH_MAX) {
        return bad(err, n->name, "the path of a file, from / on");
    }
    p->metered_file = mem_strdup(n->text);
    return 0;
}

static int read_metered_priority(struct edge_policy *p,
                                 const struct json_node *n, struct err *err)
{
    uint64_t v;

    if (!take_number(n, 0, EDGE_CLASSES - 1, &v)) {
        return bad(err, n->name, "a number from 0 to 9");
    }
    p->metered_class = (uint8_t)v;
    return 0;
}

static int read_metered(struct edge_policy *p, const struct json_node *n,
                        struct err *err)
{
    static const struct member members[] = {{"file", read_metered_file},
                                            {"priority", read_metered_priority},
                                            {NULL, NULL}};
    int code;

    p->metered_class = EDGE_CLASSES - 1;
    if (n->kind != JSON_OBJECT) {
        return bad(err, n->name, "not an object");
    }
    code = take_members(n, members, p, n->name, err);
    if (code != 0) {
        return under(err, code, n->name);
    }
    return p->metered_file != NULL
               ? 0
               : bad(err, "metered.file", "which file says so?");
}

/* ---- redaction ---- */

static int read_names(const struct json_node *n, bool small,
                      struct config_list *out, struct err *err)
{
    if (n->kind != JSON_ARRAY || n->count > EDGE_REDACT_MAX) {
        return bad(err, n->name, "a list of at most 32 names");
    }
    out->items = mem_calloc(n->count + 1, sizeof out->items[0]);
    for (const struct json_node *i = n->first; i != NULL; i = i->next) {
        size_t len = strlen(i->text);
        char *name;
        if (i->kind != JSON_STRING || len == 0 || len > EDGE_REDACT_NAME_MAX) {
            return bad(err, n->name, "a name has 1 to 128 bytes");
        }
        name = mem_strdup(i->text);
        for (char *c = name; small && *c != '\0'; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        }
        out->items[out->count++] = name;
    }
    return 0;
}

static int read_drop_metadata(struct edge_policy *p, const struct json_node *n,
                              struct err *err)
{
    return read_names(n, true, &p->drop_metadata, err);
}

static int read_drop_json(struct edge_policy *p, const struct json_node *n,
                          struct err *err)
{
    return read_names(n, false, &p->drop_json, err);
}

static int read_redact(struct edge_policy *p, const struct json_node *n,
                       struct err *err)
{
    static const struct member members[] = {{"metadata", read_drop_metadata},
                                            {"json", read_drop_json},
                                            {NULL, NULL}};
    int code;

    if (n->kind != JSON_OBJECT) {
        return bad(err, n->name, "not an object");
    }
    code = take_members(n, members, p, n->name, err);
    return code != 0 ? under(err, code, n->name) : 0;
}

/* ---- the whole ---- */

void edge_policy_init(struct edge_policy *p)
{
    *p = (struct edge_policy){.when_full = EDGE_FULL_UNSAID};
    for (size_t i = 0; i < EDGE_CLASSES; i++) {
        p->classes[i].priority = (uint8_t)i;
    }
}

static void free_list(struct config_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i]);
    }
    free(l->items);
}

void edge_policy_free(struct edge_policy *p)
{
    free(p->hours);
    free(p->metered_file);
    free_list(&p->drop_metadata);
    free_list(&p->drop_json);
    edge_policy_init(p);
}

static int read_policy(const struct json_node *root, struct edge_policy *out,
                       struct err *err)
{
    static const struct member members[] = {
        {"when_full", read_full},      {"max_bytes", read_bytes},
        {"max_objects", read_objects}, {"flash_budget", read_budget},
        {"classes", read_classes},     {"order", read_order},
        {"rate", read_rate},           {"hours", read_hours},
        {"metered", read_metered},     {"redact", read_redact},
        {"zstd", read_zstd},           {NULL, NULL}};
    struct edge_policy p;
    int code;

    edge_policy_init(&p);
    code = take_members(root, members, &p, "policy", err);
    if (code != 0) {
        edge_policy_free(&p);
        return code;
    }
    *out = p;
    return 0;
}

int edge_policy_read(const void *json, size_t len, struct edge_policy *out,
                     struct err *err)
{
    struct json_tree *tree = NULL;
    int code;

    if (len > EDGE_POLICY_MAX) {
        return err_set(err, ERR_LIMIT, "a policy has at most %u bytes",
                       EDGE_POLICY_MAX);
    }
    code = json_tree_read(json, len, &tree, err);
    if (code == 0) {
        code = read_policy(json_tree_root(tree), out, err);
        json_tree_free(tree);
    }
    return code;
}

void edge_policy_document(const char *device, uint64_t version,
                          const void *policy, size_t policy_len,
                          struct buf *out)
{
    buf_char(out, '{');
    put_json_member(out, "device", device, false);
    put_json_u64(out, "version", version, false);
    buf_str(out, "\"policy\":");
    buf_append(out, policy, policy_len);
    buf_char(out, '}');
}

static int open_root(const struct json_node *root, const char *device,
                     uint64_t *version, struct edge_policy *out,
                     struct err *err)
{
    const struct json_node *name = json_tree_member(root, "device");
    const struct json_node *number = json_tree_member(root, "version");
    const struct json_node *policy = json_tree_member(root, "policy");

    if (number == NULL || !take_number(number, 1, INT64_MAX, version)) {
        return err_set(err, ERR_BAD_INPUT, "version: a number from 1 on");
    }
    if (name == NULL || strcmp(name->text, device) != 0) {
        return err_set(err, ERR_DENIED, "device: it is for another one");
    }
    if (policy == NULL) {
        return err_set(err, ERR_BAD_INPUT, "policy: there is none");
    }
    return read_policy(policy, out, err);
}

int edge_policy_open(const void *document, size_t len, const char *device,
                     uint64_t *version, struct edge_policy *out,
                     struct err *err)
{
    struct json_tree *tree = NULL;
    int code;

    *version = 0;
    if (len > EDGE_POLICY_DOCUMENT_MAX) {
        return err_set(err, ERR_LIMIT, "a document has at most %u bytes",
                       EDGE_POLICY_DOCUMENT_MAX);
    }
    code = json_tree_read(document, len, &tree, err);
    if (code == 0) {
        code = open_root(json_tree_root(tree), device, version, out, err);
        json_tree_free(tree);
    }
    return code;
}
