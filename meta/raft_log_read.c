#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "meta/raft_log_format.h"
#include "meta/raft_log_internal.h"

#define NAME_DIGITS 16

static bool parse_name(const char *name, const char *prefix, uint64_t *out)
{
    size_t skip = strlen(prefix);
    char *end;

    if (strncmp(name, prefix, skip) != 0 ||
        strlen(name + skip) != NAME_DIGITS) {
        return false;
    }
    *out = strtoull(name + skip, &end, 16);
    return *end == '\0';
}

static int by_sequence(const void *a, const void *b)
{
    const struct raft_log_segment *x = a;
    const struct raft_log_segment *y = b;

    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static void found_spare(struct raft_log *l, uint64_t id)
{
    char path[RAFT_LOG_PATH_MAX];
    struct stat st;

    if (id >= l->spare_next) {
        l->spare_next = id + 1;
    }
    raft_log_spare_path(l, id, path);
    if (l->spare_count < RAFT_LOG_SPARES_MAX && stat(path, &st) == 0 &&
        (uint64_t)st.st_size == l->segment_bytes) {
        l->spares[l->spare_count++] = id;
    } else {
        l->files->unlink(l->files->data, path);
    }
}

int raft_log_list(struct raft_log *l, struct err *err)
{
    DIR *d = opendir(l->dir);
    struct dirent *e;

    if (d == NULL) {
        return err_errno(err, "%s: opendir", l->dir);
    }
    while ((e = readdir(d)) != NULL) {
        uint64_t n;
        if (parse_name(e->d_name, RAFT_LOG_SPARE_PREFIX, &n)) {
            found_spare(l, n);
        } else if (parse_name(e->d_name, RAFT_LOG_SEGMENT_PREFIX, &n)) {
            l->segments =
                mem_realloc(l->segments, (l->count + 1) * sizeof *l->segments);
            l->segments[l->count++] = (struct raft_log_segment){.sequence = n};
        }
    }
    closedir(d);
    if (l->count > 0) {
        qsort(l->segments, l->count, sizeof *l->segments, by_sequence);
    }
    return 0;
}

static int read_head(struct raft_log *l, struct raft_log_segment *g,
                     struct err *err)
{
    uint8_t head[RAFT_LOG_BLOCK];
    struct raft_log_head h;
    char path[RAFT_LOG_PATH_MAX];
    struct stat st;
    ssize_t n;
    int fd;
    int rc;

    raft_log_segment_path(l, g->sequence, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    n = pread(fd, head, sizeof head, 0);
    rc = n < 0 || fstat(fd, &st) != 0 ? err_errno(err, "%s: read", path) : 0;
    close(fd);
    if (rc != 0) {
        return rc;
    }
    if (n != (ssize_t)sizeof head) {
        return err_set(err, ERR_CORRUPT, "%s: offset 0: no segment header",
                       path);
    }
    rc = raft_log_head_decode(head, &h, err);
    if (rc != 0) {
        return err_wrap(err, rc, "%s: offset 0", path);
    }
    if (h.sequence != g->sequence || h.bytes != (uint64_t)st.st_size) {
        return err_set(err, ERR_CORRUPT,
                       "%s: offset 0: header of segment %llx with %llu bytes, "
                       "the file has %lld",
                       path, (unsigned long long)h.sequence,
                       (unsigned long long)h.bytes, (long long)st.st_size);
    }
    g->first = h.first;
    g->salt = h.salt;
    g->bytes = h.bytes;
    return 0;
}

/* A whole segment in memory while it is read. */
struct scan {
    const struct raft_log_segment *g;
    const uint8_t *p;
    char path[RAFT_LOG_PATH_MAX];
    uint64_t at;   /* offset of the next record */
    uint64_t next; /* its index */
};

static int load_segment(struct raft_log *l, struct scan *s, uint8_t **out,
                        struct err *err)
{
    size_t want = (size_t)s->g->bytes;
    uint8_t *p = mem_realloc(NULL, want);
    size_t have = 0;
    int fd = l->files->open(l->files->data, s->path, O_RDWR);
    int rc = 0;

    if (fd < 0) {
        rc = err_errno(err, "%s: open", s->path);
        goto err_after_alloc;
    }
    while (have < want && rc == 0) {
        ssize_t n = pread(fd, p + have, want - have, (off_t)have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            rc = n < 0 ? err_errno(err, "%s: offset %zu: read", s->path, have)
                       : err_set(err, ERR_CORRUPT, "%s: offset %zu: file ends",
                                 s->path, have);
        } else {
            have += (size_t)n;
        }
    }
    /* What a killed process wrote last may be in the page cache alone; it is
     * about to count as stored. */
    if (rc == 0 && l->files->fdatasync(l->files->data, fd) != 0) {
        rc = err_errno(err, "%s: fdatasync", s->path);
    }
    l->files->close(l->files->data, fd);
    if (rc != 0) {
        goto err_after_alloc;
    }
    *out = p;
    return 0;

err_after_alloc:
    free(p);
    return rc;
}

/* In the last segment nothing says how far it goes. One append is written at a
 * time, and the next only after it is durable: so if a record of a later append
 * follows, the one that cannot be read had been acknowledged. */
static int check_tail(const struct scan *s, struct err *err)
{
    for (uint64_t at = s->at; at < s->g->bytes; at += RAFT_LOG_BLOCK) {
        struct raft_log_record r;
        if (raft_log_record_decode(s->p + at, s->g->bytes - at, s->g->salt,
                                   &r) &&
            r.batch > s->next) {
            return err_set(
                err, ERR_CORRUPT,
                "%s: offset %llu: record %llu is damaged, and "
                "record %llu of a later write follows at %llu",
                s->path, (unsigned long long)s->at, (unsigned long long)s->next,
                (unsigned long long)r.entry.index, (unsigned long long)at);
        }
    }
    return 0;
}

static int scan_segment(struct raft_log *l, size_t i, uint64_t after,
                        raft_log_entry_fn fn, void *arg, struct err *err)
{
    struct scan s = {.g = &l->segments[i],
                     .at = RAFT_LOG_BLOCK,
                     .next = l->segments[i].first};
    uint64_t bound = raft_log_bound_of(l, i);
    uint8_t *p = NULL;
    int rc;

    raft_log_segment_path(l, s.g->sequence, s.path);
    rc = load_segment(l, &s, &p, err);
    if (rc != 0) {
        return rc;
    }
    s.p = p;
    while (s.next < bound && s.at < s.g->bytes) {
        struct raft_log_record r;
        if (!raft_log_record_decode(p + s.at, s.g->bytes - s.at, s.g->salt,
                                    &r) ||
            r.entry.index != s.next) {
            break;
        }
        if (s.next > after) {
            rc = fn(arg, &r.entry, err);
            if (rc != 0) {
                goto out;
            }
        }
        l->last_read = s.next;
        s.next++;
        s.at += r.bytes;
    }
    if (bound == RAFT_LOG_NO_BOUND) {
        rc = check_tail(&s, err);
    } else if ((s.next > after ? s.next : after + 1) < bound) {
        rc = err_set(err, ERR_CORRUPT,
                     "%s: offset %llu: record %llu is damaged or missing; the "
                     "log goes on with %llu in a later file",
                     s.path, (unsigned long long)s.at,
                     (unsigned long long)s.next, (unsigned long long)bound);
    }
out:
    free(p);
    return rc;
}

int raft_log_read(struct raft_log *l, uint64_t after, raft_log_entry_fn fn,
                  void *arg, struct err *err)
{
    uint64_t start;

    if (l->count == 0) {
        if (after > 0) {
            return err_set(err, ERR_CORRUPT,
                           "%s: there is a snapshot but no log", l->dir);
        }
        return 0;
    }
    for (size_t i = 0; i < l->count; i++) {
        int rc = read_head(l, &l->segments[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    start = raft_log_bound_of(l, 0) < l->segments[0].first
                ? raft_log_bound_of(l, 0)
                : l->segments[0].first;
    if (start > after + 1) {
        return err_set(err, ERR_CORRUPT,
                       "%s: the log starts with record %llu, the snapshot "
                       "ends with %llu",
                       l->dir, (unsigned long long)start,
                       (unsigned long long)after);
    }
    for (size_t i = 0; i < l->count; i++) {
        int rc;
        if (l->segments[i].first >= raft_log_bound_of(l, i)) {
            continue; /* cut off, or never used */
        }
        rc = scan_segment(l, i, after, fn, arg, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
