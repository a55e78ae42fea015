/*
 * fuzz_azure_vault.c - responses of Key Vault, as objects of every type, version lists and errors, and their
 * conversion.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/content/content.h"
#include "provider-azure/vault/vault_error.h"
#include "provider-azure/vault/vault_list.h"
#include "test/unit/content_converter.h"

static const struct content_options content_options = {.order = CERTIFICATE_ORDER_CHAIN};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    if (size < 1)
        return 0;
    for (int type = OBJECT_SECRET; type <= OBJECT_CERT; type++) {
        const struct object_item item = {.type = (enum object_type)type,
                                         .format = (data[0] & 1) != 0 ? OBJECT_PFX : OBJECT_PEM,
                                         .encoding = (enum object_encoding)(data[0] % 3),
                                         .split = (data[0] & 64) != 0 ? OBJECT_SPLIT_JSON : OBJECT_WHOLE};
        struct content content = {0};
        struct vault_object object;
        if (vault_object_parse(item.type, text, size - 1, &object, NULL) == 0 &&
            convert_content(&content_options, &item, "file", &object, &content, NULL) == 0)
            content_finish(&content);
        vault_object_finish(&object);
    }
    struct vault_list list = {0};
    char *next = NULL;
    if (vault_list_add_page(&list, text, size - 1, &next, NULL) == 0) {
        const struct vault_entry *chosen[4];
        (void)vault_list_select(&list, "", 4, chosen, NULL);
    }
    free(next);
    vault_list_finish(&list);
    struct http_reply reply = {.status = 400 + data[0] % 104};
    struct error *error = NULL;
    buffer_init(&reply.body, size);
    (void)buffer_append(&reply.body, text, size - 1, NULL);
    (void)vault_error(&reply, "host", 1, &error);
    (void)vault_error_is_not_found(&reply);
    error_free(error);
    buffer_finish(&reply.body);
    return 0;
}
