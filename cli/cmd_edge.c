/* godwit edge: the devices that deliver to the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "fleet/edge_policy.h"

#define PAGE_TEXT "1000"
#define PAGE 1000

struct options {
    struct cli_options common;
    char *data;
    char *bucket, *prefix, *format;
    struct config_list recipient;
    uint64_t expires_ms;
    bool read, json, all;
    char *set;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "bucket", STRING, bucket, NULL, 0, 0, "NAME",
            "enroll: where the device puts its objects."),
    CLI_ROW(struct options, "prefix", STRING, prefix, NULL, 0, 0, "TEXT",
            "enroll: what the keys of all that it puts begin with. Default: "
            "the device's name and '/'."),
    CLI_ROW(struct options, "recipient", LIST, recipient, NULL, 0, 0, "age1...",
            "enroll: seal to the owner of this key, so that no server can "
            "open what the device sends."),
    CLI_ROW(struct options, "format", STRING, format, "godwit", 0, 0,
            "godwit|age",
            "enroll: form of the sealed objects: Godwit's, or files that any "
            "age opens."),
    CLI_ROW(struct options, "read", BOOL, read, NULL, 0, 0, NULL,
            "enroll: it may get what is below its prefix."),
    CLI_ROW(struct options, "expires", DURATION, expires_ms, "1h", 1000,
            (uint64_t)365 * 86400 * 1000, "TIME",
            "enroll: until when the code is good."),
    CLI_ROW(struct options, "set", STRING, set, NULL, 0, 0, "FILE",
            "policy: give the device this policy; - is the standard input."),
    CLI_ROW(struct options, "all", BOOL, all, NULL, 0, 0, NULL,
            "policy: of all devices that there are."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

/* ---- enroll ---- */

static void put_enrolment(struct buf *b, const struct options *o,
                          const char *name)
{
    char *prefix =
        o->prefix != NULL ? mem_strdup(o->prefix) : mem_printf("%s/", name);

    buf_char(b, '{');
    put_json_member(b, "name", name, false);
    put_json_member(b, "bucket", o->bucket, false);
    put_json_member(b, "prefix", prefix, false);
    put_json_member(b, "format", o->format, false);
    put_json_bool(b, "read", o->read, false);
    put_json_u64(b, "expires_ms", o->expires_ms, false);
    buf_str(b, "\"recipients\":[");
    for (size_t i = 0; i < o->recipient.count; i++) {
        buf_str(b, i > 0 ? "," : "");
        put_json_text(b, o->recipient.items[i]);
    }
    buf_str(b, "]}");
    free(prefix);
}

/* Where devices reach the server, as far as is known here. */
static void print_next(const struct options *o, const char *code)
{
    char *endpoint = cli_admin_endpoint(&o->common, o->data);

    printf(
        "On the device:\n\n    godwit-edge enroll --gateway %s --code "
        "CODE\n\nThe code, good once and for %llu minutes:\n%s\n",
        endpoint, (unsigned long long)(o->expires_ms + 59999) / 60000, code);
    free(endpoint);
}

static int enroll(const struct options *o, const char *name, struct err *err)
{
    struct buf body = {0}, json = {0};
    int rc;

    if (o->bucket == NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "--bucket: where is the device to put its objects?");
    }
    put_enrolment(&body, o, name);
    rc = cli_tell(&o->common, o->data, "/-/devices", NULL, body.data, body.len,
                  &json, err);
    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0) {
        char *code = json_text((char *)json.data, "code");
        print_next(o, code);
        mem_wipe(code, strlen(code));
        free(code);
    }
    buf_free(&body);
    buf_wipe(&json);
    return rc;
}

/* ---- ls and show ---- */

/* How long ago, in the largest unit that fits: "12s", "3d". */
static const char *ago(uint64_t now_ms, uint64_t then_ms, char out[24])
{
    uint64_t s = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;

    if (then_ms == 0) {
        return "-";
    }
    snprintf(out, 24, "%llu%s",
             (unsigned long long)(s < 120      ? s
                                  : s < 7200   ? s / 60
                                  : s < 172800 ? s / 3600
                                               : s / 86400),
             s < 120      ? "s"
             : s < 7200   ? "m"
             : s < 172800 ? "h"
                          : "d");
    return out;
}

static void print_row(const char *d, uint64_t now_ms)
{
    char *name = json_text(d, "name"), *state = json_text(d, "state");
    char *version = json_text(d, "report.version");
    char seen[24], oldest[24], bytes[24];

    printf("%-24s %-8s %6s %10llu %10s %6s %8llu  %s\n", name, state,
           ago(now_ms, json_u64(d, "seen_ms"), seen),
           (unsigned long long)json_u64(d, "report.backlog_objects"),
           cli_size(json_u64(d, "report.backlog_bytes"), true, bytes),
           ago(now_ms, json_u64(d, "report.oldest_ms"), oldest),
           (unsigned long long)json_u64(d, "report.shed"),
           version[0] != '\0' ? version : "-");
    free(name);
    free(state);
    free(version);
}

/* Names of "settings.recipients", a line each. */
static void print_recipients(const char *d)
{
    size_t count = json_count(d, "settings.recipients");

    for (size_t i = 0; i < count; i++) {
        char *path = mem_printf("settings.recipients.%zu", i);
        char *text = json_text(d, path);
        printf("seals to      %s\n", text);
        free(path);
        free(text);
    }
}

static void print_time(const char *label, uint64_t ms)
{
    char text[40];

    if (ms != 0) {
        printf("%-13s %s\n", label, cli_time(ms, text));
    }
}

static void print_report(const char *d)
{
    static const struct {
        const char *label, *path;
    } rows[] = {
        {"backlog", "report.backlog_objects"},
        {"bytes", "report.backlog_bytes"},
        {"delivered", "report.delivered"},
        {"refused", "report.refused"},
        {"shed", "report.shed"},
        {"flash bytes", "report.flash_bytes"},
    };
    size_t len;

    print_time("oldest", json_u64(d, "report.oldest_ms"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (json_find(d, rows[i].path, &len) != NULL) {
            printf("%-13s %llu\n", rows[i].label,
                   (unsigned long long)json_u64(d, rows[i].path));
        }
    }
    if (json_find(d, "report.skew_ms", &len) != NULL) {
        const char *skew = json_find(d, "report.skew_ms", &len);
        printf("clock skew    %.*s ms\n", (int)len, skew);
    }
}

static void print_device(const char *d)
{
    char *name = json_text(d, "name"), *state = json_text(d, "state");
    char *bucket = json_text(d, "settings.bucket");
    char *prefix = json_text(d, "settings.prefix");
    char *version = json_text(d, "report.version");

    printf("device        %s\nstate         %s\nputs below    s3://%s/%s\n",
           name, state, bucket, prefix);
    print_recipients(d);
    print_time("made", json_u64(d, "created_ms"));
    print_time("enrolled", json_u64(d, "enrolled_ms"));
    print_time("code until", json_u64(d, "code_expires_ms"));
    print_time("last seen", json_u64(d, "seen_ms"));
    if (version[0] != '\0') {
        printf("version       %s\n", version);
    }
    print_report(d);
    if (json_u64(d, "settings.policy.version") != 0) {
        printf("policy        version %llu, obeys %llu\n",
               (unsigned long long)json_u64(d, "settings.policy.version"),
               (unsigned long long)json_u64(d, "report.policy_version"));
    }
    free(name);
    free(state);
    free(bucket);
    free(prefix);
    free(version);
}

/* A page of devices after @after, or the one named; the last one's name takes
 * the place of *@after. */
static int print_page(const struct options *o, const char *name, char **after,
                      size_t *count, struct err *err)
{
    const char *const of_one[] = {"name", name, NULL};
    const char *const of_page[] = {"after", *after, "max", PAGE_TEXT, NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", "/-/devices",
                     name != NULL ? of_one : of_page, &json, err);

    *count = rc == 0 ? json_count((char *)json.data, "devices") : 0;
    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    }
    for (size_t i = 0; i < *count; i++) {
        const char *d = json_item((char *)json.data, "devices", i);
        if (!o->json && name != NULL) {
            print_device(d);
        } else if (!o->json) {
            print_row(d, json_u64((char *)json.data, "now_ms"));
        }
        if (i + 1 == *count) {
            free(*after);
            *after = json_text(d, "name");
        }
    }
    buf_free(&json);
    return rc;
}

static int list(const struct options *o, struct err *err)
{
    char *after = mem_strdup("");
    size_t count = PAGE;
    int rc = 0;

    if (!o->json) {
        printf("%-24s %-8s %6s %10s %10s %6s %8s  %s\n", "DEVICE", "STATE",
               "SEEN", "OBJECTS", "BYTES", "OLDEST", "SHED", "VERSION");
    }
    while (rc == 0 && count == PAGE) {
        rc = print_page(o, NULL, &after, &count, err);
    }
    free(after);
    return rc;
}

static int show(const struct options *o, const char *name, struct err *err)
{
    char *after = mem_strdup("");
    size_t count;
    int rc = print_page(o, name, &after, &count, err);

    free(after);
    return rc;
}

/* ---- revoke and remove ---- */

static int end(const struct options *o, bool forget, const char *name,
               struct err *err)
{
    const char *const pairs[] = {"name", name, NULL};
    struct buf json = {0};
    int rc =
        cli_ask(&o->common, o->data, forget ? "DELETE" : "POST",
                forget ? "/-/devices" : "/-/devices/revoke", pairs, &json, err);

    buf_free(&json);
    return rc;
}

/* ---- policies ---- */

static int tell_policy(const struct options *o, const char *name,
                       const struct buf *policy, struct err *err)
{
    const char *const pairs[] = {"name", name, NULL};
    struct buf json = {0};
    int rc = cli_tell(&o->common, o->data, "/-/devices/policy", pairs,
                      policy->data, policy->len, &json, err);

    if (rc == 0) {
        printf("%s: version %llu\n", name,
               (unsigned long long)json_u64((char *)json.data, "version"));
    }
    buf_free(&json);
    return rc;
}

/* The part of a document that the operator wrote, and what the device says. */
static void print_policy(const char *d)
{
    char *name = json_text(d, "name");
    char *document = json_text(d, "settings.policy.document");
    char *refused = json_text(d, "report.policy_error");
    size_t len = 0;
    const char *policy = json_find(document, "policy", &len);

    if (policy == NULL) {
        printf("%s: no policy\n", name);
    } else {
        uint64_t version = json_u64(d, "settings.policy.version");
        uint64_t obeyed = json_u64(d, "report.policy_version");
        printf("%s: version %llu, the device obeys ", name,
               (unsigned long long)version);
        if (obeyed == 0) {
            printf("none\n");
        } else {
            printf("%llu\n", (unsigned long long)obeyed);
        }
        if (refused[0] != '\0') {
            printf("%s: %s\n", name, refused);
        }
        printf("%.*s\n", (int)len, policy);
    }
    free(name);
    free(document);
    free(refused);
}

/* Of @device, or of each that there is. */
static int each_policy(const struct options *o, const char *device,
                       const struct buf *policy, struct err *err)
{
    char *after = mem_strdup("");
    size_t count = PAGE;
    int rc = 0;

    while (rc == 0 && count == PAGE) {
        const char *const of_one[] = {"name", device, NULL};
        const char *const of_page[] = {"after", after, "max", PAGE_TEXT, NULL};
        struct buf json = {0};
        rc = cli_ask(&o->common, o->data, "GET", "/-/devices",
                     device != NULL ? of_one : of_page, &json, err);
        count = rc == 0 ? json_count((char *)json.data, "devices") : 0;
        for (size_t i = 0; rc == 0 && i < count; i++) {
            const char *d = json_item((char *)json.data, "devices", i);
            char *name = json_text(d, "name");
            if (policy == NULL) {
                print_policy(d);
            } else {
                rc = tell_policy(o, name, policy, err);
            }
            free(after);
            after = name;
        }
        buf_free(&json);
    }
    free(after);
    return rc;
}

static int set_policy(const struct options *o, const char *device,
                      struct err *err)
{
    const char *path = strcmp(o->set, "-") == 0 ? "/dev/stdin" : o->set;
    struct buf policy = {0};
    int rc = fs_read(path, EDGE_POLICY_MAX, &policy, err);

    if (rc == 0) {
        rc = each_policy(o, device, &policy, err);
    }
    buf_free(&policy);
    return rc;
}

/* @verb is NULL with --set. */
static int policy(const struct options *o, const char *device, const char *verb,
                  struct err *err)
{
    struct buf none = {0};
    int rc;

    if (verb == NULL) {
        return set_policy(o, device, err);
    }
    if (strcmp(verb, "show") == 0) {
        return each_policy(o, device, NULL, err);
    }
    buf_str(&none, "{}");
    rc = each_policy(o, device, &none, err);
    buf_free(&none);
    return rc;
}

/* policy DEVICE|--all, and show, clear or --set FILE. */
static int act_policy(const struct options *o, int rest, char **argv,
                      struct err *err)
{
    int words = (o->all ? 0 : 1) + (o->set != NULL ? 0 : 1);
    const char *device = o->all ? NULL : argv[2];
    const char *verb = o->set != NULL ? NULL : argv[rest];

    if (rest != 1 + words || (verb != NULL && strcmp(verb, "show") != 0 &&
                              strcmp(verb, "clear") != 0)) {
        return err_set(err, ERR_BAD_INPUT,
                       "say policy, a device or --all, and show, clear or "
                       "--set FILE");
    }
    return policy(o, device, verb, err);
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;

    if (strcmp(argv[1], "policy") == 0) {
        return act_policy(o, rest, argv, err);
    }

    if (strcmp(argv[1], "ls") == 0 && rest == 1) {
        return list(o, err);
    }
    if (rest == 2 && strcmp(argv[1], "enroll") == 0) {
        return enroll(o, argv[2], err);
    }
    if (rest == 2 && strcmp(argv[1], "show") == 0) {
        return show(o, argv[2], err);
    }
    if (rest == 2 &&
        (strcmp(argv[1], "revoke") == 0 || strcmp(argv[1], "remove") == 0)) {
        return end(o, strcmp(argv[1], "remove") == 0, argv[2], err);
    }
    return err_set(err, ERR_BAD_INPUT,
                   "say ls, or enroll, show, policy, revoke or remove and a "
                   "device");
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_edge, &o, argc, argv, 1, 3, act);
}

const struct cli_command cli_edge = {
    "edge",
    "ls|enroll|show|policy|revoke|remove [options] [DEVICE] [show|clear]",
    "let devices in, and see how they are",
    "Devices run godwit-edge, which takes objects, seals them and delivers "
    "each once. enroll prints a code on its last line by which a device gets "
    "its certificate; done again, the device is set up anew. The server must "
    "serve --tls auto.\n\n"
    "ls shows all devices: when each was last heard of, what it has yet to "
    "deliver, how old the oldest of that is, and how many objects it had to "
    "shed. revoke takes effect at once; what a device has not delivered stays "
    "on it, and enroll lets it in again. remove forgets a device; its objects "
    "stay.\n\n"
    "policy DEVICE --set FILE (or --all --set FILE) says what devices are to "
    "do "
    "from now on: when they are full, in which order, how fast, when and over "
    "which links they deliver, what they leave out (docs/EDGE.md). It reaches "
    "a device with its next report, signed by the cluster's CA; show says "
    "which version the device obeys, or why it does not. clear takes all back.",
    table,
    run,
};
