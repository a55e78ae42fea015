/*
 * publish_state.h - one publish from the inside: its parts, its caller and its end.
 *
 * The files of a publish stand one above the other: publish_state (this one), publish_report (log, metrics
 * and Events), publish_record (the states after WRITE, and failures), publish_fetch (PREPARE, PROVIDER,
 * WRITE), publish (the states up to CLASS). A file calls only files in front of it.
 */
#ifndef DRIVER_PUBLISH_PUBLISH_STATE_H
#define DRIVER_PUBLISH_PUBLISH_STATE_H

#include "driver/provider/provider_client.h"
#include "driver/publish/publish_request.h"
#include "driver/publish/publisher.h"
#include "driver/volume/volume.h"

/* Kept from the caller's deadline so that the response reaches it in time: a tenth, at most this. */
enum { PUBLISH_RESPONSE_MARGIN_MS = 2000 };

/* In the order of the drawing in publish.h. */
enum publish_state {
    PUBLISH_QUEUE,
    PUBLISH_INSPECT, /* worker */
    PUBLISH_DUE,
    PUBLISH_CLASS,
    PUBLISH_PREPARE, /* worker */
    PUBLISH_PROVIDER,
    PUBLISH_WRITE, /* worker */
    PUBLISH_RECORD,
    PUBLISH_RECORD_FAILURE,
    PUBLISH_ROLLBACK, /* worker */
    PUBLISH_CLOSE,    /* worker */
};

enum publish_caller {
    PUBLISH_CALLER_WAITS,
    PUBLISH_CALLER_SERVED,      /* the operation goes on without it */
    PUBLISH_CALLER_GONE,        /* publish_cancel() */
    PUBLISH_CALLER_INTERRUPTED, /* does not wait either; an unpublish waits for the lock */
};

/* In and out of the workers. The loop does not touch it while one runs. */
struct publish_job {
    const char *target_path;
    struct error *error;

    /* INSPECT */
    bool read_checked;  /* is last_checked of interest? */
    bool read_metadata; /* and the metadata? */
    enum volume_condition volume;
    bool may_be_in_use; /* incomplete, but containers may see it */
    uint64_t last_checked;
    char *metadata;

    /* PREPARE: for a provider that may write files itself */
    bool may_be_on_disk; /* a provider was called while there was neither tmpfs nor directory */
    enum volume_prepared prepared;

    /* WRITE */
    const struct payload *payload; /* NULL: the provider returned versions only */
    struct volume_options options;
    bool taken; /* the content is what the provider wrote: */
    struct payload_plain plain;
    bool changed;
};

struct publish;

/* The differences between a first mount, the completion of a volume that may be in use, and a rotation
 * check. */
struct publish_mode {
    enum volume_event_type event; /* when it succeeds */
    bool rolls_back;              /* when a required observer fails */
    bool is_republish; /* the volume is complete: the caller gets OK, and gets it before observers run;
                                     a failure is kept for the observers and delays the next rotation check */
    void (*write)(struct publish_job *job); /* on a worker */
    void (*report_success)(const struct publish *publish);
    void (*report_failure)(const struct publish *publish, const struct error *error, const char *provider,
                           const char *type);
};

struct publish {
    const struct publisher *publisher;
    struct volume_lock lock;
    enum publish_state state;
    const struct publish_mode *mode; /* a first mount until INSPECT finds something else */
    enum publish_caller caller;
    publish_callback *callback;
    void *arg;
    struct publish_request request;
    uint64_t started_ns;
    uint64_t deadline_ms; /* on uv_now()'s clock */

    /* The running child; at most one is not NULL, but for a lookup during which the provider is called
     * (publish_start_early_fetch()). Workers are no children: they cannot be cancelled. */
    struct class_cache_call *cached_class;
    struct class_lookup *lookup;
    struct provider_call *provider;
    struct observer_chain *observers;
    uint64_t provider_started_ns;

    struct secret_provider_class *class; /* one of its owners */
    struct rotation_spec spec;
    bool in_place;                 /* the class wants files that updates rewrite */
    struct byte_reservation bytes; /* of the next one, as long as it is in memory */
    struct provider_response response;
    char *metadata;               /* for the volume; secret_free() */
    struct error *failure;        /* RECORD_FAILURE: for the observers */
    struct error *rollback_cause; /* ROLLBACK: for the caller; NULL when it is gone */
    struct publish_job job;
};

/* Frees the operation. Its lock goes back, which may start the next operation in line. */
void publish_dispose(struct publish *publish);

/* Cancels the child that runs, if any. */
void publish_cancel_children(struct publish *publish);

/* Calls the caller back if it waits. The operation may go on. */
void publish_respond(struct publish *publish, const struct error *error);

/* Until the caller's deadline, in milliseconds. */
uint64_t publish_time_left(const struct publish *publish);

/* The same for a child: a part is kept, so that the response reaches the caller in time. */
uint64_t publish_child_timeout(uint64_t left);

#endif
