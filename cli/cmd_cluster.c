/* godwit cluster: what concerns all servers at once. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/cli.h"

#define POLL_MS 500
#define SAY_MS 5000  /* when there is no terminal */
#define PLAN_MS 3000 /* the mover has planned by then */

struct options {
    struct cli_options common;
    char *data;
    bool wait;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "wait", BOOL, wait, "true", 0, 0, NULL,
            "rebalance: until nothing is to move, and show how far it is; "
            "--no-wait only asks for it."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

struct progress {
    uint64_t left, homeless, degraded;
};

static int look(const struct options *o, struct progress *p, struct err *err)
{
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", "/-/status", NULL, &json, err);

    if (rc == 0) {
        const char *s = (const char *)json.data;
        p->left = json_u64(s, "cluster.layout.moves_left");
        p->homeless = json_u64(s, "cluster.layout.homeless");
        p->degraded = json_u64(s, "cluster.layout.degraded");
    }
    buf_free(&json);
    return rc;
}

static void show(const struct progress *p, uint64_t most, bool terminal)
{
    uint64_t done = most > p->left ? most - p->left : 0;

    printf("%s%llu of %llu slots moved%s", terminal ? "\r" : "",
           (unsigned long long)done, (unsigned long long)most,
           terminal ? "   " : "\n");
    fflush(stdout);
}

/* Until nothing is left, for a time in which a plan would have been made. */
static int follow(const struct options *o, struct err *err)
{
    bool terminal = isatty(STDOUT_FILENO) != 0;
    uint64_t most = 0, said_ms = 0, quiet_ms = clock_mono_ms();
    struct progress p = {0};
    int rc;

    while ((rc = look(o, &p, err)) == 0) {
        uint64_t now = clock_mono_ms();
        most = p.left > most ? p.left : most;
        if (p.left > 0) {
            quiet_ms = now;
        }
        if (most > 0 && (terminal || said_ms == 0 || now - said_ms > SAY_MS)) {
            show(&p, most, terminal);
            said_ms = now;
        }
        if (now - quiet_ms > PLAN_MS) {
            break;
        }
        clock_sleep_ms(POLL_MS);
    }
    if (terminal && most > 0) {
        putchar('\n');
    }
    if (rc == 0) {
        printf("nothing is to move; %llu groups miss shards%s\n",
               (unsigned long long)p.degraded,
               p.homeless > 0 ? "; some slots have nowhere to go" : "");
    }
    return rc;
}

static int rebalance(const struct options *o, struct err *err)
{
    struct buf json = {0};
    int rc =
        cli_ask(&o->common, o->data, "POST", "/-/rebalance", NULL, &json, err);

    buf_free(&json);
    if (rc == 0 && o->wait) {
        rc = follow(o, err);
    } else if (rc == 0) {
        printf("a new plan is made; godwit status shows how far it is\n");
    }
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    (void)rest;
    if (strcmp(argv[1], "rebalance") == 0) {
        rc = rebalance(o, err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT, "say rebalance");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_cluster, &o, argc, argv, 1, 1, act);
}

const struct cli_command cli_cluster = {
    "cluster",
    "rebalance [options]",
    "spread what is stored over the drives anew",
    "rebalance has a new plan made from the drives as they are now, and waits "
    "until it is carried out. It happens by itself when servers and drives "
    "come and go; this is for who does not want to wait for that to be "
    "noticed, or wants to see it through.",
    table,
    run,
};
