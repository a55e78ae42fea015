/*
 * log.c - structured log lines, one per event.
 *
 * A line is put together in a buffer on the stack and leaves in one piece through log_sink.h: safe from any
 * thread. Both formats are written by the same few functions; they differ in the header, in the
 * separators and in the escape for a byte that is no UTF-8. A long value is cut at a character and ends in
 * "...", so that a JSON line is valid JSON with every value.
 */
#include "common/base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "common/base/decimal.h"
#include "common/base/log_sink.h"
#include "common/base/uninitialized.h"
#include "common/base/utf8.h"

enum {
    LINE_MAX_LEN = 16 * 1024, /* the whole line; far above PIPE_BUF, far below any thread's stack */
    VALUE_MAX_LEN = 4 * 1024, /* one value as printed: a long one must not push the others off the line */
    DESTROY_FLUSH_MS = 1000,
    LINE_TAIL_LEN = 8, /* kept free for `..."`, `}` and the newline */
    CALLER_MAX_LEN = 40,
};

struct log {
    struct log_sink *sink;       /* of errors; owned */
    struct log_sink *other_sink; /* of all other lines; owned; may be the same */
    enum log_format format;
    int verbosity;
    long pid; /* read once: a fork never logs here */
};

struct line {
    enum log_format format;
    size_t len;
    char text[LINE_MAX_LEN];
};

/* --- building a line --- */

static size_t room(const struct line *line)
{
    size_t usable = sizeof(line->text) - LINE_TAIL_LEN;
    return line->len < usable ? usable - line->len : 0;
}

/* Appends bytes without regard to LINE_TAIL_LEN: for the tail itself and for bytes that were checked against
 * room(). */
static void put(struct line *line, const char *bytes, size_t len)
{
    if (len > sizeof(line->text) - line->len)
        return;
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static void put_str(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_number(struct line *line, int64_t number, unsigned width, char fill)
{
    char text[DECIMAL_MAX];
    size_t len = decimal_write(text, number < 0 ? -(uint64_t)number : (uint64_t)number, width, fill);

    if (number < 0)
        put_str(line, "-");
    put(line, text, len);
}

/* Shows the character at `text` in `ret_shown`, with its escape inside quotes. Returns how many bytes of
 * `text` it stands for. */
static size_t show_character(enum log_format format, const char *text, char ret_shown[UTF8_SHOWN_MAX],
                             size_t *ret_len)
{
    unsigned char first = (unsigned char)text[0];
    char escape[8] = "";
    size_t consumed;

    *ret_len = utf8_show(text, ret_shown, &consumed);
    if (first == '"' || first == '\\')
        (void)snprintf(escape, sizeof(escape), "\\%c", first);
    else if (consumed == 1 && first >= 0x80 && format == LOG_FORMAT_TEXT)
        (void)snprintf(escape, sizeof(escape), "\\x%02x", first);
    else if (consumed == 1 && first >= 0x80) /* JSON cannot carry a byte that is no character */
        (void)snprintf(escape, sizeof(escape), "\\ufffd");
    if (escape[0] != '\0') {
        *ret_len = strlen(escape);
        memcpy(ret_shown, escape, *ret_len);
    }
    return consumed;
}

/* How many bytes need no escape, `max` at most. */
static size_t plain_len(const char *text, size_t max)
{
    size_t len = 0;
    while (len < max && text[len] >= ' ' && text[len] < 0x7F && text[len] != '"' && text[len] != '\\')
        len++;
    return len;
}

/* NULL is no text. */
static void put_escaped(struct line *line, const char *text)
{
    size_t limit = room(line) < VALUE_MAX_LEN ? room(line) : VALUE_MAX_LEN;
    size_t end = line->len + limit;
    while (text != NULL && *text != '\0') {
        char shown[UTF8_SHOWN_MAX];
        size_t len = plain_len(text, line->len < end ? end - line->len : 0);
        if (len > 0) { /* nearly every text, as a whole */
            put(line, text, len);
            text += len;
            continue;
        }
        size_t consumed = show_character(line->format, text, shown, &len);
        if (line->len + len > end) {
            put_str(line, "...");
            break;
        }
        put(line, shown, len);
        text += consumed;
    }
}

static void put_quoted(struct line *line, const char *text)
{
    put_str(line, "\"");
    put_escaped(line, text);
    put_str(line, "\"");
}

/* Starts a field. False when the line is too full for it: the field is left out as a whole. */
static bool put_key(struct line *line, const char *key)
{
    enum { SMALLEST_VALUE = 32 }; /* separators and any number */
    size_t len = strlen(key);
    if (room(line) < SMALLEST_VALUE || room(line) - SMALLEST_VALUE < len * 6)
        return false;
    if (line->format != LOG_FORMAT_TEXT) {
        put_str(line, ",");
        put_quoted(line, key);
        put_str(line, ":");
    } else {
        put_str(line, " ");
        put(line, key, len);
        put_str(line, "=");
    }
    return true;
}

static void put_string_field(struct line *line, const char *key, const char *value)
{
    if (put_key(line, key))
        put_quoted(line, value);
}

static void put_object_field(struct line *line, const struct log_field *field)
{
    if (!put_key(line, field->key))
        return;
    put_str(line, "\"");
    put_escaped(line, field->value.object.ns);
    put_str(line, "/");
    put_escaped(line, field->value.object.name);
    put_str(line, "\"");
}

static void put_field(struct line *line, const struct log_field *field)
{
    char text[DECIMAL_MAX];

    switch (field->kind) {
    case LOG_FIELD_STR:
        put_string_field(line, field->key, field->value.str);
        break;
    case LOG_FIELD_INT:
        if (put_key(line, field->key))
            put_number(line, field->value.i, 0, '0');
        break;
    case LOG_FIELD_UINT:
        if (put_key(line, field->key))
            put(line, text, decimal_write(text, field->value.u, 0, '0'));
        break;
    case LOG_FIELD_BOOL:
        if (put_key(line, field->key))
            put_str(line, field->value.b ? "true" : "false");
        break;
    case LOG_FIELD_ERROR:
        put_string_field(line, field->key, error_message(field->value.error));
        if (field->value.error != NULL)
            put_string_field(line, "code", grpc_status_name(error_code(field->value.error)));
        break;
    case LOG_FIELD_OBJECT:
        put_object_field(line, field);
        break;
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void put_caller(struct line *line, const char *path, int at)
{
    const char *name = base_name(path);
    put(line, name, strnlen(name, CALLER_MAX_LEN));
    put_str(line, ":");
    put_number(line, at, 0, '0');
}

/* A number with two digits, and what follows it. */
static void put_part(struct line *line, int number, const char *after)
{
    put_number(line, number, 2, '0');
    put_str(line, after);
}

static void put_time_of_day(struct line *line, const struct tm *tm, long micros)
{
    put_part(line, tm->tm_hour, ":");
    put_part(line, tm->tm_min, ":");
    put_part(line, tm->tm_sec, ".");
    put_number(line, micros, 6, '0');
}

/* UTC: one clock on all nodes of a cluster, and no time zone file to read. */
static void put_header(struct line *line, const struct log *log, enum log_level level, const char *file,
                       int at, const char *message)
{
    static const char letters[] = {
        [LOG_LEVEL_ERROR] = 'E', [LOG_LEVEL_WARNING] = 'W', [LOG_LEVEL_INFO] = 'I'};
    static const char *const names[] = {
        [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_INFO] = "info"};
    struct timespec now = {0};
    struct tm tm = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    long micros = now.tv_nsec / 1000;

    if (log->format != LOG_FORMAT_TEXT) {
        put_str(line, "{\"timestamp\":\"");
        put_number(line, tm.tm_year + 1900, 4, '0');
        put_str(line, "-");
        put_part(line, tm.tm_mon + 1, "-");
        put_part(line, tm.tm_mday, "T");
        put_time_of_day(line, &tm, micros);
        put_str(line, "Z\",\"level\":\"");
        put_str(line, names[level]);
        put_str(line, "\",\"caller\":\"");
        put_caller(line, file, at);
        put_str(line, "\",\"message\":");
    } else {
        put(line, &letters[level], 1);
        put_part(line, tm.tm_mon + 1, "");
        put_part(line, tm.tm_mday, " ");
        put_time_of_day(line, &tm, micros);
        put_str(line, " ");
        put_number(line, log->pid, 7, ' ');
        put_str(line, " ");
        put_caller(line, file, at);
        put_str(line, "] ");
    }
    put_quoted(line, message);
}

static void begin_line(struct line *line, const struct log *log, enum log_level level, int verbosity,
                       const char *file, int line_number, const char *message)
{
    line->format = log->format;
    line->len = 0;
    put_header(line, log, level, file, line_number, message);
    if (log->format != LOG_FORMAT_TEXT && level == LOG_LEVEL_INFO) {
        put_str(line, ",\"v\":");
        put_number(line, verbosity, 0, '0');
    }
}

static void end_line(struct line *line)
{
    put_str(line, line->format == LOG_FORMAT_TEXT ? "\n" : "}\n");
}

/* A log_sink_note. */
static size_t note_dropped(uint64_t dropped, char text[LOG_SINK_NOTE_MAX], void *arg)
{
    const struct log_field field = LOG_UINT("lines", dropped);
    UNINITIALIZED struct line line;

    begin_line(&line, arg, LOG_LEVEL_WARNING, 0, __FILE__, __LINE__,
               "lines of this log were dropped, because they were not read");
    put_field(&line, &field);
    end_line(&line);
    if (line.len > LOG_SINK_NOTE_MAX) /* it is far shorter */
        return 0;
    memcpy(text, line.text, line.len);
    return line.len;
}

void log_write(const struct log *log, enum log_level level, int verbosity, const char *file, int line_number,
               const char *message, const struct log_field *fields)
{
    if (!log_enabled(log, verbosity))
        return;
    int saved_errno = errno;

    UNINITIALIZED struct line line;
    begin_line(&line, log, level, verbosity, file, line_number, message);
    for (; fields->key != NULL; fields++)
        put_field(&line, fields);
    end_line(&line);
    log_sink_write(level == LOG_LEVEL_ERROR ? log->sink : log->other_sink, line.text, line.len,
                   /* important= */ level != LOG_LEVEL_INFO);
    errno = saved_errno;
}

/* --- loggers --- */

struct log *log_create(int fd, enum log_format format, int verbosity)
{
    struct log *log = malloc(sizeof(*log));
    if (log == NULL)
        abort(); /* at start, a few dozen bytes */
    /* The reader of a pipe may have gone before the first line. */
    (void)signal(SIGPIPE, SIG_IGN);
    *log = (struct log){.format = format, .verbosity = verbosity, .pid = (long)getpid()};
    log->sink = log_sink_create(fd, note_dropped, log);
    log->other_sink = log->sink;
    return log;
}

void log_split(struct log *log, int other_fd)
{
    log->other_sink = log_sink_create(other_fd, note_dropped, log);
}

void log_flush(const struct log *log, unsigned timeout_ms)
{
    if (log == NULL)
        return;
    log_sink_flush(log->sink, timeout_ms);
    if (log->other_sink != log->sink)
        log_sink_flush(log->other_sink, timeout_ms);
}

uint64_t log_dropped(const struct log *log)
{
    uint64_t dropped = log_sink_dropped(log->sink);

    return log->other_sink == log->sink ? dropped : dropped + log_sink_dropped(log->other_sink);
}

void log_destroy(struct log *log)
{
    if (log == NULL)
        return;
    log_flush(log, DESTROY_FLUSH_MS);
    if (log->other_sink != log->sink)
        log_sink_destroy(log->other_sink);
    log_sink_destroy(log->sink);
    free(log);
}

bool log_enabled(const struct log *log, int verbosity)
{
    return log != NULL && verbosity <= log->verbosity;
}
