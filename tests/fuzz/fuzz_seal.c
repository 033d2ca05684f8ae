/* Envelopes as a store might hand them out: opened in two splits, for an
 * identity that the seeds are sealed to. Both splits agree; and a body that is
 * fed to the right key opens only if we sealed it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_all(const struct seal_identity *own, const uint8_t *data,
                    size_t size, size_t first, uint8_t *out, size_t *out_len)
{
    struct seal_opener *o = seal_opener_new(own, 1);
    size_t a = 0, b = 0, c = 0;
    struct err err;
    int rc = seal_opener_update(o, data, first, out, &a, &err);

    if (rc == 0) {
        rc = seal_opener_update(o, data + first, size - first, out + a, &b,
                                &err);
    }
    if (rc == 0) {
        rc = seal_opener_final(o, out + a + b, &c, &err);
    }
    seal_opener_free(o);
    *out_len = a + b + c;
    return rc;
}

static void range(const struct seal_identity *own, const uint8_t *data,
                  size_t size, uint8_t *out)
{
    struct seal_reader *r;
    struct seal_head head;
    struct seal_root root;
    struct seal_key key;
    uint64_t from, to;
    size_t made;

    if (seal_head_parse(data, size, &head, NULL) != 0 ||
        size - head.size < SEAL_SALT + 4 ||
        seal_open_root(own, head.header, head.header_len, &root, NULL) != 0 ||
        seal_root_key(&root, head.link, &key, NULL) != 0) {
        return;
    }
    r = seal_reader_new();
    seal_reader_init(r, &key, head.flags, data + head.size);
    if (seal_reader_range(r, size - head.size, data[size - 1],
                          1 + (size_t)data[size - 2] * 999, &from, &to,
                          NULL) == 0) {
        CHECK(from <= to && to <= size - head.size);
        if (seal_reader_update(r, data + head.size + from, (size_t)(to - from),
                               out, &made, NULL) == 0) {
            (void)seal_reader_final(r, out + made, &made, NULL);
        }
    }
    seal_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char identity[] =
        "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWR"
        "YDWG";
    static struct seal_identity own;
    static int ready;
    size_t room = 2 * SEAL_OPEN_UPDATE_MAX(size) + SEAL_CHUNK, n, m;
    uint8_t *out = mem_alloc(room), *again = mem_alloc(room);

    if (!ready) {
        CHECK(seal_identity_parse(identity, &own, NULL) == 0);
        ready = 1;
    }
    if (open_all(&own, data, size, size, out, &n) == 0) {
        CHECK(open_all(&own, data, size, size / 3, again, &m) == 0);
        CHECK(n == m && memcmp(out, again, n) == 0);
    } else {
        CHECK(open_all(&own, data, size, size / 3, again, &m) != 0);
    }
    range(&own, data, size, out);
    free(out);
    free(again);
    return 0;
}
