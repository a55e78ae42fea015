/*
 * list.h - a circular doubly linked list through links embedded in the members.
 *
 * A head and a member are the same struct. A link that is in no list points at itself, so that removing it
 * again is harmless; every link must be initialised with list_init() before its first use.
 */
#ifndef COMMON_BASE_LIST_H
#define COMMON_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

/* The struct of `type` that has `*link` as its `member`. */
#define container_of(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* The same for a link that is not to be changed. */
#define const_container_of(link, type, member)                                                               \
    ((const type *)(const void *)((const char *)(link)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->prev = list;
    list->next = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

/* Puts `link`, which is in no list, in front of `before` (in front of the head: at the end). */
static inline void list_insert_before(struct list *before, struct list *link)
{
    link->prev = before->prev;
    link->next = before;
    before->prev->next = link;
    before->prev = link;
}

/* Takes `link` out of its list. Harmless when it is in none. */
static inline void list_remove(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Moves all members of `from` to the end of `to`. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
