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
#include "test/fuzz/fuzz.h"
#include "test/unit/content_converter.h"

/* What is kept is what was asked for. */
static void check_list(const struct vault_list *list)
{
    const struct vault_list_filter *filter = list->filter;
    if (list->bytes > VAULT_LIST_MAX_BYTES || list->n > list->enabled || list->enabled > list->read)
        abort();
    for (size_t i = 0; i < list->n; i++) {
        const struct vault_entry *entry = &list->entries[i];
        if (filter->n_selects > 0 && !object_select_matches(filter->selects[0], entry->name, &entry->tags))
            abort();
    }
    if (filter->n_selects == 0 && *filter->start == '\0' && list->n > filter->count)
        abort();
}

/* The same page twice, as a list of versions or of objects. */
static void read_list(uint8_t options, const char *text, size_t len)
{
    struct vault_list list = {.filter = vault_list_filter_create((options & 2) != 0 ? "v1" : "", NULL)};
    struct object_select *select =
        (options & 4) != 0 ? object_select_create("*", (options & 8) != 0 ? "env=prod" : "", NULL) : NULL;
    if (list.filter == NULL ||
        (select != NULL && vault_list_filter_add_select(list.filter, select, NULL) < 0))
        abort();
    vault_list_filter_add_count(list.filter, 4);
    for (int page = 0; page < 2; page++) {
        char *next = NULL;
        if (vault_list_add_page(&list, text, len, &next, NULL) == 0)
            check_list(&list);
        free(next);
    }
    const struct vault_entry *chosen[4];
    if (select == NULL)
        (void)vault_list_select(&list, list.filter->start, 4, chosen, NULL);
    object_select_unref(select);
    vault_list_finish(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    if (size < 1)
        return 0;
    const struct content_options content_options = {.order = (data[0] & 16) != 0 ? CERTIFICATE_ORDER_AS_STORED
                                                                                 : CERTIFICATE_ORDER_CHAIN,
                                                    .separate_files = (data[0] & 8) != 0};
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
    read_list(data[0], text, size - 1);
    struct fuzz_input id = {.at = (const uint8_t *)text, .left = size - 1};
    cleanup_free char *request_id = fuzz_text(&id, size - 1);
    struct http_reply reply = {.status = 400 + data[0] % 104, .request_id = request_id};
    struct error *error = NULL;
    buffer_init(&reply.body, size);
    (void)buffer_append(&reply.body, text, size - 1, NULL);
    (void)vault_error(&reply, "host", 1, &error);
    fuzz_expect_printable(error_message(error));
    (void)vault_error_is_not_found(&reply);
    error_free(error);
    buffer_finish(&reply.body);
    return 0;
}
