/*
 * publish_private.h - one publish from the inside, for publish.c (the states up to WRITE, start and cancel),
 * publish_record.c (ROLLBACK and STATUS) and publish_report.c (what is told, counted and remembered).
 */
#ifndef DRIVER_PUBLISH_PRIVATE_H
#define DRIVER_PUBLISH_PRIVATE_H

#include "driver/provider/provider_client.h"
#include "driver/publish/publish.h"
#include "driver/rotation/rotation.h"
#include "driver/volume/volume.h"

enum publish_state {
    PUBLISH_QUEUE,
    PUBLISH_INSPECT,
    PUBLISH_DUE,
    PUBLISH_CLASS,
    PUBLISH_PROVIDER,
    PUBLISH_WRITE,
    PUBLISH_STATUS,
    PUBLISH_ROLLBACK,
};

struct publish {
    const struct publisher *publisher;
    struct volume_lock lock;
    enum publish_state state;
    publish_callback *callback; /* NULL once the caller has its answer or does not want one */
    void *arg;
    struct publish_request request;
    uint64_t started_ns;
    uint64_t deadline_ms; /* on uv_now()'s clock */
    bool look; /* a complete volume was found: nothing may be unmounted, failures are kept from the caller */
    bool interrupted; /* an unpublish waits for the lock */

    /* children: at most one is not NULL; workers are not children, see worker_runs() */
    struct class_cache_call *recent;
    struct class_lookup *lookup;
    struct provider_call *provider;
    struct observer_chain *observer_chain;
    uint64_t provider_started_ns;

    struct secret_provider_class *class; /* an owner among others */
    struct rotation_spec spec;
    struct provider_answer answer;
    char *metadata;               /* for the volume; secret_free() */
    struct error *rollback_cause; /* ROLLBACK: what is answered when it is done */
    struct error *failure;        /* of a look, for the observers */

    /* in and out of the workers */
    struct {
        const char *target_path;
        const struct payload *payload;
        struct volume_options options;
        bool look;
        bool no_files;
        bool rotation; /* inspect: is last_checked of interest? */
        bool recall;   /* inspect: and the metadata? */
        enum volume_condition volume;
        uint64_t last_checked;
        char *metadata;
        bool may_be_in_use; /* inspect: incomplete, but containers may see it */
        bool changed;
        struct error *error;
    } job;
};

/* --- publish.c --- */

bool publish_worker_runs(const struct publish *publish);
void publish_dispose(struct publish *publish);
void publish_cancel_children(struct publish *publish);

/* Gives the caller its answer. The operation may live on. */
void publish_answer(struct publish *publish, const struct error *error);

uint64_t publish_time_left(const struct publish *publish);

/* What is kept of it, so that an answer reaches the caller before it gives up. */
uint64_t publish_answer_margin(uint64_t left);

/* --- publish_record.c --- */

/* The volume is there, but it must not count. Takes over *cause. */
void publish_enter_rollback(struct publish *publish, struct error **cause);

/* Of a volume that is there by now: must it be taken back without a record? */
bool publish_may_be_taken_back(const struct publish *publish);

/* The volume shows what it should. The caller of a look need not wait for it to be recorded. */
void publish_enter_status(struct publish *publish);

/* A look has failed, its caller is answered: the observers that want failures are called. */
void publish_enter_failed_status(struct publish *publish);

/* --- publish_report.c --- */

const char *publish_provider_label(const struct publish *publish);
double publish_seconds_since(uint64_t start_ns);
void publish_remember_success(struct publish *publish);

/* The volume shows what it should: tells everybody but the observers. When the caller has gone before, that
 * is on record as a failure, and stays one. */
void publish_report_success(struct publish *publish);

/* `error`: the class has an annotation that can not be understood; NULL: it has none. The pod is told once
 * per text; the log has it once per class (class_cache.h). */
void publish_report_annotation(const struct publish *publish, const struct secret_provider_class *class,
                               struct volume_state *volume, const struct error *error);

/* One line and one count per failure, wherever it came from. `type` NULL or "": from the error. */
void publish_report_failure(struct publish *publish, const struct error *error, const char *type);

#endif
