/* What entries are applied to: a chain of digests, which is cheap, or the real
 * catalogue in memory. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"
#include "tests/sim/sim.h"

struct sim_base {
    struct meta_db db;
    struct meta_apply apply;
};

void sim_state_init(struct sim_state *st, bool real)
{
    struct err err = {{0}};

    *st = (struct sim_state){0};
    if (!real) {
        return;
    }
    st->base = mem_alloc(sizeof *st->base);
    CHECK(meta_db_open(&st->base->db, ":memory:", META_DB_WRITER, &err) == 0);
    CHECK(meta_apply_init(&st->base->apply, &st->base->db, &err) == 0);
}

void sim_state_close(struct sim_state *st)
{
    if (st->base != NULL) {
        meta_db_close(&st->base->db);
        free(st->base);
    }
    *st = (struct sim_state){0};
}

void sim_state_copy(struct sim_state *to, const struct sim_state *from)
{
    sqlite3_backup *b;

    to->applied = from->applied;
    to->hash = from->hash;
    CHECK((to->base == NULL) == (from->base == NULL));
    if (to->base == NULL) {
        return;
    }
    b = sqlite3_backup_init(to->base->db.sqlite, "main", from->base->db.sqlite,
                            "main");
    CHECK(b != NULL);
    CHECK(sqlite3_backup_step(b, -1) == SQLITE_DONE);
    CHECK(sqlite3_backup_finish(b) == SQLITE_OK);
    CHECK(meta_apply_init(&to->base->apply, &to->base->db, NULL) == 0);
}

static bool apply_rows(struct sim *s, struct sim_base *b, uint64_t index,
                       const void *data, size_t len)
{
    struct err err = {{0}};

    if (meta_apply_begin(&b->apply, &err) != 0 ||
        meta_apply_entry(&b->apply, index, data, len, NULL, &err) != 0 ||
        meta_apply_commit(&b->apply, &err) != 0) {
        sim_fail(s, "apply %llu: %s", (unsigned long long)index, err.text);
        return false;
    }
    return true;
}

bool sim_state_apply(struct sim *s, struct sim_state *st, uint64_t index,
                     const void *data, size_t len)
{
    if (index <= st->applied) {
        return true; /* a copy of another member held it */
    }
    st->applied = index;
    st->hash = sim_hash(st->hash ^ index, data, len);
    return st->base == NULL || apply_rows(s, st->base, index, data, len);
}

void sim_state_empty(struct sim_state *st, uint64_t index)
{
    if (index > st->applied) {
        st->applied = index;
        if (st->base != NULL) {
            CHECK(meta_apply_begin(&st->base->apply, NULL) == 0);
            meta_apply_empty(&st->base->apply, index);
            CHECK(meta_apply_commit(&st->base->apply, NULL) == 0);
        }
    }
}

static void report(void *arg, const char *what)
{
    sim_fail(arg, "catalogue: %s", what);
}

bool sim_state_same(struct sim *s, struct sim_state *a, struct sim_state *b)
{
    struct buf x = {0}, y = {0};
    bool same = a->hash == b->hash;

    if (same && a->base != NULL) {
        /* The applied index is a row: what trails it are barriers. */
        sim_state_empty(a, b->applied);
        sim_state_empty(b, a->applied);
        CHECK(meta_dump_on(&a->base->db, &x, NULL) == 0);
        CHECK(meta_dump_on(&b->base->db, &y, NULL) == 0);
        same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
        CHECK(meta_verify_on(&b->base->db, report, s) == 0 || s->failed);
    }
    buf_free(&x);
    buf_free(&y);
    return same;
}
