#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/credentials.h"
#include "client/http_conn.h"
#include "client/s3_client.h"

#define ENDPOINT "http://127.0.0.1:9000"
#define BUCKET_MAX 63
#define USAGE_WIDTH 79

/* ---- options ---- */

/* @text broken at blanks into lines; "\n\n" parts paragraphs. */
static void print_wrapped(const char *text)
{
    size_t column = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " \n");
        if (column > 0 && column + 1 + len > USAGE_WIDTH) {
            putchar('\n');
            column = 0;
        } else if (column > 0) {
            putchar(' ');
            column++;
        }
        fwrite(text, 1, len, stdout);
        column += len;
        text += len;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

void cli_usage(const struct cli_command *c)
{
    struct buf b = {0};

    printf("usage: godwit %s %s\n\n", c->name, c->usage);
    print_wrapped(c->details);
    if (c->table != NULL) {
        config_help(c->table, &b);
        printf("\nOptions:\n%s", (const char *)b.data);
        buf_free(&b);
    }
}

/* "-h" or "--help" before any "--". */
static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

/* A word that was left over and looks like an option: "-x", but not "-". */
static const char *stray_flag(char **argv, int rest)
{
    for (int i = 1; i <= rest; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            return argv[i];
        }
    }
    return NULL;
}

bool cli_args(const struct cli_command *c, void *options, int argc, char **argv,
              int rest_min, int rest_max, int *rest, int *code)
{
    bool ended = false; /* by "--": then all that is left are names */
    struct err err = {{0}};

    if (wants_help(argc, argv)) {
        cli_usage(c);
        *code = CLI_OK;
        return false;
    }
    for (int i = 1; i < argc; i++) {
        ended = ended || strcmp(argv[i], "--") == 0;
        /* The only short flag: everyone's fingers know it. */
        if (!ended && strcmp(argv[i], "-r") == 0) {
            argv[i] = (char *)(strcmp(c->name, "seal") == 0 ? "--recipient"
                                                            : "--recursive");
        }
    }
    config_init(c->table, options);
    if (config_args(c->table, options, argc - 1, argv + 1, rest, &err) != 0) {
        fprintf(stderr, "godwit %s: %s\n", c->name, err.text);
    } else if (!ended && stray_flag(argv, *rest) != NULL) {
        fprintf(stderr, "godwit %s: unknown option %s\n", c->name,
                stray_flag(argv, *rest));
    } else if (*rest < rest_min || *rest > rest_max) {
        fprintf(stderr, "godwit %s: too %s arguments\nusage: godwit %s %s\n",
                c->name, *rest < rest_min ? "few" : "many", c->name, c->usage);
    } else {
        return true;
    }
    fprintf(stderr, "Try: godwit %s --help\n", c->name);
    config_free(c->table, options);
    *code = CLI_USAGE;
    return false;
}

int cli_do(const struct cli_command *c, void *options, int argc, char **argv,
           int rest_min, int rest_max,
           int (*act)(void *options, int rest, char **argv, struct err *err))
{
    struct err err = {{0}};
    int code = CLI_OK;
    int rest, rc;

    if (!cli_args(c, options, argc, argv, rest_min, rest_max, &rest, &code)) {
        return code;
    }
    rc = act(options, rest, argv, &err);
    if (rc != 0) {
        code = cli_fail(c, rc, &err);
    }
    config_free(c->table, options);
    return code;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* The first that is not NULL. */
static const char *either(const char *a, const char *b)
{
    return a != NULL ? a : b;
}

const char *cli_endpoint(const struct cli_options *o)
{
    return either(o->endpoint, either(variable("GODWIT_ENDPOINT"), ENDPOINT));
}

int cli_credentials(const struct cli_options *o, struct credentials *out,
                    struct err *err)
{
    struct http_endpoint e;
    int rc = http_endpoint_parse(cli_endpoint(o), &e, err);
    const char *region;

    if (rc != 0) {
        return rc;
    }
    rc = credentials_find(o->profile, http_endpoint_is_loopback(&e), out, err);
    http_endpoint_free(&e);
    if (rc == 0) {
        region = either(o->region, either(variable("AWS_REGION"),
                                          variable("AWS_DEFAULT_REGION")));
        region = either(region, either(out->region, "us-east-1"));
        if (region != out->region) {
            free(out->region);
            out->region = mem_strdup(region);
        }
    }
    return rc;
}

int cli_open(const struct cli_options *o, struct s3_client **out,
             struct err *err)
{
    struct credentials keys;
    struct s3_client_options options = {
        .endpoint = cli_endpoint(o),
        .ca_file = either(o->ca, variable("GODWIT_CA_BUNDLE")),
        .insecure = o->insecure,
        .io_timeout_ms = o->answer_timeout_ms,
    };
    int rc = cli_credentials(o, &keys, err);

    if (rc != 0) {
        return rc;
    }
    options.region = keys.region;
    options.access_key = keys.access_key;
    options.secret_key = keys.secret_key;
    rc = s3_client_new(&options, out, err);
    credentials_free(&keys);
    return rc;
}

int cli_open_admin(const struct cli_options *o, const char *data,
                   struct s3_client **out, struct err *err)
{
    struct credentials keys = {0};
    struct s3_client_options options = {
        .ca_file = either(o->ca, variable("GODWIT_CA_BUNDLE")),
        .insecure = o->insecure,
        .io_timeout_ms = o->answer_timeout_ms,
    };
    char *path;
    int rc;

    if (data == NULL) {
        return cli_open(o, out, err);
    }
    path = mem_printf("%s/control", data);
    rc = credentials_of_file(path, &keys, err);
    if (rc == ERR_NOT_FOUND) {
        rc = err_set(err, rc, "data: no server runs over %s", data);
    }
    if (rc == 0) {
        options.endpoint = either(o->endpoint, keys.endpoint);
        options.ca_file = either(options.ca_file, keys.ca_file);
        options.region = keys.region;
        options.access_key = keys.access_key;
        options.secret_key = keys.secret_key;
        rc = s3_client_new(&options, out, err);
    }
    credentials_free(&keys);
    free(path);
    return rc;
}

char *cli_admin_endpoint(const struct cli_options *o, const char *data)
{
    struct credentials keys = {0};
    char *path, *out;

    if (data == NULL || o->endpoint != NULL) {
        return mem_strdup(cli_endpoint(o));
    }
    path = mem_printf("%s/control", data);
    credentials_of_file(path, &keys, NULL);
    out = mem_strdup(keys.endpoint != NULL ? keys.endpoint : data);
    credentials_free(&keys);
    free(path);
    return out;
}

int cli_ask(const struct cli_options *o, const char *data, const char *method,
            const char *path, const char *const *pairs, struct buf *json,
            struct err *err)
{
    struct s3_client *c;
    int rc = cli_open_admin(o, data, &c, err);

    if (rc == 0) {
        rc = s3_client_ask(c, method, path, pairs, json, err);
        s3_client_free(c);
    }
    if (rc == 0) {
        buf_char(json, '\0');
    }
    return rc;
}

int cli_tell(const struct cli_options *o, const char *data, const char *path,
             const char *const *pairs, const void *body, size_t len,
             struct buf *json, struct err *err)
{
    struct s3_client *c;
    int rc = cli_open_admin(o, data, &c, err);

    if (rc == 0) {
        rc = s3_client_tell(c, path, pairs, body, len, json, err);
        s3_client_free(c);
    }
    if (rc == 0) {
        buf_char(json, '\0');
    }
    return rc;
}

/* ---- names ---- */

bool cli_is_remote(const char *s)
{
    return text_starts(s, "s3://");
}

int cli_target(const char *s, bool scheme, struct cli_target *out,
               struct err *err)
{
    const char *p = s;
    size_t len;

    if (cli_is_remote(s)) {
        p += 5;
    } else if (scheme) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: does not begin with s3:// as in s3://BUCKET/KEY",
                       s);
    }
    len = strcspn(p, "/");
    if (len > BUCKET_MAX) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: a bucket's name is at most %d "
                       "characters",
                       s, BUCKET_MAX);
    }
    if (len == 0 && *p != '\0') {
        return err_set(err, ERR_BAD_INPUT, "%s: names no bucket", s);
    }
    if (p[len] == '/' && strlen(p + len + 1) > S3_CLIENT_KEY_MAX) {
        return err_set(err, ERR_BAD_INPUT, "a key is at most %d bytes",
                       S3_CLIENT_KEY_MAX);
    }
    out->bucket = mem_strndup(p, len);
    out->key = mem_strdup(p[len] == '/' ? p + len + 1 : "");
    return 0;
}

int cli_object(const char *s, bool scheme, struct cli_target *out,
               struct err *err)
{
    int rc = cli_target(s, scheme, out, err);

    if (rc == 0 && (out->bucket[0] == '\0' || out->key[0] == '\0')) {
        cli_target_free(out);
        rc = err_set(err, ERR_BAD_INPUT,
                     "%s: names no object; say "
                     "s3://BUCKET/KEY",
                     s);
    }
    return rc;
}

void cli_target_free(struct cli_target *t)
{
    free(t->bucket);
    free(t->key);
    memset(t, 0, sizeof *t);
}

/* ---- talk ---- */

int cli_fail(const struct cli_command *c, int rc, const struct err *err)
{
    fflush(stdout);
    fprintf(stderr, "godwit %s: %s\n", c->name, err->text);
    return rc == ERR_BAD_INPUT ? CLI_USAGE : CLI_FAILED;
}

void cli_print_name(const char *name)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;

    for (; *name != '\0'; name++) {
        unsigned char ch = (unsigned char)*name;
        putchar(terminal && (ch < ' ' || ch == 0x7f) ? '?' : ch);
    }
}

char *cli_size(uint64_t bytes, bool human, char out[24])
{
    if (human) {
        return text_size_human(bytes, out);
    }
    snprintf(out, 24, "%llu", (unsigned long long)bytes);
    return out;
}

char *cli_time(uint64_t time_ms, char out[40])
{
    text_iso8601(time_ms, out);
    out[10] = ' ';
    out[19] = '\0';
    return out;
}

bool cli_confirm(const char *question)
{
    char line[16];

    fprintf(stderr, "%s [y/N] ", question);
    return fgets(line, sizeof line, stdin) != NULL &&
           (line[0] == 'y' || line[0] == 'Y');
}
