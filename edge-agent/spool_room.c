/* spool_room.c: who may have room, and who gives way for it.
 *
 * First what is past its deadline, whatever the policy; then as the policy has
 * it. What a class has reserved is for it alone: others neither take the room
 * nor, while it holds no more than that, shed its objects.
 */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "edge-agent/spool_state.h"

/* A clock below this is not set, and tells no age: 2020-01-01. */
#define CLOCK_SET_MS 1577836800000ull

static uint64_t reserved_bytes(const struct spool *s, uint8_t class_id)
{
    return (uint64_t)s->slot_max * SPOOL_SEGMENT / 100 *
           s->rules.reserved[class_id];
}

/* May objects of it be shed for one of @class_id? */
static bool gives_way(const struct spool *s, uint8_t c, uint8_t class_id)
{
    return c == class_id || s->rules.reserved[c] == 0 ||
           spool_index_class_bytes(s->index, c) > reserved_bytes(s, c);
}

/* ---- whose time is over ---- */

/* When the oldest of a class was taken; 0: not known. */
static uint64_t oldest_time(struct spool *s, const struct index_entry *e)
{
    struct spool_age *a = &s->ages[e->class_id];
    struct spool_record r;

    if (a->id != e->id) {
        a->id = e->id;
        a->time_ms =
            spool_peek(s, e->slot, e->at, &r, NULL) == 0 ? r.time_ms : 0;
    }
    return a->time_ms;
}

static const struct index_entry *find_expired(struct spool *s)
{
    uint64_t now = clock_real_ms();

    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        uint64_t deadline = s->rules.deadline_ms[c];
        const struct index_entry *e =
            deadline > 0 ? spool_index_oldest(s->index, c) : NULL;
        uint64_t then = e != NULL ? oldest_time(s, e) : 0;
        if (then >= CLOCK_SET_MS && now > then && now - then > deadline) {
            return e;
        }
    }
    return NULL;
}

/* ---- who gives way ---- */

static const struct index_entry *find_oldest(struct spool *s, uint8_t class_id)
{
    const struct index_entry *oldest = NULL;

    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        const struct index_entry *e =
            gives_way(s, c, class_id) ? spool_index_oldest(s->index, c) : NULL;
        if (e != NULL && (oldest == NULL || e->id < oldest->id)) {
            oldest = e;
        }
    }
    return oldest;
}

static const struct index_entry *find_lowest(struct spool *s, uint8_t class_id)
{
    const uint8_t *priority = s->rules.priority;
    const struct index_entry *lowest = NULL;

    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        const struct index_entry *e =
            priority[c] <= priority[class_id] && gives_way(s, c, class_id)
                ? spool_index_oldest(s->index, c)
                : NULL;
        if (e != NULL &&
            (lowest == NULL || priority[c] < priority[lowest->class_id])) {
            lowest = e;
        }
    }
    return lowest;
}

bool spool_shed_one(struct spool *s, uint8_t class_id)
{
    const struct index_entry *e = find_expired(s);
    struct spool_object object;
    struct buf text = {0};
    bool expired = e != NULL;
    uint64_t id;

    if (e == NULL && s->rules.when_full == SPOOL_OLDEST) {
        e = find_oldest(s, class_id);
    } else if (e == NULL && s->rules.when_full == SPOOL_LOWEST) {
        e = find_lowest(s, class_id);
    }
    if (e == NULL) {
        return false;
    }
    id = e->id;
    if (s->options.shed != NULL) {
        if (spool_get(s, id, &object, &text, NULL) != 0) {
            object = (struct spool_object){.id = id, .class_id = e->class_id};
        }
        s->options.shed(s->options.arg, &object,
                        expired ? "its deadline" : "room");
        buf_free(&text);
    }
    s->expired += expired ? 1 : 0;
    spool_drop(s, id, SPOOL_SHED);
    return true;
}

/* ---- what is reserved ---- */

uint32_t spool_slots_used(const struct spool *s)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < s->slot_count; i++) {
        used += s->slots[i].live > 0 || i == s->active ? 1 : 0;
    }
    return used;
}

/* Bytes that a record of this class may not take: what others have reserved
 * and do not use. */
static uint64_t kept_from(const struct spool *s, uint8_t class_id)
{
    uint64_t kept = 0;

    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        uint64_t mine = c != class_id ? reserved_bytes(s, c) : 0;
        uint64_t used = mine > 0 ? spool_index_class_bytes(s->index, c) : 0;
        kept += mine > used ? mine - used : 0;
    }
    return kept;
}

bool spool_may_take(const struct spool *s, uint8_t class_id, size_t need)
{
    uint64_t kept = kept_from(s, class_id);
    uint32_t used;
    uint64_t left;

    if (kept == 0) {
        return true;
    }
    used = spool_slots_used(s);
    left =
        used < s->slot_max ? (uint64_t)(s->slot_max - used) * SPOOL_SEGMENT : 0;
    if (s->active != SPOOL_NONE) {
        left += SPOOL_SEGMENT - s->at - s->round_len;
    }
    return left >= kept + need;
}

void spool_set_rules(struct spool *s, const struct spool_rules *rules)
{
    CHECK(rules->max_bytes >= SPOOL_BYTES_MIN &&
          rules->max_bytes <= SPOOL_BYTES_MAX && rules->max_objects > 0);
    if (rules->max_bytes != s->rules.max_bytes) {
        s->slot_max = (uint32_t)(rules->max_bytes / SPOOL_SEGMENT);
    }
    s->rules = *rules;
}
