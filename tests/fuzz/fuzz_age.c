/* age files as a store might hand them out: read in two splits for an identity
 * that the seeds are sealed to; both agree. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/age.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(const struct seal_identity *own, const uint8_t *data,
                    size_t size, size_t first, uint8_t *out, size_t *out_len)
{
    struct age_reader *r = age_reader_new(own, 1);
    size_t a = 0, b = 0, c = 0;
    struct err err;
    int rc = age_reader_update(r, data, first, out, &a, &err);

    if (rc == 0) {
        rc =
            age_reader_update(r, data + first, size - first, out + a, &b, &err);
    }
    if (rc == 0) {
        rc = age_reader_final(r, out + a + b, &c, &err);
    }
    age_reader_free(r);
    *out_len = a + b + c;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char identity[] =
        "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWR"
        "YDWG";
    static struct seal_identity own;
    static int ready;
    size_t room = 2 * CHUNK_OPEN_UPDATE_MAX(size) + CHUNK, n, m;
    uint8_t *out = mem_alloc(room), *again = mem_alloc(room);

    if (!ready) {
        CHECK(seal_identity_parse(identity, &own, NULL) == 0);
        ready = 1;
    }
    if (read_all(&own, data, size, size, out, &n) == 0) {
        CHECK(read_all(&own, data, size, size / 3, again, &m) == 0);
        CHECK(n == m && memcmp(out, again, n) == 0);
    } else {
        CHECK(read_all(&own, data, size, size / 3, again, &m) != 0);
    }
    free(out);
    free(again);
    return 0;
}
