/*
 * kernel_random.c - getrandom(2) for mbedTLS.
 */
#include "common/crypto/kernel_random.h"

#include <errno.h>
#include <mbedtls/entropy.h>
#include <sys/random.h>

int kernel_random(void *arg, unsigned char *out, size_t len)
{
    (void)arg;
    while (len > 0) {
        ssize_t n = getrandom(out, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
        out += n;
        len -= (size_t)n;
    }
    return 0;
}
