/*
 * metrics.c - the metrics registry and its text exposition.
 *
 * Series of a family are kept sorted by their label values: lookups are binary searches and every scrape
 * prints the same order.
 */
#include "common/process/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/secret_arena.h"
#include "common/base/utf8.h"

enum { MAX_LABEL_VALUE_BYTES = 256 }; /* label values are names and codes; longer ones are cut */

struct series {
    char *labels[METRICS_MAX_LABELS];
    double value;       /* counter, gauge; sum of a histogram */
    uint64_t count;     /* histogram */
    uint64_t buckets[]; /* histogram: observations per bucket, not cumulated */
};

struct metric_family {
    struct metric_family *next;
    const struct metric_desc *desc;
    size_t n_labels;
    struct series **series; /* sorted */
    size_t n_series;
    size_t cap;
};

struct metrics {
    struct metric_family *first;
    struct metric_family **last; /* families are printed in the order of registration */
    bool with_process;
    bool with_secret_memory;
    const struct log *log;            /* NULL = its lines are not counted */
    const struct byte_budget *budget; /* NULL = none */
};

static void *or_abort(void *memory)
{
    if (memory == NULL)
        abort(); /* start-up allocations of a few hundred bytes */
    return memory;
}

struct metrics *metrics_create(void)
{
    struct metrics *metrics = or_abort(calloc(1, sizeof(*metrics)));
    metrics->last = &metrics->first;
    return metrics;
}

static void series_free(struct series *series)
{
    if (series == NULL)
        return;
    for (size_t i = 0; i < METRICS_MAX_LABELS; i++)
        free(series->labels[i]);
    free(series);
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    struct metric_family *next = NULL;
    for (struct metric_family *family = metrics->first; family != NULL; family = next) {
        next = family->next;
        for (size_t i = 0; i < family->n_series; i++)
            series_free(family->series[i]);
        free(family->series);
        free(family);
    }
    free(metrics);
}

struct metric_family *metrics_register(struct metrics *metrics, const struct metric_desc *desc)
{
    struct metric_family *family = or_abort(calloc(1, sizeof(*family)));
    family->desc = desc;
    while (family->n_labels < METRICS_MAX_LABELS && desc->labels[family->n_labels] != NULL)
        family->n_labels++;
    *metrics->last = family;
    metrics->last = &family->next;
    return family;
}

static int compare_labels(const struct metric_family *family, char *const *a, const char *const *b)
{
    for (size_t i = 0; i < family->n_labels; i++) {
        int order = strcmp(a[i], b[i] != NULL ? b[i] : "");
        if (order != 0)
            return order;
    }
    return 0;
}

/* The place of `labels` in the sorted series: *ret_index is where it is or where it belongs. */
static bool find_series(const struct metric_family *family, const char *const *labels, size_t *ret_index)
{
    size_t low = 0;
    size_t high = family->n_series;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_labels(family, family->series[middle]->labels, labels);
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return false;
}

static struct series *insert_series(struct metric_family *family, const char *const *labels, size_t index)
{
    if (family->n_series == family->cap) {
        size_t cap = family->cap == 0 ? 4 : family->cap * 2;
        struct series **grown = realloc(family->series, cap * sizeof(struct series *));
        if (grown == NULL)
            return NULL;
        family->series = grown;
        family->cap = cap;
    }
    size_t n_buckets = family->desc->type == METRIC_HISTOGRAM ? family->desc->n_buckets : 0;
    struct series *series = calloc(1, sizeof(*series) + n_buckets * sizeof(series->buckets[0]));
    if (series == NULL)
        return NULL;
    for (size_t i = 0; i < family->n_labels; i++) {
        series->labels[i] = strdup(labels[i]);
        if (series->labels[i] == NULL) {
            series_free(series);
            return NULL;
        }
    }
    memmove(&family->series[index + 1], &family->series[index],
            (family->n_series - index) * sizeof(struct series *));
    family->series[index] = series;
    family->n_series++;
    return series;
}

/* Copies a label value: bounded, and made UTF-8, because one bad byte makes Prometheus reject the whole
 * scrape. */
static void clean_value(const char *value, char out[static MAX_LABEL_VALUE_BYTES + 1])
{
    size_t len = value != NULL ? strnlen(value, MAX_LABEL_VALUE_BYTES + 1) : 0;
    if (len > MAX_LABEL_VALUE_BYTES)
        len = utf8_floor(value, MAX_LABEL_VALUE_BYTES);
    if (len > 0)
        memcpy(out, value, len);
    out[len] = '\0';
    utf8_sanitize(out);
}

static struct series *get_clean_series(struct metric_family *family, const char *const *label_values)
{
    char values[METRICS_MAX_LABELS][MAX_LABEL_VALUE_BYTES + 1];
    const char *labels[METRICS_MAX_LABELS] = {NULL};
    for (size_t i = 0; i < family->n_labels; i++) {
        clean_value(label_values[i], values[i]);
        labels[i] = values[i];
    }
    size_t index = 0;
    if (find_series(family, labels, &index))
        return family->series[index];

    if (family->n_series >= METRICS_MAX_SERIES) { /* one more series, once, for all that do not fit */
        for (size_t i = 0; i < family->n_labels; i++)
            (void)snprintf(values[i], sizeof(values[i]), "other");
        if (find_series(family, labels, &index))
            return family->series[index];
    }
    return insert_series(family, labels, index);
}

/* The series of these label values, made when new. NULL only on lack of memory (a sample is lost then).
 * Values that have a series as they are need no cleaning. */
static struct series *get_series(struct metric_family *family, const char *const *label_values)
{
    size_t index = 0;
    return find_series(family, label_values, &index) ? family->series[index]
                                                     : get_clean_series(family, label_values);
}

void metric_add(struct metric_family *family, const char *const *label_values, double amount)
{
    if (family == NULL)
        return;
    assert(family->desc->type != METRIC_HISTOGRAM);
    struct series *series = get_series(family, label_values);
    if (series != NULL)
        series->value += amount;
}

void metric_set(struct metric_family *family, const char *const *label_values, double value)
{
    if (family == NULL)
        return;
    assert(family->desc->type == METRIC_GAUGE);
    struct series *series = get_series(family, label_values);
    if (series != NULL)
        series->value = value;
}

void metric_observe(struct metric_family *family, const char *const *label_values, double value)
{
    if (family == NULL)
        return;
    assert(family->desc->type == METRIC_HISTOGRAM);
    struct series *series = get_series(family, label_values);
    if (series == NULL)
        return;
    series->value += value;
    series->count++;
    for (size_t i = 0; i < family->desc->n_buckets; i++) {
        if (value <= family->desc->buckets[i]) {
            series->buckets[i]++;
            break;
        }
    }
}

void metrics_add_process(struct metrics *metrics)
{
    metrics->with_process = true;
}

void metrics_add_log(struct metrics *metrics, const struct log *log)
{
    metrics->log = log;
}

void metrics_add_byte_budget(struct metrics *metrics, const struct byte_budget *budget)
{
    metrics->budget = budget;
}

void metrics_add_secret_memory(struct metrics *metrics)
{
    metrics->with_secret_memory = true;
}

/* Numbers are printed with as few digits as give back the same double: 0.1, not 0.10000000000000001. */
static int render_number(struct buffer *out, double value, struct error **err)
{
    if (isnan(value))
        return buffer_append_str(out, "NaN", err);
    if (isinf(value))
        return buffer_append_str(out, value > 0 ? "+Inf" : "-Inf", err);
    char text[40] = "";
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return buffer_append_str(out, text, err);
}

/* Help texts escape backslash and newline, label values the double quote as well. */
static int render_escaped(struct buffer *out, const char *text, bool is_label, struct error **err)
{
    const char *special = is_label ? "\\\n\"" : "\\\n";
    while (*text != '\0') {
        size_t plain = strcspn(text, special);
        if (buffer_append(out, text, plain, err) < 0)
            return -1;
        text += plain;
        if (*text == '\0')
            break;
        const char escape[2] = {'\\', *text == '\n' ? 'n' : *text};
        if (buffer_append(out, escape, sizeof(escape), err) < 0)
            return -1;
        text++;
    }
    return 0;
}

/* name<suffix>{labels[,le="bound"]}<blank> */
static int render_key(struct buffer *out, const struct metric_family *family, const struct series *series,
                      const char *suffix, const double *le, struct error **err)
{
    if (buffer_append_str(out, family->desc->name, err) < 0 || buffer_append_str(out, suffix, err) < 0)
        return -1;
    const char *separator = "{";
    for (size_t i = 0; i < family->n_labels; i++) {
        if (buffer_printf(out, err, "%s%s=\"", separator, family->desc->labels[i]) < 0 ||
            render_escaped(out, series->labels[i], true, err) < 0 || buffer_append_str(out, "\"", err) < 0)
            return -1;
        separator = ",";
    }
    if (le != NULL) {
        if (buffer_printf(out, err, "%sle=\"", separator) < 0 || render_number(out, *le, err) < 0 ||
            buffer_append_str(out, "\"", err) < 0)
            return -1;
        separator = ",";
    }
    return buffer_append_str(out, *separator == ',' ? "} " : " ", err);
}

static int render_sample(struct buffer *out, const struct metric_family *family, const struct series *series,
                         const char *suffix, double value, struct error **err)
{
    if (render_key(out, family, series, suffix, NULL, err) < 0 || render_number(out, value, err) < 0)
        return -1;
    return buffer_append_str(out, "\n", err);
}

static int render_bucket(struct buffer *out, const struct metric_family *family, const struct series *series,
                         double bound, uint64_t count, struct error **err)
{
    if (render_key(out, family, series, "_bucket", &bound, err) < 0)
        return -1;
    return buffer_printf(out, err, "%llu\n", (unsigned long long)count);
}

static int render_histogram(struct buffer *out, const struct metric_family *family,
                            const struct series *series, struct error **err)
{
    uint64_t cumulated = 0;
    for (size_t i = 0; i < family->desc->n_buckets; i++) {
        cumulated += series->buckets[i];
        if (render_bucket(out, family, series, family->desc->buckets[i], cumulated, err) < 0)
            return -1;
    }
    if (render_bucket(out, family, series, (double)INFINITY, series->count, err) < 0 ||
        render_sample(out, family, series, "_sum", series->value, err) < 0 ||
        render_key(out, family, series, "_count", NULL, err) < 0)
        return -1;
    return buffer_printf(out, err, "%llu\n", (unsigned long long)series->count);
}

static int render_head(struct buffer *out, const struct metric_desc *desc, struct error **err)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    if (buffer_printf(out, err, "# HELP %s ", desc->name) < 0 ||
        render_escaped(out, desc->help, false, err) < 0)
        return -1;
    return buffer_printf(out, err, "\n# TYPE %s %s\n", desc->name, types[desc->type]);
}

static int render_family(struct buffer *out, const struct metric_family *family, struct error **err)
{
    if (family->n_series == 0)
        return 0;
    if (render_head(out, family->desc, err) < 0)
        return -1;
    for (size_t i = 0; i < family->n_series; i++) {
        const struct series *series = family->series[i];
        int ret = family->desc->type == METRIC_HISTOGRAM
                      ? render_histogram(out, family, series, err)
                      : render_sample(out, family, series, "", series->value, err);
        if (ret < 0)
            return -1;
    }
    return 0;
}

/* The process family */

static int render_gauge(struct buffer *out, const char *name, const char *help, enum metric_type type,
                        double value, struct error **err)
{
    const struct metric_desc desc = {.name = name, .help = help, .type = type};
    if (render_head(out, &desc, err) < 0 || buffer_printf(out, err, "%s ", name) < 0 ||
        render_number(out, value, err) < 0)
        return -1;
    return buffer_append_str(out, "\n", err);
}

/* Fields of /proc/self/stat, numbered as in proc(5). */
enum { STAT_STARTTIME = 22, STAT_VSIZE = 23, STAT_RSS = 24, STAT_FIELDS = 25 };

/* Reads the numeric fields behind the command name, which may itself hold blanks and parentheses. */
static bool read_stat(unsigned long long fields[static STAT_FIELDS])
{
    char line[2048];
    cleanup_file FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL || fgets(line, sizeof(line), file) == NULL)
        return false;
    const char *p = strrchr(line, ')');
    if (p == NULL || p[1] == '\0')
        return false;
    p += 3; /* ") S": field 3 is a letter */
    for (int i = 4; i < STAT_FIELDS; i++) {
        char *end = NULL;
        fields[i] = strtoull(p, &end, 10);
        if (end == p)
            return false;
        p = end;
    }
    return true;
}

/* Seconds since 1970 at which the machine started: CLOCK_REALTIME minus CLOCK_BOOTTIME. */
static double boot_time(void)
{
    struct timespec real;
    struct timespec boot;
    if (clock_gettime(CLOCK_REALTIME, &real) != 0 || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return 0;
    return (double)(real.tv_sec - boot.tv_sec) + (double)(real.tv_nsec - boot.tv_nsec) / 1e9;
}

static unsigned count_fds(void)
{
    cleanup_dir DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory's own */
}

static double cpu_seconds(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int render_process(struct buffer *out, struct error **err)
{
    unsigned long long stat[STAT_FIELDS] = {0};
    struct rlimit files = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    if (render_gauge(out, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                     METRIC_COUNTER, cpu_seconds(), err) < 0 ||
        render_gauge(out, "process_open_fds", "Number of open file descriptors.", METRIC_GAUGE, count_fds(),
                     err) < 0 ||
        render_gauge(out, "process_max_fds", "Maximum number of open file descriptors.", METRIC_GAUGE,
                     (double)files.rlim_cur, err) < 0)
        return -1;
    if (!read_stat(stat))
        return 0; /* no /proc: better fewer numbers than wrong ones */
    double ticks = (double)sysconf(_SC_CLK_TCK);
    /* Rounded to 10 ms: the two clocks are not read at the same instant, and a start time should not move. */
    double start = (double)(int64_t)((boot_time() + (double)stat[STAT_STARTTIME] / ticks) * 100 + 0.5) / 100;
    double page = (double)sysconf(_SC_PAGESIZE);
    if (render_gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.", METRIC_GAUGE,
                     (double)stat[STAT_VSIZE], err) < 0 ||
        render_gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.", METRIC_GAUGE,
                     (double)stat[STAT_RSS] * page, err) < 0)
        return -1;
    return render_gauge(out, "process_start_time_seconds",
                        "Start time of the process since unix epoch in seconds.", METRIC_GAUGE, start, err);
}

static int render_budget(struct buffer *out, const struct byte_budget *budget, struct error **err)
{
    struct byte_budget_state state = byte_budget_state(budget);
    if (render_gauge(out, "mount_bytes_in_flight", "Bytes of mounts in the memory of the process.",
                     METRIC_GAUGE, (double)state.bytes, err) < 0 ||
        render_gauge(out, "mounts_waiting_for_memory",
                     "Mounts that wait until others have given their memory back.", METRIC_GAUGE,
                     (double)state.waiting, err) < 0)
        return -1;
    return render_gauge(out, "mount_memory_wait_seconds_total",
                        "Seconds that mounts have waited for memory, summed over all mounts.", METRIC_COUNTER,
                        state.waited_seconds, err);
}

int metrics_render(const struct metrics *metrics, struct buffer *out, struct error **err)
{
    for (const struct metric_family *family = metrics->first; family != NULL; family = family->next) {
        if (render_family(out, family, err) < 0)
            return -1;
    }
    if (metrics->log != NULL &&
        render_gauge(
            out, "log_lines_dropped_total",
            "Log lines that were lost, because nobody read them in time or the log could not be written.",
            METRIC_COUNTER, (double)log_dropped(metrics->log), err) < 0)
        return -1;
    if (metrics->budget != NULL && render_budget(out, metrics->budget, err) < 0)
        return -1;
    if (metrics->with_secret_memory &&
        render_gauge(out, "secret_memory_overflows_total",
                     "Blocks for secrets that did not fit into the locked memory and may reach the swap.",
                     METRIC_COUNTER, (double)secret_arena_overflows(), err) < 0)
        return -1;
    return metrics->with_process ? render_process(out, err) : 0;
}
