/* raft_log_internal.h: what the files of raft_log share.
 *
 * Threads: as raft_log.h.
 */
#ifndef GODWIT_META_RAFT_LOG_INTERNAL_H
#define GODWIT_META_RAFT_LOG_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "meta/raft_log.h"

#define RAFT_LOG_PATH_MAX 4096
#define RAFT_LOG_SEGMENT_PREFIX "log-" /* then 16 digits in hex */
#define RAFT_LOG_SPARE_PREFIX "spare-"
#define RAFT_LOG_NO_BOUND UINT64_MAX

struct raft_log_segment {
    uint64_t sequence;
    uint64_t first; /* index of its first record */
    uint64_t salt;
    uint64_t bytes; /* of the file */
};

struct raft_log {
    char *dir;
    uint32_t segment_bytes;
    const struct raft_log_files *files;
    struct raft_log_segment
        *segments; /* by sequence; the last is being written */
    size_t count;
    int fd; /* of the last */
    uint64_t offset;
    uint64_t last;      /* index */
    uint64_t last_read; /* while opening: index of the last record */
    bool broken;
    uint8_t *pages;
    size_t pages_bytes;
    uint64_t vote_sequence;
    pthread_mutex_t mutex; /* guards what follows */
    uint64_t spares[RAFT_LOG_SPARES_MAX];
    size_t spare_count;
    uint64_t spare_next;
    bool preparing;
    uint64_t bytes;       /* of segments */
    size_t shown;         /* count, for raft_log_segments */
    uint64_t shown_first; /* sequence of the first segment */
    uint64_t forget;      /* up to this sequence files are written over */
};

/* As pwrite, all of it; errno on failure. */
int raft_log_write_at(struct raft_log *l, int fd, const void *p, size_t n,
                      uint64_t at);
int raft_log_sync_dir(struct raft_log *l, struct err *err);
/* @out has RAFT_LOG_PATH_MAX bytes. */
void raft_log_segment_path(const struct raft_log *l, uint64_t sequence,
                           char *out);
void raft_log_spare_path(const struct raft_log *l, uint64_t id, char *out);
/* The index below which segment @i counts: where a later one goes on. */
uint64_t raft_log_bound_of(const struct raft_log *l, size_t i);

/* ---- raft_log_read.c ---- */

/* Find segments, by sequence, and spares. */
int raft_log_list(struct raft_log *l, struct err *err);
/* Read all segments; leaves last_read. */
int raft_log_read(struct raft_log *l, uint64_t after, raft_log_entry_fn fn,
                  void *arg, struct err *err);

#endif
