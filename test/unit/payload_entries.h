/*
 * payload_entries.h - for tests: payloads from tables.
 */
#ifndef TEST_UNIT_PAYLOAD_ENTRIES_H
#define TEST_UNIT_PAYLOAD_ENTRIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "driver/payload/payload.h"

/* {0} ends a table. */
struct entry {
    const char *path;
    mode_t mode;
    const char *text;
};

/* A sealed payload of these files; the caller finishes it. */
static inline struct payload make_payload(const struct entry *entries)
{
    struct payload payload = {0};
    for (const struct entry *e = entries; e->path != NULL; e++)
        assert_int_equal(
            payload_add(&payload, e->path, e->mode, secret_from_bytes(e->text, strlen(e->text)), NULL), 0);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    return payload;
}

#endif
