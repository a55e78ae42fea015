/*
 * tls_memory.h - the TLS library's record buffers, which hold decrypted traffic, in locked memory.
 */
#ifndef COMMON_CRYPTO_TLS_MEMORY_H
#define COMMON_CRYPTO_TLS_MEMORY_H

/* From now on buffers of mbedTLS come from the wiping allocator. Its own wiping stays as it is. Has no effect
 * on a build whose mbedTLS cannot do it, or whose libcurl has another TLS library: development builds. */
void tls_memory_use_arena(void);

#endif
