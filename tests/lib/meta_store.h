/* meta_store.h: a catalogue in a folder of its own, for tests.
 *
 * In a header, because only tests that link meta/ may have it; include it after
 * cmocka.h.
 *
 * Threads: any.
 */
#ifndef GODWIT_TESTS_META_STORE_H
#define GODWIT_TESTS_META_STORE_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/mem.h"
#include "meta/meta.h"

#define STORE_SEGMENT (256 << 10)
#define STORE_WAIT_MS 60000

static inline struct meta *must_open(const char *dir)
{
    struct meta_options o = {.dir = dir, .log_segment_bytes = STORE_SEGMENT};
    struct meta *m;
    struct err err = {0};

    if (meta_open(&o, &m, &err) != 0) {
        fail_msg("open: %s", err.text);
    }
    return m;
}

static inline int open_error(const char *dir, struct err *err)
{
    struct meta_options o = {.dir = dir, .log_segment_bytes = STORE_SEGMENT};
    struct meta *m;

    return meta_open(&o, &m, err);
}

static inline void report(void *arg, const char *what)
{
    (void)arg;
    print_error("defect: %s\n", what);
}

static inline void verify(struct meta *m)
{
    assert_int_equal(meta_verify(m, report, NULL), 0);
}

static inline int bucket_create(struct meta *m, const char *name)
{
    struct buf b = {0};
    int rc;

    command_bucket_create(&b, name, "me", 1);
    rc = meta_propose_wait(m, &b, NULL, NULL);
    buf_free(&b);
    return rc;
}

static inline int put_if(struct meta *m, const char *key, const char *text,
                         const char *etag, const struct meta_condition *c)
{
    struct buf b = {0};
    struct meta_content content = {.size_bytes = strlen(text),
                                   .inline_bytes = text};
    int rc;

    command_object_put(&b, "b", key, c, &content, etag, "attrs", 5, 2);
    rc = meta_propose_wait(m, &b, NULL, NULL);
    buf_free(&b);
    return rc;
}

static inline int put(struct meta *m, const char *key, const char *text)
{
    return put_if(m, key, text, "etag", NULL);
}

static inline void expect_text(struct meta *m, const char *key,
                               const char *text)
{
    struct meta_object o;
    struct err err = {0};

    if (meta_object_get(m, "b", key, true, &o, &err) != 0) {
        fail_msg("get %s: %s", key, err.text);
    }
    assert_int_equal(o.size_bytes, strlen(text));
    assert_memory_equal(o.inline_bytes, text, strlen(text));
    meta_object_free(&o);
}

/* A proposal that waits for nobody. */
struct loose {
    struct meta_proposal p;
    struct latch *latch;
    _Atomic int *busy;
    _Atomic int *other;
};

static inline void loose_done(struct meta_proposal *p)
{
    struct loose *l = LIST_OF(p, struct loose, p);

    if (p->status == ERR_BUSY) {
        ++*l->busy;
    } else if (p->status != 0) {
        ++*l->other;
    }
    latch_signal(l->latch);
}

/* Propose all of them at once and wait; gives how many were refused. */
static inline int propose_all(struct meta *m, struct buf *commands,
                              size_t count)
{
    struct loose *all = mem_calloc(count, sizeof *all);
    struct latch latch;
    _Atomic int busy = 0, other = 0;

    latch_init(&latch);
    for (size_t i = 0; i < count; i++) {
        all[i] = (struct loose){.p = {.command = commands[i].data,
                                      .command_len = commands[i].len,
                                      .done = loose_done},
                                .latch = &latch,
                                .busy = &busy,
                                .other = &other};
        meta_propose(m, &all[i].p);
    }
    assert_true(latch_wait(&latch, count, STORE_WAIT_MS));
    latch_close(&latch);
    free(all);
    return busy + other;
}

#endif
