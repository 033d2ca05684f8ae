#include "gateway/s3_more.h"

#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_tags.h"

#define LOCK_MODE "x-amz-object-lock-mode"
#define LOCK_UNTIL "x-amz-object-lock-retain-until-date"
#define LOCK_HOLD "x-amz-object-lock-legal-hold"
#define BYPASS "x-amz-bypass-governance-retention"

/* ---- modes ---- */

static const char *const modes[] = {
    [META_LOCK_NONE] = "",
    [META_LOCK_GOVERNANCE] = "GOVERNANCE",
    [META_LOCK_COMPLIANCE] = "COMPLIANCE",
};

const char *s3_lock_mode_text(enum meta_lock_mode mode)
{
    return mode <= META_LOCK_COMPLIANCE ? modes[mode] : "";
}

bool s3_lock_mode_parse(const char *text, enum meta_lock_mode *out)
{
    for (int i = META_LOCK_GOVERNANCE; i <= META_LOCK_COMPLIANCE; i++) {
        if (strcmp(text, modes[i]) == 0) {
            *out = (enum meta_lock_mode)i;
            return true;
        }
    }
    return false;
}

/* ---- from headers ---- */

static bool take_tags(struct request *r, struct s3_more *m)
{
    const char *text = request_header(r, "x-amz-tagging");
    struct s3_tags tags = {0};
    struct err err = {{0}};
    enum s3_error e;

    if (text == NULL) {
        return true;
    }
    e = s3_tags_query(text, S3_TAGS_OBJECT_MAX, &tags, &err);
    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
        return false;
    }
    s3_tags_write_query(&tags, &m->tags);
    s3_tags_free(&tags);
    m->more.tags = m->tags.len > 0 ? (const char *)m->tags.data : "";
    m->more.tags_len = m->tags.len;
    return true;
}

static bool take_retention(struct request *r, struct s3_more *m)
{
    const char *mode = request_header(r, LOCK_MODE);
    const char *until = request_header(r, LOCK_UNTIL);

    if (mode == NULL && until == NULL) {
        return true;
    }
    if (mode == NULL || until == NULL) {
        reply_error(r, S3_InvalidArgument,
                    LOCK_UNTIL " and " LOCK_MODE " must both be supplied");
        return false;
    }
    if (!s3_lock_mode_parse(mode, &m->more.lock)) {
        reply_error(r, S3_InvalidArgument, "Unknown wormMode directive.");
        return false;
    }
    if (!text_parse_iso8601(until, &m->more.retain_ms)) {
        reply_error(r, S3_InvalidArgument,
                    "The retain until date must be provided in ISO 8601 "
                    "format");
        return false;
    }
    if (m->more.retain_ms <= r->time_ms) {
        reply_error(r, S3_InvalidArgument,
                    "The retain until date must be in the future!");
        return false;
    }
    return true;
}

static bool take_hold(struct request *r, struct s3_more *m)
{
    const char *hold = request_header(r, LOCK_HOLD);

    m->more.hold = hold != NULL && strcmp(hold, "ON") == 0;
    if (hold != NULL && !m->more.hold && strcmp(hold, "OFF") != 0) {
        reply_error(r, S3_InvalidArgument,
                    "Legal Hold must be either of 'ON' or 'OFF'");
        return false;
    }
    return true;
}

bool s3_more_from(struct request *r, struct s3_more *out)
{
    struct s3_more m = {.tags = {0}};

    if (!take_tags(r, &m) || !take_retention(r, &m) || !take_hold(r, &m)) {
        s3_more_free(&m);
        return false;
    }
    *out = m;
    return true;
}

void s3_more_free(struct s3_more *m)
{
    buf_free(&m->tags);
    *m = (struct s3_more){.tags = {0}};
}

void s3_more_add(struct request *r, const struct s3_more *m)
{
    const struct command_more *c = &m->more;

    if (c->version != META_VERSION_CURRENT || c->tags != NULL ||
        c->lock != META_LOCK_NONE || c->hold || c->device != 0) {
        command_add_more(&r->command, 0, c);
    }
}

bool s3_bypass_header(struct request *r, bool *bypass)
{
    const char *text = request_header(r, BYPASS);

    *bypass = text != NULL && text_ieq(text, "true");
    if (text != NULL && !*bypass && !text_ieq(text, "false")) {
        reply_error(r, S3_InvalidArgument, BYPASS " must be true or false");
        return false;
    }
    return true;
}

/* ---- to headers ---- */

void s3_more_reply(struct request *r, const struct meta_object *o)
{
    char date[TEXT_TIME_MAX];
    unsigned count = o->tags_len > 0;

    for (size_t i = 0; i < o->tags_len; i++) {
        count += o->tags[i] == '&';
    }
    if (count > 0) {
        reply_header(r, "x-amz-tagging-count", "%u", count);
    }
    if (o->lock != META_LOCK_NONE) {
        reply_header(r, LOCK_MODE, "%s", s3_lock_mode_text(o->lock));
        reply_header(r, LOCK_UNTIL, "%s", text_iso8601(o->retain_ms, date));
    }
    if (o->hold_said) {
        reply_header(r, LOCK_HOLD, "%s", o->hold ? "ON" : "OFF");
    }
}
