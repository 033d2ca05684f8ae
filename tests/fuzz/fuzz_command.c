/* fuzz_command.c: any bytes as commands, decoded and applied.
 *
 * Goal: no command crashes or is read past its end; apply never fails but by a
 * refusal, whose reason is known; whatever was applied, every reference and
 * count in the database holds.
 * Method: the input is a list of steps, each applied as an entry to a database
 * in memory: raw bytes, or a sound command of tests/lib/random_command.h, or
 * such a one with a byte changed. Then meta_verify, and all is rolled back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/wire.h"
#include "meta/command.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"
#include "tests/lib/random_command.h"

#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report(void *arg, const char *what)
{
    (void)arg;
    fprintf(stderr, "defect: %s\n", what);
}

/* Make the next command of @in; false at its end. */
static bool next_command(struct wire_reader *in, struct random_command *r,
                         struct buf *out)
{
    unsigned step = get_u8(in);

    buf_clear(out);
    if (!wire_ok(in)) {
        return false;
    }
    if (step % 4 == 0) {
        size_t len = get_u16(in);
        if (len > in->left) {
            len = in->left;
        }
        buf_append(out, get_bytes(in, len), len);
        return true;
    }
    r->state += step;
    random_command_next(r, out);
    if (step % 4 == 1 && in->left >= 3) {
        size_t at = get_u16(in) % out->len;
        out->data[at] = get_u8(in);
    }
    return true;
}

static void apply_one(struct meta_apply *a, uint64_t index,
                      const struct buf *command)
{
    static uint8_t codes[META_DELETE_MAX];
    size_t len = command_batch_size(1, command->len);
    uint8_t *p = mem_alloc(len);
    struct meta_result result = {.codes = codes};
    struct err err;

    command_batch_put(command_batch_head(p, 1), command->data, command->len);
    if (meta_apply_entry(a, index, p, len, &result, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        CHECK(false);
    }
    CHECK(result.status >= 0 && result.status < 256);
    CHECK(result.status == 0 || result.body == 0 ||
          command_refusal_text(result.body) != NULL);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct meta_db db;
    static struct meta_apply a;
    struct random_command r;
    struct wire_reader in;
    struct buf command = {0};

    if (db.sqlite == NULL) {
        CHECK(meta_db_open(&db, ":memory:", META_DB_WRITER, NULL) == 0);
        CHECK(meta_apply_init(&a, &db, NULL) == 0);
    }
    wire_init(&in, data, size);
    random_command_init(&r, get_u8(&in));
    CHECK(meta_apply_begin(&a, NULL) == 0);
    for (r.index = 1; r.index < STEPS_MAX; r.index++) {
        if (!next_command(&in, &r, &command)) {
            break;
        }
        apply_one(&a, r.index, &command);
    }
    CHECK(a.state.applied == r.index - 1);
    /* The counts of rows are written with the commit. */
    CHECK(meta_apply_write_state(&a, NULL) == 0);
    CHECK(meta_verify_on(&db, report, NULL) == 0);
    CHECK(meta_apply_rollback(&a, NULL) == 0);
    buf_free(&command);
    return 0;
}
