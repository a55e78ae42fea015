/*
 * fuzz_volume_path.c - paths a provider names: what the check accepts must be harmless below a
 * directory.
 *
 * The input is a list of paths separated by NUL bytes. An independent statement of the rule (no
 * component is "", "." or "..", nothing absolute, nothing reserved) must agree with the check; a
 * payload of the accepted ones is sealed, and if it seals, it is sorted, has no doubles, and no file
 * is a directory of another.
 */
#include <stdint.h>
#include <string.h>

#include "driver/payload/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PATHS_MAX = 200 };

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

/* True when the path leads nowhere but below the directory it starts from. */
static bool is_harmless(const char *path)
{
    size_t len = strlen(path);
    if (len == 0 || len > 4096 || path[0] == '/' || path[len - 1] == '/')
        return false;
    if (strstr(path, "//") != NULL || strncmp(path, "..", 2) == 0)
        return false;
    if (strcmp(path, ".") == 0 || strncmp(path, "./", 2) == 0 || strstr(path, "/./") != NULL ||
        strstr(path, "/../") != NULL)
        return false;
    return !(len >= 2 && strcmp(path + len - 2, "/.") == 0) &&
           !(len >= 3 && strcmp(path + len - 3, "/..") == 0);
}

static void check_sealed(const struct payload *payload)
{
    for (size_t i = 0; i < payload->n; i++) {
        for (size_t j = 0; j < payload->n; j++) {
            const char *one = payload->files[i].path, *other = payload->files[j].path;
            size_t len = strlen(one);
            EXPECT(i == j || strcmp(one, other) != 0);
            EXPECT(strncmp(one, other, len) != 0 || other[len] != '/');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_payload struct payload payload = {0};
    cleanup_free char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    size_t at = 0;
    for (int i = 0; i < PATHS_MAX && at <= size; i++) {
        const char *path = text + at;
        cleanup_error struct error *err = NULL;
        bool accepted = payload_check_path(path, &err) == 0;
        EXPECT(accepted == (err == NULL));
        EXPECT(!accepted || is_harmless(path));
        EXPECT((payload_add(&payload, path, 0644, NULL, NULL) == 0) == accepted);
        at += strlen(path) + 1;
    }
    size_t added = payload.n;
    if (payload_seal(&payload, NULL) == 0) {
        EXPECT(payload.n <= added && payload_size(&payload) == 0);
        EXPECT(payload_footprint(&payload).inodes >= payload.n);
        check_sealed(&payload);
        /* more can be added, and sealed again */
        for (int i = 0; i < 3; i++)
            EXPECT(payload_add(&payload, i < 2 ? "late" : "later", 0644, NULL, NULL) == 0);
        if (payload_seal(&payload, NULL) == 0)
            check_sealed(&payload);
    }
    return 0;
}
