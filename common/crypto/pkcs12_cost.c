/*
 * pkcs12_cost.c - rounds x blocks of output x computations a round.
 */
#include "common/crypto/pkcs12_cost.h"

static uint64_t cost(uint64_t rounds, size_t out_len, size_t hash_len, unsigned each)
{
    uint64_t blocks = (out_len + hash_len - 1) / hash_len, product = 0;
    if (__builtin_mul_overflow(rounds, blocks * each, &product))
        return UINT64_MAX;
    return product;
}

uint64_t pkcs12_cost_of_kdf(uint64_t rounds, size_t out_len, size_t hash_len)
{
    return cost(rounds, out_len, hash_len, 1);
}

uint64_t pkcs12_cost_of_pbkdf2(uint64_t rounds, size_t out_len, size_t hash_len)
{
    return cost(rounds, out_len, hash_len, 2);
}
