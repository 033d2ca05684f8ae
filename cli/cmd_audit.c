/* godwit audit: the log of who was let in, and of what that goes by. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cli.h"
#include "meta/audit_check.h"

#define PATH "/-/audit"
#define FOLLOW_US 1000000

struct options {
    struct cli_options common;
    char *data, *since, *bucket, *user, *keys, *keep;
    struct config_list key;
    bool follow, json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "since", STRING, since, NULL, 0, 0, "TIME",
            "ls: from then on: 2026-11-23T01:02:03Z, or as long ago as 30m, "
            "24h, 7d."),
    CLI_ROW(struct options, "bucket", STRING, bucket, NULL, 0, 0, "NAME",
            "ls: of this bucket only."),
    CLI_ROW(struct options, "user", STRING, user, NULL, 0, 0, "NAME",
            "ls: by this user only."),
    CLI_ROW(struct options, "follow", BOOL, follow, NULL, 0, 0, NULL,
            "ls: go on as entries come, until it is interrupted."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "ls, level: print the server's JSON as it is."),
    CLI_ROW(struct options, "key", LIST, key, NULL, 0, 0, "HEX",
            "verify: trust checkpoints that are signed by this key, as level "
            "shows it, and by no other. May be repeated."),
    CLI_ROW(struct options, "keys", STRING, keys, NULL, 0, 0, "plain|hashed",
            "level: tell keys of objects as they are, or by their digest."),
    CLI_ROW(struct options, "keep", STRING, keep, NULL, 0, 0, "TIME",
            "level: keep entries so long, as 365d; 0: for ever."),
    CLI_ROW_DATA(struct options),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

/* ---- pages ---- */

/* The numbers of a log's lines are found in it without reading all. */
struct pages {
    const struct options *o;
    struct buf page;
    const char *at; /* NULL: no page was read */
    uint64_t after; /* the last entry that was given */
    uint64_t since;
    bool whole; /* begin with the head */
    bool begun;
};

static int next_page(struct pages *p, struct err *err)
{
    char after[24], since[24];
    const char *const from_start[] = {"max", "1000", NULL};
    const char *const from_time[] = {"since", since, "max", "1000", NULL};
    const char *const behind[] = {"after", after, "max", "1000", NULL};
    int rc;

    snprintf(after, sizeof after, "%llu", (unsigned long long)p->after);
    snprintf(since, sizeof since, "%llu", (unsigned long long)p->since);
    buf_clear(&p->page);
    rc = cli_ask(&p->o->common, p->o->data, "GET", PATH,
                 p->begun        ? behind
                 : p->whole      ? from_start
                 : p->since != 0 ? from_time
                                 : behind,
                 &p->page, err);
    p->begun = true;
    p->at = rc == 0 ? (const char *)p->page.data : NULL;
    return rc;
}

/* The next line, its newline not among *@len; NULL: the page is at its end. */
static const char *next_line(struct pages *p, size_t *len)
{
    const char *line = p->at;

    if (line == NULL || *line == '\0') {
        return NULL;
    }
    *len = strcspn(line, "\n");
    p->at = line + *len + (line[*len] == '\n');
    return line;
}

/* A line as JSON of its own. */
static const char *as_text(struct buf *b, const char *line, size_t len)
{
    buf_clear(b);
    buf_append(b, line, len);
    buf_char(b, '\0');
    return (const char *)b->data;
}

/* ---- ls ---- */

static int read_since(const struct options *o, uint64_t *out, struct err *err)
{
    uint64_t ago;

    *out = 0;
    if (o->since == NULL) {
        return 0;
    }
    if (text_duration_ms(o->since, &ago)) {
        uint64_t now = clock_real_ms();
        *out = now > ago ? now - ago : 1;
        return 0;
    }
    return text_parse_iso8601(o->since, out)
               ? 0
               : err_set(err, ERR_BAD_INPUT,
                         "--since %s: is neither a time as "
                         "2026-11-23T01:02:03Z nor as long ago as 24h",
                         o->since);
}

static bool is_asked(const struct options *o, const char *json, uint64_t since)
{
    char *bucket = json_text(json, "bucket");
    char *user = json_text(json, "user");
    uint64_t told = json_u64(json, "clock_ms"),
             said = json_u64(json, "time_ms");
    bool good = (o->bucket == NULL || strcmp(o->bucket, bucket) == 0) &&
                (o->user == NULL || strcmp(o->user, user) == 0) &&
                (told >= since || said >= since);

    free(bucket);
    free(user);
    return good;
}

static void show(const char *json)
{
    static const char *const texts[] = {"user", "address", "operation"};
    char *kind = json_text(json, "kind"), *bucket = json_text(json, "bucket"),
         *key = json_text(json, "key"), *rule = json_text(json, "rule"),
         *detail = json_text(json, "detail");
    uint64_t ms = json_u64(json, "clock_ms"), count = json_u64(json, "count");
    char time[40];

    printf("%8llu  %-19s  %-8s", (unsigned long long)json_u64(json, "number"),
           ms != 0 ? cli_time(ms, time) : "-",
           strcmp(kind, "decision") != 0 ? kind
           : json_true(json, "denied")   ? "denied"
                                         : "allowed");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *text = json_text(json, texts[i]);
        printf("  ");
        cli_print_name(text[0] != '\0' ? text : "-");
        free(text);
    }
    if (bucket[0] != '\0') {
        printf("  %s%s", bucket, key[0] != '\0' ? "/" : "");
        cli_print_name(key);
    }
    if (count > 0) {
        printf("  %llu", (unsigned long long)count);
    }
    if (rule[0] != '\0') {
        printf("  (%s)", rule);
    }
    if (detail[0] != '\0') {
        printf("  ");
        cli_print_name(detail);
    }
    printf("\n");
    free(kind);
    free(bucket);
    free(key);
    free(rule);
    free(detail);
}

static int list(const struct options *o, struct err *err)
{
    struct pages p = {.o = o};
    struct buf text = {0};
    int rc = read_since(o, &p.since, err);

    while (rc == 0) {
        const char *line;
        bool some = false;
        size_t len;
        rc = next_page(&p, err);
        while (rc == 0 && (line = next_line(&p, &len)) != NULL) {
            const char *json = as_text(&text, line, len);
            if (json_find(json, "kind", &len) == NULL) {
                continue; /* a checkpoint */
            }
            some = true;
            p.after = json_u64(json, "number");
            if (!is_asked(o, json, p.since)) {
                continue;
            }
            if (o->json) {
                printf("%s\n", json);
            } else {
                show(json);
            }
        }
        fflush(stdout);
        if (!some && o->follow && rc == 0) {
            usleep(FOLLOW_US);
        } else if (!some) {
            break;
        }
    }
    buf_free(&text);
    buf_free(&p.page);
    return rc;
}

/* ---- export and verify ---- */

/* Every line of the store's log up to a checkpoint that is made for it. */
static int each_line(const struct options *o,
                     int (*fn)(void *arg, const char *line, size_t len,
                               struct err *err),
                     void *arg, struct err *err)
{
    const char *const ask[] = {"checkpoint", "", NULL};
    struct pages p = {.o = o, .whole = true};
    struct buf json = {0}, text = {0};
    uint64_t end = 0;
    bool done = false;
    int rc = cli_ask(&o->common, o->data, "POST", PATH, ask, &json, err);

    if (rc == 0) {
        end = json_u64((char *)json.data, "checkpoint");
    }
    while (rc == 0 && !done) {
        uint64_t before = p.after;
        const char *line;
        size_t len;
        rc = next_page(&p, err);
        while (rc == 0 && !done && (line = next_line(&p, &len)) != NULL) {
            const char *j = as_text(&text, line, len);
            size_t n;
            uint64_t number = json_u64(j, "number");
            bool point = json_find(j, "signature", &n) != NULL;
            rc = fn(arg, line, len, err);
            p.after = number > p.after ? number : p.after;
            done = point && number >= end;
        }
        if (rc == 0 && !done && p.after == before) {
            rc =
                err_set(err, ERR_CORRUPT, "the log ends before checkpoint %llu",
                        (unsigned long long)end);
        }
    }
    buf_free(&p.page);
    buf_free(&json);
    buf_free(&text);
    return rc;
}

static int write_line(void *arg, const char *line, size_t len, struct err *err)
{
    FILE *f = arg;

    if (fwrite(line, 1, len, f) != len || putc('\n', f) == EOF) {
        return err_set(err, ERR_IO, "write: %s", strerror(errno));
    }
    return 0;
}

static int export(const struct options *o, const char *path, struct err *err)
{
    FILE *f = fopen(path, "wx");
    int rc;

    if (f == NULL) {
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    }
    rc = each_line(o, write_line, f, err);
    if (rc == 0 && (fflush(f) != 0 || fsync(fileno(f)) != 0)) {
        rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    }
    fclose(f);
    if (rc != 0) {
        unlink(path);
    }
    return rc;
}

static int check_line(void *arg, const char *line, size_t len, struct err *err)
{
    return audit_check_line(arg, line, len, err);
}

static int check_file(struct audit_check *c, const char *path, struct err *err)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = 0;

    if (f == NULL) {
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    }
    while (rc == 0 && (n = getline(&line, &room, f)) > 0) {
        rc = line[n - 1] == '\n'
                 ? audit_check_line(c, line, (size_t)n - 1, err)
                 : err_set(err, ERR_CORRUPT, "the last line has no end");
    }
    if (rc == 0 && ferror(f)) {
        rc = err_set(err, ERR_IO, "%s", strerror(errno));
    }
    free(line);
    fclose(f);
    return rc == 0 ? 0 : err_wrap(err, rc, "%s", path);
}

static int take_keys(const struct options *o, struct audit_check *c,
                     struct err *err)
{
    for (size_t i = 0; i < o->key.count; i++) {
        const char *hex = o->key.items[i];
        if (c->key_count == AUDIT_CHECK_KEYS_MAX) {
            return err_set(err, ERR_BAD_INPUT, "--key: at most %d",
                           AUDIT_CHECK_KEYS_MAX);
        }
        if (!text_unhex(hex, strlen(hex), c->keys[c->key_count++], AUDIT_KEY)) {
            return err_set(err, ERR_BAD_INPUT, "--key %s: is not %d hex digits",
                           hex, 2 * AUDIT_KEY);
        }
    }
    return 0;
}

static int verify(const struct options *o, const char *path, struct err *err)
{
    struct audit_check c = {.lines = 0};
    char hex[2 * AUDIT_KEY + 1];
    int rc = take_keys(o, &c, err);

    audit_check_begin(&c);
    if (rc == 0) {
        rc = path != NULL ? check_file(&c, path, err)
                          : each_line(o, check_line, &c, err);
    }
    if (rc == 0) {
        rc = audit_check_end(&c, err);
    }
    if (rc != 0) {
        return rc;
    }
    printf("entries %llu to %llu are whole: %llu checkpoints by %s\n",
           (unsigned long long)c.first, (unsigned long long)c.last,
           (unsigned long long)c.checkpoints,
           text_hex(c.keys[0], AUDIT_KEY, hex));
    if (o->key.count == 0) {
        printf("no --key was named: compare this one with what you know\n");
    }
    if (c.lost > 0) {
        printf("%llu decisions were counted, and not told\n",
               (unsigned long long)c.lost);
    }
    return 0;
}

/* ---- level ---- */

static int show_level(const struct options *o, struct err *err)
{
    static const char *const ask[] = {"state", "", NULL};
    struct buf json = {0};
    int rc = cli_ask(&o->common, o->data, "GET", PATH, ask, &json, err);
    const char *j = (const char *)json.data;

    if (rc == 0 && o->json) {
        fputs(j, stdout);
    } else if (rc == 0) {
        char *level = json_text(j, "level"), *keys = json_text(j, "keys"),
             *key = json_text(j, "key");
        printf("level       %s\n", level);
        printf("keys        %s\n", keys);
        printf("keep        %llud\n",
               (unsigned long long)json_u64(j, "keep_ms") / 86400000);
        printf("entries     %llu to %llu\n",
               (unsigned long long)json_u64(j, "base") + 1,
               (unsigned long long)json_u64(j, "number"));
        printf("checkpoint  %llu\n",
               (unsigned long long)json_u64(j, "checkpoint"));
        printf("signed by   %s\n", key[0] != '\0' ? key : "-");
        free(level);
        free(keys);
        free(key);
    }
    buf_free(&json);
    return rc;
}

static int set_level(const struct options *o, const char *level,
                     struct err *err)
{
    const char *pairs[8];
    struct buf json = {0};
    uint64_t keep;
    char ms[24];
    size_t n = 0;
    int rc;

    if (level != NULL) {
        pairs[n++] = "level";
        pairs[n++] = level;
    }
    if (o->keys != NULL) {
        pairs[n++] = "keys";
        pairs[n++] = o->keys;
    }
    if (o->keep != NULL) {
        if (!text_duration_ms(o->keep, &keep)) {
            return err_set(err, ERR_BAD_INPUT,
                           "--keep %s: is no time such as 365d", o->keep);
        }
        snprintf(ms, sizeof ms, "%llu", (unsigned long long)keep);
        pairs[n++] = "keep_ms";
        pairs[n++] = ms;
    }
    pairs[n] = NULL;
    rc = cli_ask(&o->common, o->data, "POST", PATH, pairs, &json, err);
    buf_free(&json);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;
    const char *word = rest == 2 ? argv[2] : NULL;
    int rc;

    if (strcmp(argv[1], "ls") == 0 && rest == 1) {
        rc = list(o, err);
    } else if (strcmp(argv[1], "export") == 0 && rest == 2) {
        rc = export(o, word, err);
    } else if (strcmp(argv[1], "verify") == 0) {
        rc = verify(o, word, err);
    } else if (strcmp(argv[1], "level") == 0) {
        rc = rest == 1 && o->keys == NULL && o->keep == NULL
                 ? show_level(o, err)
                 : set_level(o, word, err);
    } else {
        rc = err_set(err, ERR_BAD_INPUT,
                     "say ls, export FILE, verify [FILE] or level [LEVEL]");
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_audit, &o, argc, argv, 1, 2, act);
}

const struct cli_command cli_audit = {
    "audit",
    "ls | export FILE | verify [FILE] | level [none|denied|writes|all] "
    "[options]",
    "read and verify the log of decisions on access",
    "Every change of policy is in the log, and decisions on requests as far as "
    "the level says: none; denied, as it is by default; writes, which are "
    "denied and allowed requests that change something and what else is "
    "denied; all. Each entry holds the hash of the one before, and the servers "
    "sign checkpoints, so that verify finds any entry that was removed, "
    "changed or moved: in the store, or, without asking a server, in a FILE "
    "that export has made. Whoever has the root key could sign another log: "
    "keep exported files elsewhere, and compare.",
    table,
    run,
};
