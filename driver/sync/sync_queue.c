/*
 * sync_queue.c - the order of runs.
 */
#include "driver/sync/sync_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

struct sync_class {
    struct hash_link link;
    unsigned members;
    unsigned n_running;
    struct list waiting; /* entries that were found while another one was running */
    char text[];         /* namespace and name, each with its NUL */
};

struct class_key {
    const char *ns;
    const char *name;
};

static const char *name_of(const struct sync_class *class)
{
    return class->text + strlen(class->text) + 1;
}

static uint32_t hash_key(const char *ns, const char *name)
{
    return hash_text(hash_text(HASH_START, ns), name);
}

static uint32_t hash_of(const struct hash_link *link)
{
    const struct sync_class *class = const_container_of(link, struct sync_class, link);

    return hash_key(class->text, name_of(class));
}

static bool matches(const struct hash_link *link, const void *searched)
{
    const struct sync_class *class = const_container_of(link, struct sync_class, link);
    const struct class_key *key = searched;

    return strcmp(class->text, key->ns) == 0 && strcmp(name_of(class), key->name) == 0;
}

void sync_queue_init(struct sync_queue *queue, sync_queue_is_urgent *is_urgent)
{
    *queue = (struct sync_queue){.is_urgent = is_urgent};
    hash_table_init(&queue->classes, hash_of);
    list_init(&queue->ready);
}

void sync_queue_finish(struct sync_queue *queue)
{
    assert(queue->classes.n == 0);
    hash_table_finish(&queue->classes);
}

/* --- classes --- */

static struct sync_class *class_create(struct sync_queue *queue, const struct class_key *key)
{
    size_t ns_size = strlen(key->ns) + 1;
    size_t name_size = strlen(key->name) + 1;
    struct sync_class *class = malloc(sizeof(*class) + ns_size + name_size);

    if (class == NULL)
        return NULL;
    *class = (struct sync_class){.members = 0};
    list_init(&class->waiting);
    memcpy(class->text, key->ns, ns_size);
    memcpy(class->text + ns_size, key->name, name_size);
    if (hash_table_add(&queue->classes, &class->link) < 0) {
        free(class);
        return NULL;
    }
    return class;
}

int sync_queue_join(struct sync_queue *queue, struct sync_queue_entry *entry, const char *ns,
                    const char *class_name)
{
    const struct class_key key = {.ns = ns, .name = class_name};
    struct hash_link *link = hash_table_find(&queue->classes, hash_key(ns, class_name), matches, &key);
    struct sync_class *class =
        link != NULL ? container_of(link, struct sync_class, link) : class_create(queue, &key);

    if (class == NULL)
        return -1;
    class->members++;
    *entry = (struct sync_queue_entry){.class = class};
    list_init(&entry->link);
    return 0;
}

/* It is the turn of the one that waits the longest, unless another one is running. */
static void call_next(struct sync_queue *queue, struct sync_class *class)
{
    struct list *next = class->waiting.next;

    if (class->n_running > 0 || list_empty(&class->waiting))
        return;
    list_remove(next);
    list_insert_before(&queue->ready, next);
}

void sync_queue_leave(struct sync_queue *queue, struct sync_queue_entry *entry)
{
    struct sync_class *class = entry->class;

    if (entry->running) {
        sync_queue_end(queue, entry);
    } else if (!list_empty(&entry->link)) {
        list_remove(&entry->link);
        call_next(queue, class); /* it may have been called itself, and not have started yet */
    }
    entry->class = NULL;
    if (--class->members > 0)
        return;
    hash_table_remove(&queue->classes, &class->link);
    free(class);
}

/* --- the order --- */

void sync_queue_add(struct sync_queue *queue, struct sync_queue_entry *entry, enum sync_queue_place place)
{
    if (!list_empty(&entry->link)) {
        if (place != SYNC_QUEUE_FIRST)
            return;
        list_remove(&entry->link);
    }
    list_insert_before(place == SYNC_QUEUE_FIRST ? queue->ready.next : &queue->ready, &entry->link);
}

struct sync_queue_entry *sync_queue_start(struct sync_queue *queue)
{
    while (!list_empty(&queue->ready)) {
        struct sync_queue_entry *entry = container_of(queue->ready.next, struct sync_queue_entry, link);
        struct sync_class *class = entry->class;

        queue->visits++;
        list_remove(&entry->link);
        if (class->n_running > 0 && !queue->is_urgent(entry)) {
            list_insert_before(&class->waiting, &entry->link);
            continue;
        }
        entry->running = true;
        class->n_running++;
        queue->n_running++;
        return entry;
    }
    return NULL;
}

void sync_queue_end(struct sync_queue *queue, struct sync_queue_entry *entry)
{
    entry->running = false;
    queue->n_running--;
    entry->class->n_running--;
    call_next(queue, entry->class);
}
