/*
 * lint_volume.c - CSI volumes.
 */
#include "ctl/lint_volume.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/class/class.h"
#include "common/lint/field_names.h"

#define DRIVER_NAME "secrets-store.csi.k8s.io"

static const struct lint_rule driver_rule = {"driver-name", FINDING_WARNING};
static const struct lint_rule persistent_rule = {"persistent-volume", FINDING_ERROR};
static const struct lint_rule field_rule = {"volume-field", FINDING_ERROR};

static const char *const volume_names[] = {"driver", "readOnly", "fsType", "nodePublishSecretRef",
                                           "volumeAttributes"};
static const char *const attribute_names[] = {"secretProviderClass"};
static const struct field_names volume_fields = {volume_names, ARRAY_SIZE(volume_names)};
static const struct field_names attribute_fields = {attribute_names, ARRAY_SIZE(attribute_names)};

/* Drivers of others with a similar name, each with its own providers: Google's and Deckhouse's. */
static const char *const other_drivers[] = {"secrets-store-gke.csi.k8s.io", "secrets-store.csi.deckhouse.io"};

static bool is_of_others(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(other_drivers); i++) {
        if (strcmp(name, other_drivers[i]) == 0)
            return true;
    }
    return false;
}

static void refuse(const struct lint_document *document, const struct yaml_node *node, const char *message)
{
    findings_add(lint_document_enter(document), &lint_rule_refused, lint_place(node), "%s", message);
}

static bool is_true(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SCALAR && node->plain && strcasecmp(node->text, "true") == 0;
}

/* All attributes go to the provider; only what is meant for another place is known to be wrong. */
static void check_attribute_names(const struct lint_document *document, const struct yaml_node *attributes)
{
    const struct known_fields known = {
        .where = "volumeAttributes", .here = attribute_fields, .elsewhere = "csi", .others = volume_fields};

    for (size_t i = 0; attributes != NULL && attributes->kind == YAML_MAPPING && i < attributes->n; i++) {
        const struct yaml_node *key = attributes->keys[i];
        bool is_class = strcmp(key->text, attribute_names[0]) == 0;
        if (!is_class && (field_names_has(&volume_fields, key->text) ||
                          strncasecmp(key->text, attribute_names[0], strlen(attribute_names[0])) == 0))
            field_names_unknown(key->text, &known, lint_place(key), lint_document_enter(document));
    }
}

/* What the API server takes only as a mapping. */
static void check_mapping(const struct lint_document *document, const struct yaml_node *csi,
                          const char *field, const char *key)
{
    const struct yaml_node *value = yaml_get(csi, field);

    if (value != NULL && !yaml_is_null(value) && value->kind != YAML_MAPPING)
        findings_add(lint_document_enter(document), &field_rule, lint_place(value),
                     "%s is a mapping: write %s: and its value below it", field, key);
}

/* What the driver checks of a request, in its words. */
static int check_volume(const struct lint_document *document, const struct yaml_node *csi, const char *ns,
                        struct error **err)
{
    static const struct known_fields known = {.where = "csi",
                                              .here = {volume_names, ARRAY_SIZE(volume_names)},
                                              .elsewhere = "volumeAttributes",
                                              .others = {attribute_names, ARRAY_SIZE(attribute_names)}};
    const struct yaml_node *attributes = yaml_get(csi, "volumeAttributes");
    const struct yaml_node *class = yaml_get(attributes, attribute_names[0]);
    const char *name = lint_text(class);

    document->context->n_volumes++;
    if (yaml_get(csi, "volumeHandle") != NULL) {
        findings_add(lint_document_enter(document), &persistent_rule,
                     lint_place(yaml_get(csi, "volumeHandle")),
                     "only inline (ephemeral) volumes are supported, not persistent ones");
        return 0;
    }
    field_names_check(csi, &known, lint_document_enter(document));
    check_attribute_names(document, attributes);
    check_mapping(document, csi, "nodePublishSecretRef", "name");
    check_mapping(document, csi, "volumeAttributes", attribute_names[0]);
    if (!is_true(yaml_get(csi, "readOnly")))
        refuse(document, yaml_get(csi, "readOnly") != NULL ? yaml_get(csi, "readOnly") : csi,
               "readOnly is not true in the volume: secrets can only be mounted read-only");
    if (*name == '\0') {
        refuse(document, attributes != NULL ? attributes : csi,
               "secretProviderClass is not set in the volume attributes");
        return 0;
    }
    if (!class_name_valid(name)) {
        findings_add(lint_document_enter(document), &lint_rule_refused, lint_place(class),
                     "secretProviderClass '%.300s' is not a Kubernetes object name", name);
        return 0;
    }
    const struct lint_name reference = {
        .ns = (char *)(uintptr_t)ns,
        .name = class->text,
        .file = document->file,
        .place = text_frame_place(&document->frame, lint_place(class)),
        .has_secret = *lint_text(yaml_get(yaml_get(csi, "nodePublishSecretRef"), "name")) != '\0'};
    return lint_names_add_reference(&document->context->names, &reference, err);
}

static int check_csi(const struct lint_document *document, const struct yaml_node *csi, const char *ns,
                     struct error **err)
{
    const struct yaml_node *driver = yaml_get(csi, "driver");
    const char *name = lint_text(driver);

    if (strcmp(name, DRIVER_NAME) == 0)
        return check_volume(document, csi, ns, err);
    if (is_of_others(name))
        return 0;
    if (strstr(name, "secrets-store") != NULL ||
        (strcasestr(name, "secret") != NULL && /* drivers for other storage read classes, too */
         yaml_get(yaml_get(csi, "volumeAttributes"), attribute_names[0]) != NULL))
        findings_add(lint_document_enter(document), &driver_rule, lint_place(driver),
                     "the driver is not %s, its name is " DRIVER_NAME, name);
    return 0;
}

/* The fields of a pod's volume that stand beside `csi` and not below it. */
static void check_beside(const struct lint_document *document, const struct yaml_node *volume)
{
    static const struct known_fields known = {
        .where = "the volume", .elsewhere = "csi", .others = {volume_names, ARRAY_SIZE(volume_names)}};

    if (volume->kind != YAML_MAPPING || strcmp(lint_text(yaml_get(volume, "driver")), DRIVER_NAME) != 0 ||
        (yaml_get(volume, "readOnly") == NULL && yaml_get(volume, "volumeAttributes") == NULL))
        return;
    document->context->n_volumes++;
    for (size_t i = 0; i < volume->n; i++) {
        const struct yaml_node *key = volume->keys[i];
        if (field_names_has(&volume_fields, key->text))
            field_names_unknown(key->text, &known, lint_place(key), lint_document_enter(document));
    }
}

/* The parser bounds depth and number of the nodes, also of those that are shared. */
int lint_volumes(const struct lint_document *document, const struct yaml_node *object, const char *ns,
                 struct error **err)
{
    if (object->kind == YAML_SCALAR)
        return 0;
    for (size_t i = 0; i < object->n; i++) {
        const struct yaml_node *value = object->values[i];
        bool is_list = object->kind == YAML_MAPPING && strcmp(object->keys[i]->text, "volumes") == 0 &&
                       value->kind == YAML_SEQUENCE;
        for (size_t k = 0; is_list && k < value->n; k++)
            check_beside(document, value->values[k]);
        bool is_csi = object->kind == YAML_MAPPING && strcmp(object->keys[i]->text, "csi") == 0 &&
                      value->kind == YAML_MAPPING;
        int result = is_csi ? check_csi(document, value, ns, err) : lint_volumes(document, value, ns, err);
        if (result < 0)
            return -1;
    }
    return 0;
}
