/* cli.h: what every command of godwit shares.
 *
 * A command is a struct cli_command: `godwit help`, `godwit CMD --help` and the
 * man page are printed from it, so that each option is stated once, in its
 * table. Exit codes: 0 done, 1 failed, 2 asked wrongly.
 *
 * Threads: one.
 */
#ifndef GODWIT_CLI_CLI_H
#define GODWIT_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"

struct buf;
struct credentials;
struct err;
struct s3_client;

#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2

struct cli_command {
    const char *name;                  /* "ls" */
    const char *usage;                 /* "[s3://BUCKET[/PREFIX]]" */
    const char *summary;               /* one line, no full stop */
    const char *details;               /* sentences; blank lines part them */
    const struct config_row *table;    /* options; NULL for none */
    int (*run)(int argc, char **argv); /* argv[0] is the name */
};

/* Commands whose files export no struct of their own. */
int cmd_server(int argc, char **argv);
int cmd_verify(int argc, char **argv);

extern const struct cli_command cli_status;
extern const struct cli_command cli_mb;
extern const struct cli_command cli_ls;
extern const struct cli_command cli_cp;
extern const struct cli_command cli_cat;
extern const struct cli_command cli_rm;
extern const struct cli_command cli_stat;
extern const struct cli_command cli_bench;
extern const struct cli_command cli_token;
extern const struct cli_command cli_node;
extern const struct cli_command cli_drive;
extern const struct cli_command cli_explain;
extern const struct cli_command cli_user;
extern const struct cli_command cli_key;
extern const struct cli_command cli_edge;
extern const struct cli_command cli_kms;
extern const struct cli_command cli_erase;
extern const struct cli_command cli_receipt;
extern const struct cli_command cli_audit;
extern const struct cli_command cli_catalogue;
extern const struct cli_command cli_bucket;
extern const struct cli_command cli_cluster;
extern const struct cli_command cli_identity;
extern const struct cli_command cli_seal;
extern const struct cli_command cli_open_command;

/* ---- options ---- */

/* Stands first in the options of every command that asks a server. */
struct cli_options {
    char *endpoint;
    char *region;
    char *profile;
    char *ca;
    bool insecure;
    uint64_t answer_timeout_ms; /* 0: 60 s */
};

#define CLI_ROW(type, key, kind, field, deflt, min, max, arg, help)           \
    {                                                                         \
        key, CONFIG_##kind, offsetof(type, field), deflt, min, max, arg, help \
    }

/* Rows of struct cli_options; @type has it as its member `common`. */
#define CLI_ROWS(type)                                                        \
    CLI_ROW(type, "endpoint", STRING, common.endpoint, NULL, 0, 0, "URL",     \
            "Server to ask. Default: $GODWIT_ENDPOINT, or else "              \
            "http://127.0.0.1:9000."),                                        \
        CLI_ROW(type, "region", STRING, common.region, NULL, 0, 0, "NAME",    \
                "Region to sign for. Default: $AWS_REGION, "                  \
                "$AWS_DEFAULT_REGION, the profile's, or else us-east-1."),    \
        CLI_ROW(type, "profile", STRING, common.profile, NULL, 0, 0, "NAME",  \
                "Section of the credentials file. Default: $AWS_PROFILE, or " \
                "else \"default\"."),                                         \
        CLI_ROW(                                                              \
            type, "ca", STRING, common.ca, NULL, 0, 0, "FILE",                \
            "Trust the certificates in FILE (PEM) and no others. Default: "   \
            "$GODWIT_CA_BUNDLE, or else the system's."),                      \
        CLI_ROW(type, "insecure", BOOL, common.insecure, NULL, 0, 0, NULL,    \
                "Do not check the server's certificate."),                    \
        CLI_ROW(type, "answer-timeout", DURATION, common.answer_timeout_ms,   \
                NULL, 0, 86400000, "TIME",                                    \
                "Wait so long for the next bytes of an answer. Default: "     \
                "60s; catalogue backup: an hour.")

/* Of commands for operators; @type has `char *data`. */
#define CLI_ROW_DATA(type)                                                   \
    CLI_ROW(type, "data", STRING, data, NULL, 0, 0, "DIR",                   \
            "Ask the server that runs on this machine over the folder DIR; " \
            "no credentials are needed.")

#define CLI_ROWS_END                                 \
    {                                                \
        NULL, CONFIG_BOOL, 0, NULL, 0, 0, NULL, NULL \
    }

/* Set @options' defaults and read the flags; what is left stands from
 * argv[1] on, @rest words of @rest_min to @rest_max. False: --help was printed
 * or a sentence of complaint; exit with *@code (nothing to free). */
bool cli_args(const struct cli_command *c, void *options, int argc, char **argv,
              int rest_min, int rest_max, int *rest, int *code);

/* All of a command that fails at once or not at all: cli_args, then @act with
 * what is left, then cli_fail with what it gives, and the exit code. */
int cli_do(const struct cli_command *c, void *options, int argc, char **argv,
           int rest_min, int rest_max,
           int (*act)(void *options, int rest, char **argv, struct err *err));

/* "usage: godwit NAME ..." with details and options. */
void cli_usage(const struct cli_command *c);

/* Find endpoint, region and credentials and give a client. */
int cli_open(const struct cli_options *o, struct s3_client **out,
             struct err *err);

/* The same for the server on this machine whose folder is @data, by the keys
 * that it keeps there while it runs; as cli_open when @data is NULL. */
int cli_open_admin(const struct cli_options *o, const char *data,
                   struct s3_client **out, struct err *err);

/* Ask a path below /-/ (s3_client_ask) for JSON. */
int cli_ask(const struct cli_options *o, const char *data, const char *method,
            const char *path, const char *const *pairs, struct buf *json,
            struct err *err);

/* The same by POST with a body. */
int cli_tell(const struct cli_options *o, const char *data, const char *path,
             const char *const *pairs, const void *body, size_t len,
             struct buf *json, struct err *err);

/* As cli_open, but only the keys; region is set. */
int cli_credentials(const struct cli_options *o, struct credentials *out,
                    struct err *err);

/* The endpoint that cli_open_admin would ask; free(). */
char *cli_admin_endpoint(const struct cli_options *o, const char *data);
/* The endpoint that cli_open would ask; borrowed. */
const char *cli_endpoint(const struct cli_options *o);

/* ---- names ---- */

struct cli_target {
    char *bucket; /* "" for none */
    char *key;    /* "" for none */
};

/* "s3://bucket/key", or without @scheme "bucket/key" too. ERR_BAD_INPUT. */
int cli_target(const char *s, bool scheme, struct cli_target *out,
               struct err *err);
/* As cli_target, and it must name an object. */
int cli_object(const char *s, bool scheme, struct cli_target *out,
               struct err *err);
void cli_target_free(struct cli_target *t);
bool cli_is_remote(const char *s); /* begins with s3:// */

/* ---- talk ---- */

/* "godwit NAME: sentence" on stderr; gives CLI_FAILED, or CLI_USAGE when @rc
 * is ERR_BAD_INPUT. */
int cli_fail(const struct cli_command *c, int rc, const struct err *err);

/* A key or path for people: control bytes become '?' when stdout is a
 * terminal, so that no name moves the cursor. */
void cli_print_name(const char *name);

/* "1.5 GiB" or, not @human, "1610612736". */
char *cli_size(uint64_t bytes, bool human, char out[24]);

/* "2026-11-23 01:02:03" in UTC. */
char *cli_time(uint64_t time_ms, char out[40]);

/* Ask on the terminal; false unless the answer begins with y. */
bool cli_confirm(const char *question);

#endif
