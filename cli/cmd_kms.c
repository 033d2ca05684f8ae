/* godwit kms: the keys that wrap the keys of objects. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/cli.h"

#define PATH "/-/master-keys"

struct options {
    struct cli_options common;
    char *data;
    bool json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static int list(const struct options *o, struct err *err)
{
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", PATH, NULL, &json, err);
    size_t count = rc == 0 ? json_count((char *)json.data, "keys") : 0;

    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
        count = 0;
    } else if (rc == 0) {
        printf("%-24s %6s  %-19s  %-19s  %s\n", "KEY", "NUMBER", "CREATED",
               "ROTATED", "STATE");
    }
    for (size_t i = 0; i < count; i++) {
        const char *k = json_item((char *)json.data, "keys", i);
        char *name = json_text(k, "name");
        char created[40], rotated[40];
        printf("%-24s %6llu  %-19s  %-19s  %s\n", name,
               (unsigned long long)json_u64(k, "number"),
               cli_time(json_u64(k, "created_ms"), created),
               cli_time(json_u64(k, "rotated_ms"), rotated),
               json_true(k, "disabled") ? "disabled" : "enabled");
        free(name);
    }
    buf_free(&json);
    return rc;
}

static int change(const struct options *o, const char *what, const char *name,
                  struct err *err)
{
    const char *const pairs[] = {"name", name, what, "", NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "POST", PATH, pairs, &json, err);

    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0 && json_u64((char *)json.data, "number") > 0) {
        printf("%s: number %llu\n", name,
               (unsigned long long)json_u64((char *)json.data, "number"));
    }
    buf_free(&json);
    return rc;
}

static bool is_change(const char *word)
{
    static const char *const words[] = {"create", "rotate", "disable",
                                        "enable"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    if (strcmp(argv[1], "ls") == 0 && rest == 1) {
        rc = list(o, err);
    } else if (is_change(argv[1]) && rest == 2) {
        rc = change(o, argv[1], argv[2], err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say ls, or create, rotate, disable or enable NAME");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_kms, &o, argc, argv, 1, 2, act);
}

const struct cli_command cli_kms = {
    "kms",
    "ls | create|rotate|disable|enable NAME [options]",
    "make and rotate the keys of encryption",
    "Objects that are put with aws:kms name one of these keys; \"s3\" is the "
    "one behind AES256 and behind aws:kms without a name. rotate gives a name "
    "a new number, which wraps the keys of what is put from then on; what is "
    "there stays readable by the older numbers. What a disabled key wraps is "
    "neither read nor written until it is enabled again. The keys are in the "
    "catalogue, wrapped by the file master.key, which is not.",
    table,
    run,
};
