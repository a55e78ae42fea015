/*
 * content_converter.h - content_make() together with the conversion that it needs, without threads.
 */
#ifndef TEST_UNIT_CONTENT_CONVERTER_H
#define TEST_UNIT_CONTENT_CONVERTER_H

#include "provider-azure/content/content.h"

/* As content_make(); `options` say the order of certificates, too. */
static inline int convert_content(const struct content_options *options, const struct object_item *item,
                                  const char *path, const struct vault_object *object,
                                  struct content *ret_content, struct error **err)
{
    struct pem_conversion *pem = NULL;
    if (content_needs_pem(item, object)) {
        pem = pem_convert(object->value, options->order, /* run= */ NULL);
        if (pem == NULL)
            return error_no_memory(err, NULL);
    }
    int result = content_make(options, item, path, object, pem, ret_content, err);
    pem_conversion_unref(pem);
    return result;
}

#endif
