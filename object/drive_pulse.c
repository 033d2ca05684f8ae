#include "object/drive_pulse.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"

#define VERBS 2

enum ask_state { ASKED, ANSWERED, ABANDONED };

struct pulse {
    atomic_uint open;      /* asked and not answered */
    atomic_uint abandoned; /* of them */
    atomic_ullong sign_ms; /* the last answer, or the first ask after quiet */
};

struct drive_pulse {
    unsigned drives;
    struct pulse pulses[];
};

struct drive_pulse *drive_pulse_new(unsigned drives)
{
    struct drive_pulse *p =
        mem_alloc(sizeof *p + (size_t)drives * VERBS * sizeof p->pulses[0]);

    p->drives = drives;
    return p;
}

void drive_pulse_free(struct drive_pulse *p)
{
    free(p);
}

static struct pulse *pulse_of(struct drive_pulse *p, uint16_t drive,
                              enum pulse_verb verb)
{
    return drive < p->drives ? &p->pulses[(size_t)drive * VERBS + verb] : NULL;
}

bool drive_is_hung(struct drive_pulse *p, uint16_t drive, enum pulse_verb verb)
{
    struct pulse *pulse = pulse_of(p, drive, verb);

    return pulse != NULL && atomic_load(&pulse->abandoned) > 0 &&
           clock_mono_ms() >= atomic_load(&pulse->sign_ms) + PULSE_LOST_MS;
}

void pulse_begin(struct drive_pulse *p, struct pulse_ask *a, uint16_t drive,
                 enum pulse_verb verb)
{
    a->pulse = pulse_of(p, drive, verb);
    atomic_store(&a->state, ASKED);
    if (a->pulse != NULL && atomic_fetch_add(&a->pulse->open, 1) == 0) {
        atomic_store(&a->pulse->sign_ms, clock_mono_ms());
    }
}

void pulse_answered(struct pulse_ask *a)
{
    if (a->pulse == NULL) {
        return;
    }
    atomic_store(&a->pulse->sign_ms, clock_mono_ms());
    if (atomic_exchange(&a->state, ANSWERED) == ABANDONED) {
        atomic_fetch_sub(&a->pulse->abandoned, 1);
    }
    CHECK(atomic_fetch_sub(&a->pulse->open, 1) > 0);
}

void pulse_abandon(struct pulse_ask *a)
{
    int asked = ASKED;

    if (a->pulse == NULL) {
        return;
    }
    /* Counted first, so that an answer at this moment finds it counted. */
    atomic_fetch_add(&a->pulse->abandoned, 1);
    if (!atomic_compare_exchange_strong(&a->state, &asked, ABANDONED)) {
        atomic_fetch_sub(&a->pulse->abandoned, 1);
    }
}
