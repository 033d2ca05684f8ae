/* The placement groups, as the catalogue keeps them.
 *
 *     u8 version (1), u8 k, u8 m, u16 drives, u32 groups,
 *     then for each group: u32 id, u32 epoch, (k + m) x u16 drive id
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "erasure/placement.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/drives.h"

#define LAYOUT_VERSION 1

static void encode(const struct placement_group *groups, uint32_t count,
                   struct ec_policy policy, unsigned drives, struct buf *out)
{
    put_u8(out, LAYOUT_VERSION);
    put_u8(out, policy.k);
    put_u8(out, policy.m);
    put_u16(out, (uint16_t)drives);
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        put_u32(out, groups[i].id);
        put_u32(out, groups[i].epoch);
        for (int s = 0; s < policy.k + policy.m; s++) {
            put_u16(out, groups[i].slots[s]);
        }
    }
}

static int decode(const struct buf *in, struct ec_policy policy,
                  unsigned drives, struct placement_group **groups,
                  uint32_t *count, struct err *err)
{
    struct wire_reader r;
    struct placement_group *g;
    uint8_t version, k, m;
    unsigned had;
    uint32_t n;

    wire_init(&r, in->data, in->len);
    version = get_u8(&r);
    k = get_u8(&r);
    m = get_u8(&r);
    had = get_u16(&r);
    n = get_u32(&r);
    if (version != LAYOUT_VERSION) {
        return err_set(err, ERR_VERSION, "layout: version %u is not known",
                       version);
    }
    if (k != policy.k || m != policy.m || had != drives) {
        return err_set(err, ERR_BAD_INPUT,
                       "this store was made with --ec %u+%u over %u drives; "
                       "start it with the same",
                       k, m, had);
    }
    if (!wire_ok(&r) || n == 0 || n > PLACEMENT_GROUPS_MAX) {
        return err_set(err, ERR_CORRUPT, "layout: cannot be decoded");
    }
    g = mem_calloc(n, sizeof *g);
    for (uint32_t i = 0; i < n; i++) {
        g[i].id = get_u32(&r);
        g[i].epoch = get_u32(&r);
        g[i].policy = policy;
        for (int s = 0; s < k + m; s++) {
            g[i].slots[s] = get_u16(&r);
        }
    }
    if (!wire_done(&r)) {
        free(g);
        return err_set(err, ERR_CORRUPT, "layout: cannot be decoded");
    }
    *groups = g;
    *count = n;
    return 0;
}

static int make(struct meta *m, struct ec_policy policy, unsigned drives,
                struct placement_group **groups, uint32_t *count,
                struct err *err)
{
    struct placement_drive list[DRIVES_MAX] = {{0}};
    struct placement_group *g = mem_calloc(LAYOUT_GROUPS, sizeof *g);
    struct buf layout = {0};
    struct buf command = {0};
    unsigned distinct = 0;
    int rc = 0;

    for (unsigned i = 0; i < drives; i++) {
        list[i] = (struct placement_drive){.drive = (uint16_t)i, .weight = 1};
    }
    for (uint32_t i = 0; i < LAYOUT_GROUPS && rc == 0; i++) {
        g[i].id = i;
        g[i].epoch = 1;
        g[i].policy = policy;
        rc = placement_choose(list, drives, &g[i], &distinct, err);
    }
    if (rc == 0) {
        encode(g, LAYOUT_GROUPS, policy, drives, &layout);
        command_layout_set(&command, 1, layout.data, layout.len);
        rc = meta_propose_wait(m, &command, NULL, err);
    }
    buf_free(&layout);
    buf_free(&command);
    if (rc != 0) {
        free(g);
        return err_wrap(err, rc, "layout");
    }
    *groups = g;
    *count = LAYOUT_GROUPS;
    return 0;
}

int layout_load(struct meta *m, struct ec_policy policy, unsigned drives,
                struct placement_group **groups, uint32_t *count,
                struct err *err)
{
    struct buf layout = {0};
    uint32_t epoch = 0;
    int rc = meta_layout(m, &epoch, &layout, err);

    if (rc == ERR_NOT_FOUND) {
        rc = make(m, policy, drives, groups, count, err);
    } else if (rc == 0) {
        rc = decode(&layout, policy, drives, groups, count, err);
    }
    buf_free(&layout);
    if (rc == 0 && drives < (unsigned)policy.k + policy.m) {
        char text[160];
        unsigned shards = (policy.k + policy.m + drives - 1) / drives;
        snprintf(text, sizeof text,
                 "%u drives for %u shards: a drive holds up to %u of a chunk, "
                 "so the store survives the loss of %u drives",
                 drives, (unsigned)policy.k + policy.m, shards,
                 policy.m / shards);
        log_line(LOG_WARN, "fewer drives than shards", "why", text, NULL);
    }
    return rc;
}
