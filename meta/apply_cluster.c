/* The cluster, its join tokens and its servers. */
#include <string.h>

#include "base/err.h"
#include "meta/apply_registry.h"

/* The id in the first column of the row that @p names. */
static int find_id(struct step *s, enum meta_statement name, const void *p,
                   size_t len, bool text, uint64_t *id, bool *found)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    int rc;

    if (text) {
        bind_text(q, 1, p, len);
    } else {
        bind_bytes(q, 1, p, len);
    }
    rc = step_find(s, q, found);
    if (rc == 0) {
        *id = *found ? column_u64(q, 0) : 0;
        meta_db_done(s->db, name);
    }
    return rc;
}

/* ---- zones ---- */

/* The zone's id, or 0 when it is to be made. Status ERR_LIMIT when no more can
 * be. */
static int zone_find(struct step *s, const struct registry *r, uint64_t *id)
{
    bool found;
    int rc = find_id(s, STMT_ZONE_ID, s->c->zone.p, s->c->zone.len, true, id,
                     &found);

    if (rc == 0 && !found && r->next_zone > META_ZONE_ID_MAX) {
        registry_refuse(s, ERR_LIMIT, COMMAND_REFUSED_ZONES_MAX);
    }
    return rc;
}

static int zone_make(struct step *s, struct registry *r, uint64_t *id)
{
    sqlite3_stmt *q;

    if (*id != 0) {
        return 0;
    }
    *id = r->next_zone++;
    q = meta_db_stmt(s->db, STMT_ZONE_INSERT);
    bind_u64(q, 1, *id);
    bind_text(q, 2, s->c->zone.p, s->c->zone.len);
    return step_run(s, STMT_ZONE_INSERT, q);
}

/* ---- servers ---- */

/* No living server but @self may have the command's address. */
static int judge_address(struct step *s, uint64_t self)
{
    uint64_t id;
    bool found;
    int rc = find_id(s, STMT_SERVER_BY_ADDRESS, s->c->address.p,
                     s->c->address.len, true, &id, &found);

    if (rc == 0 && found && id != self) {
        registry_refuse(s, ERR_EXISTS, COMMAND_REFUSED_ADDRESS_TAKEN);
    }
    return rc;
}

static int judge_name(struct step *s)
{
    uint64_t id;
    bool found;
    int rc = find_id(s, STMT_SERVER_BY_NAME, s->c->name.p, s->c->name.len, true,
                     &id, &found);

    if (rc == 0 && found) {
        registry_refuse(s, ERR_EXISTS, COMMAND_REFUSED_NAME_TAKEN);
    }
    return rc;
}

/* Another living server keeps the catalogue. */
static int judge_other_meta(struct step *s, const struct server_row *v)
{
    uint64_t other;
    int rc;

    if ((v->roles & META_SERVER_META) == 0) {
        return 0;
    }
    rc = registry_count(s, STMT_SERVER_OTHER_META, v->id, &other);
    if (rc == 0 && other == 0) {
        registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_LAST_META);
    }
    return rc;
}

/* Is there a place for one more server? */
static int judge_servers(struct step *s, const struct registry *r)
{
    uint64_t living;
    int rc = registry_count(s, STMT_SERVER_COUNT, 0, &living);

    if (rc == 0 &&
        (living >= META_SERVERS_MAX || r->next_server > META_SERVER_ID_MAX)) {
        registry_refuse(s, ERR_LIMIT, COMMAND_REFUSED_SERVERS_MAX);
    }
    return rc;
}

/* None of the command's drives is known. */
static int judge_uuids(struct step *s)
{
    size_t at = 0;
    int rc = 0;

    for (uint32_t i = 0; i < s->c->count && rc == 0 && s->status == 0; i++) {
        struct command_item item;
        uint64_t id;
        bool found;
        command_item(s->c, &at, &item);
        rc = find_id(s, STMT_DRIVE_BY_UUID, item.uuid, META_DRIVE_UUID, false,
                     &id, &found);
        if (rc == 0 && found) {
            registry_refuse(s, ERR_EXISTS, COMMAND_REFUSED_DRIVE_TAKEN);
        }
    }
    return rc;
}

/* May the command's server be new, apart from what lets it in? */
static int judge_server(struct step *s, const struct registry *r,
                        uint64_t *zone)
{
    int rc = judge_name(s);

    if (rc == 0 && s->status == 0) {
        rc = judge_address(s, 0);
    }
    if (rc == 0 && s->status == 0) {
        rc = judge_uuids(s);
    }
    if (rc == 0 && s->status == 0) {
        rc = judge_servers(s, r);
    }
    if (rc == 0 && s->status == 0) {
        rc = registry_judge_drives(s, r, s->c->count);
    }
    if (rc == 0 && s->status == 0) {
        rc = zone_find(s, r, zone);
    }
    return rc;
}

/* The command's server and its drives; then the registry. */
static int server_insert(struct step *s, struct registry *r, uint64_t zone)
{
    const struct command *c = s->c;
    sqlite3_stmt *q;
    size_t at = 0;
    int rc = zone_make(s, r, &zone);

    if (rc != 0) {
        return rc;
    }
    s->body = r->next_server++;
    q = meta_db_stmt(s->db, STMT_SERVER_INSERT);
    bind_u64(q, 1, s->body);
    bind_text(q, 2, c->name.p, c->name.len);
    bind_text(q, 3, c->address.p, c->address.len);
    bind_text(q, 4, c->endpoint.p, c->endpoint.len);
    bind_u64(q, 5, zone);
    bind_u64(q, 6, c->roles);
    bind_u64(q, 7, c->time_ms);
    bind_bytes(q, 8, c->fingerprint, META_FINGERPRINT);
    bind_bytes(q, 9, c->token, c->token != NULL ? META_TOKEN_HASH : 0);
    bind_u64(q, 10, c->format);
    rc = step_run(s, STMT_SERVER_INSERT, q);
    for (uint32_t i = 0; i < c->count && rc == 0; i++) {
        struct command_item item;
        command_item(c, &at, &item);
        rc = registry_drive_insert(s, r, s->body, item.weight, item.uuid);
    }
    return rc == 0 ? registry_write(s, r) : rc;
}

/* ---- a cluster ---- */

/* A server that has joined with the command's fingerprint. */
struct known {
    struct server_row v;
    bool by_token; /* ... and with the command's token */
};

static int known_find(struct step *s, struct known *k)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_SERVER_BY_KEY);
    int rc;

    *k = (struct known){.by_token = false};
    bind_bytes(q, 1, s->c->fingerprint, META_FINGERPRINT);
    rc = step_find(s, q, &k->v.there);
    if (rc == 0 && k->v.there) {
        k->v.id = column_u64(q, 0);
        k->v.state = (unsigned)sqlite3_column_int(q, 1);
        k->by_token = s->c->token != NULL &&
                      sqlite3_column_bytes(q, 2) == META_TOKEN_HASH &&
                      memcmp(sqlite3_column_blob(q, 2), s->c->token,
                             META_TOKEN_HASH) == 0;
        meta_db_done(s->db, STMT_SERVER_BY_KEY);
    }
    return rc;
}

int apply_cluster_init(struct step *s)
{
    struct registry r;
    struct known known;
    sqlite3_stmt *q;
    int rc = registry_read(s, &r);

    if (rc == 0 && r.there) {
        rc = known_find(s, &known);
        s->body = 1;
        if (rc == 0 && (!known.v.there || known.v.id != 1 ||
                        memcmp(r.id, s->c->cluster, sizeof r.id) != 0)) {
            registry_refuse(s, ERR_EXISTS, COMMAND_REFUSED_CLUSTER_DIFFERS);
        }
        return rc;
    }
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_CLUSTER_INSERT);
    bind_bytes(q, 1, s->c->cluster, META_CLUSTER_ID);
    bind_u64(q, 2, s->c->time_ms);
    rc = step_run(s, STMT_CLUSTER_INSERT, q);
    if (rc == 0) {
        rc = registry_read(s, &r);
    }
    return rc == 0 ? server_insert(s, &r, 0) : rc;
}

/* ---- tokens ---- */

struct token_row {
    bool there;
    uint64_t expires, uses;
};

static int token_find(struct step *s, struct token_row *t)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_TOKEN_GET);
    int rc;

    bind_bytes(q, 1, s->c->token, META_TOKEN_HASH);
    rc = step_find(s, q, &t->there);
    if (rc == 0 && t->there) {
        t->expires = column_u64(q, 0);
        t->uses = column_u64(q, 1);
        meta_db_done(s->db, STMT_TOKEN_GET);
    }
    return rc;
}

static int token_run(struct step *s, enum meta_statement name)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_bytes(q, 1, s->c->token, META_TOKEN_HASH);
    return step_run(s, name, q);
}

/* Tokens that can not be used any more go when there is no room; until then
 * they tell who comes with one what is wrong with it. */
static int token_room(struct step *s)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_TOKEN_SWEEP);
    uint64_t n;
    int rc = registry_count(s, STMT_TOKEN_COUNT, 0, &n);

    if (rc != 0 || n < META_TOKENS_MAX) {
        return rc;
    }
    bind_u64(q, 1, s->c->time_ms);
    rc = step_run(s, STMT_TOKEN_SWEEP, q);
    if (rc == 0) {
        rc = registry_count(s, STMT_TOKEN_COUNT, 0, &n);
    }
    if (rc == 0 && n >= META_TOKENS_MAX) {
        registry_refuse(s, ERR_LIMIT, COMMAND_REFUSED_TOKENS_MAX);
    }
    return rc;
}

int apply_token_create(struct step *s)
{
    struct registry r;
    struct token_row t;
    sqlite3_stmt *q;
    int rc = registry_open(s, &r);

    if (rc == 0 && s->status == 0) {
        rc = token_find(s, &t);
        if (rc == 0 && t.there) {
            registry_refuse(s, ERR_EXISTS, COMMAND_REFUSED_TOKEN_EXISTS);
        }
    }
    if (rc == 0 && s->status == 0) {
        rc = token_room(s);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_TOKEN_INSERT);
    bind_bytes(q, 1, s->c->token, META_TOKEN_HASH);
    bind_u64(q, 2, s->c->time_ms);
    bind_u64(q, 3, s->c->expires_ms);
    bind_u64(q, 4, s->c->uses);
    bind_text(q, 5, s->c->note.p, s->c->note.len);
    return step_run(s, STMT_TOKEN_INSERT, q);
}

int apply_token_revoke(struct step *s)
{
    struct registry r;
    struct token_row t;
    int rc = registry_open(s, &r);

    if (rc == 0 && s->status == 0) {
        rc = token_find(s, &t);
        if (rc == 0 && !t.there) {
            registry_refuse(s, ERR_NOT_FOUND, COMMAND_REFUSED_TOKEN_UNKNOWN);
        }
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    return token_run(s, STMT_TOKEN_REMOVE);
}

/* ---- a server comes ---- */

/* Does the token let this server in? One that repeats its join needs no use:
 * the answer to the first may have been lost. */
static int judge_token(struct step *s, const struct known *k)
{
    struct token_row t;
    int rc = token_find(s, &t);

    if (rc != 0) {
        return rc;
    }
    if (!t.there) {
        return registry_refuse(s, ERR_DENIED, COMMAND_REFUSED_TOKEN_UNKNOWN);
    }
    if (s->c->time_ms > t.expires) {
        return registry_refuse(s, ERR_DENIED, COMMAND_REFUSED_TOKEN_EXPIRED);
    }
    if (t.uses == 0 && !k->by_token) {
        return registry_refuse(s, ERR_DENIED, COMMAND_REFUSED_TOKEN_USED_UP);
    }
    if (k->v.there && k->v.state == META_SERVER_REMOVED) {
        return registry_refuse(s, ERR_DENIED, COMMAND_REFUSED_IDENTITY_REMOVED);
    }
    return 0;
}

int apply_server_join(struct step *s)
{
    struct registry r;
    struct known known;
    uint64_t zone = 0;
    int rc = registry_open(s, &r);

    if (rc == 0 && s->status == 0) {
        rc = known_find(s, &known);
    }
    if (rc == 0 && s->status == 0) {
        rc = judge_token(s, &known);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (known.v.there) {
        s->body = known.v.id;
        return 0;
    }
    rc = judge_server(s, &r, &zone);
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = token_run(s, STMT_TOKEN_USE);
    return rc == 0 ? server_insert(s, &r, zone) : rc;
}

/* ---- a server changes, or goes ---- */

static int judge_roles(struct step *s, const struct server_row *v)
{
    uint64_t drives;
    int rc = 0;

    if (s->c->roles == 0) {
        return 0;
    }
    if ((s->c->roles & META_SERVER_NODE) == 0) {
        rc = registry_count(s, STMT_DRIVE_COUNT_OF, v->id, &drives);
        if (rc == 0 && drives > 0) {
            registry_refuse(s, ERR_PRECONDITION,
                            COMMAND_REFUSED_SERVER_HAS_DRIVES);
        }
    }
    if (rc == 0 && s->status == 0 && (s->c->roles & META_SERVER_META) == 0) {
        rc = judge_other_meta(s, v);
    }
    return rc;
}

static int server_change(struct step *s, uint64_t zone)
{
    const struct command *c = s->c;
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_SERVER_UPDATE);

    /* What is not bound is NULL, and stays as it is. */
    bind_u64(q, 1, c->server);
    if (c->address.p != NULL) {
        bind_text(q, 2, c->address.p, c->address.len);
    }
    if (c->endpoint.p != NULL) {
        bind_text(q, 3, c->endpoint.p, c->endpoint.len);
    }
    if (c->zone.p != NULL) {
        bind_u64(q, 4, zone);
    }
    if (c->roles != 0) {
        bind_u64(q, 5, c->roles);
    }
    if (c->format != 0) {
        bind_u64(q, 6, c->format);
    }
    return step_run(s, STMT_SERVER_UPDATE, q);
}

int apply_server_update(struct step *s)
{
    struct registry r;
    struct server_row v;
    uint64_t zone = 0;
    int rc = registry_server_open(s, &r, &v);

    if (rc == 0 && s->status == 0) {
        rc = judge_roles(s, &v);
    }
    if (rc == 0 && s->status == 0 && s->c->address.p != NULL) {
        rc = judge_address(s, v.id);
    }
    if (rc == 0 && s->status == 0 && s->c->zone.p != NULL) {
        rc = zone_find(s, &r, &zone);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (s->c->zone.p != NULL) {
        rc = zone_make(s, &r, &zone);
    }
    if (rc == 0) {
        rc = server_change(s, zone);
    }
    return rc == 0 ? registry_write(s, &r) : rc;
}

int apply_server_state(struct step *s)
{
    struct registry r;
    struct server_row v;
    int rc = registry_server_open(s, &r, &v);

    if (rc != 0 || s->status != 0 || v.state == s->c->state) {
        return rc;
    }
    return registry_set_state(s, &r, STMT_SERVER_STATE, v.id, s->c->state);
}

int apply_server_remove(struct step *s)
{
    struct registry r;
    struct server_row v = {.there = false};
    sqlite3_stmt *q;
    uint64_t drives = 0;
    int rc = registry_open(s, &r);

    if (rc == 0 && s->status == 0) {
        rc = registry_server(s, &v);
    }
    if (rc != 0 || s->status != 0 || v.state == META_SERVER_REMOVED) {
        return rc;
    }
    rc = registry_count(s, STMT_DRIVE_COUNT_OF, v.id, &drives);
    if (rc == 0 && drives > 0 && !s->c->force) {
        registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_SERVER_HAS_DRIVES);
    }
    if (rc == 0 && s->status == 0) {
        rc = judge_other_meta(s, &v);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_DRIVES_REMOVE);
    bind_u64(q, 1, v.id);
    rc = step_run(s, STMT_DRIVES_REMOVE, q);
    return rc == 0 ? registry_set_state(s, &r, STMT_SERVER_STATE, v.id,
                                        META_SERVER_REMOVED)
                   : rc;
}
