/*
 * fuzz_secret_content.c - the secretObjects of a class, as JSON, applied to the files of a volume,
 * which have the bytes behind a line "%".
 *
 * What is built is one that the API server can take: keys sorted and valid, sizes within its limits;
 * an Opaque value is the bytes of a file.
 */
#include "common/base/json.h"
#include "common/class/class.h"
#include "common/class/class_rotation.h"
#include "driver/sync/secret_content.h"
#include "driver/sync/secret_fields.h"
#include "test/fuzz/fuzz.h"

static const char *const paths[] = {"a", "b/c", "tls.pem"};

static void check_content(const struct secret_provider_class *class, const struct secret_content *content,
                          const uint8_t *bytes, size_t len)
{
    size_t total = 0;

    EXPECT(content->name != NULL && content->n_values > 0);
    for (size_t i = 0; i < content->n_values; i++) {
        const struct secret_value *value = &content->values[i];

        EXPECT(value->key[0] != '\0' && strlen(value->key) <= SECRET_KEY_MAX);
        EXPECT(strspn(value->key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
               strlen(value->key));
        EXPECT(i == 0 || strcmp(content->values[i - 1].key, value->key) < 0);
        EXPECT(secret_content_names(content, value->key));
        EXPECT(secret_field_named(class, content->name, SECRET_DATA, value->key));
        if (strcmp(content->type, "Opaque") == 0)
            EXPECT(secret_len(value->bytes) == len && memcmp(secret_bytes(value->bytes), bytes, len) == 0);
        total += secret_len(value->bytes);
    }
    EXPECT(total <= SECRET_DATA_MAX);
    for (size_t i = 0; i < content->labels.n; i++)
        (void)secret_field_named(class, content->name, SECRET_LABELS, content->labels.entries[i].key);
    for (size_t i = 0; i < content->annotations.n; i++)
        EXPECT(secret_field_named(class, content->name, SECRET_ANNOTATIONS,
                                  content->annotations.entries[i].key));
}

static void check_rotation(struct secret_provider_class *class)
{
    struct rotation_spec spec;
    cleanup_error struct error *error = NULL;
    int result = class_rotation_spec(class, 120, &spec, &error);

    EXPECT((result == 0) == (error == NULL));
    EXPECT(spec.interval_s >= 1 && spec.interval_s <= ROTATION_INTERVAL_MAX_S);
    EXPECT(result == 0 || spec.interval_s == 120);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separator[] = "\n%\n";
    const uint8_t *end = size > 0 ? memmem(data, size, separator, 3) : NULL;
    const uint8_t *bytes = end != NULL ? end + 3 : data + size;
    size_t len = (size_t)(data + size - bytes), class_len = end != NULL ? (size_t)(end - data) : size;
    cleanup_json cJSON *json = json_parse((const char *)data, class_len, CLASS_TEXT_MAX, NULL);
    cleanup_class struct secret_provider_class *class =
        json != NULL ? class_from_json(json, "default", /* err= */ NULL) : NULL;
    cleanup_payload struct payload files = {0};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        EXPECT(payload_add(&files, paths[i], 0644, secret_from_bytes(bytes, len), NULL) == 0);
    EXPECT(payload_seal(&files, NULL) == 0 && payload_size(&files) == 3 * len);
    EXPECT(payload_footprint(&files).bytes >= 3 * len);
    for (size_t i = 0; class != NULL && i < class->n_secret_objects; i++) {
        struct secret_content content = {0};
        cleanup_error struct error *error = NULL;
        int result = secret_content_build(class, i, &files, &content, &error);

        EXPECT((result == 0) == (error == NULL));
        if (result == 0)
            check_content(class, &content, bytes, len);
        secret_content_finish(&content);
    }
    if (class != NULL)
        check_rotation(class);
    return 0;
}
