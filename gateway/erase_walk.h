/* erase_walk.h: which versions an erasure is about.
 *
 * Those that were there when it was asked for: by key, by prefix, by a field of
 * their metadata, or by the device that delivered them.
 *
 * Threads: those that may wait for the catalogue.
 */
#ifndef GODWIT_GATEWAY_ERASE_WALK_H
#define GODWIT_GATEWAY_ERASE_WALK_H

#include <stdbool.h>

#include "meta/command.h"

struct err;
struct gateway;
struct meta_erase;
struct meta_list_entry;

struct erase_walk {
    struct gateway *gateway;
    const struct meta_erase *erase;
    bool (*stopping)(void *arg);
    /* Not 0 ends the walk. @how its bytes would become unreadable. */
    int (*version)(void *arg, const struct meta_list_entry *e,
                   enum meta_erased_how how, struct err *err);
    /* An upload that is not complete; NULL: of no matter. */
    int (*upload)(void *arg, const struct meta_list_entry *e, struct err *err);
    void *arg;
};

/* ERR_BUSY: it was asked to stop. */
int erase_walk(const struct erase_walk *w, struct err *err);

#endif
