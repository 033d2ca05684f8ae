/* The audit log below /-/: GET and POST of /-/audit.
 *
 *     GET ?state             settings, numbers, and the public key, as JSON
 *     GET ?after=N&max=M     lines (meta/audit_entry.h) of the entries behind
 *                            number N with their checkpoints; without "after"
 *                            the log's head and the checkpoint that it begins
 *                            with stand before them
 *     GET ?since=MS          from the last checkpoint before that time on
 *     POST ?level=L&keys=plain|hashed&keep_ms=T    what is not said stays
 *     POST ?checkpoint       sign the last entry; its number, as JSON
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/text.h"
#include "gateway/audit.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta_audit.h"

#define PAGE_DEFAULT 1000
#define PAGE_MAX 5000

static void show_state(struct request *r)
{
    struct buf *b = &r->reply_body;
    struct meta_audit_state s;
    struct err err = {{0}};
    uint8_t key[AUDIT_KEY];
    char hex[2 * AUDIT_KEY + 1] = "";
    int rc = meta_audit_state(r->gateway->meta, &s, &err);

    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    if (audit_public(r->gateway, key)) {
        text_hex(key, sizeof key, hex);
    }
    reply_json(r);
    buf_char(b, '{');
    put_json_member(b, "level", audit_level_name(s.set.level), false);
    put_json_member(b, "keys", s.set.hash_keys ? "hashed" : "plain", false);
    put_json_u64(b, "keep_ms", s.set.keep_ms, false);
    put_json_u64(b, "number", s.number, false);
    put_json_u64(b, "base", s.base, false);
    put_json_u64(b, "checkpoint", s.checkpoint, false);
    put_json_u64(b, "checkpoint_ms", s.checkpoint_ms, false);
    put_json_u64(b, "dropped", audit_lost(r->gateway), false);
    put_json_member(b, "key", hex, true);
    buf_str(b, "}\n");
}

/* ---- lines ---- */

static int put_entry(struct buf *b, const struct meta_audit_row *row,
                     uint64_t *number, struct err *err)
{
    struct audit_entry e;
    int rc = audit_entry_read(row->content, row->len, &e, err);

    if (rc == 0) {
        audit_line_entry(b, &e, row->hash);
        *number = e.number;
    }
    return rc;
}

/* Entries behind @after, and the checkpoints that stand between them. */
static int put_page(struct request *r, struct buf *b, uint64_t after,
                    size_t max, struct err *err)
{
    struct audit_checkpoint *points = NULL;
    struct meta_audit_row *rows = NULL;
    size_t count = 0, point_count = 0, at = 0;
    int rc = meta_audit_list(r->gateway->meta, after, max, &rows, &count, err);

    if (rc == 0 && count > 0) { /* after the entries: the last one has its own,
                                   if it has any */
        rc = meta_audit_checkpoints(r->gateway->meta, after + 1, count, &points,
                                    &point_count, err);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t number = 0;
        if (rc == 0) {
            rc = put_entry(b, &rows[i], &number, err);
        }
        while (rc == 0 && at < point_count && points[at].number <= number) {
            audit_line_checkpoint(b, &points[at++]);
        }
        free(rows[i].content);
    }
    free(rows);
    free(points);
    return rc;
}

/* The head, and, when entries were cut, the checkpoint that the rest begins
 * with; gives its number. */
static int put_head(struct request *r, struct buf *b, uint64_t *base,
                    struct err *err)
{
    struct audit_checkpoint *point = NULL;
    struct meta_audit_state s;
    size_t count = 0;
    int rc = meta_audit_state(r->gateway->meta, &s, err);

    if (rc == 0 && s.base > 0) {
        rc = meta_audit_checkpoints(r->gateway->meta, s.base, 1, &point, &count,
                                    err);
    }
    if (rc == 0) {
        *base = s.base;
        audit_line_head(b, r->gateway->cluster_id);
    }
    if (rc == 0 && count == 1 && point->number == s.base) {
        audit_line_checkpoint(b, point);
    }
    free(point);
    return rc;
}

static void show_lines(struct request *r)
{
    struct err err = {{0}};
    struct buf lines = {0};
    uint64_t after, max, since;
    int rc = 0;

    if (!request_param_u64(r, "after", 0, 0, INT64_MAX, &after) ||
        !request_param_u64(r, "since", 0, 0, INT64_MAX, &since) ||
        !request_param_u64(r, "max", PAGE_DEFAULT, 1, PAGE_MAX, &max)) {
        return;
    }
    if (request_param(r, "since") != NULL) {
        rc = meta_audit_before(r->gateway->meta, since, &after, &err);
    } else if (request_param(r, "after") == NULL) {
        rc = put_head(r, &lines, &after, &err);
    }
    if (rc == 0) {
        rc = put_page(r, &lines, after, (size_t)max, &err);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        reply(r, 200);
        reply_header(r, "Content-Type", "application/x-ndjson");
        buf_append(&r->reply_body, lines.data, lines.len);
    }
    buf_free(&lines);
}

void admin_audit(struct request *r)
{
    if (!admin_is_ready(r)) {
        return;
    }
    if (request_param(r, "state") != NULL) {
        show_state(r);
    } else {
        show_lines(r);
    }
}

/* ---- setting ---- */

/* Read what is said into @set; false: a reply was made. */
static bool read_settings(struct request *r, struct audit_settings *set)
{
    const char *level = request_param(r, "level");
    const char *keys = request_param(r, "keys");
    enum audit_level l = set->level;

    if (level == NULL && keys == NULL && request_param(r, "keep_ms") == NULL) {
        reply_error(r, S3_InvalidArgument,
                    "say level, keys, keep_ms or checkpoint");
        return false;
    }
    if (level != NULL && !audit_level_parse(level, &l)) {
        reply_error(r, S3_InvalidArgument,
                    "level: none, denied, writes or all, not %.32s", level);
        return false;
    }
    if (keys != NULL && strcmp(keys, "plain") != 0 &&
        strcmp(keys, "hashed") != 0) {
        reply_error(r, S3_InvalidArgument, "keys: plain or hashed, not %.32s",
                    keys);
        return false;
    }
    set->level = (uint8_t)l;
    if (keys != NULL) {
        set->hash_keys = strcmp(keys, "hashed") == 0;
    }
    return request_param_u64(r, "keep_ms", set->keep_ms, 0, INT64_MAX,
                             &set->keep_ms);
}

static void change(struct request *r)
{
    struct meta_audit_state s;
    struct err err = {{0}};
    int rc = meta_audit_state(r->gateway->meta, &s, &err);

    if (rc == 0) {
        if (!read_settings(r, &s.set)) {
            return;
        }
        rc = audit_set(r, &s.set, &err);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_str(&r->reply_body, "{}\n");
}

void admin_audit_set(struct request *r)
{
    struct err err = {{0}};
    uint64_t number = 0;
    int rc;

    if (!admin_is_ready(r)) {
        return;
    }
    if (request_param(r, "checkpoint") == NULL) {
        change(r);
        return;
    }
    rc = audit_sign(r->gateway, &number, &err);
    if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_NotFound, "%s", err.text);
        return;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_char(&r->reply_body, '{');
    put_json_u64(&r->reply_body, "checkpoint", number, true);
    buf_str(&r->reply_body, "}\n");
}
