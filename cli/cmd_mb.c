/* godwit mb: make a bucket. */
#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"
#include "client/s3_client.h"

struct options {
    struct cli_options common;
    bool ignore_existing;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "ignore-existing", BOOL, ignore_existing, NULL, 0,
            0, NULL, "Be content when the bucket is there already."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static int make_bucket(const struct options *o, const char *name,
                       struct err *err)
{
    struct cli_target t;
    struct s3_client *c;
    int rc = cli_target(name, false, &t, err);

    if (rc != 0) {
        return rc;
    }
    if (t.bucket[0] == '\0' || t.key[0] != '\0') {
        rc = err_set(err, ERR_BAD_INPUT, "%s: say s3://BUCKET", name);
        goto err_after_target;
    }
    rc = cli_open(&o->common, &c, err);
    if (rc != 0) {
        goto err_after_target;
    }
    rc = s3_client_create_bucket(c, t.bucket, err);
    if (rc == ERR_BUCKET_EXISTS && o->ignore_existing) {
        rc = 0;
    }
    if (rc != 0) {
        err_wrap(err, rc, "%s", name);
    }
    s3_client_free(c);
err_after_target:
    cli_target_free(&t);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;

    (void)rest;
    return make_bucket(o, argv[1], err);
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_mb, &o, argc, argv, 1, 1, act);
}

const struct cli_command cli_mb = {
    "mb", "[options] s3://BUCKET", "make a bucket", "Make a bucket.", table,
    run,
};
