/*
 * error.h - errors that carry their story.
 *
 * The one idiom of the tree: a function that can fail takes `struct error **err` as its last parameter,
 * returns a negative int (or NULL) and sets *err; on success *err is untouched. The lowest level makes
 * the error with a code, each caller that knows something more wraps it in front, the top level logs it
 * once or sends it to the peer:
 *
 *     if (kv_fetch(kv, name, &value, err) < 0)
 *         return error_wrap(err, "fetch secret '%s'", name);
 *
 * `err` itself may be NULL when the caller does not want the story; *err must be NULL on entry.
 * Messages are shown to users (pod events) and logged: they must never contain secret bytes.
 * Messages are valid UTF-8 without hidden characters (utf8.h; line breaks and tabs stay) and at most
 * ERROR_MESSAGE_MAX bytes long; longer ones are cut in the middle so that both the intent and the cause stay
 * visible.
 */
#ifndef COMMON_BASE_ERROR_H
#define COMMON_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/status.h"

enum { ERROR_MESSAGE_MAX = 2048 };

struct error;

/* Makes a new error in *err. Returns -1 always, so that `return error_set(...)` reads well. */
int error_set(struct error **err, enum grpc_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), with ": <strerror(errnum)>" appended. */
int error_set_errno(struct error **err, enum grpc_status code, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "<formatted>: " in front of the message of *err and keeps its code. Returns -1. */
int error_wrap(struct error **err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts " [hint: <formatted>]" behind the message of *err: what the caller can do, or what to check. Returns -1. */
int error_hint(struct error **err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replaces the code of *err (for a layer that knows the meaning of the failure). Returns -1. */
int error_recode(struct error **err, enum grpc_status code);

/* RESOURCE_EXHAUSTED, "out of memory for <what>"; "out of memory" when `what` is NULL. Returns -1. */
int error_no_memory(struct error **err, const char *what);

/* For a library that fails and does not say why. Set errno to 0 before it is called: if malloc() has left
 * ENOMEM there, *err becomes that of error_no_memory(). Returns -1. */
int error_check_memory(struct error **err, const char *what);

/* Attaches a short machine-readable type ("GRPCProviderError") used as a metrics label; `type` must be
 * a string literal or otherwise outlive the error. Returns -1. */
int error_set_type(struct error **err, const char *type);

/* Moves *from into *to (to == NULL drops it); *from becomes NULL. Returns -1. */
int error_move(struct error **to, struct error **from);

/* `make check` only: analyzers read one file at a time and would follow paths on which these return 0. */
#if defined(STATIC_ANALYSIS) && !defined(ERROR_C)
#define error_set(...)          (error_set(__VA_ARGS__), -1)
#define error_set_errno(...)    (error_set_errno(__VA_ARGS__), -1)
#define error_wrap(...)         (error_wrap(__VA_ARGS__), -1)
#define error_hint(...)         (error_hint(__VA_ARGS__), -1)
#define error_recode(...)       (error_recode(__VA_ARGS__), -1)
#define error_no_memory(...)    (error_no_memory(__VA_ARGS__), -1)
#define error_check_memory(...) (error_check_memory(__VA_ARGS__), -1)
#define error_set_type(...)     (error_set_type(__VA_ARGS__), -1)
#define error_move(...)         (error_move(__VA_ARGS__), -1)
#endif

/* A deep copy owned by the caller; NULL for NULL. */
struct error *error_copy(const struct error *error);

/* Getters accept NULL: code GRPC_STATUS_OK, message "", type "". Strings live as long as the error. */
enum grpc_status error_code(const struct error *error);
const char *error_message(const struct error *error);
const char *error_type(const struct error *error);

/* Accepts NULL. */
void error_free(struct error *error);

static inline void cleanup_error_func(struct error **error)
{
    error_free(*error);
}
#define cleanup_error CLEANUP(cleanup_error_func)

#endif
