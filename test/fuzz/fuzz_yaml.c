/*
 * fuzz_yaml.c - the YAML reader on any bytes, one document and a stream of them.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A naive walk, shared nodes again and again: it must end within the budget that the header promises. */
static void walk(const struct yaml_node *node, unsigned depth, size_t *visited)
{
    (*visited)++;
    /* An alias puts a tree of up to YAML_MAX_DEPTH below a node that is itself up to that deep, and so on. */
    assert(depth < 100000);
    assert(*visited <= YAML_MAX_NODES);
    assert(node->line > 0);
    assert((node->kind == YAML_SCALAR) == (node->text != NULL));
    (void)yaml_is_null(node);
    for (size_t i = 0; i < node->n; i++) {
        if (node->kind == YAML_MAPPING) {
            walk(node->keys[i], depth + 1, visited);
            assert(yaml_get(node, node->keys[i]->text) == node->values[i]);
        }
        walk(node->values[i], depth + 1, visited);
    }
}

static int each_document(const struct yaml_node *root, void *arg, struct error **err)
{
    (void)err;
    size_t visited = 0;
    walk(root, 1, &visited);
    (*(size_t *)arg)++;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MAX_LEN = 16 * 1024 };
    cleanup_error struct error *err = NULL;
    const struct yaml_node *root = NULL;
    cleanup_yaml struct yaml_document *document = yaml_parse((const char *)data, size, MAX_LEN, &root, &err);
    assert((document == NULL) == (err != NULL));
    if (root != NULL) {
        size_t visited = 0;
        walk(root, 1, &visited);
    }

    cleanup_error struct error *stream_err = NULL;
    size_t documents = 0;
    int status = yaml_parse_all((const char *)data, size, MAX_LEN, each_document, &documents, &stream_err);
    assert((status < 0) == (stream_err != NULL));
    assert(root == NULL || documents > 0);
    return 0;
}
