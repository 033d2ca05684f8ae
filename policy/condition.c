#include "policy/condition.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "policy/json_tree.h"

#define VALUES_MAX 1024
#define ARN_PARTS 6

enum family { STRING, NUMERIC, DATE, BOOL, IP, ARN, IS_NULL };
enum order { EQ, LT, LE, GT, GE };
enum set { ONE_VALUE, ANY_VALUE, ALL_VALUES };

static const struct operator
{
    const char *name;
    enum family family;
    enum order order;
    bool negated;
    int flags; /* PATTERN_* */
}
operators[] = {
    {"StringEquals", STRING, EQ, false, 0},
    {"StringNotEquals", STRING, EQ, true, 0},
    {"StringEqualsIgnoreCase", STRING, EQ, false, PATTERN_FOLD},
    {"StringNotEqualsIgnoreCase", STRING, EQ, true, PATTERN_FOLD},
    {"StringLike", STRING, EQ, false, PATTERN_WILD},
    {"StringNotLike", STRING, EQ, true, PATTERN_WILD},
    {"BinaryEquals", STRING, EQ, false, 0},
    {"NumericEquals", NUMERIC, EQ, false, 0},
    {"NumericNotEquals", NUMERIC, EQ, true, 0},
    {"NumericLessThan", NUMERIC, LT, false, 0},
    {"NumericLessThanEquals", NUMERIC, LE, false, 0},
    {"NumericGreaterThan", NUMERIC, GT, false, 0},
    {"NumericGreaterThanEquals", NUMERIC, GE, false, 0},
    {"DateEquals", DATE, EQ, false, 0},
    {"DateNotEquals", DATE, EQ, true, 0},
    {"DateLessThan", DATE, LT, false, 0},
    {"DateLessThanEquals", DATE, LE, false, 0},
    {"DateGreaterThan", DATE, GT, false, 0},
    {"DateGreaterThanEquals", DATE, GE, false, 0},
    {"Bool", BOOL, EQ, false, 0},
    {"IpAddress", IP, EQ, false, 0},
    {"NotIpAddress", IP, EQ, true, 0},
    {"ArnEquals", ARN, EQ, false, PATTERN_WILD},
    {"ArnLike", ARN, EQ, false, PATTERN_WILD},
    {"ArnNotEquals", ARN, EQ, true, PATTERN_WILD},
    {"ArnNotLike", ARN, EQ, true, PATTERN_WILD},
    {"Null", IS_NULL, EQ, false, 0},
};

struct value {
    struct pattern pattern[ARN_PARTS]; /* STRING: the first; ARN: all */
    double number;                     /* NUMERIC, and DATE in seconds */
    bool truth;                        /* BOOL, IS_NULL */
    struct condition_ip ip;
};

struct condition {
    const struct operator* op;
    enum set set;
    bool if_exists;
    char *key; /* in lower case */
    struct value *values;
    size_t count;
};

static bool parse_number(const char *s, double *out)
{
    char *end;

    if (*s == '\0' || strspn(s, "0123456789.+-eE") != strlen(s)) {
        return false;
    }
    *out = strtod(s, &end);
    return *end == '\0';
}

/* ISO 8601, a day or a time in UTC, or seconds since 1970. */
static bool parse_date(const char *s, double *out)
{
    char full[40];
    uint64_t ms;

    if (strlen(s) == 10 && s[4] == '-') {
        snprintf(full, sizeof full, "%sT00:00:00Z", s);
        s = full;
    }
    if (text_parse_iso8601(s, &ms)) {
        *out = (double)ms / 1000;
        return true;
    }
    return strchr(s, '-') == NULL && parse_number(s, out);
}

static bool parse_ip(const char *s, struct condition_ip *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[64];
    const char *slash = strchr(s, '/');
    size_t len = slash != NULL ? (size_t)(slash - s) : strlen(s);
    uint64_t bits;
    unsigned all;

    if (len >= sizeof text) {
        return false;
    }
    memcpy(text, s, len);
    text[len] = '\0';
    *out =
        (struct condition_ip){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(out->family, text, out->bytes) != 1) {
        return false;
    }
    all = out->family == AF_INET ? 32 : 128;
    bits = all;
    if (slash != NULL && (!text_u64(slash + 1, &bits) || bits > all)) {
        return false;
    }
    out->bits = (unsigned)bits;
    if (out->family == AF_INET6 && bits >= 96 &&
        memcmp(out->bytes, mapped, sizeof mapped) == 0) {
        memmove(out->bytes, out->bytes + 12, 4);
        out->family = AF_INET;
        out->bits -= 96;
    }
    return true;
}

static bool ip_within(const struct condition_ip *net,
                      const struct condition_ip *a)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (net->family != a->family || a->bits < net->bits ||
        memcmp(net->bytes, a->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 ||
           ((net->bytes[whole] ^ a->bytes[whole]) >> (8 - rest)) == 0;
}

/* The @i-th of the six parts of an ARN, the last with all that follows. */
static bool arn_part(const char *s, unsigned i, const char **part, size_t *len)
{
    const char *colon = s;

    for (unsigned k = 0; k < i; k++) {
        colon = strchr(s, ':');
        if (colon == NULL) {
            return false;
        }
        s = colon + 1;
    }
    colon = i + 1 < ARN_PARTS ? strchr(s, ':') : NULL;
    if (i + 1 < ARN_PARTS && colon == NULL) {
        return false;
    }
    *part = s;
    *len = colon != NULL ? (size_t)(colon - s) : strlen(s);
    return true;
}

/* "*" is every ARN. */
static int make_arn(struct value *v, const char *s, int flags, struct err *err)
{
    int rc = 0;

    if (strcmp(s, "*") == 0) {
        s = "*:*:*:*:*:*";
    }
    for (unsigned i = 0; i < ARN_PARTS && rc == 0; i++) {
        const char *part;
        size_t len;
        char *copy;
        if (!arn_part(s, i, &part, &len)) {
            return err_set(err, ERR_BAD_INPUT, "\"%.80s\" is no ARN", s);
        }
        copy = mem_strndup(part, len);
        rc = pattern_make(&v->pattern[i], copy, flags, err);
        free(copy);
    }
    return rc;
}

static int make_value(const struct operator* op, struct value *v, const char *s,
                      bool vars, struct err *err)
{
    int flags = op->flags | (vars ? PATTERN_VARS : 0);
    const char *what = NULL;

    switch (op->family) {
        case STRING:
            return pattern_make(&v->pattern[0], s, flags, err);
        case ARN:
            return make_arn(v, s, flags, err);
        case NUMERIC:
            what = parse_number(s, &v->number) ? NULL : "a number";
            break;
        case DATE:
            what = parse_date(s, &v->number) ? NULL : "a date";
            break;
        case IP:
            what = parse_ip(s, &v->ip) ? NULL : "an IP address or network";
            break;
        case BOOL:
        case IS_NULL:
            v->truth = text_ieq(s, "true");
            what = v->truth || text_ieq(s, "false") ? NULL : "true or false";
            break;
    }
    return what == NULL
               ? 0
               : err_set(err, ERR_BAD_INPUT, "\"%.80s\" is not %s", s, what);
}

static int find_operator(const char *name, struct condition *c, struct err *err)
{
    static const char suffix[] = "IfExists";
    const char *s = name;
    size_t len;

    if (text_starts(s, "ForAllValues:")) {
        c->set = ALL_VALUES;
        s += strlen("ForAllValues:");
    } else if (text_starts(s, "ForAnyValue:")) {
        c->set = ANY_VALUE;
        s += strlen("ForAnyValue:");
    }
    len = strlen(s);
    if (len > strlen(suffix) && strcmp(s + len - strlen(suffix), suffix) == 0) {
        c->if_exists = true;
        len -= strlen(suffix);
    }
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strlen(operators[i].name) == len &&
            memcmp(operators[i].name, s, len) == 0) {
            c->op = &operators[i];
        }
    }
    if (c->op == NULL ||
        (c->op->family == IS_NULL && (c->if_exists || c->set != ONE_VALUE))) {
        return err_set(err, ERR_BAD_INPUT, "Invalid Condition type : %.80s",
                       name);
    }
    return 0;
}

static int add_value(struct condition *c, const struct json_node *n, bool vars,
                     struct err *err)
{
    const char *s = n->text;
    int rc;

    if (n->kind == JSON_TRUE || n->kind == JSON_FALSE) {
        s = n->kind == JSON_TRUE ? "true" : "false";
    } else if (n->kind != JSON_STRING && n->kind != JSON_NUMBER) {
        return err_set(err, ERR_BAD_INPUT, "a value is no text");
    }
    rc = make_value(c->op, &c->values[c->count], s, vars, err);
    c->count++; /* freed even when half made */
    return rc;
}

int condition_make(const char *operator, const char * key,
                   const struct json_node *values, bool vars,
                   struct condition **out, struct err *err)
{
    struct condition *c = mem_alloc(sizeof *c);
    bool list = values->kind == JSON_ARRAY;
    size_t n = list ? values->count : 1;
    int rc = find_operator(operator, c, err);

    if (rc == 0 && strchr(key, ':') == NULL) {
        rc = err_set(err, ERR_BAD_INPUT, "\"%.80s\" is no condition key", key);
    }
    if (rc == 0 && (n == 0 || n > VALUES_MAX)) {
        rc = err_set(err, n == 0 ? ERR_BAD_INPUT : ERR_LIMIT,
                     "has %zu values, 1 to %d are allowed", n, VALUES_MAX);
    }
    if (rc != 0) {
        condition_free(c);
        return rc;
    }
    c->key = mem_strdup(key);
    for (char *p = c->key; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    c->values = mem_calloc(n, sizeof *c->values);
    for (const struct json_node *v = list ? values->first : values;
         v != NULL && rc == 0; v = list ? v->next : NULL) {
        rc = add_value(c, v, vars, err);
    }
    if (rc != 0) {
        condition_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void condition_free(struct condition *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        for (unsigned k = 0; k < ARN_PARTS; k++) {
            pattern_free(&c->values[i].pattern[k]);
        }
    }
    free(c->values);
    free(c->key);
    free(c);
}

static bool ordered(enum order order, double a, double b)
{
    switch (order) {
        case LT:
            return a < b;
        case LE:
            return a <= b;
        case GT:
            return a > b;
        case GE:
            return a >= b;
        default:
            return a == b;
    }
}

/* What the context says, against one value of the policy. */
static bool match_one(const struct operator* op, const struct value *v,
                      const char *s, struct condition_cache *cache,
                      pattern_value_fn *value, void *arg, bool *unknown)
{
    double d;

    switch (op->family) {
        case STRING:
            return pattern_match(&v->pattern[0], s, strlen(s), value, arg,
                                 unknown);
        case ARN:
            for (unsigned i = 0; i < ARN_PARTS; i++) {
                const char *part;
                size_t len;
                if (!arn_part(s, i, &part, &len) ||
                    !pattern_match(&v->pattern[i], part, len, value, arg,
                                   unknown)) {
                    return false;
                }
            }
            return true;
        case NUMERIC:
            return parse_number(s, &d) && ordered(op->order, d, v->number);
        case DATE:
            return parse_date(s, &d) && ordered(op->order, d, v->number);
        case IP:
            if (cache->ip_text != s) {
                cache->ip_text = s;
                cache->ip_good = parse_ip(s, &cache->ip);
            }
            return cache->ip_good && ip_within(&v->ip, &cache->ip);
        case BOOL:
            return v->truth ? text_ieq(s, "true") : text_ieq(s, "false");
        default:
            return false;
    }
}

static const struct iam_key *find_key(const struct iam_request *q,
                                      struct condition_cache *cache,
                                      const char *name)
{
    if (cache->key != NULL && strcmp(cache->key, name) == 0) {
        return cache->found;
    }
    cache->key = name;
    cache->found = NULL;
    for (size_t i = 0; i < q->key_count; i++) {
        if (strcmp(q->keys[i].name, name) == 0) {
            cache->found = q->keys[i].count > 0 ? &q->keys[i] : NULL;
            break;
        }
    }
    return cache->found;
}

bool condition_holds(const struct condition *c, const struct iam_request *q,
                     struct condition_cache *cache, pattern_value_fn *value,
                     void *arg, bool *unknown)
{
    const struct iam_key *k = find_key(q, cache, c->key);
    bool open = false;

    if (c->op->family == IS_NULL) {
        for (size_t i = 0; i < c->count; i++) {
            if (c->values[i].truth == (k == NULL)) {
                return true;
            }
        }
        return false;
    }
    if (k == NULL) {
        return c->if_exists || c->set == ALL_VALUES ||
               (c->set == ONE_VALUE && c->op->negated);
    }
    for (size_t i = 0; i < k->count; i++) {
        bool hit = false;
        for (size_t v = 0; v < c->count && !hit; v++) {
            hit = match_one(c->op, &c->values[v], k->values[i], cache, value,
                            arg, &open);
        }
        hit = hit != c->op->negated;
        if (c->set == ALL_VALUES && !hit) {
            return false;
        }
        if (c->set != ALL_VALUES && hit) {
            *unknown = *unknown || (open && c->op->negated);
            return true;
        }
    }
    *unknown = *unknown || (open && c->op->negated);
    return c->set == ALL_VALUES;
}

/* A network as wide as this is as good as all: S3's own borders. */
static bool wide(const struct condition_ip *ip)
{
    return ip->bits < (ip->family == AF_INET ? 8 : 32);
}

bool condition_confines(const struct condition *c)
{
    static const char *const keys[] = {
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:principalorgid",
        "aws:principalarn",
        "aws:principalaccount",
        "aws:userid",
        "aws:username",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
    };

    if (c->op->negated || c->if_exists || c->set == ALL_VALUES) {
        return false;
    }
    if (c->op->family == IP && strcmp(c->key, "aws:sourceip") == 0) {
        for (size_t i = 0; i < c->count; i++) {
            if (wide(&c->values[i].ip)) {
                return false;
            }
        }
        return true;
    }
    if (c->op->family != STRING && c->op->family != ARN) {
        return false;
    }
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        bool fixed = strcmp(c->key, keys[k]) == 0;
        for (size_t i = 0; i < c->count && fixed; i++) {
            unsigned parts = c->op->family == ARN ? ARN_PARTS : 1;
            for (unsigned j = 0; j < parts; j++) {
                fixed = fixed && pattern_is_literal(&c->values[i].pattern[j]);
            }
        }
        if (fixed) {
            return true;
        }
    }
    return false;
}
