/* metrics.h: counters, gauges and histograms in Prometheus text format.
 *
 * Metrics are registered at start and live for ever. Updates are relaxed
 * atomics. Source: Prometheus "Exposition formats", text format 0.0.4.
 *
 * Threads: updates and printing any; registration any.
 */
#ifndef GODWIT_BASE_METRICS_H
#define GODWIT_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

struct buf;
struct metric; /* counter or gauge */
struct metric_histogram;

/* @name like "godwit_requests_total"; @labels like "op=\"PutObject\"" or NULL.
 * The same name and labels give the same metric; a name has one type. Names and
 * texts are kept and must be static or never freed. */
struct metric *metric_counter(const char *name, const char *labels,
                              const char *help);
struct metric *metric_gauge(const char *name, const char *labels,
                            const char *help);
/* Seconds, with buckets from 100 us to 30 s. */
struct metric_histogram *metric_histogram(const char *name, const char *labels,
                                          const char *help);
/* A gauge that is read when printed. Given again, @fn and @arg replace the old
 * ones; with a NULL @fn it is no longer read, and @arg may go. @fn is called
 * with the registry locked: it registers nothing. */
void metric_gauge_fn(const char *name, const char *labels, const char *help,
                     double (*fn)(void *arg), void *arg);
/* The same, of what only grows. */
void metric_counter_fn(const char *name, const char *labels, const char *help,
                       double (*fn)(void *arg), void *arg);

void metric_add(struct metric *m, uint64_t n);
void metric_set(struct metric *m, int64_t v);
void metric_observe_us(struct metric_histogram *h, uint64_t us);
uint64_t metric_value(const struct metric *m);

void metrics_print(struct buf *out);

#endif
