/* The audit log: entries, checkpoints, and what every change leaves in it.
 *
 * Which commands are changes is said by what they are not: a command that is
 * new is in the log before anybody has thought of it.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/apply_step.h"

#define CUTS_MAX 8 /* checkpoints at once: a command takes no long time */

struct log {
    uint64_t number, base;
    uint8_t hash[AUDIT_HASH];
    struct audit_settings set;
};

static int log_get(struct step *s, struct log *l)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_AUDIT_STATE_GET);
    bool found;
    int rc = step_find(s, q, &found);

    if (rc == 0 && (!found || sqlite3_column_bytes(q, 1) != AUDIT_HASH)) {
        rc = err_set(s->err, ERR_CORRUPT, "audit log: no state");
    }
    if (rc == 0) {
        l->number = column_u64(q, 0);
        memcpy(l->hash, sqlite3_column_blob(q, 1), AUDIT_HASH);
        l->base = column_u64(q, 2);
        l->set = (struct audit_settings){
            .level = (uint8_t)column_u64(q, 3),
            .hash_keys = column_u64(q, 4) != 0,
            .keep_ms = column_u64(q, 5),
        };
    }
    meta_db_done(s->db, STMT_AUDIT_STATE_GET);
    return rc;
}

static int log_set(struct step *s, const struct log *l)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_AUDIT_STATE_SET);

    bind_u64(q, 1, l->number);
    bind_bytes(q, 2, l->hash, AUDIT_HASH);
    bind_u64(q, 3, l->base);
    return step_run(s, STMT_AUDIT_STATE_SET, q);
}

/* One more entry, of a draft of @len bytes. */
static int log_add(struct step *s, struct log *l, const void *draft, size_t len)
{
    uint8_t bytes[AUDIT_HEAD + AUDIT_DRAFT_MAX];
    sqlite3_stmt *q;

    store_u64(bytes, ++l->number);
    store_u64(bytes + 8, s->a->state.clock_ms);
    memcpy(bytes + AUDIT_HEAD, draft, len);
    len += AUDIT_HEAD;
    audit_chain(l->hash, bytes, len);
    q = meta_db_stmt(s->db, STMT_AUDIT_INSERT);
    bind_u64(q, 1, l->number);
    bind_bytes(q, 2, l->hash, AUDIT_HASH);
    bind_bytes(q, 3, bytes, len);
    return step_run(s, STMT_AUDIT_INSERT, q);
}

static int log_add_entry(struct step *s, struct log *l,
                         const struct audit_entry *e)
{
    struct buf draft = {0};
    int rc;

    audit_draft_put(&draft, e);
    rc = log_add(s, l, draft.data, draft.len);
    buf_free(&draft);
    return rc;
}

/* ---- changes ---- */

/* What is no change of who may what, or of what must stay. */
static bool is_change(const struct command *c)
{
    switch (c->type) {
        case COMMAND_OBJECT_PUT:
        case COMMAND_OBJECT_COPY:
        case COMMAND_OBJECT_TAGS:
        case COMMAND_UPLOAD_CREATE:
        case COMMAND_PART_PUT:
        case COMMAND_UPLOAD_COMPLETE:
        case COMMAND_UPLOAD_ABORT:
        case COMMAND_GARBAGE_DONE:
        case COMMAND_LAYOUT_SET:
        case COMMAND_LAYOUT_CHANGE:
        case COMMAND_SERVER_UPDATE:
        case COMMAND_DRIVE_ADD:
        case COMMAND_DRIVE_STATE:
        case COMMAND_DRIVE_WEIGHT:
        case COMMAND_DEVICE_REPORT:
        case COMMAND_EXPIRE:
        case COMMAND_BODY_RECODE:
        case COMMAND_ERASE_SOME:
        case COMMAND_ERASE_CLEAN:
        case COMMAND_CLOCK_VOTE:
        case COMMAND_AUDIT_APPEND:
        case COMMAND_AUDIT_CHECKPOINT:
            return false;
        case COMMAND_OBJECT_DELETE:
        case COMMAND_OBJECTS_DELETE:
            return c->bypass; /* of a retention */
        default:
            return true;
    }
}

static const char *config_name(enum meta_config_kind kind)
{
    switch (kind) {
#define X(name, value)       \
    case META_CONFIG_##name: \
        return #name;
        META_CONFIG_TABLE(X)
#undef X
        default:
            return "?";
    }
}

static void put_word(struct buf *b, const char *name,
                     const struct command_bytes *value)
{
    if (value->p != NULL && value->len > 0) {
        buf_printf(b, "%s%s=%.*s", b->len > 0 ? " " : "", name, (int)value->len,
                   (const char *)value->p);
    }
}

static void put_sum(struct buf *b, const char *name,
                    const struct command_bytes *value)
{
    uint8_t sum[DIGEST_MAX];
    char hex[2 * DIGEST_MAX + 1];

    if (value->p != NULL && value->len > 0) {
        size_t n = digest_of(DIGEST_SHA256, value->p, value->len, sum);
        buf_printf(b, "%s%s=sha256:%s", b->len > 0 ? " " : "", name,
                   text_hex(sum, n, hex));
    }
}

/* What was changed; of long values and secrets the digest, or nothing. */
static void put_detail(struct buf *b, const struct command *c)
{
    put_word(b, "name", &c->name);
    put_word(b, "owner", &c->owner);
    put_word(b, "access_key", &c->access_key);
    put_word(b, "address", &c->address);
    put_word(b, "note", &c->note);
    switch (c->type) {
        case COMMAND_BUCKET_CONFIG:
            buf_printf(b, "kind=%s", config_name(c->config));
            if (c->content.len == 0) {
                buf_str(b, " removed");
            }
            break;
        case COMMAND_OBJECT_RETAIN:
            buf_printf(b, "mode=%s until_ms=%llu",
                       c->lock == META_LOCK_COMPLIANCE   ? "compliance"
                       : c->lock == META_LOCK_GOVERNANCE ? "governance"
                                                         : "none",
                       (unsigned long long)c->retain_ms);
            break;
        case COMMAND_OBJECT_HOLD:
            buf_str(b, c->hold ? "hold=on" : "hold=off");
            break;
        case COMMAND_MASTER_KEY_STATE:
            buf_str(b, c->force ? " disabled" : " enabled");
            break;
        case COMMAND_MASTER_KEY_PUT:
            buf_printf(b, " number=%u", c->number);
            break;
        case COMMAND_SERVER_STATE:
        case COMMAND_SERVER_REMOVE:
            buf_printf(b, "server=%u state=%u", c->server, c->state);
            break;
        default:
            break;
    }
    if (c->type != COMMAND_MASTER_KEY_PUT) {
        put_sum(b, "value", &c->content);
    }
    put_sum(b, "settings", &c->settings);
    if (c->bypass) {
        buf_str(b, b->len > 0 ? " bypass" : "bypass");
    }
}

static void set_actor(struct audit_entry *e, const struct command *c)
{
    static const enum audit_text to[4] = {AUDIT_TEXT_REQUEST, AUDIT_TEXT_USER,
                                          AUDIT_TEXT_ACCESS_KEY,
                                          AUDIT_TEXT_ADDRESS};
    struct command_bytes who[4];

    if (command_read_actor(c, &e->server, who)) {
        for (int i = 0; i < 4; i++) {
            audit_set_bytes(e, to[i], who[i].p, who[i].len);
        }
    }
}

/* @detail may be NULL. */
static int add_change(struct step *s, struct log *l, const char *operation,
                      const struct buf *detail)
{
    const struct command *c = s->c;
    struct audit_entry e = {.kind = AUDIT_CHANGE,
                            .time_ms = c->time_ms,
                            .version = c->version,
                            .device = c->device};
    char hashed[72];

    audit_set_text(&e, AUDIT_TEXT_OPERATION, operation);
    audit_set_bytes(&e, AUDIT_TEXT_BUCKET, c->bucket.p, c->bucket.len);
    audit_set_bytes(&e, AUDIT_TEXT_KEY, c->key.p, c->key.len);
    if (l->set.hash_keys && c->key.len > 0) {
        audit_hash_key((const char *)c->bucket.p, c->bucket.len,
                       (const char *)c->key.p, c->key.len, hashed);
        audit_set_text(&e, AUDIT_TEXT_KEY, hashed);
    }
    if (detail != NULL) {
        audit_set_bytes(&e, AUDIT_TEXT_DETAIL, detail->data, detail->len);
    }
    set_actor(&e, c);
    return log_add_entry(s, l, &e);
}

int audit_note_change(struct step *s)
{
    struct buf detail = {0};
    struct log l;
    int rc;

    if (s->status != 0 || !is_change(s->c)) {
        return 0;
    }
    rc = log_get(s, &l);
    if (rc == 0) {
        put_detail(&detail, s->c);
        rc = add_change(s, &l, command_name((int)s->c->type), &detail);
        buf_free(&detail);
    }
    return rc == 0 ? log_set(s, &l) : rc;
}

/* ---- the commands ---- */

static int change_settings(struct step *s, struct log *l)
{
    const struct audit_settings *set = &s->c->audit;
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_AUDIT_SETTINGS);
    struct buf detail = {0};
    int rc;

    bind_u64(q, 1, set->level);
    bind_u64(q, 2, set->hash_keys);
    bind_u64(q, 3, set->keep_ms);
    rc = step_run(s, STMT_AUDIT_SETTINGS, q);
    if (rc == 0) {
        buf_printf(&detail, "level=%s keys=%s keep_ms=%llu",
                   audit_level_name(set->level),
                   set->hash_keys ? "hashed" : "plain",
                   (unsigned long long)set->keep_ms);
        rc = add_change(s, l, "AUDIT_SETTINGS", &detail);
        buf_free(&detail);
    }
    l->set = *set;
    s->a->access_changes++;
    return rc;
}

int apply_audit_append(struct step *s)
{
    struct log l;
    size_t at = 0;
    int rc = log_get(s, &l);

    if (rc == 0 && s->c->audit_set) {
        rc = change_settings(s, &l);
    }
    for (uint32_t i = 0; i < s->c->count && rc == 0; i++) {
        struct command_item item;
        command_item(s->c, &at, &item);
        rc = log_add(s, &l, item.key.p, item.key.len);
    }
    s->body = l.number;
    return rc == 0 ? log_set(s, &l) : rc;
}

/* Is @hash that of entry @number? */
static int hash_is(struct step *s, uint64_t number, const uint8_t *hash,
                   bool *same)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_AUDIT_HASH_OF);
    bool found;
    int rc;

    bind_u64(q, 1, number);
    rc = step_find(s, q, &found);
    *same = rc == 0 && found && sqlite3_column_bytes(q, 0) == AUDIT_HASH &&
            memcmp(sqlite3_column_blob(q, 0), hash, AUDIT_HASH) == 0;
    meta_db_done(s->db, STMT_AUDIT_HASH_OF);
    return rc;
}

static int cut_below(struct step *s, enum meta_statement name, uint64_t number)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_u64(q, 1, number);
    return step_run(s, name, q);
}

/* Let go of what was kept long enough, up to a checkpoint, which stays: what is
 * left chains to it. */
static int cut(struct step *s, struct log *l)
{
    uint64_t now = s->a->state.clock_ms, to = 0;
    struct audit_entry e = {.kind = AUDIT_CUT};
    sqlite3_stmt *q;
    int rc = 0, step;

    if (l->set.keep_ms == 0 || now <= l->set.keep_ms) {
        return 0;
    }
    q = meta_db_stmt(s->db, STMT_AUDIT_POINT_DUE);
    bind_u64(q, 1, l->base);
    bind_u64(q, 2, now - l->set.keep_ms);
    bind_u64(q, 3, CUTS_MAX);
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        to = column_u64(q, 0);
    }
    if (step != SQLITE_DONE) {
        return meta_db_error(s->db, "audit", s->err);
    }
    meta_db_done(s->db, STMT_AUDIT_POINT_DUE);
    if (to == 0) {
        return 0;
    }
    rc = cut_below(s, STMT_AUDIT_CUT, to);
    if (rc == 0) {
        rc = cut_below(s, STMT_AUDIT_POINT_CUT, to);
    }
    l->base = to;
    e.count = to;
    return rc == 0 ? log_add_entry(s, l, &e) : rc;
}

int apply_audit_checkpoint(struct step *s)
{
    const struct command *c = s->c;
    sqlite3_stmt *q;
    struct log l;
    bool same = false;
    int rc = log_get(s, &l);

    if (rc == 0) {
        rc = hash_is(s, c->revision, c->code, &same);
    }
    if (rc != 0 || !same) {
        s->status = rc == 0 ? ERR_PRECONDITION : 0;
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_AUDIT_POINT_PUT);
    bind_u64(q, 1, c->revision);
    bind_u64(q, 2, c->time_ms);
    bind_u64(q, 3, c->server);
    bind_bytes(q, 4, c->code, AUDIT_HASH);
    bind_bytes(q, 5, c->fingerprint, AUDIT_KEY);
    bind_bytes(q, 6, c->content.p, AUDIT_SIGNATURE);
    rc = step_run(s, STMT_AUDIT_POINT_PUT, q);
    if (rc == 0) {
        rc = cut(s, &l);
    }
    return rc == 0 ? log_set(s, &l) : rc;
}
