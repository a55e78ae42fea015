/*
 * fuzz_azure_key_store.c - PKCS#12 files made out of anything. The first byte says what is made, the second
 * one how much of the rest is the password of the file; all else is the certificate. What is written is read
 * back by our own reader, has one key or none, and is the same bytes when it is made again.
 */
#include <stdlib.h>
#include <string.h>

#include "common/crypto/pkcs12.h"
#include "provider-azure/content/key_store.h"
#include "test/fuzz/fuzz.h"

enum { LEGACY = 1, TRUST = 2, SOURCE_PASSWORD = 4 };

static void read_back(const struct pem_conversion *made, const struct compose_source *password, bool trust)
{
    cleanup_pkcs12 struct pkcs12 found = {0};
    EXPECT(pkcs12_read_with_password(made->text.data, made->text.len, (const char *)password->bytes,
                                     password->len, NULL, &found, NULL) == 0);
    EXPECT(found.n_keys == (trust ? 0 : 1) && found.n_certificates > 0);
    EXPECT(found.cost <= made->cost);
}

static void make(const struct composed_item *item, const struct compose_source *sources, size_t n)
{
    static const uint8_t principal[DIGEST_SHA256_LEN];
    uint8_t key[DIGEST_SHA256_LEN];
    struct key_store_recipe *recipe = key_store_prepare(item, sources, n, NULL);
    if (recipe == NULL)
        return;
    key_store_digest(recipe, principal, key);
    struct pkcs12_run small = {.cost_now = 100};
    struct pem_conversion *put_off = key_store_make(recipe, &small);
    struct pem_conversion *one = key_store_make(recipe, NULL), *other = key_store_make(recipe, NULL);
    EXPECT(one != NULL && other != NULL && put_off != NULL);
    EXPECT((one->error == NULL) == (other->error == NULL) && one->text.len == other->text.len);
    if (one->error == NULL) {
        EXPECT(one->text.len > 0 && memcmp(one->text.data, other->text.data, one->text.len) == 0);
        EXPECT(small.later || put_off->error == NULL);
        read_back(one, &sources[1], item->format == COMPOSED_TRUST_STORE);
    }
    pem_conversion_unref(put_off);
    pem_conversion_unref(one);
    pem_conversion_unref(other);
    key_store_recipe_free(recipe);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char certificate[] = "certificate", password[] = "password", source_password[] = "source";
    struct composed_entry entry = {.key = certificate, .reference = {.name = certificate}};
    if (size < 2)
        return 0;
    size_t len = data[1] < size - 2 ? data[1] : size - 2;
    const struct compose_source sources[] = {
        {.path = certificate, .bytes = data + 2 + len, .len = size - 2 - len, .version = "1"},
        {.path = password, .bytes = data + 2, .len = len, .version = "1"},
        {.path = source_password, .bytes = (const uint8_t *)"pass", .len = 4, .version = "1"},
    };
    struct composed_item item = {.path = certificate,
                                 .format = (data[0] & TRUST) != 0 ? COMPOSED_TRUST_STORE : COMPOSED_PKCS12,
                                 .entries = &entry,
                                 .n_entries = (data[0] & TRUST) != 0 ? 1 : 0,
                                 .pkcs12 = {.certificate = {.name = certificate},
                                            .password = {.name = password},
                                            .friendly_name = certificate,
                                            .legacy = (data[0] & LEGACY) != 0}};
    if ((data[0] & SOURCE_PASSWORD) != 0)
        item.pkcs12.certificate_password = (struct reference){.name = source_password};
    make(&item, sources, ARRAY_SIZE(sources));
    return 0;
}
