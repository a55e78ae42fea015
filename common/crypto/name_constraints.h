/*
 * name_constraints.h - the names that a CA may certify (RFC 5280, section 4.2.1.10).
 *
 * Company CAs are limited to the company's own domains and networks. mbedTLS does not know the extension;
 * OpenSSL enforces it itself.
 *
 * Names of hosts, addresses and directory names are compared. A constraint for another kind (mail addresses,
 * URIs) refuses certificates that have a name of this kind, as section 4.2.1.10 demands of who does not
 * process it; certificates of servers have none.
 */
#ifndef COMMON_CRYPTO_NAME_CONSTRAINTS_H
#define COMMON_CRYPTO_NAME_CONSTRAINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/crypto/certificate_fields.h"

enum {
    NAME_CONSTRAINTS_CAS_MAX = 16,              /* CAs of one chain; TLS libraries follow ten */
    NAME_CONSTRAINTS_COMPARISONS_MAX = 1 << 20, /* of names with subtrees, in one chain */
    NAME_CONSTRAINTS_REASON_MAX = 256,
};

/* What the CAs of a chain permit, read from the root downward. Empty: {0}. */
struct name_constraints {
    struct der of[NAME_CONSTRAINTS_CAS_MAX]; /* contents of the extensions, borrowed */
    size_t n;
    unsigned comparisons;
};

/* Checks the next certificate of a chain, of which `constraints` has those of all certificates above it.
 * `is_last`: it is the server's; of others the self-issued ones are exempt (section 6.1.3, b and c).
 * Returns -1 when a name is not permitted, or a constraint cannot be read or applied; `reason` is one line
 * then: "the name 'x' is ...". */
int name_constraints_check(struct name_constraints *constraints, const struct certificate_fields *certificate,
                           bool is_last, char reason[NAME_CONSTRAINTS_REASON_MAX]);

/* Adds what the certificate itself demands of those below it. -1 when there are too many CAs. */
int name_constraints_add(struct name_constraints *constraints, const struct certificate_fields *certificate);

#endif
