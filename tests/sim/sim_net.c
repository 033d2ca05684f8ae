#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/sim.h"

static void send_once(struct sim_member *m, unsigned to, const void *bytes,
                      size_t len)
{
    struct sim *s = m->s;
    const struct sim_knobs *k = &s->knobs;
    uint64_t after = sim_between(s, k->delay_min, k->delay_max);
    uint64_t *link_free = &s->link_free[m->id][to];
    struct sim_event *e;

    if (!s->faults_over && sim_chance(s, k->long_ppm)) {
        after += sim_draw(s, 3 * SIM_SECOND);
    }
    if (k->fifo) { /* one connection: what came first goes first */
        if (s->now + after <= *link_free) {
            after = *link_free - s->now + 1;
        }
        *link_free = s->now + after;
    }
    e = sim_at(s, after, SIM_MESSAGE, &s->members[to]);
    e->life = 0; /* whoever then lives there */
    e->from = m->id;
    e->bytes = mem_dup(bytes, len);
    e->len = len;
}

void sim_net_send(struct sim_member *m, unsigned to, const void *bytes,
                  size_t len)
{
    struct sim *s = m->s;

    if (to == 0 || to > s->knobs.servers || s->blocked[m->id][to]) {
        return;
    }
    if (!s->faults_over && sim_chance(s, s->knobs.loss_ppm)) {
        return;
    }
    send_once(m, to, bytes, len);
    if (!s->faults_over && sim_chance(s, s->knobs.again_ppm)) {
        send_once(m, to, bytes, len);
    }
}

bool sim_net_arrives(struct sim *s, const struct sim_event *e)
{
    return !s->blocked[e->from][e->member] && s->members[e->member].up;
}

void sim_net_heal(struct sim *s)
{
    memset(s->blocked, 0, sizeof s->blocked);
}
