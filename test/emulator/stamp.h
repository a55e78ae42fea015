/*
 * stamp.h - clocks, and random identifiers (request ids, GUIDs, versions). Not for cryptography.
 */
#ifndef EMULATOR_STAMP_H
#define EMULATOR_STAMP_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { GUID_SIZE = 37, RFC3339_SIZE = 32 };

uint64_t monotonic_ns(void);
time_t unix_now(void);
double unix_now_precise(void);

/* "2026-01-02T03:04:05Z", or with `separator` ' ' as Entra writes it. */
void format_time(time_t when, char separator, char out[static RFC3339_SIZE]);

/* Seeds the generator from the kernel; call once, before threads start. */
void random_seed(void);
uint64_t random_u64(void); /* safe from all threads */
void random_guid(char out[static GUID_SIZE]);
/* Writes `digits` hexadecimal digits and a NUL. */
void random_hex(char *out, size_t digits);

#endif
