#include "crypto/root_key.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"

#define DIGITS ((size_t)2 * ROOT_KEY)
#define FILE_MAX 4096

/* A file that an operator wrote may end in blanks or none. */
static int parse(const char *path, const struct buf *text,
                 uint8_t out[ROOT_KEY], struct err *err)
{
    for (size_t i = DIGITS; i < text->len; i++) {
        if (text->data[i] != '\n' && text->data[i] != '\r' &&
            text->data[i] != ' ') {
            return err_set(err, ERR_CORRUPT, "%s: more than 64 hex digits",
                           path);
        }
    }
    if (text->len < DIGITS ||
        !text_unhex((const char *)text->data, DIGITS, out, ROOT_KEY)) {
        return err_set(err, ERR_CORRUPT, "%s: not 64 hex digits", path);
    }
    return 0;
}

int root_key_load(const char *path, uint8_t out[ROOT_KEY], struct err *err)
{
    struct buf text = {0};
    int rc = fs_read(path, FILE_MAX, &text, err);

    if (rc == 0) {
        rc = parse(path, &text, out, err);
    }
    buf_wipe(&text);
    return rc;
}

int root_key_save(const char *path, const uint8_t key[ROOT_KEY],
                  struct err *err)
{
    char hex[DIGITS + 2];
    int rc;

    text_hex(key, ROOT_KEY, hex);
    hex[DIGITS] = '\n';
    rc = fs_write(path, hex, DIGITS + 1, 0600, err);
    mem_wipe(hex, sizeof hex);
    return rc;
}
