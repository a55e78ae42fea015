/*
 * answer.h - what a service wants to say: status, headers, body or stream. The server module turns it into an
 * HTTP response, after the faults had their way with it.
 */
#ifndef EMULATOR_ANSWER_H
#define EMULATOR_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

enum { ANSWER_MAX_HEADERS = 16, ANSWER_HEADER_BYTES = 2048 };

/* A body that is made while it is sent. */
struct answer_stream {
    /* Like MHD_ContentReaderCallback: bytes written, 0 after parking the connection, or one of
     * MHD_CONTENT_READER_END_*. */
    ssize_t (*read)(struct answer_stream *stream, char *buffer, size_t size);
    void (*release)(struct answer_stream *stream); /* called once, when nothing refers to it any more */
};

struct answer {
    unsigned status;   /* 0 = hang up without an answer */
    const char *route; /* the pattern that matched, for the counters; static text */
    char *body;        /* owned; may be NULL */
    size_t body_len;
    struct answer_stream *stream; /* owned; then there is no body */
    size_t n_headers;
    struct {
        const char *name;  /* static text */
        const char *value; /* static text, or in `store` */
    } headers[ANSWER_MAX_HEADERS];
    size_t store_used;
    char store[ANSWER_HEADER_BYTES];
};

/* Adds a header; the value is copied. Too long or too many: the program ends, it is a mistake in the
 * emulator. */
void answer_header(struct answer *answer, const char *name, const char *value);
void answer_headerf(struct answer *answer, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a value that is static text. */
void answer_header_static(struct answer *answer, const char *name, const char *value);

/* Sets status and a copy of the body. */
void answer_copy(struct answer *answer, unsigned status, const char *body, size_t len);
/* Sets status and body, which it takes. */
void answer_take(struct answer *answer, unsigned status, char *body);
/* Prints the JSON, deletes it, and makes it the body. */
void answer_json_take(struct answer *answer, unsigned status, cJSON *json);
/* Drops body and stream. */
void answer_finish(struct answer *answer);

#endif
