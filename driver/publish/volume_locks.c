/*
 * volume_locks.c - one operation at a time per target path, first come, first served.
 */
#include "driver/publish/volume_locks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

struct volume_locks {
    struct list held; /* the holders; a node has some hundred volumes at most, a walk is cheap */
    size_t count;
    void (*idle)(void *arg);
    void *idle_arg;
};

struct volume_locks *volume_locks_create(struct error **err)
{
    struct volume_locks *locks = alloc_zeroed(sizeof(*locks), err);

    if (locks == NULL)
        return NULL;
    list_init(&locks->held);
    return locks;
}

void volume_locks_destroy(struct volume_locks *locks)
{
    assert(locks == NULL || locks->count == 0);
    free(locks);
}

static struct volume_lock *holder_of(const struct volume_locks *locks, const char *path)
{
    for (struct list *link = locks->held.next; link != &locks->held; link = link->next) {
        struct volume_lock *lock = container_of(link, struct volume_lock, link);

        if (strcmp(lock->path, path) == 0)
            return lock;
    }
    return NULL;
}

bool volume_lock_take(struct volume_locks *locks, struct volume_lock *lock, const char *path,
                      volume_lock_granted *granted, volume_lock_interrupted *interrupted)
{
    struct volume_lock *holder = holder_of(locks, path);

    *lock = (struct volume_lock){
        .path = path, .granted = granted, .interrupted = interrupted, .locks = locks, .held = holder == NULL};
    list_init(&lock->link);
    list_init(&lock->waiting);
    list_insert_before(holder == NULL ? &locks->held : &holder->waiting, &lock->link);
    locks->count++;
    return lock->held;
}

void volume_lock_release(struct volume_lock *lock)
{
    struct volume_locks *locks = lock->locks;
    struct volume_lock *next = NULL;

    if (locks == NULL)
        return;
    list_remove(&lock->link);
    lock->locks = NULL;
    if (lock->held && !list_empty(&lock->waiting)) {
        next = container_of(lock->waiting.next, struct volume_lock, link);
        list_remove(&next->link);
        list_move_all(&next->waiting, &lock->waiting);
        list_insert_before(&locks->held, &next->link);
        next->held = true;
    }
    locks->count--;
    if (next != NULL) {
        next->granted(next);
    } else if (locks->count == 0 && locks->idle != NULL) {
        void (*idle)(void *arg) = locks->idle;

        locks->idle = NULL;
        idle(locks->idle_arg);
    }
}

void volume_locks_interrupt(struct volume_locks *locks, const char *path)
{
    struct volume_lock *holder = holder_of(locks, path);
    struct list *link;
    struct list *ahead;

    if (holder == NULL)
        return;
    /* From the end of the line to its head, so that no interrupted lock is granted first. One in line
     * leaves at once. */
    for (link = holder->waiting.prev; link != &holder->waiting; link = ahead) {
        struct volume_lock *lock = container_of(link, struct volume_lock, link);

        ahead = link->prev;
        if (lock->interrupted != NULL)
            lock->interrupted(lock);
    }
    if (holder->interrupted != NULL)
        holder->interrupted(holder);
}

size_t volume_locks_count(const struct volume_locks *locks)
{
    return locks->count;
}

void volume_locks_on_idle(struct volume_locks *locks, void (*idle)(void *arg), void *arg)
{
    if (locks->count == 0) {
        idle(arg);
        return;
    }
    assert(locks->idle == NULL);
    locks->idle = idle;
    locks->idle_arg = arg;
}
