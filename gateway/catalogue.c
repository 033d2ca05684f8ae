/* The catalogue of a stopped server: backed up, restored, recovered. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "cluster/identity.h"
#include "gateway/gateway_internal.h"
#include "meta/meta_rebuild.h"

struct stopped {
    struct server_options options;
    struct gateway *gateway;
    char *dir;       /* DATA/meta */
    bool known;      /* DATA/cluster is there */
    uint32_t server; /* 0: alone, or has yet to join */
};

static void leave(struct stopped *s)
{
    if (s->gateway->lock_fd >= 0) {
        close(s->gateway->lock_fd);
    }
    gateway_free(s->gateway);
    free(s->dir);
}

/* Take the folder; leave() it in any case. */
static int enter(struct stopped *s, const char *data, bool make,
                 struct err *err)
{
    struct identity id;
    int rc = 0;

    *s = (struct stopped){.options = {.data = (char *)data}};
    s->gateway = gateway_new(&s->options);
    s->dir = mem_printf("%s/meta", data);
    if (!make && access(data, F_OK) != 0) {
        return err_errno(err, "%s", data);
    }
    rc = store_lock(s->gateway, err);
    if (rc == 0) {
        rc = store_read_cluster(s->gateway, err);
        s->known = rc == 0;
        rc = rc == ERR_NOT_FOUND && make ? 0 : rc;
    }
    if (rc == 0) {
        rc = identity_load(data, &id, err);
    }
    if (rc == 0) {
        s->server = id.server;
        if (id.server != 0 && memcmp(id.cluster, s->gateway->cluster_id,
                                     sizeof s->gateway->cluster_id) != 0) {
            rc = err_set(err, ERR_MISMATCH,
                         "%s: cluster and identity are of different clusters",
                         data);
        }
        identity_free(&id);
    }
    return rc;
}

int gateway_catalogue_backup(const char *data, const char *output,
                             struct meta_backup_info *info, struct err *err)
{
    struct meta_backup_info who = {0};
    struct meta_backup *b = NULL;
    struct stopped s;
    int rc = enter(&s, data, false, err);

    if (rc == 0) {
        memcpy(who.cluster, s.gateway->cluster_id, sizeof who.cluster);
        who.server = s.server != 0 ? s.server : 1;
        /* Of one of several it is not known which entries were committed. */
        rc = meta_rebuild_backup(s.dir, &who, s.server == 0, &b, err);
    }
    if (rc == 0) {
        rc = meta_backup_save(b, output, err);
    }
    if (rc == 0) {
        *info = *meta_backup_info(b);
    }
    meta_backup_free(b);
    leave(&s);
    return rc;
}

static int restore(struct stopped *s, struct meta_rebuild *r, struct err *err)
{
    struct meta_backup_info info;
    int rc = 0;

    if (!s->known) { /* a new folder becomes of the backup's cluster */
        rc = meta_backup_check(r->from, &info, err);
        memcpy(s->gateway->cluster_id, info.cluster, sizeof info.cluster);
    }
    memcpy(r->cluster, s->gateway->cluster_id, sizeof r->cluster);
    if (rc == 0) {
        rc = meta_rebuild(r, err);
    }
    return rc == 0 && !s->known ? store_write_cluster(s->gateway, err) : rc;
}

int gateway_catalogue_rebuild(const char *data, struct meta_rebuild *r,
                              struct err *err)
{
    struct stopped s;
    int rc = enter(&s, data, r->from != NULL, err);

    r->dir = s.dir;
    r->server = s.server != 0 ? s.server : 1;
    r->member = s.server != 0;
    if (rc == 0 && r->from != NULL) {
        rc = restore(&s, r, err);
    } else if (rc == 0 && !r->member) {
        rc = err_set(err, ERR_PRECONDITION,
                     "%s: this server stands alone: there is no majority that "
                     "it could have lost",
                     data);
    } else if (rc == 0) {
        r->replace = true;
        rc = meta_rebuild(r, err);
    }
    r->dir = NULL;
    leave(&s);
    return rc;
}

int gateway_catalogue_rejoin(const char *data, char **aside, struct err *err)
{
    struct stopped s;
    int rc = enter(&s, data, false, err);

    if (rc == 0 && s.server == 0) {
        rc = err_set(err, ERR_PRECONDITION,
                     "%s: this server stands alone: there is no other to take "
                     "a copy from",
                     data);
    }
    if (rc == 0) {
        rc = meta_set_aside(s.dir, aside, err);
    }
    leave(&s);
    return rc;
}
