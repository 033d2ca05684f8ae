#include "cluster/members.h"

static const struct meta_member *member_of(const struct meta_member *members,
                                           size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].server == id) {
            return &members[i];
        }
    }
    return NULL;
}

static const struct member_server *server_of(const struct member_server *s,
                                             size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (s[i].id == id) {
            return &s[i];
        }
    }
    return NULL;
}

/* One of one or two, three of three or four, five of five or more. */
static unsigned wanted_voters(unsigned able, unsigned max)
{
    unsigned n = able < max ? able : max;

    return n == 0 ? 0 : n - (n % 2 == 0);
}

static bool able(const struct member_server *s)
{
    return s->in && s->meta && s->heard;
}

static bool votes(const struct meta_member *m)
{
    return m != NULL && m->role == META_VOTER;
}

struct member_step members_next(const struct meta_member *members,
                                size_t member_count,
                                const struct member_server *servers,
                                size_t server_count, uint32_t self,
                                unsigned voters_max)
{
    unsigned with_role = 0, voters = 0, good_voters = 0, want;
    const struct member_server *own = server_of(servers, server_count, self);
    const struct member_server *standby = NULL;
    uint32_t last_voter = 0;
    uint32_t lost_voter = 0;

    /* A leader that was removed is listened to no longer: with a vote less the
     * others may be no majority, for ever. Its successor goes on. */
    if (own != NULL && !own->in) {
        return (struct member_step){0};
    }
    for (size_t i = 0; i < member_count; i++) {
        const struct member_server *s =
            server_of(servers, server_count, members[i].server);
        bool good = s != NULL && able(s);
        if (members[i].role == META_VOTER) {
            voters++;
            good_voters += good;
            if (members[i].server != self) {
                last_voter = members[i].server;
                lost_voter = good ? lost_voter : members[i].server;
            }
        }
        if ((s == NULL || !s->in) && members[i].server != self) {
            return (struct member_step){.server = members[i].server,
                                        .remove = true};
        }
    }
    for (size_t i = 0; i < server_count; i++) {
        const struct meta_member *m =
            member_of(members, member_count, servers[i].id);
        bool here = servers[i].in && servers[i].heard;
        with_role += servers[i].in && servers[i].meta;
        if (here && m == NULL) { /* first let it in */
            return (struct member_step){.server = servers[i].id,
                                        .role = META_SPARE};
        }
        if (here && m->role == META_SPARE) { /* gets the log */
            return (struct member_step){.server = servers[i].id,
                                        .role = META_STANDBY};
        }
        if (able(&servers[i]) && !votes(m) && standby == NULL) {
            standby = &servers[i];
        }
    }
    want = wanted_voters(with_role, voters_max); /* lost ones count */
    if (good_voters < want && standby != NULL) {
        return (struct member_step){.server = standby->id, .role = META_VOTER};
    }
    if (voters > want && lost_voter != 0 && good_voters >= want) {
        return (struct member_step){.server = lost_voter, .role = META_SPARE};
    }
    if (voters > want && good_voters > want && last_voter != 0) {
        return (struct member_step){.server = last_voter, .role = META_STANDBY};
    }
    return (struct member_step){0};
}
