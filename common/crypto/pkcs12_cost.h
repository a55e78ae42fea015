/*
 * pkcs12_cost.h - the work of key derivations, and how much of it one file may cause.
 *
 * The unit is one computation of a hash, 0.1 to 0.3 us. What counts is rounds x blocks of output x
 * derivations: two derivations of as many rounds can differ by a factor of 8 and more.
 */
#ifndef COMMON_CRYPTO_PKCS12_COST_H
#define COMMON_CRYPTO_PKCS12_COST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The budget of one file. 600,000 rounds are the largest number in use (GnuTLS' default, OWASP's advice for
 * PBKDF2 with SHA-256, the limit of Windows). With so many a file may have its MAC verified with both empty
 * passwords and six parts encrypted (two computations a round), or three with SHA-1 (two blocks as well). */
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
enum { PKCS12_COST_MAX = 14 * 600000 };
#else
enum { PKCS12_COST_MAX = 20000 }; /* a fuzzer would only repeat hashes */
#endif

/* One try of a thread to read a file. */
struct pkcs12_run {
    uint64_t cost_now;       /* what derivations may cost in it; what is beyond is only counted */
    const atomic_bool *stop; /* set: nobody waits for the result; the run fails within a millisecond */
    bool later;              /* out: it failed because of `cost_now` alone, and its error means nothing */
    uint64_t cost;           /* out, with `later`: of all derivations that the file shows so far */
};

/* PKCS#12's own derivation (RFC 7292, appendix B.2) of `out_len` bytes with a hash of `hash_len` bytes: one
 * computation a round. UINT64_MAX for more than that. */
uint64_t pkcs12_cost_of_kdf(uint64_t rounds, size_t out_len, size_t hash_len);

/* PBKDF2 (RFC 8018, section 5.2): an HMAC a round, two computations. */
uint64_t pkcs12_cost_of_pbkdf2(uint64_t rounds, size_t out_len, size_t hash_len);

#endif
