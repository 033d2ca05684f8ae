/* godwit ls: buckets, or what is in one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/unseal.h"
#include "client/s3_client.h"
#include "crypto/seal_name.h"

struct options {
    struct cli_options common;
    bool recursive;
    bool human;
    bool summary;
    bool versions;
    char *names;
    struct seal_names names_key;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "recursive", BOOL, recursive, NULL, 0, 0, NULL,
            "List all keys, not folder by folder; -r for short."),
    CLI_ROW(struct options, "human", BOOL, human, NULL, 0, 0, NULL,
            "Sizes as 1.5 GiB."),
    CLI_ROW(struct options, "summary", BOOL, summary, NULL, 0, 0, NULL,
            "End with the number of objects and their bytes."),
    CLI_ROW(struct options, "versions", BOOL, versions, NULL, 0, 0, NULL,
            "List all versions of all keys, newest first, with their ids; * "
            "marks the latest."),
    CLI_ROW(struct options, "names", STRING, names, NULL, 0, 0, "FILE",
            "Keys are sealed by the first identity in FILE: show them "
            "as they were; a prefix ends in '/'."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

struct totals {
    uint64_t objects;
    uint64_t bytes;
    uint64_t lines;
};

static int list_buckets(struct s3_client *c, struct err *err)
{
    struct s3_buckets b;
    char when[40];
    int rc = s3_client_list_buckets(c, &b, err);

    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < b.count; i++) {
        printf("%s  s3://", cli_time(b.items[i].time_ms, when));
        cli_print_name(b.items[i].name);
        putchar('\n');
    }
    s3_buckets_free(&b);
    return 0;
}

/* @key without its first @skip bytes; opened first when names are sealed. What
 * is no name of ours is shown as it stands. */
static void print_key(const struct options *o, const char *key, size_t skip)
{
    struct buf plain = {0};

    if (o->names != NULL &&
        seal_name_open(&o->names_key, key, strlen(key), &plain, NULL) != 0) {
        printf("(not sealed by this identity) ");
        skip = 0;
    }
    /* A server may answer what was not asked for. */
    skip = plain.len > 0 && skip > plain.len ? 0 : skip;
    cli_print_name(plain.len > 0 ? (const char *)plain.data + skip
                                 : key + skip);
    putchar('\n');
    buf_free(&plain);
}

static void print_object(const struct options *o, const struct s3_object *obj,
                         size_t skip)
{
    char when[40];
    char size[24];

    printf("%s  %12s  ", cli_time(obj->time_ms, when),
           cli_size(obj->size, o->human, size));
    print_key(o, obj->key, skip);
}

/* Objects and folders of a page in the order of their names. */
static void print_page(const struct options *o, const struct s3_page *p,
                       size_t skip, struct totals *t)
{
    size_t i = 0;
    size_t j = 0;

    while (i < p->object_count || j < p->prefix_count) {
        bool folder = j < p->prefix_count &&
                      (i == p->object_count ||
                       strcmp(p->prefixes[j], p->objects[i].key) < 0);
        t->lines++;
        if (folder) {
            printf("%19s  %12s  ", "", "DIR");
            print_key(o, p->prefixes[j], skip);
            j++;
        } else {
            print_object(o, &p->objects[i], skip);
            t->objects++;
            t->bytes += p->objects[i].size;
            i++;
        }
    }
}

/* Only whole components have a sealed form. */
static int seal_prefix(const struct options *o, const char *prefix,
                       char **sealed, struct err *err)
{
    size_t len = strlen(prefix);

    if (len > 0 && prefix[len - 1] != '/') {
        return err_set(err, ERR_BAD_INPUT,
                       "--names: the prefix must end in '/'");
    }
    return unseal_name(&o->names_key, prefix, sealed, err);
}

/* Every page of what @prefix begins. Folder by folder, names are shown from the
 * last '/' of @prefix on. */
static int list_keys(struct s3_client *c, const struct options *o,
                     const struct cli_target *target, struct totals *t,
                     struct err *err)
{
    const char *slash = strrchr(target->key, '/');
    size_t skip =
        !o->recursive && slash != NULL ? (size_t)(slash - target->key) + 1 : 0;
    char *token = NULL, *sealed = NULL;
    int rc = 0;

    if (o->names != NULL) {
        rc = seal_prefix(o, target->key, &sealed, err);
        if (rc != 0) {
            return rc;
        }
    }
    do {
        struct s3_list l = {.bucket = target->bucket,
                            .prefix = sealed != NULL ? sealed : target->key,
                            .delimiter = o->recursive ? NULL : "/",
                            .token = token};
        struct s3_page p;
        rc = s3_client_list_objects(c, &l, &p, err);
        free(token);
        token = NULL;
        if (rc != 0) {
            break;
        }
        print_page(o, &p, skip, t);
        token = p.next;
        p.next = NULL;
        s3_page_free(&p);
    } while (token != NULL);
    free(sealed);
    return rc;
}

static void print_version(const struct options *o, const struct s3_version *v)
{
    char when[40];
    char size[24];

    printf("%s  %12s  %c %-16s  ", cli_time(v->time_ms, when),
           v->is_marker ? "DELETED" : cli_size(v->size, o->human, size),
           v->is_latest ? '*' : ' ', v->version);
    cli_print_name(v->key);
    putchar('\n');
}

/* Every version of what @target begins. */
static int list_versions(struct s3_client *c, const struct options *o,
                         const struct cli_target *target, struct totals *t,
                         struct err *err)
{
    struct s3_versions page = {.items = NULL};
    int rc = 0;

    do {
        struct s3_list_versions l = {.bucket = target->bucket,
                                     .prefix = target->key,
                                     .after_key = page.next_key,
                                     .after_version = page.next_version};
        struct s3_versions next;
        rc = s3_client_list_versions(c, &l, &next, err);
        s3_versions_free(&page);
        if (rc != 0) {
            return rc;
        }
        page = next;
        for (size_t i = 0; i < page.count; i++) {
            print_version(o, &page.items[i]);
            t->lines++;
            t->objects += !page.items[i].is_marker;
            t->bytes += page.items[i].size;
        }
    } while (page.next_key != NULL);
    s3_versions_free(&page);
    return 0;
}

static int list(const struct options *o, const char *name, struct err *err)
{
    struct cli_target target = {0};
    struct totals t = {0};
    struct s3_client *c;
    char size[24];
    int rc = cli_target(name, false, &target, err);

    if (rc != 0) {
        return rc;
    }
    rc = cli_open(&o->common, &c, err);
    if (rc != 0) {
        goto err_after_target;
    }
    if (target.bucket[0] == '\0') {
        rc = list_buckets(c, err);
    } else {
        rc = o->versions ? list_versions(c, o, &target, &t, err)
                         : list_keys(c, o, &target, &t, err);
        if (rc == 0 && t.lines == 0 && target.key[0] != '\0') {
            rc = err_set(err, ERR_NOT_FOUND, "nothing there");
        }
    }
    if (rc == 0 && o->summary && target.bucket[0] != '\0') {
        printf("%llu object%s, %s%s\n", (unsigned long long)t.objects,
               t.objects == 1 ? "" : "s", cli_size(t.bytes, o->human, size),
               o->human ? "" : " bytes");
    }
    if (rc != 0 && *name != '\0') {
        err_wrap(err, rc, "%s", name);
    }
    s3_client_free(c);
err_after_target:
    cli_target_free(&target);
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;
    struct err err = {{0}};
    int code = CLI_OK;
    int rest;
    int rc;

    if (!cli_args(&cli_ls, &o, argc, argv, 0, 1, &rest, &code)) {
        return code;
    }
    rc = o.names == NULL ? 0 : unseal_read_names(o.names, &o.names_key, &err);
    rc = rc != 0 ? rc : list(&o, rest > 0 ? argv[1] : "", &err);
    if (rc != 0) {
        code = cli_fail(&cli_ls, rc, &err);
    }
    mem_wipe(&o.names_key, sizeof o.names_key);
    config_free(table, &o);
    return code;
}

const struct cli_command cli_ls = {
    "ls",
    "[options] [s3://BUCKET[/PREFIX]]",
    "list buckets or objects",
    "List the buckets, or the objects whose keys begin with PREFIX. Without "
    "--recursive, keys that go on after the next '/' are shown as one folder; "
    "with --versions none is. "
    "Times are UTC. Exits 1 when nothing begins with PREFIX.",
    table,
    run,
};
