/*
 * secret_fields.c - the named fields of a Kubernetes Secret.
 */
#include "driver/sync/secret_fields.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

const char *secret_part_name(enum secret_part part)
{
    static const char *const names[SECRET_PARTS] = {"data", "labels", "annotations"};

    return names[part];
}

static bool has_key(const struct secret_object *object, const char *key)
{
    for (size_t i = 0; i < object->n_data; i++) {
        cleanup_free char *its_key = secret_field_trim(object->data[i].key);

        if (its_key == NULL || strcmp(its_key, key) == 0)
            return true;
    }
    return false;
}

bool secret_field_named(const struct secret_provider_class *class, const char *secret, enum secret_part part,
                        const char *key)
{
    for (size_t i = 0; i < class->n_secret_objects; i++) {
        const struct secret_object *object = &class->secret_objects[i];
        cleanup_free char *name = secret_field_trim(object->secret_name);

        if (name == NULL)
            return true;
        if (strcmp(name, secret) != 0)
            continue;
        if ((part == SECRET_DATA && has_key(object, key)) ||
            (part == SECRET_LABELS && string_map_get(&object->labels, key) != NULL) ||
            (part == SECRET_ANNOTATIONS && string_map_get(&object->annotations, key) != NULL))
            return true;
    }
    return false;
}
