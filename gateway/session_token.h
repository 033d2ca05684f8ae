/* session_token.h: temporary credentials that no server has to keep.
 *
 * A session says whose it is, until when, and what narrows it: its claims.
 * They are sealed, and the client sends them with each request: its token. All
 * comes from the root key (crypto/root_key.h) and a random id, so each server
 * of a cluster knows the session as well as the one that made it:
 *
 *     prk         HKDF-Extract(salt: 16 bytes id, root key)
 *     token       base64 of u8 1 (the format), id, then the claims sealed:
 *                 AES-256-GCM by HKDF-Expand(prk, "godwit session token 1"),
 *                 nonce 0 (the key seals once), the 17 bytes in front as AD
 *     access key  "ASIA" and base32 (RFC 4648) of the first 10 bytes of id
 *     secret key  base64 of 30 bytes of HKDF-Expand(prk, "godwit session
 *                 secret 1")
 *     claims      u64 made ms, u64 expires ms, u8 kind, the access key that
 *                 asked, its user, 16 bytes mark, name, policy; each text as
 *                 u32 length and bytes (base/wire.h)
 *     mark        first 16 bytes of HMAC-SHA256(HKDF-Expand(prk, "godwit
 *                 session parent 1"), secret key of who asked): a key that is
 *                 made anew, with another secret, has none of the old sessions
 *
 * Source: RFC 5869; NIST SP 800-38D. Threads: any; no state.
 */
#ifndef GODWIT_GATEWAY_SESSION_TOKEN_H
#define GODWIT_GATEWAY_SESSION_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/root_key.h"
#include "meta/command.h"

struct buf;
struct err;

#define SESSION_ID 16
#define SESSION_MARK 16
#define SESSION_KEY_PREFIX "ASIA"
#define SESSION_ACCESS_KEY 20 /* characters */
#define SESSION_SECRET 40     /* characters */
#define SESSION_NAME_MAX 64
#define SESSION_POLICY_MAX 2048 /* AWS: AssumeRole, Policy */
#define SESSION_TOKEN_MAX 4096  /* characters */

enum session_kind { SESSION_ASSUMED = 1, SESSION_PLAIN, SESSION_KINDS };

struct session_claims {
    uint64_t made_ms, expires_ms;
    enum session_kind kind;
    char access_key[META_ACCESS_KEY_MAX + 1]; /* that asked for it */
    char user[META_ACCESS_KEY_MAX + 1];       /* whose that is */
    uint8_t mark[SESSION_MARK];
    char name[SESSION_NAME_MAX + 1]; /* RoleSessionName; "" for none */
    char policy[SESSION_POLICY_MAX + 1];
    size_t policy_len; /* 0: nothing narrows it */
};

/* What goes with a token; wipe it. */
struct session_keys {
    char access_key[SESSION_ACCESS_KEY + 1];
    char secret_key[SESSION_SECRET + 1];
};

/* Does it have the form of a session's, which no user's may have? */
bool session_key_is(const char *access_key);

void session_keys(const uint8_t root[ROOT_KEY], const uint8_t id[SESSION_ID],
                  struct session_keys *out);
/* The mark of who has @secret_key, in the session @id. */
void session_mark(const uint8_t root[ROOT_KEY], const uint8_t id[SESSION_ID],
                  const char *secret_key, uint8_t out[SESSION_MARK]);

/* Append the token, and a NUL behind it that is not counted. */
void session_token_seal(const uint8_t root[ROOT_KEY],
                        const uint8_t id[SESSION_ID],
                        const struct session_claims *claims, struct buf *out);
/* ERR_BAD_INPUT: it has not the form of a token, or the root key did not seal
 * it. */
int session_token_open(const uint8_t root[ROOT_KEY], const char *token,
                       uint8_t id[SESSION_ID], struct session_claims *out,
                       struct err *err);

/* ---- the claims alone ---- */

void session_claims_put(struct buf *out, const struct session_claims *claims);
/* ERR_BAD_INPUT. */
int session_claims_read(const void *p, size_t len, struct session_claims *out,
                        struct err *err);

#endif
