/*
 * lint_documents.c - finds the classes and volumes of a file.
 */
#include "ctl/lint_documents.h"

#include <stdlib.h>
#include <string.h>

#include "common/class/class.h"
#include "ctl/lint_class.h"
#include "ctl/lint_volume.h"

static const struct lint_rule yaml_rule = {"yaml", FINDING_ERROR};
static const struct lint_rule version_rule = {"api-version", FINDING_ERROR};
static const struct lint_rule kind_rule = {"unknown-kind", FINDING_ERROR};

static bool ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), ending_len = strlen(ending);

    return len >= ending_len && strcmp(text + len - ending_len, ending) == 0;
}

/* An object of the driver's group that no API server knows. */
static void check_kind(const struct lint_document *document, const struct yaml_node *object)
{
    const struct yaml_node *kind = yaml_get(object, "kind");

    if (*lint_text(kind) == '\0')
        findings_add(lint_document_enter(document), &kind_rule, lint_place(kind != NULL ? kind : object),
                     "the object has no kind; that of a class is " CLASS_KIND);
    else if (strncmp(lint_text(kind), CLASS_KIND, strlen(CLASS_KIND)) !=
             0) /* nor a SecretProviderClassPodStatus */
        findings_add(lint_document_enter(document), &kind_rule, lint_place(kind),
                     "kind %.100s is not known in " CLASS_API_GROUP ", " CLASS_KIND " is", lint_text(kind));
}

static int check_object(const struct lint_document *document, const struct yaml_node *object,
                        struct error **err)
{
    const struct yaml_node *version = yaml_get(object, "apiVersion");
    const char *group = CLASS_API_GROUP "/";
    const char *ns = lint_text(yaml_get(yaml_get(object, "metadata"), "namespace"));

    bool is_ours = strncmp(lint_text(version), group, strlen(group)) == 0;
    if (strcmp(lint_text(yaml_get(object, "kind")), CLASS_KIND) != 0) {
        if (is_ours)
            check_kind(document, object);
        return lint_volumes(document, object, ns, err);
    }
    if (is_ours)
        return lint_class(document, object, err);
    findings_add(lint_document_enter(document), &version_rule, lint_place(version != NULL ? version : object),
                 "apiVersion of a " CLASS_KIND " is %sv1", group);
    return 0;
}

static int check_root(const struct lint_document *document, const struct yaml_node *root, struct error **err)
{
    const struct yaml_node *items = yaml_get(root, "items");

    if (root == NULL || root->kind != YAML_MAPPING)
        return 0;
    if (!ends_with(lint_text(yaml_get(root, "kind")), "List") || items == NULL ||
        items->kind != YAML_SEQUENCE)
        return check_object(document, root, err);
    for (size_t i = 0; i < items->n; i++) {
        if (items->values[i]->kind == YAML_MAPPING && check_object(document, items->values[i], err) < 0)
            return -1;
    }
    return 0;
}

/* Whether there can be a class or a volume: most documents of an installation have neither, and some are too
 * large to be read. */
static bool may_concern(const char *text, size_t len)
{
    static const char *const words[] = {"secrets-store", "SecretProviderClass", "secretProviderClass"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (memmem(text, len, words[i], strlen(words[i])) != NULL)
            return true;
    }
    return false;
}

static int check_document(const struct lint_document *document, struct error **err)
{
    const struct yaml_node *root = NULL;
    struct error *error = NULL;

    if (!may_concern(document->text, document->len))
        return 0;
    cleanup_yaml struct yaml_document *tree =
        yaml_parse(document->text, document->len, CLASS_TEXT_MAX, &root, &error);
    if (tree == NULL) {
        if (memmem(document->text, document->len, "{{", 2) != NULL)
            (void)error_hint(
                &error, "there is {{ in it: templates have to be rendered first, as with `helm template`");
        lint_document_refuse(document, &yaml_rule, &error);
        return 0;
    }
    return check_root(document, root, err);
}

/* With a byte order mark or without: then one of the first two bytes is NUL. */
static bool is_wide(const char *text, size_t len)
{
    return len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 ||
                        memchr(text, 0, 2) != NULL);
}

/* Is this the beginning of a line that begins a document? */
static bool is_separator(const char *line)
{
    return strncmp(line, "---", 3) == 0 && (line[3] == '\0' || strchr(" \t\r\n", line[3]) != NULL);
}

/* Each document is read on its own, as kubectl does, so that one that is broken does not hide the others. */
int lint_documents(struct lint_context *context, const char *file, const char *text, size_t len,
                   struct error **err)
{
    const char *end = text + len;
    unsigned line = 1;
    struct lint_document document = {
        .context = context, .file = file, .text = text, .frame = TEXT_FRAME_WHOLE};

    if (is_wide(text, len)) { /* whose words may_concern() would not find */
        findings_add(lint_document_enter(&document), &yaml_rule, (struct text_place){1, 1},
                     "the file is UTF-16 or UTF-32: save it as UTF-8");
        return 0;
    }
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        line++;
        if (next < end && !is_separator(next)) {
            at = next;
            continue;
        }
        document.len = (size_t)(next - document.text);
        if (check_document(&document, err) < 0)
            return -1;
        document.text = next;
        document.frame = (struct text_frame){.begin = {line, 1}, .exact = true};
        at = next;
    }
    return 0;
}
