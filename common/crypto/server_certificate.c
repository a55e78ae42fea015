/*
 * server_certificate.c - judges the certificates of a handshake.
 */
#include "common/crypto/server_certificate.h"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>

#include "common/crypto/mbedtls_compat.h"

enum { TAG_DNS = 0x82, TAG_ADDRESS = 0x87 }; /* GeneralName (RFC 5280, section 4.2.1.6) */

static int refuse(struct server_certificate_check *check, const char *reason)
{
    (void)snprintf(check->reason, sizeof(check->reason), "%s", reason);
    return -1;
}

static bool names_a_host(struct der names)
{
    struct der name;
    while (der_len(names) > 0) {
        int tag = *names.at;
        if (der_take_any(&names, &name) < 0)
            return false;
        if (tag == TAG_DNS || tag == TAG_ADDRESS)
            return true;
    }
    return false;
}

int server_certificate_check(struct server_certificate_check *check, struct der certificate, unsigned depth)
{
    struct certificate_fields fields;
    if (certificate_fields_read(certificate, &fields) < 0)
        return refuse(check, "a certificate cannot be read");
    if (depth == 0 && !names_a_host(fields.alternative_names))
        return refuse(
            check,
            "the certificate has no subjectAltName with a host name or an address (a common name does not count)");
    if (name_constraints_check(&check->above, &fields, depth == 0, check->reason) < 0)
        return -1;
    return name_constraints_add(&check->above, &fields) < 0
               ? refuse(check, "too many CAs have name constraints")
               : 0;
}

/* What a CA demands that the library does not know is flagged as "other"; it was checked here. */
static int on_certificate(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct server_certificate_check *check = arg;
    *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_OTHER;
    if (*check->reason != '\0' ||
        server_certificate_check(check, der_span(certificate->raw.p, certificate->raw.len), (unsigned)depth) <
            0)
        *flags |= MBEDTLS_X509_BADCERT_OTHER;
    return check->next != NULL ? check->next(check->next_arg, certificate, depth, flags) : 0;
}

void server_certificate_configure(struct server_certificate_check *check, void *config)
{
    /* As curl's, but without SHA-1. */
    static const mbedtls_x509_crt_profile profile = {
        .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA224) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
                       MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) | MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
        .allowed_pks = 0xfffffff,
        .allowed_curves = 0xfffffff,
        .rsa_min_bitlen = 1024,
    };
    mbedtls_ssl_config *tls = config;
    *check = (struct server_certificate_check){.next = tls->COMPAT_PRIVATE(f_vrfy),
                                               .next_arg = tls->COMPAT_PRIVATE(p_vrfy)};
    mbedtls_ssl_conf_cert_profile(tls, &profile);
    mbedtls_ssl_conf_verify(tls, on_certificate, check);
}
