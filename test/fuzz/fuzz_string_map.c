/*
 * fuzz_string_map.c - attributes and secrets as they come from the other side of the provider protocol.
 *
 * What is accepted must be sorted and survive the way to JSON and back.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/base/string_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_string_map struct string_map map = {0}, again = {0}, merged = {0};
    cleanup_error struct error *err = NULL;
    int is_null = 0;
    if (string_map_from_json(&map, (const char *)data, size, &is_null, &err) < 0) {
        assert(err != NULL && map.n == 0);
        return 0;
    }
    assert(!is_null || map.n == 0);
    for (size_t i = 0; i < map.n; i++) {
        assert(i == 0 || strcmp(map.entries[i - 1].key, map.entries[i].key) < 0);
        assert(string_map_get(&map, map.entries[i].key) == map.entries[i].value);
    }

    cleanup_secret_free char *text = string_map_to_json(&map, &err);
    assert(text != NULL);
    int status = string_map_from_json(&again, text, strlen(text), NULL, &err);
    assert(status == 0 && again.n == map.n);
    for (size_t i = 0; i < map.n; i++) {
        assert(strcmp(map.entries[i].key, again.entries[i].key) == 0);
        assert(strcmp(map.entries[i].value, again.entries[i].value) == 0);
    }
    assert(string_map_merge(&merged, &map, &err) == 0 && string_map_merge(&merged, &again, &err) == 0);
    assert(merged.n == map.n);
    return 0;
}
