#include "edge-agent/rules.h"

#include "fleet/edge_policy.h"

_Static_assert(EDGE_CLASSES == SPOOL_CLASSES, "classes are the same to both");

static void class_rules(const struct edge_policy_class *c, uint8_t i,
                        struct rules *out)
{
    out->intake.spool.priority[i] = c->priority;
    out->sync.order.priority[i] = c->priority;
    out->intake.spool.reserved[i] = c->reserved;
    out->intake.spool.deadline_ms[i] = c->deadline_ms;
    if (c->order != EDGE_ORDER_UNSAID) {
        out->sync.order.newest_first[i] = c->order == EDGE_ORDER_NEWEST;
    }
}

void rules_make(const struct rules *flags, const struct edge_policy *p,
                struct rules *out)
{
    static const enum spool_full full[] = {
        [EDGE_FULL_REFUSE] = SPOOL_REFUSE,
        [EDGE_FULL_OLDEST] = SPOOL_OLDEST,
        [EDGE_FULL_CLASS] = SPOOL_LOWEST,
    };

    *out = *flags;
    if (p->when_full != EDGE_FULL_UNSAID) {
        out->intake.spool.when_full = full[p->when_full];
    }
    if (p->max_bytes != 0) {
        out->intake.spool.max_bytes = p->max_bytes;
    }
    if (p->max_objects != 0) {
        out->intake.spool.max_objects = p->max_objects;
    }
    for (uint8_t i = 0; i < EDGE_CLASSES; i++) {
        class_rules(&p->classes[i], i, out);
    }
    out->intake.flash_budget = p->flash_budget;
    out->intake.drop_metadata = &p->drop_metadata;
    out->intake.drop_json = &p->drop_json;
    if (p->zstd_said) {
        out->intake.zstd = p->zstd;
    }
    if (p->rate_said) {
        out->sync.rate = p->rate;
    }
    if (p->hours != NULL) {
        (void)sync_hours_parse(p->hours, &out->sync.hours, NULL); /* judged */
    }
    out->sync.metered_file = p->metered_file;
    out->sync.metered_priority = p->metered_class;
}
