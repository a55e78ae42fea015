/*
 * certificate_fields.h - the fields of an X.509 certificate by which chains are ordered (RFC 5280).
 */
#ifndef COMMON_CRYPTO_CERTIFICATE_FIELDS_H
#define COMMON_CRYPTO_CERTIFICATE_FIELDS_H

#include <stdbool.h>

#include "common/crypto/der.h"

enum { CERTIFICATE_TIME_LEN = 14 }; /* YYYYMMDDHHMMSS */

/* Spans into the certificate; empty where there is none. */
struct certificate_fields {
    struct der serial;
    struct der issuer, subject;
    struct der spki;                               /* content of the SubjectPublicKeyInfo */
    struct der authority_key_id, authority_serial; /* section 4.2.1.1 */
    struct der subject_key_id;                     /* section 4.2.1.2 */
    bool is_ca;                                    /* section 4.2.1.9 */
    struct der alternative_names;                  /* section 4.2.1.6: the GeneralNames */
    struct der name_constraints;                   /* section 4.2.1.10: content of the NameConstraints */
    char not_before[CERTIFICATE_TIME_LEN + 1];     /* comparable as texts; "" when not readable */
    char not_after[CERTIFICATE_TIME_LEN + 1];
};

/* Reads a certificate in DER, borrowed as long as *ret is in use. -1 when it is none, or has its alternative
 * names or its name constraints twice. */
int certificate_fields_read(struct der certificate, struct certificate_fields *ret);

#endif
