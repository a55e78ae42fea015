/*
 * arguments.h - flags that may be repeated, which the option tables do not support.
 */
#ifndef CTL_ARGUMENTS_H
#define CTL_ARGUMENTS_H

#include <stddef.h>

#include "common/base/error.h"

/* The values of a repeated flag, in order. */
struct word_list {
    const char **words; /* owned array of words borrowed from argv; free() */
    size_t n;
};

/* Moves every "--name value" and "--name=value" (one or two dashes) before "--" out of argv into `list`.
 * The caller frees list->words, also after an error. INVALID_ARGUMENT if the last flag has no value. */
int arguments_take_repeated(int *argc, char **argv, const char *name, struct word_list *list,
                            struct error **err);

#endif
