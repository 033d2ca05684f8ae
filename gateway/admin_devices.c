/* Devices below /-/: GET, POST and DELETE of /-/devices, and POST of
 * /-/devices/revoke. POST takes a JSON object: what a device is called, below
 * which prefix of which bucket it may put, for whom it seals. The answer holds
 * the code by which it enrols, once.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "cluster/identity.h"
#include "crypto/digest.h"
#include "crypto/pki.h"
#include "crypto/seal_key.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta_device.h"
#include "policy/iam.h"
#include "policy/json_tree.h"

#define EXPIRES_MS ((uint64_t)3600 * 1000)
#define EXPIRES_MAX_MS ((uint64_t)365 * 86400 * 1000)
#define RECIPIENTS_MAX 7 /* one more may be the device's own */
#define PAGE 1000

struct asked {
    struct json_tree *tree;
    const char *name, *bucket, *prefix, *format;
    const struct json_node *recipients; /* NULL: none */
    bool may_read;
    uint64_t expires_ms;
};

static bool is_name(const char *s)
{
    size_t len = strlen(s);

    for (const char *p = s; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr("._-", *p) == NULL) {
            return false;
        }
    }
    return len > 0 && len <= META_DEVICE_MAX;
}

static bool refuse(struct request *r, const char *why)
{
    reply_error(r, S3_InvalidArgument, "%s", why);
    return false;
}

/* ---- reading what is asked ---- */

static bool judge_recipients(struct request *r, const struct json_node *list)
{
    const struct json_node *n;

    if (list->kind != JSON_ARRAY || list->count > RECIPIENTS_MAX) {
        reply_error(r, S3_InvalidArgument,
                    "recipients: a list of at most %d keys, age1...",
                    RECIPIENTS_MAX);
        return false;
    }
    for (n = list->first; n != NULL; n = n->next) {
        struct seal_recipient recipient;
        struct err err = {{0}};
        if (n->kind != JSON_STRING ||
            seal_recipient_parse(n->text, &recipient, &err) != 0) {
            reply_error(r, S3_InvalidArgument, "recipients: \"%.80s\": %s",
                        n->text, err.text[0] != '\0' ? err.text : "no text");
            return false;
        }
    }
    return true;
}

static bool take_member(struct request *r, struct asked *a,
                        const struct json_node *m)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"name", &a->name},
                 {"bucket", &a->bucket},
                 {"prefix", &a->prefix},
                 {"format", &a->format}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(m->name, texts[i].name) == 0 && m->kind == JSON_STRING) {
            *texts[i].to = m->text;
            return true;
        }
    }
    if (strcmp(m->name, "recipients") == 0) {
        a->recipients = m;
        return judge_recipients(r, m);
    }
    if (strcmp(m->name, "read") == 0 &&
        (m->kind == JSON_TRUE || m->kind == JSON_FALSE)) {
        a->may_read = m->kind == JSON_TRUE;
        return true;
    }
    if (strcmp(m->name, "expires_ms") == 0 && m->kind == JSON_NUMBER &&
        text_u64(m->text, &a->expires_ms) && a->expires_ms > 0 &&
        a->expires_ms <= EXPIRES_MAX_MS) {
        return true;
    }
    reply_error(r, S3_InvalidArgument,
                "body: %.64s is not known, or not of its kind", m->name);
    return false;
}

static bool judge_asked(struct request *r, const struct asked *a)
{
    struct meta_bucket bucket = {.owner = NULL};
    struct err err = {{0}};
    int rc;

    if (!is_name(a->name)) {
        reply_error(r, S3_InvalidArgument,
                    "name: 1 to %d letters, digits and any of ._-",
                    META_DEVICE_MAX);
        return false;
    }
    if (strlen(a->prefix) > META_KEY_MAX / 2 ||
        strpbrk(a->prefix, "*?$") != NULL) {
        reply_error(r, S3_InvalidArgument,
                    "prefix: at most %d bytes and none of *?$",
                    META_KEY_MAX / 2);
        return false;
    }
    if (strcmp(a->format, "godwit") != 0 && strcmp(a->format, "age") != 0) {
        return refuse(r, "format: godwit or age");
    }
    rc = meta_bucket_get(r->gateway->meta, a->bucket, &bucket, &err);
    meta_bucket_free(&bucket);
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

/* False: a reply was made. Free a->tree. */
static bool read_asked(struct request *r, struct asked *a)
{
    struct err err = {{0}};
    const struct json_node *m;

    *a = (struct asked){NULL, "", "", "", "godwit", NULL, false, EXPIRES_MS};
    if (!admin_is_ready(r)) {
        return false;
    }
    if (json_tree_read(r->document.data, r->document.len, &a->tree, &err) !=
        0) {
        return refuse(r, err.text);
    }
    if (json_tree_root(a->tree)->kind != JSON_OBJECT) {
        return refuse(r, "body: not an object");
    }
    for (m = json_tree_root(a->tree)->first; m != NULL; m = m->next) {
        if (!take_member(r, a, m)) {
            return false;
        }
    }
    return judge_asked(r, a);
}

/* ---- what a device may, and what it is told ---- */

static void put_policy(struct buf *b, const struct asked *a)
{
    char *resource = mem_printf("arn:aws:s3:::%s/%s*", a->bucket, a->prefix);

    buf_str(b,
            "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
            "\"Action\":[\"s3:PutObject\",\"s3:DeleteObject\","
            "\"s3:AbortMultipartUpload\",\"s3:ListMultipartUploadParts\"");
    buf_str(b, a->may_read ? ",\"s3:GetObject\"" : "");
    buf_str(b, "],\"Resource\":");
    put_json_text(b, resource);
    buf_str(b, "}]}");
    free(resource);
}

static void put_settings(struct buf *b, const struct asked *a,
                         const char *policy, size_t policy_len)
{
    const struct json_node *n =
        a->recipients != NULL ? a->recipients->first : NULL;

    buf_char(b, '{');
    put_json_member(b, "bucket", a->bucket, false);
    put_json_member(b, "prefix", a->prefix, false);
    if (strcmp(a->format, "godwit") != 0) {
        put_json_member(b, "format", a->format, false);
    }
    buf_str(b, "\"recipients\":[");
    for (; n != NULL; n = n->next) {
        put_json_text(b, n->text);
        buf_str(b, n->next != NULL ? "," : "");
    }
    buf_char(b, ']');
    if (policy != NULL) {
        buf_str(b, ",\"policy\":");
        buf_append(b, policy, policy_len);
    }
    buf_char(b, '}');
}

/* ---- making ---- */

/* A code names the CA that the device is to trust; ERR_PRECONDITION: this
 * server has none. */
static int draw_code(struct gateway *g, struct pki_token *code, struct err *err)
{
    struct identity id;
    struct pki_cert ca;
    int rc = identity_load(g->options->data, &id, err);

    if (rc != 0) {
        return rc;
    }
    if (id.ca_cert.len == 0) {
        rc = err_set(err, ERR_PRECONDITION,
                     "devices enrol over TLS by a certificate of the "
                     "cluster's own: start the server with --tls auto");
    } else {
        rc = pki_cert_read(id.ca_cert.data, id.ca_cert.len, &ca, err);
    }
    if (rc == 0) {
        pki_token_new(ca.fingerprint, code);
    }
    identity_free(&id);
    return rc;
}

static void propose_device(struct request *r, const struct asked *a,
                           const struct pki_token *code)
{
    struct buf policy = {0}, settings = {0};
    struct meta_device old = {.settings = NULL};
    uint8_t hash[DIGEST_MAX];
    const char *kept = NULL;
    size_t kept_len = 0;

    digest_of(DIGEST_SHA256, code->secret, sizeof code->secret, hash);
    put_policy(&policy, a);
    /* What it is told to do stays when it is enrolled anew. */
    if (meta_device_get(r->gateway->meta, a->name, &old, NULL) == 0) {
        kept = json_find(old.settings, "policy", &kept_len);
    }
    put_settings(&settings, a, kept, kept_len);
    if (settings.len > META_DEVICE_SETTINGS_MAX) {
        refuse(r, "recipients: too many beside the device's policy");
    } else {
        char text[PKI_TOKEN_TEXT];
        uint64_t until = r->time_ms + a->expires_ms;
        command_device_put(&r->command, a->name, policy.data, policy.len,
                           settings.data, settings.len, hash, until,
                           r->time_ms);
        if (admin_propose(r, a->name)) {
            pki_code_format(code, text);
            reply_json(r);
            buf_char(&r->reply_body, '{');
            put_json_member(&r->reply_body, "name", a->name, false);
            put_json_member(&r->reply_body, "code", text, false);
            put_json_u64(&r->reply_body, "expires_ms", until, true);
            buf_str(&r->reply_body, "}\n");
            mem_wipe(text, sizeof text);
        }
    }
    meta_device_free(&old);
    buf_free(&policy);
    buf_free(&settings);
}

void admin_device_put(struct request *r)
{
    struct pki_token code;
    struct asked a;

    if (read_asked(r, &a)) {
        struct err err = {{0}};
        int rc = draw_code(r->gateway, &code, &err);
        if (rc == ERR_PRECONDITION) {
            reply_error(r, S3_PreconditionFailed, "%s", err.text);
        } else if (rc != 0) {
            reply_err(r, rc, &err);
        } else {
            propose_device(r, &a, &code);
        }
        mem_wipe(&code, sizeof code);
    }
    json_tree_free(a.tree);
}

/* ---- showing ---- */

static const char *state_name(enum meta_device_state state)
{
    return state == META_DEVICE_NEW        ? "new"
           : state == META_DEVICE_ENROLLED ? "enrolled"
                                           : "revoked";
}

static void device_json(struct buf *b, const struct meta_device *d)
{
    buf_char(b, '{');
    put_json_member(b, "name", d->name, false);
    put_json_u64(b, "number", d->number, false);
    put_json_member(b, "state", state_name(d->state), false);
    put_json_u64(b, "created_ms", d->created_ms, false);
    put_json_u64(b, "enrolled_ms", d->enrolled_ms, false);
    put_json_u64(b, "code_expires_ms", d->code_expires_ms, false);
    put_json_u64(b, "seen_ms", d->seen_ms, false);
    put_json_u64(b, "floor", d->floor, false);
    put_json_member(b, "policy", d->policy, false);
    buf_printf(b, "\"settings\":%s,\"report\":%s}", d->settings,
               d->report != NULL ? d->report : "null");
}

/* Up to ?max after ?after, or ?name alone. */
void admin_devices(struct request *r)
{
    const char *after = request_param(r, "after");
    const char *name = request_param(r, "name");
    struct meta_device one = {.policy = NULL}, *list = NULL;
    struct buf *b = &r->reply_body;
    struct err err = {{0}};
    uint64_t max;
    size_t count = 0;
    int rc;

    if (!admin_is_ready(r) ||
        !request_param_u64(r, "max", PAGE, 1, PAGE, &max)) {
        return;
    }
    if (name != NULL) {
        rc = meta_device_get(r->gateway->meta, name, &one, &err);
    } else {
        rc = meta_devices(r->gateway->meta, after != NULL ? after : "", max,
                          &list, &count, &err);
    }
    if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_NotFound, "%.64s: there is no such device", name);
        return;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_printf(b, "{\"now_ms\":%llu,\"devices\":[",
               (unsigned long long)r->time_ms);
    if (name != NULL) {
        device_json(b, &one);
        meta_device_free(&one);
    }
    for (size_t i = 0; i < count; i++) {
        buf_str(b, i > 0 ? "," : "");
        device_json(b, &list[i]);
        meta_device_free(&list[i]);
    }
    buf_str(b, "]}\n");
    free(list);
}

/* ---- ending ---- */

static void end(struct request *r, bool forget)
{
    const char *name = request_param(r, "name");

    if (!admin_is_ready(r)) {
        return;
    }
    if (name == NULL || !is_name(name)) {
        refuse(r, "name: which device?");
        return;
    }
    if (forget) {
        command_device_remove(&r->command, name);
    } else {
        command_device_revoke(&r->command, name, r->time_ms);
    }
    if (admin_propose(r, name)) {
        reply_json(r);
        buf_str(&r->reply_body, "{}\n");
    }
}

void admin_device_revoke(struct request *r)
{
    end(r, false);
}

void admin_device_remove(struct request *r)
{
    end(r, true);
}
