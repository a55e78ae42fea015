/*
 * class_cache.h - the classes of the volumes on this node, as they were read last.
 *
 * A first mount always reads its class from the source. A rotation check (publish.h) needs the class as well,
 * due or not, and the kubelet calls for every pod every 60 to 90 seconds and at each of its events: 200 pods
 * of one class would mean 200 requests for the same object. The sync of Secrets checks each volume as well,
 * all of them within a minute after a restart of the driver. So these share lookups:
 *
 *  - a class serves all volumes for `max_age_ms`, a failure for CLASS_CACHE_FAILURE_AGE_MS, so that an API
 *    server in trouble does not get a request from every pod. An API server that does not respond at all
 *    delays only the first check: while that failure is not older than CLASS_CACHE_SILENCE_MS, the others
 *    have it at once, and a new request runs in the background;
 *  - a call that comes while a lookup runs waits for that lookup;
 *  - a request names the version known so far, so that the API server may respond from its own cache, but not
 *    with an older version.
 *
 * The price: these checks see an edit of a class up to `max_age_ms` later than they could. The gain: at
 * most one request per class and `max_age_ms`, whatever the number of pods, and only for classes that pods of
 * this node use. An entry that is not used for CLASS_CACHE_EXPIRY_MS is evicted.
 *
 * An invalid annotation of a class is logged when it is first seen, not at each rotation check.
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
    /* About 300 classes of the usual size; above, the least recently used ones are evicted. A node has fewer
     * in use. Where more are, each has so few volumes that they would hardly share a lookup. */
    CLASS_CACHE_BYTES_MAX = 256 * 1024,
};

struct class_cache;
struct class_cache_call; /* one waiting check */

/* Everything is borrowed. `poll_interval_s` is the interval of the checks: `max_age_ms` is half of it, at
 * most CLASS_CACHE_AGE_MS. For a local source it is 0: each call starts a lookup or joins the one that
 * runs. */
struct class_cache *class_cache_create(uv_loop_t *loop, const struct class_source *source,
                                       int64_t poll_interval_s, struct log *log, struct error **err);

/* Cancels lookups that run. No call may wait. Before class_source_destroy(). Accepts NULL. */
void class_cache_destroy(struct class_cache *cache);

/* The cached class, borrowed until control returns to the loop; NULL when there is none that is fresh enough.
 * *ret_failure is that of the last lookup, borrowed likewise; NULL when it has not failed lately. Both NULL:
 * class_cache_start(). */
struct secret_provider_class *class_cache_get(struct class_cache *cache, const char *ns, const char *name,
                                              const struct error **ret_failure);

/* The class as it was last read, however long ago, borrowed likewise; NULL when there is none, or the source
 * is local. Of use only to one who reads it again and compares the versions. */
struct secret_provider_class *class_cache_last(struct class_cache *cache, const char *ns, const char *name);

/* Looks the class up, or calls back with the failure that class_cache_get() returns. The class that is called
 * back is borrowed: secret_provider_class_ref() keeps it. */
struct class_cache_call *class_cache_start(struct class_cache *cache, const char *ns, const char *name,
                                           class_lookup_callback *callback, void *arg, struct error **err);

/* Sets *call to NULL; the callback will not run any more. The lookup goes on for other calls. */
void class_cache_cancel(struct class_cache_call **call);

/* Caches a class that has just been read by another lookup. */
void class_cache_put(struct class_cache *cache, struct secret_provider_class *class);

/* Forgets the class: another lookup has found that it is gone, or cannot be read any more. */
void class_cache_remove(struct class_cache *cache, const char *ns, const char *name);

/* Failures do not count any more: the API server is reachable again. */
void class_cache_forget_failures(struct class_cache *cache);

#endif
