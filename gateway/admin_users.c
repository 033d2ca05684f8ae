/* Users and their access keys below /-/: GET, POST and DELETE of /-/users and
 * /-/keys. POST takes a JSON object as its body, so that no secret stands in a
 * path.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/session_token.h"
#include "meta/meta_user.h"
#include "policy/iam.h"
#include "policy/json_tree.h"

/* ---- showing ---- */

static void user_json(struct buf *b, const struct meta_user *u)
{
    char id[65];

    access_canonical_id(u->name, id);
    buf_char(b, '{');
    put_json_member(b, "name", u->name, false);
    put_json_member(b, "canonical_id", id, false);
    put_json_u64(b, "created_ms", u->created_ms, false);
    put_json_member(b, "policy", u->policy != NULL ? u->policy : "", true);
    buf_char(b, '}');
}

void admin_users(struct request *r)
{
    struct meta_user *users = NULL;
    size_t count = 0;
    struct err err = {{0}};
    int rc;

    if (!admin_is_ready(r)) {
        return;
    }
    rc = meta_users(r->gateway->meta, &users, &count, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_str(&r->reply_body, "{\"users\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_char(&r->reply_body, ',');
        }
        user_json(&r->reply_body, &users[i]);
        meta_user_free(&users[i]);
    }
    buf_str(&r->reply_body, "]}\n");
    free(users);
}

/* Of ?user=NAME; never the secrets. */
void admin_keys(struct request *r)
{
    const char *user = request_param(r, "user");
    struct meta_key *keys = NULL;
    size_t count = 0;
    struct err err = {{0}};
    int rc;

    if (!admin_is_ready(r)) {
        return;
    }
    if (user == NULL) {
        reply_error(r, S3_InvalidArgument, "user: whose keys?");
        return;
    }
    rc = meta_keys(r->gateway->meta, user, &keys, &count, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_str(&r->reply_body, "{\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        buf_str(&r->reply_body, i > 0 ? ",{" : "{");
        put_json_member(&r->reply_body, "access_key", keys[i].access_key,
                        false);
        put_json_u64(&r->reply_body, "created_ms", keys[i].created_ms, true);
        buf_char(&r->reply_body, '}');
    }
    buf_str(&r->reply_body, "]}\n");
    mem_wipe(keys, count * sizeof *keys);
    free(keys);
}

/* ---- making ---- */

/* Texts of the body's members; "" for none. */
struct asked {
    struct json_tree *tree;
    const char *name, *access_key, *secret_key, *policy;
    bool has_policy;
};

static bool is_user_name(const char *s)
{
    size_t len = strlen(s);

    for (const char *p = s; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("+=,.@_-$", *p) == NULL) {
            return false;
        }
    }
    return len > 0 && len <= META_USER_MAX;
}

static bool is_key(const char *s, size_t min, size_t max)
{
    size_t len = strlen(s);

    for (const char *p = s; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~') {
            return false;
        }
    }
    return len >= min && len <= max;
}

static bool judge_asked(struct request *r, const struct asked *a)
{
    struct iam_policy *policy = NULL;
    struct err err = {{0}};

    if (!is_user_name(a->name)) {
        reply_error(r, S3_InvalidArgument,
                    "name: 1 to %d letters, digits and any of +=,.@_-$",
                    META_USER_MAX);
        return false;
    }
    if (strcmp(a->name, r->gateway->access_key) == 0) {
        reply_error(r, S3_InvalidArgument, "name: is root's access key");
        return false;
    }
    if ((a->access_key[0] != '\0') != (a->secret_key[0] != '\0')) {
        reply_error(r, S3_InvalidArgument,
                    "access key and secret key go together");
        return false;
    }
    if (a->access_key[0] != '\0' &&
        (!is_key(a->access_key, META_ACCESS_KEY_MIN, META_ACCESS_KEY_MAX) ||
         strchr(a->access_key, '/') != NULL)) {
        reply_error(r, S3_InvalidArgument,
                    "access key: %d to %d characters without blanks and '/'",
                    META_ACCESS_KEY_MIN, META_ACCESS_KEY_MAX);
        return false;
    }
    if (session_key_is(a->access_key)) {
        reply_error(r, S3_InvalidArgument,
                    "access key: " SESSION_KEY_PREFIX
                    "... are of temporary credentials");
        return false;
    }
    if (a->secret_key[0] != '\0' &&
        !is_key(a->secret_key, META_SECRET_KEY_MIN, META_SECRET_KEY_MAX)) {
        reply_error(r, S3_InvalidArgument,
                    "secret key: %d to %d characters without blanks",
                    META_SECRET_KEY_MIN, META_SECRET_KEY_MAX);
        return false;
    }
    if (strcmp(a->access_key, r->gateway->access_key) == 0 ||
        strcmp(a->access_key, CONTROL_KEY) == 0) {
        reply_error(r, S3_PreconditionFailed, "access key: is taken");
        return false;
    }
    if (a->policy[0] != '\0' &&
        iam_read(IAM_IDENTITY, NULL, a->policy, strlen(a->policy), &policy,
                 &err) != 0) {
        reply_error(r, S3_MalformedPolicy, "policy: %s", err.text);
        return false;
    }
    iam_free(policy);
    return true;
}

/* Read and judge the body; false: a reply was made. free a->tree. */
static bool read_asked(struct request *r, struct asked *a)
{
    const struct {
        const char *name;
        const char **to;
    } known[] = {{"name", &a->name},
                 {"access_key", &a->access_key},
                 {"secret_key", &a->secret_key},
                 {"policy", &a->policy}};
    struct err err = {{0}};

    *a = (struct asked){NULL, "", "", "", "", false};
    if (!admin_is_ready(r)) {
        return false;
    }
    if (json_tree_read(r->document.data, r->document.len, &a->tree, &err) !=
        0) {
        reply_error(r, S3_InvalidArgument, "%s", err.text);
        return false;
    }
    for (const struct json_node *m = json_tree_root(a->tree)->first; m != NULL;
         m = m->next) {
        const char **to = NULL;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (m->name != NULL && strcmp(m->name, known[i].name) == 0) {
                to = known[i].to;
            }
        }
        if (to == NULL || m->kind != JSON_STRING) {
            reply_error(r, S3_InvalidArgument, "body: %.64s is not known",
                        m->name != NULL ? m->name : "an item");
            return false;
        }
        *to = m->text;
        a->has_policy = a->has_policy || to == &a->policy;
    }
    return judge_asked(r, a);
}

/* A key that was given, or a fresh one; shown once. */
static void add_key(struct request *r, const struct asked *a)
{
    char access_key[21], secret_key[41];
    const char *access = a->access_key, *secret = a->secret_key;

    if (access[0] == '\0') {
        credentials_draw(access_key, secret_key);
        access = access_key;
        secret = secret_key;
    }
    command_key_put(&r->command, a->name, access, secret, r->time_ms);
    if (admin_propose(r, a->name)) {
        char id[65];
        access_canonical_id(a->name, id);
        reply_json(r);
        buf_char(&r->reply_body, '{');
        put_json_member(&r->reply_body, "name", a->name, false);
        put_json_member(&r->reply_body, "canonical_id", id, false);
        put_json_member(&r->reply_body, "access_key", access, false);
        put_json_member(&r->reply_body, "secret_key", secret, true);
        buf_str(&r->reply_body, "}\n");
    }
    mem_wipe(secret_key, sizeof secret_key);
}

/* Is somebody else's key asked for? Judged before the user is made, so that a
 * refusal leaves nothing; a race makes a user without a key. */
static bool key_is_free(struct request *r, const char *access_key)
{
    struct meta_user user = {.policy = NULL};
    struct meta_key key;
    int rc =
        access_key[0] == '\0'
            ? ERR_NOT_FOUND
            : meta_key_local(r->gateway->meta, access_key, &key, &user, NULL);

    mem_wipe(&key, sizeof key);
    meta_user_free(&user);
    if (rc == 0) {
        reply_error(r, S3_PreconditionFailed, "access key: is taken");
    }
    return rc != 0;
}

/* A new user with a key; or, with ?update, another policy. */
void admin_user_put(struct request *r)
{
    bool update = request_param(r, "update") != NULL;
    struct asked a;

    if (read_asked(r, &a) && (update || key_is_free(r, a.access_key))) {
        command_user_put(&r->command, a.name, !update, a.policy,
                         strlen(a.policy), r->time_ms);
        if (admin_propose(r, a.name)) {
            if (update) {
                reply_json(r);
                buf_str(&r->reply_body, "{}\n");
            } else {
                add_key(r, &a);
            }
        }
    }
    json_tree_free(a.tree);
}

void admin_key_put(struct request *r)
{
    struct asked a;

    if (read_asked(r, &a)) {
        add_key(r, &a);
    }
    json_tree_free(a.tree);
}

/* ---- removing ---- */

void admin_user_remove(struct request *r)
{
    const char *name = request_param(r, "name");

    if (name == NULL || !is_user_name(name)) {
        reply_error(r, S3_InvalidArgument, "name: which user?");
        return;
    }
    command_user_remove(&r->command, name);
    if (admin_propose(r, name)) {
        reply_json(r);
        buf_str(&r->reply_body, "{}\n");
    }
}

void admin_key_remove(struct request *r)
{
    const char *key = request_param(r, "access_key");

    if (key == NULL || !is_key(key, META_ACCESS_KEY_MIN, META_ACCESS_KEY_MAX)) {
        reply_error(r, S3_InvalidArgument, "access_key: which key?");
        return;
    }
    command_key_remove(&r->command, key);
    if (admin_propose(r, key)) {
        reply_json(r);
        buf_str(&r->reply_body, "{}\n");
    }
}
