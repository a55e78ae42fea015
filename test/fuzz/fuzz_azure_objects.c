/*
 * fuzz_azure_objects.c - the objects parameter; accepted items must obey the path rules.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/objects/object_path.h"
#include "provider-azure/objects/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct object_defaults defaults = {.mode = 0644};
    char *text = calloc(size + 1, 1);
    struct object_list list = {0};
    if (text != NULL && size > 0)
        memcpy(text, data, size);
    if (text != NULL && objects_parse(text, &defaults, &list, NULL) == 0) {
        for (size_t i = 0; i < list.n; i++) {
            const struct object_item *item = &list.items[i];
            struct object_item chosen = {0};
            if (item->mode > 0777)
                abort();
            if (item->select == NULL && object_path_check(item->path, NULL) < 0)
                abort();
            /* names come from the vault: whatever they are, the path is a good one or there is none */
            if (item->select != NULL && object_item_select(item, text, &chosen, NULL) == 0) {
                if (object_path_check(chosen.path, NULL) < 0)
                    abort();
                object_item_finish(&chosen);
            }
            if (item->select != NULL) {
                struct string_map tags = {0};
                (void)object_select_matches(item->select, text, &tags);
            }
        }
    }
    object_list_finish(&list);
    free(text);
    return 0;
}
