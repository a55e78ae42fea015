/*
 * response.h - the response of a service: status, headers, body. http1.c and http2_stream.c turn it into an
 * HTTP response, after the faults had their way with it.
 */
#ifndef EMULATOR_RESPONSE_H
#define EMULATOR_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

enum { RESPONSE_MAX_HEADERS = 16, RESPONSE_HEADER_BYTES = 2048 };

struct response {
    unsigned status;   /* 0 = hang up without a response */
    const char *route; /* the pattern that matched, for the counters; static text */
    char *body;        /* owned; may be NULL */
    size_t body_len;
    size_t n_headers;
    struct {
        const char *name;  /* static text */
        const char *value; /* static text, or in `store` */
    } headers[RESPONSE_MAX_HEADERS];
    size_t store_used;
    char store[RESPONSE_HEADER_BYTES];
};

/* Adds a header; the value is copied. Too long or too many: the program ends, it is a mistake in the
 * emulator. */
void response_header(struct response *response, const char *name, const char *value);
void response_headerf(struct response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a value that is static text. */
void response_header_static(struct response *response, const char *name, const char *value);

/* Sets status and a copy of the body. */
void response_copy(struct response *response, unsigned status, const char *body, size_t len);
/* Sets status and body, which it takes. */
void response_take(struct response *response, unsigned status, char *body);
/* Prints the JSON, deletes it, and makes it the body. */
void response_json_take(struct response *response, unsigned status, cJSON *json);
/* Drops body and stream. */
void response_finish(struct response *response);

#endif
