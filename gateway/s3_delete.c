/* DeleteObject and DeleteObjects.
 *
 * Source: AWS S3 API Reference, DeleteObject, DeleteObjects.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/audit.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_more.h"
#include "gateway/s3_router.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"
#include "gateway/server_log.h"

/* ---- DeleteObject ---- */

static void deleted(struct request *r)
{
    int status = r->proposal.status;

    if (edge_is_repeat(r, status)) {
        reply(r, 204);
        edge_reply_repeated(r);
    } else if (status != 0 && !edge_reply_refused(r, status)) {
        reply_err(r, status, &r->proposal.err);
    } else if (status == 0) {
        reply(r, 204);
        s3_version_reply_deleted(r, r->proposal.version);
    }
    request_done(r);
}

void s3_delete_object(struct request *r)
{
    struct command_more more = {.version = META_VERSION_CURRENT};
    struct s3_put_conditions held = {NULL, NULL};
    struct meta_condition condition = {NULL, NULL};

    if (!s3_version_param(r, &more.version) || !s3_bypass(r, &more.bypass) ||
        !edge_delivery(r, &more)) {
        request_done(r);
        return;
    }
    if (request_header(r, "if-none-match") != NULL ||
        request_header(r, "x-amz-if-match-size") != NULL ||
        request_header(r, "x-amz-if-match-last-modified-time") != NULL) {
        reply_error(r, S3_NotImplemented,
                    "of conditions, DeleteObject takes If-Match only");
        request_done(r);
        return;
    }
    if (!s3_put_conditions(r, &held)) {
        request_done(r);
        return;
    }
    condition.if_match = held.if_match;
    command_object_delete(&r->command, r->bucket, r->key, &condition,
                          r->time_ms);
    if (more.version != META_VERSION_CURRENT || more.bypass ||
        more.device != 0) {
        command_add_more(&r->command, 0, &more);
    }
    s3_put_conditions_free(&held);
    if (more.version != META_VERSION_CURRENT) {
        janitor_tell_time(r->gateway);
    }
    request_propose(r, deleted);
}

/* ---- DeleteObjects ---- */

/* A body that deletes must have come whole: S3 asks for Content-MD5 or one of
 * its checksums. That it is right was judged before the handler ran. */
static bool has_digest(const struct request *r)
{
    if (request_header(r, "content-md5") != NULL) {
        return true;
    }
    for (int kind = 0; kind < DIGEST_KINDS; kind++) {
        const char *name = s3_checksum_header((enum digest_kind)kind);
        if (name != NULL && request_header(r, name) != NULL) {
            return true;
        }
    }
    return false;
}

/* What became of each key of the request. */
struct outcome {
    enum s3_error error;
    const char *why; /* NULL: the table's message */
    uint64_t which;  /* version that was named */
    uint64_t marker; /* that was made or removed; 0: none */
    enum audit_rule rule;
};

/* What can be refused without asking the catalogue. */
static struct outcome judge_key(const struct xml_delete *d, size_t i)
{
    struct outcome o = {.error = S3_OK};

    if (!s3_version_parse(d->versions[i], &o.which, &o.why)) {
        o.error = S3_NoSuchVersion;
        o.why = NULL;
    } else if (strlen(d->keys[i]) > META_KEY_MAX) {
        o.error = S3_KeyTooLongError;
    } else if (!s3_key_valid(d->keys[i], strlen(d->keys[i]), &o.why)) {
        o.error = S3_InvalidArgument;
    } else if (d->etags[i] != NULL && strlen(d->etags[i]) > META_ETAG_MAX) {
        o.error = S3_PreconditionFailed;
    }
    return o;
}

/* @version: the answer's, of all. */
static void take_code(struct outcome *o, uint8_t code, size_t i,
                      uint64_t version)
{
    o->error = s3_error_of(code & META_CODE_STATUS);
    if ((code & META_CODE_STATUS) == ERR_RETAINED) {
        o->why = "Access Denied because object protected by object lock.";
    }
    if ((code & META_CODE_MADE_MARKER) != 0) {
        o->marker = version == META_VERSION_NULL ? version : version + i;
    } else if ((code & META_CODE_WAS_MARKER) != 0) {
        o->marker = o->which;
    }
}

/* What was decided on a key: the request as a whole is none of them. */
static void tell_audit(struct request *r, const char *key, struct outcome *o)
{
    if (o->error == S3_AccessDenied) {
        r->rule = o->why != NULL ? AUDIT_BY_LOCK : o->rule;
        audit_key(r, "DeleteObject", r->bucket, key, o->which, true);
    } else if (o->error == S3_OK) {
        r->rule = o->rule;
        audit_key(r, "DeleteObject", r->bucket, key, o->which, false);
    }
}

/* Propose the keys that were not refused; sets their outcomes. */
static int delete_keys(struct request *r, const struct xml_delete *d,
                       bool bypass, struct outcome *outcomes, struct err *err)
{
    const char **keys = mem_calloc(d->count, sizeof *keys);
    const char **etags = mem_calloc(d->count, sizeof *etags);
    size_t *at = mem_calloc(d->count, sizeof *at);
    uint64_t *versions = mem_calloc(d->count, sizeof *versions);
    struct command_more more = {.bypass = bypass};
    uint8_t *codes = mem_alloc(META_DELETE_MAX);
    struct meta_proposal proposal = {.codes = codes};
    size_t count = 0;
    int rc = 0;

    for (size_t i = 0; i < d->count; i++) {
        outcomes[i] = judge_key(d, i);
        if (outcomes[i].error == S3_OK &&
            !s3_may(r,
                    d->versions[i] != NULL ? "s3:DeleteObjectVersion"
                                           : "s3:DeleteObject",
                    r->bucket, d->keys[i])) {
            outcomes[i].error = S3_AccessDenied;
        }
        outcomes[i].rule = r->rule;
        if (outcomes[i].error == S3_OK) {
            keys[count] = d->keys[i];
            etags[count] = d->etags[i];
            versions[count] = outcomes[i].which;
            if (outcomes[i].which != META_VERSION_CURRENT) {
                more.versions = versions;
            }
            at[count++] = i;
        }
    }
    if (count > 0) {
        command_objects_delete(&r->command, r->bucket, keys, etags, count,
                               r->time_ms);
        if (more.versions != NULL) {
            command_add_more(&r->command, 0, &more);
            janitor_tell_time(r->gateway);
        }
        rc = meta_propose_wait(r->gateway->meta, &r->command, &proposal, err);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        take_code(&outcomes[at[i]], codes[i], i, proposal.version);
    }
    for (size_t i = 0; rc == 0 && i < d->count; i++) {
        tell_audit(r, d->keys[i], &outcomes[i]);
        server_logs_deleted(r, d->keys[i], outcomes[i].error);
    }
    free(versions);
    free(keys);
    free(etags);
    free(at);
    free(codes);
    return rc;
}

static void show_outcome(struct buf *b, const char *key, const char *version,
                         struct outcome o)
{
    char text[S3_VERSION_TEXT];

    xml_open(b, o.error == S3_OK ? "Deleted" : "Error");
    xml_text(b, "Key", key);
    if (version != NULL) {
        xml_text(b, "VersionId", version);
    }
    if (o.marker != 0) {
        xml_bool(b, "DeleteMarker", true);
        xml_text(b, "DeleteMarkerVersionId", s3_version_text(o.marker, text));
    }
    if (o.error != S3_OK) {
        xml_text(b, "Code", s3_error_code(o.error));
        xml_text(b, "Message",
                 o.why != NULL ? o.why : s3_error_message(o.error));
    }
    xml_close(b, o.error == S3_OK ? "Deleted" : "Error");
}

void s3_delete_objects(struct request *r)
{
    struct xml_delete d = {0};
    struct outcome *outcomes = NULL;
    struct err err = {{0}};
    struct buf *b;
    bool bypass;
    int rc;

    if (!s3_bypass(r, &bypass)) {
        return;
    }
    if (!has_digest(r)) {
        reply_error(r, S3_InvalidRequest,
                    "Missing required header for this request: Content-MD5 "
                    "or x-amz-checksum-*");
        return;
    }
    rc = xml_read_delete(r->document.data, r->document.len, &d, &err);
    if (rc == ERR_BAD_INPUT) {
        r->err = err;
        reply_error(r, S3_MalformedXML, NULL);
        return;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    outcomes = mem_calloc(d.count, sizeof *outcomes);
    rc = delete_keys(r, &d, bypass, outcomes, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        goto out;
    }
    b = reply_xml(r, 200, "DeleteResult");
    for (size_t i = 0; i < d.count; i++) {
        if (!d.quiet || outcomes[i].error != S3_OK) {
            show_outcome(b, d.keys[i], d.versions[i], outcomes[i]);
        }
    }
    xml_close(b, "DeleteResult");

out:
    free(outcomes);
    xml_delete_free(&d);
}
