/*
 * fuzz_pkcs12.c - the PKCS#12 reader on anything, with no password, a password, and passwords from the input.
 * A run that is cut short by its cost says so, and nothing else differs; but a file that is wrong in two ways
 * may show the second one, behind a MAC that was put off.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/crypto/pkcs12.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_with(const uint8_t *data, size_t size, const char *password, size_t password_len)
{
    cleanup_pkcs12 struct pkcs12 pkcs12 = {0}, again = {0};
    struct pkcs12_run run = {.cost_now = PKCS12_COST_MAX / 8};
    int whole = pkcs12_read_with_password(data, size, password, password_len, NULL, &pkcs12, NULL);
    int part = pkcs12_read_with_password(data, size, password, password_len, &run, &again, NULL);
    if (run.later ? part == 0 || run.cost <= run.cost_now
                  : part != whole || (whole == 0 && again.cost != pkcs12.cost))
        abort();
    secret_destroy(pkcs8_decrypt(data, size, password, password_len, NULL, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
    (void)pkcs12_read(data, size, &pkcs12, NULL);
    read_with(data, size, "pass", 4); /* the corpus has files with it */
    if (size > 0 && data[0] < size)   /* the first byte says how much of the rest is the password */
        read_with(data + 1 + (data[0] < size - 1 ? data[0] : size - 1),
                  size - 1 - (data[0] < size - 1 ? data[0] : size - 1), (const char *)data + 1,
                  data[0] < size - 1 ? data[0] : size - 1);
    return 0;
}
