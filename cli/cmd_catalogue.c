/* godwit catalogue: a copy of the catalogue kept elsewhere, and a catalogue
 * made from one, or from the one server that is left. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "client/s3_client.h"
#include "gateway/gateway.h"
#include "meta/meta_backup.h"
#include "meta/meta_rebuild.h"

#define PATIENCE_MS ((uint64_t)3600000) /* while the server makes its copy */

struct options {
    struct cli_options common;
    char *data, *output, *from;
    bool force, yes;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "data", STRING, data, NULL, 0, 0, "DIR",
            "The folder of the server on this machine. backup: without it, "
            "the server at --endpoint is asked."),
    CLI_ROW(struct options, "output", STRING, output, NULL, 0, 0, "FILE",
            "backup: write this new file."),
    CLI_ROW(struct options, "from", STRING, from, NULL, 0, 0, "FILE",
            "restore: the backup."),
    CLI_ROW(struct options, "force", BOOL, force, NULL, 0, 0, NULL,
            "restore: DIR has a catalogue, which is set aside."),
    CLI_ROW(struct options, "yes", BOOL, yes, NULL, 0, 0, NULL,
            "recover, rejoin: do it; the help says what it means."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static int need(const char *value, const char *option, struct err *err)
{
    return value != NULL && value[0] != '\0'
               ? 0
               : err_set(err, ERR_BAD_INPUT, "%s is needed", option);
}

/* ---- backup ---- */

struct sink {
    int fd;
    const char *path;
};

static int write_out(void *arg, const void *p, size_t len, struct err *err)
{
    const struct sink *s = arg;

    while (len > 0) {
        ssize_t n = write(s->fd, p, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_errno(err, "%s: write", s->path);
        }
        p = (const char *)p + n;
        len -= (size_t)n;
    }
    return 0;
}

static int fetch(const struct options *o, const char *path, struct err *err)
{
    struct cli_options common = o->common;
    struct sink s = {.path = path};
    struct s3_client *c;
    int rc;

    if (common.answer_timeout_ms == 0) {
        common.answer_timeout_ms = PATIENCE_MS;
    }
    rc = cli_open_admin(&common, o->data, &c, err);
    if (rc != 0) {
        return rc;
    }
    s.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s.fd < 0) {
        rc = err_errno(err, "%s: open", path);
    } else {
        rc = s3_client_fetch(c, "/-/catalogue", write_out, &s, err);
        if (rc == 0 && fsync(s.fd) != 0) {
            rc = err_errno(err, "%s: fsync", path);
        }
        close(s.fd);
    }
    s3_client_free(c);
    return rc;
}

/* From a running server; under its name only when it is whole. */
static int ask_backup(const struct options *o, struct meta_backup_info *info,
                      struct err *err)
{
    char *part = mem_printf("%s.part", o->output);
    int rc = 0;

    if (access(o->output, F_OK) == 0) {
        rc = err_set(err, ERR_EXISTS, "%s: is there already", o->output);
    }
    if (rc == 0) {
        rc = fetch(o, part, err);
        if (rc == 0) {
            rc = meta_backup_check(part, info, err);
        }
        if (rc == 0) {
            rc = meta_backup_name(part, o->output, err);
        }
        if (rc != 0) {
            unlink(part);
        }
    }
    free(part);
    return rc;
}

static int backup(const struct options *o, struct err *err)
{
    struct meta_backup_info info = {.format = 0};
    int rc = need(o->output, "--output FILE", err);

    if (rc == 0 && o->data != NULL) {
        rc = gateway_catalogue_backup(o->data, o->output, &info, err);
    }
    if (rc == ERR_LOCKED || (rc == 0 && o->data == NULL)) {
        rc = ask_backup(o, &info, err);
    }
    if (rc == 0) {
        printf("%s: catalogue up to log entry %llu, %llu bytes\n", o->output,
               (unsigned long long)info.applied,
               (unsigned long long)info.size_bytes);
    }
    return rc;
}

/* ---- restore, recover, rejoin ---- */

static int restore(const struct options *o, struct err *err)
{
    struct meta_rebuild r = {.from = o->from, .replace = o->force};
    char made[40];
    int rc = need(o->data, "--data DIR", err);

    if (rc == 0) {
        rc = need(o->from, "--from FILE", err);
    }
    if (rc == 0) {
        rc = gateway_catalogue_rebuild(o->data, &r, err);
        if (rc == ERR_EXISTS) {
            err_wrap(err, rc, "restore with --force sets it aside");
        }
    }
    if (rc == 0) {
        printf(
            "restored as of %s UTC, log entry %llu; this server votes "
            "alone\n",
            cli_time(r.made_ms, made), (unsigned long long)r.applied);
        if (r.aside != NULL) {
            printf("what was there is now %s\n", r.aside);
        }
        if (r.member) {
            printf(
                "on each other server: stop it, godwit catalogue rejoin "
                "--data DIR --yes, start it\n");
        }
    }
    free(r.aside);
    return rc;
}

static int sure(const struct options *o, const char *what, struct err *err)
{
    int rc = need(o->data, "--data DIR", err);

    if (rc == 0 && !o->yes) {
        rc = err_set(err, ERR_BAD_INPUT, "%s Say --yes if that is meant", what);
    }
    return rc;
}

static int recover(const struct options *o, struct err *err)
{
    struct meta_rebuild r = {0};
    int rc = sure(o,
                  "this makes the server the only voter; what only other "
                  "voters had is lost, and they may never run again with what "
                  "they have.",
                  err);

    if (rc == 0) {
        rc = gateway_catalogue_rebuild(o->data, &r, err);
    }
    if (rc == 0) {
        printf(
            "recovered up to log entry %llu, %llu of them from the log; "
            "this server votes alone\nwhat was there is now %s\n"
            "on each other server that is left: stop it, godwit catalogue "
            "rejoin --data DIR --yes, start it\n",
            (unsigned long long)r.applied, (unsigned long long)r.log_unread,
            r.aside);
    }
    free(r.aside);
    return rc;
}

static int rejoin(const struct options *o, struct err *err)
{
    char *aside = NULL;
    int rc = sure(o,
                  "this sets the server's copy of the catalogue aside; it "
                  "waits for another server that has one.",
                  err);

    if (rc == 0) {
        rc = gateway_catalogue_rejoin(o->data, &aside, err);
    }
    if (rc == 0) {
        printf("what was there is now %s; start the server\n", aside);
    }
    free(aside);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    (void)rest;
    if (strcmp(argv[1], "backup") == 0) {
        rc = backup(o, err);
    } else if (strcmp(argv[1], "restore") == 0) {
        rc = restore(o, err);
    } else if (strcmp(argv[1], "recover") == 0) {
        rc = recover(o, err);
    } else if (strcmp(argv[1], "rejoin") == 0) {
        rc = rejoin(o, err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say backup, restore, recover or rejoin");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_catalogue, &o, argc, argv, 1, 1, act);
}

const struct cli_command cli_catalogue = {
    "catalogue",
    "backup|restore|recover|rejoin [options]",
    "back the catalogue up, and make one again",
    "backup writes all of the catalogue (buckets, names, where objects lie; "
    "not "
    "the objects) to one checked file, from a running server or a stopped "
    "one's folder.\n\n"
    "The rest is for stopped servers. restore makes a server's catalogue from "
    "a backup: what was written since is lost, and objects deleted since may "
    "be named again though they are gone.\n\n"
    "recover is for when a majority of the voters is lost for good: on the "
    "server that is left with the newest copy it makes this the only voter. "
    "Acknowledged writes that only the lost ones had are lost.\n\n"
    "After either, every other server has a catalogue of an earlier era and "
    "ends when it hears of the new one. rejoin sets that one aside, so that it "
    "takes a copy when it is started. Nothing is ever deleted: what was there "
    "stays as DIR/meta.aside-N.",
    table,
    run,
};
