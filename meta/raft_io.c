#include "meta/raft_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/workers.h"
#include "meta/meta_stop.h"
#include "meta/raft_conf.h"
#include "meta/raft_guard.h"
#include "meta/raft_log.h"
#include "meta/raft_snapshot.h"
#include "meta/raft_wire.h"

#define DISK_MAGIC 0x6b736472u
#define SNAPSHOT_FILE "snapshot"
#define QUEUE_MAX 4096 /* jobs of the log writer; one entry is in flight */

struct raft_disk {
    unsigned magic;
    struct raft_io *io;
    char *snapshot_path;
    struct raft_log *log; /* the writer's once it runs */
    struct workers *writer;
    struct workers *keeper;
    struct loop *loop;
    int (*make_durable)(void *arg, uint64_t index, struct err *err);
    void (*on_tick)(void *arg);
    void (*send)(void *arg, raft_id to, const char *address,
                 const void *message, size_t len);
    void (*view)(void *arg, struct raft_guard_view *out);
    bool (*install)(void *arg, raft_id from, uint64_t index);
    void *arg;
    struct raft_guard guard;
    struct raft_confs confs;
    raft_id id;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    struct loop_timer timer;
    unsigned tick_ms;
    struct raft_vote vote;
    uint64_t last; /* index of the last entry given to the writer */
    size_t jobs;   /* on their way */
    bool forgetting;
    bool preparing;
    bool spare_failed; /* and that was said */
    uint64_t entry_bytes;
    uint64_t snapshot_index;
    struct raft_snapshot *snapshot; /* until load() */
    struct raft_entry *entries;     /* until load() */
    size_t entry_count;
    size_t entry_room;
};

static struct raft_disk *disk_of(struct raft_io *io)
{
    struct raft_disk *d = io->impl;

    CHECK_OBJ(d, DISK_MAGIC);
    return d;
}

/* ---- jobs: to a thread and back to the loop ---- */

struct job {
    struct work work;
    struct loop_call call;
    struct raft_disk *disk;
    /* On the writer's or keeper's thread. */
    int (*run)(struct job *j, struct err *err);
    void (*done)(struct job *j); /* on the loop; frees what the job holds */
    const char *what;
    union {
        struct raft_io_append *append;
        struct raft_io_snapshot_put *put;
        struct raft_io_snapshot_get *get;
        struct raft_io_send *send;
        struct raft_io_async_work *async;
    } req;
    union {
        raft_io_append_cb append;
        raft_io_snapshot_put_cb put;
        raft_io_snapshot_get_cb get;
        raft_io_send_cb send;
        raft_io_async_work_cb async;
    } cb;
    struct raft_log_entry *entries;
    size_t count;
    uint64_t index;
    uint64_t cut;
    bool replace;
    bool changes; /* the members */
    struct buf file;
    struct raft_snapshot *snapshot;
    struct job *next; /* to be done after this one */
    int status;
};

static void job_back(struct loop_call *call)
{
    struct job *j = LIST_OF(call, struct job, call);

    j->disk->jobs--;
    if (j->done != NULL) {
        j->done(j);
    }
    buf_free(&j->file);
    free(j->entries);
    free(j);
}

static void job_run(struct work *w)
{
    struct job *j = LIST_OF(w, struct job, work);
    struct err err;

    if (j->run(j, &err) != 0) {
        meta_stop(j->what, err.text);
    }
    j->call.fn = job_back;
    loop_post(j->disk->loop, &j->call);
}

static struct job *job_new(struct raft_disk *d, const char *what)
{
    struct job *j = mem_alloc(sizeof *j);

    CHECK_ON_LOOP(d->loop);
    j->disk = d;
    j->what = what;
    return j;
}

static void job_start(struct workers *w, struct job *j)
{
    j->work.fn = job_run;
    j->disk->jobs++;
    CHECK(workers_run(w, &j->work)); /* few are ever in flight */
}

/* Straight back to the loop, in its next round. */
static void job_post(struct job *j)
{
    j->call.fn = job_back;
    j->disk->jobs++;
    loop_post(j->disk->loop, &j->call);
}

/* ---- struct raft_io ---- */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)address;
    disk_of(io)->id = id;
    return 0;
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct raft_disk *d = disk_of(io);

    CHECK(raft_io_idle(d));
    loop_timer_clear(&d->timer);
    d->tick = NULL;
    cb(io);
}

static int io_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                   struct raft_snapshot **snapshot, raft_index *start_index,
                   struct raft_entry *entries[], size_t *n_entries)
{
    struct raft_disk *d = disk_of(io);

    *term = d->vote.term;
    *voted_for = d->vote.vote;
    *snapshot = d->snapshot;
    *start_index = d->snapshot_index + 1;
    *entries = d->entries;
    *n_entries = d->entry_count;
    d->snapshot = NULL;
    d->entries = NULL;
    d->entry_count = 0;
    return 0;
}

/* A single voter that leads by nobody's vote goes on to a term of its own. */
static void claim(struct raft_disk *d)
{
    struct raft_guard_view view;
    struct raft_message m;

    d->view(d->arg, &view);
    if (raft_guard_claim(&d->guard, &view, &m)) {
        m.server_id = d->id;
        m.server_address = "";
        d->recv(d->io, &m);
        raft_guard_claimed(&d->guard);
    }
}

static void on_timer(struct loop_timer *t)
{
    struct raft_disk *d = LIST_OF(t, struct raft_disk, timer);

    loop_timer_set(d->loop, &d->timer, d->tick_ms);
    if (d->view != NULL) {
        claim(d);
    }
    d->tick(d->io);
    if (d->view != NULL) {
        struct raft_guard_view view;
        claim(d);
        d->view(d->arg, &view);
        raft_guard_watch(&d->guard, &view);
    }
    d->on_tick(d->arg);
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick,
                    raft_io_recv_cb recv)
{
    struct raft_disk *d = disk_of(io);

    d->recv = recv;
    d->tick = tick;
    d->tick_ms = msecs;
    loop_timer_set(d->loop, &d->timer, msecs);
    return 0;
}

/* A term or vote that is not stored must not be acted on. */
static int store_vote(struct raft_disk *d)
{
    struct err err;

    if (raft_vote_store(d->log, &d->vote, &err) != 0) {
        meta_stop("raft: term and vote", err.text);
    }
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    struct raft_disk *d = disk_of(io);

    CHECK(term >= d->vote.term);
    d->vote = (struct raft_vote){.term = term};
    if (raft_guard_vote(&d->guard, term, false)) {
        d->vote.vote = d->id;
    }
    return store_vote(d);
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    struct raft_disk *d = disk_of(io);

    d->vote.vote = id;
    raft_guard_vote(&d->guard, d->vote.term, id == d->id);
    return store_vote(d);
}

static void keep_entry(struct raft_disk *d, const struct raft_log_entry *e)
{
    struct raft_entry *to;

    if (d->entry_count == d->entry_room) {
        d->entry_room = d->entry_room * 2 + 64;
        d->entries =
            raft_realloc(d->entries, d->entry_room * sizeof *d->entries);
        CHECK(d->entries != NULL);
    }
    to = &d->entries[d->entry_count++];
    to->term = e->term;
    to->type = e->type;
    to->buf.len = e->len;
    to->buf.base = raft_wire_give(e->data, e->len);
    to->batch = to->buf.base; /* a batch of one: libraft frees it */
    d->entry_bytes += e->len;
}

static int io_bootstrap(struct raft_io *io,
                        const struct raft_configuration *conf)
{
    struct raft_disk *d = disk_of(io);
    struct raft_log_entry e = {.term = 1, .index = 1, .type = RAFT_CHANGE};
    struct raft_buffer buf;
    struct err err;
    int rc;

    if (d->vote.term > 0 || d->last > 0 || d->snapshot != NULL) {
        return RAFT_CANTBOOTSTRAP;
    }
    rc = raft_configuration_encode(conf, &buf);
    if (rc != 0) {
        return rc;
    }
    e.data = buf.base;
    e.len = buf.len;
    /* The entry first: a term without it would forbid a second try. */
    if (raft_log_append(d->log, &e, 1, &err) != 0) {
        meta_stop("raft: first entry", err.text);
    }
    keep_entry(d, &e);
    raft_confs_append(&d->confs, 1, buf.base, buf.len);
    d->last = 1;
    raft_free(buf.base);
    return io_set_term(io, 1);
}

static int io_recover(struct raft_io *io, const struct raft_configuration *c)
{
    (void)io;
    (void)c;
    return RAFT_INVALID; /* comes with clusters */
}

static void send_done(struct job *j)
{
    if (j->cb.send != NULL) {
        j->cb.send(j->req.send, 0);
    }
}

static void send_guarded(struct raft_disk *d,
                         const struct raft_message *message)
{
    struct raft_message m = *message;
    struct raft_guard_view view;
    struct buf bytes = {0};

    d->view(d->arg, &view);
    if (raft_guard_send(&d->guard, &m, &view)) {
        if (m.type == RAFT_IO_APPEND_ENTRIES) {
            raft_wire_trim(&m.append_entries);
        }
        raft_wire_encode(&m, &bytes);
        d->send(d->arg, m.server_id, m.server_address, bytes.data, bytes.len);
        buf_free(&bytes);
    }
}

static int io_send(struct raft_io *io, struct raft_io_send *req,
                   const struct raft_message *message, raft_io_send_cb cb)
{
    struct raft_disk *d = disk_of(io);
    struct job *j = job_new(d, "raft: send");

    if (d->send != NULL) {
        send_guarded(d, message);
    }
    j->req.send = req;
    j->cb.send = cb;
    j->done = send_done;
    job_post(j);
    return 0;
}

static int append_run(struct job *j, struct err *err)
{
    return raft_log_append(j->disk->log, j->entries, j->count, err);
}

static void append_done(struct job *j)
{
    j->cb.append(j->req.append, 0);
    if (j->changes) {
        raft_confs_adopt(&j->disk->confs, j->disk->io->data);
    }
}

static int io_append(struct raft_io *io, struct raft_io_append *req,
                     const struct raft_entry entries[], unsigned n,
                     raft_io_append_cb cb)
{
    struct raft_disk *d = disk_of(io);
    struct job *j = job_new(d, "raft: log write");

    j->req.append = req;
    j->cb.append = cb;
    j->run = append_run;
    j->done = append_done;
    j->count = n;
    j->entries = mem_calloc(n, sizeof *j->entries);
    for (unsigned i = 0; i < n; i++) {
        j->entries[i] = (struct raft_log_entry){.term = entries[i].term,
                                                .index = ++d->last,
                                                .type = entries[i].type,
                                                .data = entries[i].buf.base,
                                                .len = entries[i].buf.len};
        d->entry_bytes += entries[i].buf.len;
        if (entries[i].type == RAFT_CHANGE) {
            j->changes |= raft_confs_append(
                &d->confs, d->last, entries[i].buf.base, entries[i].buf.len);
        }
    }
    if (j->changes) {
        raft_confs_adopt(&d->confs, io->data);
    }
    job_start(d->writer, j);
    return 0;
}

static int truncate_run(struct job *j, struct err *err)
{
    return raft_log_truncate(j->disk->log, j->index, err);
}

static void truncate_log(struct raft_disk *d, uint64_t index)
{
    struct job *j = job_new(d, "raft: log truncation");

    j->index = index;
    j->run = truncate_run;
    d->last = index - 1;
    job_start(d->writer, j);
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct raft_disk *d = disk_of(io);

    raft_confs_truncate(&d->confs, index, io->data);
    truncate_log(d, index);
    return 0;
}

static int cut_run(struct job *j, struct err *err)
{
    return raft_log_cut(j->disk->log, j->cut, err);
}

static void cut_done(struct job *j)
{
    j->cb.put(j->req.put, 0);
}

static int put_run(struct job *j, struct err *err)
{
    int rc = j->disk->make_durable(j->disk->arg, j->index, err);

    if (rc == 0) {
        rc = fs_write(j->disk->snapshot_path, j->file.data, j->file.len, 0600,
                      err);
    }
    return rc;
}

/* The file stands: only now may the log go. */
static void put_done(struct job *j)
{
    struct raft_disk *d = j->disk;
    struct job *cut;

    d->snapshot_index = j->index;
    if (j->replace) { /* of another member: nothing of the log stays */
        d->last = j->index;
    }
    cut = job_new(d, "raft: log cut");
    cut->req.put = j->req.put;
    cut->cb.put = j->cb.put;
    cut->run = cut_run;
    cut->done = cut_done;
    cut->cut = j->cut;
    job_start(d->writer, cut);
}

static void then_put(struct job *first)
{
    job_start(first->disk->keeper, first->next);
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing,
                           struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot,
                           raft_io_snapshot_put_cb cb)
{
    struct raft_disk *d = disk_of(io);
    struct job *j = job_new(d, "raft: snapshot");
    struct raft_snapshot s = *snapshot;
    const struct raft_conf *conf;

    j->req.put = req;
    j->cb.put = cb;
    j->run = put_run;
    j->done = put_done;
    j->index = snapshot->index;
    j->replace = d->install != NULL && trailing == 0;
    j->cut = snapshot->index > trailing ? snapshot->index - trailing : 0;
    d->entry_bytes = 0;
    if (j->replace) {
        raft_confs_base(&d->confs, &s);
    } else if ((conf = raft_confs_snapshot(&d->confs, s.index)) != NULL) {
        s.configuration_index = conf->index;
        s.configuration = conf->servers;
    }
    raft_snapshot_encode(&s, &j->file);
    if (j->replace && d->last >= s.index) {
        /* libraft does not install what our log has: there is another entry at
         * its index, and that and what follows is of no leader any more. A
         * start must not find it behind the snapshot. */
        struct job *first = job_new(d, "raft: log truncation");
        first->index = s.index;
        first->run = truncate_run;
        first->done = then_put;
        first->next = j;
        d->last = s.index - 1;
        job_start(d->writer, first);
    } else {
        job_start(d->keeper, j);
    }
    return 0;
}

static int get_run(struct job *j, struct err *err)
{
    return raft_snapshot_read(j->disk->snapshot_path, &j->snapshot, err);
}

static void get_done(struct job *j)
{
    j->cb.get(j->req.get, j->snapshot, j->snapshot != NULL ? 0 : RAFT_NOTFOUND);
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req,
                           raft_io_snapshot_get_cb cb)
{
    struct raft_disk *d = disk_of(io);
    struct job *j = job_new(d, "raft: snapshot read");

    j->req.get = req;
    j->cb.get = cb;
    j->run = get_run;
    j->done = get_done;
    job_start(d->keeper, j);
    return 0;
}

static raft_time io_time(struct raft_io *io)
{
    (void)io;
    return clock_mono_ms();
}

static int io_random(struct raft_io *io, int min, int max)
{
    (void)io;
    CHECK(max > min);
    return min + (int)(rng_u64() % (uint64_t)(max - min));
}

static int async_run(struct job *j, struct err *err)
{
    (void)err;
    j->status = j->req.async->work(j->req.async);
    return 0;
}

static void async_done(struct job *j)
{
    j->cb.async(j->req.async, j->status);
}

static int io_async_work(struct raft_io *io, struct raft_io_async_work *req,
                         raft_io_async_work_cb cb)
{
    struct raft_disk *d = disk_of(io);
    struct job *j = job_new(d, "raft: work");

    j->req.async = req;
    j->cb.async = cb;
    j->run = async_run;
    j->done = async_done;
    job_start(d->keeper, j);
    return 0;
}

static int spare_run(struct job *j, struct err *err)
{
    /* Not the end: the next segment is made when it is needed, or not. */
    j->status = raft_log_prepare(j->disk->log, err);
    if (j->status != 0 && !j->disk->spare_failed) {
        log_errf(LOG_WARN, "no spare log segment", "%s", err->text);
    }
    return 0;
}

static void spare_done(struct job *j)
{
    j->disk->preparing = false;
    j->disk->spare_failed = j->status != 0;
}

void raft_io_prepare(struct raft_disk *d)
{
    struct job *j;

    if (d->preparing || raft_log_spares(d->log) > 0) {
        return;
    }
    d->preparing = true;
    j = job_new(d, "raft: spare segment");
    j->run = spare_run;
    j->done = spare_done;
    job_start(d->keeper, j);
}

static int forget_run(struct job *j, struct err *err)
{
    return raft_log_forget(j->disk->log, err);
}

static void forget_done(struct job *j)
{
    j->disk->forgetting = false;
}

void raft_io_forget(struct raft_disk *d)
{
    struct job *j = job_new(d, "raft: forgetting");

    d->forgetting = true;
    j->run = forget_run;
    j->done = forget_done;
    job_start(d->writer, j);
}

bool raft_io_forgot(const struct raft_disk *d)
{
    return !d->forgetting && raft_log_forgot(d->log);
}

/* ---- opening ---- */

static int on_entry(void *arg, const struct raft_log_entry *e, struct err *err)
{
    struct raft_disk *d = arg;

    if (e->type != RAFT_COMMAND && e->type != RAFT_BARRIER &&
        e->type != RAFT_CHANGE) {
        return err_set(err, ERR_CORRUPT, "record %llu: type %u is not known",
                       (unsigned long long)e->index, e->type);
    }
    if (e->type == RAFT_CHANGE &&
        !raft_confs_append(&d->confs, e->index, e->data, e->len)) {
        return err_set(err, ERR_CORRUPT,
                       "record %llu: configuration cannot be decoded",
                       (unsigned long long)e->index);
    }
    keep_entry(d, e);
    return 0;
}

static void drop_loaded(struct raft_disk *d)
{
    for (size_t i = 0; i < d->entry_count; i++) {
        raft_free(d->entries[i].buf.base);
    }
    raft_free(d->entries);
    raft_snapshot_free(d->snapshot);
    raft_confs_free(&d->confs);
}

static void fill(struct raft_io *io, struct raft_disk *d)
{
    memset(io, 0, sizeof *io);
    io->version = 2;
    io->impl = d;
    io->init = io_init;
    io->close = io_close;
    io->load = io_load;
    io->start = io_start;
    io->bootstrap = io_bootstrap;
    io->recover = io_recover;
    io->set_term = io_set_term;
    io->set_vote = io_set_vote;
    io->send = io_send;
    io->append = io_append;
    io->truncate = io_truncate;
    io->snapshot_put = io_snapshot_put;
    io->snapshot_get = io_snapshot_get;
    io->time = io_time;
    io->random = io_random;
    io->async_work = io_async_work;
}

int raft_io_open(const struct raft_io_options *options, struct raft_io *io,
                 struct raft_disk **out, struct err *err)
{
    struct raft_disk *d = mem_alloc(sizeof *d);
    struct raft_log_options lo = {.dir = options->dir,
                                  .segment_bytes = options->segment_bytes,
                                  .files = options->files};
    int rc;

    d->magic = DISK_MAGIC;
    d->io = io;
    d->snapshot_path = mem_printf("%s/" SNAPSHOT_FILE, options->dir);
    d->loop = options->loop;
    d->keeper = options->keeper;
    d->make_durable = options->make_durable;
    d->on_tick = options->on_tick;
    d->send = options->send;
    d->view = options->view;
    d->install = options->install;
    d->arg = options->arg;
    rc = raft_snapshot_read(d->snapshot_path, &d->snapshot, err);
    if (rc != 0) {
        goto err_after_alloc;
    }
    if (d->snapshot != NULL) {
        d->snapshot_index = d->snapshot->index;
        raft_confs_base(&d->confs, d->snapshot);
    }
    lo.after = d->snapshot_index;
    rc = raft_log_open(&lo, on_entry, d, &d->log, err);
    if (rc != 0) {
        goto err_after_alloc;
    }
    d->last = raft_log_last(d->log);
    rc = raft_vote_load(d->log, &d->vote, err);
    if (rc == 0 && d->vote.term == 0 && d->last > 1) {
        rc = err_set(err, ERR_CORRUPT, "%s/vote: missing, but there is a log",
                     options->dir);
    }
    if (rc != 0) {
        goto err_after_log;
    }
    if (d->last > 0 && d->vote.term == 0) {
        d->vote.term = 1; /* the first start ended between entry and term */
    }
    loop_timer_init(&d->timer, on_timer);
    d->writer = workers_new("raft-log", 1, QUEUE_MAX);
    fill(io, d);
    *out = d;
    return 0;

err_after_log:
    raft_log_close(d->log);
err_after_alloc:
    drop_loaded(d);
    free(d->snapshot_path);
    free(d);
    return rc;
}

void raft_io_free(struct raft_disk *d)
{
    if (d == NULL) {
        return;
    }
    CHECK_OBJ(d, DISK_MAGIC);
    workers_free(d->writer);
    raft_log_close(d->log);
    drop_loaded(d);
    free(d->snapshot_path);
    d->magic = 0;
    free(d);
}

int raft_io_receive(struct raft_disk *d, raft_id from, const char *address,
                    const void *message, size_t len, struct err *err)
{
    struct raft_guard_view view;
    struct raft_message m, head;
    int rc = raft_wire_decode(message, len, &m, err);

    CHECK_ON_LOOP(d->loop);
    if (rc != 0) {
        return rc;
    }
    if (m.type == RAFT_IO_INSTALL_SNAPSHOT &&
        !d->install(d->arg, from, m.install_snapshot.last_index)) {
        raft_wire_free(&m); /* it comes again */
        return 0;
    }
    m.server_id = from;
    m.server_address = address;
    d->view(d->arg, &view);
    raft_guard_repair(&d->guard, &m, &view);
    if (d->recv == NULL || !raft_guard_receive(&d->guard, &m, &view)) {
        raft_wire_free(&m);
        return 0;
    }
    raft_confs_receive(&d->confs, d->io->data, &m);
    head = m; /* what it points to is libraft's from here on */
    d->recv(d->io, &m);
    raft_confs_received(&d->confs, d->io->data);
    d->view(d->arg, &view);
    raft_guard_received(&d->guard, &head, &view);
    return 0;
}

bool raft_io_idle(const struct raft_disk *d)
{
    return d->jobs == 0;
}

uint64_t raft_io_last(const struct raft_disk *d)
{
    return d->last;
}

uint64_t raft_io_snapshot_index(const struct raft_disk *d)
{
    return d->snapshot_index;
}

uint64_t raft_io_entry_bytes(const struct raft_disk *d)
{
    return d->entry_bytes;
}

uint64_t raft_io_log_bytes(const struct raft_disk *d)
{
    return raft_log_bytes(d->log);
}

size_t raft_io_segments(const struct raft_disk *d)
{
    return raft_log_segments(d->log);
}
