/* Conditions of a policy: {operator: {key: value or [values]}}.
 *
 * Source: AWS IAM User Guide, "IAM JSON policy elements: Condition operators".
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/err.h"
#include "policy/iam_internal.h"

typedef bool (*compare_fn)(const char *want, const char *have,
                           const struct iam_request *r);

/* ---- one value with one ---- */

static bool equals(const char *want, const char *have,
                   const struct iam_request *r)
{
    (void)r;
    return strcmp(want, have) == 0;
}

static bool equals_any_case(const char *want, const char *have,
                            const struct iam_request *r)
{
    (void)r;
    return strcasecmp(want, have) == 0;
}

static bool like(const char *want, const char *have,
                 const struct iam_request *r)
{
    return iam_fits(want, have, false, r);
}

static bool number_of(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0';
}

/* "2026-11-23T12:00:00Z", "2026-11-23", or seconds since 1970. */
static bool date_of(const char *text, double *out)
{
    struct tm t = {0};
    int used = 0;

    if (sscanf(text, "%4d-%2d-%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday,
               &used) != 3 ||
        used != 10) {
        return number_of(text, out);
    }
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    text += used;
    if (*text == 'T') {
        used = 0;
        if (sscanf(text, "T%2d:%2d:%2d%n", &t.tm_hour, &t.tm_min, &t.tm_sec,
                   &used) != 3 ||
            used != 9) {
            return false;
        }
        text += used;
        if (*text == '.') {
            text += 1 + strspn(text + 1, "0123456789");
        }
    }
    *out = (double)timegm(&t);
    return *text == '\0' || strcmp(text, "Z") == 0;
}

#define COMPARE(name, of, op)                            \
    static bool name(const char *want, const char *have, \
                     const struct iam_request *r)        \
    {                                                    \
        double w, h;                                     \
        (void)r;                                         \
        return of(want, &w) && of(have, &h) && h op w;   \
    }
COMPARE(number_is, number_of, ==)
COMPARE(number_less, number_of, <)
COMPARE(number_less_is, number_of, <=)
COMPARE(number_more, number_of, >)
COMPARE(number_more_is, number_of, >=)
COMPARE(date_is, date_of, ==)
COMPARE(date_less, date_of, <)
COMPARE(date_less_is, date_of, <=)
COMPARE(date_more, date_of, >)
COMPARE(date_more_is, date_of, >=)
#undef COMPARE

/* "192.0.2.0/24", "2001:db8::/32", or an address alone. */
static bool network_of(const char *text, uint8_t net[16], int *family,
                       unsigned *bits)
{
    char address[INET6_ADDRSTRLEN];
    size_t len = strcspn(text, "/");
    unsigned most;

    if (len >= sizeof address) {
        return false;
    }
    memcpy(address, text, len);
    address[len] = '\0';
    *family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
    most = *family == AF_INET ? 32 : 128;
    *bits = most;
    if (text[len] == '/') {
        char *end;
        unsigned long n = strtoul(text + len + 1, &end, 10);
        if (end == text + len + 1 || *end != '\0' || n > most) {
            return false;
        }
        *bits = (unsigned)n;
    }
    return inet_pton(*family, address, net) == 1;
}

static bool address_in(const char *want, const char *have,
                       const struct iam_request *r)
{
    uint8_t net[16], address[16];
    unsigned bits, all;
    int family, own;

    (void)r;
    if (!network_of(want, net, &family, &bits) ||
        !network_of(have, address, &own, &all) || family != own) {
        return false;
    }
    for (unsigned i = 0; i < bits; i++) {
        if (((net[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- operators ---- */

enum value_kind { ANY, NUMBER, DATE, TRUTH, ADDRESS };

static const struct operator
{
    const char *name;
    compare_fn fn; /* NULL: Null */
    bool inverse;  /* none of the values may fit */
    enum value_kind kind;
}
operators[] = {
    {"StringEquals", equals, false, ANY},
    {"StringNotEquals", equals, true, ANY},
    {"StringEqualsIgnoreCase", equals_any_case, false, ANY},
    {"StringNotEqualsIgnoreCase", equals_any_case, true, ANY},
    {"StringLike", like, false, ANY},
    {"StringNotLike", like, true, ANY},
    {"NumericEquals", number_is, false, NUMBER},
    {"NumericNotEquals", number_is, true, NUMBER},
    {"NumericLessThan", number_less, false, NUMBER},
    {"NumericLessThanEquals", number_less_is, false, NUMBER},
    {"NumericGreaterThan", number_more, false, NUMBER},
    {"NumericGreaterThanEquals", number_more_is, false, NUMBER},
    {"DateEquals", date_is, false, DATE},
    {"DateNotEquals", date_is, true, DATE},
    {"DateLessThan", date_less, false, DATE},
    {"DateLessThanEquals", date_less_is, false, DATE},
    {"DateGreaterThan", date_more, false, DATE},
    {"DateGreaterThanEquals", date_more_is, false, DATE},
    {"Bool", equals_any_case, false, TRUTH},
    {"BinaryEquals", equals, false, ANY},
    {"IpAddress", address_in, false, ADDRESS},
    {"NotIpAddress", address_in, true, ADDRESS},
    {"ArnEquals", like, false, ANY},
    {"ArnNotEquals", like, true, ANY},
    {"ArnLike", like, false, ANY},
    {"ArnNotLike", like, true, ANY},
    {"Null", NULL, false, TRUTH},
};

enum quantifier { ONE, ALL_VALUES, ANY_VALUE };

static const struct operator*
    operator_of(const char *name, enum quantifier *q, bool *if_exists)
{
    static const char all[] = "ForAllValues:", any[] = "ForAnyValue:",
                      suffix[] = "IfExists";
    size_t len;

    *q = ONE;
    if (strncasecmp(name, all, sizeof all - 1) == 0) {
        *q = ALL_VALUES;
        name += sizeof all - 1;
    } else if (strncasecmp(name, any, sizeof any - 1) == 0) {
        *q = ANY_VALUE;
        name += sizeof any - 1;
    }
    len = strlen(name);
    *if_exists = len > sizeof suffix - 1 &&
                 strcasecmp(name + len - (sizeof suffix - 1), suffix) == 0;
    len -= *if_exists ? sizeof suffix - 1 : 0;
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strlen(operators[i].name) == len &&
            strncasecmp(operators[i].name, name, len) == 0) {
            return &operators[i];
        }
    }
    return NULL;
}

/* The values of a key: a text, or an array of them. */
static const struct json *first_value(const struct json *v)
{
    return v->type == JSON_ARRAY ? v->first : v;
}

static const struct json *next_value(const struct json *all,
                                     const struct json *v)
{
    return all->type == JSON_ARRAY ? v->next : NULL;
}

static const char *text_of(const struct json *v)
{
    return v->type == JSON_TRUE    ? "true"
           : v->type == JSON_FALSE ? "false"
                                   : v->text;
}

/* ---- checking ---- */

static bool is_good(enum value_kind kind, const char *text)
{
    uint8_t net[16];
    unsigned bits;
    double n;
    int family;

    switch (kind) {
        case NUMBER:
            return number_of(text, &n);
        case DATE:
            return date_of(text, &n);
        case TRUTH:
            return strcasecmp(text, "true") == 0 ||
                   strcasecmp(text, "false") == 0;
        case ADDRESS:
            return network_of(text, net, &family, &bits);
        default:
            return true;
    }
}

static int check_key(const struct operator* op, const struct json *key,
                     struct err *err)
{
    for (const struct json *v = first_value(key); v != NULL;
         v = next_value(key, v)) {
        const char *text = text_of(v);
        if (text == NULL || !is_good(op->kind, text)) {
            return err_set(err, ERR_BAD_INPUT,
                           "Condition: %s of %s has a value "
                           "that is none: %.64s",
                           op->name, key->name, text != NULL ? text : "");
        }
    }
    return 0;
}

int iam_condition_check(const struct json *condition, struct err *err)
{
    if (condition->type != JSON_OBJECT) {
        return err_set(err, ERR_BAD_INPUT, "Condition is no object");
    }
    for (const struct json *o = condition->first; o != NULL; o = o->next) {
        enum quantifier q;
        bool if_exists;
        const struct operator* op = operator_of(o->name, &q, &if_exists);
        if (op == NULL || o->type != JSON_OBJECT) {
            return err_set(err, ERR_BAD_INPUT,
                           "Condition: invalid operator %.64s", o->name);
        }
        for (const struct json *k = o->first; k != NULL; k = k->next) {
            int rc = check_key(op, k, err);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* ---- judging ---- */

/* Does the request's value fit one of the policy's? */
static bool fits_one(const struct operator* op, const struct json *key,
                     const char *have, const struct iam_request *r)
{
    for (const struct json *v = first_value(key); v != NULL;
         v = next_value(key, v)) {
        if (op->fn(text_of(v), have, r)) {
            return true;
        }
    }
    return false;
}

static bool null_holds(const struct json *key, const struct iam_request *r)
{
    bool missing = r->context(r->arg, key->name, 0) == NULL;
    const struct json *v = first_value(key);

    return v != NULL && (strcasecmp(text_of(v), "true") == 0) == missing;
}

static bool key_holds(const struct operator* op, enum quantifier q,
                      bool if_exists, const struct json *key,
                      const struct iam_request *r)
{
    const char *have = r->context(r->arg, key->name, 0);

    if (op->fn == NULL) {
        return null_holds(key, r);
    }
    if (have == NULL) {
        return if_exists || q == ALL_VALUES || (op->inverse && q == ONE);
    }
    for (size_t i = 0; have != NULL;
         i++, have = r->context(r->arg, key->name, i)) {
        bool good = fits_one(op, key, have, r) != op->inverse;
        if (q == ANY_VALUE ? good : !good) {
            return good;
        }
    }
    return q != ANY_VALUE;
}

bool iam_condition_holds(const struct json *condition,
                         const struct iam_request *r)
{
    for (const struct json *o = condition != NULL ? condition->first : NULL;
         o != NULL; o = o->next) {
        enum quantifier q;
        bool if_exists;
        const struct operator* op = operator_of(o->name, &q, &if_exists);
        for (const struct json *k = o->first; k != NULL; k = k->next) {
            if (!key_holds(op, q, if_exists, k, r)) {
                return false;
            }
        }
    }
    return true;
}

bool iam_condition_binds(const struct json *condition)
{
    static const char *const binding[] = {
        "aws:SourceArn",        "aws:SourceVpc",     "aws:SourceVpce",
        "aws:SourceOwner",      "aws:SourceAccount", "aws:PrincipalArn",
        "aws:PrincipalOrgID",   "aws:userid",        "aws:username",
        "s3:DataAccessPointArn"};

    for (const struct json *o = condition != NULL ? condition->first : NULL;
         o != NULL; o = o->next) {
        enum quantifier q;
        bool if_exists;
        const struct operator* op = operator_of(o->name, &q, &if_exists);
        for (const struct json *k = o->first; k != NULL; k = k->next) {
            const struct json *v = first_value(k);
            const char *text = v != NULL ? text_of(v) : NULL;
            if (op->inverse || if_exists || text == NULL) {
                continue;
            }
            /* An address binds unless it is most of the Internet. */
            if (strcasecmp(k->name, "aws:SourceIp") == 0) {
                const char *slash = strchr(text, '/');
                if (slash == NULL || strtoul(slash + 1, NULL, 10) >= 8) {
                    return true;
                }
            }
            for (size_t i = 0; i < sizeof binding / sizeof binding[0]; i++) {
                if (strcasecmp(k->name, binding[i]) == 0 &&
                    strcmp(text, "*") != 0) {
                    return true;
                }
            }
        }
    }
    return false;
}
