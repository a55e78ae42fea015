/*
 * volume_names.c - the names of volumes, once for all components.
 */
#include "driver/volume/volume_names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hash.h"
#include "common/base/list.h"

/* A volume takes this once, and little else is as long. */
struct shared_names {
    struct hash_link link; /* in the pool's table */
    uint32_t hash;         /* of the target path */
    uint32_t refs;
    char text[]; /* target path, namespace, pod, uid, class, each with its NUL */
};

static const char *text_of(const char *text)
{
    return text != NULL ? text : "";
}

static size_t size_of(const struct volume_names *names)
{
    return strlen(text_of(names->target_path)) + strlen(text_of(names->ns)) +
           strlen(text_of(names->pod_name)) + strlen(text_of(names->pod_uid)) +
           strlen(text_of(names->class_name)) + 5;
}

static void write_texts(char *at, const struct volume_names *names)
{
    (void)alloc_put_text(&at, text_of(names->target_path));
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
    struct volume_names *copy = malloc(sizeof(*copy) + size_of(names));

    if (copy == NULL)
        return NULL;
    write_texts((char *)(copy + 1), names);
    *copy = read_texts((const char *)(copy + 1));
    return copy;
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

bool shared_names_are(const struct shared_names *shared, const struct volume_names *names)
{
    struct volume_names own = shared_names_read(shared);

    return strcmp(own.target_path, text_of(names->target_path)) == 0 &&
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
}

void volume_names_pool_finish(struct volume_names_pool *pool)
{
    assert(pool->table.n == 0);
    hash_table_finish(&pool->table);
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
    shared = malloc(sizeof(*shared) + size_of(names));
    if (shared == NULL)
        return NULL;
    *shared = (struct shared_names){.hash = hash, .refs = 1};
    write_texts(shared->text, names);
    if (pool != NULL && hash_table_add(&pool->table, &shared->link) < 0) {
        free(shared);
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
    free(shared);
}

struct volume_names shared_names_read(const struct shared_names *shared)
{
    return read_texts(shared->text);
}

const char *shared_names_path(const struct shared_names *shared)
{
    return shared->text;
}

uint32_t shared_names_hash(const struct shared_names *shared)
{
    return shared->hash;
}
