/* meta_user.h: reads of users, their access keys, and what access goes by.
 *
 * A user is known by its name; a bucket's owner is the name of one, or root's
 * access key. Secrets stand in the catalogue as they are: a signature needs
 * them, and who reads the catalogue's disk reads the objects' too; what was
 * removed is overwritten (secure_delete).
 *
 * Threads: any. The *_local functions see what this member has applied and wait
 * for nobody.
 */
#ifndef GODWIT_META_META_USER_H
#define GODWIT_META_META_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/command.h"
#include "meta/meta.h"

struct err;
struct meta;

struct meta_user {
    char name[META_USER_MAX + 1];
    uint64_t created_ms;
    char *policy; /* NULL: none */
    size_t policy_len;
};
struct meta_key {
    char access_key[META_ACCESS_KEY_MAX + 1];
    char secret_key[META_SECRET_KEY_MAX + 1];
    char user[META_USER_MAX + 1];
    uint64_t created_ms;
};

/* All users in order of their names; free each, then the array. */
int meta_users(struct meta *m, struct meta_user **out, size_t *count,
               struct err *err);
/* ERR_NOT_FOUND. */
int meta_user_get(struct meta *m, const char *name, struct meta_user *out,
                  struct err *err);
void meta_user_free(struct meta_user *u);
/* All keys of a user; free() and wipe the array. */
int meta_keys(struct meta *m, const char *user, struct meta_key **out,
              size_t *count, struct err *err);
/* A key and its user. ERR_NOT_FOUND. */
int meta_key_local(struct meta *m, const char *access_key, struct meta_key *key,
                   struct meta_user *user, struct err *err);
/* As meta_bucket_get. */
int meta_bucket_local(struct meta *m, const char *bucket,
                      struct meta_bucket *out, struct err *err);

/* A key that wraps keys of objects, itself wrapped (gateway/master_keys.h). */
struct meta_master_key {
    char name[META_MASTER_NAME_MAX + 1];
    uint32_t number;
    uint64_t created_ms;
    bool disabled;
    uint8_t wrapped[META_MASTER_WRAPPED_MAX];
    size_t wrapped_len;
};
/* All in order of names and numbers; free(). @local: as meta_key_local. */
int meta_master_keys(struct meta *m, bool local, struct meta_master_key **out,
                     size_t *count, struct err *err);

/* Changes whenever a user, a key, a master key, or a bucket's owner or
 * configuration does. */
uint64_t meta_access_revision(struct meta *m);

#endif
