/*
 * faults.h - misbehaviour on demand: rules that pick requests, and what happens to those.
 *
 * Rules are tried in the order in which they were added. Every matching latency rule adds its delay; the
 * first matching rule of another kind decides the rest.
 */
#ifndef EMULATOR_FAULTS_H
#define EMULATOR_FAULTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_LATENCY,     /* respond later; no thread waits */
    FAULT_STATUS,      /* an error response instead of the real one */
    FAULT_RESET,       /* TCP RST */
    FAULT_TRUNCATE,    /* the whole Content-Length is announced, half of the body comes */
    FAULT_GARBAGE,     /* 200 with bytes that are no JSON */
    FAULT_DRIP,        /* the body comes byte by byte */
    FAULT_BLACKHOLE,   /* never a response, until the rule is deleted or the client hangs up */
    FAULT_CLOSE,       /* the connection is closed instead of a response */
    FAULT_CLOSE_AFTER, /* the connection is closed after the response, which does not announce it */
    FAULT_GOAWAY,      /* HTTP/2: the connection takes no more streams; this one is the first that it refuses,
                          or the last one that it serves */
    FAULT_STREAM_RESET, /* HTTP/2: RST_STREAM instead of a response */
    FAULT_KINDS
};

/* The header of a pause: "Retry-After" in seconds, or one of the two headers of Azure in milliseconds. */
enum retry_spelling { RETRY_AFTER, RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS, RETRY_SPELLINGS };

/* What is to happen to one request. `body` is borrowed from the rule: use it under the lock under which it
 * was decided. */
struct fault_decision {
    enum fault_kind kind;
    uint64_t latency_ms;
    unsigned drip_ms;
    unsigned status;
    int retry_after; /* seconds, or milliseconds; negative = no header */
    enum retry_spelling retry_spelling;
    bool accepted;        /* of FAULT_GOAWAY: the request is served */
    uint32_t http2_error; /* of FAULT_STREAM_RESET */
    char *body;           /* owned copy; may be NULL */
};

struct faults;
struct faults *faults_create(void);
void faults_destroy(struct faults *faults);

/* Adds the rule that a control call describes (see README.md). NULL, or a text that says what is wrong with
 * it. */
const char *faults_add(struct faults *faults, const cJSON *json);
/* Removes the rule with that id, or all when `id` is NULL. */
void faults_remove(struct faults *faults, const char *id);
/* The rules with how often each was used; the caller deletes it. */
cJSON *faults_list(const struct faults *faults);

/* Decides for one request and counts it; `http2`: it came over HTTP/2. The caller frees `body` of the
 * decision. */
struct fault_decision faults_decide(struct faults *faults, const char *service, bool http2,
                                    const char *method, const char *host, const char *target);

#endif
