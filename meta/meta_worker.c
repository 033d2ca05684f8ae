/* The apply thread: entries to rows, then answers; and the checkpoints. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "meta/meta_core.h"
#include "meta/meta_internal.h"
#include "meta/meta_stop.h"

#define WAL_PAGES 4000 /* then the keeper checkpoints; 1000: a third slower */
#define WAL_PAGES_MAX 16000 /* then the apply thread waits for a checkpoint */

/* ---- the apply thread ---- */

int meta_on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct meta *m = arg;

    (void)db;
    (void)name;
    m->wal_pages = pages; /* on the apply thread, in COMMIT */
    return SQLITE_OK;
}

void meta_checkpoint_run(struct work *w)
{
    struct meta *m = LIST_OF(w, struct meta, checkpoint_work);

    /* Beside writers and readers; what it cannot do now it does next time. */
    meta_readers_release(m->readers);
    sqlite3_wal_checkpoint_v2(m->checkpoint_db.sqlite, NULL,
                              SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    pthread_mutex_lock(&m->apply_mutex);
    m->checkpointing = false;
    m->finish_checkpoint = true;
    pthread_mutex_unlock(&m->apply_mutex);
}

/* The WAL starts over only when nothing in it is left to copy at the moment of
 * a commit. The keeper copies the bulk while commits go on; the few pages that
 * came meanwhile are copied here, between two transactions. */
static void keep_wal_short(struct meta *m)
{
    bool finish, start;

    pthread_mutex_lock(&m->apply_mutex);
    finish = m->finish_checkpoint || m->wal_pages > WAL_PAGES_MAX;
    m->finish_checkpoint = false;
    start = !finish && !m->checkpointing && m->wal_pages > WAL_PAGES;
    m->checkpointing = m->checkpointing || start;
    pthread_mutex_unlock(&m->apply_mutex);
    if (finish) {
        meta_readers_release(m->readers);
        sqlite3_wal_checkpoint_v2(m->db.sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE,
                                  NULL, NULL);
    }
    if (start && !workers_run(m->keeper, &m->checkpoint_work)) {
        pthread_mutex_lock(&m->apply_mutex);
        m->checkpointing = false;
        pthread_mutex_unlock(&m->apply_mutex);
    }
}

/* All frames go into the database and the WAL is cut to nothing; the pages that
 * a delete freed were written over there. Readers may be in the way: then once
 * more at the next tick. */
static void wipe_wal(struct meta *m, uint64_t upto)
{
    int rc;

    meta_readers_release(m->readers);
    rc = sqlite3_wal_checkpoint_v2(m->db.sqlite, NULL,
                                   SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc == SQLITE_OK) {
        pthread_mutex_lock(&m->apply_mutex);
        m->wal_clean = upto;
        m->wal_pages = 0;
        pthread_mutex_unlock(&m->apply_mutex);
    }
}

static void answer(struct meta_proposal *p)
{
    loop_cork(); /* one wake-up for each loop, not for each answer */
    while (p != NULL) {
        struct meta_proposal *next = p->next;
        p->next = NULL;
        p->done(p); /* p may be gone now */
        p = next;
    }
    loop_uncork();
}

static void apply_one(struct meta *m, struct meta_entry *e, struct err *err)
{
    struct meta_proposal *p = e->proposals;
    size_t i = 0;
    int rc;

    for (; p != NULL; p = p->next) {
        m->results[i++] = (struct meta_result){.codes = p->codes};
    }
    CHECK(i == e->count);
    rc = meta_apply_entry(&m->apply, e->index, e->data, e->len,
                          i > 0 ? m->results : NULL, err);
    if (rc != 0) {
        meta_stop("apply", err->text);
    }
    i = 0;
    for (p = e->proposals; p != NULL; p = p->next, i++) {
        p->status = m->results[i].status;
        p->body = m->results[i].body;
        p->version = m->results[i].version;
        if (p->status != 0) {
            err_set(&p->err, p->status, "%s", err_text(p->status));
        }
    }
}

/* One transaction for all; answers only after COMMIT. */
static void apply_all(struct meta *m, struct meta_entry *list)
{
    struct err err;
    size_t bytes = 0, count = 0;
    uint64_t last = 0;

    if (meta_apply_begin(&m->apply, &err) != 0) {
        meta_stop("apply", err.text);
    }
    for (struct meta_entry *e = list; e != NULL; e = e->next) {
        if (e->data != NULL) {
            apply_one(m, e, &err);
            count++;
        } else {
            meta_apply_empty(&m->apply, e->index);
        }
        bytes += e->len;
        last = e->index;
    }
    if (meta_apply_commit(&m->apply, &err) != 0) {
        meta_stop("apply", err.text);
    }
    meta_readers_changed(m->readers);
    pthread_mutex_lock(&m->apply_mutex);
    m->behind_bytes -= bytes;
    m->applied = last > m->applied ? last : m->applied; /* or replayed */
    m->shown = m->apply.state;
    m->shown_commands = m->apply.commands;
    m->erased = m->apply.erased > m->erased ? m->apply.erased : m->erased;
    atomic_store(&m->access_revision, m->apply.access_changes);
    m->shown_entries += count;
    pthread_cond_broadcast(&m->apply_done);
    pthread_mutex_unlock(&m->apply_mutex);
    while (list != NULL) {
        struct meta_entry *next = list->next;
        answer(list->proposals);
        free(list);
        list = next;
    }
}

void meta_post_pump(struct meta *m)
{
    loop_post_once(m->loop, &m->pump_call);
}

/* Apply thread, lock held: no transaction and no reader is open meanwhile. The
 * last connection to close leaves no WAL behind that the new file could be
 * taken to belong to. */
static void swap_database(struct meta *m)
{
    struct err err;
    int rc = 0;

    if (m->swap_applied <= m->applied) {
        m->swap_path = NULL;
        pthread_cond_broadcast(&m->apply_done);
        return;
    }
    pthread_mutex_unlock(&m->apply_mutex);
    meta_readers_pause(m->readers);
    meta_close_database(m);
    if (rename(m->swap_path, m->db_path) != 0) {
        rc = err_errno(&err, "%s: rename", m->swap_path);
    }
    if (rc == 0) {
        rc = fs_sync_dir(m->dir, &err);
    }
    pthread_mutex_lock(&m->apply_mutex);
    m->wal_pages = 0;
    if (rc == 0) {
        rc = meta_open_database(m, &err); /* sets applied */
    }
    if (rc != 0) {
        meta_stop("catalogue: taking a copy", err.text);
    }
    meta_readers_resume(m->readers);
    m->swap_path = NULL;
    m->swapped = true;
    pthread_cond_broadcast(&m->apply_done);
}

bool meta_swap_database(struct meta *m, const char *path, uint64_t applied)
{
    bool swapped;

    pthread_mutex_lock(&m->apply_mutex);
    m->swap_path = path;
    m->swap_applied = applied;
    m->swapped = false;
    pthread_cond_signal(&m->apply_more);
    while (m->swap_path != NULL) {
        pthread_cond_wait(&m->apply_done, &m->apply_mutex);
    }
    swapped = m->swapped;
    pthread_mutex_unlock(&m->apply_mutex);
    return swapped;
}

void *meta_apply_main(void *arg)
{
    struct meta *m = arg;

    pthread_setname_np(pthread_self(), "meta-apply");
    for (;;) {
        struct meta_entry *list;
        struct meta_proposal *refused;
        uint64_t wipe;
        bool was_behind;

        pthread_mutex_lock(&m->apply_mutex);
        while (m->entries == NULL && m->refused == NULL &&
               m->swap_path == NULL && m->wal_wipe == 0 && !m->stopping) {
            pthread_cond_wait(&m->apply_more, &m->apply_mutex);
        }
        if (m->swap_path != NULL) {
            swap_database(m);
            pthread_mutex_unlock(&m->apply_mutex);
            continue;
        }
        wipe = m->wal_wipe;
        m->wal_wipe = 0;
        if (m->entries == NULL && m->refused == NULL && wipe == 0) {
            pthread_mutex_unlock(&m->apply_mutex);
            return NULL;
        }
        list = m->entries;
        m->entries = NULL;
        m->entries_tail = &m->entries;
        refused = m->refused;
        m->refused = NULL;
        m->refused_tail = &m->refused;
        was_behind = m->behind_bytes > META_BEHIND_BYTES_MAX;
        pthread_mutex_unlock(&m->apply_mutex);
        answer(refused);
        if (list != NULL) {
            apply_all(m, list);
            keep_wal_short(m);
        }
        if (wipe > 0) {
            wipe_wal(m, wipe);
        }
        if (was_behind) {
            meta_post_pump(m);
        }
    }
}

void meta_hand_over(struct meta *m, struct meta_entry *e)
{
    pthread_mutex_lock(&m->apply_mutex);
    e->next = NULL;
    *m->entries_tail = e;
    m->entries_tail = &e->next;
    m->behind_bytes += e->len;
    m->handed = e->index;
    pthread_cond_signal(&m->apply_more);
    pthread_mutex_unlock(&m->apply_mutex);
}

static void wait_applied(struct meta *m, uint64_t index)
{
    pthread_mutex_lock(&m->apply_mutex);
    while (m->applied < index) {
        pthread_cond_wait(&m->apply_done, &m->apply_mutex);
    }
    pthread_mutex_unlock(&m->apply_mutex);
}

void meta_refuse(struct meta *m, struct meta_proposal *p)
{
    pthread_mutex_lock(&m->apply_mutex);
    p->next = NULL;
    *m->refused_tail = p;
    m->refused_tail = &p->next;
    pthread_cond_signal(&m->apply_more);
    pthread_mutex_unlock(&m->apply_mutex);
}

/* A commit stands in the WAL, which is synced here, until a checkpoint has
 * copied all of it and synced the database. */
int meta_make_durable(void *arg, uint64_t index, struct err *err)
{
    struct meta *m = arg;
    char *wal = mem_printf("%s-wal", m->db_path);
    int rc = 0;
    int fd;

    wait_applied(m, index);
    fd = open(wal, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        rc = err_errno(err, "%s: open", wal);
    } else {
        if (fdatasync(fd) != 0) {
            rc = err_errno(err, "%s: fdatasync", wal);
        }
        close(fd);
    }
    free(wal);
    return rc == 0 ? fs_sync_dir(m->dir, err) : rc;
}
