/*
 * secret_object.c - the rules for an entry of secretObjects.
 */
#include "common/class/secret_object.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

#define WHITE_SPACE " \t\n\v\f\r"

char *secret_field_trim(const char *text)
{
    size_t len;

    text += strspn(text, WHITE_SPACE);
    len = strlen(text);
    while (len > 0 && strchr(WHITE_SPACE, text[len - 1]) != NULL)
        len--;
    return strndup(text, len);
}

int secret_key_check(const char *key, struct error **err)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (*key == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "key is empty");
    if (strlen(key) > SECRET_KEY_MAX || key[strspn(key, valid)] != '\0' || strcmp(key, ".") == 0 ||
        strncmp(key, "..", 2) == 0)
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "a key of a Secret consists of letters, digits, '-', '_' and '.', does not begin with '..', and has %d characters at most",
            SECRET_KEY_MAX);
    return 0;
}

static int check_fields(const struct secret_object *object, struct error **err)
{
    if (object->secret_name[0] == '\0' && object->type[0] == '\0' && object->n_data > 0)
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "secretName and type are missing: if they are indented like the entries of data, move them to the level of data");
    if (object->secret_name[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "secretName is empty");
    if (object->type[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "type is empty");
    if (object->n_data == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "data is empty");
    if (string_map_get(&object->annotations, SECRET_FIELD_OWNERS_ANNOTATION) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "the annotation " SECRET_FIELD_OWNERS_ANNOTATION " is written by this driver alone");
    return 0;
}

static int check_later_entries(const struct secret_provider_class *class, size_t index, const char *name,
                               struct error **err)
{
    for (size_t i = index + 1; i < class->n_secret_objects; i++) {
        cleanup_free char *other = secret_field_trim(class->secret_objects[i].secret_name);

        if (other == NULL)
            return error_no_memory(err, NULL);
        if (strcmp(other, name) == 0)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "secretObjects[%zu] names the same Secret, and the last entry counts", i);
    }
    return 0;
}

int secret_object_check(const struct secret_provider_class *class, size_t index, struct error **err)
{
    const struct secret_object *object = &class->secret_objects[index];
    cleanup_free char *name = secret_field_trim(object->secret_name);

    if (name == NULL)
        return error_no_memory(err, NULL);
    if (check_fields(object, err) < 0)
        return -1;
    if (!class_name_valid(name))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "secretName '%.300s' is not a Kubernetes object name", name);
    return check_later_entries(class, index, name, err);
}
