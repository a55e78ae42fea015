/*
 * compose.c - a file made out of the files of other items.
 */
#include "provider-azure/content/compose.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/base/utf8.h"
#include "common/crypto/encoding.h"
#include "provider-azure/content/compose_format.h"
#include "provider-azure/objects/value_path.h"

enum { NAMES_SHOWN_MAX = 300 };

/* --- references --- */

static int unknown_name(const char *name, const struct compose_source *sources, size_t n, struct error **err)
{
    cleanup_buffer struct buffer names = {.ceiling = NAMES_SHOWN_MAX};
    size_t i = 0;
    while (i < n && buffer_printf(&names, /* err= */ NULL, "%s%s", i > 0 ? ", " : "", sources[i].path) == 0)
        i++;
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "there is no item '%.128s' (has: %s%s)", name,
                     buffer_str(&names), i < n ? ", ..." : "");
}

static const struct compose_source *find_source(const char *name, const struct compose_source *sources,
                                                size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(sources[i].path, name) == 0)
            return &sources[i];
    return NULL;
}

static bool is_text(const struct buffer *value)
{
    return value->len == 0 || (memchr(value->data, '\0', value->len) == NULL &&
                               utf8_valid((const char *)value->data, value->len));
}

static int no_text(const char *name, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                     "the value of '%.128s' is not UTF-8 text, or contains NUL: use the function base64",
                     name);
}

static int replace(struct buffer *value, struct buffer *by)
{
    buffer_finish(value);
    *value = *by;
    *by = (struct buffer){.ceiling = COMPOSED_MAX};
    return 0;
}

static int encode_base64(struct buffer *value, struct error **err)
{
    cleanup_secret_free char *text = base64_encode(value->data, value->len);
    if (text == NULL)
        return error_no_memory(err, NULL);
    buffer_reset(value);
    return buffer_append_str(value, text, err);
}

static int trim(struct buffer *value)
{
    static const char blanks[] = " \t\r\n\v\f";
    size_t start = 0;
    while (value->len > 0 && value->data[value->len - 1] != '\0' &&
           strchr(blanks, value->data[value->len - 1]) != NULL)
        value->data[--value->len] = '\0';
    while (start < value->len && value->data[start] != '\0' && strchr(blanks, value->data[start]) != NULL)
        start++;
    buffer_consume(value, start);
    return 0;
}

static int apply(enum reference_function function, const char *name, struct buffer *value, struct error **err)
{
    if (function == REFERENCE_BASE64)
        return encode_base64(value, err);
    if (function == REFERENCE_TRIM)
        return trim(value);
    cleanup_buffer struct buffer quoted = {.ceiling = COMPOSED_MAX};
    if (!is_text(value))
        return no_text(name, err);
    return compose_json_string(buffer_str(value), &quoted, err) < 0 ? -1 : replace(value, &quoted);
}

static int read_source(const struct reference *reference, const struct compose_source *source,
                       struct buffer *ret, struct error **err)
{
    if (reference->version)
        return buffer_append_str(ret, source->version, err);
    if (reference->path != NULL)
        return value_path_find(reference->path, (const char *)source->bytes, source->len, ret, err);
    return buffer_append(ret, source->bytes, source->len, err);
}

int compose_resolve(const struct reference *reference, const struct compose_source *sources, size_t n,
                    struct buffer *ret, bool *ret_absent, struct error **err)
{
    const struct compose_source *source = find_source(reference->name, sources, n);
    if (source == NULL)
        return unknown_name(reference->name, sources, n, err);
    *ret_absent = source->absent;
    if (source->absent)
        return 0;
    if (read_source(reference, source, ret, err) < 0)
        return error_wrap(err, "item '%.128s'", reference->name);
    for (size_t i = 0; i < reference->n_functions; i++)
        if (apply(reference->functions[i], reference->name, ret, err) < 0)
            return -1;
    return 0;
}

/* --- templates --- */

static int append_reference(const char *text, size_t len, const struct compose_source *sources, size_t n,
                            struct buffer *out, struct error **err)
{
    cleanup_reference struct reference reference = {0};
    cleanup_buffer struct buffer value = {.ceiling = COMPOSED_MAX};
    bool absent = false;
    if (reference_parse(text, len, &reference, err) < 0 ||
        compose_resolve(&reference, sources, n, &value, &absent, err) < 0)
        return -1;
    return buffer_append(out, value.data, value.len, err);
}

/* "$$(" is "$("; any other '$' is itself. */
static int compose_template(const char *template, const struct compose_source *sources, size_t n,
                            struct buffer *out, struct error **err)
{
    for (const char *at = template; *at != '\0';) {
        size_t plain = strcspn(at, "$");
        if (buffer_append(out, at, plain, err) < 0)
            return -1;
        at += plain;
        if (strncmp(at, "$$(", 3) == 0) {
            at++;
        } else if (strncmp(at, "$(", 2) == 0) {
            size_t len = strcspn(at + 2, ")\n");
            if (at[2 + len] != ')')
                return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "'$(%.64s' is not closed", at + 2);
            if (append_reference(at + 2, len, sources, n, out, err) < 0)
                return -1;
            at += 2 + len + 1;
            continue;
        }
        if (*at != '\0' && buffer_append(out, at++, 1, err) < 0)
            return -1;
    }
    return 0;
}

/* --- formats --- */

struct pairs {
    struct compose_pair *list;
    struct buffer *values; /* of each pair */
    size_t n;
};

static void pairs_finish(struct pairs *pairs)
{
    for (size_t i = 0; pairs->values != NULL && i <= pairs->n; i++)
        buffer_finish(&pairs->values[i]);
    free(pairs->values);
    free(pairs->list);
}
#define cleanup_pairs CLEANUP(pairs_finish)

static int add_pair(const char *key, const struct reference *reference, const struct compose_source *sources,
                    size_t n, struct pairs *pairs, struct error **err)
{
    struct buffer *value = &pairs->values[pairs->n];
    bool absent = false;
    buffer_init(value, COMPOSED_MAX);
    if (compose_resolve(reference, sources, n, value, &absent, err) < 0)
        return error_wrap(err, "key '%.128s'", key);
    if (absent)
        return 0;
    if (!is_text(value))
        return no_text(reference->name, err);
    pairs->list[pairs->n++] = (struct compose_pair){.key = key, .text = buffer_str(value), .len = value->len};
    return 0;
}

static int add_entries(const struct composed_item *item, const struct compose_source *sources, size_t n,
                       struct pairs *pairs, struct error **err)
{
    for (size_t i = 0; i < item->n_entries; i++)
        if (add_pair(item->entries[i].key, &item->entries[i].reference, sources, n, pairs, err) < 0)
            return -1;
    return 0;
}

/* Each by its path. */
static int add_all(const struct compose_source *sources, size_t n, struct pairs *pairs, struct error **err)
{
    for (size_t i = 0; i < n; i++) {
        const struct reference whole = {.name = (char *)(uintptr_t)sources[i].path}; /* only read */
        if (add_pair(whole.name, &whole, sources, n, pairs, err) < 0)
            return -1;
    }
    return 0;
}

static int compose_pairs(const struct composed_item *item, const struct compose_source *sources, size_t n,
                         struct buffer *out, struct error **err)
{
    size_t most = item->n_entries > 0 ? item->n_entries : n;
    cleanup_pairs struct pairs pairs = {.list = calloc(most + 1, sizeof(*pairs.list)),
                                        .values = calloc(most + 1, sizeof(*pairs.values))};
    if (pairs.list == NULL || pairs.values == NULL)
        return error_no_memory(err, NULL);
    if ((item->n_entries > 0 ? add_entries(item, sources, n, &pairs, err)
                             : add_all(sources, n, &pairs, err)) < 0)
        return -1;
    return compose_format_append(item->format, pairs.list, pairs.n, out, err);
}

int compose(const struct composed_item *item, const struct compose_source *sources, size_t n,
            struct buffer *out, struct error **err)
{
    int result = item->format == COMPOSED_TEMPLATE ? compose_template(item->template, sources, n, out, err)
                                                   : compose_pairs(item, sources, n, out, err);
    if (result == 0)
        return 0;
    error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
    return error_wrap(err, "failed to compose file %s", item->path);
}
