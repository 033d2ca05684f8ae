/* POST /-/devices/policy?name=NAME: what a device is to do from now on, as the
 * body has it (fleet/edge_policy.h). It becomes the next version of the
 * device's policy, signed by the cluster's CA, and travels in its settings as
 *
 *     "policy":{"version":N,"document":"...","signature":"<base64>"}
 *
 * The answer is {"version":N}.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/pki.h"
#include "fleet/edge_policy.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/tls_auto.h"
#include "meta/meta_device.h"
#include "policy/json_tree.h"

/* All members of @settings but the policy, and the brace before them. */
static int put_others(struct buf *b, const char *settings, size_t len,
                      struct err *err)
{
    const struct json_node *n;
    struct json_tree *tree;
    int rc = json_tree_read(settings, len, &tree, err);

    if (rc != 0) {
        return err_wrap(err, ERR_CORRUPT, "settings");
    }
    buf_char(b, '{');
    for (n = json_tree_root(tree)->first; n != NULL; n = n->next) {
        size_t raw_len = 0;
        const char *raw = json_find(settings, n->name, &raw_len);
        if (strcmp(n->name, "policy") != 0 && raw != NULL) {
            put_json_text(b, n->name);
            buf_char(b, ':');
            buf_append(b, raw, raw_len);
            buf_char(b, ',');
        }
    }
    json_tree_free(tree);
    return 0;
}

static int put_signed(struct gateway *g, const struct buf *document,
                      uint64_t version, struct buf *b, struct err *err)
{
    char text[TEXT_BASE64_MAX(PKI_SIGNATURE_MAX)];
    struct buf signature = {0};
    int rc = tls_auto_sign_policy(g->tls, document->data, document->len,
                                  &signature, err);

    if (rc == 0) {
        buf_str(b, "\"policy\":{");
        put_json_u64(b, "version", version, false);
        put_json_member(b, "document", (const char *)document->data, false);
        put_json_member(b, "signature",
                        text_base64(signature.data, signature.len, text), true);
        buf_str(b, "}}");
    }
    buf_free(&signature);
    return rc;
}

/* The settings of @d with the body of @r as their next policy. */
static int make_settings(struct request *r, const struct meta_device *d,
                         uint64_t *version, struct buf *out, struct err *err)
{
    struct buf document = {0};
    int rc;

    *version = json_u64(d->settings, "policy.version") + 1;
    edge_policy_document(d->name, *version, r->document.data, r->document.len,
                         &document);
    rc = put_others(out, d->settings, d->settings_len, err);
    if (rc == 0) {
        rc = put_signed(r->gateway, &document, *version, out, err);
    }
    if (rc == 0 && out->len > META_DEVICE_SETTINGS_MAX) {
        rc = err_set(err, ERR_LIMIT,
                     "policy: too long beside the device's other settings");
    }
    buf_free(&document);
    return rc;
}

static void propose(struct request *r, const struct meta_device *d)
{
    struct buf settings = {0};
    struct err err = {{0}};
    uint64_t version;
    int rc = make_settings(r, d, &version, &settings, &err);

    if (rc == ERR_LIMIT) {
        reply_error(r, S3_InvalidArgument, "%s", err.text);
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        command_device_put(&r->command, d->name, d->policy, d->policy_len,
                           settings.data, settings.len, NULL, 0, r->time_ms);
        if (admin_propose(r, d->name)) {
            reply_json(r);
            buf_char(&r->reply_body, '{');
            put_json_u64(&r->reply_body, "version", version, true);
            buf_str(&r->reply_body, "}\n");
        }
    }
    buf_free(&settings);
}

/* False: a reply was made. */
static bool judge_policy(struct request *r)
{
    struct edge_policy policy;
    struct err err = {{0}};
    int rc = edge_policy_read(r->document.data, r->document.len, &policy, &err);

    if (rc != 0) {
        reply_error(r, S3_InvalidArgument, "policy: %s", err.text);
        return false;
    }
    edge_policy_free(&policy);
    return true;
}

void admin_device_policy(struct request *r)
{
    const char *name = request_param(r, "name");
    struct meta_device d = {.policy = NULL};
    struct err err = {{0}};
    int rc;

    if (!admin_is_ready(r) || !judge_policy(r)) {
        return;
    }
    if (name == NULL) {
        reply_error(r, S3_InvalidArgument, "name: which device?");
        return;
    }
    if (r->gateway->tls == NULL) {
        reply_error(r, S3_PreconditionFailed,
                    "policies are signed by the cluster's CA: start the "
                    "server with --tls auto");
        return;
    }
    rc = meta_device_get(r->gateway->meta, name, &d, &err);
    if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_NotFound, "%.64s: there is no such device", name);
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        propose(r, &d);
    }
    meta_device_free(&d);
}
