/*
 * lint_class.c - checks one class.
 */
#include "ctl/lint_class.h"

#include <stdlib.h>
#include <string.h>

#include "common/class/class.h"
#include "common/class/class_rotation.h"
#include "common/lint/field_names.h"
#include "common/lint/lint_protocol.h"
#include "ctl/lint_providers.h"
#include "ctl/lint_secret_objects.h"

static const struct lint_rule version_rule = {"deprecated-api-version", FINDING_WARNING};
static const struct lint_rule rotation_rule = {"rotation-annotation", FINDING_WARNING};
static const struct lint_rule no_provider_rule = {"provider-not-found", FINDING_WARNING};
static const struct lint_rule provider_rule = {"provider-failed", FINDING_WARNING};

/* Where kubectl puts an object without a namespace; only in texts. */
#define DEFAULT_NAMESPACE "default"

/* --- fields that the API server drops --- */

static void check_field_names(const struct lint_document *document, const struct yaml_node *object)
{
    static const char *const top_names[] = {"apiVersion", "kind", "metadata", "spec", "status"};
    static const char *const spec_names[] = {"provider", "parameters", "secretObjects"};
    static const struct known_fields top = {.where = "a SecretProviderClass",
                                            .here = {top_names, ARRAY_SIZE(top_names)},
                                            .elsewhere = "spec",
                                            .others = {spec_names, ARRAY_SIZE(spec_names)}};
    const struct yaml_node *spec = yaml_get(object, "spec");
    const struct known_fields in_spec = {.where = "spec",
                                         .here = top.others,
                                         .elsewhere = "an entry of secretObjects",
                                         .others = lint_secret_object_fields};

    field_names_check(object, &top, lint_document_enter(document));
    field_names_check(spec, &in_spec, lint_document_enter(document));
    lint_secret_objects_names(document, yaml_get(spec, "secretObjects"));
}

/* --- parameters --- */

static const struct yaml_node *key_of(const struct yaml_node *mapping, const char *name)
{
    for (size_t i = 0; mapping != NULL && mapping->kind == YAML_MAPPING && i < mapping->n; i++) {
        if (strcmp(mapping->keys[i]->text, name) == 0)
            return mapping->keys[i];
    }
    return NULL;
}

/* Adds a finding of the provider at its place in the file. */
static void add_finding(const struct lint_document *document, const struct yaml_node *spec,
                        const struct finding *finding)
{
    const struct yaml_node *parameters = yaml_get(spec, "parameters");
    const struct yaml_node *value = yaml_get(parameters, finding->parameter);
    const struct yaml_node *key = key_of(parameters, finding->parameter);
    struct findings *report = lint_document_enter(document);
    const struct lint_rule rule = {finding->rule, finding->level};
    struct text_place place = {finding->line, finding->column};

    if (value != NULL && value->kind != YAML_SCALAR)
        return; /* the provider has not seen it, and the decoder says why */
    if (value == NULL) {
        place = lint_place(key_of(spec, "parameters"));
    } else if (place.line <= 1 && place.column <= 1) { /* the parameter as a whole */
        place = lint_place(key != NULL ? key : value);
    } else {
        findings_enter(report, document->file, text_frame_of_scalar(&document->frame, document->text, value));
    }
    findings_add(report, &rule, place, "%s", finding->message);
}

/* The parameters as the driver passes them on. */
static int read_parameters(const struct yaml_node *mapping, struct string_map *parameters, struct error **err)
{
    size_t n_merged = 0;

    while (yaml_merged(mapping, n_merged) != NULL)
        n_merged++;
    while (n_merged-- > 0)
        if (read_parameters(yaml_merged(mapping, n_merged), parameters, err) < 0)
            return -1;
    for (size_t i = 0; mapping != NULL && mapping->kind == YAML_MAPPING && i < mapping->n; i++) {
        const char *key = mapping->keys[i]->text;
        const struct yaml_node *value = mapping->values[i];
        if (value->kind != YAML_SCALAR || yaml_is_merge(mapping->keys[i]) ||
            strncmp(key, "csi.storage.k8s.io/", strlen("csi.storage.k8s.io/")) == 0)
            continue; /* refused by the decoder, or left out by the driver */
        if (string_map_set(parameters, key, lint_text(value), err) < 0)
            return -1;
    }
    return 0;
}

/* Lets the provider check the parameters. *ret says what files there are. */
static int check_parameters(const struct lint_document *document, const struct yaml_node *spec,
                            struct lint_response *ret, struct error **err)
{
    const struct yaml_node *provider = yaml_get(spec, "provider");
    cleanup_string_map struct string_map parameters = {0};
    cleanup_error struct error *error = NULL;

    if (read_parameters(yaml_get(spec, "parameters"), &parameters, err) < 0)
        return -1;
    if (*lint_text(provider) == '\0' || parameters.n == 0)
        return 0;
    if (lint_providers_check_name(lint_text(provider), &error) < 0) {
        findings_add(lint_document_enter(document), &lint_rule_refused, lint_place(provider), "%s",
                     error_message(error));
        return 0;
    }
    if (lint_providers_run(document->context->providers, lint_text(provider), &parameters, ret, &error) < 0)
        findings_add(lint_document_enter(document),
                     error_code(error) == GRPC_STATUS_NOT_FOUND ? &no_provider_rule : &provider_rule,
                     lint_place(provider), "the parameters are not checked: %s", error_message(error));
    for (size_t i = 0; i < ret->findings.n; i++)
        add_finding(document, spec, &ret->findings.list[i]);
    document->context->report->left_out += ret->findings.left_out;
    return 0;
}

/* --- the class --- */

static void refuse(const struct lint_document *document, const struct yaml_node *node, const char *what,
                   const struct secret_provider_class *class)
{
    findings_add(lint_document_enter(document), &lint_rule_refused, lint_place(node),
                 "%s not set in secretproviderclass %s/%s", what, class->ns, class->name);
}

static int check_decoded(const struct lint_document *document, const struct yaml_node *object,
                         const struct secret_provider_class *class, const char *without_secret,
                         struct error **err)
{
    const struct yaml_node *metadata = yaml_get(object, "metadata"), *spec = yaml_get(object, "spec");
    const struct yaml_node *annotations = yaml_get(metadata, "annotations");
    cleanup_error struct error *error = NULL, *refusal = NULL;
    int64_t interval_s = 0;
    bool in_place = false;

    if (class->provider[0] == '\0')
        refuse(document, spec != NULL ? spec : object, "provider is", class);
    if (class->parameters.n == 0)
        refuse(document, spec != NULL ? spec : object, "parameters are", class);
    if (class_rotation_interval(class, 0, &interval_s, &error) < 0)
        findings_add(lint_document_enter(document), &rotation_rule,
                     lint_place(yaml_get(annotations, CLASS_ANNOTATION_INTERVAL)), "%s",
                     error_message(error));
    if (class_updates_in_place(class, &in_place, &refusal) < 0)
        findings_add(lint_document_enter(document), &lint_rule_refused,
                     lint_place(yaml_get(annotations, CLASS_ANNOTATION_IN_PLACE)), "%s",
                     error_message(refusal));
    return lint_names_add_class(&document->context->names, lint_text(yaml_get(metadata, "namespace")),
                                class->name, without_secret, err);
}

/* NULL: a finding says why. */
static struct secret_provider_class *decode(const struct lint_document *document,
                                            const struct yaml_node *object)
{
    struct secret_provider_class *class = NULL;
    struct error *error = NULL;

    switch (class_yaml_decode(object, DEFAULT_NAMESPACE, &class, &error)) {
    case CLASS_DECODED:
        return class;
    case CLASS_OTHER_KIND:
        findings_add(lint_document_enter(document), &lint_rule_refused,
                     lint_place(yaml_get(object, "apiVersion")),
                     "apiVersion is neither " CLASS_API_GROUP "/v1 nor v1alpha1");
        break;
    case CLASS_INVALID:
        lint_document_refuse(document, &lint_rule_refused, &error);
        break;
    }
    return NULL;
}

int lint_class(const struct lint_document *document, const struct yaml_node *object, struct error **err)
{
    const struct yaml_node *version = yaml_get(object, "apiVersion"), *spec = yaml_get(object, "spec");
    cleanup_lint_response struct lint_response response = {0};

    document->context->n_classes++;
    if (strcmp(lint_text(version), CLASS_API_GROUP "/v1alpha1") == 0)
        findings_add(lint_document_enter(document), &version_rule, lint_place(version),
                     "%s is deprecated, " CLASS_API_GROUP "/v1 takes its place", version->text);
    check_field_names(document, object);
    cleanup_class struct secret_provider_class *class = decode(document, object);
    if (check_parameters(document, spec, &response, err) < 0)
        return -1;
    if (class == NULL)
        return 0;
    if (check_decoded(document, object, class, response.without_secret, err) < 0)
        return -1;
    return lint_secret_objects(document, yaml_get(spec, "secretObjects"), class, &response, err);
}
