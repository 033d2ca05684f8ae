/* apply_registry.h: rows of the registry, for the files that apply to it.
 *
 * Which servers, drives and join tokens there are. Rows of what was removed
 * stay, so that ids, keys and drives are known for ever; the counters in table
 * cluster say so again. Functions return as those of apply_step.h do.
 *
 * Threads: the apply thread.
 */
#ifndef GODWIT_META_APPLY_REGISTRY_H
#define GODWIT_META_APPLY_REGISTRY_H

#include "meta/apply_step.h"

/* The row of table cluster, or what it becomes. */
struct registry {
    bool there;
    uint8_t id[META_CLUSTER_ID];
    uint64_t revision, next_server, next_drive, next_zone;
};

struct server_row {
    bool there;
    uint64_t id;
    unsigned state;
    unsigned roles;
};

/* Set the step's status and say why; gives 0. */
int registry_refuse(struct step *s, int status, enum command_refusal why);

int registry_read(struct step *s, struct registry *r);
/* The registry, or status ERR_PRECONDITION. */
int registry_open(struct step *s, struct registry *r);
/* A server or drive has changed. */
int registry_write(struct step *s, const struct registry *r);

/* The number that @name gives, with @arg when it takes one; 0 for no row. */
int registry_count(struct step *s, enum meta_statement name, uint64_t arg,
                   uint64_t *n);

/* The command's server, or status ERR_NOT_FOUND. */
int registry_server(struct step *s, struct server_row *v);
/* The registry and the command's server, which was not removed; or a status. */
int registry_server_open(struct step *s, struct registry *r,
                         struct server_row *v);

/* Is there a place for @more drives? Else status ERR_LIMIT. */
int registry_judge_drives(struct step *s, const struct registry *r,
                          uint64_t more);
/* Make the drive @r->next_drive; the registry is yet to be written. */
int registry_drive_insert(struct step *s, struct registry *r, uint64_t server,
                          uint32_t weight, const uint8_t *uuid);
/* Set a state, by SERVER_STATE or DRIVE_STATE; then write the registry. */
int registry_set_state(struct step *s, const struct registry *r,
                       enum meta_statement name, uint64_t id, unsigned state);

#endif
