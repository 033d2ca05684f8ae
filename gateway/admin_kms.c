/* Master keys below /-/: GET and POST of /-/master-keys. No key ever leaves the
 * server: names, numbers and states do.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "gateway/request.h"
#include "meta/meta_user.h"

/* Rows of one name stand together, the newest last. */
static void show(struct buf *b, const struct meta_master_key *keys,
                 size_t count)
{
    const char *comma = "";

    buf_str(b, "{\"keys\":[");
    for (size_t i = 0; i < count; i++) {
        size_t first = i;
        while (i + 1 < count && strcmp(keys[i + 1].name, keys[i].name) == 0) {
            i++;
        }
        buf_printf(b, "%s{", comma);
        put_json_member(b, "name", keys[i].name, false);
        put_json_u64(b, "number", keys[i].number, false);
        put_json_u64(b, "created_ms", keys[first].created_ms, false);
        put_json_u64(b, "rotated_ms", keys[i].created_ms, false);
        put_json_bool(b, "disabled", keys[i].disabled, true);
        buf_char(b, '}');
        comma = ",";
    }
    buf_str(b, "]}\n");
}

void admin_master_keys(struct request *r)
{
    struct meta_master_key *keys = NULL;
    struct err err = {{0}};
    size_t count = 0;
    int rc;

    if (!admin_is_ready(r)) {
        return;
    }
    rc = meta_master_keys(r->gateway->meta, false, &keys, &count, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_json(r);
    show(&r->reply_body, keys, count);
    free(keys);
}

static void refuse(struct request *r, const char *name, int rc,
                   const struct err *err)
{
    switch (rc) {
        case ERR_EXISTS:
            reply_error(r, S3_PreconditionFailed, "%s: is there already", name);
            break;
        case ERR_NOT_FOUND:
            reply_error(r, S3_NotFound, "%s: there is no such key", name);
            break;
        case ERR_DENIED:
            reply_error(r, S3_PreconditionFailed, "%s: is disabled", name);
            break;
        case ERR_LIMIT:
            reply_error(r, S3_PreconditionFailed, "too many keys");
            break;
        default:
            reply_err(r, rc, err);
    }
}

/* ?name=NAME and what to do: create, rotate, disable or enable. */
void admin_master_key_set(struct request *r)
{
    const char *name = request_param(r, "name");
    struct err err = {{0}};
    uint32_t number = 0;
    int rc;

    if (!admin_is_ready(r)) {
        return;
    }
    if (name == NULL || !master_key_name_valid(name)) {
        reply_error(r, S3_InvalidArgument,
                    "name: 1 to %d letters, digits and any of -_./",
                    META_MASTER_NAME_MAX);
        return;
    }
    if (request_param(r, "create") != NULL) {
        rc = master_keys_add(r->gateway, name, false, &number, &err);
    } else if (request_param(r, "rotate") != NULL) {
        rc = master_keys_add(r->gateway, name, true, &number, &err);
    } else if (request_param(r, "disable") != NULL ||
               request_param(r, "enable") != NULL) {
        rc = master_keys_disable(r->gateway, name,
                                 request_param(r, "disable") != NULL, &err);
    } else {
        reply_error(r, S3_InvalidArgument,
                    "say create, rotate, disable or enable");
        return;
    }
    if (rc != 0) {
        refuse(r, name, rc, &err);
        return;
    }
    reply_json(r);
    buf_char(&r->reply_body, '{');
    put_json_member(&r->reply_body, "name", name, false);
    put_json_u64(&r->reply_body, "number", number, true);
    buf_str(&r->reply_body, "}\n");
}
