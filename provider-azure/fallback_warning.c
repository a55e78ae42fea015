/*
 * fallback_warning.c - a warning for each pair of vaults.
 */
#include "provider-azure/fallback_warning.h"

#include "common/base/buffer.h"

/* Of one warning. An Event has room for a kilobyte. */
enum { NAMED_MAX = 5, WARNING_MAX = 4096 };

static bool is_same(const struct fetch_output *a, const struct fetch_output *b)
{
    return a->vault == b->vault && a->served == b->served;
}

/* Is it the first output of its pair of vaults? */
static bool is_first(const struct fetch_output *outputs, size_t i)
{
    if (outputs[i].served == outputs[i].vault)
        return false;
    for (size_t k = 0; k < i; k++) {
        if (is_same(&outputs[k], &outputs[i]))
            return false;
    }
    return true;
}

static int emit(const struct fetch_output *outputs, size_t n, size_t first, struct log *log,
                const struct response_writer *writer, void *arg, struct error **err)
{
    const struct fetch_output *example = &outputs[first];
    cleanup_buffer struct buffer text = {0};
    size_t count = 0;

    buffer_init(&text, WARNING_MAX);
    if (buffer_printf(&text, err, "%s cannot answer, the fallback vault %s serves", example->vault->host,
                      example->served->host) < 0)
        return -1;
    for (size_t i = first; i < n; i++) {
        const struct object_item *item = outputs[i].item;
        if (!is_same(&outputs[i], example) || count++ >= NAMED_MAX)
            continue;
        if (buffer_printf(&text, err, "%s %s/%.127s", count > 1 ? "," : "", object_type_name(item->type),
                          item->name) < 0)
            return -1;
    }
    if (count > NAMED_MAX && buffer_printf(&text, err, " and %zu more", count - NAMED_MAX) < 0)
        return -1;
    log_warning(log, "a vault cannot answer, a fallback vault serves objects",
                LOG_STR("vault", example->vault->host), LOG_STR("fallbackVault", example->served->host),
                LOG_UINT("objects", count), LOG_ERR(example->cause));
    return writer->add_warning(arg, buffer_str(&text), err);
}

int fallback_warnings_emit(const struct fetch_output *outputs, size_t n, struct log *log,
                           const struct response_writer *writer, void *arg, struct error **err)
{
    for (size_t i = 0; i < n; i++) {
        if (is_first(outputs, i) && emit(outputs, n, i, log, writer, arg, err) < 0)
            return -1;
    }
    return 0;
}
