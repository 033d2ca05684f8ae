/* audit.h: what this gateway tells the audit log.
 *
 * Every answer passes audit_reply, which makes an entry of the decision that
 * the level asks for: the store's, or that of the bucket when it is stricter.
 * Entries are gathered in a buffer and proposed together (AUDIT_APPEND), every
 * 200 ms or when 64 KiB are there, by one thread; so an answer does not wait
 * for its entry, and a crash loses those of the last 200 ms and of the proposal
 * under way. What finds no room is counted, and the count is an entry. Who has
 * no good key can fill no disk: over 10 such denials a second are counted only.
 * Changes of policy do not come this way: apply writes them (apply_audit.c).
 *
 * The leader signs a checkpoint each minute or thousand entries, by a key that
 * is drawn from the root key (crypto/root_key.h), so that all servers have it:
 *
 *     HKDF-SHA256(root key, "godwit audit key 1"), an Ed25519 private key
 *
 * Threads: any; one of its own proposes.
 */
#ifndef GODWIT_GATEWAY_AUDIT_H
#define GODWIT_GATEWAY_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/audit_entry.h"

struct audit;
struct err;
struct gateway;
struct request;

#define AUDIT_ROOM_BYTES ((size_t)1 << 20) /* of entries not proposed */

struct audit *audit_new(struct gateway *g);
void audit_free(struct audit *a); /* NULL is nothing */
/* The catalogue answers. */
void audit_start(struct audit *a);
/* Propose what is there, and end; not started is nothing. */
void audit_stop(struct audit *a);

/* The answer is made. Once for a request; a second call is nothing. */
void audit_reply(struct request *r);
/* One of several keys of a request was decided on, by r->rule. */
void audit_key(struct request *r, const char *operation, const char *bucket,
               const char *key, uint64_t version, bool denied);
/* For this request at least @level, as the rules of its bucket say. */
void audit_raise(struct request *r, enum audit_level level);
/* Say in r->command who has it proposed. */
void audit_say_who(struct request *r);

/* The store's settings have changed: obey them at once. Waits. */
int audit_set(struct request *r, const struct audit_settings *set,
              struct err *err);
/* Propose what is gathered, then sign the last entry. Waits. ERR_UNAVAILABLE:
 * there is no root key here; ERR_NOT_FOUND: there are no entries. */
int audit_sign(struct gateway *g, uint64_t *number, struct err *err);
/* False: there is no root key here. */
bool audit_public(struct gateway *g, uint8_t key[AUDIT_KEY]);
/* Decisions that this server dropped since it started. */
uint64_t audit_lost(struct gateway *g);

#endif
