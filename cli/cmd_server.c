/* godwit server: a whole store in one process. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/cli.h"
#include "gateway/gateway.h"

#define FILES_MAX 65536

static void usage(FILE *out)
{
    struct buf b = {0};

    config_help(server_table, &b);
    fprintf(out,
            "usage: godwit server --data DIR [options]\n\n"
            "Serve S3 from DIR: catalogue, drives and gateway in one "
            "process.\n\n%s\n"
            "  --config FILE           Read options from FILE first, one "
            "\"key = value\" a line.\n\n"
            "Root credentials come from GODWIT_ACCESS_KEY_ID and\n"
            "GODWIT_SECRET_ACCESS_KEY, or else from DIR/credentials, which "
            "the first start\nmakes.\n",
            (const char *)b.data);
    buf_free(&b);
}

static void say_how_to_use(const struct gateway *g,
                           const struct server_options *o)
{
    const char *endpoint = gateway_endpoint(g);

    printf("Godwit serves S3 on %s\n", endpoint);
    if (gateway_ca_file(g) != NULL) {
        printf("CA to trust: %s (curl --cacert)\n", gateway_ca_file(g));
    }
    if (getenv("GODWIT_ACCESS_KEY_ID") == NULL) {
        printf("Credentials: %s/credentials%s\n\n", o->data,
               gateway_made_credentials(g) ? " (made now)" : "");
        printf(
            "  export AWS_SHARED_CREDENTIALS_FILE=%s/credentials "
            "AWS_DEFAULT_REGION=%s\n",
            o->data, o->region);
    } else {
        printf("Credentials: from the environment\n\n");
    }
    if (gateway_ca_file(g) != NULL) {
        printf("  export AWS_CA_BUNDLE=%s GODWIT_CA_BUNDLE=%s\n",
               gateway_ca_file(g), gateway_ca_file(g));
    }
    printf(
        "  aws --endpoint-url %s s3 mb s3://photos\n"
        "  aws --endpoint-url %s s3 cp README.md s3://photos/\n"
        "  aws --endpoint-url %s s3 ls s3://photos\n\n",
        endpoint, endpoint, endpoint);
    fflush(stdout);
}

/* Sockets, segments and SQLite need more than the usual 1,024. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FILES_MAX) {
        limit.rlim_cur =
            limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int wait_for_signal(const sigset_t *set)
{
    int number = 0;

    while (sigwait(set, &number) != 0) {
    }
    return number;
}

/* --config FILE is read before the flags, which win over it. */
static int read_options(int argc, char **argv, struct server_options *o,
                        struct err *err)
{
    int rest = 0;
    int rc;

    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--config") == 0) {
            rc = config_file(server_table, o, argv[i + 1], err);
            if (rc != 0) {
                return rc;
            }
            memmove(&argv[i], &argv[i + 2],
                    sizeof argv[0] * (size_t)(argc - i - 2));
            argc -= 2;
            break;
        }
    }
    rc = config_args(server_table, o, argc - 1, argv + 1, &rest, err);
    if (rc == 0 && rest > 0) {
        rc = err_set(err, ERR_BAD_INPUT, "%s: not an option of godwit server",
                     argv[1]);
    }
    return rc;
}

int cmd_server(int argc, char **argv)
{
    struct server_options o = {0};
    struct gateway *g = NULL;
    struct err err = {{0}};
    enum log_level level;
    sigset_t set;
    int rc;

    if (argc > 1 &&
        (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        usage(stdout);
        return 0;
    }
    config_init(server_table, &o);
    rc = read_options(argc, argv, &o, &err);
    if (rc == 0 && !log_level_parse(o.log_level, &level)) {
        rc = err_set(&err, ERR_BAD_INPUT,
                     "log-level: %s is not error, warn, info or debug",
                     o.log_level);
    }
    if (rc != 0) {
        fprintf(stderr, "godwit server: %s\nTry: godwit server --help\n",
                err.text);
        config_free(server_table, &o);
        return 2;
    }
    log_set_level(level);
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread is made */
    rc = gateway_start(&o, &g, &err);
    if (rc != 0) {
        fprintf(stderr, "godwit server: %s\n", err.text);
        config_free(server_table, &o);
        return rc == ERR_BAD_INPUT ? 2 : 1;
    }
    log_line(LOG_INFO, "serving", "endpoint", gateway_endpoint(g), "data",
             o.data, "version", GODWIT_VERSION, NULL);
    say_how_to_use(g, &o);
    rc = wait_for_signal(&set);
    log_line(LOG_INFO, "stopping", "signal", rc == SIGINT ? "INT" : "TERM",
             NULL);
    gateway_stop(g);
    log_line(LOG_INFO, "stopped", NULL);
    config_free(server_table, &o);
    return 0;
}
