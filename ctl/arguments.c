/*
 * arguments.c - flags that may be repeated, which the option tables do not support.
 */
#include "ctl/arguments.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Returns whether `word` is the flag `name`; *ret_value is the text after its '=', or NULL. */
static bool is_flag(const char *word, const char *name, const char **ret_value)
{
    size_t len = strlen(name);

    if (*word != '-')
        return false;
    word += word[1] == '-' ? 2 : 1;
    if (strncmp(word, name, len) != 0 || (word[len] != '\0' && word[len] != '='))
        return false;
    *ret_value = word[len] == '=' ? word + len + 1 : NULL;
    return true;
}

int arguments_take_repeated(int *argc, char **argv, const char *name, struct word_list *list,
                            struct error **err)
{
    int kept = 1;
    bool ended = false;

    *list = (struct word_list){.words = calloc((size_t)*argc + 1, sizeof(*list->words))};
    if (list->words == NULL)
        return error_no_memory(err, NULL);

    for (int i = 1; i < *argc; i++) {
        const char *value = NULL;

        ended = ended || strcmp(argv[i], "--") == 0;
        if (ended || !is_flag(argv[i], name, &value)) {
            argv[kept++] = argv[i];
            continue;
        }
        if (value == NULL) {
            if (i + 1 == *argc)
                return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "flag needs an argument: -%s", name);
            value = argv[++i];
        }
        list->words[list->n++] = value;
    }
    argv[kept] = NULL;
    *argc = kept;
    return 0;
}
