/* audit_check.h: is an exported audit log whole, and as it was made?
 *
 * It is, when:
 *   1. every line is one that audit_entry.h writes, the first is the head;
 *   2. numbers follow on each other without a gap, from 1 or from behind the
 *      checkpoint that stands right after the head;
 *   3. such a checkpoint is of the number that the last CUT entry names;
 *   4. each entry's hash is that of the chain, and cluster time never goes
 *      back;
 *   5. every checkpoint has the number and hash of the entry before it, and is
 *      signed by one of the keys that are trusted; by one key, when none is
 *      named;
 *   6. the last line is a checkpoint, so that nothing is missing behind.
 *
 * Threads: a check belongs to its caller.
 */
#ifndef GODWIT_META_AUDIT_CHECK_H
#define GODWIT_META_AUDIT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/audit_entry.h"

struct err;

#define AUDIT_CHECK_KEYS_MAX 16

struct audit_check {
    uint8_t keys[AUDIT_CHECK_KEYS_MAX][AUDIT_KEY]; /* that are trusted */
    size_t key_count; /* 0: the first that signs is, and it is added */
    /* what was found */
    uint64_t lines, entries, checkpoints;
    uint64_t first, last; /* numbers of entries */
    uint64_t lost;        /* decisions that gateways dropped and counted */
    /* its own */
    bool named; /* the keys are the caller's */
    uint8_t cluster[16];
    uint8_t hash[AUDIT_HASH];
    uint64_t base, cut, clock_ms;
    bool at_checkpoint;
};

/* Zeroed but for the keys. */
void audit_check_begin(struct audit_check *c);
/* The next line, without its newline. ERR_CORRUPT says which, and what is
 * wrong; then there is no going on. */
int audit_check_line(struct audit_check *c, const char *line, size_t len,
                     struct err *err);
int audit_check_end(struct audit_check *c, struct err *err);

#endif
