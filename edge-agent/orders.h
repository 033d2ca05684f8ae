/* orders.h: the policy that the cluster gave this device (fleet/edge_policy.h).
 *
 * A policy counts when it is signed by the CA that the device was enrolled
 * with, is for this device, and has a higher version than any that counted
 * since it was enrolled: an older one that comes again changes nothing. What
 * does not count is told to the cluster, with the reason, and the one before it
 * goes on.
 *
 *     DATA/policy.json   {"number":N,"version":V,"document":"...",
 *                         "signature":"<base64>"}
 *
 * is the one that counts; it is checked again at each start. Of another number
 * of the device it is of no account.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_ORDERS_H
#define GODWIT_EDGE_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "fleet/edge_policy.h"

struct buf;
struct device_id;
struct err;
struct orders;

/* Read DATA/policy.json and what @id's settings hold, the newest that counts.
 * Copies what it needs of @id. */
struct orders *orders_new(const char *data, const struct device_id *id);
void orders_free(struct orders *o); /* NULL is nothing */

/* Settings came (JSON, with a NUL). True: another policy counts from now on. */
bool orders_take(struct orders *o, const struct buf *settings);

/* What counts; an empty one at first. Until the next orders_take. */
const struct edge_policy *orders_policy(const struct orders *o);

/* Append "policy_version" and, when the newest was refused, "policy_error", as
 * members that each begin with a comma. */
void orders_report(const struct orders *o, struct buf *out);

#endif
