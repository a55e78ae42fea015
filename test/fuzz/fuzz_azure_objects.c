/*
 * fuzz_azure_objects.c - the objects parameter; what is accepted must obey the path rules.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    struct object_list list = {0};
    if (text != NULL && size > 0)
        memcpy(text, data, size);
    if (text != NULL && objects_parse(text, 0644, NULL, &list, NULL) == 0) {
        for (size_t i = 0; i < list.n; i++) {
            if (object_path_check(list.items[i].path, NULL) < 0 || list.items[i].mode > 0777)
                abort();
        }
    }
    object_list_finish(&list);
    free(text);
    return 0;
}
