/* drive_pulse.h: which drives answer.
 *
 * A drive may hang: it takes requests and gives no answer, not even an error.
 * Who has waited long enough abandons its request, which the drive still holds,
 * with its memory. A drive that holds abandoned requests and has answered none
 * for PULSE_LOST_MS counts as hung: then nobody waits for it nor gives it more
 * memory to hold, unless there is no other way. It counts as well again once it
 * has answered what was abandoned. Reads and writes are told apart, for a disk
 * may serve one and not the other.
 *
 * Threads: new and free at start and end; the rest any. Atomics only.
 */
#ifndef GODWIT_OBJECT_DRIVE_PULSE_H
#define GODWIT_OBJECT_DRIVE_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PULSE_LOST_MS 2000

struct drive_pulse;

enum pulse_verb { PULSE_READ, PULSE_WRITE };

/* For drives with ids below @drives; others never count as hung. */
struct drive_pulse *drive_pulse_new(unsigned drives);
void drive_pulse_free(struct drive_pulse *p);

bool drive_is_hung(struct drive_pulse *p, uint16_t drive, enum pulse_verb verb);

/* Stands in a request that a drive was asked. Begun before it is asked; then
 * answered by the drive, perhaps after it was abandoned by the asker. */
struct pulse_ask {
    struct pulse *pulse; /* NULL: not followed */
    atomic_int state;
};

void pulse_begin(struct drive_pulse *p, struct pulse_ask *a, uint16_t drive,
                 enum pulse_verb verb);
void pulse_answered(struct pulse_ask *a);
void pulse_abandon(struct pulse_ask *a); /* nothing when it was answered */

#endif
