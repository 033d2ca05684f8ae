/* sts_form.h: what a request to the Security Token Service asks for.
 *
 * Its body is a form (application/x-www-form-urlencoded) with Action, Version
 * and what the action takes. A field that would narrow or bind a session in a
 * way that is not done here is refused, never ignored.
 *
 * Source: AWS Security Token Service API Reference, version 2011-06-15; WHATWG
 * URL, application/x-www-form-urlencoded. Threads: any; no state.
 */
#ifndef GODWIT_GATEWAY_STS_FORM_H
#define GODWIT_GATEWAY_STS_FORM_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/s3_error.h"
#include "gateway/session_token.h"

struct err;

#define STS_BODY_MAX (32 << 10)
#define STS_FIELDS_MAX 32
#define STS_ROLE_MAX 2048
#define STS_DURATION_MIN_S 900
#define STS_DURATION_MAX_S 43200

enum sts_action {
    STS_ASSUME_ROLE,
    STS_GET_SESSION_TOKEN,
    STS_GET_CALLER_IDENTITY,
};

struct sts_form {
    enum sts_action action;
    uint64_t duration_s;
    char role[STS_ROLE_MAX + 1];     /* "" when not given, as the others */
    char name[SESSION_NAME_MAX + 1]; /* RoleSessionName */
    char policy[SESSION_POLICY_MAX + 1];
    size_t policy_len;
};

/* Give S3_OK, or the error and @err with the reason, which names the field. The
 * policy is read by its length alone. */
enum s3_error sts_form_read(const void *p, size_t len, struct sts_form *out,
                            struct err *err);

#endif
