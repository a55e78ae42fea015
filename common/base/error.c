/*
 * error.c - errors that carry their story.
 */
#define ERROR_C /* see error.h */
#include "common/base/error.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/base/utf8.h"

struct error {
    enum grpc_status code;
    const char *type; /* borrowed literal, never NULL */
    char *message;    /* owned; NULL only if memory ran out while making it */
};

static const char *const no_memory_message = "out of memory";

/* Cuts an over-long message in the middle: the intent stands in front, the cause at the end. */
static void shorten(char *message)
{
    static const char gap[] = " [...] ";
    size_t len = strlen(message);
    if (len <= ERROR_MESSAGE_MAX)
        return;

    size_t keep = (ERROR_MESSAGE_MAX - (sizeof(gap) - 1)) / 2;
    size_t head = utf8_floor(message, keep);
    size_t tail = len - keep;
    while (tail < len && ((unsigned char)message[tail] & 0xC0U) == 0x80U)
        tail++;
    memcpy(message + head, gap, sizeof(gap) - 1);
    memmove(message + head + sizeof(gap) - 1, message + tail, len - tail + 1);
}

/* The message as people may see it (utf8.h), in valid UTF-8. Takes over `message`; NULL if memory runs out.
 */
static char *clean(char *message)
{
    utf8_sanitize(message);
    char *escaped = utf8_escape(message, "\n\t");
    free(message);
    if (escaped != NULL)
        shorten(escaped);
    return escaped;
}

__attribute__((format(printf, 1, 0))) static char *format_message(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return NULL;
    return text;
}

/* Takes over `message`. */
static struct error *make(enum grpc_status code, char *message)
{
    struct error *error = malloc(sizeof(*error));
    if (error == NULL)
        abort(); /* a few dozen bytes: nothing sensible can go on */
    *error = (struct error){.code = code, .type = "", .message = message};
    if (message != NULL)
        error->message = clean(message);
    return error;
}

int error_set(struct error **err, enum grpc_status code, const char *format, ...)
{
    if (err == NULL)
        return -1;
    assert(*err == NULL);

    va_list args;
    va_start(args, format);
    *err = make(code, format_message(format, args));
    va_end(args);
    return -1;
}

int error_set_errno(struct error **err, enum grpc_status code, int errnum, const char *format, ...)
{
    if (err == NULL)
        return -1;
    assert(*err == NULL);

    va_list args;
    va_start(args, format);
    cleanup_free char *what = format_message(format, args);
    va_end(args);
    /* strerror_r() comes in two kinds; strerror() is safe with threads in musl and in glibc since 2.32. */
    return error_set(err, code, "%s: %s", what != NULL ? what : "",
                     strerror(errnum)); /* NOLINT(concurrency-mt-unsafe) */
}

/* Takes over `text`. Without memory the message stays. */
static void set_message(struct error *error, char *text)
{
    text = clean(text);
    if (text == NULL)
        return;
    free(error->message);
    error->message = text;
}

/* Puts what `format` says in front of the message of *err, or behind it as a hint. Without memory the message
 * stays. */
__attribute__((format(printf, 3, 0))) static int extend(struct error **err, bool as_hint, const char *format,
                                                        va_list args)
{
    if (err == NULL)
        return -1;
    assert(*err != NULL);

    cleanup_free char *what = format_message(format, args);
    const char *message = error_message(*err);
    char *text = NULL;
    int len = what == NULL ? -1
              : as_hint    ? asprintf(&text, "%s [hint: %s]", message, what)
                           : asprintf(&text, "%s: %s", what, message);
    if (len >= 0)
        set_message(*err, text);
    return -1;
}

int error_wrap(struct error **err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)extend(err, /* as_hint= */ false, format, args);
    va_end(args);
    return -1;
}

int error_hint(struct error **err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)extend(err, /* as_hint= */ true, format, args);
    va_end(args);
    return -1;
}

int error_recode(struct error **err, enum grpc_status code)
{
    if (err != NULL && *err != NULL)
        (*err)->code = code;
    return -1;
}

int error_no_memory(struct error **err, const char *what)
{
    if (what == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%s", no_memory_message);
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%s for %s", no_memory_message, what);
}

int error_check_memory(struct error **err, const char *what)
{
    if (errno != ENOMEM || err == NULL || *err == NULL)
        return -1;
    error_free(steal_ptr(err));
    return error_no_memory(err, what);
}

int error_set_type(struct error **err, const char *type)
{
    if (err != NULL && *err != NULL)
        (*err)->type = type;
    return -1;
}

int error_move(struct error **to, struct error **from)
{
    if (to == NULL) {
        error_free(*from);
    } else {
        assert(*to == NULL);
        *to = *from;
    }
    *from = NULL;
    return -1;
}

struct error *error_copy(const struct error *error)
{
    if (error == NULL)
        return NULL;
    struct error *copy = make(error->code, error->message != NULL ? strdup(error->message) : NULL);
    copy->type = error->type;
    return copy;
}

enum grpc_status error_code(const struct error *error)
{
    return error != NULL ? error->code : GRPC_STATUS_OK;
}

const char *error_message(const struct error *error)
{
    if (error == NULL)
        return "";
    return error->message != NULL ? error->message : no_memory_message;
}

const char *error_type(const struct error *error)
{
    return error != NULL ? error->type : "";
}

void error_free(struct error *error)
{
    if (error == NULL)
        return;
    free(error->message);
    free(error);
}
