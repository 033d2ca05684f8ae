/* main.c: the agent that stands on devices; find the command and run it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/agent.h"
#include "edge-agent/ask.h"
#include "edge-agent/enroll.h"
#include "edge-agent/spool.h"

#define OK 0
#define FAILED 1
#define USAGE 2

struct command {
    const char *name, *usage, *summary;
    int args_min, args_max;
    int (*run)(const struct agent_config *c, char **args, int count,
               struct err *err);
};

/* ---- asking ---- */

static char *socket_of(const struct agent_config *c)
{
    return c->socket != NULL && *c->socket != '\0'
               ? mem_strdup(c->socket)
               : agent_path(c->data, "socket");
}

/* What the agent's error says, without its XML. */
static int refused(const char *what, int status, const struct buf *body,
                   struct err *err)
{
    char *text =
        mem_strndup(body->data != NULL ? (char *)body->data : "", body->len);
    char *message = strstr(text, "<Message>");
    char *end = message != NULL ? strstr(message, "</Message>") : NULL;

    if (end != NULL) {
        *end = '\0';
        message += strlen("<Message>");
    }
    err_set(err, ERR_DENIED, "%s: %s (%d)", what,
            end != NULL ? message : "the agent refused", status);
    free(text);
    return ERR_DENIED;
}

static int ask_path(const struct agent_config *c, struct ask *a,
                    const char *path, struct buf *body, FILE *to,
                    struct err *err)
{
    char *socket = socket_of(c);
    struct buf own = {0};
    int status = 0;
    int code;

    a->socket = socket;
    a->path = path;
    code = ask(a, &status, body != NULL ? body : &own, to, err);
    if (code == 0 && status / 100 != 2) {
        code = refused(path, status, body != NULL ? body : &own, err);
    }
    buf_free(&own);
    free(socket);
    return code;
}

/* Where what names no place goes: "BUCKET/PREFIX" by the cluster, as the agent
 * says, or by the settings. */
static char *default_place(const struct agent_config *c)
{
    struct ask a = {.method = "GET", .body_fd = -1};
    struct buf body = {0};
    char *below = NULL;

    if (ask_path(c, &a, "/-/status", &body, NULL, NULL) == 0) {
        buf_char(&body, '\0');
        below = json_text((char *)body.data, "below");
    }
    buf_free(&body);
    if (below == NULL || *below == '\0') {
        free(below);
        below = mem_printf("%s/%s", c->bucket, c->prefix);
    }
    return below;
}

/* "/BUCKET/KEY", escaped, from "BUCKET/KEY"; a name without '/', and that of a
 * file when @key is NULL, is in the default place. */
static char *path_of(const struct agent_config *c, const char *key,
                     const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = key != NULL ? key : slash != NULL ? slash + 1 : file;
    char *place = strchr(name, '/') == NULL ? default_place(c) : mem_strdup("");
    struct buf b = {0};
    size_t len;

    buf_char(&b, '/');
    text_uri_encode(&b, place, strlen(place), true);
    text_uri_encode(&b, name, strlen(name), true);
    buf_char(&b, '\0');
    free(place);
    return (char *)buf_take(&b, &len);
}

/* ---- commands ---- */

static int cmd_run(const struct agent_config *c, char **args, int count,
                   struct err *err)
{
    (void)args;
    (void)count;
    return agent_run(c, err);
}

static int cmd_enroll(const struct agent_config *c, char **args, int count,
                      struct err *err)
{
    struct buf name = {0};
    int code;

    (void)args;
    (void)count;
    if (c->gateway == NULL || c->code == NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "usage: godwit-edge enroll --gateway URL --code CODE");
    }
    code = enroll(c->data, c->gateway, c->code, c->insecure, &name, err);
    if (code == 0) {
        printf("enrolled as %s\n", (char *)name.data);
    }
    buf_free(&name);
    return code;
}

static int cmd_put(const struct agent_config *c, char **args, int count,
                   struct err *err)
{
    struct ask a = {.method = "PUT"};
    struct stat st;
    char *path;
    int code;

    a.body_fd = open(args[0], O_RDONLY | O_CLOEXEC);
    if (a.body_fd < 0) {
        return err_errno(err, "open %s", args[0]);
    }
    if (fstat(a.body_fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(a.body_fd);
        return err_set(err, ERR_BAD_INPUT, "%s: not a file", args[0]);
    }
    a.body_len = (uint64_t)st.st_size;
    path = path_of(c, count > 1 ? args[1] : NULL, args[0]);
    code = ask_path(c, &a, path, NULL, NULL, err);
    free(path);
    close(a.body_fd);
    return code;
}

static int cmd_get(const struct agent_config *c, char **args, int count,
                   struct err *err)
{
    struct ask a = {.method = "GET", .body_fd = -1};
    FILE *to = count > 1 ? fopen(args[1], "wb") : stdout;
    char *path = path_of(c, args[0], "");
    int code;

    if (to == NULL) {
        code = err_errno(err, "open %s", args[1]);
    } else {
        code = ask_path(c, &a, path, NULL, to, err);
        if (fflush(to) != 0 && code == 0) {
            code = err_errno(err, "write");
        }
        if (to != stdout) {
            fclose(to);
            if (code != 0) {
                unlink(args[1]);
            }
        }
    }
    free(path);
    return code;
}

/* The text between <Tag> and </Tag> after @at; NULL when there is none. */
static char *between(char **at, const char *tag)
{
    char open_tag[40], end_tag[40];
    char *from, *end;

    snprintf(open_tag, sizeof open_tag, "<%s>", tag);
    snprintf(end_tag, sizeof end_tag, "</%s>", tag);
    from = strstr(*at, open_tag);
    end = from != NULL ? strstr(from, end_tag) : NULL;
    if (end == NULL) {
        return NULL;
    }
    *end = '\0';
    *at = end + 1;
    return from + strlen(open_tag);
}

/* Keys as the XML has them: escaped ones stay so. One page after the other. */
static int cmd_ls(const struct agent_config *c, char **args, int count,
                  struct err *err)
{
    char *place = count > 0 ? mem_strdup(args[0]) : default_place(c);
    const char *where = place;
    const char *slash = strchr(where, '/');
    size_t bucket_len = slash != NULL ? (size_t)(slash - where) : strlen(where);
    const char *prefix = slash != NULL ? slash + 1 : "";
    char *token = mem_strdup("");
    int code = 0;

    while (code == 0 && token != NULL) {
        struct ask a = {.method = "GET", .body_fd = -1};
        struct buf path = {0}, body = {0};
        char *at, *key, *next;
        buf_printf(&path, "/%.*s?list-type=2&prefix=", (int)bucket_len, where);
        text_uri_encode(&path, prefix, strlen(prefix), false);
        buf_str(&path, "&continuation-token=");
        text_uri_encode(&path, token, strlen(token), false);
        code = ask_path(c, &a, (char *)path.data, &body, NULL, err);
        free(token);
        token = NULL;
        if (code == 0) {
            buf_char(&body, '\0');
            at = (char *)body.data;
            next = between(&at, "NextContinuationToken");
            token = next != NULL ? mem_strdup(next) : NULL;
            at = next != NULL ? at : (char *)body.data;
            while ((key = between(&at, "Key")) != NULL) {
                const char *time = between(&at, "LastModified");
                const char *size = between(&at, "Size");
                printf("%s %12s %.*s/%s\n", time, size, (int)bucket_len, where,
                       key);
            }
        }
        buf_free(&path);
        buf_free(&body);
    }
    free(token);
    free(place);
    return code;
}

/* {"name":value,...}, a line for each; strings without their quotes. */
static void print_members(const char *json)
{
    const char *p = json + (*json == '{');

    while (*p == '"') {
        const char *end = strchr(p + 1, '"');
        char *name =
            end != NULL ? mem_strndup(p + 1, (size_t)(end - p - 1)) : NULL;
        size_t len = 0;
        const char *value = name != NULL ? json_find(json, name, &len) : NULL;
        char *text = value != NULL && *value == '"'
                         ? json_text(json, name)
                         : mem_strndup(value != NULL ? value : "", len);
        if (value != NULL) {
            printf("%-22s %s\n", name, text);
        }
        free(text);
        free(name);
        if (value == NULL) {
            return;
        }
        p = value + len + (value[len] == ',');
    }
}

static int cmd_status(const struct agent_config *c, char **args, int count,
                      struct err *err)
{
    struct ask a = {.method = "GET", .body_fd = -1};
    struct buf body = {0};
    int code;

    if (count > 0 && strcmp(args[0], "--json") != 0) {
        return err_set(err, ERR_BAD_INPUT, "status: \"%s\"?", args[0]);
    }
    code = ask_path(c, &a, "/-/status", &body, NULL, err);
    if (code == 0 && count > 0) {
        fwrite(body.data, 1, body.len, stdout);
    } else if (code == 0) {
        buf_char(&body, '\0');
        print_members((char *)body.data);
    }
    buf_free(&body);
    return code;
}

static int cmd_flush(const struct agent_config *c, char **args, int count,
                     struct err *err)
{
    struct ask a = {.method = "POST", .body_fd = -1};

    (void)args;
    (void)count;
    return ask_path(c, &a, "/-/flush", NULL, NULL, err);
}

static int cmd_verify(const struct agent_config *c, char **args, int count,
                      struct err *err)
{
    struct spool_options options = {.max_bytes = SPOOL_BYTES_MAX,
                                    .max_objects = UINT64_MAX};
    char *lock_path = agent_path(c->data, "lock");
    char *path = agent_path(c->data, "spool");
    struct spool_disk disk = {0};
    struct spool *s = NULL;
    uint64_t objects = 0, damaged = 0;
    int lock = -1;
    int code = fs_lock(lock_path, &lock, err);

    (void)args;
    (void)count;
    if (code == ERR_LOCKED) {
        code = err_wrap(err, code, "stop the agent first");
    }
    if (code == 0) {
        code = spool_disk_open(path, &disk, err);
    }
    if (code == 0) {
        code = spool_open(&disk, &options, &s, err);
    }
    if (code == 0) {
        code = spool_verify(s, &objects, &damaged, err);
    }
    if (code == 0) {
        printf("%llu objects, %llu damaged\n", (unsigned long long)objects,
               (unsigned long long)damaged);
        if (damaged > 0) {
            code = err_set(err, ERR_CORRUPT, "the spool is damaged");
        }
    }
    spool_close(s);
    spool_disk_close(&disk);
    if (lock >= 0) {
        close(lock);
    }
    free(lock_path);
    free(path);
    return code;
}

static const struct command commands[] = {
    {"run", "", "take objects and keep them safe", 0, 0, cmd_run},
    {"enroll", "", "become a device of a cluster (--gateway, --code)", 0, 0,
     cmd_enroll},
    {"put", "FILE [NAME | BUCKET/KEY]", "put a file; done when it is safe", 1,
     2, cmd_put},
    {"get", "NAME | BUCKET/KEY [FILE]",
     "read back what is buffered (--local-read)", 1, 2, cmd_get},
    {"ls", "[BUCKET[/PREFIX]]", "list what is buffered", 0, 1, cmd_ls},
    {"status", "[--json]", "show what is held, delivered, shed, written", 0, 1,
     cmd_status},
    {"flush", "", "deliver now", 0, 0, cmd_flush},
    {"verify", "", "check every byte of a stopped agent's spool", 0, 0,
     cmd_verify},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    struct buf b = {0};

    fprintf(out,
            "usage: godwit-edge COMMAND [options]\n\n"
            "The agent of a Godwit store, for devices. Commands:\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-8s%-27s%s\n", commands[i].name, commands[i].usage,
                commands[i].summary);
    }
    config_help(agent_table, &b);
    fprintf(out,
            "\nOptions:\n\n%s\n`godwit-edge --version` prints the "
            "version.\n",
            b.data != NULL ? (char *)b.data : "");
    buf_free(&b);
}

static void print_man(void)
{
    struct buf b = {0};

    buf_str(&b, ".TH GODWIT-EDGE 1 \"\" \"godwit-edge " GODWIT_VERSION
                "\" \"User Commands\"\n"
                ".SH NAME\ngodwit-edge \\- agent of a Godwit store, for "
                "devices\n"
                ".SH SYNOPSIS\n.B godwit\\-edge\n.I COMMAND\n"
                "[\\fIoptions\\fR]\n"
                ".SH DESCRIPTION\n"
                "Takes objects over a local S3\\-like HTTP, seals them to the "
                "owner's key before\nthe first write to the disk, keeps them "
                "through power cuts and delivers them.\n"
                ".SH COMMANDS\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        buf_printf(&b, ".TP\n.B \"%s ", commands[i].name);
        for (const char *p = commands[i].usage; *p != '\0'; p++) {
            buf_str(&b, *p == '-' ? "\\-" : (char[]){*p, '\0'});
        }
        buf_printf(&b, "\"\n%s\n", commands[i].summary);
    }
    buf_str(&b, ".SH OPTIONS\n");
    config_man(agent_table, &b);
    buf_str(&b,
            ".SH EXIT STATUS\n"
            "0 when done, 1 when it failed, 2 when it was asked wrongly.\n"
            ".SH FILES\n"
            ".TP\n.I /etc/godwit/edge.conf\n"
            "What the service reads with \\-\\-config.\n"
            ".TP\n.I DATA/socket\nWhere the other commands ask.\n");
    fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
}

/* Flags win over the file that one of them names, so they are read twice. */
static int read_config(struct agent_config *c, int argc, char **argv, int *rest,
                       struct err *err)
{
    char **copy = mem_dup(argv, (size_t)(argc + 1) * sizeof argv[0]);
    struct agent_config first = {0};
    int code;

    config_init(agent_table, &first);
    config_init(agent_table, c);
    code = config_args(agent_table, &first, argc, copy, rest, err);
    free(copy);
    if (code == 0 && first.config != NULL && *first.config != '\0') {
        code = config_file(agent_table, c, first.config, err);
    }
    config_free(agent_table, &first);
    return code == 0 ? config_args(agent_table, c, argc, argv, rest, err)
                     : code;
}

static int run_command(const struct command *cmd, int argc, char **argv)
{
    struct agent_config c = {0};
    struct err err = {{0}};
    enum log_level level = LOG_INFO;
    bool json = false;
    int rest = 0;
    int code;

    /* The one flag that is no setting. */
    for (int i = 0; i < argc && strcmp(cmd->name, "status") == 0 && !json;
         i++) {
        json = strcmp(argv[i], "--json") == 0;
        if (json) {
            memmove(argv + i, argv + i + 1,
                    (size_t)(argc - i) * sizeof argv[0]);
            argc--;
        }
    }
    code = read_config(&c, argc, argv, &rest, &err);
    if (code == 0 && !log_level_parse(c.log_level, &level)) {
        code = err_set(&err, ERR_BAD_INPUT, "--log-level \"%s\"?", c.log_level);
    }
    for (int i = 0; code == 0 && i < rest; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(stdout);
            config_free(agent_table, &c);
            return OK;
        }
    }
    if (code == 0 && (rest < cmd->args_min || rest > cmd->args_max)) {
        code = err_set(&err, ERR_BAD_INPUT, "usage: godwit-edge %s %s",
                       cmd->name, cmd->usage);
    }
    if (code == 0) {
        static char flag[] = "--json";
        char *flags[] = {flag};
        log_set_level(level);
        code = json ? cmd->run(&c, flags, 1, &err)
                    : cmd->run(&c, argv, rest, &err);
    }
    config_free(agent_table, &c);
    if (code != 0) {
        fprintf(stderr, "godwit-edge: %s\n", err.text);
    }
    return code == 0 ? OK : code == ERR_BAD_INPUT ? USAGE : FAILED;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("godwit-edge %s\n", GODWIT_VERSION);
        return OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        strcmp(name, "help") == 0) {
        print_help(stdout);
        return OK;
    }
    if (strcmp(name, "man") == 0) {
        print_man();
        return OK;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return run_command(&commands[i], argc - 2, argv + 2);
        }
    }
    if (*name != '\0') {
        fprintf(stderr, "godwit-edge: unknown command \"%s\"\n", name);
    }
    print_help(stderr);
    return USAGE;
}
