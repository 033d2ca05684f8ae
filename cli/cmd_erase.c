/* godwit erase and godwit receipt: what is to be unreadable for ever, and the
 * proof that it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "cli/cli.h"
#include "crypto/digest.h"
#include "crypto/jws.h"
#include "meta/command.h"

#define PATH "/-/erasures"
#define LOOK_MS 500
#define RECEIPT_MAX ((size_t)64 << 20)
#define DIGEST 32

struct options {
    struct cli_options common;
    char *data;
    char *version, *subject, *device, *reason, *key;
    bool recursive, dry_run, wait, json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "version", STRING, version, NULL, 0, 0, "ID",
            "This version of the key alone. Default: all versions."),
    CLI_ROW(struct options, "recursive", BOOL, recursive, NULL, 0, 0, NULL,
            "All keys that begin so; with s3://BUCKET alone, all of it."),
    CLI_ROW(struct options, "subject", STRING, subject, NULL, 0, 0,
            "FIELD=VALUE",
            "All objects of the bucket with this metadata: x-amz-meta-FIELD."),
    CLI_ROW(struct options, "device", STRING, device, NULL, 0, 0, "NAME",
            "All objects of the bucket that this device delivered."),
    CLI_ROW(struct options, "reason", STRING, reason, NULL, 0, 0, "TEXT",
            "Why: stands in the receipt."),
    CLI_ROW(struct options, "dry-run", BOOL, dry_run, NULL, 0, 0, NULL,
            "Say what would be erased, and what is held or retained; erase "
            "nothing."),
    CLI_ROW(struct options, "wait", BOOL, wait, NULL, 0, 0, NULL,
            "Wait until it is done, and no server has a trace of it; fails "
            "when something keeps it."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print the server's JSON as it is."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static const struct config_row receipt_table[] = {
    CLI_ROW(struct options, "key", STRING, key, NULL, 0, 0, "KEY",
            "verify: it must be signed by this key (godwit receipt key)."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "verify: print what was signed, as JSON."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

/* ---- asking for one ---- */

/* name and value pairs; values borrowed from @o and @t but for @field. */
struct asked {
    const char *pairs[16];
    size_t count;
    char *field;
};

static void add(struct asked *a, const char *name, const char *value)
{
    a->pairs[a->count++] = name;
    a->pairs[a->count++] = value;
}

static int read_asked(const struct options *o, const struct cli_target *t,
                      struct asked *a, struct err *err)
{
    unsigned ways = o->recursive + (o->subject != NULL) + (o->device != NULL);
    const char *equals = o->subject != NULL ? strchr(o->subject, '=') : NULL;

    add(a, "bucket", t->bucket);
    if (ways > 1 || (o->version != NULL && ways > 0)) {
        return err_set(err, ERR_BAD_INPUT,
                       "say one of --version, --recursive, --subject and "
                       "--device");
    }
    if ((o->subject != NULL || o->device != NULL) && t->key[0] != '\0') {
        return err_set(err, ERR_BAD_INPUT,
                       "--subject and --device are of a bucket: s3://%s",
                       t->bucket);
    }
    if (o->subject != NULL && (equals == NULL || equals == o->subject)) {
        return err_set(err, ERR_BAD_INPUT, "--subject: FIELD=VALUE");
    }
    if (ways == 0 && t->key[0] == '\0') {
        return err_set(err, ERR_BAD_INPUT,
                       "to erase all of a bucket say --recursive");
    }
    if (o->subject != NULL) {
        a->field = mem_strndup(o->subject, (size_t)(equals - o->subject));
        add(a, "field", a->field);
        add(a, "value", equals + 1);
    } else if (o->device != NULL) {
        add(a, "device", o->device);
    } else {
        add(a, o->recursive ? "prefix" : "key", t->key);
    }
    if (o->version != NULL) {
        add(a, "version", o->version);
    }
    if (o->reason != NULL) {
        add(a, "reason", o->reason);
    }
    if (o->dry_run) {
        add(a, "dry-run", "");
    }
    return 0;
}

static void print_dry_run(const char *json)
{
    char bytes[24];

    printf(
        "would erase %llu versions, %s; of %llu the key is destroyed; "
        "%llu unfinished uploads\n",
        (unsigned long long)json_u64(json, "versions"),
        cli_size(json_u64(json, "bytes"), true, bytes),
        (unsigned long long)json_u64(json, "keys_destroyed"),
        (unsigned long long)json_u64(json, "uploads"));
    if (json_u64(json, "held") + json_u64(json, "retained") > 0) {
        printf("would wait for %llu on hold and %llu retained\n",
               (unsigned long long)json_u64(json, "held"),
               (unsigned long long)json_u64(json, "retained"));
    }
}

/* ---- showing ---- */

static void print_target(const char *e)
{
    char *selector = json_text(e, "selector"), *bucket = json_text(e, "bucket");
    char *key = json_text(e, "key"), *field = json_text(e, "field");
    char *value = json_text(e, "value"), *version = json_text(e, "version");

    printf("s3://%s", bucket);
    if (strcmp(selector, "subject") == 0) {
        printf(" with %s=%s", field, value);
    } else if (strcmp(selector, "device") == 0) {
        printf(" of device %s", value);
    } else {
        printf("/%s%s", key, strcmp(selector, "prefix") == 0 ? "*" : "");
    }
    printf("%s%s", version[0] != '\0' ? " version " : "", version);
    free(selector);
    free(bucket);
    free(key);
    free(field);
    free(value);
    free(version);
}

/* "running", "blocked: 2 held", "done, not clean on server 3" */
static void print_state(const char *e)
{
    char *state = json_text(e, "state");
    uint64_t held = json_u64(e, "held"), retained = json_u64(e, "retained");
    uint64_t until = json_u64(e, "until_ms");
    char time[40];

    printf("%s", state);
    if (strcmp(state, "blocked") == 0) {
        printf(": %llu on hold, %llu retained", (unsigned long long)held,
               (unsigned long long)retained);
        if (until > 0) {
            printf(" (the first until %s)", cli_time(until, time));
        }
    } else if (strcmp(state, "done") == 0 && !json_true(e, "clean")) {
        printf(", not clean yet on server");
        for (size_t i = 0; i < json_count(e, "unclean"); i++) {
            printf(" %llu", strtoull(json_item(e, "unclean", i), NULL, 10));
        }
    } else if (strcmp(state, "done") == 0) {
        printf(", no server has a trace of it");
    }
    free(state);
}

static void print_row(const char *e)
{
    char created[40], bytes[24];

    printf("%6llu  %-19s  %10llu %10s  ", (unsigned long long)json_u64(e, "id"),
           cli_time(json_u64(e, "created_ms"), created),
           (unsigned long long)json_u64(e, "versions"),
           cli_size(json_u64(e, "bytes"), true, bytes));
    print_target(e);
    printf("  ");
    print_state(e);
    printf("\n");
}

static int list(const struct options *o, const char *id, struct err *err)
{
    const char *pairs[] = {"id", id, NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", PATH,
                     id != NULL ? pairs : NULL, &json, err);
    size_t count = rc == 0 ? json_count((char *)json.data, "erasures") : 0;

    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
        count = 0;
    } else if (rc == 0) {
        printf("%6s  %-19s  %10s %10s  %s\n", "ID", "ASKED", "ERASED", "BYTES",
               "OF, STATE");
    }
    for (size_t i = 0; i < count; i++) {
        print_row(json_item((char *)json.data, "erasures", i));
    }
    buf_free(&json);
    return rc;
}

/* ---- waiting ---- */

static int await(const struct options *o, uint64_t id, struct err *err)
{
    char text[24];
    const char *pairs[] = {"id", text, NULL};
    uint64_t shown = UINT64_MAX;
    bool ended = false;
    int rc = 0;

    snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    while (rc == 0 && !ended) {
        struct buf json = {0};
        rc = cli_ask(&o->common, o->data, "GET", PATH, pairs, &json, err);
        if (rc == 0) {
            const char *e = json_item((char *)json.data, "erasures", 0);
            char *state = json_text(e, "state");
            uint64_t versions = json_u64(e, "versions");
            ended = json_true(e, "clean");
            if (versions != shown && !ended) {
                fprintf(stderr, "%llu versions erased\n",
                        (unsigned long long)versions);
                shown = versions;
            }
            if (strcmp(state, "blocked") == 0 ||
                strcmp(state, "cancelled") == 0) {
                rc = err_set(err, ERR_RETAINED,
                             "erasure %s is %s: godwit erase show %s", text,
                             state, text);
            }
            free(state);
        }
        buf_free(&json);
        if (rc == 0 && !ended) {
            clock_sleep_ms(LOOK_MS);
        }
    }
    return rc;
}

static int erase(const struct options *o, const char *target, struct err *err)
{
    struct cli_target t = {NULL, NULL};
    struct asked a = {.count = 0};
    struct buf json = {0};
    uint64_t id = 0;
    int rc = cli_target(target, true, &t, err);

    if (rc == 0 && t.bucket[0] == '\0') {
        rc = err_set(err, ERR_BAD_INPUT, "which bucket? s3://BUCKET/KEY");
    }
    if (rc == 0) {
        rc = read_asked(o, &t, &a, err);
    }
    if (rc == 0) {
        rc = cli_ask(&o->common, o->data, "POST", PATH, a.pairs, &json, err);
    }
    if (rc == 0 && o->json) {
        fputs((char *)json.data, stdout);
    } else if (rc == 0 && o->dry_run) {
        print_dry_run((char *)json.data);
    } else if (rc == 0) {
        printf("erasure %llu\n",
               (unsigned long long)json_u64((char *)json.data, "id"));
    }
    fflush(stdout);
    if (rc == 0 && o->wait && !o->dry_run) {
        id = json_u64((char *)json.data, "id");
        rc = await(o, id, err);
    }
    buf_free(&json);
    free(a.field);
    cli_target_free(&t);
    return rc;
}

static int cancel(const struct options *o, const char *id, struct err *err)
{
    const char *pairs[] = {"id", id, NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "DELETE", PATH, pairs, &json, err);

    buf_free(&json);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    const struct options *o = options;

    if (strcmp(argv[1], "ls") == 0 && rest == 1) {
        return list(o, NULL, err);
    }
    if (strcmp(argv[1], "show") == 0 && rest == 2) {
        return list(o, argv[2], err);
    }
    if (strcmp(argv[1], "cancel") == 0 && rest == 2) {
        return cancel(o, argv[2], err);
    }
    if (rest == 1 && cli_is_remote(argv[1])) {
        return erase(o, argv[1], err);
    }
    return err_set(err, ERR_BAD_INPUT,
                   "say s3://BUCKET/KEY, ls, show ID or cancel ID");
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_erase, &o, argc, argv, 1, 2, act);
}

const struct cli_command cli_erase = {
    "erase",
    "s3://BUCKET[/KEY] | ls | show ID | cancel ID [options]",
    "erase objects for ever, and prove it",
    "Erase destroys versions of objects for good, markers and unfinished "
    "uploads too: of one that is encrypted by the server the key, so that its "
    "bytes are unreadable wherever they lie; of others the bytes are released. "
    "It is about what is there when it is asked. A version on legal hold, or "
    "retained by Object Lock of either mode, is left, and the request waits "
    "and goes on by itself when hold and retention have ended. When it is "
    "done, every server that keeps the catalogue removes what was erased from "
    "its log, its database and their spare files; `godwit receipt get ID` "
    "gives a signed receipt then.\n\nBackups of the catalogue that were made "
    "before still have the keys; so have copies that clients made.",
    table,
    run,
};

/* ---- receipts ---- */

static int get_receipt(const struct options *o, const char *id, struct err *err)
{
    const char *pairs[] = {"id", id, NULL};
    struct buf token = {0};
    int rc = cli_ask(&o->common, o->data, "GET", PATH "/receipt", pairs, &token,
                     err);

    if (rc == 0) {
        fputs((char *)token.data, stdout);
    }
    buf_free(&token);
    return rc;
}

static int show_key(const struct options *o, struct err *err)
{
    struct buf json = {0};
    int rc =
        cli_ask(&o->common, o->data, "GET", PATH "/receipt", NULL, &json, err);

    if (rc == 0) {
        char *key = json_text((char *)json.data, "key");
        printf("%s\n", key);
        free(key);
    }
    buf_free(&json);
    return rc;
}

/* One link of the digest, as meta/meta_erase.h has it. */
static void link_of(uint8_t digest[DIGEST], const char *e)
{
    char *key = json_text(e, "key"), *version = json_text(e, "version");
    char *etag = json_text(e, "etag"), *how = json_text(e, "how");
    uint8_t out[DIGEST_MAX];
    struct buf b = {0};

    buf_append(&b, digest, DIGEST);
    put_u16(&b, (uint16_t)strlen(key));
    buf_str(&b, key);
    put_u64(&b, strcmp(version, "null") == 0 ? META_VERSION_NULL
                                             : strtoull(version, NULL, 16));
    put_u64(&b, json_u64(e, "size"));
    put_u16(&b, (uint16_t)strlen(etag));
    buf_str(&b, etag);
    put_u8(&b, strcmp(how, "key destroyed") == 0    ? META_ERASED_KEY
               : strcmp(how, "bytes released") == 0 ? META_ERASED_BYTES
                                                    : META_ERASED_MARKER);
    digest_of(DIGEST_SHA256, b.data, b.len, out);
    memcpy(digest, out, DIGEST);
    buf_free(&b);
    free(key);
    free(version);
    free(etag);
    free(how);
}

/* Does the list, if it is whole, give the digest? */
static int check_list(const char *json, struct err *err)
{
    size_t count = json_count(json, "erased");
    char *want = json_text(json, "sha256");
    uint8_t digest[DIGEST] = {0};
    char hex[2 * DIGEST + 1];
    int rc = 0;

    if (count == json_u64(json, "versions")) {
        for (size_t i = 0; i < count; i++) {
            link_of(digest, json_item(json, "erased", i));
        }
        if (strcmp(text_hex(digest, DIGEST, hex), want) != 0) {
            rc = err_set(err, ERR_MISMATCH,
                         "the list of what was erased does not give its "
                         "digest");
        }
    }
    free(want);
    return rc;
}

static void print_receipt(const char *json, const char *key)
{
    char *requested = json_text(json, "requested");
    char *done = json_text(json, "done"), *by = json_text(json, "by");
    char *reason = json_text(json, "reason");
    char bytes[24];

    printf("Erased: %llu versions, %s, of ",
           (unsigned long long)json_u64(json, "versions"),
           cli_size(json_u64(json, "bytes"), true, bytes));
    print_target(json);
    printf("\nKeys destroyed: %llu\nRequest: %llu, by %s, %s\nDone: %s\n",
           (unsigned long long)json_u64(json, "keys_destroyed"),
           (unsigned long long)json_u64(json, "id"), by, requested, done);
    if (reason[0] != '\0') {
        printf("Reason: %s\n", reason);
    }
    printf("Signed by: %s\n", key);
    free(requested);
    free(done);
    free(by);
    free(reason);
}

static int verify(const struct options *o, const char *path, struct err *err)
{
    struct buf token = {0}, payload = {0};
    uint8_t key[JWS_KEY];
    char text[JWS_KEY_TEXT];
    size_t len;
    int rc = fs_read(path, RECEIPT_MAX, &token, err);

    if (rc != 0) {
        return rc;
    }
    len = token.len;
    while (len > 0 && token.data[len - 1] <= ' ') {
        len--;
    }
    rc = jws_open((char *)token.data, len, &payload, key, err);
    buf_char(&payload, '\0');
    if (rc == 0) {
        char *kind = json_text((char *)payload.data, "godwit");
        jws_key_text(key, text);
        if (strcmp(kind, "erasure receipt") != 0) {
            rc = err_set(err, ERR_BAD_INPUT, "%s: is no receipt", path);
        } else if (o->key != NULL && strcmp(o->key, text) != 0) {
            rc = err_set(err, ERR_MISMATCH,
                         "it is signed by %s, and not by --key", text);
        }
        free(kind);
    }
    if (rc == 0) {
        rc = check_list((char *)payload.data, err);
    }
    if (rc == 0 && o->json) {
        printf("%s\n", (char *)payload.data);
    } else if (rc == 0) {
        print_receipt((char *)payload.data, text);
    }
    if (rc == 0 && o->key == NULL) {
        fprintf(stderr,
                "godwit receipt: the signature is good; whose it is, "
                "--key tells\n");
    }
    buf_free(&token);
    buf_free(&payload);
    return rc;
}

static int act_receipt(void *options, int rest, char **argv, struct err *err)
{
    const struct options *o = options;

    if (strcmp(argv[1], "get") == 0 && rest == 2) {
        return get_receipt(o, argv[2], err);
    }
    if (strcmp(argv[1], "key") == 0 && rest == 1) {
        return show_key(o, err);
    }
    if (strcmp(argv[1], "verify") == 0 && rest == 2) {
        return verify(o, argv[2], err);
    }
    return err_set(err, ERR_BAD_INPUT, "say get ID, verify FILE or key");
}

static int run_receipt(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_receipt, &o, argc, argv, 1, 2, act_receipt);
}

const struct cli_command cli_receipt = {
    "receipt",
    "get ID | verify FILE | key [options]",
    "get and check the receipts of erasures",
    "A receipt says what was erased, when, why and for whom, signed by the "
    "store (JSON Web Signature, Ed25519). get prints that of an erasure which "
    "is done on every server. verify checks one without asking any server; "
    "with --key that it is of this store, whose key `godwit receipt key` "
    "prints: keep it elsewhere.",
    receipt_table,
    run_receipt,
};
