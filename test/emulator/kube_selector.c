/*
 * kube_selector.c - see kube_selector.h.
 */
#include "test/emulator/kube_selector.h"

#include "test/emulator/memory.h"

bool kube_selector_parse(struct kube_selector *selector, const char *text)
{
    *selector = (struct kube_selector){.storage = xstrdup(text)};
    char *rest = selector->storage;
    while (rest != NULL && *rest != '\0') {
        char *term = strsep(&rest, ",");
        if (selector->n == SELECTOR_MAX_TERMS || *term == '\0' || strpbrk(term, " ()") != NULL)
            return false;
        char *equals = strchr(term, '=');
        size_t i = selector->n++;
        if (equals == NULL) {
            selector->terms[i].kind = *term == '!' ? TERM_ABSENT : TERM_EXISTS;
            selector->terms[i].key = *term == '!' ? term + 1 : term;
            continue;
        }
        bool negated = equals > term && equals[-1] == '!';
        selector->terms[i].kind = negated ? TERM_NOT_EQUAL : TERM_EQUAL;
        selector->terms[i].key = term;
        selector->terms[i].value = equals + (equals[1] == '=' ? 2 : 1);
        *(negated ? equals - 1 : equals) = '\0';
    }
    return true;
}

void kube_selector_finish(struct kube_selector *selector)
{
    free(selector->storage);
    *selector = (struct kube_selector){0};
}

static bool term_matches(const struct kube_selector *selector, size_t i, const char *value)
{
    switch (selector->terms[i].kind) {
    case TERM_EQUAL:
        return value != NULL && strcmp(value, selector->terms[i].value) == 0;
    case TERM_NOT_EQUAL:
        return value == NULL || strcmp(value, selector->terms[i].value) != 0;
    case TERM_EXISTS:
        return value != NULL;
    case TERM_ABSENT:
        return value == NULL;
    }
    return false;
}

bool kube_selector_matches_labels(const struct kube_selector *selector, const cJSON *object)
{
    const cJSON *labels =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(object, "metadata"), "labels");
    for (size_t i = 0; i < selector->n; i++)
        if (!term_matches(
                selector, i,
                cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(labels, selector->terms[i].key))))
            return false;
    return true;
}

static const char *field_value(const cJSON *object, const char *path)
{
    char *copy = xstrdup(path);
    char *rest = copy;
    for (const char *part; object != NULL && (part = strsep(&rest, ".")) != NULL;)
        object = cJSON_GetObjectItemCaseSensitive(object, part);
    free(copy);
    const char *value = cJSON_GetStringValue(object);
    return value != NULL ? value : ""; /* an absent field equals the empty text */
}

bool kube_selector_matches_fields(const struct kube_selector *selector, const cJSON *object)
{
    for (size_t i = 0; i < selector->n; i++)
        if (!term_matches(selector, i, field_value(object, selector->terms[i].key)))
            return false;
    return true;
}
