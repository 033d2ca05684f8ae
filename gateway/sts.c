#include "gateway/sts.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_xml.h"
#include "gateway/session.h"
#include "gateway/sts_form.h"

#define XMLNS "https://sts.amazonaws.com/doc/2011-06-15/"

bool sts_is(const struct request *r)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const char *type = request_header(r, "content-type");

    return strcmp(r->method, "POST") == 0 && strcmp(r->path, "/") == 0 &&
           r->bucket[0] == '\0' && type != NULL &&
           strncasecmp(type, form, sizeof form - 1) == 0;
}

/* ---- errors ---- */

/* What STS calls what S3 calls otherwise. */
static enum s3_error error_of(const struct request *r, enum s3_error e)
{
    switch (e) {
        case S3_InvalidAccessKeyId:
        case S3_InvalidToken:
            return S3_InvalidClientTokenId;
        case S3_AuthorizationHeaderMalformed:
        case S3_AuthorizationQueryParametersError:
            return S3_IncompleteSignature;
        case S3_RequestTimeTooSkewed:
            return S3_SignatureDoesNotMatch;
        case S3_AccessDenied:
            return r->auth.access_key[0] == '\0' ? S3_MissingAuthenticationToken
                                                 : e;
        default:
            return e;
    }
}

void sts_reply_error(struct request *r, enum s3_error e, const char *message)
{
    enum s3_error sts = error_of(r, e);
    int status = sts == S3_ExpiredToken ? 403 : s3_error_status(sts);
    struct buf *b = reply_document(r, status);

    r->error = e;
    buf_str(b, "<ErrorResponse xmlns=\"" XMLNS "\">");
    xml_open(b, "Error");
    xml_text(b, "Type", status < 500 ? "Sender" : "Receiver");
    xml_text(b, "Code", s3_error_code(sts));
    xml_text(b, "Message",
             strcmp(message, s3_error_message(e)) == 0 ? s3_error_message(sts)
                                                       : message);
    xml_close(b, "Error");
    xml_text(b, "RequestId", r->id);
    xml_close(b, "ErrorResponse");
}

/* ---- answers ---- */

static struct buf *begin(struct request *r, const char *action)
{
    struct buf *b = reply_document(r, 200);

    buf_printf(b, "<%sResponse xmlns=\"" XMLNS "\"><%sResult>", action, action);
    return b;
}

static void end(struct request *r, const char *action)
{
    struct buf *b = &r->reply_body;

    buf_printf(b, "</%sResult><ResponseMetadata>", action);
    xml_text(b, "RequestId", r->id);
    buf_printf(b, "</ResponseMetadata></%sResponse>", action);
}

static void put_credentials(struct buf *b, const struct session_keys *keys,
                            const char *token, uint64_t expires_ms)
{
    xml_open(b, "Credentials");
    xml_text(b, "AccessKeyId", keys->access_key);
    xml_text(b, "SecretAccessKey", keys->secret_key);
    xml_text(b, "SessionToken", token);
    xml_time(b, "Expiration", expires_ms);
    xml_close(b, "Credentials");
}

static void put_role(struct buf *b, const struct access_user *u,
                     const struct session_claims *c)
{
    char text[sizeof u->arn + sizeof u->canonical_id + SESSION_NAME_MAX + 32];
    const char *name = c->name[0] != '\0' ? c->name : "-";

    xml_open(b, "AssumedRoleUser");
    snprintf(text, sizeof text, "%s:%s", u->canonical_id, name);
    xml_text(b, "AssumedRoleId", text);
    snprintf(text, sizeof text, "arn:aws:sts::%s:assumed-role/%.80s/%s",
             u->account, u->name, name);
    xml_text(b, "Arn", text);
    xml_close(b, "AssumedRoleUser");
    if (c->policy_len > 0) {
        xml_u64(b, "PackedPolicySize",
                c->policy_len * 100 / SESSION_POLICY_MAX);
    }
}

/* ---- the actions ---- */

static bool check_policy(struct request *r, const struct sts_form *f)
{
    struct iam_policy *policy = NULL;
    struct err err = {{0}};
    bool good =
        f->policy_len == 0 || iam_read(IAM_IDENTITY, NULL, f->policy,
                                       f->policy_len, &policy, &err) == 0;

    iam_free(policy);
    if (!good) {
        reply_error(r, S3_MalformedPolicyDocument, "Policy: %s", err.text);
    }
    return good;
}

static void log_session(const struct request *r, const struct session_claims *c,
                        const struct session_keys *keys)
{
    char expires[TEXT_TIME_MAX];

    log_line(LOG_INFO, "session", "req", r->id, "user", r->user->name, "by",
             r->auth.access_key, "name", c->name[0] != '\0' ? c->name : "-",
             "access_key", keys->access_key, "expires",
             text_iso8601(c->expires_ms, expires), "policy",
             c->policy_len > 0 ? "own" : "-", NULL);
}

static void give_session(struct request *r, const struct sts_form *f)
{
    bool assumed = f->action == STS_ASSUME_ROLE;
    const char *action = assumed ? "AssumeRole" : "GetSessionToken";
    struct session_claims c = {
        .made_ms = r->time_ms,
        .expires_ms = r->time_ms + f->duration_s * 1000,
        .kind = assumed ? SESSION_ASSUMED : SESSION_PLAIN,
        .policy_len = f->policy_len,
    };
    struct session_keys keys = {{0}, {0}};
    struct err err = {{0}};
    struct buf token = {0};
    struct buf *b;
    int rc;

    strcpy(c.name, f->name);
    strcpy(c.policy, f->policy);
    rc = session_make(r->gateway, r->user, r->auth.access_key, &c, &keys,
                      &token, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    b = begin(r, action);
    put_credentials(b, &keys, (char *)token.data, c.expires_ms);
    if (assumed) {
        put_role(b, r->user, &c);
    }
    end(r, action);
    log_session(r, &c, &keys);
    mem_wipe(&keys, sizeof keys);
    buf_wipe(&token);
}

static void give_identity(struct request *r)
{
    struct buf *b = begin(r, "GetCallerIdentity");

    xml_text(b, "UserId", r->user->canonical_id);
    xml_text(b, "Account", r->user->account);
    xml_text(b, "Arn", r->user->arn);
    end(r, "GetCallerIdentity");
}

/* POST /: which action it is, is known with its body. */
void sts_post(struct request *r)
{
    static const enum s3_op ops[] = {
        [STS_ASSUME_ROLE] = S3_OP_AssumeRole,
        [STS_GET_SESSION_TOKEN] = S3_OP_GetSessionToken,
        [STS_GET_CALLER_IDENTITY] = S3_OP_GetCallerIdentity,
    };
    struct sts_form f;
    struct err err = {{0}};
    enum s3_error e;

    if (!s3_authenticate_sts(r)) {
        return;
    }
    e = sts_form_read(
        r->document.data != NULL ? r->document.data : (uint8_t *)"",
        r->document.len, &f, &err);
    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
        return;
    }
    r->op = ops[f.action];
    if (f.action == STS_GET_CALLER_IDENTITY) { /* anyone may know who he is */
        give_identity(r);
    } else if (s3_authorize_session(r) && check_policy(r, &f)) {
        give_session(r, &f);
    }
}
