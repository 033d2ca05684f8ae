/* DATA/identity/drives: for each drive of this server, in the order of its
 * options, a line with its uuid in hex, drawn once, and its id in the cluster
 * as soon as that is known:
 *
 *     4f3c...  (32 digits) 17
 *
 * So a start need not ask the catalogue, which this server may yet have to get.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "cluster/cluster_internal.h"

#define FILE_MAX 65536
#define HEX (2 * (size_t)META_DRIVE_UUID)

static char *path_of(const struct cluster *c)
{
    return mem_printf("%s/drives", c->identity.dir);
}

static bool parse_line(const char *line, size_t len, struct command_drive *d,
                       uint16_t *id)
{
    uint64_t n = JOIN_NO_DRIVE;

    if (len < HEX || !text_unhex(line, HEX, d->uuid, META_DRIVE_UUID)) {
        return false;
    }
    if (len > HEX &&
        (line[HEX] != ' ' || !text_u64_n(line + HEX + 1, len - HEX - 1, &n) ||
         n > META_DRIVE_ID_MAX)) {
        return false;
    }
    *id = (uint16_t)n;
    return true;
}

static int parse(struct cluster *c, const char *path, const struct buf *text,
                 struct err *err)
{
    const char *p = (const char *)text->data, *end = p + text->len;

    c->drives_drawn = 0;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        uint16_t n = c->drives_drawn;
        if (n == CLUSTER_DRIVES_MAX || stop == NULL ||
            !parse_line(p, (size_t)(stop - p), &c->drives[n],
                        &c->drive_ids[n])) {
            return err_set(err, ERR_CORRUPT,
                           "%s: line %u is not a drive's uuid and id", path,
                           n + 1u);
        }
        c->drives_drawn++;
        p = stop + 1;
    }
    return 0;
}

static int save(const struct cluster *c, const char *path, struct err *err)
{
    char hex[HEX + 1];
    struct buf text = {0};
    int rc = fs_mkdirs(c->identity.dir, err);

    for (unsigned i = 0; i < c->drives_drawn; i++) {
        buf_str(&text, text_hex(c->drives[i].uuid, META_DRIVE_UUID, hex));
        if (c->drive_ids[i] != JOIN_NO_DRIVE) {
            buf_printf(&text, " %u", c->drive_ids[i]);
        }
        buf_char(&text, '\n');
    }
    if (rc == 0) {
        rc = fs_write(path, text.data, text.len, 0600, err);
    }
    buf_free(&text);
    return rc;
}

int cluster_load_drives(struct cluster *c, const struct cluster_options *o,
                        struct err *err)
{
    char *path = path_of(c);
    struct buf text = {0};
    int rc = fs_read(path, FILE_MAX, &text, err);

    if (rc == 0) {
        rc = parse(c, path, &text, err);
    } else if (rc == ERR_NOT_FOUND) {
        rc = 0;
    }
    c->drive_count = (uint16_t)o->drive_count;
    for (unsigned i = 0; i < c->drive_count; i++) {
        c->drives[i].weight = o->weights[i];
    }
    if (rc == 0 && c->drive_count > c->drives_drawn) {
        for (unsigned i = c->drives_drawn; i < c->drive_count; i++) {
            rng_bytes(c->drives[i].uuid, META_DRIVE_UUID);
            c->drive_ids[i] = JOIN_NO_DRIVE;
        }
        c->drives_drawn = c->drive_count;
        rc = save(c, path, err);
    }
    buf_free(&text);
    free(path);
    return rc;
}

int cluster_know_drives(struct cluster *c, const uint16_t *ids, struct err *err)
{
    char *path = path_of(c);
    int rc;

    pthread_mutex_lock(&c->mutex);
    memcpy(c->drive_ids, ids, c->drive_count * sizeof ids[0]);
    rc = save(c, path, err);
    pthread_mutex_unlock(&c->mutex);
    free(path);
    return rc;
}

/* Only the keeper changes the ids while it runs. */
void cluster_name_drives(struct cluster *c, const struct meta_registry *r)
{
    uint16_t ids[CLUSTER_DRIVES_MAX];
    bool learnt = false;
    struct err err;

    memcpy(ids, c->drive_ids, sizeof ids);
    for (unsigned i = 0; i < c->drive_count; i++) {
        size_t j = 0;
        if (ids[i] != JOIN_NO_DRIVE) {
            continue;
        }
        while (j < r->drive_count &&
               (r->drives[j].server != c->identity.server ||
                memcmp(r->drives[j].uuid, c->drives[i].uuid, META_DRIVE_UUID) !=
                    0)) {
            j++;
        }
        if (j < r->drive_count) {
            ids[i] = r->drives[j].id;
            learnt = true;
        } else {
            cluster_add_drive(c, &c->drives[i]);
        }
    }
    if (learnt && cluster_know_drives(c, ids, &err) != 0) {
        log_errf(LOG_WARN, "ids of drives not saved", "%s", err.text);
    }
}

int cluster_drive_ids(struct cluster *c, uint16_t *ids, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&c->mutex);
    for (unsigned i = 0; i < c->drive_count && rc == 0; i++) {
        if (c->drive_ids[i] == JOIN_NO_DRIVE) {
            rc = err_set(err, ERR_NOT_FOUND,
                         "the cluster has not yet named drive %u of this "
                         "server",
                         i + 1);
        }
    }
    memcpy(ids, c->drive_ids, c->drive_count * sizeof ids[0]);
    pthread_mutex_unlock(&c->mutex);
    return rc;
}
