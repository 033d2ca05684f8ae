/* What was erased leaves no trace on this member: in the log, in what is kept
 * of it for those that lag, in spare files, in the database and its WAL.
 *
 * When a pass of erasure has ended at some index of the log, the log is told to
 * forget what it had so far, snapshots are taken until all of that is cut off,
 * and then the WAL goes into the database, whose freed bytes are zeros
 * (PRAGMA secure_delete). A member that is stopped meanwhile begins anew when
 * it starts; what it has done stands in table erase_clean.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_core.h"
#include "meta/meta_erase.h"
#include "meta/meta_internal.h"

int meta_erase_open(struct meta *m, struct err *err)
{
    sqlite3_stmt *q = meta_db_stmt(&m->db, STMT_ERASURE_LAST);
    uint64_t erased = 0, clean = 0;
    int rc = 0;

    if (meta_read_step(&m->db, q, &rc, err) == 1) {
        erased = column_u64(q, 0);
    }
    meta_db_done(&m->db, STMT_ERASURE_LAST);
    q = meta_db_stmt(&m->db, STMT_ERASE_CLEAN_LIST);
    while (rc == 0 && meta_read_step(&m->db, q, &rc, err) == 1) {
        clean = column_u64(q, 0) == m->server ? column_u64(q, 1) : clean;
    }
    meta_db_done(&m->db, STMT_ERASE_CLEAN_LIST);
    m->erased = m->apply.erased = erased;
    m->clean = m->told_clean = clean;
    m->wal_clean = 0;
    return rc;
}

void meta_erase_own(struct meta *m, uint64_t *clean, uint64_t *wanted)
{
    pthread_mutex_lock(&m->apply_mutex);
    *clean = m->clean;
    *wanted = m->erased;
    pthread_mutex_unlock(&m->apply_mutex);
}

/* ---- telling ---- */

struct telling {
    struct meta_proposal proposal;
    struct meta *meta;
    struct buf command;
    uint64_t upto;
};

/* Not heard: the next tick tells again. */
static void told(struct meta_proposal *p)
{
    struct telling *t = LIST_OF(p, struct telling, proposal);
    struct meta *m = t->meta;

    pthread_mutex_lock(&m->apply_mutex);
    m->telling_clean = false;
    m->told_clean = p->status == 0 ? t->upto : m->told_clean;
    pthread_mutex_unlock(&m->apply_mutex);
    buf_free(&t->command);
    free(t);
}

static void tell(struct meta *m)
{
    struct telling *t = NULL;

    pthread_mutex_lock(&m->apply_mutex);
    if (m->told_clean < m->clean && !m->telling_clean) {
        m->telling_clean = true;
        t = mem_alloc(sizeof *t);
        t->meta = m;
        t->upto = m->clean;
    }
    pthread_mutex_unlock(&m->apply_mutex);
    if (t != NULL) {
        command_erase_clean(&t->command, m->server, t->upto);
        t->proposal.command = t->command.data;
        t->proposal.command_len = t->command.len;
        t->proposal.done = told;
        meta_propose(m, &t->proposal);
    }
}

/* ---- the way there ---- */

void meta_check_erased(struct meta *m)
{
    uint64_t erased, clean, wal_clean;

    pthread_mutex_lock(&m->apply_mutex);
    erased = m->erased;
    clean = m->clean;
    wal_clean = m->wal_clean;
    pthread_mutex_unlock(&m->apply_mutex);
    if (erased <= clean) {
        tell(m);
        return;
    }
    if (m->forgetting == 0) {
        m->forgetting = erased;
        raft_io_forget(m->disk);
        return;
    }
    if (!raft_io_forgot(m->disk)) {
        /* libraft wants one left where others may lag. */
        raft_set_snapshot_trailing(&m->raft, m->net != NULL ? 1 : 0);
        meta_take_snapshot(m);
        return;
    }
    raft_set_snapshot_trailing(&m->raft,
                               m->net != NULL ? m->trailing_entries : 0);
    pthread_mutex_lock(&m->apply_mutex);
    if (wal_clean < m->forgetting) {
        m->wal_wipe = m->forgetting;
        pthread_cond_signal(&m->apply_more);
    } else {
        m->clean = m->forgetting;
    }
    pthread_mutex_unlock(&m->apply_mutex);
    if (wal_clean >= m->forgetting) {
        m->forgetting = 0;
    }
}
