/* godwit bucket: how a bucket stores its bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cli.h"

struct options {
    struct cli_options common;
    char *data;
    char *compression;
    char *ec;
    bool json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "compression", STRING, compression, NULL, 0, 0,
            "zstd|off",
            "set: compress what is put from now on, where it pays, or do not. "
            "\"default\": as buckets that nothing was said of."),
    CLI_ROW(struct options, "ec", STRING, ec, NULL, 0, 0, "K+M",
            "set: store what is put from now on as K+M or K+L+G, such as 1+2, "
            "4+2 or 6+2+2, whatever the store was made with; or \"default\"."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static void print_setting(const char *json, const char *name, const char *set)
{
    char *value = json_text(json, name);

    printf("%-12s %s%s\n", name, value,
           json_true(json, set) ? "" : " (default)");
    free(value);
}

static void print_bucket(const char *json)
{
    print_setting(json, "ec", "ec_set");
    print_setting(json, "compression", "compression_set");
    if (!json_true(json, "recoding.wanted")) {
        return;
    }
    if (!json_true(json, "recoding.here")) {
        printf(
            "recoding     wanted; where the catalogue is led it is told how "
            "far it is\n");
        return;
    }
    printf("recoding     %llu of %llu objects, %llu of %llu bytes",
           (unsigned long long)json_u64(json, "recoding.objects_done"),
           (unsigned long long)json_u64(json, "recoding.objects"),
           (unsigned long long)json_u64(json, "recoding.bytes_done"),
           (unsigned long long)json_u64(json, "recoding.bytes"));
    printf(", about %llu s left",
           (unsigned long long)json_u64(json, "recoding.eta_s"));
    if (json_u64(json, "recoding.failed") > 0) {
        printf("; %llu failed, tried again",
               (unsigned long long)json_u64(json, "recoding.failed"));
    }
    putchar('\n');
}

/* "name" or "s3://name". */
static int bucket_of(const char *text, struct cli_target *out, struct err *err)
{
    int rc = cli_target(text, false, out, err);

    if (rc == 0 && (out->bucket[0] == '\0' || out->key[0] != '\0')) {
        cli_target_free(out);
        rc =
            err_set(err, ERR_BAD_INPUT, "%s is not the name of a bucket", text);
    }
    return rc;
}

static int ask(const struct options *o, bool set, const char *name,
               struct err *err)
{
    struct buf json = {0};
    struct cli_target t;
    int rc = bucket_of(name, &t, err);

    if (rc != 0) {
        return rc;
    }
    const char *pairs[7] = {"bucket", t.bucket};
    size_t n = 2;

    if (set && o->compression != NULL) {
        pairs[n++] = "compression";
        pairs[n++] = o->compression;
    }
    if (set && o->ec != NULL) {
        pairs[n++] = "ec";
        pairs[n++] = o->ec;
    }
    rc = cli_ask(&o->common, o->data, set ? "POST" : "GET", "/-/buckets", pairs,
                 &json, err);
    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0) {
        print_bucket((char *)json.data);
    }
    buf_free(&json);
    cli_target_free(&t);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    int rc;

    (void)rest;
    if (strcmp(argv[1], "show") == 0) {
        rc = ask(o, false, argv[2], err);
    } else if (strcmp(argv[1], "set") == 0 &&
               (o->compression != NULL || o->ec != NULL)) {
        rc = ask(o, true, argv[2], err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say show and a bucket, or set, a bucket and what to set");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_bucket, &o, argc, argv, 2, 2, act);
}

const struct cli_command cli_bucket = {
    "bucket",
    "show|set [options] BUCKET",
    "show and set how a bucket stores its bytes",
    "show tells how what is put into a bucket is stored. set changes it for "
    "what is put from then on; what is there is stored anew in the background, "
    "and show tells how far that is.",
    table,
    run,
};
