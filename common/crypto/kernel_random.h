/*
 * kernel_random.h - the kernel's random numbers in the shape that mbedTLS wants.
 */
#ifndef COMMON_CRYPTO_KERNEL_RANDOM_H
#define COMMON_CRYPTO_KERNEL_RANDOM_H

#include <stddef.h>

/* mbedTLS's f_rng: fills `out`. `arg` is not used. Returns 0, or MBEDTLS_ERR_ENTROPY_SOURCE_FAILED. */
int kernel_random(void *arg, unsigned char *out, size_t len);

#endif
