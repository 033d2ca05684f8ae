/* meta_audit.h: reads of the audit log.
 *
 * Threads: any. The *_local functions see what this member has applied and wait
 * for nobody.
 */
#ifndef GODWIT_META_META_AUDIT_H
#define GODWIT_META_META_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "meta/audit_entry.h"

struct err;
struct meta;

struct meta_audit_state {
    uint64_t number; /* of the last entry */
    uint64_t base;   /* all up to this one were removed */
    uint8_t hash[AUDIT_HASH];
    struct audit_settings set;
    uint64_t checkpoint, checkpoint_ms; /* the last; 0: none */
};
int meta_audit_state(struct meta *m, struct meta_audit_state *out,
                     struct err *err);
int meta_audit_state_local(struct meta *m, struct meta_audit_state *out,
                           struct err *err);

struct meta_audit_row {
    uint8_t hash[AUDIT_HASH];
    uint8_t *content; /* read with audit_entry_read */
    size_t len;
};
/* Up to @max entries after number @after; free each content, then the array. */
int meta_audit_list(struct meta *m, uint64_t after, size_t max,
                    struct meta_audit_row **out, size_t *count,
                    struct err *err);
/* Up to @max checkpoints of entries from number @from on; free(). */
int meta_audit_checkpoints(struct meta *m, uint64_t from, size_t max,
                           struct audit_checkpoint **out, size_t *count,
                           struct err *err);
/* The number of the last checkpoint before @clock_ms: what came later stands
 * behind it. 0: none. */
int meta_audit_before(struct meta *m, uint64_t clock_ms, uint64_t *number,
                      struct err *err);

#endif
