/* What devices say of themselves and are told: POST /-/edge/v1/report and GET
 * /-/edge/v1/settings.
 */
#include "base/err.h"
#include "base/json.h"
#include "gateway/access.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta_device.h"
#include "policy/json_tree.h"

/* False: a reply was made. */
static bool judge_report(struct request *r)
{
    struct json_tree *tree = NULL;
    struct err err = {{0}};
    bool is_object = false;

    if (r->document.len > META_DEVICE_REPORT_MAX) {
        edge_error(r, 413, "a report has at most %d bytes",
                   META_DEVICE_REPORT_MAX);
        return false;
    }
    if (json_tree_read(r->document.data, r->document.len, &tree, &err) == 0) {
        is_object = json_tree_root(tree)->kind == JSON_OBJECT;
        json_tree_free(tree);
    }
    if (!is_object) {
        edge_error(r, 400, "report: %s",
                   err.text[0] != '\0' ? err.text : "not an object");
    }
    return is_object;
}

/* So that a new policy does not wait for the device's next look. */
static void tell_version(struct request *r)
{
    struct meta_device d = {.policy = NULL};

    if (meta_device_local(r->gateway->meta, r->user->device, &d, NULL) == 0) {
        reply_header(
            r, "x-godwit-policy", "%llu",
            (unsigned long long)json_u64(d.settings, "policy.version"));
        meta_device_free(&d);
    }
}

void edge_report(struct request *r)
{
    struct err err = {{0}};
    int rc;

    if (!judge_report(r)) {
        return;
    }
    command_device_report(&r->command, r->user->device, r->document.data,
                          r->document.len, r->time_ms);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    buf_clear(&r->command);
    if (rc == 0) {
        reply(r, 204);
        tell_version(r);
    } else if (rc == ERR_DENIED) {
        edge_error(r, 403, "the device is not enrolled, or was revoked");
    } else {
        edge_error(r, 503, "%s", err.text);
    }
}

void edge_settings(struct request *r)
{
    struct meta_device d = {.policy = NULL};
    struct err err = {{0}};

    if (meta_device_local(r->gateway->meta, r->user->device, &d, &err) != 0) {
        edge_error(r, 503, "%s", err.text);
        return;
    }
    reply_json(r);
    buf_append(&r->reply_body, d.settings, d.settings_len);
    meta_device_free(&d);
}
