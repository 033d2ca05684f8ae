/* godwit bench: how fast a server is, and what it costs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/load.h"
#include "client/credentials.h"
#include "client/http_conn.h"
#include "client/s3_client.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define PREPARED_BYTES (256 * MIB) /* to read, unless --objects says more */
#define PREPARED_MAX 1000
#define DELETED_MAX 50000
#define LARGE MIB       /* from here PUTs go round few keys */
#define LARGE_OBJECTS 4 /* for each connection */
#define PREPARE_CONNECTIONS 64
#define ERRORS_SHARE 100 /* more than 1 of so many: the run failed */

struct options {
    struct cli_options common;
    uint64_t size;
    uint64_t concurrency;
    uint64_t threads;
    uint64_t duration_ms;
    uint64_t objects;
    char *bucket;
    char *payload;
    uint64_t pid;
    bool unsigned_requests;
    bool cleanup;
    bool json;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "size", SIZE, size, "4KiB", 0, 5 * GIB, "BYTES",
            "Size of an object."),
    CLI_ROW(struct options, "concurrency", UINT, concurrency, "32", 1,
            LOAD_CONNECTIONS_MAX, "N",
            "Connections, with one request in flight on each."),
    CLI_ROW(struct options, "duration", DURATION, duration_ms, "5s", 10,
            86400000, "TIME", "How long to measure."),
    CLI_ROW(struct options, "objects", UINT, objects, "0", 0, 1000000000, "N",
            "Objects to read, replace or delete; 0: by their size. Small PUTs "
            "write new keys unless this is given."),
    CLI_ROW(struct options, "bucket", STRING, bucket, "godwit-bench", 0, 0,
            "NAME", "Bucket to use; made when missing."),
    CLI_ROW(struct options, "threads", UINT, threads, "1", 1, LOAD_THREADS_MAX,
            "N", "Threads that make the load."),
    CLI_ROW(struct options, "unsigned", BOOL, unsigned_requests, NULL, 0, 0,
            NULL, "Sign nothing: for peers such as nginx."),
    CLI_ROW(struct options, "payload", STRING, payload, "unsigned", 0, 0,
            "KIND",
            "What a PUT signs of its body: unsigned, or sha256 of its bytes."),
    CLI_ROW(struct options, "pid", UINT, pid, "0", 0, 4194304, "PID",
            "Tell processor time and memory of this process, the server."),
    CLI_ROW(struct options, "cleanup", BOOL, cleanup, NULL, 0, 0, NULL,
            "Remove the objects afterwards."),
    CLI_ROW(struct options, "json", BOOL, json, NULL, 0, 0, NULL,
            "Print one line of JSON."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static const char *const op_names[] = {"put", "get", "list", "delete", "mixed"};

/* ---- the server's process ---- */

struct usage {
    bool known;
    double cpu_s;
    uint64_t rss_bytes;
};

/* The number after "VmRSS:" in KiB. */
static uint64_t rss_of(const char *status)
{
    const char *p = strstr(status, "VmRSS:");

    return p != NULL ? strtoull(p + 6, NULL, 10) * 1024 : 0;
}

static struct usage usage_of(uint64_t pid)
{
    struct usage u = {0};
    struct buf stat = {0};
    struct buf status = {0};
    char path[64];
    const char *p;
    unsigned long long user, sys;

    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    if (pid == 0 || fs_read(path, 4096, &stat, NULL) != 0) {
        goto done;
    }
    /* The name may hold anything; fields count from after its last ')'. */
    p = strrchr((char *)stat.data, ')');
    if (p == NULL || sscanf(p + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                            "%llu %llu",
                            &user, &sys) != 2) {
        goto done;
    }
    snprintf(path, sizeof path, "/proc/%llu/status", (unsigned long long)pid);
    if (fs_read(path, 65536, &status, NULL) == 0) {
        u.known = true;
        u.cpu_s = (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
        u.rss_bytes = rss_of((char *)status.data);
    }
done:
    buf_free(&stat);
    buf_free(&status);
    return u;
}

static double own_cpu_s(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* ---- a run ---- */

struct bench {
    const struct options *o;
    enum load_op op;
    struct http_endpoint endpoint;
    struct credentials keys;
    struct load_options load;
    char *prefix;
    uint64_t rss_most;
    struct usage before, after;
    double own_before, own_after;
    struct load_result result;
};

static void watch(void *arg)
{
    struct bench *b = arg;
    struct usage u = usage_of(b->o->pid);

    b->rss_most = u.rss_bytes > b->rss_most ? u.rss_bytes : b->rss_most;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many objects the run goes round; 0: each PUT has a new key. */
static uint64_t objects_of(const struct options *o, enum load_op op)
{
    uint64_t fit = o->size > 0 ? PREPARED_BYTES / o->size : PREPARED_MAX;

    if (o->objects != 0) {
        return o->objects;
    }
    if (op == LOAD_PUT) {
        return o->size < LARGE ? 0 : o->concurrency * LARGE_OBJECTS;
    }
    if (op == LOAD_LIST) {
        return PREPARED_MAX;
    }
    fit = least(fit, op == LOAD_DELETE ? DELETED_MAX : PREPARED_MAX);
    return fit < o->concurrency ? o->concurrency : fit;
}

/* One request at the bucket itself, by the load's own means: nginx may be the
 * peer, which knows no S3. */
static int make_bucket(struct bench *b, struct err *err)
{
    struct s3_client_options c = {.endpoint = cli_endpoint(&b->o->common),
                                  .region = b->keys.region,
                                  .access_key = b->keys.access_key,
                                  .secret_key = b->keys.secret_key};
    struct s3_client *client;
    int rc;

    if (b->o->unsigned_requests) {
        return 0;
    }
    rc = s3_client_new(&c, &client, err);
    if (rc != 0) {
        return rc;
    }
    rc = s3_client_create_bucket(client, b->o->bucket, err);
    s3_client_free(client);
    return rc == ERR_BUCKET_EXISTS ? 0 : rc;
}

static int expect_all(const struct load_result *r, uint64_t count,
                      const char *what, struct err *err)
{
    if (r->requests == count) {
        return 0;
    }
    return err_set(err, ERR_IO, "%s: %llu of %llu requests failed: %s", what,
                   (unsigned long long)(count - r->requests),
                   (unsigned long long)count, r->first_error);
}

/* Write what the run reads, lists or deletes. */
static int prepare(struct bench *b, struct err *err)
{
    struct load_options l = b->load;
    int rc;

    if (b->op == LOAD_PUT) {
        return 0;
    }
    l.op = LOAD_PUT;
    l.size = b->op == LOAD_LIST ? 1 : l.size;
    l.requests = l.objects;
    l.duration_ms = 0;
    l.tick = NULL;
    l.connections =
        (unsigned)least(l.size < LARGE ? PREPARE_CONNECTIONS : 8, l.objects);
    l.threads = 1;
    rc = load_run(&l, &b->result, err);
    return rc != 0 ? rc : expect_all(&b->result, l.objects, "prepare", err);
}

static int measure(struct bench *b, struct err *err)
{
    struct load_options *l = &b->load;
    int rc;

    if (b->op == LOAD_DELETE) {
        l->requests = l->objects; /* each once */
    }
    b->before = usage_of(b->o->pid);
    b->own_before = own_cpu_s();
    rc = load_run(l, &b->result, err);
    b->own_after = own_cpu_s();
    b->after = usage_of(b->o->pid);
    watch(b);
    if (rc == 0 && b->o->pid != 0 && (!b->before.known || !b->after.known)) {
        rc = err_set(err, ERR_NOT_FOUND, "--pid %llu: no such process",
                     (unsigned long long)b->o->pid);
    }
    return rc;
}

/* Remove what was written: as many keys as were begun, at most. */
static int cleanup(struct bench *b, struct err *err)
{
    struct load_options l = b->load;
    struct load_result r;

    l.op = LOAD_DELETE;
    l.duration_ms = 0;
    l.tick = NULL;
    l.threads = 1;
    l.requests = l.objects != 0 ? l.objects
                                : b->result.requests + b->result.errors +
                                      2 * l.connections;
    return load_run(&l, &r, err);
}

/* ---- what was found ---- */

struct figures {
    double seconds, ops_per_s, mb_per_s, gb;
    double p50_ms, p99_ms, max_ms;
    double client_us; /* of its processor for each request */
    double server_s, server_s_per_gb, server_us;
    uint64_t rss_bytes;
};

static struct figures figures_of(const struct bench *b)
{
    const struct load_result *r = &b->result;
    double n = r->requests > 0 ? (double)r->requests : 1;
    struct figures f = {0};

    f.seconds = (double)r->elapsed_us / 1e6;
    f.gb = (double)r->bytes / 1e9;
    f.ops_per_s = (double)r->requests / f.seconds;
    f.mb_per_s = (double)r->bytes / 1e6 / f.seconds;
    f.p50_ms = (double)load_percentile(r, 0.5) / 1e3;
    f.p99_ms = (double)load_percentile(r, 0.99) / 1e3;
    f.max_ms = (double)r->max_us / 1e3;
    f.client_us = (b->own_after - b->own_before) * 1e6 / n;
    f.server_s = b->after.cpu_s - b->before.cpu_s;
    f.server_us = f.server_s * 1e6 / n;
    f.server_s_per_gb = f.gb > 0 ? f.server_s / f.gb : 0;
    f.rss_bytes = b->rss_most;
    return f;
}

static void print_json(const struct bench *b, const struct figures *f)
{
    const struct options *o = b->o;
    const struct load_result *r = &b->result;

    printf(
        "{\"op\":\"%s\",\"size\":%llu,\"concurrency\":%llu,\"seconds\":%.3f,"
        "\"ops\":%llu,\"errors\":%llu,\"bytes\":%llu,\"ops_per_s\":%.1f,"
        "\"mb_per_s\":%.2f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
        "\"client_cpu_us_per_op\":%.2f",
        op_names[b->op], (unsigned long long)o->size,
        (unsigned long long)o->concurrency, f->seconds,
        (unsigned long long)r->requests, (unsigned long long)r->errors,
        (unsigned long long)r->bytes, f->ops_per_s, f->mb_per_s, f->p50_ms,
        f->p99_ms, f->max_ms, f->client_us);
    if (o->pid != 0) {
        printf(
            ",\"server_cpu_s\":%.2f,\"server_cpu_us_per_op\":%.2f,"
            "\"server_cpu_s_per_gb\":%.3f,\"server_rss_bytes\":%llu",
            f->server_s, f->server_us, f->server_s_per_gb,
            (unsigned long long)f->rss_bytes);
    }
    printf("}\n");
}

static void print_text(const struct bench *b, const struct figures *f)
{
    const struct load_result *r = &b->result;
    char size[TEXT_SIZE_MAX];
    char rss[TEXT_SIZE_MAX];

    printf("%s of %s, %llu connections, %.1f s\n", op_names[b->op],
           text_size_human(b->o->size, size),
           (unsigned long long)b->o->concurrency, f->seconds);
    printf("  %.1f ops/s, %.1f MB/s\n", f->ops_per_s, f->mb_per_s);
    printf("  latency p50 %.2f ms, p99 %.2f ms, max %.2f ms\n", f->p50_ms,
           f->p99_ms, f->max_ms);
    printf("  %llu requests, %llu errors\n", (unsigned long long)r->requests,
           (unsigned long long)r->errors);
    printf("  this program: %.1f us of processor for each request\n",
           f->client_us);
    if (b->o->pid != 0) {
        printf("  the server: %.2f s of processor, %.1f us for each request",
               f->server_s, f->server_us);
        if (f->gb > 0) {
            printf(", %.2f s for each GB", f->server_s_per_gb);
        }
        printf("; %s of memory at most\n", text_size_human(f->rss_bytes, rss));
    }
}

static int check_options(const struct options *o, const char *name,
                         enum load_op *op, struct err *err)
{
    for (unsigned i = 0; i < sizeof op_names / sizeof op_names[0]; i++) {
        if (strcmp(name, op_names[i]) == 0) {
            *op = (enum load_op)i;
            if (strcmp(o->payload, "unsigned") != 0 &&
                strcmp(o->payload, "sha256") != 0) {
                return err_set(err, ERR_BAD_INPUT,
                               "--payload: \"%s\" is not unsigned or sha256",
                               o->payload);
            }
            if (strlen(o->bucket) > 63 || strpbrk(o->bucket, "/?# %") != NULL) {
                return err_set(err, ERR_BAD_INPUT,
                               "--bucket: \"%s\" is no bucket's name",
                               o->bucket);
            }
            return 0;
        }
    }
    return err_set(err, ERR_BAD_INPUT,
                   "\"%s\" is not put, get, list, delete or mixed", name);
}

static int open_bench(struct bench *b, struct err *err)
{
    const struct options *o = b->o;
    int rc = http_endpoint_parse(cli_endpoint(&o->common), &b->endpoint, err);

    if (rc != 0) {
        return rc;
    }
    if (b->endpoint.tls) {
        return err_set(err, ERR_UNSUPPORTED, "bench measures http:// only");
    }
    if (!o->unsigned_requests) {
        rc = cli_credentials(&o->common, &b->keys, err);
        if (rc != 0) {
            return rc;
        }
    }
    /* New keys in each run of PUTs, the same ones for what is read. */
    b->prefix = b->op == LOAD_PUT && objects_of(o, b->op) == 0
                    ? mem_printf("put-%08x/", (unsigned)rng_u64())
                    : mem_printf("%s-%llu/", op_names[b->op],
                                 (unsigned long long)o->size);
    b->load = (struct load_options){
        .endpoint = &b->endpoint,
        .identity = {.authority = b->endpoint.authority,
                     .access_key = b->keys.access_key,
                     .secret_key = b->keys.secret_key,
                     .region = b->keys.region,
                     .unsigned_requests = o->unsigned_requests},
        .op = b->op,
        .bucket = o->bucket,
        .prefix = b->prefix,
        .size = o->size,
        .hash_payload = strcmp(o->payload, "sha256") == 0,
        .connections = (unsigned)o->concurrency,
        .threads = (unsigned)least(o->threads, o->concurrency),
        .objects = objects_of(o, b->op),
        .duration_ms = o->duration_ms,
        .tick = o->pid != 0 ? watch : NULL,
        .tick_arg = b,
    };
    return 0;
}

static int bench(const struct options *o, const char *name, struct err *err)
{
    struct bench *b = mem_alloc(sizeof *b);
    struct figures f;
    int rc;

    b->o = o;
    rc = check_options(o, name, &b->op, err);
    rc = rc != 0 ? rc : open_bench(b, err);
    rc = rc != 0 ? rc : make_bucket(b, err);
    rc = rc != 0 ? rc : prepare(b, err);
    rc = rc != 0 ? rc : measure(b, err);
    if (rc == 0) {
        f = figures_of(b);
        if (o->json) {
            print_json(b, &f);
        } else {
            print_text(b, &f);
        }
        if (o->cleanup) {
            rc = cleanup(b, err);
        }
    }
    if (rc == 0 && b->result.errors >
                       (b->result.requests + b->result.errors) / ERRORS_SHARE) {
        rc = err_set(err, ERR_IO, "%llu requests failed: %s",
                     (unsigned long long)b->result.errors,
                     b->result.first_error);
    }
    free(b->prefix);
    credentials_free(&b->keys);
    http_endpoint_free(&b->endpoint);
    free(b);
    return rc;
}

static int act(void *options, int rest, char **argv, struct err *err)
{
    struct options *o = options;

    (void)rest;
    return bench(o, argv[1], err);
}

static int run(int argc, char **argv)
{
    struct options o;

    return cli_do(&cli_bench, &o, argc, argv, 1, 1, act);
}

const struct cli_command cli_bench = {
    "bench",
    "put|get|list|delete|mixed [options]",
    "measure a server",
    "Load a server and print requests and megabytes (10^6 bytes) a second, "
    "latencies, errors and what it cost. What is read, listed or deleted is "
    "written first, outside of the measurement; mixed is three GETs to each "
    "PUT. The load takes little of the processor: bodies go out from one "
    "memory "
    "file and what comes is thrown away by the kernel. Exits 1 when more than "
    "1 % of the requests failed.",
    table,
    run,
};
