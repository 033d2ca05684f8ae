/* godwit stat: what the server says of an object. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "cli/cli.h"
#include "client/s3_client.h"

struct options {
    struct cli_options common;
    char *version;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "version-id", STRING, version, NULL, 0, 0, "ID",
            "Of this version, not the current one."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static void print_line(const char *name, const char *value)
{
    printf("%-16s", name);
    cli_print_name(value);
    putchar('\n');
}

/* Headers that describe the object, beside those with lines of their own. */
static bool worth_showing(const char *name)
{
    static const char *const names[] = {
        "cache-control",    "content-disposition",
        "content-encoding", "content-language",
        "expires",          "x-amz-website-redirect-location"};

    if (text_starts(name, "x-amz-meta-") || text_starts(name, "X-Amz-Meta-") ||
        strncasecmp(name, "x-amz-checksum-", 15) == 0 ||
        strncasecmp(name, "x-amz-object-lock-", 18) == 0 ||
        text_ieq(name, "x-amz-version-id") ||
        text_ieq(name, "x-amz-tagging-count") ||
        text_ieq(name, "x-amz-storage-class")) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text_ieq(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void print_info(const char *name, const struct s3_info *i)
{
    char size[24];
    char human[24];
    char when[40];

    print_line("Name:", name);
    printf("%-16s%s (%s)\n", "Size:", cli_size(i->size, false, size),
           cli_size(i->size, true, human));
    printf("%-16s%s UTC\n", "Modified:", cli_time(i->time_ms, when));
    print_line("ETag:", i->etag);
    print_line("Type:", i->content_type);
    for (size_t n = 0; n < i->response.header_count; n++) {
        const struct http_header *h = &i->response.headers[n];
        if (worth_showing(h->name)) {
            cli_print_name(h->name);
            printf(": ");
            cli_print_name(h->value);
            putchar('\n');
        }
    }
}

static int stat_object(const struct options *o, const char *name,
                       struct err *err)
{
    struct cli_target t;
    struct s3_client *c;
    struct s3_info info;
    int rc = cli_object(name, false, &t, err);

    if (rc != 0) {
        return rc;
    }
    rc = cli_open(&o->common, &c, err);
    if (rc != 0) {
        goto err_after_target;
    }
    rc = s3_client_head_version(c, t.bucket, t.key, o->version, &info, err);
    if (rc == 0) {
        print_info(name, &info);
        s3_info_free(&info);
    } else {
        err_wrap(err, rc, "%s", name);
    }
    s3_client_free(c);
err_after_target:
    cli_target_free(&t);
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;
    struct err err = {{0}};
    int code = CLI_OK;
    int rest;

    if (!cli_args(&cli_stat, &o, argc, argv, 1, 1000000, &rest, &code)) {
        return code;
    }
    for (int i = 1; i <= rest; i++) {
        int rc = stat_object(&o, argv[i], &err);
        if (rc != 0) {
            code = cli_fail(&cli_stat, rc, &err);
        }
    }
    config_free(table, &o);
    return code;
}

const struct cli_command cli_stat = {
    "stat",
    "[options] s3://BUCKET/KEY ...",
    "show size, time, ETag and metadata of objects",
    "Show what the server says of an object: size, time, ETag, type, "
    "checksum and metadata.",
    table,
    run,
};
