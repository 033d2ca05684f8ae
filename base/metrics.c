#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

enum kind { COUNTER, COUNTER_FN, GAUGE, GAUGE_FN, HISTOGRAM };

/* One name and its labels; also the head of every kind. */
struct entry {
    enum kind kind;
    const char *name;
    const char *labels; /* "" for none */
    const char *help;
    struct entry *next;      /* of the same name, in the order registered */
    struct entry *next_name; /* used in the first of a name */
};

struct metric {
    struct entry entry;
    _Atomic uint64_t value; /* a gauge's is an int64_t */
};

struct read_fn {
    struct entry entry;
    double (*fn)(void *arg);
    void *arg;
};

/* Upper bounds: 1, 2.5 and 5 of each decade from 100 us to 10 s, then 30 s. */
static const struct {
    uint64_t us;
    const char *le;
} bounds[] = {
    {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
    {30000000, "30"},
};
#define BOUNDS (sizeof bounds / sizeof bounds[0])

struct metric_histogram {
    struct entry entry;
    _Atomic uint64_t buckets[BOUNDS + 1]; /* not yet summed; last: +Inf */
    _Atomic uint64_t sum_us;
};

static struct {
    pthread_mutex_t mutex; /* guards the links, not the values */
    struct entry *first;
} all = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const char *type_of(enum kind kind)
{
    switch (kind) {
        case COUNTER:
        case COUNTER_FN:
            return "counter";
        case GAUGE:
        case GAUGE_FN:
            return "gauge";
        case HISTOGRAM:
            return "histogram";
    }
    return "untyped";
}

static bool is_name(const char *name)
{
    static const char chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789";

    return *name != 0 && !(*name >= '0' && *name <= '9') &&
           name[strspn(name, chars)] == 0;
}

/* The entry of this name and labels, made of @size bytes when new. A name has
 * one type. The caller has the mutex. */
static void *register_locked(enum kind kind, const char *name,
                             const char *labels, const char *help, size_t size)
{
    struct entry **name_at = &all.first;
    struct entry **at;
    struct entry *e;

    CHECK(is_name(name));
    CHECK(help != NULL);
    labels = labels != NULL ? labels : "";
    while (*name_at != NULL && strcmp((*name_at)->name, name) != 0) {
        name_at = &(*name_at)->next_name;
    }
    if (*name_at != NULL) {
        CHECK(strcmp(type_of((*name_at)->kind), type_of(kind)) == 0);
    }
    at = name_at;
    while (*at != NULL && strcmp((*at)->labels, labels) != 0) {
        at = &(*at)->next;
    }
    e = *at;
    if (e == NULL) {
        e = mem_alloc(size);
        e->kind = kind;
        e->name = name;
        e->labels = labels;
        e->help = help;
        *at = e;
    }
    CHECK(e->kind == kind);
    return e;
}

static void *register_entry(enum kind kind, const char *name,
                            const char *labels, const char *help, size_t size)
{
    void *e;

    pthread_mutex_lock(&all.mutex);
    e = register_locked(kind, name, labels, help, size);
    pthread_mutex_unlock(&all.mutex);
    return e;
}

struct metric *metric_counter(const char *name, const char *labels,
                              const char *help)
{
    return register_entry(COUNTER, name, labels, help, sizeof(struct metric));
}

struct metric *metric_gauge(const char *name, const char *labels,
                            const char *help)
{
    return register_entry(GAUGE, name, labels, help, sizeof(struct metric));
}

struct metric_histogram *metric_histogram(const char *name, const char *labels,
                                          const char *help)
{
    return register_entry(HISTOGRAM, name, labels, help,
                          sizeof(struct metric_histogram));
}

static void register_fn(enum kind kind, const char *name, const char *labels,
                        const char *help, double (*fn)(void *arg), void *arg)
{
    struct read_fn *r;

    pthread_mutex_lock(&all.mutex);
    r = register_locked(kind, name, labels, help, sizeof *r);
    r->fn = fn;
    r->arg = arg;
    pthread_mutex_unlock(&all.mutex);
}

void metric_gauge_fn(const char *name, const char *labels, const char *help,
                     double (*fn)(void *arg), void *arg)
{
    register_fn(GAUGE_FN, name, labels, help, fn, arg);
}

void metric_counter_fn(const char *name, const char *labels, const char *help,
                       double (*fn)(void *arg), void *arg)
{
    register_fn(COUNTER_FN, name, labels, help, fn, arg);
}

void metric_add(struct metric *m, uint64_t n)
{
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t v)
{
    CHECK(m->entry.kind == GAUGE);
    atomic_store_explicit(&m->value, (uint64_t)v, memory_order_relaxed);
}

void metric_observe_us(struct metric_histogram *h, uint64_t us)
{
    size_t i = 0;

    while (i < BOUNDS && us > bounds[i].us) {
        i++;
    }
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

uint64_t metric_value(const struct metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

/* "name{labels} " */
static void print_name(struct buf *out, const struct entry *e)
{
    buf_str(out, e->name);
    if (*e->labels != 0) {
        buf_printf(out, "{%s}", e->labels);
    }
    buf_char(out, ' ');
}

static void print_double(struct buf *out, double v)
{
    if (isnan(v)) {
        buf_str(out, "NaN\n");
    } else if (isinf(v)) {
        buf_str(out, v > 0 ? "+Inf\n" : "-Inf\n");
    } else {
        buf_printf(out, "%.15g\n", v);
    }
}

static void print_histogram(struct buf *out, const struct metric_histogram *h)
{
    const struct entry *e = &h->entry;
    const char *comma = *e->labels != 0 ? "," : "";
    const char *open = *e->labels != 0 ? "{" : "";
    const char *close = *e->labels != 0 ? "}" : "";
    unsigned long long count = 0;
    unsigned long long sum_us =
        atomic_load_explicit(&h->sum_us, memory_order_relaxed);

    for (size_t i = 0; i <= BOUNDS; i++) {
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", e->name, e->labels,
                   comma, i < BOUNDS ? bounds[i].le : "+Inf", count);
    }
    buf_printf(out, "%s_sum%s%s%s %llu.%06llu\n", e->name, open, e->labels,
               close, sum_us / 1000000, sum_us % 1000000);
    /* Not a counter of its own: it must equal the bucket +Inf. */
    buf_printf(out, "%s_count%s%s%s %llu\n", e->name, open, e->labels, close,
               count);
}

static void print_entry(struct buf *out, const struct entry *e)
{
    const struct read_fn *r;
    uint64_t v;

    switch (e->kind) {
        case COUNTER:
            v = metric_value((const struct metric *)e);
            print_name(out, e);
            buf_printf(out, "%llu\n", (unsigned long long)v);
            break;
        case GAUGE:
            v = metric_value((const struct metric *)e);
            print_name(out, e);
            buf_printf(out, "%lld\n", (long long)v);
            break;
        case COUNTER_FN:
        case GAUGE_FN:
            r = (const struct read_fn *)e;
            if (r->fn != NULL) {
                print_name(out, e);
                print_double(out, r->fn(r->arg));
            }
            break;
        case HISTOGRAM:
            print_histogram(out, (const struct metric_histogram *)e);
            break;
    }
}

static void print_head(struct buf *out, const struct entry *e)
{
    buf_printf(out, "# HELP %s ", e->name);
    for (const char *p = e->help; *p != 0; p++) {
        if (*p == '\n') {
            buf_str(out, "\\n");
        } else if (*p == '\\') {
            buf_str(out, "\\\\");
        } else {
            buf_char(out, *p);
        }
    }
    buf_printf(out, "\n# TYPE %s %s\n", e->name, type_of(e->kind));
}

void metrics_print(struct buf *out)
{
    pthread_mutex_lock(&all.mutex);
    for (const struct entry *n = all.first; n != NULL; n = n->next_name) {
        print_head(out, n);
        for (const struct entry *e = n; e != NULL; e = e->next) {
            print_entry(out, e);
        }
    }
    pthread_mutex_unlock(&all.mutex);
}
