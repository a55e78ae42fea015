/*
 * test_metrics.c - the text exposition, compared with text written by hand from the format's document.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/process/metrics.h"

static const struct metric_desc COUNTER = {.name = "node_publish_total",
                                           .help = "Number of publishes",
                                           .type = METRIC_COUNTER,
                                           .labels = {"provider", "os_type"}};
static const double BOUNDS[] = {0.1, 0.5, 1, 2.5};
static const struct metric_desc HISTOGRAM = {.name = "request_seconds",
                                             .help = "Time",
                                             .type = METRIC_HISTOGRAM,
                                             .labels = {"kind"},
                                             .buckets = BOUNDS,
                                             .n_buckets = 4};
static const struct metric_desc GAUGE = {
    .name = "volumes", .help = "with \\ and\nnewline \"q\"", .type = METRIC_GAUGE};

static void assert_rendered(const struct metrics *metrics, const char *expected)
{
    cleanup_buffer struct buffer out;
    buffer_init(&out, 1 << 20);
    assert_int_equal(metrics_render(metrics, &out, NULL), 0);
    assert_string_equal(buffer_str(&out), expected);
}

static void a_family_without_samples_is_not_shown(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    (void)metrics_register(metrics, &COUNTER);
    assert_rendered(metrics, "");
    metrics_destroy(metrics);
}

static void counters_and_gauges_are_rendered_sorted_by_labels(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric_family *counter = metrics_register(metrics, &COUNTER);
    struct metric_family *gauge = metrics_register(metrics, &GAUGE);
    metric_add(counter, (const char *const[]){"vault", "linux"}, 1);
    metric_add(counter, (const char *const[]){"azure", "linux"}, 1);
    metric_add(counter, (const char *const[]){"azure", "linux"}, 2);
    metric_add(counter, (const char *const[]){NULL, "linux"}, 1);
    metric_set(gauge, NULL, 7);
    metric_set(gauge, NULL, 1.5);
    metric_add(NULL, NULL, 1);
    assert_rendered(metrics, "# HELP node_publish_total Number of publishes\n"
                             "# TYPE node_publish_total counter\n"
                             "node_publish_total{provider=\"\",os_type=\"linux\"} 1\n"
                             "node_publish_total{provider=\"azure\",os_type=\"linux\"} 3\n"
                             "node_publish_total{provider=\"vault\",os_type=\"linux\"} 1\n"
                             "# HELP volumes with \\\\ and\\nnewline \"q\"\n"
                             "# TYPE volumes gauge\n"
                             "volumes 1.5\n");
    metrics_destroy(metrics);
}

static void histogram_buckets_are_cumulative_and_bounds_inclusive(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric_family *histogram = metrics_register(metrics, &HISTOGRAM);
    static const double values[] = {0.05, 0.1, 0.25, 1, 2.5, 100};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        metric_observe(histogram, (const char *const[]){"x"}, values[i]);
    assert_rendered(metrics, "# HELP request_seconds Time\n"
                             "# TYPE request_seconds histogram\n"
                             "request_seconds_bucket{kind=\"x\",le=\"0.1\"} 2\n"
                             "request_seconds_bucket{kind=\"x\",le=\"0.5\"} 3\n"
                             "request_seconds_bucket{kind=\"x\",le=\"1\"} 4\n"
                             "request_seconds_bucket{kind=\"x\",le=\"2.5\"} 5\n"
                             "request_seconds_bucket{kind=\"x\",le=\"+Inf\"} 6\n"
                             "request_seconds_sum{kind=\"x\"} 103.9\n"
                             "request_seconds_count{kind=\"x\"} 6\n");
    metrics_destroy(metrics);
}

static void label_values_are_escaped_and_made_utf8(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric_family *counter = metrics_register(metrics, &COUNTER);
    metric_add(counter, (const char *const[]){"a\\b\"c\nd", "\xc3\xa9\xff"}, 1);
    assert_rendered(metrics, "# HELP node_publish_total Number of publishes\n"
                             "# TYPE node_publish_total counter\n"
                             "node_publish_total{provider=\"a\\\\b\\\"c\\nd\",os_type=\"\xc3\xa9?\"} 1\n");
    metrics_destroy(metrics);
}

static void too_many_series_are_folded_into_one(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric_family *counter = metrics_register(metrics, &COUNTER);
    for (int i = 0; i < METRICS_MAX_SERIES + 500; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "p%d", i);
        metric_add(counter, (const char *const[]){name, "linux"}, 1);
    }
    cleanup_buffer struct buffer out;
    buffer_init(&out, 1 << 20);
    assert_int_equal(metrics_render(metrics, &out, NULL), 0);
    assert_non_null(strstr(buffer_str(&out), "{provider=\"other\",os_type=\"other\"} 500\n"));
    size_t lines = 0;
    for (const char *p = buffer_str(&out); (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, 2 + METRICS_MAX_SERIES + 1);
    metrics_destroy(metrics);
}

static double value_of(const struct buffer *out, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "\n%s ", name);
    const char *line = strstr(buffer_str(out), key);
    assert_non_null(line);
    return strtod(line + strlen(key), NULL);
}

static void process_metrics_are_plausible(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    metrics_add_process(metrics);
    cleanup_buffer struct buffer out;
    buffer_init(&out, 1 << 20);
    double used = 0;
    while (used < 0.1) /* so that 0 is not right */
        used = (double)clock() / CLOCKS_PER_SEC;
    assert_int_equal(metrics_render(metrics, &out, NULL), 0);
    cleanup_file FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    unsigned long pages = 0;
    unsigned long resident = 0;
    assert_int_equal(fscanf(file, "%lu %lu", &pages, &resident), 2);
    double page = (double)sysconf(_SC_PAGESIZE);
    assert_true(value_of(&out, "process_resident_memory_bytes") > (double)resident * page * 0.5);
    assert_true(value_of(&out, "process_resident_memory_bytes") < (double)resident * page * 2);
    assert_true(value_of(&out, "process_virtual_memory_bytes") >= (double)pages * page * 0.5);
    assert_true(value_of(&out, "process_open_fds") >= 3);
    assert_true(value_of(&out, "process_max_fds") >= value_of(&out, "process_open_fds"));
    assert_true(value_of(&out, "process_cpu_seconds_total") > used - 0.02);
    assert_true(value_of(&out, "process_cpu_seconds_total") < (double)clock() / CLOCKS_PER_SEC + 0.02);
    double now = (double)time(NULL);
    double start = value_of(&out, "process_start_time_seconds");
    assert_true(start > now - 600 && start < now + 2);
    metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_without_samples_is_not_shown),
        cmocka_unit_test(counters_and_gauges_are_rendered_sorted_by_labels),
        cmocka_unit_test(histogram_buckets_are_cumulative_and_bounds_inclusive),
        cmocka_unit_test(label_values_are_escaped_and_made_utf8),
        cmocka_unit_test(too_many_series_are_folded_into_one),
        cmocka_unit_test(process_metrics_are_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
