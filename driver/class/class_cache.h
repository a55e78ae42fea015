/*
 * class_cache.h - what the classes of the volumes on this node said a moment ago.
 *
 * A first mount always reads its class from the source. A look (publish.h) has to know the class, too,
 * whether anything is due or not, and the kubelet calls for every pod every 60 to 90 seconds and at each of
 * its events: 200 pods of one class would mean 200 requests for the same object. So looks share:
 *
 *  - an answer serves all looks for `max_age_ms`, whichever volume asked; a failure serves FAILURE_AGE_MS, so
 *    that an API server in trouble is not asked again by every pod. One that did not answer at all holds up
 *    the first look only: while its failure is not older than SILENCE_MS, the others have it at once, and a
 *    new request goes on behind their backs;
 *  - who asks while a request runs waits for that one;
 *  - a request names the version known so far, so that the API server may answer from its memory, and never
 *    with something older than before.
 *
 * The price: an edit of a class is seen by looks up to `max_age_ms` later than it could be. What it buys: at
 * most one request per class and `max_age_ms`, whatever the number of pods; and only for classes that pods of
 * this node use. An entry that nobody asked about for EXPIRY_MS is forgotten.
 *
 * An annotation of a class that can not be understood is logged when it is first seen, not at each look.
 *
 * Loop thread only. Calls follow the contract of common/grpc/client.h.
 */
#ifndef DRIVER_CLASS_CLASS_CACHE_H
#define DRIVER_CLASS_CLASS_CACHE_H

#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "driver/class/class_source.h"

enum {
    CLASS_CACHE_AGE_MS = 30 * 1000, /* the longest; see class_cache_create() */
    CLASS_CACHE_FAILURE_AGE_MS = 5 * 1000,
    CLASS_CACHE_SILENCE_MS = 120 * 1000, /* the kubelet's calls for a volume are less apart */
    CLASS_CACHE_EXPIRY_MS = 10 * 60 * 1000,
    CLASS_CACHE_TIMEOUT_MS = 10 * 1000, /* of a shared request */
    CLASS_CACHE_MAX = 2000,             /* classes; above, the ones asked about longest ago are forgotten */
};

struct class_cache;
struct class_cache_call; /* one waiting look */

/* Everything is borrowed. `poll_interval_s` is the interval of rotation: an answer is used for at most half
 * of it, so that short intervals are short; never for longer than CLASS_CACHE_AGE_MS. A source that is local
 * is asked each time, but still by one at a time. */
struct class_cache *class_cache_create(uv_loop_t *loop, const struct class_source *source,
                                       int64_t poll_interval_s, struct log *log, struct error **err);

/* Cancels requests that run. No call may wait. Before class_source_destroy(). Accepts NULL. */
void class_cache_destroy(struct class_cache *memo);

/* What is known without asking: the class (borrowed until control returns to the loop; NULL when it is not
 * known), or *ret_failure (borrowed likewise; NULL when the last request did not fail lately). Both NULL:
 * ask. */
struct secret_provider_class *class_cache_get(struct class_cache *memo, const char *ns, const char *name,
                                              const struct error **ret_failure);

/* Asks. The class that is called back is borrowed: secret_provider_class_ref() keeps it. */
struct class_cache_call *class_cache_start(struct class_cache *memo, const char *ns, const char *name,
                                           class_lookup_callback *callback, void *arg, struct error **err);

/* Sets *call to NULL; the callback will not run any more. The request goes on for the benefit of others. */
void class_cache_cancel(struct class_cache_call **call);

/* Tells the memo of a class that was read elsewhere just now. */
void class_cache_put(struct class_cache *memo, struct secret_provider_class *class);

/* Failures do not count any more: the API server was away and is back. */
void class_cache_forget_failures(struct class_cache *memo);

#endif
