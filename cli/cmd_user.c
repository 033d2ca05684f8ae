/* godwit user, godwit key: who may use the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli.h"

#define POLICY_MAX ((size_t)20 << 10)

struct options {
    struct cli_options common;
    char *data;
    char *access_key, *secret_key, *policy;
    bool json;
};

#define KEY_ROWS                                                              \
    CLI_ROW(struct options, "access-key", STRING, access_key, NULL, 0, 0,     \
            "KEY", "add: this access key; a fresh one when none is said."),   \
        CLI_ROW(struct options, "secret-key", STRING, secret_key, NULL, 0, 0, \
                "KEY", "add: its secret key.")

static const struct config_row user_table[] = {
    KEY_ROWS,
    CLI_ROW(struct options, "policy", STRING, policy, NULL, 0, 0, "FILE",
            "add, policy: an IAM policy in JSON; without one a user may make "
            "buckets, and do everything with those it made."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static const struct config_row key_table[] = {
    KEY_ROWS,
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

/* ---- making ---- */

static int read_policy(const struct options *o, struct buf *out,
                       struct err *err)
{
    int rc = 0;

    if (o->policy != NULL) {
        rc = fs_read(o->policy, POLICY_MAX, out, err);
    }
    buf_char(out, '\0');
    return rc;
}

static int tell(const struct options *o, const char *path,
                const char *const *pairs, const char *name, struct buf *json,
                struct err *err)
{
    struct buf policy = {0}, body = {0};
    int rc = read_policy(o, &policy, err);

    if (rc == 0) {
        buf_str(&body, "{\"name\":");
        put_json_text(&body, name);
        if (o->access_key != NULL) {
            buf_str(&body, ",\"access_key\":");
            put_json_text(&body, o->access_key);
        }
        if (o->secret_key != NULL) {
            buf_str(&body, ",\"secret_key\":");
            put_json_text(&body, o->secret_key);
        }
        if (o->policy != NULL) {
            buf_str(&body, ",\"policy\":");
            put_json_text(&body, (char *)policy.data);
        }
        buf_char(&body, '}');
        rc = cli_tell(&o->common, o->data, path, pairs, body.data, body.len,
                      json, err);
    }
    buf_free(&policy);
    buf_wipe(&body);
    return rc;
}

static int add(const struct options *o, const char *path, const char *name,
               struct err *err)
{
    struct buf json = {0};
    int rc = tell(o, path, NULL, name, &json, err);

    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0) {
        char *id = json_text((char *)json.data, "canonical_id");
        char *access = json_text((char *)json.data, "access_key");
        char *secret = json_text((char *)json.data, "secret_key");
        printf(
            "user          %s\ncanonical id  %s\naccess key    %s\n"
            "secret key    %s\n",
            name, id, access, secret);
        mem_wipe(secret, strlen(secret));
        free(id);
        free(access);
        free(secret);
    }
    buf_wipe(&json);
    return rc;
}

static int set_policy(const struct options *o, const char *name,
                      struct err *err)
{
    static const char *const update[] = {"update", "", NULL};
    struct buf json = {0};
    int rc = tell(o, "/-/users", update, name, &json, err);

    buf_free(&json);
    return rc;
}

/* ---- showing ---- */

static int list_users(const struct options *o, const char *only,
                      struct err *err)
{
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", "/-/users", NULL, &json, err);
    size_t count = rc == 0 ? json_count((char *)json.data, "users") : 0;
    bool found = only == NULL;

    if (rc == 0 && o->json && only == NULL) {
        fputs((char *)json.data, stdout);
        count = 0;
    } else if (rc == 0 && only == NULL) {
        printf("%-24s %-19s %-6s  %s\n", "USER", "CREATED", "POLICY",
               "CANONICAL ID");
    }
    for (size_t i = 0; i < count; i++) {
        const char *u = json_item((char *)json.data, "users", i);
        char *name = json_text(u, "name"), *id = json_text(u, "canonical_id");
        char *policy = json_text(u, "policy");
        char created[40];
        if (only == NULL) {
            printf("%-24s %-19s %-6s  %s\n", name,
                   cli_time(json_u64(u, "created_ms"), created),
                   policy[0] != '\0' ? "own" : "-", id);
        } else if (strcmp(only, name) == 0) {
            found = true;
            printf("user          %s\ncanonical id  %s\n%s%s", name, id, policy,
                   policy[0] != '\0' ? "\n" : "");
        }
        free(name);
        free(id);
        free(policy);
    }
    if (rc == 0 && !found) {
        rc = err_set(err, ERR_NOT_FOUND, "%s: there is no such user", only);
    }
    buf_free(&json);
    return rc;
}

static int list_keys(const struct options *o, const char *user, struct err *err)
{
    const char *const pairs[] = {"user", user, NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", "/-/keys", pairs, &json, err);
    size_t count = rc == 0 ? json_count((char *)json.data, "keys") : 0;

    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        const char *k = json_item((char *)json.data, "keys", i);
        char *access = json_text(k, "access_key");
        char created[40];
        printf("%-24s %s\n", access,
               cli_time(json_u64(k, "created_ms"), created));
        free(access);
    }
    buf_free(&json);
    return rc;
}

static int take_away(const struct options *o, const char *path,
                     const char *what, const char *value, struct err *err)
{
    const char *const pairs[] = {what, value, NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "DELETE", path, pairs, &json, err);

    buf_free(&json);
    return rc;
}

/* ---- the commands ---- */

static int act_user(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    if (strcmp(argv[1], "add") == 0 && rest == 2) {
        rc = add(o, "/-/users", argv[2], err);
    } else if (strcmp(argv[1], "list") == 0 && rest == 1) {
        rc = list_users(o, NULL, err);
    } else if (strcmp(argv[1], "show") == 0 && rest == 2) {
        rc = list_users(o, argv[2], err);
    } else if (strcmp(argv[1], "policy") == 0 && rest == 2) {
        rc = set_policy(o, argv[2], err);
    } else if (strcmp(argv[1], "remove") == 0 && rest == 2) {
        rc = take_away(o, "/-/users", "name", argv[2], err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say list, or add, show, policy or remove NAME");
    }
    return rc;
}

static int run_user(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_user, &o, argc, argv, 1, 2, act_user);
}

static int act_key(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    (void)rest;
    if (strcmp(argv[1], "add") == 0) {
        rc = add(o, "/-/keys", argv[2], err);
    } else if (strcmp(argv[1], "list") == 0) {
        rc = list_keys(o, argv[2], err);
    } else if (strcmp(argv[1], "remove") == 0) {
        rc = take_away(o, "/-/keys", "access_key", argv[2], err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say add or list USER, or remove ACCESS-KEY");
    }
    return rc;
}

static int run_key(int argc, char **argv)
{
    struct options o = {.policy = NULL}; /* has no row in its table */

    return cli_do(&cli_key, &o, argc, argv, 2, 2, act_key);
}

const struct cli_command cli_user = {
    "user",
    "list|add|show|policy|remove [NAME] [options]",
    "make and remove users of the store",
    "Users have access keys and own the buckets that they make. add makes one "
    "with a key and prints both once; show prints its canonical id, by which "
    "policies and ACLs name it, and its policy; policy sets that anew from "
    "--policy FILE, or takes it away; remove ends a user, with its keys, that "
    "owns no buckets any more.",
    user_table,
    run_user,
};

const struct cli_command cli_key = {
    "key",
    "add|list USER | remove ACCESS-KEY [options]",
    "make and remove access keys of a user",
    "Access keys sign requests. add makes one more for a user and prints it "
    "once; remove ends one at once, on every server.",
    key_table,
    run_key,
};
