#include "edge-agent/agent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/device_id.h"
#include "edge-agent/http.h"
#include "edge-agent/intake.h"
#include "edge-agent/local_s3.h"
#include "edge-agent/orders.h"
#include "edge-agent/rules.h"
#include "edge-agent/s3_sign.h"
#include "edge-agent/shrink.h"
#include "edge-agent/sync.h"
#include "edge-agent/watch.h"

#define TOKEN_MAX 256
#define TOKEN_MIN 16

#define AT(field) offsetof(struct agent_config, field)

const struct config_row agent_table[] = {
    {"data", CONFIG_STRING, AT(data), "/var/lib/godwit-edge", 0, 0, "DIR",
     "Folder of the agent: spool, socket and lock."},
    {"listen", CONFIG_LIST, AT(listen), NULL, 0, 0, "ADDR:PORT",
     "Also take requests at this address, in numbers. Other than loopback "
     "needs --token-file."},
    {"socket", CONFIG_STRING, AT(socket), NULL, 0, 0, "PATH",
     "Socket file to take requests at; DATA/socket unless set."},
    {"watch", CONFIG_LIST, AT(watch), NULL, 0, 0, "DIR",
     "Take the files that come into this folder and delete each once it is "
     "safe."},
    {"recipient", CONFIG_LIST, AT(recipient), NULL, 0, 0, "age1...",
     "Seal to the owner of this key, before the first write to the disk."},
    {"cipher", CONFIG_STRING, AT(cipher), "auto", 0, 0, "aes|chacha|auto",
     "Cipher of the sealed bytes; auto is aes where the processor has "
     "instructions for it."},
    {"format", CONFIG_STRING, AT(format), "godwit", 0, 0, "godwit|age",
     "Form of the sealed objects: Godwit's envelopes, or standard files of age "
     "v1, which any age opens and which cost each object some milliseconds."},
    {"max-bytes", CONFIG_SIZE, AT(max_bytes), "256MiB", SPOOL_BYTES_MIN,
     SPOOL_BYTES_MAX, "SIZE", "Most that the spool takes on the disk."},
    {"max-objects", CONFIG_UINT, AT(max_objects), "1000000", 1, 10000000, "N",
     "Most objects that the spool holds."},
    {"when-full", CONFIG_STRING, AT(when_full), "refuse", 0, 0,
     "refuse|oldest|class",
     "What gives way when the spool is full: the newest is refused, the oldest "
     "is shed, or the oldest of the lowest class is shed."},
    {"local-read", CONFIG_BOOL, AT(local_read), NULL, 0, 0, NULL,
     "Keep a key in memory, so that what came since the start can be read back "
     "on this device."},
    {"zstd", CONFIG_BOOL, AT(zstd), NULL, 0, 0, NULL,
     "Compress before sealing, where that makes an object shorter by a "
     "sixteenth. Not with --format age."},
    {"token-file", CONFIG_STRING, AT(token_file), NULL, 0, 0, "FILE",
     "Requests from other machines need the token in this file."},
    {"bucket", CONFIG_STRING, AT(bucket), "inbox", 0, 0, "NAME",
     "Bucket of what names none: watched files, and put without a key."},
    {"prefix", CONFIG_STRING, AT(prefix), "", 0, 0, "TEXT",
     "What the keys of watched files, and of put without a key, begin with."},
    {"gateway", CONFIG_STRING, AT(gateway), NULL, 0, 0, "URL",
     "enroll: https://HOST[:PORT] of the cluster. run: deliver there instead "
     "of "
     "where the device was enrolled."},
    {"s3-endpoint", CONFIG_STRING, AT(s3_endpoint), NULL, 0, 0, "URL",
     "Deliver to the store that speaks S3 there, which needs no enrolment: "
     "https://HOST[:PORT]. Objects go to --bucket."},
    {"access-key-file", CONFIG_STRING, AT(access_key_file), NULL, 0, 0, "FILE",
     "For --s3-endpoint: the access key in its first line, the secret key in "
     "the second."},
    {"region", CONFIG_STRING, AT(region), "us-east-1", 0, 0, "NAME",
     "For --s3-endpoint: the region to sign for."},
    {"s3-ca", CONFIG_STRING, AT(s3_ca), "/etc/ssl/certs/ca-certificates.crt", 0,
     0, "FILE", "For --s3-endpoint: whom to believe (PEM)."},
    {"snowball", CONFIG_BOOL, AT(snowball), NULL, 0, 0, NULL,
     "For --s3-endpoint: the store unpacks tars that come with "
     "x-amz-meta-snowball-auto-extract, so send many small objects in one."},
    {"code", CONFIG_STRING, AT(code), NULL, 0, 0, "gwe1...",
     "enroll: the code that the cluster's operator gave for this device."},
    {"insecure", CONFIG_BOOL, AT(insecure), NULL, 0, 0, NULL,
     "Allow a gateway without TLS on another machine. For tests only."},
    {"newest-first", CONFIG_BOOL, AT(newest_first), NULL, 0, 0, NULL,
     "Deliver the newest first within a class, not the oldest."},
    {"rate", CONFIG_SIZE, AT(rate), NULL, 0, 0, "SIZE",
     "Most bytes a second to deliver with; 0: no bound."},
    {"hours", CONFIG_STRING, AT(hours), NULL, 0, 0, "FROM-TO",
     "Deliver in these hours of the day alone (UTC): 22-6. Class 9 goes "
     "always."},
    {"answer-timeout", CONFIG_DURATION, AT(answer_timeout), "60s", 100, 3600000,
     "TIME", "For a whole answer of the gateway."},
    {"config", CONFIG_STRING, AT(config), NULL, 0, 0, "FILE",
     "Read settings from a file of \"key = value\" lines; flags win."},
    {"log-level", CONFIG_STRING, AT(log_level), "info", 0, 0, "LEVEL",
     "error, warn, info or debug."},
    {0},
};

struct agent {
    struct loop *loop;
    struct spool_disk disk;
    struct intake *intake;
    struct local_s3 *s3;
    struct http_server *http;
    struct watch *watch;
    struct sync *sync; /* NULL: not enrolled */
    struct device_id id;
    struct device_id_settings settings;
    struct agent_config c; /* as given, and by the settings; borrows */
    char *below;           /* "BUCKET/PREFIX" */
    struct rules flags;    /* by the flags alone */
    struct orders *orders; /* NULL: not enrolled */
    char *budget_path;
    struct s3_keys keys; /* for another store */
    struct loop_fd signals;
    char *token;
    int lock;
};

char *agent_path(const char *data, const char *name)
{
    return mem_printf("%s/%s", data, name);
}

/* ---- settings ---- */

static int parse_full(const char *text, enum spool_full *out, struct err *err)
{
    static const struct {
        const char *name;
        enum spool_full value;
    } rows[] = {{"refuse", SPOOL_REFUSE},
                {"oldest", SPOOL_OLDEST},
                {"class", SPOOL_LOWEST}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(text, rows[i].name) == 0) {
            *out = rows[i].value;
            return 0;
        }
    }
    return err_set(err, ERR_BAD_INPUT,
                   "--when-full \"%s\": refuse, oldest or class", text);
}

static bool has_aes(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("aes") != 0;
#else
    return false;
#endif
}

static int parse_cipher(const char *text, enum prim_algorithm *out,
                        struct err *err)
{
    if (strcmp(text, "auto") == 0) {
        *out = has_aes() ? PRIM_AES_256_GCM : PRIM_CHACHA20_POLY1305;
    } else if (strcmp(text, "aes") == 0) {
        *out = PRIM_AES_256_GCM;
    } else if (strcmp(text, "chacha") == 0) {
        *out = PRIM_CHACHA20_POLY1305;
    } else {
        return err_set(err, ERR_BAD_INPUT,
                       "--cipher \"%s\": aes, chacha or auto", text);
    }
    return 0;
}

static int parse_format(const struct agent_config *c, bool *age,
                        struct err *err)
{
    *age = strcmp(c->format, "age") == 0;
    if (!*age && strcmp(c->format, "godwit") != 0) {
        return err_set(err, ERR_BAD_INPUT, "--format \"%s\": godwit or age",
                       c->format);
    }
    if (c->zstd && (*age || !shrink_able())) {
        return err_set(err, ERR_BAD_INPUT,
                       *age ? "--zstd goes with --format godwit alone"
                            : "--zstd: this agent was built without it");
    }
    if (*age && c->local_read) {
        return err_set(err, ERR_BAD_INPUT,
                       "--local-read goes with --format godwit alone");
    }
    return 0;
}

static int intake_options(const struct agent_config *c,
                          struct seal_recipient *recipients,
                          struct intake_options *out, struct err *err)
{
    struct intake_options o = {
        .recipients = recipients,
        .recipient_count = c->recipient.count,
        .local_read = c->local_read,
        .max_bytes = c->max_bytes,
        .max_objects = c->max_objects,
    };
    int code = parse_full(c->when_full, &o.when_full, err);

    if (code == 0) {
        code = parse_cipher(c->cipher, &o.algorithm, err);
    }
    if (code == 0) {
        code = parse_format(c, &o.age, err);
    }
    if (code == 0 && (c->recipient.count == 0 ||
                      c->recipient.count > INTAKE_RECIPIENTS_MAX)) {
        code = err_set(err, ERR_BAD_INPUT,
                       "--recipient: give 1 to %d keys to seal to (godwit "
                       "identity makes one), or enrol the device",
                       INTAKE_RECIPIENTS_MAX);
    }
    for (size_t i = 0; code == 0 && i < c->recipient.count; i++) {
        code = seal_recipient_parse(c->recipient.items[i], &recipients[i], err);
        if (code != 0) {
            return err_wrap(err, code, "--recipient");
        }
    }
    *out = o;
    return code;
}

static int read_token(const char *path, char **out, struct err *err)
{
    struct buf b = {0};
    int code;

    if (path == NULL) {
        return 0;
    }
    code = fs_read(path, TOKEN_MAX, &b, err);
    while (b.len > 0 &&
           (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == ' ')) {
        b.data[--b.len] = '\0';
    }
    if (code == 0 && b.len < TOKEN_MIN) {
        code = err_set(err, ERR_BAD_INPUT, "%s: a token has at least %d bytes",
                       path, TOKEN_MIN);
    }
    if (code == 0) {
        *out = mem_strndup((char *)b.data, b.len);
    }
    buf_wipe(&b);
    return code;
}

/* Deliver to a store that is no cluster of ours. */
static int use_store(struct agent *a, struct err *err)
{
    const struct agent_config *c = &a->c;

    if (c->s3_endpoint == NULL) {
        return 0;
    }
    if (a->below != NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "--s3-endpoint: this device is enrolled with a cluster "
                       "(remove DATA/identity to leave it)");
    }
    if (c->access_key_file == NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "--s3-endpoint needs --access-key-file");
    }
    a->below = mem_printf("%s/%s", c->bucket, c->prefix);
    return s3_keys_read(c->access_key_file, c->region, &a->keys, err);
}

/* What the flags say of what a policy may change. */
static int read_flags(struct agent *a, struct err *err)
{
    const struct agent_config *c = &a->c;
    struct rules *r = &a->flags;
    int code = parse_full(c->when_full, &r->intake.spool.when_full, err);

    if (code == 0) {
        code = sync_hours_parse(c->hours, &r->sync.hours, err);
    }
    a->budget_path = agent_path(c->data, "flash.json");
    r->intake.spool.max_bytes = c->max_bytes;
    r->intake.spool.max_objects = c->max_objects;
    r->intake.budget_path = a->budget_path;
    r->intake.zstd = c->zstd;
    r->sync.rate = c->rate;
    for (uint8_t i = 0; i < SPOOL_CLASSES; i++) {
        r->intake.spool.priority[i] = i;
        r->sync.order.priority[i] = i;
        r->sync.order.newest_first[i] = c->newest_first;
    }
    return code;
}

/* ---- running ---- */

/* Another turn at once when something was acknowledged: its connection may
 * have more. */
static void before_wait(void *arg, int *timeout_ms)
{
    struct agent *a = arg;

    if (intake_commit(a->intake)) {
        *timeout_ms = 0;
        if (a->sync != NULL) {
            sync_kick(a->sync);
        }
    }
}

static void on_signal(struct loop_fd *f, uint32_t events)
{
    struct agent *a = LIST_OF(f, struct agent, signals);
    struct signalfd_siginfo info;

    (void)events;
    if (read(f->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        loop_stop(a->loop);
    }
}

static int watch_signals(struct agent *a, struct err *err)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "signalfd");
    }
    a->signals = (struct loop_fd){fd, on_signal};
    loop_add_fd(a->loop, &a->signals, EPOLLIN);
    return 0;
}

static int open_spool(struct agent *a, const struct agent_config *c,
                      struct err *err)
{
    struct seal_recipient recipients[INTAKE_RECIPIENTS_MAX];
    struct intake_options options;
    char *path = agent_path(c->data, "spool");
    int code = intake_options(c, recipients, &options, err);

    if (code == 0) {
        code = spool_disk_open(path, &a->disk, err);
    }
    if (code == 0) {
        code = intake_new(&a->disk, &options, &a->intake, err);
    }
    free(path);
    return code;
}

static int listen_all(struct agent *a, const struct agent_config *c,
                      struct err *err)
{
    char *path = c->socket != NULL && *c->socket != '\0'
                     ? mem_strdup(c->socket)
                     : agent_path(c->data, "socket");
    int code = http_listen_path(a->http, path, err);

    for (size_t i = 0; code == 0 && i < c->listen.count; i++) {
        bool loopback;
        unsigned port = 0;
        char text[16];
        code = http_is_loopback(c->listen.items[i], &loopback, err);
        if (code == 0 && !loopback && a->token == NULL) {
            code = err_set(err, ERR_BAD_INPUT,
                           "--listen %s: other than loopback needs "
                           "--token-file",
                           c->listen.items[i]);
        }
        if (code == 0) {
            code = http_listen(a->http, c->listen.items[i], &port, err);
        }
        if (code == 0) {
            snprintf(text, sizeof text, "%u", port);
            log_line(LOG_INFO, "listening", "address", c->listen.items[i],
                     "port", text, NULL);
        }
    }
    free(path);
    return code;
}

static void on_status(void *arg, struct buf *out)
{
    struct agent *a = arg;
    struct watch_status st;

    if (a->sync != NULL) {
        sync_status(a->sync, out);
        buf_str(out, ",\"below\":");
        put_json_text(out, a->below);
        if (a->orders != NULL) {
            orders_report(a->orders, out);
        }
    } else {
        buf_str(out, ",\"link\":\"off\"");
    }
    intake_status(a->intake, out);
    watch_status(a->watch, &st);
    buf_printf(out,
               ",\"watch_taken\":%llu,\"watch_refused\":%llu,"
               "\"watch_waiting\":%llu",
               (unsigned long long)st.taken, (unsigned long long)st.refused,
               (unsigned long long)st.waiting);
}

static int watch_all(struct agent *a, const struct agent_config *c,
                     struct err *err)
{
    int code = 0;

    a->watch = watch_new(a->loop, a->intake, c->bucket, c->prefix);
    for (size_t i = 0; code == 0 && i < c->watch.count; i++) {
        code = watch_add(a->watch, c->watch.items[i], err);
    }
    return code;
}

static void on_flush(void *arg, void (*done)(void *, int, const char *),
                     void *done_arg)
{
    struct agent *a = arg;

    sync_flush(a->sync, done, done_arg);
}

static void on_forget(void *arg, void *done_arg)
{
    struct agent *a = arg;

    sync_forget(a->sync, done_arg);
}

/* What the cluster says counts where nothing was given. A device may put only
 * below its bucket and prefix, so those count in any case. */
static int use_settings(struct agent *a, struct err *err)
{
    struct agent_config *c = &a->c;
    const struct device_id_settings *s = &a->settings;
    int code = device_id_load(c->data, &a->id, err);

    if (code == ERR_NOT_FOUND) {
        return 0;
    }
    if (code == 0) {
        code = device_id_settings_read(&a->id.settings, &a->settings, err);
    }
    if (code != 0) {
        return code;
    }
    c->bucket = s->bucket;
    a->below =
        mem_printf("%s/%s", s->bucket, s->prefix != NULL ? s->prefix : "");
    if (*c->prefix == '\0' && s->prefix != NULL) {
        c->prefix = s->prefix;
    } else if (s->prefix != NULL && !text_starts(c->prefix, s->prefix)) {
        return err_set(err, ERR_BAD_INPUT,
                       "--prefix %s: the cluster lets this device put below "
                       "%s alone",
                       c->prefix, a->below);
    }
    if (c->recipient.count == 0) {
        c->recipient = s->recipients;
    }
    if (s->cipher != NULL && strcmp(c->cipher, "auto") == 0) {
        c->cipher = s->cipher;
    }
    if (s->format != NULL && strcmp(c->format, "godwit") == 0) {
        c->format = s->format;
    }
    if (s->when_full != NULL && strcmp(c->when_full, "refuse") == 0) {
        c->when_full = s->when_full;
    }
    return 0;
}

/* Do as the flags say, and the policy that counts. */
static void obey(struct agent *a)
{
    struct edge_policy none;
    struct rules r;

    edge_policy_init(&none);
    rules_make(&a->flags, a->orders != NULL ? orders_policy(a->orders) : &none,
               &r);
    if (a->orders == NULL) { /* @none goes */
        r.intake.drop_metadata = NULL;
        r.intake.drop_json = NULL;
    }
    intake_set_rules(a->intake, &r.intake);
    if (a->sync != NULL) {
        sync_set_rules(a->sync, &r.sync);
    }
}

static void on_settings(void *arg, const struct buf *json)
{
    struct agent *a = arg;

    if (orders_take(a->orders, json)) {
        obey(a);
    }
}

static void on_report(void *arg, struct buf *out)
{
    struct agent *a = arg;
    struct spool_status st;

    spool_status(intake_spool(a->intake), &st);
    buf_printf(out, ",\"expired\":%llu", (unsigned long long)st.expired);
    intake_status(a->intake, out);
    orders_report(a->orders, out);
}

static int start_sync(struct agent *a, struct err *err)
{
    const struct agent_config *c = &a->c;
    struct sync_options o = {
        .data = c->data,
        .gateway = c->gateway,
        .insecure = c->insecure,
        .newest_first = c->newest_first,
        .rate = c->rate,
        .hours = a->flags.sync.hours,
        .answer_ms = c->answer_timeout,
        .settings = on_settings,
        .report = on_report,
        .arg = a,
    };
    struct sync_store store = {&a->keys, c->s3_ca, c->snowball};
    int code = 0;

    if (c->s3_endpoint != NULL) {
        o.gateway = c->s3_endpoint;
        o.store = &store;
    } else if (a->below != NULL) {
        a->orders = orders_new(c->data, &a->id);
    }
    if (a->below != NULL) {
        code = sync_new(a->loop, a->intake, &a->id, &o, &a->sync, err);
    }
    if (code == 0) {
        obey(a);
    }
    return code;
}

static int start(struct agent *a, const struct agent_config *given,
                 struct err *err)
{
    struct local_s3_options options = {.status = on_status, .arg = a};
    const struct agent_config *c = &a->c;
    struct http_handler handler;
    char *lock = agent_path(given->data, "lock");
    int code = fs_mkdirs(given->data, err);

    a->c = *given;

    if (code == 0) {
        code = fs_lock(lock, &a->lock, err);
    }
    free(lock);
    if (code == 0) {
        code = read_token(c->token_file, &a->token, err);
    }
    if (code == 0) {
        code = use_settings(a, err);
    }
    if (code == 0) {
        code = use_store(a, err);
    }
    if (code == 0) {
        code = read_flags(a, err);
    }
    if (code == 0) {
        code = open_spool(a, c, err);
    }
    if (code != 0) {
        return code;
    }
    a->loop = loop_new();
    code = start_sync(a, err);
    if (code != 0) {
        return code;
    }
    options.token = a->token;
    options.below = a->below;
    if (a->sync != NULL) {
        options.flush = on_flush;
        options.forget = on_forget;
    }
    a->s3 = local_s3_new(a->intake, &options);
    local_s3_handler(a->s3, &handler);
    a->http = http_server_new(a->loop, &handler);
    code = watch_signals(a, err);
    if (code == 0) {
        code = watch_all(a, c, err);
    }
    return code == 0 ? listen_all(a, c, err) : code;
}

static void stop(struct agent *a)
{
    http_server_free(a->http);
    local_s3_free(a->s3);
    watch_free(a->watch);
    sync_free(a->sync);
    device_id_free(&a->id);
    device_id_settings_free(&a->settings);
    orders_free(a->orders);
    s3_keys_free(&a->keys);
    free(a->below);
    if (a->signals.fd >= 0) {
        loop_remove_fd(a->loop, &a->signals);
        close(a->signals.fd);
    }
    if (a->loop != NULL) {
        loop_free(a->loop);
    }
    intake_free(a->intake);
    free(a->budget_path);
    spool_disk_close(&a->disk);
    if (a->token != NULL) {
        mem_wipe(a->token, strlen(a->token));
        free(a->token);
    }
    if (a->lock >= 0) {
        close(a->lock);
    }
}

int agent_run(const struct agent_config *c, struct err *err)
{
    struct agent a = {.lock = -1, .signals = {.fd = -1}};
    uint64_t begun = clock_mono_ms();
    struct spool_status st;
    char held[24], ms[24];
    int code = start(&a, c, err);

    if (code == 0) {
        spool_status(intake_spool(a.intake), &st);
        snprintf(held, sizeof held, "%llu", (unsigned long long)st.objects);
        snprintf(ms, sizeof ms, "%llu",
                 (unsigned long long)(clock_mono_ms() - begun));
        log_line(LOG_INFO, "ready", "data", c->data, "held", held, "start_ms",
                 ms, NULL);
        loop_run(a.loop, before_wait, &a);
        intake_commit(a.intake); /* who waited is answered */
        log_line(LOG_INFO, "stopped", NULL);
    }
    stop(&a);
    return code;
}
