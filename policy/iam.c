#include "policy/iam_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"

#define ARN_S3 "arn:aws:s3:::"

struct statement {
    enum iam_effect effect;
    /* Texts, or arrays of them; NULL: not given. One of each pair is. */
    const struct json *principal, *not_principal;
    const struct json *action, *not_action;
    const struct json *resource, *not_resource;
    const struct json *condition;
};

struct iam_policy {
    struct json *document;
    bool of_bucket;
    size_t count;
    struct statement statements[];
};

/* ---- patterns ---- */

/* The value of the variable that begins at @p ("${name}" or "${name, 'x'}");
 * *@len: its length. NULL: none. */
static const char *variable(const char *p, size_t *len,
                            const struct iam_request *r)
{
    const char *end = strchr(p, '}');
    char name[64];
    size_t n;

    if (end == NULL) {
        return NULL;
    }
    *len = (size_t)(end - p) + 1;
    n = *len - 3;
    if (n == 1 && strchr("*?$", p[2]) != NULL) {
        return p[2] == '*' ? "*" : p[2] == '?' ? "?" : "$";
    }
    if (n >= sizeof name) {
        return NULL;
    }
    memcpy(name, p + 2, n);
    name[n] = '\0';
    return r != NULL ? r->context(r->arg, name, 0) : NULL;
}

static bool same(char a, char b, bool any_case)
{
    return a == b ||
           (any_case && tolower((unsigned char)a) == tolower((unsigned char)b));
}

/* How much of the pattern at @p fits the beginning of @text, up to the next
 * star: gives where the pattern and the text go on, or false. */
static bool fits_piece(const char **p, const char **text, bool any_case,
                       const struct iam_request *r)
{
    const char *q = *p, *t = *text;

    while (*q != '\0' && *q != '*') {
        size_t len = 1;
        if (q[0] == '$' && q[1] == '{') {
            const char *value = variable(q, &len, r);
            size_t n = value != NULL ? strlen(value) : 0;
            if (value == NULL || strncmp(t, value, n) != 0) {
                return false;
            }
            t += n;
        } else if (*t == '\0' || (*q != '?' && !same(*q, *t, any_case))) {
            return false;
        } else {
            t++;
        }
        q += len;
    }
    *p = q;
    *text = t;
    return true;
}

bool iam_fits(const char *pattern, const char *text, bool any_case,
              const struct iam_request *r)
{
    const char *star = NULL, *from = NULL; /* the last star, and what it took */

    for (;;) {
        const char *p = pattern, *t = text;
        if (fits_piece(&p, &t, any_case, r) && (*p == '*' || *t == '\0')) {
            if (*p == '\0') {
                return true;
            }
            star = p + 1;
            from = t;
            if (*star == '\0') {
                return true;
            }
        } else if (star == NULL || *from == '\0') {
            return false;
        } else {
            from++;
        }
        pattern = star;
        text = from;
    }
}

/* ---- lists of texts ---- */

static const struct json *first_of(const struct json *list)
{
    return list->type == JSON_ARRAY ? list->first : list;
}

static const struct json *next_of(const struct json *list,
                                  const struct json *item)
{
    return list->type == JSON_ARRAY ? item->next : NULL;
}

static int check_texts(const struct json *list, const char *element,
                       struct err *err)
{
    const struct json *item = first_of(list);

    if (item == NULL) {
        return err_set(err, ERR_BAD_INPUT, "%s is empty", element);
    }
    for (; item != NULL; item = next_of(list, item)) {
        if (item->type != JSON_TEXT || item->text[0] == '\0') {
            return err_set(err, ERR_BAD_INPUT, "%s is no text", element);
        }
    }
    return 0;
}

/* ---- parsing ---- */

/* "*", or {"AWS" | "CanonicalUser" | "Service" | "Federated": texts}. */
static int check_principal(const struct json *p, struct err *err)
{
    static const char *const kinds[] = {"AWS", "CanonicalUser", "Service",
                                        "Federated"};

    if (p->type == JSON_TEXT && strcmp(p->text, "*") == 0) {
        return 0;
    }
    if (p->type != JSON_OBJECT || p->first == NULL) {
        return err_set(err, ERR_BAD_INPUT, "Invalid principal in policy");
    }
    for (const struct json *m = p->first; m != NULL; m = m->next) {
        bool known = false;
        int rc;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            known = known || strcmp(kinds[i], m->name) == 0;
        }
        if (!known) {
            return err_set(err, ERR_BAD_INPUT, "Invalid principal in policy");
        }
        rc = check_texts(m, "Principal", err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int check_actions(const struct json *list, bool of_bucket,
                         struct err *err)
{
    int rc = check_texts(list, "Action", err);

    for (const struct json *a = first_of(list); rc == 0 && a != NULL;
         a = next_of(list, a)) {
        const char *colon = strchr(a->text, ':');
        if (strcmp(a->text, "*") == 0) {
            continue;
        }
        if (colon == NULL || colon == a->text || colon[1] == '\0' ||
            (of_bucket && strncasecmp(a->text, "s3:", 3) != 0)) {
            rc = err_set(err, ERR_BAD_INPUT, "Policy has invalid action");
        }
    }
    return rc;
}

/* Does the resource lie in the bucket? */
static bool in_bucket(const char *resource, const char *bucket)
{
    char name[256];
    size_t len;

    if (strcmp(resource, "*") == 0) {
        return true;
    }
    if (strncmp(resource, ARN_S3, sizeof ARN_S3 - 1) != 0) {
        return false;
    }
    resource += sizeof ARN_S3 - 1;
    len = strcspn(resource, "/");
    if (len >= sizeof name) {
        return false;
    }
    memcpy(name, resource, len);
    name[len] = '\0';
    return iam_fits(name, bucket, false, NULL);
}

static int check_resources(const struct json *list, const char *bucket,
                           struct err *err)
{
    int rc = check_texts(list, "Resource", err);

    for (const struct json *a = first_of(list); rc == 0 && a != NULL;
         a = next_of(list, a)) {
        if (bucket != NULL ? !in_bucket(a->text, bucket)
                           : strcmp(a->text, "*") != 0 &&
                                 strncmp(a->text, "arn:", 4) != 0) {
            rc = err_set(err, ERR_BAD_INPUT, "Policy has invalid resource");
        }
    }
    return rc;
}

/* Put the members where they belong; refuses those that are not known. */
static int take_members(const struct json *s, struct statement *out,
                        struct err *err)
{
    const struct {
        const char *name;
        const struct json **to;
    } known[] = {
        {"Principal", &out->principal}, {"NotPrincipal", &out->not_principal},
        {"Action", &out->action},       {"NotAction", &out->not_action},
        {"Resource", &out->resource},   {"NotResource", &out->not_resource},
        {"Condition", &out->condition},
    };

    for (const struct json *m = s->first; m != NULL; m = m->next) {
        const struct json **to = NULL;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (strcmp(known[i].name, m->name) == 0) {
                to = known[i].to;
            }
        }
        if (to != NULL) {
            *to = m;
        } else if (strcmp(m->name, "Effect") == 0 && m->type == JSON_TEXT &&
                   strcmp(m->text, "Allow") == 0) {
            out->effect = IAM_ALLOW;
        } else if (strcmp(m->name, "Effect") == 0 && m->type == JSON_TEXT &&
                   strcmp(m->text, "Deny") == 0) {
            out->effect = IAM_DENY;
        } else if (strcmp(m->name, "Sid") != 0 || m->type != JSON_TEXT) {
            return err_set(err, ERR_BAD_INPUT,
                           "Statement: invalid element %.64s", m->name);
        }
    }
    return 0;
}

/* @a or @b, not both and not neither. */
static int one_of(const void *a, const void *b, const char *name,
                  struct err *err)
{
    return (a != NULL) != (b != NULL)
               ? 0
               : err_set(err, ERR_BAD_INPUT,
                         "Statement needs %s or Not%s, and only one", name,
                         name);
}

static int take_statement(const struct json *s, const char *bucket,
                          struct statement *out, struct err *err)
{
    int rc = s->type == JSON_OBJECT
                 ? take_members(s, out, err)
                 : err_set(err, ERR_BAD_INPUT, "Statement is no object");

    if (rc == 0 && out->effect == IAM_NOTHING) {
        rc = err_set(err, ERR_BAD_INPUT, "Statement: Effect is missing");
    }
    if (rc == 0) {
        rc = one_of(out->action, out->not_action, "Action", err);
    }
    if (rc == 0) {
        rc = one_of(out->resource, out->not_resource, "Resource", err);
    }
    if (rc == 0 && bucket != NULL) {
        rc = one_of(out->principal, out->not_principal, "Principal", err);
    } else if (rc == 0 &&
               (out->principal != NULL || out->not_principal != NULL)) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "Statement: the policy of a user names no Principal");
    }
    if (rc == 0 && bucket != NULL) {
        rc = check_principal(
            out->principal != NULL ? out->principal : out->not_principal, err);
    }
    if (rc == 0) {
        rc = check_actions(out->action != NULL ? out->action : out->not_action,
                           bucket != NULL, err);
    }
    if (rc == 0) {
        rc = check_resources(
            out->resource != NULL ? out->resource : out->not_resource, bucket,
            err);
    }
    if (rc == 0 && out->condition != NULL) {
        rc = iam_condition_check(out->condition, err);
    }
    return rc;
}

static int check_head(const struct json *d, struct err *err)
{
    const struct json *version = json_member(d, "Version");

    if (d->type != JSON_OBJECT) {
        return err_set(err, ERR_BAD_INPUT, "the policy is no object");
    }
    for (const struct json *m = d->first; m != NULL; m = m->next) {
        if (strcmp(m->name, "Version") != 0 && strcmp(m->name, "Id") != 0 &&
            strcmp(m->name, "Statement") != 0) {
            return err_set(err, ERR_BAD_INPUT, "invalid element %.64s",
                           m->name);
        }
    }
    if (version != NULL && (version->type != JSON_TEXT ||
                            (strcmp(version->text, "2012-10-17") != 0 &&
                             strcmp(version->text, "2008-10-17") != 0))) {
        return err_set(err, ERR_BAD_INPUT,
                       "The policy must contain a valid version string");
    }
    return json_member(d, "Statement") != NULL
               ? 0
               : err_set(err, ERR_BAD_INPUT,
                         "Missing required field Statement");
}

int iam_parse(const char *text, size_t len, const char *bucket,
              struct iam_policy **out, struct err *err)
{
    struct iam_policy *p;
    struct json *d;
    const struct json *list;
    size_t count = 0;
    int rc;

    if (len > IAM_POLICY_MAX) {
        return err_set(err, ERR_BAD_INPUT, "the policy has over %d bytes",
                       IAM_POLICY_MAX);
    }
    rc = json_parse(text, len, &d, err);
    if (rc != 0) {
        return rc;
    }
    rc = check_head(d, err);
    if (rc != 0) {
        json_free(d);
        return rc;
    }
    list = json_member(d, "Statement");
    for (const struct json *s = first_of(list); s != NULL;
         s = next_of(list, s)) {
        count++;
    }
    p = mem_alloc(sizeof *p + count * sizeof p->statements[0]);
    p->document = d;
    p->of_bucket = bucket != NULL;
    for (const struct json *s = first_of(list); rc == 0 && s != NULL;
         s = next_of(list, s)) {
        rc = take_statement(s, bucket, &p->statements[p->count++], err);
    }
    if (rc == 0 && count == 0) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "Could not parse the policy: "
                     "Statement is empty!");
    }
    if (rc != 0) {
        iam_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void iam_free(struct iam_policy *p)
{
    if (p != NULL) {
        json_free(p->document);
        free(p);
    }
}

/* ---- judging ---- */

static bool fits_any(const struct json *list, const char *text, bool any_case,
                     const struct iam_request *r)
{
    for (const struct json *item = first_of(list); item != NULL;
         item = next_of(list, item)) {
        if (iam_fits(item->text, text, any_case, r)) {
            return true;
        }
    }
    return false;
}

static bool is_principal(const char *name, const struct iam_request *r)
{
    if (strcmp(name, "*") == 0) {
        return true;
    }
    for (size_t i = 0; r->principals != NULL && r->principals[i] != NULL; i++) {
        if (strcmp(r->principals[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool names_principal(const struct json *p, const struct iam_request *r)
{
    if (p->type == JSON_TEXT) {
        return true; /* "*" */
    }
    for (const struct json *m = p->first; m != NULL; m = m->next) {
        if (strcmp(m->name, "AWS") != 0 &&
            strcmp(m->name, "CanonicalUser") != 0) {
            continue; /* services and federations do not ask here */
        }
        for (const struct json *item = first_of(m); item != NULL;
             item = next_of(m, item)) {
            if (is_principal(item->text, r)) {
                return true;
            }
        }
    }
    return false;
}

static bool applies(const struct statement *s, const struct iam_request *r)
{
    if (s->principal != NULL ? !names_principal(s->principal, r)
                             : s->not_principal != NULL &&
                                   names_principal(s->not_principal, r)) {
        return false;
    }
    if (s->action != NULL ? !fits_any(s->action, r->action, true, NULL)
                          : fits_any(s->not_action, r->action, true, NULL)) {
        return false;
    }
    if (s->resource != NULL
            ? !fits_any(s->resource, r->resource, false, r)
            : fits_any(s->not_resource, r->resource, false, r)) {
        return false;
    }
    return iam_condition_holds(s->condition, r);
}

enum iam_effect iam_judge(const struct iam_policy *p,
                          const struct iam_request *r)
{
    enum iam_effect effect = IAM_NOTHING;

    for (size_t i = 0; p != NULL && i < p->count; i++) {
        const struct statement *s = &p->statements[i];
        if (s->effect != effect && effect != IAM_DENY && applies(s, r)) {
            effect = s->effect;
        }
    }
    return effect;
}

static bool is_everybody(const struct json *p)
{
    const struct json *aws = p->type == JSON_TEXT ? p : json_member(p, "AWS");

    for (const struct json *item = aws != NULL ? first_of(aws) : NULL;
         item != NULL; item = next_of(aws, item)) {
        if (item->type == JSON_TEXT && strcmp(item->text, "*") == 0) {
            return true;
        }
    }
    return false;
}

bool iam_is_public(const struct iam_policy *p)
{
    for (size_t i = 0; p != NULL && i < p->count; i++) {
        const struct statement *s = &p->statements[i];
        if (s->effect == IAM_ALLOW &&
            (s->principal == NULL || is_everybody(s->principal)) &&
            !iam_condition_binds(s->condition)) {
            return true;
        }
    }
    return false;
}
