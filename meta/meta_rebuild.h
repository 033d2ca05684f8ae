/* meta_rebuild.h: a catalogue's folder made anew, in which this server is the
 * only voter.
 *
 * For a stopped server: from a backup, or from what it has itself when the
 * majority is lost. The new folder is made whole beside the old one and then
 * takes its place; the old one stays as DIR.aside-<milliseconds>. The new
 * catalogue is of a new era (meta_era.h), and its log begins with a snapshot,
 * so every other member must take a copy of it.
 *
 * Threads: one, and nobody else has the folder.
 */
#ifndef GODWIT_META_META_REBUILD_H
#define GODWIT_META_META_REBUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/meta_backup.h"

struct err;

struct meta_rebuild {
    const char *dir; /* DATA/meta */
    uint8_t cluster[16];
    uint32_t server;     /* 1 when alone */
    bool member;         /* of a cluster: it must know this server */
    const char *from;    /* a backup; NULL: what stands in dir */
    bool replace;        /* a catalogue in dir may be set aside */
    uint64_t log_unread; /* out: entries of the log that came on top */
    uint64_t applied;    /* out */
    uint64_t made_ms;    /* out: of the backup */
    char *aside;         /* out: where the old folder is now, free(); or NULL */
};

/* ERR_EXISTS: dir has a catalogue and not @replace; ERR_MISMATCH: the backup is
 * of another cluster; ERR_PRECONDITION: it does not know this server (any
 * more); ERR_NOT_FOUND: there is no catalogue to recover. Others as
 * meta_backup_extract and meta_open give them. Before the last step nothing has
 * changed. */
int meta_rebuild(struct meta_rebuild *r, struct err *err);

/* Put the folder aside: this server will take a copy of another's catalogue. */
int meta_set_aside(const char *dir, char **aside, struct err *err);

/* A backup of the catalogue in @dir, whose server is stopped. With @log what
 * the log holds on top is in it, which is right where this server is the only
 * voter. */
int meta_rebuild_backup(const char *dir, const struct meta_backup_info *who,
                        bool log, struct meta_backup **out, struct err *err);

#endif
