/* session.h: the temporary credentials that a request comes with.
 *
 * A session is its user, narrowed: what its user may not, it may not, nor what
 * its policy (if it has one) does not allow, whoever else would let it. It ends
 * at its time, and at once when the access key that asked for it is removed,
 * or its user is.
 *
 * Tokens that were opened are kept with their policies compiled, since each
 * request brings one again; they say nothing that could become old. Threads:
 * any.
 */
#ifndef GODWIT_GATEWAY_SESSION_H
#define GODWIT_GATEWAY_SESSION_H

#include "gateway/access.h"
#include "gateway/session_token.h"

struct sessions;

struct session {
    struct counted counted;
    struct session_claims claims;
    struct session_keys keys;
    struct iam_policy *policy; /* NULL: nothing narrows it */
    uint8_t id[SESSION_ID];
};

struct sessions *sessions_new(void);
void sessions_free(struct sessions *s); /* wipes; NULL is nothing */

/* The session of @token; session_free it. ERR_BAD_INPUT: it is none of this
 * store's; ERR_UNAVAILABLE: there is no root key here. */
int session_find(struct gateway *g, const char *token, struct session **out,
                 struct err *err);
void session_free(struct session *s); /* NULL is nothing */
/* Is it of this user, and by the secret that it has now? */
bool session_is_of(const struct gateway *g, const struct session *s,
                   const struct access_user *u);

/* A new one for @u, whose key @access_key asks: @claims with what it asks for
 * (the user, the mark and the key are filled in). Appends the token.
 * ERR_UNAVAILABLE. */
int session_make(const struct gateway *g, const struct access_user *u,
                 const char *access_key, struct session_claims *claims,
                 struct session_keys *keys, struct buf *token, struct err *err);

#endif
