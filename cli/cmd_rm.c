/* godwit rm: remove objects and buckets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "client/s3_client.h"

struct options {
    struct cli_options common;
    bool recursive;
    bool force;
    bool bucket;
    char *version;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "recursive", BOOL, recursive, NULL, 0, 0, NULL,
            "Remove all objects whose keys begin so; -r for short."),
    CLI_ROW(struct options, "bucket", BOOL, bucket, NULL, 0, 0, NULL,
            "Remove the bucket too; without --recursive it must be empty."),
    CLI_ROW(struct options, "force", BOOL, force, NULL, 0, 0, NULL,
            "Do not ask, and be content when there is nothing to remove."),
    CLI_ROW(struct options, "version-id", STRING, version, NULL, 0, 0, "ID",
            "Remove this version of the one KEY, for good."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static void on_failed(void *arg, const char *key, const char *why)
{
    (void)arg;
    fprintf(stderr, "godwit rm: %s: %s\n", key, why);
}

/* XML 1.0 cannot write most control bytes. */
static bool fits_xml(const char *key)
{
    for (; *key != '\0'; key++) {
        if ((unsigned char)*key < ' ' && strchr("\t\n\r", *key) == NULL) {
            return false;
        }
    }
    return true;
}

/* Delete what a page lists: by one document, and one by one what does not fit
 * into it. */
static int remove_page(struct s3_client *c, const char *bucket,
                       const struct s3_page *p, uint64_t *removed,
                       uint64_t *kept, struct err *err)
{
    const char **keys = mem_calloc(p->object_count + 1, sizeof *keys);
    size_t count = 0;
    size_t failures = 0;
    int rc = 0;

    for (size_t i = 0; i < p->object_count && rc == 0; i++) {
        if (fits_xml(p->objects[i].key)) {
            keys[count++] = p->objects[i].key;
        } else {
            rc = s3_client_delete_object(c, bucket, p->objects[i].key, err);
        }
    }
    if (rc == 0 && count > 0) {
        rc = s3_client_delete_objects(c, bucket, keys, count, on_failed, NULL,
                                      &failures, err);
    }
    free(keys);
    if (rc == 0) {
        *removed += p->object_count - failures;
        *kept += failures;
    }
    return rc;
}

static int remove_all(struct s3_client *c, const struct cli_target *t,
                      uint64_t *removed, struct err *err)
{
    uint64_t kept = 0;
    char *token = NULL;
    int rc = 0;

    do {
        struct s3_list l = {.bucket = t->bucket,
                            .prefix = t->key,
                            .token = token,
                            .max_keys = S3_CLIENT_DELETE_MAX};
        struct s3_page p;
        rc = s3_client_list_objects(c, &l, &p, err);
        free(token);
        token = NULL;
        if (rc != 0) {
            return rc;
        }
        if (p.object_count > S3_CLIENT_DELETE_MAX) {
            rc = err_set(err, ERR_CORRUPT, "the server lists too many keys");
        }
        rc = rc != 0 ? rc : remove_page(c, t->bucket, &p, removed, &kept, err);
        token = p.next;
        p.next = NULL;
        s3_page_free(&p);
    } while (rc == 0 && token != NULL);
    free(token);
    if (rc == 0 && kept > 0) {
        rc = err_set(err, ERR_DENIED, "%llu objects were not removed",
                     (unsigned long long)kept);
    }
    return rc;
}

/* Only a person at a terminal is asked. */
static bool may_remove(const struct options *o, const char *name)
{
    char *question;
    bool yes;

    if (!o->recursive || o->force || isatty(STDIN_FILENO) != 1 ||
        isatty(STDERR_FILENO) != 1) {
        return true;
    }
    question = mem_printf("Remove all objects under %s%s?", name,
                          o->bucket ? " and the bucket" : "");
    yes = cli_confirm(question);
    free(question);
    return yes;
}

static int check_asked(const struct options *o, const struct cli_target *t,
                       const char *name, struct err *err)
{
    if (t->bucket[0] == '\0') {
        return err_set(err, ERR_BAD_INPUT, "%s: names no bucket", name);
    }
    if (t->key[0] == '\0' && !o->recursive && !o->bucket) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: is a bucket; --recursive removes its objects, "
                       "--bucket the bucket",
                       name);
    }
    if (o->version != NULL &&
        (t->key[0] == '\0' || o->recursive || o->bucket)) {
        return err_set(err, ERR_BAD_INPUT, "%s: --version-id goes with one key",
                       name);
    }
    if (t->key[0] != '\0' && o->bucket) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: --bucket goes with s3://BUCKET alone", name);
    }
    return 0;
}

static int remove_target(const struct options *o, struct s3_client *c,
                         const struct cli_target *t, const char *name,
                         struct err *err)
{
    uint64_t removed = 0;
    int rc = 0;

    if (o->recursive) {
        rc = remove_all(c, t, &removed, err);
        if (rc == 0 && removed == 0 && !o->force && !o->bucket) {
            rc = err_set(err, ERR_NOT_FOUND, "nothing there");
        }
    } else if (t->key[0] != '\0') {
        struct s3_info info;
        /* DELETE says nothing of what was not there; a person wants to know. */
        rc = o->force || o->version != NULL
                 ? 0
                 : s3_client_head_object(c, t->bucket, t->key, &info, err);
        if (rc == 0) {
            if (!o->force && o->version == NULL) {
                s3_info_free(&info);
            }
            rc =
                s3_client_delete_version(c, t->bucket, t->key, o->version, err);
        }
    }
    if (rc == 0 && o->bucket) {
        rc = s3_client_delete_bucket(c, t->bucket, err);
    }
    if (rc == ERR_NO_BUCKET && o->force) {
        rc = 0;
    }
    return rc != 0 ? err_wrap(err, rc, "%s", name) : 0;
}

static int remove_name(const struct options *o, struct s3_client *c,
                       const char *name, struct err *err)
{
    struct cli_target t;
    int rc = cli_target(name, false, &t, err);

    if (rc != 0) {
        return rc;
    }
    rc = check_asked(o, &t, name, err);
    if (rc == 0 && !may_remove(o, name)) {
        rc = err_set(err, ERR_DENIED, "%s: not removed", name);
    } else if (rc == 0) {
        rc = remove_target(o, c, &t, name, err);
    }
    cli_target_free(&t);
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;
    struct err err = {{0}};
    struct s3_client *c;
    int code = CLI_OK;
    int rest;
    int rc;

    if (!cli_args(&cli_rm, &o, argc, argv, 1, 1000000, &rest, &code)) {
        return code;
    }
    rc = cli_open(&o.common, &c, &err);
    if (rc != 0) {
        code = cli_fail(&cli_rm, rc, &err);
    } else {
        for (int i = 1; i <= rest; i++) {
            rc = remove_name(&o, c, argv[i], &err);
            if (rc != 0) {
                code = cli_fail(&cli_rm, rc, &err);
            }
        }
        s3_client_free(c);
    }
    config_free(table, &o);
    return code;
}

const struct cli_command cli_rm = {
    "rm",
    "[options] s3://BUCKET[/KEY] ...",
    "remove objects or buckets",
    "Remove objects; with --recursive all whose keys begin with KEY, with "
    "--bucket the bucket itself. On a terminal --recursive asks first. Exits 1 "
    "when something was not there or was not removed.",
    table,
    run,
};
