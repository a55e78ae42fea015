/*
 * mbedtls_compat.h - where mbedTLS 2.28 (Debian 12) and 3.x (Debian 13) differ, as far as this room is
 * concerned.
 */
#ifndef PROVIDER_AZURE_MBEDTLS_COMPAT_H
#define PROVIDER_AZURE_MBEDTLS_COMPAT_H

#include <mbedtls/sha256.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define compat_sha256_starts mbedtls_sha256_starts_ret
#define compat_sha256_update mbedtls_sha256_update_ret
#define compat_sha256_finish mbedtls_sha256_finish_ret
#else
#define compat_sha256_starts mbedtls_sha256_starts
#define compat_sha256_update mbedtls_sha256_update
#define compat_sha256_finish mbedtls_sha256_finish
#endif

#endif
