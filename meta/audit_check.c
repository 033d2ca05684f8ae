#include "meta/audit_check.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "crypto/sign.h"

_Static_assert(SIGN_PUBLIC == AUDIT_KEY && SIGN_SIZE == AUDIT_SIGNATURE,
               "one kind of key");

void audit_check_begin(struct audit_check *c)
{
    c->named = c->key_count > 0;
}

static bool is_trusted(struct audit_check *c, const uint8_t key[AUDIT_KEY])
{
    for (size_t i = 0; i < c->key_count; i++) {
        if (memcmp(c->keys[i], key, AUDIT_KEY) == 0) {
            return true;
        }
    }
    if (c->named || c->key_count > 0) {
        return false;
    }
    memcpy(c->keys[c->key_count++], key, AUDIT_KEY);
    return true;
}

static int check_signature(struct audit_check *c,
                           const struct audit_checkpoint *p, struct err *err)
{
    char hex[2 * AUDIT_KEY + 1];
    uint8_t text[AUDIT_SIGNED];

    if (!is_trusted(c, p->key)) {
        return err_set(err, ERR_CORRUPT,
                       "checkpoint %llu is signed by the key %s, which is not "
                       "%s",
                       (unsigned long long)p->number,
                       text_hex(p->key, AUDIT_KEY, hex),
                       c->named ? "trusted" : "that of those before");
    }
    audit_checkpoint_text(p, c->cluster, text);
    if (!sign_verify(p->key, text, sizeof text, p->signature)) {
        return err_set(err, ERR_CORRUPT,
                       "checkpoint %llu: its signature is not good",
                       (unsigned long long)p->number);
    }
    return 0;
}

static int check_checkpoint(struct audit_check *c,
                            const struct audit_checkpoint *p, struct err *err)
{
    int rc = check_signature(c, p, err);

    if (rc != 0) {
        return rc;
    }
    if (c->lines == 1) { /* right after the head */
        c->base = c->last = p->number;
        memcpy(c->hash, p->hash, AUDIT_HASH);
    } else if (p->number != c->last) {
        return err_set(err, ERR_CORRUPT,
                       "a checkpoint of entry %llu stands behind entry %llu",
                       (unsigned long long)p->number,
                       (unsigned long long)c->last);
    } else if (memcmp(p->hash, c->hash, AUDIT_HASH) != 0) {
        return err_set(err, ERR_CORRUPT,
                       "checkpoint %llu was signed over another log",
                       (unsigned long long)p->number);
    }
    c->checkpoints++;
    c->at_checkpoint = true;
    return 0;
}

static int check_entry(struct audit_check *c, const struct audit_line *l,
                       struct err *err)
{
    const struct audit_entry *e = &l->entry;

    if (e->number != c->last + 1) {
        return err_set(err, ERR_CORRUPT,
                       "entry %llu stands where %llu is to be: entries were "
                       "removed, added or moved",
                       (unsigned long long)e->number,
                       (unsigned long long)c->last + 1);
    }
    audit_chain(c->hash, l->bytes->data, l->bytes->len);
    if (memcmp(c->hash, l->hash, AUDIT_HASH) != 0) {
        return err_set(err, ERR_CORRUPT,
                       "entry %llu or one before it was changed: its hash is "
                       "not that of the chain",
                       (unsigned long long)e->number);
    }
    if (e->clock_ms < c->clock_ms) {
        return err_set(err, ERR_CORRUPT, "entry %llu: cluster time went back",
                       (unsigned long long)e->number);
    }
    if (c->entries == 0) {
        c->first = e->number;
    }
    if (e->kind == AUDIT_CUT) {
        c->cut = e->count;
    } else if (e->kind == AUDIT_LOST) {
        c->lost += e->count;
    }
    c->clock_ms = e->clock_ms;
    c->last = e->number;
    c->entries++;
    c->at_checkpoint = false;
    return 0;
}

int audit_check_line(struct audit_check *c, const char *line, size_t len,
                     struct err *err)
{
    struct buf bytes = {0};
    struct audit_line l = {.bytes = &bytes};
    int rc = audit_line_read(line, len, &l, err);

    if (rc == 0 && (l.kind == AUDIT_LINE_HEAD) != (c->lines == 0)) {
        rc = err_set(
            err, ERR_CORRUPT,
            c->lines == 0 ? "is not the head of a log" : "a second head");
    }
    if (rc == 0) {
        switch (l.kind) {
            case AUDIT_LINE_HEAD:
                memcpy(c->cluster, l.cluster, sizeof c->cluster);
                break;
            case AUDIT_LINE_ENTRY:
                rc = check_entry(c, &l, err);
                break;
            case AUDIT_LINE_CHECKPOINT:
                rc = check_checkpoint(c, &l.checkpoint, err);
                break;
        }
    }
    buf_free(&bytes);
    if (rc != 0) {
        return err_wrap(err, rc, "line %llu", (unsigned long long)c->lines + 1);
    }
    c->lines++;
    return 0;
}

int audit_check_end(struct audit_check *c, struct err *err)
{
    if (!c->at_checkpoint || c->entries == 0) {
        return err_set(err, ERR_CORRUPT,
                       "no checkpoint stands at the end: lines were removed, "
                       "or the log was not exported to its end");
    }
    if (c->base != c->cut) {
        return err_set(err, ERR_CORRUPT,
                       "the log begins behind entry %llu, and says that it was "
                       "cut there at %llu: entries were removed",
                       (unsigned long long)c->base, (unsigned long long)c->cut);
    }
    return 0;
}
