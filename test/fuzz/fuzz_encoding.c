/*
 * fuzz_encoding.c - base64, its URL form and hexadecimal digits, as Key Vault and Secrets have them.
 *
 * What is decoded is encoded to a text that gives the same bytes.
 */
#include "common/base/buffer.h"
#include "common/crypto/encoding.h"
#include "test/fuzz/fuzz.h"

static void check_base64(const char *text, size_t len)
{
    cleanup_secret struct secret *bytes = base64_decode(text, len, /* err= */ NULL);

    if (bytes == NULL)
        return;
    cleanup_secret_free char *again = base64_encode(secret_bytes(bytes), secret_len(bytes));
    EXPECT(again != NULL);
    cleanup_secret struct secret *twice = base64_decode(again, strlen(again), NULL);
    EXPECT(twice != NULL && secret_equal(bytes, twice));
}

static void check_base64url(const char *text, size_t len)
{
    cleanup_secret struct secret *bytes = base64url_decode(text, len, /* err= */ NULL);
    cleanup_buffer struct buffer again = {.ceiling = 1 << 20};

    if (bytes == NULL)
        return;
    EXPECT(base64url_append(&again, secret_bytes(bytes), secret_len(bytes), NULL) == 0);
    cleanup_secret struct secret *twice = base64url_decode(buffer_str(&again), again.len, NULL);
    EXPECT(twice != NULL && secret_equal(bytes, twice));
}

static void check_hex(const char *text, size_t len)
{
    cleanup_secret struct secret *bytes = hex_decode(text, len, /* err= */ NULL);

    EXPECT((bytes != NULL) == (len % 2 == 0 && (len == 0 || strspn(text, "0123456789abcdefABCDEF") == len)));
    EXPECT(bytes == NULL || secret_len(bytes) == len / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char *text = fuzz_text(&input, size);

    check_base64(text, size);
    check_base64url(text, size);
    check_hex(text, size);
    free(text);
    return 0;
}
