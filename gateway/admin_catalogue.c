/* GET /-/catalogue: a backup of the catalogue, with all that was acknowledged
 * before it was asked for. */
#include <string.h>

#include "base/err.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta_backup.h"
#include "object/object_bytes.h"

static void free_backup(void *state)
{
    meta_backup_free(state);
}

static int next_bytes(struct request *r, size_t max, struct object_bytes *out,
                      struct err *err)
{
    int rc;

    if (!object_bytes_new(r->gateway->objects, max, false, out)) {
        return err_set(err, ERR_NOMEM, "no memory for a window");
    }
    rc = meta_backup_read(r->state, out->p, max, &out->len, err);
    if (rc != 0) {
        object_bytes_free(r->gateway->objects, out);
    }
    return rc;
}

void admin_catalogue(struct request *r)
{
    struct gateway *g = r->gateway;
    struct meta_backup *b = NULL;
    struct err err = {{0}};
    int rc;

    if (strcmp(r->method, "GET") != 0) {
        reply_error(r, S3_MethodNotAllowed, NULL);
        return;
    }
    if (!admin_is_ready(r)) {
        return;
    }
    rc = meta_backup_now(g->meta, g->cluster_id, &b, &err);
    if (rc == 0) {
        r->state = b;
        r->state_free = free_backup;
        rc = reply_stream(r, 200, meta_backup_bytes(b), next_bytes, &err);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply_header(r, "Content-Type", "application/octet-stream");
}
