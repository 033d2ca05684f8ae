/* godwit node and godwit drive: what a cluster is made of. */
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
    bool force;
    bool json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "force", BOOL, force, NULL, 0, 0, NULL,
            "remove: it is lost; what was on it is rebuilt from the other "
            "shards."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "list: print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static void print_nodes(const char *json)
{
    size_t count = json_count(json, "cluster.servers");

    printf("%-4s %-20s %-10s %-9s %-9s %-6s %-22s %s\n", "ID", "NAME", "ZONE",
           "STATE", "CATALOGUE", "HEARD", "ADDRESS", "ENDPOINT");
    for (size_t i = 0; i < count; i++) {
        const char *s = json_item(json, "cluster.servers", i);
        char *name = json_text(s, "name"), *zone = json_text(s, "zone");
        char *state = json_text(s, "state"), *role = json_text(s, "catalogue");
        char *address = json_text(s, "address");
        char *endpoint = json_text(s, "endpoint");
        uint64_t id = json_u64(s, "id");
        bool leads = json_u64(json, "catalogue.leader") == id;
        printf("%-4llu %-20s %-10s %-9s %-9s %-6s %-22s %s\n",
               (unsigned long long)id, name, zone, state,
               leads ? "leads" : role, json_true(s, "heard") ? "yes" : "NO",
               address, endpoint);
        free(name);
        free(zone);
        free(state);
        free(role);
        free(address);
        free(endpoint);
    }
}

static void print_drives(const char *json)
{
    size_t count = json_count(json, "cluster.drives");

    printf("%-5s %-6s %-10s %-9s %8s %8s %10s %10s %10s\n", "DRIVE", "NODE",
           "ZONE", "STATE", "SLOTS", "SHARDS", "USED", "FREE", "SIZE");
    for (size_t i = 0; i < count; i++) {
        const char *d = json_item(json, "cluster.drives", i);
        char *zone = json_text(d, "zone"), *state = json_text(d, "state");
        char *reason = json_text(d, "reason");
        char used[24], room[24], size[24];
        printf("%-5llu %-6llu %-10s %-9s %8llu %8llu %10s %10s %10s\n",
               (unsigned long long)json_u64(d, "id"),
               (unsigned long long)json_u64(d, "server"), zone, state,
               (unsigned long long)json_u64(d, "slots"),
               (unsigned long long)json_u64(d, "shards"),
               cli_size(json_u64(d, "used_bytes"), true, used),
               cli_size(json_u64(d, "free_bytes"), true, room),
               cli_size(json_u64(d, "size_bytes"), true, size));
        if (reason[0] != '\0') {
            printf("      %s\n", reason);
        }
        free(zone);
        free(state);
        free(reason);
    }
}

static int list(const struct options *o, bool nodes, struct err *err)
{
    struct buf json = {0};
    size_t len;
    int rc = cli_ask(&o->common, o->data, "GET", "/-/status", NULL, &json, err);

    if (rc == 0 && json_find((char *)json.data, "cluster", &len) == NULL) {
        rc = err_set(err, ERR_PRECONDITION,
                     "this server stands alone; godwit status shows its "
                     "drives");
    }
    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0 && nodes) {
        print_nodes((char *)json.data);
    } else if (rc == 0) {
        print_drives((char *)json.data);
    }
    buf_free(&json);
    return rc;
}

static int act(const struct options *o, bool node, const char *action,
               const char *which, struct err *err)
{
    const char *const pairs[] = {
        node ? "server" : "drive", which, "action", action, "force",
        o->force ? "true" : NULL,  NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "POST",
                     node ? "/-/servers" : "/-/drives", pairs, &json, err);

    buf_free(&json);
    if (rc == 0 && strcmp(action, "drain") == 0) {
        printf("%s %s is being emptied; godwit status shows how far it is\n",
               node ? "server" : "drive", which);
    } else if (rc == 0) {
        printf(
            "%s %s %s\n", node ? "server" : "drive", which,
            strcmp(action, "remove") == 0 ? "was removed" : "takes data again");
    }
    return rc;
}

static bool is_action(const char *word)
{
    return strcmp(word, "drain") == 0 || strcmp(word, "resume") == 0 ||
           strcmp(word, "remove") == 0;
}

static int act_on(struct options *o, bool node, int rest, char **argv,
                  struct err *err)
{
    if (strcmp(argv[1], "list") == 0 && rest == 1) {
        return list(o, node, err);
    }
    if (is_action(argv[1]) && rest == 2) {
        return act(o, node, argv[1], argv[2], err);
    }
    return err_set(err, ERR_BAD_INPUT,
                   "say list, or drain, resume or remove and %s",
                   node ? "a server's id or name" : "a drive's id");
}

static int act_on_node(void *options, int rest, char **argv, struct err *err)
{
    return act_on(options, true, rest, argv, err);
}

static int act_on_drive(void *options, int rest, char **argv, struct err *err)
{
    return act_on(options, false, rest, argv, err);
}

static int run_node(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_node, &o, argc, argv, 1, 2, act_on_node);
}

static int run_drive(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_drive, &o, argc, argv, 1, 2, act_on_drive);
}

const struct cli_command cli_node = {
    "node",
    "list|drain|resume|remove [options] [SERVER]",
    "show, empty and remove the servers of a cluster",
    "list shows the servers of the cluster. drain moves everything off a "
    "server's drives, and resume lets it take data again. remove lets go of a "
    "server for ever: one that is empty, or with --force one that is lost. A "
    "server is named by its id or its name; one is added by godwit server "
    "--join.",
    table,
    run_node,
};

const struct cli_command cli_drive = {
    "drive",
    "list|drain|resume|remove [options] [DRIVE]",
    "show, empty and remove the drives of a cluster",
    "list shows the drives of all servers. drain moves everything off a drive, "
    "and resume lets it take data again. remove lets go of a drive for ever: "
    "one that is empty, or with --force one that is lost. A drive is added by "
    "starting its server with one more --drive.",
    table,
    run_drive,
};
