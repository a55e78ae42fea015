/*
 * kube_selector.h - labelSelector and fieldSelector.
 */
#ifndef EMULATOR_KUBE_SELECTOR_H
#define EMULATOR_KUBE_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

enum { SELECTOR_MAX_TERMS = 8 };

struct kube_selector {
    char *storage; /* owned */
    size_t n;
    struct {
        enum { TERM_EQUAL, TERM_NOT_EQUAL, TERM_EXISTS, TERM_ABSENT } kind;
        const char *key;
        const char *value;
    } terms[SELECTOR_MAX_TERMS];
};

/* Parses "a=b,c!=d,e,!f"; NULL or "" selects everything. False for what is not understood (also the set form
 * "a in (b,c)"). kube_selector_finish() in every case. */
bool kube_selector_parse(struct kube_selector *selector, const char *text);
void kube_selector_finish(struct kube_selector *selector);

/* Keys are labels of the object. */
bool kube_selector_matches_labels(const struct kube_selector *selector, const cJSON *object);
/* Keys are dotted paths into the object ("spec.nodeName"). */
bool kube_selector_matches_fields(const struct kube_selector *selector, const cJSON *object);

#endif
