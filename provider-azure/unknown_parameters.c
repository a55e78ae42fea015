/*
 * unknown_parameters.c - warnings and hints about misspelled parameters.
 */
#include "provider-azure/unknown_parameters.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/utf8.h"

/* Of the texts: a class may have thousands of parameters. */
enum { NAMED_MAX = 10, TEXT_MAX = 4096 };

static bool is_known(const struct unknown_parameters_input *input, const char *name)
{
    if (strchr(name, '/') != NULL)
        return true;
    for (size_t i = 0; i < input->n_known; i++) {
        if (strcmp(name, input->known[i]) == 0)
            return true;
    }
    return false;
}

/* The digest of the class: its name and all its parameters. */
static int class_digest(const struct unknown_parameters_input *input, uint8_t ret[DIGEST_SHA256_LEN],
                        struct error **err)
{
    const struct string_map *map = input->attributes;
    cleanup_free struct digest_field *fields = calloc(2 * map->n + 2, sizeof(*fields));
    size_t n = 0;

    if (fields == NULL)
        return error_no_memory(err, NULL);
    fields[n++] = (struct digest_field){input->namespace, strlen(input->namespace)};
    fields[n++] = (struct digest_field){input->class_name, strlen(input->class_name)};
    for (size_t i = 0; i < map->n; i++) {
        const struct string_map_entry *entry = &map->entries[i];
        if (strchr(entry->key, '/') != NULL)
            continue;
        fields[n++] = (struct digest_field){entry->key, strlen(entry->key)};
        fields[n++] = (struct digest_field){entry->value, strlen(entry->value)};
    }
    digest_fields(fields, n, ret);
    return 0;
}

static int warn(const struct unknown_parameters_input *input, const char *names, struct error **err)
{
    uint8_t digest[DIGEST_SHA256_LEN];

    if (input->reports == NULL)
        return 0;
    if (class_digest(input, digest, err) < 0)
        return -1;
    if (class_reports_add(input->reports, digest))
        log_warning(input->log, "the class has parameters that are not known, ignoring them",
                    LOG_STR("namespace", input->namespace), LOG_STR("class", input->class_name),
                    LOG_STR("parameters", names));
    return 0;
}

/* Adds a parameter that is not known to both texts. */
static int add(const struct unknown_parameters_input *input, const char *name, struct buffer *names,
               struct buffer *hint, struct error **err)
{
    char quoted[PARAMETER_NAME_MAX + 1];
    const char *similar = parameter_name_similar(name, input->known, input->n_known);

    utf8_quote(quoted, sizeof(quoted), name);
    if (buffer_printf(names, err, "%s%s", names->len > 0 ? ", " : "", quoted) < 0)
        return -1;
    if (similar == NULL)
        return 0;
    return buffer_printf(hint, err, "%sparameter %s is not known, %s is", hint->len > 0 ? "; " : "", quoted,
                         similar);
}

int unknown_parameters_check(const struct unknown_parameters_input *input, char **ret_hint,
                             struct error **err)
{
    cleanup_buffer struct buffer names = {0};
    cleanup_buffer struct buffer hint = {0};
    const struct string_map *map = input->attributes;

    buffer_init(&names, TEXT_MAX);
    buffer_init(&hint, TEXT_MAX);
    *ret_hint = NULL;
    for (size_t i = 0, n = 0; i < map->n && n < NAMED_MAX; i++) {
        if (is_known(input, map->entries[i].key))
            continue;
        n++;
        if (add(input, map->entries[i].key, &names, &hint, err) < 0)
            return -1;
    }
    if (names.len > 0 && warn(input, buffer_str(&names), err) < 0)
        return -1;
    if (hint.len == 0)
        return 0;
    *ret_hint = strdup(buffer_str(&hint));
    return *ret_hint == NULL ? error_no_memory(err, NULL) : 0;
}

int unknown_parameters_append(struct error **err, const char *hint)
{
    if (hint == NULL || err == NULL || *err == NULL)
        return -1;
    struct error *old = *err;
    *err = NULL;
    (void)error_set(err, error_code(old), "%s [hint: %s]", error_message(old), hint);
    if (*error_type(old) != '\0')
        (void)error_set_type(err, error_type(old));
    error_free(old);
    return -1;
}
