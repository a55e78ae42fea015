/*
 * lint_secret_objects.c - checks secretObjects.
 */
#include "ctl/lint_secret_objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/class/secret_object.h"
#include "common/lint/similar_name.h"

enum { FILE_LIST_SIZE = 320 }; /* bytes of the names of files in a message */

static const struct lint_rule object_rule = {"secret-object", FINDING_ERROR};
static const struct lint_rule file_rule = {"secret-file-missing", FINDING_ERROR};
static const struct lint_rule twice_rule = {"secret-key-twice", FINDING_WARNING};
static const struct lint_rule type_rule = {"secret-type-keys", FINDING_WARNING};
static const struct lint_rule type_name_rule = {"misspelled-type", FINDING_WARNING};

static const char *const object_names[] = {"secretName", "type", "labels", "annotations", "data"};
static const char *const entry_names[] = {"objectName", "key"};
const struct field_names lint_secret_object_fields = {object_names, ARRAY_SIZE(object_names)};

static const struct yaml_node *item_of(const struct yaml_node *list, size_t i)
{
    return list != NULL && list->kind == YAML_SEQUENCE && i < list->n ? list->values[i] : NULL;
}

static size_t count_of(const struct yaml_node *list)
{
    return list != NULL && list->kind == YAML_SEQUENCE ? list->n : 0;
}

void lint_secret_objects_names(const struct lint_document *document, const struct yaml_node *list)
{
    static const struct known_fields of_object = {.where = "an entry of secretObjects",
                                                  .here = {object_names, ARRAY_SIZE(object_names)},
                                                  .elsewhere = "data",
                                                  .others = {entry_names, ARRAY_SIZE(entry_names)}};
    static const struct known_fields of_entry = {.where = "data",
                                                 .here = {entry_names, ARRAY_SIZE(entry_names)},
                                                 .elsewhere = "the entry of secretObjects",
                                                 .others = {object_names, ARRAY_SIZE(object_names)}};

    for (size_t i = 0; i < count_of(list); i++) {
        const struct yaml_node *data = yaml_get(list->values[i], "data");
        field_names_check(list->values[i], &of_object, lint_document_enter(document));
        for (size_t k = 0; k < count_of(data); k++)
            field_names_check(data->values[k], &of_entry, lint_document_enter(document));
    }
}

/* "a, b and 3 more". */
static void list_files(const struct lint_response *response, char list[FILE_LIST_SIZE])
{
    const size_t end = FILE_LIST_SIZE - sizeof(" and 10000 more");
    const struct lint_files *all[] = {&response->files, &response->patterns};
    size_t len = 0, left = 0, n = 0;

    list[0] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        for (size_t k = 0; k < all[i]->n; k++, n++) {
            const char *path = all[i]->paths[k];
            if (left > 0 || len + strlen(path) + 2 >= end)
                left++;
            else
                len += (size_t)snprintf(list + len, end - len, "%s%s", n == 0 ? "" : ", ", path);
        }
    }
    if (left > 0)
        (void)snprintf(list + len, FILE_LIST_SIZE - len, "%s%zu more", len == 0 ? "" : " and ", left);
    else if (n == 0)
        (void)snprintf(list, FILE_LIST_SIZE, "none");
}

static void add(const struct lint_document *document, const struct lint_rule *rule,
                const struct yaml_node *node, const char *message)
{
    findings_add(lint_document_enter(document), rule, lint_place(node), "%s", message);
}

static int check_entry(const struct lint_document *document, const struct yaml_node *node, const char *path,
                       const char *key, const struct lint_response *response)
{
    const struct yaml_node *name = yaml_get(node, "objectName"), *key_node = yaml_get(node, "key");
    cleanup_error struct error *error = NULL;
    char files[FILE_LIST_SIZE];

    if (secret_key_check(key, &error) < 0)
        add(document, &object_rule, key_node != NULL ? key_node : node, error_message(error));
    if (*path == '\0') {
        add(document, &object_rule, name != NULL ? name : node, "objectName is empty");
    } else if (!lint_response_makes(response, path)) {
        list_files(response, files);
        findings_add(lint_document_enter(document), &file_rule, lint_place(name),
                     "no object makes the file %s (there are: %s)", path, files);
    }
    return 0;
}

static int check_data(const struct lint_document *document, const struct yaml_node *list,
                      const struct secret_object *object, const struct lint_response *response,
                      struct error **err)
{
    cleanup_string_map struct string_map keys = {0};

    for (size_t i = 0; i < object->n_data; i++) {
        const struct yaml_node *node = item_of(list, i);
        cleanup_free char *path = secret_field_trim(object->data[i].object_name);
        cleanup_free char *key = secret_field_trim(object->data[i].key);
        if (path == NULL || key == NULL)
            return error_no_memory(err, NULL);
        if (string_map_get(&keys, key) != NULL)
            findings_add(lint_document_enter(document), &twice_rule, lint_place(node),
                         "the key %s is there twice, the last entry counts", key);
        if (check_entry(document, node, path, key, response) < 0 || string_map_set(&keys, key, "", err) < 0)
            return -1;
    }
    return 0;
}

static bool has_key(const struct secret_object *object, const char *key)
{
    for (size_t i = 0; i < object->n_data; i++) {
        const char *its_key = object->data[i].key + strspn(object->data[i].key, " \t\n");
        size_t len = strlen(key);
        if (strncmp(its_key, key, len) == 0 && its_key[len + strspn(its_key + len, " \t\n")] == '\0')
            return true;
    }
    return false;
}

/* Kubernetes takes any type, so a typing error makes a Secret that is none of its kind. */
static void check_type_name(const struct lint_document *document, const struct yaml_node *node,
                            const char *type)
{
    static const char *const known[] = {"Opaque",
                                        "kubernetes.io/tls",
                                        "kubernetes.io/dockerconfigjson",
                                        "kubernetes.io/dockercfg",
                                        "kubernetes.io/basic-auth",
                                        "kubernetes.io/ssh-auth",
                                        "kubernetes.io/service-account-token",
                                        "bootstrap.kubernetes.io/token"};
    static const char domain[] = "kubernetes.io/";
    const char *similar = similar_name(type, known, ARRAY_SIZE(known));

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(type, known[i]) == 0)
            return;
        if (strncmp(known[i], domain, sizeof(domain) - 1) == 0 &&
            strcmp(type, known[i] + sizeof(domain) - 1) == 0)
            similar = known[i];
    }
    if (similar == NULL && strncmp(type, domain, sizeof(domain) - 1) == 0)
        findings_add(lint_document_enter(document), &type_name_rule, lint_place(node),
                     "%.100s is no type of Kubernetes", type);
    if (similar != NULL)
        findings_add(lint_document_enter(document), &type_name_rule, lint_place(node),
                     "%.100s is no type of Kubernetes, %s is", type, similar);
}

static void check_basic_auth(const struct lint_document *document, const struct yaml_node *node,
                             const struct secret_object *object)
{
    if (object->n_data > 0 && strcmp(object->type, "kubernetes.io/basic-auth") == 0 &&
        !has_key(object, "username") && !has_key(object, "password"))
        findings_add(lint_document_enter(document), &type_rule, lint_place(yaml_get(node, "type")),
                     "a Secret of type %s needs the key username or password", object->type);
}

/* The API server refuses a Secret of these types without these keys; another class may add them. */
static void check_type(const struct lint_document *document, const struct yaml_node *node,
                       const struct secret_object *object)
{
    static const struct {
        const char *type, *key;
    } rows[] = {
        {"kubernetes.io/tls", "tls.crt"},
        {"kubernetes.io/tls", "tls.key"},
        {"kubernetes.io/dockerconfigjson", ".dockerconfigjson"},
        {"kubernetes.io/dockercfg", ".dockercfg"},
        {"kubernetes.io/ssh-auth", "ssh-privatekey"},
    };

    for (size_t i = 0; object->n_data > 0 && i < ARRAY_SIZE(rows); i++) {
        if (strcmp(object->type, rows[i].type) == 0 && !has_key(object, rows[i].key))
            findings_add(lint_document_enter(document), &type_rule, lint_place(yaml_get(node, "type")),
                         "a Secret of type %s needs the key %s", rows[i].type, rows[i].key);
    }
}

int lint_secret_objects(const struct lint_document *document, const struct yaml_node *list,
                        const struct secret_provider_class *class, const struct lint_response *response,
                        struct error **err)
{
    for (size_t i = 0; i < class->n_secret_objects; i++) {
        const struct yaml_node *node = item_of(list, i);
        cleanup_error struct error *error = NULL;
        if (secret_object_check(class, i, &error) < 0)
            add(document, &object_rule, node, error_message(error));
        cleanup_free char *type = secret_field_trim(class->secret_objects[i].type);
        if (type == NULL)
            return error_no_memory(err, NULL);
        check_type_name(document, yaml_get(node, "type"), type);
        check_type(document, node, &class->secret_objects[i]);
        check_basic_auth(document, node, &class->secret_objects[i]);
        if (check_data(document, yaml_get(node, "data"), &class->secret_objects[i], response, err) < 0)
            return -1;
    }
    return 0;
}
