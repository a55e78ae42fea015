/*
 * metrics.h - counters, gauges and histograms with labels, rendered in the Prometheus text exposition format
 * 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * One registry per process, owned by main and passed down. A metric family is registered once with its label
 * names; a series appears with its first observation. Label values are copied, escaped on output, and the
 * number of series per family is bounded (METRICS_MAX_SERIES; further label combinations are folded into one
 * series whose label values are all "other"). Loop thread only.
 */
#ifndef COMMON_PROCESS_METRICS_H
#define COMMON_PROCESS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/process/byte_budget.h"

enum { METRICS_MAX_LABELS = 8, METRICS_MAX_SERIES = 1000 };

struct metrics;       /* the registry */
struct metric_family; /* one name */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_desc {
    const char *name;
    const char *help;
    enum metric_type type;
    const char *labels[METRICS_MAX_LABELS]; /* label names, NULL-terminated if fewer */
    const double *buckets;                  /* histograms: ascending upper bounds without +Inf */
    size_t n_buckets;
};

/* An empty registry. Aborts on lack of memory. */
struct metrics *metrics_create(void);

/* Frees the registry and its families. Accepts NULL. */
void metrics_destroy(struct metrics *metrics);

/* `desc` and the strings in it must outlive the registry (static const). The returned family lives as long as
 * the registry. */
struct metric_family *metrics_register(struct metrics *metrics, const struct metric_desc *desc);

/* Adds to a counter or a gauge, sets a gauge, records an observation of a histogram. Label values in the
 * order of desc->labels; NULL counts as "". `family` may be NULL (nothing happens), so that modules run
 * without metrics. */
void metric_add(struct metric_family *family, const char *const *label_values, double amount);
void metric_set(struct metric_family *family, const char *const *label_values, double value);
void metric_observe(struct metric_family *family, const char *const *label_values, double value);

/* Adds the process_* family (resident memory, cpu seconds, open fds, start time), read from /proc at each
 * rendering. */
void metrics_add_process(struct metrics *metrics);

/* Adds log_lines_dropped_total (log_dropped()), read at each rendering. `log` is borrowed. */
void metrics_add_log(struct metrics *metrics, const struct log *log);

/* Adds mount_bytes_in_flight, mounts_waiting_for_memory and mount_memory_wait_seconds_total, read at each
 * rendering. `budget` is borrowed. */
void metrics_add_byte_budget(struct metrics *metrics, const struct byte_budget *budget);
/* Adds secret_memory_overflows_total (secret_arena.h), read at each rendering. */
void metrics_add_secret_memory(struct metrics *metrics);

/* Appends the text exposition. -1 with err set (RESOURCE_EXHAUSTED) when `out` is full. */
int metrics_render(const struct metrics *metrics, struct buffer *out, struct error **err);

#endif
