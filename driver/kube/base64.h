/*
 * base64.h - base64 text (RFC 4648, section 4) to secret bytes and back, as kubeconfig files and Secrets
 * carry them.
 */
#ifndef DRIVER_KUBE_BASE64_H
#define DRIVER_KUBE_BASE64_H

#include <stddef.h>

#include "common/error.h"
#include "common/secret.h"

/* Padded; line breaks between characters are allowed. NULL with err set: INVALID_ARGUMENT, or
 * RESOURCE_EXHAUSTED beyond `max_len` bytes. */
struct secret *kube_base64_decode(const char *text, size_t max_len, struct error **err);

/* Padded, without line breaks, as the API server writes it. In memory of the wiping allocator; the caller
 * frees with secret_free(). NULL on lack of memory. */
char *kube_base64_encode(const void *bytes, size_t len);

#endif
