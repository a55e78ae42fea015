/*
 * secret.h - bytes that must not outlive their use.
 *
 * `struct secret` owns a block of secret bytes. It cannot be printed (no conversion to char *, and the
 * log module takes no secret), it is not copied by assignment of its handle, and it is zeroed before its
 * memory is returned. Bytes are exposed as `const uint8_t *`, never as a C string.
 *
 * The wiping allocator serves libraries that hold secret bytes in memory of their own (cJSON nodes,
 * protobuf-c messages, libcurl buffers): every block is zeroed on free and on the old side of a realloc.
 */
#ifndef COMMON_BASE_SECRET_H
#define COMMON_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

struct secret;

/* A secret of `len` zero bytes to be filled through secret_data(). A trailing NUL (not counted in `len`)
 * is always present, so that C APIs which need one can be served. Returns NULL on lack of memory. */
struct secret *secret_create(size_t len);

/* A secret with a copy of `bytes`; the caller keeps (and wipes) its own. NULL on lack of memory. */
struct secret *secret_from_bytes(const void *bytes, size_t len);

/* Read access. Valid until secret_destroy(). Accept NULL (no bytes, length 0). */
const uint8_t *secret_bytes(const struct secret *secret);
size_t secret_len(const struct secret *secret);

/* Write access to exactly secret_len() bytes. */
uint8_t *secret_data(struct secret *secret);

/* Shortens a secret (the cut-off tail is wiped). `len` must not exceed the current length. */
void secret_truncate(struct secret *secret, size_t len);

/* Constant-time comparison; different lengths compare unequal at once. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* Wipes and frees. Accepts NULL. */
void secret_destroy(struct secret *secret);

static inline void cleanup_secret_func(struct secret **secret)
{
    secret_destroy(*secret);
}
#define cleanup_secret CLEANUP(cleanup_secret_func)

/* Zeroes memory in a way the compiler must not remove. `ptr` may be NULL when len is 0. */
void secret_wipe(void *ptr, size_t len);

/* The wiping allocator. secret_realloc() never calls realloc(): it allocates, copies, wipes the old block.
 * All return NULL on lack of memory; secret_free(NULL) is a no-op. */
void *secret_malloc(size_t size);
void *secret_calloc(size_t count, size_t size);
void *secret_realloc(void *ptr, size_t size);
char *secret_strdup(const char *text);
void secret_free(void *ptr);

/* Points cJSON's global hooks at the wiping allocator. Call once, first thing in main(), before cJSON is used
 * and before threads exist. (libcurl gets it from http_library_init(), protobuf-c with every call.) */
void secret_install_json_hooks(void);

/* No core dumps, no ptrace by other processes of the same user: PR_SET_DUMPABLE 0 and RLIMIT_CORE 0. Call
 * first thing in main(). Returns -1 with err set if the kernel refuses. */
int secret_forbid_core_dumps(struct error **err);

static inline void cleanup_secret_free_func(void *ptr)
{
    secret_free(*(void **)ptr);
}
/* For a pointer to memory from the wiping allocator. */
#define cleanup_secret_free CLEANUP(cleanup_secret_free_func)

/* protobuf-c's allocator interface on top of the wiping allocator; pass to every pack/unpack/free of a
 * message that may hold secrets. (Declared without including protobuf-c here: `struct ProtobufCAllocator`.)
 */
struct ProtobufCAllocator;
struct ProtobufCAllocator *secret_protobuf_allocator(void);

#endif
