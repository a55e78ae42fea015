/*
 * buffer.h - a growable run of bytes with a ceiling.
 *
 * Growing past the ceiling is an error, not a crash. The memory comes from the wiping allocator, so old
 * blocks left behind by growth, and the buffer itself, are zeroed. The content is always followed by a NUL
 * that is not counted in `len`.
 */
#ifndef COMMON_BASE_BUFFER_H
#define COMMON_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

struct buffer {
    uint8_t *data;  /* NULL while empty and never grown */
    size_t len;     /* bytes in use */
    size_t cap;     /* bytes allocated, the NUL included */
    size_t ceiling; /* largest len allowed */
};

/* An empty buffer that may hold up to `ceiling` bytes. Cannot fail; allocates nothing. */
void buffer_init(struct buffer *buffer, size_t ceiling);

/* Appends. Return -1 with err set (RESOURCE_EXHAUSTED) when the ceiling would be passed or memory lacks;
 * the buffer is unchanged then. */
int buffer_append(struct buffer *buffer, const void *bytes, size_t len, struct error **err);
int buffer_append_str(struct buffer *buffer, const char *text, struct error **err);
int buffer_printf(struct buffer *buffer, struct error **err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reserves `len` more bytes without changing the content (one allocation instead of several). */
int buffer_reserve(struct buffer *buffer, size_t len, struct error **err);

/* Removes the first `len` bytes (at most buffer->len). */
void buffer_consume(struct buffer *buffer, size_t len);

/* Forgets and wipes the content, keeps the memory. */
void buffer_reset(struct buffer *buffer);

/* The content as a C string, "" when empty. Valid until the next call that changes the buffer. */
const char *buffer_str(const struct buffer *buffer);

/* Wipes and frees; the buffer is empty and usable again afterwards. */
void buffer_finish(struct buffer *buffer);

#define cleanup_buffer CLEANUP(buffer_finish)

#endif
