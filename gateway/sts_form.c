#include "gateway/sts_form.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define API_VERSION "2011-06-15"
#define DEFAULT_S 3600        /* AssumeRole */
#define DEFAULT_PLAIN_S 43200 /* GetSessionToken */
#define NAME_MIN 2

enum field { ACTION, VERSION, DURATION, POLICY, ROLE, NAME, EXTERNAL_ID };

#define FIELDS 7

/* ExternalId says whom a role trusts, and narrows nothing. */
static const char *const names[FIELDS] = {
    "Action",  "Version",         "DurationSeconds", "Policy",
    "RoleArn", "RoleSessionName", "ExternalId"};

static const struct action {
    const char *name;
    uint64_t default_s;
    unsigned fields; /* a set of enum field */
} actions[] = {
    [STS_ASSUME_ROLE] = {"AssumeRole", DEFAULT_S,
                         1 << DURATION | 1 << POLICY | 1 << ROLE | 1 << NAME |
                             1 << EXTERNAL_ID},
    [STS_GET_SESSION_TOKEN] = {"GetSessionToken", DEFAULT_PLAIN_S,
                               1 << DURATION},
    [STS_GET_CALLER_IDENTITY] = {"GetCallerIdentity", 0, 0},
};

#define ACTIONS (sizeof actions / sizeof actions[0])

struct fields {
    char *values[FIELDS]; /* decoded; NULL: not given */
};

static void fields_free(struct fields *f)
{
    for (size_t i = 0; i < FIELDS; i++) {
        free(f->values[i]);
    }
}

static enum s3_error invalid(struct err *err, const char *field,
                             const char *why)
{
    err_set(err, ERR_BAD_INPUT,
            "1 validation error detected: Value at '%.64s' failed to satisfy "
            "constraint: %s",
            field, why);
    return S3_ValidationError;
}

/* NULL: a bad escape, a NUL, or no UTF-8. free(). */
static char *decoded(const char *p, size_t len)
{
    char *plus = mem_strndup(p, len);
    struct buf b = {0};
    size_t n;
    bool ok;

    for (char *c = plus; *c != '\0'; c++) {
        *c = *c == '+' ? ' ' : *c;
    }
    buf_str(&b, "");
    ok = strlen(plus) == len && text_uri_decode(&b, plus, len) &&
         (b.len == 0 || memchr(b.data, '\0', b.len) == NULL) &&
         text_utf8(b.data, b.len);
    free(plus);
    if (!ok) {
        buf_free(&b);
        return NULL;
    }
    return (char *)buf_take(&b, &n);
}

static enum s3_error take_field(const char *p, size_t len, struct fields *f,
                                struct err *err)
{
    const char *equals = memchr(p, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - p) : len;
    char *name = decoded(p, name_len);
    char *value = equals != NULL ? decoded(equals + 1, len - name_len - 1)
                                 : mem_strdup("");
    enum s3_error e = S3_OK;
    size_t i = 0;

    while (i < FIELDS && name != NULL && strcmp(name, names[i]) != 0) {
        i++;
    }
    if (name == NULL || value == NULL) {
        e = invalid(err, name != NULL ? name : "body",
                    "Member must be UTF-8 in good escapes");
    } else if (i == FIELDS) {
        e = invalid(err, name, "Member is not supported here");
    } else if (f->values[i] != NULL) {
        e = invalid(err, name, "Member must be given once");
    } else {
        f->values[i] = value;
        value = NULL;
    }
    free(name);
    free(value);
    return e;
}

static enum s3_error take_fields(const char *p, size_t len, struct fields *f,
                                 struct err *err)
{
    enum s3_error e = S3_OK;
    size_t count = 0;

    while (len > 0 && e == S3_OK) {
        const char *end = memchr(p, '&', len);
        size_t n = end != NULL ? (size_t)(end - p) : len;
        if (n > 0) {
            e = count++ < STS_FIELDS_MAX
                    ? take_field(p, n, f, err)
                    : invalid(err, "body", "It has too many members");
        }
        n += end != NULL;
        p += n;
        len -= n;
    }
    return e;
}

static enum s3_error find_action(const struct fields *f, enum sts_action *out,
                                 struct err *err)
{
    const char *name = f->values[ACTION], *version = f->values[VERSION];

    if (name == NULL) {
        err_set(err, ERR_BAD_INPUT, "Action: is missing");
        return S3_MissingAction;
    }
    for (size_t i = 0; i < ACTIONS; i++) {
        if (strcmp(name, actions[i].name) == 0 && version != NULL &&
            strcmp(version, API_VERSION) == 0) {
            *out = (enum sts_action)i;
            return S3_OK;
        }
    }
    err_set(err, ERR_BAD_INPUT,
            "Could not find operation %.64s for version %.32s", name,
            version != NULL ? version : "NO_VERSION_SPECIFIED");
    return S3_InvalidAction;
}

/* Those that the action does not know. */
static enum s3_error check_known(const struct fields *f, const struct action *a,
                                 struct err *err)
{
    for (size_t i = DURATION; i < FIELDS; i++) {
        if (f->values[i] != NULL && (a->fields >> i & 1) == 0) {
            return invalid(err, names[i], "Member is not of this action");
        }
    }
    return S3_OK;
}

static enum s3_error take_duration(const char *text, uint64_t *out,
                                   struct err *err)
{
    if (text != NULL && (!text_u64(text, out) || *out < STS_DURATION_MIN_S ||
                         *out > STS_DURATION_MAX_S)) {
        return invalid(err, names[DURATION],
                       "Member must be a number of seconds from 900 to 43200");
    }
    return S3_OK;
}

static bool is_name(const char *s)
{
    size_t len = strlen(s);

    for (const char *p = s; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("_+=,.@-", *p) == NULL) {
            return false;
        }
    }
    return len >= NAME_MIN && len <= SESSION_NAME_MAX;
}

static enum s3_error take_texts(const struct fields *f, struct sts_form *out,
                                struct err *err)
{
    const char *role = f->values[ROLE], *name = f->values[NAME];
    const char *policy = f->values[POLICY];

    if (role != NULL && strlen(role) > STS_ROLE_MAX) {
        return invalid(err, names[ROLE],
                       "Member must have length less than or equal to 2048");
    }
    if (name != NULL && !is_name(name)) {
        return invalid(err, names[NAME],
                       "Member must be 2 to 64 letters, digits and any of "
                       "_+=,.@-");
    }
    if (policy != NULL &&
        (policy[0] == '\0' || strlen(policy) > SESSION_POLICY_MAX)) {
        return invalid(err, names[POLICY],
                       "Member must have length from 1 to 2048");
    }
    strcpy(out->role, role != NULL ? role : "");
    strcpy(out->name, name != NULL ? name : "");
    strcpy(out->policy, policy != NULL ? policy : "");
    out->policy_len = strlen(out->policy);
    return S3_OK;
}

enum s3_error sts_form_read(const void *p, size_t len, struct sts_form *out,
                            struct err *err)
{
    struct fields f = {{NULL}};
    enum s3_error e = take_fields(p, len, &f, err);

    *out = (struct sts_form){.action = STS_ASSUME_ROLE};
    if (e == S3_OK) {
        e = find_action(&f, &out->action, err);
    }
    if (e == S3_OK) {
        e = check_known(&f, &actions[out->action], err);
    }
    if (e == S3_OK) {
        out->duration_s = actions[out->action].default_s;
        e = take_duration(f.values[DURATION], &out->duration_s, err);
    }
    if (e == S3_OK) {
        e = take_texts(&f, out, err);
    }
    fields_free(&f);
    return e;
}
