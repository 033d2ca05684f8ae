/* godwit explain: where every shard of an object lies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/cli.h"

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

static void print_shard(const char *s)
{
    char *kind = json_text(s, "kind"), *state = json_text(s, "state");
    char *name = json_text(s, "name"), *zone = json_text(s, "zone");

    printf("    slot %-3llu %-7s drive %-5llu %10llu bytes  %-8s",
           (unsigned long long)json_u64(s, "slot"), kind,
           (unsigned long long)json_u64(s, "drive"),
           (unsigned long long)json_u64(s, "bytes"),
           strcmp(state, "here") == 0      ? "here"
           : strcmp(state, "missing") == 0 ? "MISSING"
                                           : "SILENT");
    if (name[0] != '\0') {
        printf(" server %llu (%s), zone %s",
               (unsigned long long)json_u64(s, "server"), name, zone);
    }
    putchar('\n');
    free(kind);
    free(state);
    free(name);
    free(zone);
}

static void print_chunk(const char *c)
{
    char *ec = json_text(c, "ec"), *id = json_text(c, "id");
    uint64_t part = json_u64(c, "part");
    size_t count = json_count(c, "shards");

    printf("\n  ");
    if (part > 0) {
        printf("part %llu ", (unsigned long long)part);
    }
    printf("chunk %llu: %llu bytes", (unsigned long long)json_u64(c, "chunk"),
           (unsigned long long)json_u64(c, "bytes"));
    if (json_u64(c, "plain_bytes") > json_u64(c, "bytes")) {
        printf(" (zstd, of %llu)",
               (unsigned long long)json_u64(c, "plain_bytes"));
    }
    printf(" by %s in placement group %llu, id %s\n", ec,
           (unsigned long long)json_u64(c, "group"), id);
    for (size_t i = 0; i < count; i++) {
        print_shard(json_item(c, "shards", i));
    }
    free(ec);
    free(id);
}

static void print_object(const char *json)
{
    char *kept = json_text(json, "kept");
    size_t count = json_count(json, "chunks");

    printf("%llu bytes", (unsigned long long)json_u64(json, "bytes"));
    if (strcmp(kept, "catalogue") == 0) {
        printf(
            ", small enough to be kept in the catalogue itself, on every "
            "server\n");
    } else if (strcmp(kept, "parts") == 0) {
        printf(" in %llu parts\n", (unsigned long long)json_u64(json, "parts"));
    } else {
        putchar('\n');
    }
    for (size_t i = 0; i < count; i++) {
        print_chunk(json_item(json, "chunks", i));
    }
    if (json_true(json, "truncated")) {
        printf("\n  ... and more chunks\n");
    }
    if (json_u64(json, "shards_lost") > 0) {
        printf("\n%llu shards are not where they should be\n",
               (unsigned long long)json_u64(json, "shards_lost"));
    }
    free(kept);
}

static int explain(const struct options *o, const char *name, struct err *err)
{
    struct buf json = {0};
    struct cli_target t;
    int rc = cli_object(name, false, &t, err);

    if (rc != 0) {
        return rc;
    }
    const char *const pairs[] = {"bucket", t.bucket, "key", t.key, NULL};
    rc = cli_ask(&o->common, o->data, "GET", "/-/explain", pairs, &json, err);
    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0) {
        print_object((char *)json.data);
    }
    buf_free(&json);
    cli_target_free(&t);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;

    (void)rest;
    return explain(o, argv[1], err);
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_explain, &o, argc, argv, 1, 1, act);
}

const struct cli_command cli_explain = {
    "explain",
    "[options] s3://BUCKET/KEY",
    "show where every shard of an object lies",
    "Show for each chunk of an object by which code it is stored, in which "
    "placement group, and for each shard the drive, server and zone, and "
    "whether it is there.",
    table,
    run,
};
