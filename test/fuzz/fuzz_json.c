/*
 * fuzz_json.c - the strict JSON reader on any bytes.
 *
 * What is accepted must survive a round trip: printed and parsed again it is the same tree, and
 * nothing in it may break what the header promises (no duplicate keys, bounded depth).
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/utf8.h"
#include "test/fuzz/fuzz.h"

static void check_promises(const cJSON *node, unsigned depth)
{
    assert(depth <= JSON_MAX_DEPTH + 1);
    if (cJSON_IsString(node))
        assert(utf8_valid(node->valuestring, strlen(node->valuestring)));
    for (const cJSON *child = node->child; child != NULL; child = child->next) {
        if (cJSON_IsObject(node))
            assert(cJSON_GetObjectItemCaseSensitive(node, child->string) == child);
        check_promises(child, depth + 1);
    }
}

static void read_members(const cJSON *object)
{
    const char *string = NULL;
    const cJSON *member = NULL;
    bool truth = false;
    int64_t number = 0;
    (void)json_get_string(object, "a", &string, /* err= */ NULL);
    (void)json_opt_object(object, "a", &member, /* err= */ NULL);
    (void)json_opt_bool(object, "a", true, &truth, /* err= */ NULL);
    (void)json_opt_int(object, "a", 1, &number, /* err= */ NULL);
    (void)json_get_object(object, "a", &member, /* err= */ NULL);
}

/* The text of each member of an object, or element of an array, is that of its value. */
static void read_texts(const char *text, size_t len)
{
    enum { CHILDREN_MAX = 64 };
    const struct json_options options = {.max_len = 64 * 1024, .flags = JSON_SHALLOW};
    cleanup_json cJSON *json = json_parse_options(text, len, &options, NULL);
    cleanup_json cJSON *whole = json_parse(text, len, 64 * 1024, NULL);
    struct json_text texts[CHILDREN_MAX];
    size_t n = cJSON_IsObject(json) || cJSON_IsArray(json) ? (size_t)cJSON_GetArraySize(json) : 0;
    if (n == 0 || n > CHILDREN_MAX)
        return;
    json_child_texts(text, len, texts, n);
    const cJSON *member = whole != NULL ? whole->child : NULL;
    for (size_t i = 0; i < n; i++, member = member != NULL ? member->next : NULL) {
        assert(texts[i].at >= text && texts[i].len > 0 && texts[i].at + texts[i].len <= text + len);
        cleanup_json cJSON *value = json_parse(texts[i].at, texts[i].len, 64 * 1024, NULL);
        assert(member == NULL || cJSON_Compare(member, value, /* case_sensitive= */ 1));
    }
}

/* Whatever the bytes were, they are UTF-8 then, may be cut where utf8_floor() says, and what is shown of them
 * needs no second escape. */
static void sanitize(const char *text, size_t len)
{
    struct fuzz_input input = {.at = (const uint8_t *)text, .left = len};
    char *copy = fuzz_text(&input, len);
    assert(copy != NULL);
    utf8_sanitize(copy);
    size_t all = strlen(copy), cut = utf8_floor(copy, all / 2);
    assert(utf8_valid(copy, all) && cut <= all / 2 && utf8_valid(copy, cut));
    cleanup_free char *shown = utf8_escape(copy, "");
    cleanup_free char *again = shown != NULL ? utf8_escape(shown, "") : NULL;
    assert(shown != NULL && utf8_valid(shown, strlen(shown)) && again != NULL && strcmp(shown, again) == 0);
    free(copy);
}

/* A text that is read in part is one that is read as a whole (but for duplicates and numbers out of range in
 * what is left out), and what is there is the same. */
static void read_in_part(const char *text, size_t len)
{
    static const char *const members[] = {"a", "value", NULL};
    const struct json_options all = {.max_len = 64 * 1024, .flags = JSON_KEEP_NUL | JSON_ALLOW_DUPLICATES};
    struct json_options part = {
        .max_len = 64 * 1024, .max_values = 3, .flags = all.flags, .members = members};
    cleanup_error struct error *err = NULL, *part_err = NULL;
    cleanup_json cJSON *whole = json_parse_options(text, len, &all, &err);
    cleanup_json cJSON *some = json_parse_options(text, len, &part, &part_err);
    part.flags |= JSON_SHALLOW;
    cleanup_json cJSON *shallow = json_parse_options(text, len, &part, NULL);
    assert(some == NULL || shallow != NULL);
    assert(some == NULL || whole != NULL || strstr(error_message(err), "number out of range") != NULL);
    assert(some != NULL || whole == NULL || strstr(error_message(part_err), "more than 3 values") != NULL);
    if (whole == NULL || !cJSON_IsObject(some))
        return;
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(whole, "value");
    assert(cJSON_Compare(value, cJSON_GetObjectItemCaseSensitive(some, "value"), 1) || value == NULL);
    for (const cJSON *member = some->child; member != NULL; member = member->next) {
        if (cJSON_IsString(member))
            (void)json_restore_nul(member->valuestring);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_in_part((const char *)data, size);
    read_texts((const char *)data, size);
    sanitize(size > 0 ? (const char *)data : "", size);
    cleanup_error struct error *err = NULL;
    cleanup_json cJSON *json = json_parse((const char *)data, size, 64 * 1024, &err);
    assert((json == NULL) == (err != NULL));
    if (json == NULL)
        return 0;
    check_promises(json, 1);
    read_members(json);

    cleanup_secret_free char *text = json_print(json, NULL);
    assert(text != NULL);
    cleanup_json cJSON *again = json_parse(text, strlen(text), SIZE_MAX, &err);
    assert(again != NULL && cJSON_Compare(json, again, /* case_sensitive= */ 1));
    return 0;
}
