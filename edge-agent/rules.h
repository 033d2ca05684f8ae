/* rules.h: what an agent does by its flags, and by the cluster's policy over
 * them.
 *
 * What the policy says wins; what it does not say is as the flags have it, so a
 * policy that is taken back leaves no trace.
 *
 * Threads: any; no state.
 */
#ifndef GODWIT_EDGE_RULES_H
#define GODWIT_EDGE_RULES_H

#include "edge-agent/intake.h"
#include "edge-agent/sync.h"

struct edge_policy;

struct rules {
    struct intake_rules intake;
    struct sync_rules sync;
};

/* @out borrows from both. */
void rules_make(const struct rules *flags, const struct edge_policy *policy,
                struct rules *out);

#endif
