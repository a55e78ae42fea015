/*
 * fuzz_name_constraints.c - certificates in DER, the root first, as a chain of a server. What is refused
 * under the constraints of some CAs is refused under those of more.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/crypto/server_certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether the certificate may stand at the end of the chain. */
static bool accepted(const struct name_constraints *above, struct der certificate)
{
    struct server_certificate_check check = {.above = *above};
    return server_certificate_check(&check, certificate, /* depth= */ 0) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct server_certificate_check check = {.above = {.n = 0}};
    struct der rest = der_span(data, size), certificate;
    for (unsigned depth = 1; der_len(rest) > 0 && depth < NAME_CONSTRAINTS_CAS_MAX; depth++) {
        if (der_take_any(&rest, &certificate) < 0)
            return 0;
        struct name_constraints fewer = check.above;
        bool good = accepted(&check.above, certificate);
        for (; fewer.n > 0 && good; fewer.n--) {
            if (!accepted(&fewer, certificate))
                abort();
        }
        if (server_certificate_check(&check, certificate, depth) < 0 && *check.reason == '\0')
            abort();
    }
    return 0;
}
