/*
 * fuzz_class_yaml.c - any YAML text as a file of SecretProviderClasses.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/class/class.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What every class that gets through must be: names go into URLs and log lines, strings are never NULL. */
static int check_class(struct secret_provider_class *class, void *arg, struct error **err)
{
    (void)err;
    assert(class_name_valid(class->name));
    assert(class_name_valid(class->ns));
    assert(class->uid != NULL && class->provider != NULL);
    assert(class->n_secret_objects <= CLASS_SECRET_OBJECTS_MAX);
    for (size_t i = 0; i < class->n_secret_objects; i++) {
        const struct secret_object *object = &class->secret_objects[i];

        assert(object->secret_name != NULL && object->type != NULL);
        assert(object->n_data <= CLASS_SECRET_OBJECTS_MAX);
        for (size_t j = 0; j < object->n_data; j++)
            assert(object->data[j].object_name != NULL && object->data[j].key != NULL);
    }
    secret_provider_class_free(class);
    (*(size_t *)arg)++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error *error = NULL;
    size_t found = 0;
    int ret = class_yaml_each((const char *)data, size, "default", check_class, &found, &error);

    assert((ret < 0) == (error != NULL));
    (void)ret;
    return 0;
}
