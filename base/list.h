/* list.h: an intrusive doubly linked list with a head.
 *
 * struct list_node stands inside the element; LIST_OF gives the element back.
 * A node that is in no list points to itself after list_init or list_remove.
 *
 * Threads: as the owner of the list says.
 */
#ifndef GODWIT_BASE_LIST_H
#define GODWIT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

#define LIST_OF(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

#define LIST_EACH(node, head)                                   \
    for (struct list_node *node = (head)->next; node != (head); \
         node = node->next)

/* As LIST_EACH, when the body may remove @node. */
#define LIST_EACH_SAFE(node, head)                                         \
    for (struct list_node *node = (head)->next, *node##_next = node->next; \
         node != (head); node = node##_next, node##_next = node->next)

static inline void list_init(struct list_node *head)
{
    head->prev = head;
    head->next = head;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

/* Append at the end. */
static inline void list_push(struct list_node *head, struct list_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Remove and return the first node; NULL when empty. */
static inline struct list_node *list_pop(struct list_node *head)
{
    struct list_node *node = head->next;
    if (node == head) {
        return NULL;
    }
    list_remove(node);
    return node;
}

/* Move all of @from, which becomes empty, to the end of @to. */
static inline void list_move(struct list_node *to, struct list_node *from)
{
    if (list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
