/* meta_cluster.h: reads of the registry: servers, drives, join tokens.
 *
 * The commands that write it stand in meta/command.h. Reads see every write
 * acknowledged before they began, but for meta_registry_local. Rows of what was
 * removed are given too, with that state.
 *
 * Arrays are ordered by id (tokens by age), given, and freed with free();
 * an empty one may be NULL.
 * Threads: any, as the reads of meta/meta.h.
 */
#ifndef GODWIT_META_META_CLUSTER_H
#define GODWIT_META_META_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "meta/command.h"

struct err;
struct meta;

struct meta_cluster {
    uint8_t id[META_CLUSTER_ID];
    uint64_t created_ms;
    uint64_t revision; /* raised when a server or drive changes */
};

struct meta_server {
    uint32_t id; /* 1.. */
    char name[META_NAME_MAX + 1];
    char address[META_ADDRESS_MAX + 1];
    char endpoint[META_ADDRESS_MAX + 1];
    char zone[META_ZONE_MAX + 1];
    uint16_t zone_id; /* 1.., the same for ever for one text */
    uint32_t roles;   /* of enum meta_server_role */
    enum meta_server_state state;
    uint64_t joined_ms;
    uint8_t fingerprint[META_FINGERPRINT];
    uint32_t format;
};

struct meta_drive {
    uint16_t id; /* 0.. */
    uint16_t zone_id;
    uint32_t server;
    uint32_t weight; /* MiB */
    enum meta_drive_state state;
    enum meta_server_state server_state;
    uint8_t uuid[META_DRIVE_UUID];
    uint64_t added_ms;
};

struct meta_token {
    uint8_t hash[META_TOKEN_HASH];
    uint64_t created_ms;
    uint64_t expires_ms;
    uint32_t uses; /* left */
    char note[META_NOTE_MAX + 1];
};

/* ERR_NOT_FOUND: no cluster was made. */
int meta_cluster_get(struct meta *m, struct meta_cluster *out, struct err *err);
/* ERR_NOT_FOUND. */
int meta_server_get(struct meta *m, uint32_t id, struct meta_server *out,
                    struct err *err);
int meta_servers(struct meta *m, struct meta_server **out, size_t *count,
                 struct err *err);
int meta_drives(struct meta *m, struct meta_drive **out, size_t *count,
                struct err *err);
int meta_token_list(struct meta *m, struct meta_token **out, size_t *count,
                    struct err *err);

/* All that a layout is planned from, as of one moment. */
struct meta_registry {
    struct meta_cluster cluster;
    struct meta_server *servers;
    size_t server_count;
    struct meta_drive *drives;
    size_t drive_count;
    uint32_t epoch; /* of the layout; 0: there is none */
    struct buf layout;
};
/* ERR_NOT_FOUND: no cluster was made. */
int meta_registry_get(struct meta *m, struct meta_registry *out,
                      struct err *err);
/* As this member's database has it, which may be older than what was
 * acknowledged; asks nobody. For addresses at a start. */
int meta_registry_local(struct meta *m, struct meta_registry *out,
                        struct err *err);
void meta_registry_free(struct meta_registry *r); /* zeroed or freed too */

#endif
