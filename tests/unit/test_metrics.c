/* test_metrics.c: the text that Prometheus reads.
 *
 * Goal: each name has one HELP and one TYPE, histograms are cumulative and
 * agree with their own count, and no update is lost between threads.
 * Method: register under names of each test's own (metrics live for ever),
 * print, compare with the text that follows the name.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/metrics.h"

#define THREADS 4
#define ADDS 20000

/* The part of the page from "# HELP @name" to the next HELP. */
static void print_name(struct buf *out, const char *name)
{
    struct buf page = {0};
    struct buf head = {0};
    char *start;
    char *end;

    metrics_print(&page);
    buf_printf(&head, "# HELP %s ", name);
    start = strstr((char *)page.data, (char *)head.data);
    assert_non_null(start);
    end = strstr(start + 1, "# HELP ");
    assert_true(end == NULL || end[-1] == '\n');
    buf_append(out, start, end != NULL ? (size_t)(end - start) : strlen(start));
    /* Said once on the whole page. */
    assert_null(strstr(start + 1, (char *)head.data));
    buf_free(&page);
    buf_free(&head);
}

static void expect_text(const char *name, const char *text)
{
    struct buf got = {0};

    print_name(&got, name);
    assert_string_equal(got.data, text);
    buf_free(&got);
}

static void counters_of_one_name_are_grouped(void **state)
{
    struct metric *put =
        metric_counter("test_requests_total", "op=\"Put\"", "Requests.");
    struct metric *other = metric_counter("test_between_total", NULL, "X.");
    struct metric *get =
        metric_counter("test_requests_total", "op=\"Get\"", "Requests.");

    (void)state;
    metric_add(put, 2);
    metric_add(put, 1);
    metric_add(get, 7);
    assert_int_equal(metric_value(put), 3);
    assert_int_equal(metric_value(other), 0);
    expect_text("test_requests_total",
                "# HELP test_requests_total Requests.\n"
                "# TYPE test_requests_total counter\n"
                "test_requests_total{op=\"Put\"} 3\n"
                "test_requests_total{op=\"Get\"} 7\n");
    expect_text("test_between_total",
                "# HELP test_between_total X.\n"
                "# TYPE test_between_total counter\n"
                "test_between_total 0\n");
}

static void same_name_and_labels_are_one_metric(void **state)
{
    struct metric *a = metric_counter("test_same_total", "x=\"1\"", "Same.");
    struct metric *b = metric_counter("test_same_total", "x=\"1\"", "Same.");
    struct metric *c = metric_counter("test_same_total", NULL, "Same.");

    (void)state;
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
}

static void gauges_go_below_zero(void **state)
{
    struct metric *g = metric_gauge("test_gauge", NULL, "Help with \\ and\n.");

    (void)state;
    metric_set(g, -5);
    expect_text("test_gauge",
                "# HELP test_gauge Help with \\\\ and\\n.\n"
                "# TYPE test_gauge gauge\n"
                "test_gauge -5\n");
    metric_set(g, INT64_MAX);
    assert_int_equal(metric_value(g), INT64_MAX);
}

static double read_double(void *arg)
{
    return *(double *)arg;
}

static void gauge_functions_are_read_when_printed(void **state)
{
    double v = 0.5;
    double w = 1e9;

    (void)state;
    metric_gauge_fn("test_fn", "drive=\"1\"", "Read.", read_double, &v);
    metric_gauge_fn("test_fn", "drive=\"2\"", "Read.", read_double, &w);
    v = 0.25;
    expect_text("test_fn",
                "# HELP test_fn Read.\n"
                "# TYPE test_fn gauge\n"
                "test_fn{drive=\"1\"} 0.25\n"
                "test_fn{drive=\"2\"} 1000000000\n");
    v = (double)NAN;
    w = -(double)INFINITY;
    expect_text("test_fn",
                "# HELP test_fn Read.\n"
                "# TYPE test_fn gauge\n"
                "test_fn{drive=\"1\"} NaN\n"
                "test_fn{drive=\"2\"} -Inf\n");
    metric_gauge_fn("test_fn", "drive=\"1\"", "Read.", NULL, NULL);
    w = 3;
    metric_gauge_fn("test_fn", "drive=\"2\"", "Read.", read_double, &w);
    expect_text("test_fn",
                "# HELP test_fn Read.\n"
                "# TYPE test_fn gauge\n"
                "test_fn{drive=\"2\"} 3\n");
    metric_gauge_fn("test_fn", "drive=\"2\"", "Read.", NULL, NULL);
}

static void histograms_are_cumulative(void **state)
{
    struct metric_histogram *h =
        metric_histogram("test_seconds", "op=\"Get\"", "Seconds.");

    (void)state;
    metric_observe_us(h, 0);
    metric_observe_us(h, 100); /* a bound belongs to its own bucket */
    metric_observe_us(h, 101);
    metric_observe_us(h, 1000000);
    metric_observe_us(h, 30000000);
    metric_observe_us(h, 30000001);
    expect_text("test_seconds",
                "# HELP test_seconds Seconds.\n"
                "# TYPE test_seconds histogram\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.0001\"} 2\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.00025\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.0005\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.001\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.0025\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.005\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.01\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.025\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.05\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.1\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.25\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"0.5\"} 3\n"
                "test_seconds_bucket{op=\"Get\",le=\"1\"} 4\n"
                "test_seconds_bucket{op=\"Get\",le=\"2.5\"} 4\n"
                "test_seconds_bucket{op=\"Get\",le=\"5\"} 4\n"
                "test_seconds_bucket{op=\"Get\",le=\"10\"} 4\n"
                "test_seconds_bucket{op=\"Get\",le=\"30\"} 5\n"
                "test_seconds_bucket{op=\"Get\",le=\"+Inf\"} 6\n"
                "test_seconds_sum{op=\"Get\"} 61.000202\n"
                "test_seconds_count{op=\"Get\"} 6\n");
}

static void histograms_without_labels_have_le_alone(void **state)
{
    struct buf got = {0};

    (void)state;
    metric_observe_us(metric_histogram("test_bare_seconds", NULL, "B."), 1500);
    print_name(&got, "test_bare_seconds");
    assert_non_null(strstr((char *)got.data,
                           "\ntest_bare_seconds_bucket{le=\"+Inf\"} 1\n"
                           "test_bare_seconds_sum 0.001500\n"
                           "test_bare_seconds_count 1\n"));
    buf_free(&got);
}

static void *add_many(void *arg)
{
    struct metric *m = metric_counter("test_race_total", NULL, "Race.");
    struct metric_histogram *h =
        metric_histogram("test_race_seconds", NULL, "Race.");

    (void)arg;
    for (int i = 0; i < ADDS; i++) {
        metric_add(m, 1);
        metric_observe_us(h, 10);
    }
    return m;
}

static void no_update_is_lost_between_threads(void **state)
{
    pthread_t ids[THREADS];
    struct metric *m = metric_counter("test_race_total", NULL, "Race.");
    struct buf got = {0};

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&ids[i], NULL, add_many, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *theirs;
        print_name(&got, "test_race_total");
        pthread_join(ids[i], &theirs);
        assert_ptr_equal(theirs, m);
    }
    assert_int_equal(metric_value(m), THREADS * ADDS);
    buf_clear(&got);
    print_name(&got, "test_race_seconds");
    assert_non_null(strstr((char *)got.data,
                           "test_race_seconds_sum 0.800000\n"
                           "test_race_seconds_count 80000\n"));
    buf_free(&got);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_of_one_name_are_grouped),
        cmocka_unit_test(same_name_and_labels_are_one_metric),
        cmocka_unit_test(gauges_go_below_zero),
        cmocka_unit_test(gauge_functions_are_read_when_printed),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(histograms_without_labels_have_le_alone),
        cmocka_unit_test(no_update_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
