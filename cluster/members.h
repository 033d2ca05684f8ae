/* members.h: who should vote in the catalogue.
 *
 * Every server is a member of the catalogue and gets its log, so that it can
 * be asked for reads; of those with the meta role the first CLUSTER_VOTERS
 * (three until there are five) by id vote, the others stand by. A voter that is
 * not heard gives its vote to a standby that is; a removed server leaves. An
 * even number of voters gains nothing, so the second server stands by until
 * there is a third.
 *
 * Pure function. Threads: any.
 */
#ifndef GODWIT_CLUSTER_MEMBERS_H
#define GODWIT_CLUSTER_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/meta.h"

struct member_server {
    uint32_t id;
    bool in;    /* was not removed */
    bool meta;  /* and has the role */
    bool heard; /* lately */
};

struct member_step {
    uint32_t server; /* 0: nothing to do */
    enum meta_role role;
    bool remove;
};

/* The next single change that leads from @members (as the catalogue's
 * configuration has them) to who should be; @self leads and is never demoted
 * here. One that was itself removed changes nothing. */
struct member_step members_next(const struct meta_member *members,
                                size_t member_count,
                                const struct member_server *servers,
                                size_t server_count, uint32_t self,
                                unsigned voters_max);

#endif
