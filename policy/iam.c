#include "policy/iam.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "policy/condition.h"
#include "policy/json_tree.h"
#include "policy/pattern.h"

#define S3_ARN "arn:aws:s3:::"
#define USER_ARN "arn:aws:iam::"
#define ACTION_MAX 64  /* bytes of an action that are hashed */
#define KNOWN_MAX 256  /* conditions whose outcome a decision remembers */
#define SIEVE_MAX 1200 /* of a resource: every S3 name fits */

struct patterns {
    struct pattern *items;
    size_t count;
    bool negated; /* NotAction, NotResource */
};

enum who { EVERYONE, ACCOUNT, PRINCIPAL, CANONICAL, NOBODY };

struct principal {
    enum who who;
    char *id;
};

struct statement {
    bool deny;
    bool has_principal;
    bool not_principal;
    struct principal *principals;
    size_t principal_count;
    struct patterns actions, resources;
    size_t *conditions; /* indexes of the policy's */
    size_t condition_count;
};

/* Statements often share a condition: each is kept, and judged, once. */
struct shared {
    struct condition *condition;
    char *text; /* operator, key and values */
    uint32_t hash;
};

/* What rules a statement out without a look at it; the lengths 0: nothing. Of
 * statements with one action and one resource, as most have. */
struct sieve {
    uint32_t action, head, tail; /* hashes, pattern.h */
    uint16_t action_len, head_len, tail_len;
    uint16_t condition; /* index of its first one, plus 1; 0: none */
};

#define EXISTING_TAG "s3:ExistingObjectTag/"

struct iam_policy {
    struct statement *statements; /* as written */
    size_t count;
    struct sieve *sieves; /* as order */
    struct shared *shared;
    size_t shared_count;
    const struct statement **order; /* denials first */
    size_t denials;
    bool asks_for_tags;
};

struct reading {
    enum iam_kind kind;
    const char *bucket;
    bool vars;
    struct iam_policy *policy; /* that is being made */
    struct err *err;
};

static int refuse(const struct reading *r, const char *fmt, const char *what)
{
    return err_set(r->err, ERR_BAD_INPUT, fmt, what);
}

/* ---- reading ---- */

/* The first of a string or of an array of strings, and the rest by next. */
static const struct json_node *items_of(const struct json_node *n,
                                        size_t *count)
{
    *count = n->kind == JSON_ARRAY ? n->count : 1;
    return n->kind == JSON_ARRAY ? n->first : n;
}

static int check_action(const struct reading *r, const char *s)
{
    const char *colon = strchr(s, ':');

    if (strcmp(s, "*") == 0) {
        return 0;
    }
    if (colon == NULL || colon == s || colon[1] == '\0') {
        return refuse(r, "Policy has invalid action: \"%.80s\"", s);
    }
    if (r->kind == IAM_RESOURCE && strncasecmp(s, "s3:", 3) != 0) {
        return refuse(r, "Policy has invalid action: \"%.80s\"", s);
    }
    return 0;
}

static int check_resource(const struct reading *r, const char *s)
{
    size_t n = r->bucket != NULL ? strlen(r->bucket) : 0;
    const char *at;

    if (strcmp(s, "*") == 0) {
        return 0;
    }
    if (r->kind == IAM_IDENTITY) {
        return strncmp(s, "arn:", 4) == 0
                   ? 0
                   : refuse(r, "\"%.80s\" is neither \"*\" nor an ARN", s);
    }
    at = s + strlen(S3_ARN);
    if (strncmp(s, S3_ARN, strlen(S3_ARN)) != 0 ||
        (n > 0 && (strncmp(at, r->bucket, n) != 0 ||
                   (at[n] != '\0' && strchr("/*?", at[n]) == NULL)))) {
        return refuse(r, "Policy has invalid resource: \"%.80s\"", s);
    }
    return 0;
}

static char *lower(const char *s)
{
    char *copy = mem_strdup(s);

    for (char *c = copy; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    return copy;
}

static int read_patterns(const struct reading *r, const struct json_node *n,
                         bool action, struct patterns *out)
{
    int flags = PATTERN_WILD;
    size_t count;
    int rc = 0;

    flags |= !action && r->vars ? PATTERN_VARS : 0;
    n = items_of(n, &count);
    if (count == 0) {
        return refuse(r, "%s", "is empty");
    }
    out->items = mem_calloc(count, sizeof *out->items);
    for (size_t i = 0; i < count && rc == 0; i++, n = n->next) {
        if (n->kind != JSON_STRING) {
            return refuse(r, "%s", "is neither text nor an array of texts");
        }
        rc = action ? check_action(r, n->text) : check_resource(r, n->text);
        if (rc == 0) {
            char *text = action ? lower(n->text) : mem_strdup(n->text);
            rc = pattern_make(&out->items[i], text, flags, r->err);
            free(text);
        }
        if (rc == 0) {
            out->count++;
        }
    }
    return rc;
}

static bool all_digits(const char *s, size_t len)
{
    return strspn(s, "0123456789") >= len;
}

/* "*", an account (12 digits or its :root), or the ARN of one principal. */
static int read_aws(const struct reading *r, const char *s,
                    struct principal *out)
{
    size_t head = strlen(USER_ARN);

    if (strcmp(s, "*") == 0) {
        out->who = EVERYONE;
    } else if (strlen(s) == 12 && all_digits(s, 12)) {
        *out = (struct principal){ACCOUNT, mem_strdup(s)};
    } else if (strncmp(s, USER_ARN, head) == 0 && strlen(s) > head + 13 &&
               all_digits(s + head, 12) && s[head + 12] == ':') {
        const char *rest = s + head + 13;
        if (strcmp(rest, "root") == 0) {
            *out = (struct principal){ACCOUNT, mem_strndup(s + head, 12)};
        } else if (strpbrk(rest, "*?") == NULL && strchr(rest, '/') != NULL) {
            *out = (struct principal){PRINCIPAL, mem_strdup(s)};
        } else {
            return refuse(r, "Invalid principal in policy: \"%.80s\"", s);
        }
    } else if (strncmp(s, USER_ARN ":user/", head + 6) == 0 &&
               s[head + 6] != '\0' && strpbrk(s, "*?") == NULL) {
        *out = (struct principal){PRINCIPAL, mem_strdup(s)}; /* no account */
    } else if (strncmp(s, "arn:aws:sts::", 13) == 0 &&
               strpbrk(s, "*?") == NULL) {
        *out = (struct principal){PRINCIPAL, mem_strdup(s)};
    } else {
        return refuse(r, "Invalid principal in policy: \"%.80s\"", s);
    }
    return 0;
}

static int read_principal_kind(const struct reading *r,
                               const struct json_node *kind,
                               struct statement *s)
{
    size_t count;
    const struct json_node *n = items_of(kind, &count);
    int rc = 0;

    if (count == 0) {
        return refuse(r, "%s", "Invalid principal in policy: it is empty");
    }
    s->principals = mem_realloc(
        s->principals, (s->principal_count + count) * sizeof *s->principals);
    for (; n != NULL && count > 0 && rc == 0; n = n->next, count--) {
        struct principal p = {NOBODY, NULL};
        if (n->kind != JSON_STRING) {
            return refuse(r, "%s", "Invalid principal in policy: not a text");
        }
        if (strcmp(kind->name, "AWS") == 0) {
            rc = read_aws(r, n->text, &p);
        } else if (strcmp(kind->name, "CanonicalUser") == 0) {
            p = (struct principal){CANONICAL, mem_strdup(n->text)};
        } else if (strcmp(kind->name, "Service") != 0 &&
                   strcmp(kind->name, "Federated") != 0) {
            rc =
                refuse(r, "Invalid principal in policy: \"%.80s\"", kind->name);
        }
        if (rc == 0) {
            s->principals[s->principal_count++] = p;
        }
    }
    return rc;
}

static int read_principal(const struct reading *r, const struct json_node *n,
                          struct statement *s)
{
    int rc = 0;

    s->has_principal = true;
    if (n->kind == JSON_STRING && strcmp(n->text, "*") == 0) {
        s->principals = mem_alloc(sizeof *s->principals);
        s->principals[s->principal_count++] =
            (struct principal){EVERYONE, NULL};
        return 0;
    }
    if (n->kind != JSON_OBJECT || n->count == 0) {
        return refuse(r, "%s",
                      "Invalid principal in policy: neither \"*\" nor an "
                      "object");
    }
    for (const struct json_node *k = n->first; k != NULL && rc == 0;
         k = k->next) {
        rc = read_principal_kind(r, k, s);
    }
    return rc;
}

/* What makes conditions the same; free(). Lengths keep values apart. */
static char *condition_text(const char *op, const struct json_node *k,
                            uint32_t *hash)
{
    struct buf b = {0};
    size_t count;
    const struct json_node *n = items_of(k, &count);

    buf_printf(&b, "%zu:%s%zu:%s", strlen(op), op, strlen(k->name), k->name);
    for (; count > 0; count--, n = n->next) {
        buf_printf(&b, "%d:%zu:%s", (int)n->kind, strlen(n->text), n->text);
    }
    *hash = PATTERN_HASH_START;
    for (size_t i = 0; i < b.len; i++) {
        *hash = pattern_hash_step(*hash, b.data[i]);
    }
    return (char *)buf_take(&b, &count);
}

static int share_condition(const struct reading *r, const char *op,
                           const struct json_node *k, size_t *out)
{
    struct iam_policy *p = r->policy;
    struct shared s = {0};
    int rc;

    s.text = condition_text(op, k, &s.hash);
    for (size_t i = 0; i < p->shared_count; i++) {
        if (p->shared[i].hash == s.hash &&
            strcmp(p->shared[i].text, s.text) == 0) {
            free(s.text);
            *out = i;
            return 0;
        }
    }
    rc = condition_make(op, k->name, k, r->vars, &s.condition, r->err);
    if (rc != 0) {
        free(s.text);
        return rc;
    }
    p->shared =
        mem_realloc(p->shared, (p->shared_count + 1) * sizeof *p->shared);
    *out = p->shared_count;
    p->shared[p->shared_count++] = s;
    return 0;
}

static int read_conditions(const struct reading *r, const struct json_node *n,
                           struct statement *s)
{
    int rc = 0;

    if (n->kind != JSON_OBJECT) {
        return refuse(r, "%s", "is no object");
    }
    for (const struct json_node *op = n->first; op != NULL; op = op->next) {
        if (op->kind != JSON_OBJECT) {
            return refuse(r, "\"%.80s\" is no object", op->name);
        }
        for (const struct json_node *k = op->first; k != NULL; k = k->next) {
            size_t c;
            rc = share_condition(r, op->name, k, &c);
            if (rc != 0) {
                return err_wrap(r->err, rc, "%.80s.%.80s", op->name, k->name);
            }
            s->conditions =
                mem_realloc(s->conditions,
                            (s->condition_count + 1) * sizeof *s->conditions);
            s->conditions[s->condition_count++] = c;
        }
    }
    return 0;
}

static int read_element(const struct reading *r, const struct json_node *n,
                        struct statement *s, bool *has_effect)
{
    bool negated = strncmp(n->name, "Not", 3) == 0;
    const char *base = negated ? n->name + 3 : n->name;

    if (strcmp(n->name, "Sid") == 0) {
        return n->kind == JSON_STRING ? 0 : refuse(r, "%s", "is no text");
    }
    if (strcmp(n->name, "Effect") == 0) {
        s->deny = strcmp(n->text, "Deny") == 0;
        *has_effect = true;
        return n->kind == JSON_STRING &&
                       (s->deny || strcmp(n->text, "Allow") == 0)
                   ? 0
                   : refuse(r, "Invalid effect: %.80s", n->text);
    }
    if (strcmp(n->name, "Condition") == 0) {
        return read_conditions(r, n, s);
    }
    if (strcmp(base, "Principal") == 0) {
        if (r->kind == IAM_IDENTITY) {
            return refuse(r, "%s", "stands in policies of buckets only");
        }
        if (s->has_principal) {
            return refuse(r, "%s", "Principal and NotPrincipal exclude");
        }
        s->not_principal = negated;
        return read_principal(r, n, s);
    }
    if (strcmp(base, "Action") == 0 || strcmp(base, "Resource") == 0) {
        bool action = base[0] == 'A';
        struct patterns *p = action ? &s->actions : &s->resources;
        if (p->items != NULL) {
            return refuse(r, "%s", "the element and its Not... exclude");
        }
        p->negated = negated;
        return read_patterns(r, n, action, p);
    }
    return refuse(r, "%s", "Unknown field");
}

static int read_statement(const struct reading *r, const struct json_node *n,
                          struct statement *s)
{
    const char *missing = NULL;
    bool has_effect = false;

    if (n->kind != JSON_OBJECT) {
        return refuse(r, "%s", "is no object");
    }
    for (const struct json_node *e = n->first; e != NULL; e = e->next) {
        int rc = read_element(r, e, s, &has_effect);
        if (rc != 0) {
            return err_wrap(r->err, rc, "%.80s", e->name);
        }
    }
    missing = !has_effect                ? "Effect"
              : s->actions.items == NULL ? "Action"
              : s->resources.items == NULL
                  ? "Resource"
                  : (r->kind == IAM_RESOURCE && !s->has_principal ? "Principal"
                                                                  : NULL);
    return missing == NULL ? 0
                           : refuse(r, "Missing required field %s", missing);
}

static int read_version(struct reading *r, const struct json_node *n)
{
    if (n->kind == JSON_STRING && strcmp(n->text, "2012-10-17") == 0) {
        r->vars = true;
        return 0;
    }
    return n->kind == JSON_STRING && strcmp(n->text, "2008-10-17") == 0
               ? 0
               : refuse(r,
                        "Version: \"%.80s\" is neither 2012-10-17 nor "
                        "2008-10-17",
                        n->text);
}

/* The elements of the top; the version first, as it says how to read. */
static int read_top(struct reading *r, const struct json_node *root,
                    const struct json_node **statement)
{
    int rc = 0;

    if (root->kind != JSON_OBJECT) {
        return refuse(r, "%s", "the policy is no JSON object");
    }
    for (const struct json_node *e = root->first; e != NULL && rc == 0;
         e = e->next) {
        if (strcmp(e->name, "Version") == 0) {
            rc = read_version(r, e);
        } else if (strcmp(e->name, "Statement") == 0) {
            *statement = e;
        } else if (strcmp(e->name, "Id") != 0) {
            rc = refuse(r, "%.80s: Unknown field", e->name);
        } else if (e->kind != JSON_STRING) {
            rc = refuse(r, "%s", "Id: is no text");
        }
    }
    if (rc == 0 && (*statement == NULL || ((*statement)->kind == JSON_ARRAY &&
                                           (*statement)->count == 0))) {
        rc = refuse(r, "%s", "Missing required field Statement");
    }
    return rc;
}

static struct sieve sieve_of(const struct statement *s)
{
    struct sieve v = {.action = PATTERN_HASH_START,
                      .head = PATTERN_HASH_START,
                      .tail = PATTERN_HASH_START};

    if (s->actions.count == 1 && !s->actions.negated) {
        v.action = pattern_head_hash(&s->actions.items[0]);
        v.action_len = (uint16_t)s->actions.items[0].literal_len;
    }
    if (s->resources.count == 1 && !s->resources.negated) {
        v.head = pattern_head_hash(&s->resources.items[0]);
        v.head_len = (uint16_t)s->resources.items[0].literal_len;
        v.tail = pattern_tail_hash(&s->resources.items[0]);
        v.tail_len = (uint16_t)s->resources.items[0].tail_len;
    }
    if (s->condition_count > 0 && s->conditions[0] < KNOWN_MAX) {
        v.condition = (uint16_t)(s->conditions[0] + 1);
    }
    return v;
}

static void put_denials_first(struct iam_policy *p)
{
    size_t n = 0;

    p->order = mem_calloc(p->count + 1, sizeof *p->order);
    p->sieves = mem_calloc(p->count + 1, sizeof *p->sieves);
    for (int deny = 1; deny >= 0; deny--) {
        for (size_t i = 0; i < p->count; i++) {
            if (p->statements[i].deny == (deny == 1)) {
                p->sieves[n] = sieve_of(&p->statements[i]);
                p->order[n++] = &p->statements[i];
            }
        }
        p->denials = deny == 1 ? n : p->denials;
    }
}

/* Does the document name such tags anywhere? */
static bool names_tags(const struct json_node *n)
{
    bool found = (n->name != NULL && strcasestr(n->name, EXISTING_TAG)) ||
                 strcasestr(n->text, EXISTING_TAG) != NULL;

    for (n = n->first; n != NULL && !found; n = n->next) {
        found = names_tags(n);
    }
    return found;
}

int iam_read(enum iam_kind kind, const char *bucket, const void *bytes,
             size_t len, struct iam_policy **out, struct err *err)
{
    struct reading r = {kind, bucket, false, NULL, err};
    size_t max =
        kind == IAM_RESOURCE ? IAM_RESOURCE_BYTES_MAX : IAM_IDENTITY_BYTES_MAX;
    const struct json_node *n = NULL;
    struct iam_policy *p;
    struct json_tree *tree;
    size_t count;
    int rc;

    if (len > max) {
        return err_set(err, ERR_LIMIT, "the policy is over %zu bytes", max);
    }
    rc = json_tree_read(bytes, len, &tree, err);
    if (rc != 0) {
        return err_wrap(err, rc, "Policies must be valid JSON");
    }
    p = mem_alloc(sizeof *p);
    r.policy = p;
    p->asks_for_tags = names_tags(json_tree_root(tree));
    rc = read_top(&r, json_tree_root(tree), &n);
    if (rc == 0) {
        n = items_of(n, &count);
        p->statements = mem_calloc(count, sizeof *p->statements);
        for (size_t i = 0; i < count && rc == 0; i++, n = n->next) {
            p->count++; /* freed even when half read */
            rc = read_statement(&r, n, &p->statements[i]);
            if (rc != 0) {
                err_wrap(err, rc, "Statement[%zu]", i);
            }
        }
    }
    json_tree_free(tree);
    if (rc != 0) {
        iam_free(p);
        return rc;
    }
    put_denials_first(p);
    *out = p;
    return 0;
}

bool iam_asks_for_tags(const struct iam_policy *p)
{
    return p != NULL && p->asks_for_tags;
}

static void free_patterns(struct patterns *p)
{
    for (size_t i = 0; i < p->count; i++) {
        pattern_free(&p->items[i]);
    }
    free(p->items);
}

void iam_free(struct iam_policy *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        struct statement *s = &p->statements[i];
        for (size_t k = 0; k < s->principal_count; k++) {
            free(s->principals[k].id);
        }
        free(s->principals);
        free_patterns(&s->actions);
        free_patterns(&s->resources);
        free(s->conditions);
    }
    for (size_t i = 0; i < p->shared_count; i++) {
        condition_free(p->shared[i].condition);
        free(p->shared[i].text);
    }
    free(p->shared);
    free(p->statements);
    free(p->order);
    free(p->sieves);
    free(p);
}

/* ---- judging ---- */

enum known { NOT_YET, HOLDS, FAILS };

struct asked {
    const struct iam_request *q;
    size_t action_len, resource_len;
    bool unknown; /* a variable without value stood in a negated place */
    const struct iam_policy *policy;
    struct condition_cache cache;
    uint8_t known[KNOWN_MAX]; /* of the first conditions: enum known */
    /* Hash of the first, or last, so many bytes. */
    uint32_t action[ACTION_MAX + 1];
    uint32_t head[SIEVE_MAX + 1], tail[SIEVE_MAX + 1];
    size_t action_max, resource_max; /* bytes that were hashed */
};

static const char *value_of(void *arg, const char *key)
{
    const struct iam_request *q = arg;

    for (size_t i = 0; i < q->key_count; i++) {
        if (strcmp(q->keys[i].name, key) == 0) {
            return q->keys[i].count == 1 ? q->keys[i].values[0] : NULL;
        }
    }
    return NULL;
}

static bool same(const char *a, const char *b)
{
    return b != NULL && b[0] != '\0' && strcmp(a, b) == 0;
}

static bool who_matches(const struct statement *s, const struct iam_request *q)
{
    bool hit = false;

    for (size_t i = 0; i < s->principal_count && !hit; i++) {
        const struct principal *p = &s->principals[i];
        hit = p->who == EVERYONE ||
              (p->who == ACCOUNT && same(p->id, q->account)) ||
              (p->who == PRINCIPAL && (same(p->id, q->principal) ||
                                       same(p->id, q->short_principal))) ||
              (p->who == CANONICAL && same(p->id, q->canonical));
    }
    return hit != s->not_principal;
}

static bool what_matches(const struct patterns *p, struct asked *a,
                         const char *s, size_t len)
{
    bool open = false;
    bool hit = false;

    for (size_t i = 0; i < p->count && !hit; i++) {
        hit =
            pattern_match(&p->items[i], s, len, value_of, (void *)a->q, &open);
    }
    a->unknown = a->unknown || (open && p->negated && !hit);
    return hit != p->negated;
}

static bool holds(size_t i, struct asked *a)
{
    bool open = false;
    bool yes;

    if (i < KNOWN_MAX && a->known[i] != NOT_YET) {
        return a->known[i] == HOLDS;
    }
    yes = condition_holds(a->policy->shared[i].condition, a->q, &a->cache,
                          value_of, (void *)a->q, &open);
    a->unknown = a->unknown || open;
    if (i < KNOWN_MAX && !open) {
        a->known[i] = yes ? HOLDS : FAILS;
    }
    return yes;
}

static bool applies(const struct statement *s, struct asked *a)
{
    a->unknown = false;
    if (!what_matches(&s->actions, a, a->q->action, a->action_len) ||
        !what_matches(&s->resources, a, a->q->resource, a->resource_len) ||
        (s->has_principal && !who_matches(s, a->q))) {
        return false;
    }
    for (size_t i = 0; i < s->condition_count; i++) {
        if (!holds(s->conditions[i], a)) {
            return false;
        }
    }
    return s->deny || !a->unknown;
}

/* Hash every beginning of @s up to @max bytes, or with @back every end. */
static size_t hash_all(uint32_t *out, const char *s, size_t len, size_t max,
                       bool back)
{
    size_t n = len < max ? len : max;

    out[0] = PATTERN_HASH_START;
    for (size_t i = 0; i < n; i++) {
        out[i + 1] =
            pattern_hash_step(out[i], (uint8_t)s[back ? len - 1 - i : i]);
    }
    return n;
}

/* May the statement behind @v apply? What is longer than was hashed may. */
static bool passes(const struct sieve *v, const struct asked *a)
{
    if (v->condition > 0 && a->known[v->condition - 1] == FAILS) {
        return false;
    }
    if (v->action_len <= a->action_max ? v->action != a->action[v->action_len]
                                       : v->action_len > a->action_len) {
        return false;
    }
    if (v->head_len <= a->resource_max ? v->head != a->head[v->head_len]
                                       : v->head_len > a->resource_len) {
        return false;
    }
    return v->tail_len <= a->resource_max ? v->tail == a->tail[v->tail_len]
                                          : v->tail_len <= a->resource_len;
}

enum iam_effect iam_judge(const struct iam_policy *p,
                          const struct iam_request *q)
{
    struct asked a;

    a.q = q;
    a.policy = p;
    memset(a.known, NOT_YET, sizeof a.known);
    a.action_len = strlen(q->action);
    a.resource_len = strlen(q->resource);
    a.cache = (struct condition_cache){0};
    a.action_max =
        hash_all(a.action, q->action, a.action_len, ACTION_MAX, false);
    a.resource_max =
        hash_all(a.head, q->resource, a.resource_len, SIEVE_MAX, false);
    hash_all(a.tail, q->resource, a.resource_len, SIEVE_MAX, true);
    for (size_t i = 0; i < p->count; i++) {
        if (passes(&p->sieves[i], &a) && applies(p->order[i], &a)) {
            return i < p->denials ? IAM_DENY : IAM_ALLOW;
        }
    }
    return IAM_NOTHING;
}

bool iam_is_public(const struct iam_policy *p)
{
    for (size_t i = p->denials; i < p->count; i++) {
        const struct statement *s = p->order[i];
        bool open = s->not_principal;
        for (size_t k = 0; k < s->principal_count && !open; k++) {
            open = s->principals[k].who == EVERYONE;
        }
        for (size_t k = 0; k < s->condition_count && open; k++) {
            open = !condition_confines(p->shared[s->conditions[k]].condition);
        }
        if (open) {
            return true;
        }
    }
    return false;
}
