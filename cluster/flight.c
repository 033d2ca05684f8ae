/* Puts in flight at other servers: what a collector of orphans must know before
 * it deletes what the catalogue does not name (docs/ARCHITECTURE.md,
 * "Collecting orphans").
 */
#include "base/err.h"
#include "base/wire.h"
#include "cluster/cluster_internal.h"
#include "object/object_gc.h"

#define TIMEOUT_MS 5000

void cluster_answer_flight(struct cluster *c, struct net_request *r)
{
    struct object_store *objects = cluster_objects_take(c);
    struct wire_reader in;
    uint64_t hi, lo;
    uint8_t flies = 0; /* who has not opened its objects puts nothing */
    int rc = 0;

    wire_init(&in, r->head, r->head_len);
    hi = get_u64(&in);
    lo = get_u64(&in);
    if (!wire_done(&in)) {
        rc = ERR_BAD_INPUT;
    } else if (objects != NULL) {
        flies = object_put_in_flight(objects, hi, lo);
    }
    if (objects != NULL) {
        cluster_objects_give(c);
    }
    net_reply(c->net, r, rc, err_text(rc), &flies, sizeof flies, NULL, 0, NULL,
              NULL);
}

/* Also when it does not say. */
static bool flies_at(struct cluster *c, uint32_t server, const struct buf *run)
{
    struct net_call call = {.service = NET_CLUSTER,
                            .type = CLUSTER_FLIGHT,
                            .head = run->data,
                            .head_len = run->len,
                            .timeout_ms = TIMEOUT_MS};
    bool lands = net_call_wait(c->net, server, &call) == 0 &&
                 call.reply_head.len == 1 && call.reply_head.data[0] == 0;

    buf_free(&call.reply_head);
    buf_free(&call.reply_body);
    return !lands;
}

bool cluster_put_in_flight(struct cluster *c, uint64_t hi, uint64_t lo)
{
    struct meta_registry r = {0};
    struct buf run = {0};
    bool flies = meta_registry_get(c->meta, &r, NULL) != 0;

    put_u64(&run, hi);
    put_u64(&run, lo);
    for (size_t i = 0; i < r.server_count && !flies; i++) {
        flies = r.servers[i].state != META_SERVER_REMOVED &&
                r.servers[i].id != c->identity.server &&
                flies_at(c, r.servers[i].id, &run);
    }
    meta_registry_free(&r);
    buf_free(&run);
    return flies;
}
