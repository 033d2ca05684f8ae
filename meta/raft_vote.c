/* Term and vote: two slots, written in turn. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/raft_log_format.h"
#include "meta/raft_log_internal.h"

static void vote_path(const struct raft_log *l, const char *suffix, char *out)
{
    snprintf(out, RAFT_LOG_PATH_MAX, "%s/vote%s", l->dir, suffix);
}

int raft_vote_load(struct raft_log *l, struct raft_vote *out, struct err *err)
{
    uint8_t slots[RAFT_VOTE_SLOTS * RAFT_LOG_BLOCK];
    struct raft_vote best = {0};
    uint64_t sequence = 0;
    char path[RAFT_LOG_PATH_MAX];
    ssize_t n;
    int fd;

    vote_path(l, "", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *out = best;
        return 0;
    }
    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    n = pread(fd, slots, sizeof slots, 0);
    close(fd);
    if (n < 0) {
        return err_errno(err, "%s: read", path);
    }
    for (int i = 0; i < RAFT_VOTE_SLOTS; i++) {
        struct raft_vote v;
        uint64_t seq;
        if (n >= (i + 1) * RAFT_LOG_BLOCK &&
            raft_vote_decode(slots + i * RAFT_LOG_BLOCK, &v, &seq) &&
            seq > sequence) {
            best = v;
            sequence = seq;
        }
    }
    if (sequence == 0) {
        return err_set(err, ERR_CORRUPT,
                       "%s: offset 0: neither slot of term and vote is whole",
                       path);
    }
    l->vote_sequence = sequence;
    *out = best;
    return 0;
}

/* The first store makes the file with both slots, whole or not at all. */
static int vote_create(struct raft_log *l, const uint8_t *slot, struct err *err)
{
    char temporary[RAFT_LOG_PATH_MAX];
    char path[RAFT_LOG_PATH_MAX];
    int rc = 0;
    int fd;

    vote_path(l, ".new", temporary);
    vote_path(l, "", path);
    fd = l->files->open(l->files->data, temporary, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return err_errno(err, "%s: open", temporary);
    }
    for (int i = 0; i < RAFT_VOTE_SLOTS && rc == 0; i++) {
        rc = raft_log_write_at(l, fd, slot, RAFT_LOG_BLOCK,
                               (uint64_t)i * RAFT_LOG_BLOCK);
    }
    if (rc == 0) {
        rc = l->files->fdatasync(l->files->data, fd);
    }
    if (rc != 0) {
        rc = err_errno(err, "%s: write", temporary);
    }
    l->files->close(l->files->data, fd);
    if (rc == 0 && l->files->rename(l->files->data, temporary, path) != 0) {
        rc = err_errno(err, "%s: rename", temporary);
    }
    return rc == 0 ? raft_log_sync_dir(l, err) : rc;
}

int raft_vote_store(struct raft_log *l, const struct raft_vote *v,
                    struct err *err)
{
    uint8_t *slot = mem_pages(RAFT_LOG_BLOCK);
    uint64_t sequence = l->vote_sequence + 1;
    char path[RAFT_LOG_PATH_MAX];
    int rc = 0;
    int fd;

    CHECK(slot != NULL);
    raft_vote_encode(slot, v, sequence);
    vote_path(l, "", path);
    fd = l->files->open(l->files->data, path, O_RDWR);
    if (fd < 0 && errno == ENOENT) {
        rc = vote_create(l, slot, err);
    } else if (fd < 0) {
        rc = err_errno(err, "%s: open", path);
    } else {
        if (raft_log_write_at(l, fd, slot, RAFT_LOG_BLOCK,
                              sequence % RAFT_VOTE_SLOTS * RAFT_LOG_BLOCK) !=
            0) {
            rc = err_errno(err, "%s: write", path);
        } else if (l->files->fdatasync(l->files->data, fd) != 0) {
            rc = err_errno(err, "%s: fdatasync", path);
        }
        l->files->close(l->files->data, fd);
    }
    mem_pages_free(slot, RAFT_LOG_BLOCK);
    if (rc == 0) {
        l->vote_sequence = sequence;
    }
    return rc;
}
