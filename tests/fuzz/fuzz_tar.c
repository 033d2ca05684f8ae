/* fuzz_tar.c: any bytes as a tar.
 *
 * Members lie within it, one behind the other; a path that is taken as a key
 * has no ".." in it; what is refused says why.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "fleet/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *p;
    size_t len;
};

static int fetch(void *arg, uint64_t offset, size_t len, const uint8_t **p,
                 struct err *err)
{
    const struct bytes *b = arg;

    (void)err;
    CHECK(offset <= b->len && len <= b->len - offset);
    *p = b->p + offset;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Sums would be hard to guess: make them right. */
    uint8_t *copy = malloc(size + 1);
    struct bytes b = {copy, size};
    struct tar_reader r = {fetch, &b, size, 0};
    static struct tar_member m;
    struct err err = {{0}};
    uint64_t last = 0;
    bool more = true;
    int code = 0;

    CHECK(copy != NULL);
    memcpy(copy, data, size);
    for (size_t at = 0; size > 0 && data[0] % 2 == 0 && at + 512 <= size;
         at += 512) {
        unsigned sum = 0;
        if (copy[at] == 0 || copy[at + 148] != '!') {
            continue;
        }
        for (size_t i = 0; i < 512; i++) {
            sum += i >= 148 && i < 156 ? ' ' : copy[at + i];
        }
        for (int i = 5; i >= 0; i--, sum >>= 3) {
            copy[at + 148 + (size_t)i] = (uint8_t)('0' + (sum & 7));
        }
        copy[at + 154] = 0;
        copy[at + 155] = ' ';
    }
    while (code == 0 && more) {
        code = tar_next(&r, &m, &more, &err);
        if (code == 0 && more) {
            const char *key;
            CHECK(m.offset > last && m.offset <= size);
            CHECK(m.size <= size - m.offset && strlen(m.path) <= TAR_PATH_MAX);
            CHECK(m.type == TAR_FILE || m.size == 0);
            last = m.offset;
            if (tar_path_key(m.path, &key) == NULL) {
                CHECK(key[0] != '\0' && key[0] != '/');
                CHECK(strcmp(key, "..") != 0 && strncmp(key, "../", 3) != 0);
                CHECK(strstr(key, "/../") == NULL);
            }
        }
    }
    CHECK(code == 0 || err.text[0] != '\0');
    free(copy);
    return 0;
}
