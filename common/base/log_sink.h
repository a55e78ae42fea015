/*
 * log_sink.h - lines to a descriptor, without ever waiting for the reader.
 *
 * A line is written at once when the descriptor takes it. When it does not (a full pipe), the line goes into
 * a buffer, and a thread that is started for it writes the buffer when the reader is back; until then all
 * lines go through the buffer, in order. Ordinary lines are dropped when three quarters of the buffer are
 * full, important ones when all of it is: the newest line goes, because the oldest show how the trouble
 * began. Dropped lines are counted, and reported in a line of their own.
 *
 * O_NONBLOCK is a property of the open file, which other processes share (a shell's pipeline, the other
 * containers of a terminal): it is never changed. A pipe or terminal is opened a second time instead, by
 * /proc/self/fd; a socket has MSG_DONTWAIT; a regular file has no reader to wait for. Where the second open
 * fails, only the thread writes.
 */
#ifndef COMMON_BASE_LOG_SINK_H
#define COMMON_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_SINK_BUFFER_BYTES = 256 * 1024, /* some thousand lines; allocated when the first one has to wait */
    LOG_SINK_ORDINARY_BYTES = LOG_SINK_BUFFER_BYTES / 4 * 3,
    LOG_SINK_NOTE_MAX = 512,
};

struct log_sink;

/* Writes the line that reports `dropped` lines into `line`; returns its length, newline included. From any
 * thread. */
typedef size_t log_sink_note(uint64_t dropped, char line[LOG_SINK_NOTE_MAX], void *arg);

/* `fd` and `arg` are borrowed. Aborts on lack of memory, at start. */
struct log_sink *log_sink_create(int fd, log_sink_note *note, void *arg);

/* Takes one line with its newline, at most LOG_SINK_ORDINARY_BYTES. From any thread. */
void log_sink_write(struct log_sink *sink, const char *line, size_t len, bool important);

/* Lines that were dropped, or that the descriptor refused (EPIPE, ENOSPC), since the start. */
uint64_t log_sink_dropped(struct log_sink *sink);

/* Waits until the buffer is empty, `timeout_ms` at most. */
void log_sink_flush(struct log_sink *sink, unsigned timeout_ms);

/* Ends the thread; what is in the buffer is lost. No other thread may use the sink any more. Accepts NULL. */
void log_sink_destroy(struct log_sink *sink);

#endif
