/*
 * mbedtls_config.h - what the release's mbedTLS leaves out of its default configuration. Read after it
 * (MBEDTLS_USER_CONFIG_FILE).
 *
 * A TLS client and the X.509, PEM, PKCS#12 and JWT primitives stay; servers, DTLS and ciphers nobody
 * negotiates go.
 */
/* curl shares one entropy source between handles and worker threads sign: mutexes, as in Debian's own
 * build */
#define MBEDTLS_THREADING_C
#define MBEDTLS_THREADING_PTHREAD

#undef MBEDTLS_SSL_SRV_C
#undef MBEDTLS_SSL_PROTO_DTLS
#undef MBEDTLS_SSL_DTLS_ANTI_REPLAY
#undef MBEDTLS_SSL_DTLS_HELLO_VERIFY
#undef MBEDTLS_SSL_DTLS_CLIENT_PORT_REUSE
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID
#undef MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT
#undef MBEDTLS_SSL_CACHE_C
#undef MBEDTLS_SSL_COOKIE_C
#undef MBEDTLS_SSL_RENEGOTIATION
#undef MBEDTLS_DEBUG_C
#undef MBEDTLS_SELF_TEST
#undef MBEDTLS_VERSION_FEATURES
#undef MBEDTLS_NET_C
#undef MBEDTLS_TIMING_C
#undef MBEDTLS_PKCS7_C
#undef MBEDTLS_X509_CSR_PARSE_C
#undef MBEDTLS_X509_CSR_WRITE_C
#undef MBEDTLS_X509_CRT_WRITE_C
#undef MBEDTLS_X509_CREATE_C
#undef MBEDTLS_LMS_C
#undef MBEDTLS_ECJPAKE_C
#undef MBEDTLS_ARIA_C
#undef MBEDTLS_CAMELLIA_C
#undef MBEDTLS_PADLOCK_C
#undef MBEDTLS_PSA_ITS_FILE_C
#undef MBEDTLS_PSA_CRYPTO_STORAGE_C
#undef MBEDTLS_KEY_EXCHANGE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_DHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_PSK_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_ECDSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDH_RSA_ENABLED

/* Records of the peer may be 16 KiB; what we send goes out in smaller ones. */
#define MBEDTLS_SSL_OUT_CONTENT_LEN 8192

/* Its buffers can be in memory that never reaches swap (common/crypto/tls_memory.h). */
#define MBEDTLS_PLATFORM_MEMORY

/* Of the CAs of a node, only those that a server's chain names are parsed (common/crypto/ca_chain.h). */
#define MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK
