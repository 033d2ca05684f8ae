#include "gateway/master_keys.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crypto/aead.h"
#include "crypto/prim.h"
#include "crypto/root_key.h"
#include "gateway/gateway.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "meta/meta_user.h"

#define MASTER_AD "godwit master key 1"
#define OBJECT_INFO "godwit object key 1"
#define ROW_WRAPPED (AEAD_NONCE + MASTER_KEY + AEAD_TAG)
#define AD_MAX (sizeof MASTER_AD + META_MASTER_NAME_MAX + 1 + 4)

_Static_assert(MASTER_KEY == AEAD_KEY && MASTER_KEY == ROOT_KEY, "one size");

struct opened {
    char name[META_MASTER_NAME_MAX + 1];
    uint32_t number;
    bool disabled;
    bool good; /* the root key opened it */
    uint8_t key[MASTER_KEY];
};

struct master_keys {
    bool has_root; /* set at start, as root */
    uint8_t root[ROOT_KEY];
    pthread_mutex_t mutex; /* guards all below */
    bool known;
    uint64_t revision; /* of the catalogue that the list is of */
    struct opened *list;
    size_t count;
};

struct master_keys *master_keys_new(void)
{
    struct master_keys *k = mem_alloc(sizeof *k);

    CHECK(pthread_mutex_init(&k->mutex, NULL) == 0);
    return k;
}

static void drop_list(struct master_keys *k)
{
    if (k->list != NULL) {
        mem_wipe(k->list, k->count * sizeof *k->list);
        free(k->list);
    }
    k->list = NULL;
    k->count = 0;
}

void master_keys_free(struct master_keys *k)
{
    if (k != NULL) {
        drop_list(k);
        pthread_mutex_destroy(&k->mutex);
        mem_wipe(k, sizeof *k);
        free(k);
    }
}

/* ---- the root key ---- */

char *master_keys_path(const struct gateway *g)
{
    const struct server_options *o = g->options;

    return o->master_key != NULL ? mem_strdup(o->master_key)
                                 : mem_printf("%s/master.key", o->data);
}

int master_keys_load(struct gateway *g, bool make, struct err *err)
{
    struct master_keys *k = g->master;
    char *path = master_keys_path(g);
    int rc = root_key_load(path, k->root, err);

    if (rc == ERR_NOT_FOUND && g->options->master_key == NULL) {
        rc = 0;
        if (make) {
            rng_bytes(k->root, sizeof k->root);
            rc = root_key_save(path, k->root, err);
            k->has_root = rc == 0;
        }
    } else {
        k->has_root = rc == 0;
    }
    free(path);
    return rc == 0 ? 0 : err_wrap(err, rc, "master-key");
}

const uint8_t *master_keys_root(const struct gateway *g)
{
    return g->master->has_root ? g->master->root : NULL;
}

/* ---- wrapping ---- */

bool master_key_name_valid(const char *name)
{
    size_t len = strlen(name);

    for (const char *p = name; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("-_./", *p) == NULL) {
            return false;
        }
    }
    return len > 0 && len <= META_MASTER_NAME_MAX;
}

/* What a wrapped key is bound to: its name and number, after @label. */
static size_t bind_to(const char *label, const char *name, uint32_t number,
                      uint8_t out[AD_MAX])
{
    size_t label_len = strlen(label), name_len = strlen(name) + 1;

    memcpy(out, label, label_len);
    memcpy(out + label_len, name, name_len);
    for (unsigned i = 0; i < 4; i++) {
        out[label_len + name_len + i] = (uint8_t)(number >> (24 - 8 * i));
    }
    return label_len + name_len + 4;
}

static bool open_row(const struct master_keys *k,
                     const struct meta_master_key *row, uint8_t key[MASTER_KEY])
{
    uint8_t ad[AD_MAX];
    size_t len = bind_to(MASTER_AD, row->name, row->number, ad);

    return k->has_root && row->wrapped_len == ROW_WRAPPED &&
           aead_open(k->root, row->wrapped, ad, len, row->wrapped + AEAD_NONCE,
                     MASTER_KEY + AEAD_TAG, key, NULL) == 0;
}

static void seal_row(const struct master_keys *k, const char *name,
                     uint32_t number, const uint8_t key[MASTER_KEY],
                     uint8_t out[ROW_WRAPPED])
{
    uint8_t ad[AD_MAX];
    size_t len = bind_to(MASTER_AD, name, number, ad);

    rng_bytes(out, AEAD_NONCE);
    aead_seal(k->root, out, ad, len, key, MASTER_KEY, out + AEAD_NONCE);
}

static void derive(const uint8_t master[MASTER_KEY], const uint8_t *id,
                   uint8_t out[AEAD_KEY])
{
    prim_hkdf_extract(id, MASTER_ID, master, MASTER_KEY, out);
    prim_hkdf_expand(out, OBJECT_INFO, strlen(OBJECT_INFO), out, AEAD_KEY);
}

/* ---- what is kept ---- */

/* Rows as they were read, and when. */
struct rows {
    uint64_t revision;
    struct meta_master_key *items;
    size_t count;
};

/* Not @local: waits for others, so not with the mutex. */
static int fetch(struct gateway *g, bool local, struct rows *out,
                 struct err *err)
{
    out->revision = meta_access_revision(g->meta); /* of what is read */
    return meta_master_keys(g->meta, local, &out->items, &out->count, err);
}

/* Make them the list, opened; frees them. The mutex is held. */
static void install(struct master_keys *k, struct rows *rows)
{
    drop_list(k);
    k->list = mem_calloc(rows->count > 0 ? rows->count : 1, sizeof *k->list);
    for (size_t i = 0; i < rows->count; i++) {
        const struct meta_master_key *row = &rows->items[i];
        struct opened *o = &k->list[k->count++];
        memcpy(o->name, row->name, sizeof o->name);
        o->number = row->number;
        o->disabled = row->disabled;
        o->good = open_row(k, row, o->key);
    }
    free(rows->items);
    k->revision = rows->revision;
    k->known = true;
}

/* The one of @number, or (0) the newest of @name; NULL: there is none. */
static const struct opened *search(const struct master_keys *k,
                                   const char *name, uint32_t number)
{
    const struct opened *found = NULL;

    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->list[i].name, name) == 0 &&
            (number == 0 || k->list[i].number == number)) {
            found = &k->list[i];
        }
    }
    return found;
}

static bool copy_one(const struct master_keys *k, const char *name,
                     uint32_t number, struct opened *out)
{
    const struct opened *o = search(k, name, number);

    if (o != NULL) {
        *out = *o;
    }
    return o != NULL;
}

/* What this copy of the catalogue has. */
static int find_here(struct gateway *g, const char *name, uint32_t number,
                     bool *found, struct opened *out, struct err *err)
{
    struct master_keys *k = g->master;
    struct rows rows;
    int rc = 0;

    pthread_mutex_lock(&k->mutex);
    if (!k->known || k->revision != meta_access_revision(g->meta)) {
        rc = fetch(g, true, &rows, err);
        if (rc == 0) {
            install(k, &rows);
        }
    }
    *found = rc == 0 && copy_one(k, name, number, out);
    pthread_mutex_unlock(&k->mutex);
    return rc;
}

static int find_anywhere(struct gateway *g, const char *name, uint32_t number,
                         bool *found, struct opened *out, struct err *err)
{
    struct master_keys *k = g->master;
    struct rows rows;
    int rc = fetch(g, false, &rows, err);

    if (rc == 0) {
        pthread_mutex_lock(&k->mutex);
        install(k, &rows);
        *found = copy_one(k, name, number, out);
        pthread_mutex_unlock(&k->mutex);
    }
    return rc;
}

/* A copy of one; wipe it. Waits for others only when it @may. */
static int find(struct gateway *g, const char *name, uint32_t number, bool may,
                struct opened *out, struct err *err)
{
    bool found = false;
    int rc = find_here(g, name, number, &found, out, err);

    if (rc == 0 && !found && may && g->cluster != NULL) {
        rc = find_anywhere(g, name, number, &found, out, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (!found) {
        return err_set(err, ERR_NOT_FOUND, "there is no key %s", name);
    }
    if (out->disabled) {
        rc = err_set(err, ERR_DENIED, "the key %s is disabled", name);
    } else if (!g->master->has_root) {
        rc = err_set(err, ERR_UNAVAILABLE,
                     "this server has no master key; give it one by "
                     "--master-key");
    } else if (!out->good) {
        rc = err_set(err, ERR_UNAVAILABLE,
                     "the key %s is wrapped by another master key than this "
                     "server has",
                     name);
    }
    if (rc != 0) {
        mem_wipe(out, sizeof *out);
    }
    return rc;
}

int master_keys_check(struct gateway *g, const char *name, bool wait,
                      struct err *err)
{
    struct opened o;
    int rc = find(g, name, 0, wait, &o, err);

    if (rc == 0) {
        mem_wipe(&o, sizeof o);
    }
    return rc;
}

int master_keys_wrap(struct gateway *g, const char *name, bool wait,
                     const uint8_t key[MASTER_KEY], uint32_t *number,
                     uint8_t out[MASTER_WRAPPED], struct err *err)
{
    static const uint8_t nonce[AEAD_NONCE] = {0}; /* the key seals once */
    uint8_t wrapping[AEAD_KEY], ad[AD_MAX];
    struct opened o;
    size_t ad_len;
    int rc = find(g, name, 0, wait, &o, err);

    if (rc == ERR_NOT_FOUND && wait && strcmp(name, MASTER_S3) == 0) {
        rc = master_keys_add(g, name, false, number, err);
        if (rc == 0 || rc == ERR_EXISTS) {
            rc = find(g, name, 0, wait, &o, err);
        }
    }
    if (rc != 0) {
        return rc;
    }
    *number = o.number;
    rng_bytes(out, MASTER_ID);
    derive(o.key, out, wrapping);
    ad_len = bind_to("", name, o.number, ad);
    aead_seal(wrapping, nonce, ad, ad_len, key, MASTER_KEY, out + MASTER_ID);
    mem_wipe(wrapping, sizeof wrapping);
    mem_wipe(&o, sizeof o);
    return 0;
}

int master_keys_open(struct gateway *g, const char *name, uint32_t number,
                     bool wait, const uint8_t wrapped[MASTER_WRAPPED],
                     uint8_t key[MASTER_KEY], struct err *err)
{
    static const uint8_t nonce[AEAD_NONCE] = {0};
    uint8_t wrapping[AEAD_KEY], ad[AD_MAX];
    struct opened o;
    size_t ad_len;
    int rc = find(g, name, number, wait, &o, err);

    if (rc != 0) {
        return rc;
    }
    derive(o.key, wrapped, wrapping);
    ad_len = bind_to("", name, number, ad);
    rc = aead_open(wrapping, nonce, ad, ad_len, wrapped + MASTER_ID,
                   MASTER_KEY + AEAD_TAG, key, err);
    mem_wipe(wrapping, sizeof wrapping);
    mem_wipe(&o, sizeof o);
    return rc;
}

/* ---- administration ---- */

/* The number that comes next, when all that is there can be opened: with a
 * wrong root key nothing is added. */
static int next_number(struct gateway *g, const char *name, bool rotate,
                       uint32_t *number, struct err *err)
{
    struct master_keys *k = g->master;
    const struct opened *o;
    struct rows rows;
    int rc;

    rc = fetch(g, false, &rows, err);
    if (rc != 0) {
        return rc;
    }
    pthread_mutex_lock(&k->mutex);
    install(k, &rows);
    o = search(k, name, 0);
    *number = o != NULL ? o->number + 1 : 1;
    for (size_t i = 0; i < k->count && rc == 0; i++) {
        if (!k->list[i].good) {
            rc = err_set(err, ERR_UNAVAILABLE,
                         "the master key of this server does not open the key "
                         "%s",
                         k->list[i].name);
        }
    }
    if (rc == 0 && rotate == (o == NULL)) {
        rc = err_set(err, rotate ? ERR_NOT_FOUND : ERR_EXISTS,
                     rotate ? "there is no key %s" : "there is a key %s", name);
    } else if (rc == 0 && o != NULL && o->disabled) {
        rc = err_set(err, ERR_DENIED, "the key %s is disabled", name);
    }
    pthread_mutex_unlock(&k->mutex);
    return rc;
}

int master_keys_add(struct gateway *g, const char *name, bool rotate,
                    uint32_t *number, struct err *err)
{
    uint8_t key[MASTER_KEY], wrapped[ROW_WRAPPED];
    struct buf command = {0};
    int rc;

    if (!g->master->has_root) {
        return err_set(err, ERR_UNAVAILABLE,
                       "this server has no master key; give it one by "
                       "--master-key");
    }
    rc = next_number(g, name, rotate, number, err);
    if (rc != 0) {
        return rc;
    }
    rng_bytes(key, sizeof key);
    seal_row(g->master, name, *number, key, wrapped);
    mem_wipe(key, sizeof key);
    command_master_key_put(&command, name, *number, wrapped, sizeof wrapped,
                           clock_real_ms());
    rc = meta_propose_wait(g->meta, &command, NULL, err);
    buf_free(&command);
    return rc == ERR_PRECONDITION
               ? err_set(err, ERR_DENIED, "the key %s is disabled", name)
               : rc;
}

int master_keys_disable(struct gateway *g, const char *name, bool disabled,
                        struct err *err)
{
    struct buf command = {0};
    int rc;

    command_master_key_state(&command, name, disabled);
    rc = meta_propose_wait(g->meta, &command, NULL, err);
    buf_free(&command);
    return rc;
}

void master_keys_begin(struct gateway *g)
{
    struct master_keys *k = g->master;
    struct meta_master_key *rows = NULL;
    struct err err = {{0}};
    uint32_t number;
    size_t count = 0;
    int rc = meta_master_keys(g->meta, false, &rows, &count, &err);

    free(rows);
    if (rc == 0 && !k->has_root && count == 0 && g->cluster == NULL) {
        rc = master_keys_load(g, true, &err); /* a store of before them */
    }
    if (rc == 0) {
        rc = count == 0 ? master_keys_add(g, MASTER_S3, false, &number, &err)
                        : next_number(g, MASTER_S3, true, &number, &err);
        rc = rc == ERR_EXISTS || rc == ERR_DENIED ? 0 : rc;
    }
    if (rc != 0) {
        log_errf(LOG_WARN, "encryption with keys of the server", "%s",
                 err.text);
    }
}
