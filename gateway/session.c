#include "gateway/session.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crypto/prim.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"

/* A session has one; another that has it too is opened again. */
#define PLACES 256

struct place {
    uint8_t sha256[PRIM_SHA256]; /* of the token */
    struct session *it;          /* NULL: none */
};

struct sessions {
    pthread_mutex_t mutex; /* guards the places */
    struct place places[PLACES];
};

struct sessions *sessions_new(void)
{
    struct sessions *s = mem_alloc(sizeof *s);

    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    return s;
}

void sessions_free(struct sessions *s)
{
    if (s != NULL) {
        for (size_t i = 0; i < PLACES; i++) {
            session_free(s->places[i].it);
        }
        pthread_mutex_destroy(&s->mutex);
        free(s);
    }
}

void session_free(struct session *s)
{
    if (s != NULL && atomic_fetch_sub(&s->counted.refs, 1) == 1) {
        iam_free(s->policy);
        mem_wipe(s, sizeof *s);
        free(s);
    }
}

static int no_root(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE,
                   "this server has no master key, which temporary "
                   "credentials are made from");
}

static int open_token(const uint8_t root[ROOT_KEY], const char *token,
                      struct session **out, struct err *err)
{
    struct session *s = mem_alloc(sizeof *s);
    int rc = session_token_open(root, token, s->id, &s->claims, err);

    atomic_store(&s->counted.refs, 1);
    if (rc == 0 && s->claims.policy_len > 0) {
        rc = iam_read(IAM_IDENTITY, NULL, s->claims.policy,
                      s->claims.policy_len, &s->policy, err);
    }
    if (rc != 0) { /* never as if it had no policy */
        session_free(s);
        return ERR_BAD_INPUT;
    }
    session_keys(root, s->id, &s->keys);
    *out = s;
    return 0;
}

int session_find(struct gateway *g, const char *token, struct session **out,
                 struct err *err)
{
    const uint8_t *root = master_keys_root(g);
    uint8_t sha256[PRIM_SHA256];
    struct session *s = NULL, *old;
    struct place *p;
    int rc;

    if (root == NULL) {
        return no_root(err);
    }
    prim_sha256(token, strlen(token), sha256);
    p = &g->sessions->places[sha256[0]];
    pthread_mutex_lock(&g->sessions->mutex);
    if (p->it != NULL && memcmp(p->sha256, sha256, sizeof sha256) == 0) {
        s = p->it;
        atomic_fetch_add(&s->counted.refs, 1);
    }
    pthread_mutex_unlock(&g->sessions->mutex);
    if (s == NULL) {
        rc = open_token(root, token, &s, err);
        if (rc != 0) {
            return rc;
        }
        atomic_fetch_add(&s->counted.refs, 1);
        pthread_mutex_lock(&g->sessions->mutex);
        old = p->it;
        memcpy(p->sha256, sha256, sizeof sha256);
        p->it = s;
        pthread_mutex_unlock(&g->sessions->mutex);
        session_free(old);
    }
    *out = s;
    return 0;
}

bool session_is_of(const struct gateway *g, const struct session *s,
                   const struct access_user *u)
{
    const uint8_t *root = master_keys_root(g);
    uint8_t mark[SESSION_MARK];

    if (root == NULL || strcmp(s->claims.user, u->name) != 0) {
        return false;
    }
    session_mark(root, s->id, u->secret_key, mark);
    return mem_diff(mark, s->claims.mark, sizeof mark) == 0;
}

int session_make(const struct gateway *g, const struct access_user *u,
                 const char *access_key, struct session_claims *claims,
                 struct session_keys *keys, struct buf *token, struct err *err)
{
    const uint8_t *root = master_keys_root(g);
    uint8_t id[SESSION_ID];

    if (root == NULL) {
        return no_root(err);
    }
    rng_bytes(id, sizeof id);
    snprintf(claims->access_key, sizeof claims->access_key, "%s", access_key);
    snprintf(claims->user, sizeof claims->user, "%s", u->name);
    session_mark(root, id, u->secret_key, claims->mark);
    session_keys(root, id, keys);
    session_token_seal(root, id, claims, token);
    return 0;
}
