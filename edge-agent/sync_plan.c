#include "edge-agent/sync_plan.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "fleet/edge_policy.h"

#define HOUR_MS (3600ull * 1000)

static void begin_anew(struct sync_plan *p, size_t c)
{
    p->at[c] = p->order.newest_first[c] ? UINT64_MAX : 0;
    p->skipped[c] = false;
}

void sync_plan_order(struct sync_plan *p, const struct sync_order *order)
{
    size_t n = 0;

    p->order = *order;
    for (int priority = UINT8_MAX; priority >= 0; priority--) {
        for (uint8_t c = SPOOL_CLASSES; c-- > 0;) {
            if (order->priority[c] == priority) {
                p->classes[n++] = c;
            }
        }
    }
    for (size_t c = 0; c < SPOOL_CLASSES; c++) {
        begin_anew(p, c);
    }
}

void sync_plan_init(struct sync_plan *p, bool newest_first)
{
    struct sync_order order;

    memset(p, 0, sizeof *p);
    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        order.newest_first[c] = newest_first;
        order.priority[c] = c;
    }
    sync_plan_order(p, &order);
}

void sync_plan_batch(struct sync_plan *p)
{
    p->skips = 0;
}

void sync_plan_more(struct sync_plan *p)
{
    /* What is newer than all is found by who goes up anyway. */
    for (size_t c = 0; c < SPOOL_CLASSES; c++) {
        if (p->order.newest_first[c]) {
            begin_anew(p, c);
        }
    }
}

/* ---- what is under way ---- */

static bool hash_busy(const struct sync_plan *p, uint32_t hash)
{
    if (p->filter[hash % SYNC_FILTER] == 0) {
        return false;
    }
    for (size_t i = 0; i < p->busy_count; i++) {
        if (p->busy[i].hash == hash) {
            return true;
        }
    }
    return false;
}

static const struct index_entry *take(struct sync_plan *p,
                                      const struct index_entry *e)
{
    CHECK(p->busy_count < SYNC_BUSY_MAX);
    p->busy[p->busy_count++] = (struct sync_busy){e->id, e->hash};
    p->filter[e->hash % SYNC_FILTER]++;
    return e;
}

static bool forget(struct sync_plan *p, uint64_t id)
{
    for (size_t i = p->busy_count; i-- > 0;) {
        if (p->busy[i].id == id) {
            p->filter[p->busy[i].hash % SYNC_FILTER]--;
            p->busy[i] = p->busy[--p->busy_count];
            return true;
        }
    }
    return false;
}

void sync_plan_end(struct sync_plan *p, uint64_t id, bool again)
{
    if (!forget(p, id)) {
        return;
    }
    /* Whoever waited for it, or it itself, may go now. */
    for (size_t c = 0; c < SPOOL_CLASSES; c++) {
        if (again || p->skipped[c]) {
            begin_anew(p, c);
        }
    }
}

void sync_plan_put_back(struct sync_plan *p, uint64_t id)
{
    sync_plan_end(p, id, true);
}

/* ---- choosing ---- */

static const struct index_entry *step(const struct sync_plan *p,
                                      struct spool_index *x, uint8_t c)
{
    const struct index_entry *e;
    uint64_t at = p->at[c];

    do {
        e = p->order.newest_first[c] ? spool_index_before(x, at)
                                     : spool_index_after(x, at);
        at = e != NULL ? e->id : at;
    } while (e != NULL && e->class_id != c);
    return e;
}

static const struct index_entry *oldest_of_key(struct spool_index *x,
                                               const struct index_entry *e)
{
    for (const struct index_entry *older;
         (older = spool_index_find(x, e->hash, e->id)) != NULL;) {
        e = older;
    }
    return e;
}

/* Of one class; NULL when none may go now. */
static const struct index_entry *next_of(struct sync_plan *p,
                                         struct spool_index *x, uint8_t c,
                                         uint32_t size_max)
{
    const struct index_entry *e;

    while (p->skips < SYNC_SKIP_MAX && (e = step(p, x, c)) != NULL) {
        const struct index_entry *first = e;
        /* One class from its oldest on, none left out: nothing is older. */
        bool in_order = !p->order.newest_first[c] && !p->skipped[c] &&
                        spool_index_class_count(x, c) == spool_index_count(x);
        if (!hash_busy(p, e->hash)) {
            first = in_order ? e : oldest_of_key(x, e);
            if (first->stored_size <= size_max) {
                if (first != e) {
                    p->skipped[c] = true; /* it comes after the older ones */
                }
                p->at[c] = e->id;
                return first;
            }
        }
        p->at[c] = e->id;
        p->skipped[c] = true;
        p->skips++;
    }
    return NULL;
}

/* Rule 3. */
static const struct index_entry *or_oldest(struct sync_plan *p,
                                           struct spool_index *x,
                                           const struct index_entry *e,
                                           uint32_t size_max)
{
    const struct index_entry *oldest = spool_index_after(x, 0);

    if (e->id - oldest->id < SYNC_WINDOW || hash_busy(p, oldest->hash) ||
        oldest->stored_size > size_max) {
        return e;
    }
    p->skipped[e->class_id] = true; /* it comes later */
    return oldest;
}

const struct index_entry *sync_plan_next(struct sync_plan *p,
                                         struct spool_index *x,
                                         uint8_t priority_min,
                                         uint32_t size_max)
{
    if (p->busy_count == SYNC_BUSY_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < SPOOL_CLASSES; i++) {
        const struct index_entry *e = NULL;
        uint8_t c = p->classes[i];
        if (p->order.priority[c] < priority_min) {
            break;
        }
        if (spool_index_class_count(x, c) > 0) {
            e = next_of(p, x, c, size_max);
        }
        if (e != NULL) {
            return take(p, or_oldest(p, x, e, size_max));
        }
    }
    return NULL;
}

/* ---- when ---- */

uint64_t sync_backoff_ms(unsigned failures, uint64_t random)
{
    uint64_t ms = SYNC_BACKOFF_MIN_MS;

    for (unsigned i = 1; i < failures && ms < SYNC_BACKOFF_MAX_MS; i++) {
        ms *= 2;
    }
    ms = ms < SYNC_BACKOFF_MAX_MS ? ms : SYNC_BACKOFF_MAX_MS;
    return ms / 2 + random % (ms / 2 + 1);
}

int sync_hours_parse(const char *text, struct sync_hours *out, struct err *err)
{
    unsigned from, to;

    if (text == NULL || *text == '\0') {
        *out = (struct sync_hours){0};
        return 0;
    }
    if (!edge_hours(text, &from, &to)) {
        return err_set(err, ERR_BAD_INPUT,
                       "--hours \"%s\": two hours of the day, as 22-6", text);
    }
    *out = (struct sync_hours){true, from, to};
    return 0;
}

bool sync_hours_open(const struct sync_hours *h, uint64_t time_ms)
{
    unsigned hour = (unsigned)(time_ms / HOUR_MS % 24);

    if (!h->set) {
        return true;
    }
    return h->from < h->to ? hour >= h->from && hour < h->to
                           : hour >= h->from || hour < h->to;
}
