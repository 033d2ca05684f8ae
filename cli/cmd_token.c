/* godwit token: who may join the cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli.h"

struct options {
    struct cli_options common;
    char *data;
    uint64_t expires_ms;
    uint64_t uses;
    char *note;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "expires", DURATION, expires_ms, "1h", 1000,
            (uint64_t)365 * 86400 * 1000, "TIME",
            "create: until when it lets in."),
    CLI_ROW(struct options, "uses", UINT, uses, "1", 1, 1000, "N",
            "create: how many servers it lets in."),
    CLI_ROW(struct options, "note", STRING, note, NULL, 0, 0, "TEXT",
            "create: what it is for; shown by list."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static int create(const struct options *o, struct err *err)
{
    char *expires =
        mem_printf("%llu", (unsigned long long)(o->expires_ms + 999) / 1000);
    char *uses = mem_printf("%llu", (unsigned long long)o->uses);
    const char *const pairs[] = {"expires", expires, "uses", uses,
                                 "note",    o->note, NULL};
    struct buf json = {0};
    int rc =
        cli_ask(&o->common, o->data, "POST", "/-/tokens", pairs, &json, err);

    if (rc == 0) {
        char *token = json_text((char *)json.data, "token");
        printf("%s\n", token);
        mem_wipe(token, strlen(token));
        free(token);
    }
    buf_wipe(&json);
    free(expires);
    free(uses);
    return rc;
}

static int list(const struct options *o, struct err *err)
{
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", "/-/tokens", NULL, &json, err);
    size_t count = rc == 0 ? json_count((char *)json.data, "tokens") : 0;

    if (rc == 0) {
        printf("%-16s %-19s %-19s %5s  %s\n", "TOKEN", "CREATED", "EXPIRES",
               "USES", "NOTE");
    }
    for (size_t i = 0; i < count; i++) {
        const char *t = json_item((char *)json.data, "tokens", i);
        char *id = json_text(t, "id");
        char *note = json_text(t, "note");
        char created[40], expires[40];
        printf("%-16s %-19s %-19s %5llu  ", id,
               cli_time(json_u64(t, "created_ms"), created),
               cli_time(json_u64(t, "expires_ms"), expires),
               (unsigned long long)json_u64(t, "uses"));
        cli_print_name(note);
        putchar('\n');
        free(id);
        free(note);
    }
    buf_free(&json);
    return rc;
}

static int revoke(const struct options *o, const char *id, struct err *err)
{
    const char *const pairs[] = {"id", id, NULL};
    struct buf json = {0};
    int rc =
        cli_ask(&o->common, o->data, "DELETE", "/-/tokens", pairs, &json, err);

    buf_free(&json);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    if (strcmp(argv[1], "create") == 0 && rest == 1) {
        rc = create(o, err);
    } else if (strcmp(argv[1], "list") == 0 && rest == 1) {
        rc = list(o, err);
    } else if (strcmp(argv[1], "revoke") == 0 && rest == 2) {
        rc = revoke(o, argv[2], err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say create, list, or revoke TOKEN as list shows it");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_token, &o, argc, argv, 1, 2, act);
}

const struct cli_command cli_token = {
    "token",
    "create|list|revoke [options] [TOKEN]",
    "make and revoke tokens with which servers join",
    "Make a token with which a server joins the cluster: godwit server --join "
    "ADDR:PORT --token TOKEN. create prints it once; list shows those that can "
    "be used or were lately, by the start of their hash; revoke ends one.",
    table,
    run,
};
