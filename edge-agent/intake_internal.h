/* intake_internal.h: the inside of an intake, for intake*.c alone. */
#ifndef GODWIT_EDGE_INTAKE_INTERNAL_H
#define GODWIT_EDGE_INTAKE_INTERNAL_H

#include "base/list.h"
#include "edge-agent/budget.h"
#include "edge-agent/intake.h"
#include "edge-agent/shrink.h"

#define INTAKE_SECRET 32

struct intake {
    struct spool *spool;
    struct seal_recipient recipients[SEAL_RECIPIENTS_MAX];
    size_t recipient_count;
    enum prim_algorithm algorithm;
    bool age;
    bool local_read;
    struct seal_identity local;   /* of this process alone */
    struct seal_segment *segment; /* of the spool's, for small objects */
    struct seal_segment *apart;   /* for large ones */
    uint8_t mask[INTAKE_SECRET];
    uint64_t first_id;        /* of this process */
    struct list_node waiting; /* for the round */
    struct list_node settled; /* to be called back */
    unsigned large;
    struct intake_rules rules;
    struct budget budget;
    struct shrink *shrink; /* for small texts; NULL: none yet */
    unsigned streams;      /* large texts that are shrunk now */
};

#endif
