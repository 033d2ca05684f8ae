/* spool_state.h: the inside of a spool, for spool*.c alone. */
#ifndef GODWIT_EDGE_SPOOL_STATE_H
#define GODWIT_EDGE_SPOOL_STATE_H

#include "edge-agent/spool.h"
#include "edge-agent/spool_index.h"

#define SPOOL_ROUND (256U * 1024) /* bytes that wait for one write */

/* A segment's file. */
struct spool_slot {
    uint64_t sequence; /* 0: holds nothing */
    uint32_t salt;
    uint32_t live; /* records held, parts and those of open uploads, too */
};

/* The time of a class's oldest object, as it was read last. */
struct spool_age {
    uint64_t id, time_ms;
};

struct spool_part {
    uint32_t slot;
    uint32_t at;
};

struct spool {
    struct spool_disk disk;
    struct spool_options options;
    struct spool_rules rules;
    struct spool_age ages[SPOOL_CLASSES];
    uint64_t expired;
    struct spool_index *index;
    struct spool_slot *slots;
    uint32_t slot_count, slot_max;
    uint64_t sequence; /* of the last segment begun */

    /* The segment that is written, and the round not yet on the disk. */
    uint32_t active; /* SPOOL_NONE: none */
    int file;
    uint32_t at; /* where the round will stand */
    uint8_t *round;
    uint32_t round_len;
    uint32_t begun_len; /* of the record between begin and end */
    uint8_t *entries;   /* of the footer to come */
    uint32_t entry_count;
    uint64_t entry_first;
    struct index_entry *pending; /* ended, not durable */
    size_t pending_count, pending_cap;
    struct spool_part *round_parts; /* parts in the round */
    size_t failures;                /* rounds that failed */

    /* The segment last read. */
    uint32_t read_slot;
    int read_file;

    uint64_t next_id;
    struct spool_cursor cursor;
    bool cursor_moved;
    bool gave_up; /* something, since the cursor was written */
    int cursor_file;
    uint64_t syncs;
};

/* spool_room.c */
/* Shed one object for one of this class; false when none gives way. */
bool spool_shed_one(struct spool *s, uint8_t class_id);
/* Is there room for @need bytes beside what is reserved for other classes? */
bool spool_may_take(const struct spool *s, uint8_t class_id, size_t need);
uint32_t spool_slots_used(const struct spool *s);

/* spool_start.c */
int spool_start(struct spool *s, struct err *err);

/* spool_read.c */
int spool_slot_file(struct spool *s, uint32_t slot, int *file, struct err *err);
void spool_read_forget(struct spool *s, uint32_t slot);
/* The fixed part of a record. */
int spool_peek(struct spool *s, uint32_t slot, uint32_t at,
               struct spool_record *out, struct err *err);
/* Give (free()) the places of an object's parts in order, by its last record.
 * ERR_CORRUPT: the chain is broken. */
int spool_parts(struct spool *s, uint32_t slot, uint32_t at,
                struct spool_part **parts, size_t *count, struct err *err);

#endif
