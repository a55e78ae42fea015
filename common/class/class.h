/*
 * class.h - a SecretProviderClass: which provider, with which parameters, and which Kubernetes Secrets to
 * fill from the files.
 *
 * API group secrets-store.csi.x-k8s.io, versions v1 and v1alpha1 (equal but for a status that is not used).
 *
 * One decoder serves both notations. It reads a neutral tree (struct class_tree below), which class_yaml.c
 * and class_json.c put over the output of their libraries.
 */
#ifndef COMMON_CLASS_CLASS_H
#define COMMON_CLASS_CLASS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/base/string_map.h"

#define CLASS_API_GROUP "secrets-store.csi.x-k8s.io"
#define CLASS_KIND      "SecretProviderClass"
#define CLASS_RESOURCE  "secretproviderclasses"

enum {
    CLASS_TEXT_MAX = 4 << 20, /* bytes of one file or API response; etcd refuses objects above 1.5 MiB, a file
                                 may hold several */
    CLASS_NAME_MAX = 253,     /* RFC 1123 subdomain, as Kubernetes limits names */
    CLASS_SECRET_OBJECTS_MAX = 1000, /* Secrets of one class, and keys of one Secret; far above use */
};

struct secret_object_data {
    char *object_name; /* path of the mounted file */
    char *key;         /* key in the Secret */
};

/* Annotations of a class that its author may set: the first two are of rotation.h, the third one says how
 * updates are written (class_updates_in_place()). */
#define CLASS_ANNOTATION_INTERVAL "secrets-store.csi.k8s.io/rotation-poll-interval"
#define CLASS_ANNOTATION_REFRESH  "secrets-store.csi.k8s.io/refresh"
#define CLASS_ANNOTATION_IN_PLACE "secrets-store.csi.k8s.io/update-in-place"

/* A Kubernetes Secret to keep equal to mounted files. Strings are owned, "" when absent, not trimmed. */
struct secret_object {
    char *secret_name;
    char *type;
    struct string_map labels;
    struct string_map annotations;
    struct secret_object_data *data;
    size_t n_data;
};

/* Does not change once it is decoded, so that several may share one: see secret_provider_class_ref(). Only
 * the loop shares one: neither the count nor `spec_hash` is made for threads. */
struct secret_provider_class {
    unsigned sharers; /* owners beyond the first */
    char *name;
    char *ns;
    char *uid;               /* "" when it does not come from the API */
    char *resource_version;  /* "" likewise; opaque */
    char *rotation_interval; /* the annotations as written, "" when absent (NULL counts as that) */
    char *refresh;
    char *update_in_place;
    char *spec_hash; /* kept by class_rotation_spec(); NULL until then */
    char *provider;  /* "" when absent: its user decides whether that is an error */
    struct string_map parameters;
    struct secret_object *secret_objects;
    size_t n_secret_objects;
};

/* One more owner of the same object; each calls secret_provider_class_free(). Returns `class`. */
struct secret_provider_class *secret_provider_class_ref(struct secret_provider_class *class);

/* One owner less; the last one frees. Accepts NULL. */
void secret_provider_class_free(struct secret_provider_class *class);

/* Are both the same object of the API server, unchanged? False when their versions are not known. */
bool secret_provider_class_is_same(const struct secret_provider_class *a,
                                   const struct secret_provider_class *b);

/* The memory that it takes, about: its texts, and what an allocator adds to each. */
size_t secret_provider_class_size(const struct secret_provider_class *class);

static inline void cleanup_class_func(struct secret_provider_class **class)
{
    secret_provider_class_free(*class);
}
#define cleanup_class CLEANUP(cleanup_class_func)

/* True for a name Kubernetes would accept: lower case letters, digits, '-' and '.', at most CLASS_NAME_MAX.
 * Names go into URLs and log lines. */
bool class_name_valid(const char *name);

/* Are the volumes of the class regular files that updates rewrite (payload.h)? The annotation
 * CLASS_ANNOTATION_IN_PLACE is "true", "false" or absent; INVALID_ARGUMENT for any other text. */
int class_updates_in_place(const struct secret_provider_class *class, bool *ret, struct error **err);

/* --- the neutral tree --- */

enum class_node_kind {
    CLASS_NODE_NULL,
    CLASS_NODE_STRING,
    CLASS_NODE_OTHER_SCALAR,
    CLASS_NODE_LIST,
    CLASS_NODE_MAP
};

/* How to read nodes of one notation. A node is an opaque pointer; NULL is a missing node and counts as
 * null. */
struct class_tree {
    enum class_node_kind (*kind)(const void *node);
    const char *(*text)(const void *node);                 /* of a STRING */
    size_t (*count)(const void *node);                     /* of a LIST or MAP */
    const void *(*item)(const void *node, size_t i);       /* LIST: item; MAP: value */
    const char *(*key)(const void *node, size_t i);        /* MAP; NULL: the member says what is merged */
    const void *(*merged)(const void *node, size_t i);     /* MAP: as yaml_merged() */
    const void *(*get)(const void *node, const char *key); /* MAP: value of the key or NULL */
    unsigned (*line)(const void *node);                    /* 1-based; 0 = not known */
};

enum class_decode_result {
    CLASS_DECODED,
    CLASS_OTHER_KIND, /* a well-formed object of another kind: not ours, not an error */
    CLASS_INVALID,    /* err is set */
};

/* Decodes one object. A missing metadata.namespace becomes `default_namespace`. Scalars are taken as the API
 * server takes them: where a string belongs, a number or bool is an error that names the field (and the
 * line). Unknown fields are ignored, as the API server prunes them. Errors: INVALID_ARGUMENT. */
enum class_decode_result class_decode(const struct class_tree *tree, const void *root,
                                      const char *default_namespace, struct secret_provider_class **ret,
                                      struct error **err);

/* --- notations --- */

/* Called for each class of a text; takes it over. Returns -1 to stop. */
typedef int class_found(struct secret_provider_class *class, void *arg, struct error **err);

/* Every SecretProviderClass of a YAML stream ("---"), in order; objects of other kinds are passed over.
 * Errors name the line. */
int class_yaml_each(const char *text, size_t len, const char *default_namespace, class_found *found,
                    void *arg, struct error **err);

/* One class from a node of a YAML document. */
struct yaml_node;
enum class_decode_result class_yaml_decode(const struct yaml_node *root, const char *default_namespace,
                                           struct secret_provider_class **ret, struct error **err);

/* As class_yaml_each() for one JSON object or a List with "items". */
int class_json_each(const char *text, size_t len, const char *default_namespace, class_found *found,
                    void *arg, struct error **err);

/* One class from a parsed API response. NULL with err set when it is something else. */
struct cJSON;
struct secret_provider_class *class_from_json(const struct cJSON *json, const char *default_namespace,
                                              struct error **err);

#endif
