/*
 * volume_names.c - the names of volumes, once for all components.
 */
#include "driver/volume/volume_names.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hash.h"

/* A path of the kubelet: <root>/<pod uid>/volumes/kubernetes.io~csi/<volume>/mount. */
#define PATH_MIDDLE "/volumes/kubernetes.io~csi/"
#define PATH_END    "/mount"

/* The kubelet's directory of pods, as the paths have it. */
struct path_root {
    struct list link; /* in the pool's list */
    size_t users;
    char text[];
};

/* A volume takes this once, and little else is as long. */
struct shared_names {
    struct hash_link link; /* in the pool's table */
    uint32_t hash;         /* of the target path */
    uint32_t refs;
    struct path_root *root; /* NULL: the path is not one of the kubelet's */
    char text[]; /* volume (without a root: target path), namespace, pod, uid, class, each with its NUL */
};

static const char *text_of(const char *text)
{
    return text != NULL ? text : "";
}

/* Of all but the target path. */
static size_t size_of_others(const struct volume_names *names)
{
    return strlen(text_of(names->ns)) + strlen(text_of(names->pod_name)) + strlen(text_of(names->pod_uid)) +
           strlen(text_of(names->class_name)) + 4;
}

static void write_others(char *at, const struct volume_names *names)
{
    (void)alloc_put_text(&at, text_of(names->ns));
    (void)alloc_put_text(&at, text_of(names->pod_name));
    (void)alloc_put_text(&at, text_of(names->pod_uid));
    (void)alloc_put_text(&at, text_of(names->class_name));
}

/* The text behind *at, and *at behind that. */
static const char *take(const char **at)
{
    const char *text = *at;

    *at += strlen(text) + 1;
    return text;
}

static struct volume_names read_texts(const char *at)
{
    struct volume_names names;

    names.target_path = take(&at);
    names.ns = take(&at);
    names.pod_name = take(&at);
    names.pod_uid = take(&at);
    names.class_name = take(&at);
    return names;
}

struct volume_names *volume_names_copy(const struct volume_names *names)
{
    const char *path = text_of(names->target_path);
    struct volume_names *copy = malloc(sizeof(*copy) + strlen(path) + 1 + size_of_others(names));
    char *at;

    if (copy == NULL)
        return NULL;
    at = (char *)(copy + 1);
    (void)alloc_put_text(&at, path);
    write_others(at, names);
    *copy = read_texts((const char *)(copy + 1));
    return copy;
}

/* --- roots of paths, once for all volumes --- */

/* Has the path the kubelet's shape, with this very pod and without a slash too many? */
static bool has_root(const struct volume_names *names, struct target_path *ret)
{
    return names->target_path != NULL && target_path_parse(names->target_path, ret) &&
           ret->pod_uid_len == strlen(text_of(names->pod_uid)) &&
           memcmp(ret->pod_uid, names->pod_uid, ret->pod_uid_len) == 0 &&
           ret->pods_len + strlen("/") + ret->pod_uid_len + strlen(PATH_MIDDLE) + ret->volume_name_len +
                   strlen(PATH_END) ==
               strlen(names->target_path);
}

/* One use of the root that is the first `len` bytes of `path`. NULL on lack of memory. */
static struct path_root *root_get(struct volume_names_pool *pool, const char *path, size_t len)
{
    struct path_root *root;

    for (struct list *link = pool->roots.next; link != &pool->roots; link = link->next) {
        root = container_of(link, struct path_root, link);
        if (strncmp(root->text, path, len) == 0 && root->text[len] == '\0') {
            root->users++;
            return root;
        }
    }
    root = malloc(sizeof(*root) + len + 1);
    if (root == NULL)
        return NULL;
    root->users = 1;
    memcpy(root->text, path, len);
    root->text[len] = '\0';
    list_insert_before(&pool->roots, &root->link);
    return root;
}

/* Ends one use. Accepts NULL. */
static void root_unref(struct path_root *root)
{
    if (root == NULL || --root->users > 0)
        return;
    list_remove(&root->link);
    free(root);
}

/* --- shared copies --- */

static const struct shared_names *shared_at(const struct hash_link *link)
{
    return const_container_of(link, struct shared_names, link);
}

static uint32_t hash_of(const struct hash_link *link)
{
    return shared_at(link)->hash;
}

/* Does `text` begin with `beginning`? Then *text is what is behind it. */
static bool skip(const char **text, const char *beginning)
{
    size_t len = strlen(beginning);

    if (strncmp(*text, beginning, len) != 0)
        return false;
    *text += len;
    return true;
}

bool shared_names_have_path(const struct shared_names *shared, const char *path)
{
    const struct volume_names own = read_texts(shared->text);

    if (shared->root == NULL)
        return strcmp(own.target_path, path) == 0;
    return skip(&path, shared->root->text) && skip(&path, "/") && skip(&path, own.pod_uid) &&
           skip(&path, PATH_MIDDLE) && skip(&path, own.target_path) && strcmp(path, PATH_END) == 0;
}

bool shared_names_are(const struct shared_names *shared, const struct volume_names *names)
{
    const struct volume_names own = read_texts(shared->text);

    return shared_names_have_path(shared, text_of(names->target_path)) &&
           strcmp(own.ns, text_of(names->ns)) == 0 && strcmp(own.pod_name, text_of(names->pod_name)) == 0 &&
           strcmp(own.pod_uid, text_of(names->pod_uid)) == 0 &&
           strcmp(own.class_name, text_of(names->class_name)) == 0;
}

static bool matches(const struct hash_link *link, const void *names)
{
    return shared_names_are(shared_at(link), names);
}

void volume_names_pool_init(struct volume_names_pool *pool)
{
    hash_table_init(&pool->table, hash_of);
    list_init(&pool->roots);
}

void volume_names_pool_finish(struct volume_names_pool *pool)
{
    assert(pool->table.n == 0 && list_empty(&pool->roots));
    hash_table_finish(&pool->table);
}

/* Without a pool there is no root to share. */
static struct shared_names *shared_create(struct volume_names_pool *pool, const struct volume_names *names)
{
    struct target_path parsed;
    struct path_root *root =
        pool != NULL && has_root(names, &parsed) ? root_get(pool, names->target_path, parsed.pods_len) : NULL;
    const char *kept = root != NULL ? parsed.volume_name : text_of(names->target_path);
    size_t len = root != NULL ? parsed.volume_name_len : strlen(kept);
    struct shared_names *shared = malloc(sizeof(*shared) + len + 1 + size_of_others(names));

    if (shared == NULL) {
        root_unref(root);
        return NULL;
    }
    *shared = (struct shared_names){.refs = 1, .root = root};
    memcpy(shared->text, kept, len);
    shared->text[len] = '\0';
    write_others(shared->text + len + 1, names);
    return shared;
}

static void shared_free(struct shared_names *shared)
{
    root_unref(shared->root);
    free(shared);
}

struct shared_names *shared_names_get(struct volume_names_pool *pool, const struct volume_names *names)
{
    uint32_t hash = hash_text(HASH_START, text_of(names->target_path));
    struct hash_link *link = pool != NULL ? hash_table_find(&pool->table, hash, matches, names) : NULL;
    struct shared_names *shared;

    if (link != NULL) {
        shared = container_of(link, struct shared_names, link);
        shared->refs++;
        return shared;
    }
    shared = shared_create(pool, names);
    if (shared == NULL)
        return NULL;
    shared->hash = hash;
    if (pool != NULL && hash_table_add(&pool->table, &shared->link) < 0) {
        shared_free(shared);
        return NULL;
    }
    return shared;
}

void shared_names_unref(struct volume_names_pool *pool, struct shared_names *shared)
{
    if (shared == NULL || --shared->refs > 0)
        return;
    if (pool != NULL)
        hash_table_remove(&pool->table, &shared->link);
    shared_free(shared);
}

struct volume_names shared_names_read(const struct shared_names *shared, char path[TARGET_PATH_MAX + 1])
{
    struct volume_names names = read_texts(shared->text);
    const char *volume = names.target_path;

    names.target_path = path;
    if (path == NULL)
        return names;
    if (shared->root == NULL)
        (void)snprintf(path, TARGET_PATH_MAX + 1, "%s", volume);
    else
        (void)snprintf(path, TARGET_PATH_MAX + 1, "%s/%s" PATH_MIDDLE "%s" PATH_END, shared->root->text,
                       names.pod_uid, volume);
    return names;
}

uint32_t shared_names_hash(const struct shared_names *shared)
{
    return shared->hash;
}
