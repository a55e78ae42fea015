/*
 * compose_format.h - pairs of keys and texts as the text of a file, quoted as its readers need it.
 *
 * All values are strings.
 */
#ifndef PROVIDER_AZURE_CONTENT_COMPOSE_FORMAT_H
#define PROVIDER_AZURE_CONTENT_COMPOSE_FORMAT_H

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "provider-azure/objects/composed_item.h"

struct compose_pair {
    const char *key;  /* UTF-8 */
    const char *text; /* UTF-8 without NUL, and a NUL behind it */
    size_t len;
};

/* Appends all pairs in their order.
 *
 *   env          KEY="value"; bare when it has only letters, digits and _ . / : @ % + , = -. For sh (POSIX.1,
 *                2.2.3) and EnvironmentFile= (systemd.exec(5)), which escape the same characters. systemd
 *                refuses the whole file for a noncharacter of Unicode: it is an error
 *   docker-env   KEY=value as it is; --env-file has no quotes: a line break is an error, and so
 *                are a carriage return at the end and a line of 64 KiB
 *   properties   java.util.Properties.load(): ASCII with \uXXXX
 *   json         one object (RFC 8259)
 *   yaml         one mapping of quoted scalars, by libyaml
 *
 * FAILED_PRECONDITION names the key that the format cannot have, or whose value it cannot hold. */
int compose_format_append(enum composed_format format, const struct compose_pair *pairs, size_t n,
                          struct buffer *out, struct error **err);

/* Appends one text as a JSON string, with its quotes. */
int compose_json_string(const char *text, struct buffer *out, struct error **err);

#endif
