/* iam_internal.h: what iam.c and iam_condition.c share.
 *
 * Threads: as iam.h.
 */
#ifndef GODWIT_POLICY_IAM_INTERNAL_H
#define GODWIT_POLICY_IAM_INTERNAL_H

#include "base/json.h"
#include "policy/iam.h"

/* Does @text fit @pattern, with '*', '?' and policy variables such as
 * ${aws:username}, whose values are as they are? A variable without a value
 * fits nothing. */
bool iam_fits(const char *pattern, const char *text, bool any_case,
              const struct iam_request *r);

/* ERR_BAD_INPUT: an operator that is not known, or a value that is none. */
int iam_condition_check(const struct json *condition, struct err *err);
/* Do all of them hold? NULL holds. */
bool iam_condition_holds(const struct json *condition,
                         const struct iam_request *r);
/* Does it bind the request to something that not everybody has? */
bool iam_condition_binds(const struct json *condition);

#endif
