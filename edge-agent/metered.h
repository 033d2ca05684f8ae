/* metered.h: is the link one that costs? A file of the device says so.
 *
 * Whoever knows (a dispatcher of NetworkManager, a modem's script) writes one
 * word: yes, guess-yes, true, on, 1 or metered; all else, no file too, is no.
 * It is looked at once in METERED_MS at most.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_METERED_H
#define GODWIT_EDGE_METERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METERED_MS 5000

struct metered {
    char *path; /* NULL: never metered */
    bool looked, yes;
    uint64_t looked_ms;
};

/* @path is copied; NULL is none. */
void metered_set(struct metered *m, const char *path);
void metered_free(struct metered *m);
bool metered_now(struct metered *m, uint64_t now_ms);

/* Does what stands in the file mean yes? */
bool metered_word(const void *text, size_t len);

#endif
