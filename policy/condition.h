/* condition.h: one operator over one key of a policy's Condition.
 *
 * Source: AWS IAM User Guide, "IAM JSON policy elements: Condition operators".
 * Threads: never changed once made; any may judge.
 */
#ifndef GODWIT_POLICY_CONDITION_H
#define GODWIT_POLICY_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/iam.h"
#include "policy/pattern.h"

struct err;
struct json_node;
struct condition;

struct condition_ip {
    uint8_t bytes[16];
    int family; /* AF_INET or AF_INET6 */
    unsigned bits;
};

/* What the conditions of one decision share: {0} at its start. */
struct condition_cache {
    const char *ip_text; /* NULL: none was read */
    bool ip_good;
    struct condition_ip ip;
    const char *key; /* the last that was looked up, and what was found */
    const struct iam_key *found;
};

/* @operator: "ForAnyValue:StringLikeIfExists"; @values: a scalar or an array
 * of them. @vars: are ${variables} understood? */
int condition_make(const char *operator, const char * key,
                   const struct json_node *values, bool vars,
                   struct condition **out, struct err *err);
void condition_free(struct condition *c);

/* @unknown is set when a negated operator holds only because a variable had no
 * value. */
bool condition_holds(const struct condition *c, const struct iam_request *q,
                     struct condition_cache *cache, pattern_value_fn *value,
                     void *arg, bool *unknown);

/* Does it hold the asker to fixed networks, accounts, VPCs or ARNs, as S3's
 * meaning of "public" wants? */
bool condition_confines(const struct condition *c);

#endif
