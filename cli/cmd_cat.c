/* godwit cat: objects to standard output. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/unseal.h"
#include "client/s3_client.h"
#include "crypto/seal_name.h"

struct options {
    struct cli_options common;
    uint64_t offset;
    uint64_t length;
    char *identity;
    char *names;
    struct seal_names names_key;
    struct unseal_identities identities; /* of the file; none: as stored */
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "offset", SIZE, offset, NULL, 0, 0, "BYTES",
            "Begin at this byte."),
    CLI_ROW(struct options, "length", SIZE, length, NULL, 0, 0, "BYTES",
            "Give so many bytes; 0: to the end."),
    CLI_ROW(struct options, "identity", STRING, identity, NULL, 0, 0, "FILE",
            "Open sealed objects with the identities in FILE."),
    CLI_ROW(struct options, "names", STRING, names, NULL, 0, 0, "FILE",
            "Keys are sealed by the first identity in FILE; say them "
            "as they were."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static int to_stdout(void *arg, const void *p, size_t len, struct err *err)
{
    const char *at = p;

    (void)arg;
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, at, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "write to standard output");
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int to_unseal(void *arg, const void *p, size_t len, struct err *err)
{
    return unseal_update(arg, p, len, err);
}

static int get(const struct options *o, struct s3_client *c, struct s3_get *g,
               struct err *err)
{
    int rc;

    if (o->identity == NULL) {
        return s3_client_get_object(c, g, err);
    }
    g->sink = to_unseal;
    g->arg = unseal_new(&o->identities, to_stdout, NULL);
    rc = s3_client_get_object(c, g, err);
    if (rc == 0) {
        rc = unseal_final(g->arg, err);
    }
    unseal_free(g->arg);
    return rc;
}

static int cat(const struct options *o, struct s3_client *c, const char *name,
               struct err *err)
{
    struct cli_target t;
    struct s3_get g = {
        .offset = o->offset, .length = o->length, .sink = to_stdout};
    int rc = cli_object(name, false, &t, err);

    if (rc != 0) {
        return rc;
    }
    g.bucket = t.bucket;
    if (o->names != NULL) {
        char *sealed;
        rc = unseal_name(&o->names_key, t.key, &sealed, err);
        if (rc == 0) {
            free(t.key);
            t.key = sealed;
        }
    }
    g.key = t.key;
    rc = rc != 0 ? rc : get(o, c, &g, err);
    if (rc != 0) {
        err_wrap(err, rc, "%s", name);
    }
    cli_target_free(&t);
    return rc;
}

static int read_identities(struct options *o, struct err *err)
{
    int rc =
        o->names == NULL ? 0 : unseal_read_names(o->names, &o->names_key, err);

    if (rc != 0 || o->identity == NULL) {
        return rc;
    }
    if (o->offset > 0 || o->length > 0) {
        return err_set(err, ERR_BAD_INPUT,
                       "--offset and --length are of what is stored: not with "
                       "--identity");
    }
    return unseal_read_identities(o->identity, &o->identities, err);
}

static int run(int argc, char **argv)
{
    struct options o;
    struct err err = {{0}};
    struct s3_client *c;
    int code = CLI_OK;
    int rest;
    int rc;

    if (!cli_args(&cli_cat, &o, argc, argv, 1, 1000000, &rest, &code)) {
        return code;
    }
    o.identities = (struct unseal_identities){NULL, 0};
    rc = read_identities(&o, &err);
    rc = rc != 0 ? rc : cli_open(&o.common, &c, &err);
    if (rc != 0) {
        code = cli_fail(&cli_cat, rc, &err);
    } else {
        for (int i = 1; i <= rest && code == CLI_OK; i++) {
            rc = cat(&o, c, argv[i], &err);
            if (rc != 0) {
                code = cli_fail(&cli_cat, rc, &err);
            }
        }
        s3_client_free(c);
    }
    unseal_identities_free(&o.identities);
    mem_wipe(&o.names_key, sizeof o.names_key);
    config_free(table, &o);
    return code;
}

const struct cli_command cli_cat = {
    "cat",
    "[options] s3://BUCKET/KEY ...",
    "write objects to standard output",
    "Write objects to standard output, one after the other. A whole object is "
    "checked against its stored checksum; when it does not match, the command "
    "fails after the last byte. With --identity each must be sealed (an "
    "envelope or an age file) and is opened.",
    table,
    run,
};
