/*
 * yaml.h - YAML text to a small tree, on libyaml's event API (YAML 1.1).
 *
 * Bounded: text size, nesting (YAML_MAX_DEPTH), number of nodes (YAML_MAX_NODES; an alias counts as all the
 * nodes it stands for, so that walking the tree is bounded, too). Anchors and aliases work (an alias shares
 * its node; recursive ones are refused). Keys must be scalars; duplicate ones are refused with the key and
 * both lines. A merge key ("<<") is a key of the tree as any other; yaml_get() follows it. Scalars keep
 * their source text; `plain` says whether they were quoted, so that callers decide the meaning of `~` or
 * `0755`. Byte order marks at the beginning of the text and of its documents are taken off. Only the first
 * document is read. Texts of scalars live in wiped memory, libyaml's working buffers do not.
 */
#ifndef COMMON_BASE_YAML_H
#define COMMON_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

enum { YAML_MAX_DEPTH = 32, YAML_MAX_NODES = 20000 };

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line; /* 1-based, where it starts */
    char *text;    /* SCALAR: NUL-terminated; never contains NUL */
    bool plain;    /* SCALAR: not quoted, not a block: `~`, `null` and empty are null, true/false/numbers are
                      typed */
    bool literal;  /* SCALAR: a block (`|`), whose text has the lines behind `line` */
    unsigned column;           /* 1-based, in characters, where it starts */
    size_t n;                  /* SEQUENCE: items; MAPPING: pairs */
    struct yaml_node **keys;   /* MAPPING: scalars */
    struct yaml_node **values; /* SEQUENCE items or MAPPING values */
};

struct yaml_document; /* owns all nodes */

/* Parses `len` bytes of UTF-8. *ret_root is NULL for an empty document. INVALID_ARGUMENT "yaml: line N: ..."
 * on bad input; RESOURCE_EXHAUSTED past a bound. */
struct yaml_document *yaml_parse(const char *text, size_t len, size_t max_len,
                                 const struct yaml_node **ret_root, struct error **err);

/* Like yaml_parse() for a stream of documents ("---"): calls `each` with every non-empty root; stops at the
 * first -1. */
int yaml_parse_all(const char *text, size_t len, size_t max_len,
                   int (*each)(const struct yaml_node *root, void *arg, struct error **err), void *arg,
                   struct error **err);

/* The value of a key in a mapping, or NULL (also when `node` is NULL or no mapping). A key that the mapping
 * itself lacks is searched in the merged ones: the mapping behind a plain "<<", or the first of a sequence of
 * them that has the key. */
const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);

/* True for the key of a merge: "<<", not in quotes. */
bool yaml_is_merge(const struct yaml_node *key);

/* What is merged into a mapping, number `i`: the first one counts before the others. NULL behind the last
 * one, and for what is no mapping. It may be no mapping itself. */
const struct yaml_node *yaml_merged(const struct yaml_node *node, size_t i);

/* True for NULL, and for a plain scalar that is empty, "~", "null", "Null" or "NULL". */
bool yaml_is_null(const struct yaml_node *node);

/* "mapping", "sequence", "scalar": for error texts ("!!map" and so on are up to the caller). */
const char *yaml_kind_name(const struct yaml_node *node);

void yaml_document_free(struct yaml_document *document);
static inline void cleanup_yaml_func(struct yaml_document **document)
{
    yaml_document_free(*document);
}
#define cleanup_yaml CLEANUP(cleanup_yaml_func)

#endif
