/* godwit status: how the server, its drives and its catalogue are. */
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

/* The bucket that this server stores anew, if any. */
static void print_recoding(const char *json)
{
    char *bucket = json_text(json, "recoding.bucket");

    if (bucket != NULL && bucket[0] != '\0') {
        printf("Recoding   %s: %llu of %llu objects, about %llu s left\n",
               bucket,
               (unsigned long long)json_u64(json, "recoding.objects_done"),
               (unsigned long long)json_u64(json, "recoding.objects"),
               (unsigned long long)json_u64(json, "recoding.eta_s"));
    }
    free(bucket);
}

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
        const char *drive = json_item(json, "drives", i);
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
        if (strcmp(state, "up") != 0 && strcmp(state, "removed") != 0) {
            bad++;
            printf("       %s\n", reason);
        }
        free(state);
        free(reason);
        free(path);
    }
    return bad;
}

/* A line for each server; gives how many are not heard. */
static size_t print_servers(const char *json)
{
    size_t count = json_count(json, "cluster.servers");
    uint64_t leader = json_u64(json, "catalogue.leader");
    size_t bad = 0;

    printf("\n%-7s %-20s %-10s %-9s %-10s %-22s %s\n", "SERVER", "NAME", "ZONE",
           "STATE", "CATALOGUE", "ADDRESS", "ENDPOINT");
    for (size_t i = 0; i < count; i++) {
        const char *s = json_item(json, "cluster.servers", i);
        char *name = json_text(s, "name"), *zone = json_text(s, "zone");
        char *state = json_text(s, "state"), *role = json_text(s, "catalogue");
        char *endpoint = json_text(s, "endpoint");
        char *address = json_text(s, "address");
        uint64_t id = json_u64(s, "id");
        bool heard = json_true(s, "heard");
        printf("%-7llu %-20s %-10s %-9s %-10s %-22s %s\n",
               (unsigned long long)id, name, zone, heard ? state : "SILENT",
               id == leader ? "leads" : role, address, endpoint);
        bad += !heard;
        free(name);
        free(zone);
        free(state);
        free(role);
        free(endpoint);
        free(address);
    }
    return bad;
}

/* Gives how many drives do not answer as they should. */
static size_t print_capacity(const char *json)
{
    size_t count = json_count(json, "cluster.drives"), bad = 0;
    uint64_t used_bytes = 0, free_bytes = 0, shards = 0;
    char used[24], room[24];

    for (size_t i = 0; i < count; i++) {
        const char *d = json_item(json, "cluster.drives", i);
        char *state = json_text(d, "state");
        bad += strcmp(state, "up") != 0 && strcmp(state, "draining") != 0;
        used_bytes += json_u64(d, "used_bytes");
        free_bytes += json_u64(d, "free_bytes");
        shards += json_u64(d, "shards");
        free(state);
    }
    printf(
        "\nDrives     %zu in all, %zu of them not up; %s used, %s free, "
        "%llu shards\n",
        count, bad, cli_size(used_bytes, true, used),
        cli_size(free_bytes, true, room), (unsigned long long)shards);
    return bad;
}

/* Gives false when something is lost, degraded or not where it should be. */
static bool print_layout(const char *json)
{
    char *survives = json_text(json, "cluster.layout.survives");
    uint64_t degraded = json_u64(json, "cluster.layout.degraded");
    uint64_t lost = json_u64(json, "cluster.layout.lost");
    uint64_t moves = json_u64(json, "cluster.layout.moves_left");
    uint64_t eta = json_u64(json, "cluster.layout.eta_s");

    printf("Layout     %llu placement groups; it %s\n",
           (unsigned long long)json_u64(json, "cluster.layout.groups"),
           survives);
    if (degraded > 0 || lost > 0) {
        printf("           %llu groups miss shards, %llu CANNOT BE READ\n",
               (unsigned long long)degraded, (unsigned long long)lost);
    }
    if (moves > 0) {
        printf("Moving     %llu slots are to move", (unsigned long long)moves);
        if (eta > 0) {
            printf(", about %llu s left", (unsigned long long)eta);
        }
        putchar('\n');
    }
    free(survives);
    return degraded == 0 && lost == 0 && moves == 0;
}

/* Gives false when not all is well. */
static bool print_cluster(const char *json)
{
    size_t silent = print_servers(json);
    size_t bad = print_capacity(json);
    bool whole = print_layout(json);
    bool led = json_u64(json, "catalogue.leader") != 0;

    if (!led) {
        printf(
            "NO LEADER  a majority of the servers that vote is not there: "
            "nothing can be written\n");
    }
    if (json_true(json, "removed")) {
        printf(
            "REMOVED    this server was removed from the cluster: stop it\n");
    } else if (!json_true(json, "ready")) {
        printf("NOT READY  this server waits for the catalogue\n");
    }
    return silent == 0 && bad == 0 && whole && led && json_true(json, "ready");
}

/* Gives false when a drive is not up. */
static bool print_status(const char *endpoint, const char *json)
{
    char *version = json_text(json, "version");
    char *ec = json_text(json, "ec");
    char log_size[24], db_size[24], used[24], budget[24];
    size_t bad, len;
    bool well = true;

    printf("%s  godwit %s  erasure code %s  up ", endpoint, version, ec);
    print_uptime(json_u64(json, "uptime_s"));
    putchar('\n');
    if (json_find(json, "cluster", &len) != NULL) {
        well = print_cluster(json);
    }
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
    print_recoding(json);
    free(version);
    free(ec);
    return bad == 0 && well;
}

static int status(const struct options *o, bool *well, struct err *err)
{
    char *endpoint = cli_admin_endpoint(&o->common, o->data);
    struct buf json = {0};
    size_t len;
    int rc = cli_ask(&o->common, o->data, "GET", "/-/status", NULL, &json, err);

    if (rc != 0) {
        goto done;
    }
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
    free(endpoint);
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
    "show servers, drives, catalogue and repair",
    "Show how a server is: its drives with their state and space, the "
    "catalogue, memory for bodies, and repair; of a cluster also its servers, "
    "who leads, what losses the layout survives and what is being moved. Exits "
    "1 when a server or drive is not up, shards are missing or to be moved, "
    "nobody leads, or the server does not answer.",
    table,
    run,
};
