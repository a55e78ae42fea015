/*
 * item_findings.c - items that are probably not meant as they are written.
 */
#include "provider-azure/objects/item_findings.h"

#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"
#include "provider-azure/objects/objects.h"

static const struct lint_rule rest_rule = {"text-after-document", FINDING_WARNING};
static const struct lint_rule one_more_rule = {"history-one-more", FINDING_NOTE};
static const struct lint_rule no_history_rule = {"history-without-effect", FINDING_WARNING};
static const struct lint_rule text_rule = {"pfx-as-text", FINDING_NOTE};
static const struct lint_rule alias_rule = {"alias-of-other-content", FINDING_WARNING};
static const struct lint_rule permission_rule = {"decimal-permission", FINDING_WARNING};
static const struct lint_rule name_rule = {"impossible-name", FINDING_WARNING};

enum { VAULT_NAME_MAX = 127, VAULT_VERSION_LEN = 32, SHOWN_MAX = 200 };

/* Where the value of a field is; where the item is, if it is merged. */
static struct text_place place_of(const struct yaml_node *root, const char *field)
{
    const struct yaml_node *value = yaml_get(root, field);

    return value != NULL ? (struct text_place){value->line, value->column} : (struct text_place){0};
}

static int count_document(const struct yaml_node *root, void *arg, struct error **err)
{
    size_t *n = arg;
    (void)root;
    (void)err;
    (*n)++;
    return 0;
}

void item_findings_add_rest(const char *text, struct findings *findings)
{
    size_t n = 0;

    if (findings == NULL || strstr(text, "\n---") == NULL)
        return;
    if (yaml_parse_all(text, strlen(text), OBJECTS_MAX_BYTES, count_document, &n, /* err= */ NULL) < 0 ||
        n > 1)
        findings_add(findings, &rest_rule, (struct text_place){0},
                     "only the first YAML document of the text is read, what is behind it has no effect");
}

static void check_history(const struct yaml_node *root, const struct object_item *item,
                          const struct object_defaults *defaults)
{
    struct text_place place = place_of(root, "objectVersionHistory");

    if (item->history == 1 || item->history < 0)
        findings_add(
            defaults->findings, &no_history_rule, place,
            "objectVersionHistory: %d gives no history: there is one file, %s. More than 1 is needed",
            item->history, item->path);
    else if (item->history > 1 && defaults->history == HISTORY_ONE_MORE)
        findings_add(
            defaults->findings, &one_more_rule, place,
            "objectVersionHistory: %d gives up to %zu files, %s/0 to %s/%d; the parameter objectVersionHistoryExact: \"true\" gives %d",
            item->history, item->versions, item->path, item->path, item->history, item->history);
}

static const char *extension(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot != NULL && strchr(dot, '/') == NULL ? dot + 1 : "";
}

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

/* What the file holds although its name says something else; NULL: nothing is odd. */
static const char *other_content(const struct object_item *item)
{
    static const char *const binary[] = {"pfx", "p12"};
    static const char *const text[] = {"pem", "crt", "cer"};
    const char *word = extension(item->path);
    bool is_binary = is_one_of(word, binary, ARRAY_SIZE(binary)),
         is_text = is_one_of(word, text, ARRAY_SIZE(text)), is_key = strcasecmp(word, "key") == 0;

    if (item->type == OBJECT_CERT && (is_binary || is_key))
        return "the certificate alone as PEM; objectType: secret has its private key, too";
    if (item->type == OBJECT_KEY && (is_binary || is_key))
        return "the public key as PEM; objectType: secret of a certificate has its private key";
    if (item->type != OBJECT_SECRET)
        return NULL;
    if (is_binary && item->format == OBJECT_PEM && item->encoding == OBJECT_UTF8)
        return "the secret as it is, that of a certificate as PEM; objectFormat: pfx with objectEncoding: base64 gives a binary PFX";
    if (is_binary && item->format == OBJECT_PFX && item->encoding == OBJECT_UTF8)
        return "the PFX as base64 text; objectEncoding: base64 gives the binary";
    if (is_text && item->format == OBJECT_PFX)
        return "a PFX; without objectFormat: pfx it is PEM";
    return NULL;
}

static void check_content(const struct yaml_node *root, const struct object_item *item,
                          struct findings *findings)
{
    const char *content = other_content(item);

    if (content != NULL)
        findings_add(findings, &alias_rule,
                     place_of(root, yaml_get(root, "objectAlias") != NULL ? "objectAlias" : "objectName"),
                     "the file %s holds %s", item->path, content);
    else if (item->format == OBJECT_PFX && item->encoding == OBJECT_UTF8)
        findings_add(findings, &text_rule, place_of(root, "objectFormat"),
                     "the file %s holds the PFX as base64 text; objectEncoding: base64 gives the binary",
                     item->path);
}

/* Kubernetes' own modes are often written as these decimal numbers; here the digits are octal. */
static void check_permission(const struct yaml_node *root, struct findings *findings)
{
    static const struct {
        const char *decimal, *octal;
    } rows[] = {{"256", "0400"}, {"416", "0640"}, {"420", "0644"}, {"511", "0777"}};
    const struct yaml_node *value = yaml_get(root, "filePermission");

    for (size_t i = 0; value != NULL && value->kind == YAML_SCALAR && i < ARRAY_SIZE(rows); i++) {
        if (strcmp(value->text, rows[i].decimal) == 0)
            findings_add(findings, &permission_rule, (struct text_place){value->line, value->column},
                         "filePermission: %s is octal, as all modes here; the decimal number %s is \"%s\"",
                         value->text, value->text, rows[i].octal);
    }
}

#define HEX_DIGITS   "0123456789abcdefABCDEF"
#define NAME_LETTERS "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Names and versions that Key Vault gives to no object: they are invalid to it, or not there. */
static void check_name(const struct yaml_node *root, const struct object_item *item,
                       struct findings *findings)
{
    size_t name_len = strlen(item->name), version_len = strlen(item->version);
    char shown[SHOWN_MAX];

    if (name_len > VAULT_NAME_MAX || item->name[strspn(item->name, NAME_LETTERS)] != '\0') {
        utf8_quote_visibly(shown, sizeof(shown), item->name);
        findings_add(findings, &name_rule, place_of(root, "objectName"),
                     "objectName: %s is no name in a vault: these have letters, digits and '-', at most %d",
                     shown, VAULT_NAME_MAX);
    }
    if (version_len > 0 &&
        (version_len != VAULT_VERSION_LEN || item->version[strspn(item->version, HEX_DIGITS)] != '\0')) {
        utf8_quote_visibly(shown, sizeof(shown), item->version);
        findings_add(
            findings, &name_rule, place_of(root, "objectVersion"),
            "objectVersion: %s is no version in a vault: these have %d hexadecimal digits; the newest is latest, or none",
            shown, VAULT_VERSION_LEN);
    }
}

void item_findings_add(const char *text, const struct yaml_node *root, const struct object_item *item,
                       const struct object_defaults *defaults)
{
    if (defaults->findings == NULL)
        return;
    if (item->select == NULL)
        check_name(root, item, defaults->findings);
    check_history(root, item, defaults);
    if (item->select == NULL && item->split == OBJECT_WHOLE)
        check_content(root, item, defaults->findings);
    check_permission(root, defaults->findings);
    item_findings_add_rest(text, defaults->findings);
}
