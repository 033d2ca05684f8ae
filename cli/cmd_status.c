/* godwit status: how the server, its drives and its catalogue are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "client/s3_client.h"

struct options {
    struct cli_options common;
    bool json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static char *human(const char *json, const char *path, char out[24])
{
    return cli_size(json_u64(json, path), true, out);
}

static void print_uptime(uint64_t s)
{
    unsigned long long v = s;

    if (v >= 86400) {
        printf("%llud %lluh", v / 86400, v / 3600 % 24);
    } else if (v >= 3600) {
        printf("%lluh %llum", v / 3600, v / 60 % 60);
    } else {
        printf("%llum %llus", v / 60, v % 60);
    }
}

/* One line for each drive; gives how many are not up. */
static size_t print_drives(const char *json)
{
    size_t count = json_count(json, "drives");
    size_t bad = 0;

    printf("\n%-6s %-7s %10s %10s %10s %8s %8s  %s\n", "DRIVE", "STATE", "USED",
           "FREE", "SIZE", "SHARDS", "CORRUPT", "PATH");
    for (size_t i = 0; i < count; i++) {
        size_t len;
        char *prefix = mem_printf("drives.%zu", i);
        const char *drive = json_find(json, prefix, &len);
        char *state = json_text(drive, "state");
        char *reason = json_text(drive, "reason");
        char *path = json_text(drive, "path");
        char used[24], free_text[24], size[24];
        printf("%-6llu %-7s %10s %10s %10s %8llu %8llu  ",
               (unsigned long long)json_u64(drive, "id"), state,
               human(drive, "used_bytes", used),
               human(drive, "free_bytes", free_text),
               human(drive, "size_bytes", size),
               (unsigned long long)json_u64(drive, "shards"),
               (unsigned long long)json_u64(drive, "corrupt"));
        cli_print_name(path);
        putchar('\n');
        if (strcmp(state, "up") != 0) {
            bad++;
            printf("       %s\n", reason);
        }
        free(prefix);
        free(state);
        free(reason);
        free(path);
    }
    return bad;
}

/* Gives false when a drive is not up. */
static bool print_status(const char *endpoint, const char *json)
{
    char *version = json_text(json, "version");
    char *ec = json_text(json, "ec");
    char log_size[24], db_size[24], used[24], budget[24];
    size_t bad;

    printf("%s  godwit %s  erasure code %s  up ", endpoint, version, ec);
    print_uptime(json_u64(json, "uptime_s"));
    putchar('\n');
    bad = print_drives(json);
    printf(
        "\nCatalogue  %llu buckets, %llu objects, %llu uploads, %llu chunks "
        "to collect\n",
        (unsigned long long)json_u64(json, "catalogue.buckets"),
        (unsigned long long)json_u64(json, "catalogue.objects"),
        (unsigned long long)json_u64(json, "catalogue.uploads"),
        (unsigned long long)json_u64(json, "catalogue.garbage"));
    printf("           index %llu, log %s, database %s\n",
           (unsigned long long)json_u64(json, "catalogue.applied_index"),
           human(json, "catalogue.log_bytes", log_size),
           human(json, "catalogue.database_bytes", db_size));
    printf("Memory     %s of %s for bodies\n",
           human(json, "memory.pool_used", used),
           human(json, "memory.pool_budget", budget));
    printf(
        "Repair     %llu degraded reads, %llu shards repaired, %llu "
        "waiting\n",
        (unsigned long long)json_u64(json, "object.reads_degraded"),
        (unsigned long long)json_u64(json, "object.shards_repaired"),
        (unsigned long long)json_u64(json, "object.repairs_waiting"));
    free(version);
    free(ec);
    return bad == 0;
}

static int status(const struct options *o, bool *well, struct err *err)
{
    const char *endpoint = cli_endpoint(&o->common);
    struct buf json = {0};
    struct s3_client *c;
    size_t len;
    int rc = cli_open(&o->common, &c, err);

    if (rc != 0) {
        return rc;
    }
    rc = s3_client_ask(c, "GET", "/-/status", NULL, &json, err);
    s3_client_free(c);
    if (rc != 0) {
        goto done;
    }
    buf_char(&json, '\0');
    if (json_find((char *)json.data, "version", &len) == NULL) {
        rc = err_set(err, ERR_CORRUPT, "%s does not answer as Godwit does",
                     endpoint);
    } else if (o->json) {
        fputs((char *)json.data, stdout);
    } else {
        *well = print_status(endpoint, (char *)json.data);
    }
done:
    buf_free(&json);
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;
    struct err err = {{0}};
    bool well = true;
    int code = CLI_OK;
    int rest;
    int rc;

    if (!cli_args(&cli_status, &o, argc, argv, 0, 0, &rest, &code)) {
        return code;
    }
    rc = status(&o, &well, &err);
    if (rc != 0) {
        code = cli_fail(&cli_status, rc, &err);
    } else if (!well) {
        code = CLI_FAILED;
    }
    config_free(table, &o);
    return code;
}

const struct cli_command cli_status = {
    "status",
    "[options]",
    "show server, drives, catalogue and repair",
    "Show how a server is: its drives with their state and space, the "
    "catalogue, memory for bodies, and repair. Exits 1 when a drive is not up, "
    "or when the server does not answer.",
    table,
    run,
};
