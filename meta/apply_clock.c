/* The cluster's time: what a majority of those who keep the catalogue have on
 * their own clocks. Retention goes by it, and by no one machine's clock: one
 * that runs ahead vouches for nothing, one that lags holds nothing back, and
 * the time never goes back.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "meta/apply_registry.h"

static int latest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x < y) - (x > y);
}

/* Does the server keep the catalogue? */
static int may_vote(struct step *s, uint32_t server, bool *may)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_SERVER_HEAD);
    bool found;
    int rc;

    bind_u64(q, 1, server);
    rc = step_find(s, q, &found);
    *may = rc == 0 && found &&
           sqlite3_column_int(q, 0) != META_SERVER_REMOVED &&
           (sqlite3_column_int(q, 1) & META_SERVER_META) != 0;
    meta_db_done(s->db, STMT_SERVER_HEAD);
    return rc;
}

/* The clocks of those who may vote; *@count of them. */
static int take_votes(struct step *s, bool alone, uint64_t *clocks,
                      uint64_t *count)
{
    size_t at = 0;
    int rc = 0;

    *count = 0;
    for (uint32_t i = 0; i < s->c->count && rc == 0; i++) {
        struct command_item vote;
        bool may = alone && s->c->count == 1;
        command_item(s->c, &at, &vote);
        if (!alone) {
            rc = may_vote(s, vote.number, &may);
        }
        if (may) {
            clocks[(*count)++] = vote.id;
        }
    }
    return rc;
}

static int advance(struct step *s, uint64_t time_ms)
{
    sqlite3_stmt *q;

    if (time_ms <= s->a->state.clock_ms) {
        return 0;
    }
    s->a->state.clock_ms = time_ms;
    q = meta_db_stmt(s->db, STMT_CLOCK_SET);
    bind_u64(q, 1, time_ms);
    return step_run(s, STMT_CLOCK_SET, q);
}

int apply_clock_vote(struct step *s)
{
    uint64_t *clocks = mem_calloc((size_t)s->c->count + 1, sizeof *clocks);
    uint64_t electorate, count = 0;
    int rc = registry_count(s, STMT_SERVER_META_COUNT, 0, &electorate);

    if (rc == 0) {
        rc = take_votes(s, electorate == 0, clocks, &count);
    }
    if (electorate == 0) { /* a store that is one machine */
        electorate = 1;
    }
    if (rc == 0 && count * 2 <= electorate) {
        s->status = ERR_PRECONDITION;
    } else if (rc == 0) {
        qsort(clocks, count, sizeof *clocks, latest_first);
        rc = advance(s, clocks[electorate / 2]);
    }
    free(clocks);
    return rc;
}
