#include "crypto/keyring.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/aead.h"
#include "crypto/digest.h"

#define KEYRING_FILE_MAX ((size_t)1 << 20)
#define KEYRING_LINE_MAX 80 /* ten digits, a blank, 64 hex, a newline */
#define MAGIC "godwit-keyring "
#define HEADER MAGIC "1\n"
#define FOOTER "sha256 "
#define FOOTER_LEN (sizeof FOOTER - 1 + 64 + 1)

_Static_assert(KEYRING_OVERHEAD == 4 + AEAD_NONCE + AEAD_TAG,
               "number, nonce, tag");
_Static_assert((size_t)KEYRING_KEYS_MAX *KEYRING_LINE_MAX < KEYRING_FILE_MAX,
               "a full keyring can be read back");

struct key {
    uint32_t number;
    uint8_t bytes[AEAD_KEY];
};

struct keyring {
    pthread_mutex_t mutex; /* of all below */
    char *path;
    struct key *keys; /* KEYRING_KEYS_MAX of room; numbers ascend */
    size_t count;     /* at least 1 */
};

/* ---- the file ---- */

static void footer_of(const void *p, size_t len, char out[FOOTER_LEN + 1])
{
    uint8_t sum[DIGEST_MAX];
    char hex[65];

    digest_of(DIGEST_SHA256, p, len, sum);
    snprintf(out, FOOTER_LEN + 1, FOOTER "%s\n", text_hex(sum, 32, hex));
}

static int write_file(const struct keyring *k, struct err *err)
{
    struct buf b = {0};
    char hex[2 * AEAD_KEY + 1], footer[FOOTER_LEN + 1];
    int rc;

    /* All at once: a buffer that grows would leave keys behind. */
    buf_reserve(&b, sizeof HEADER + k->count * KEYRING_LINE_MAX + FOOTER_LEN);
    buf_str(&b, HEADER);
    for (size_t i = 0; i < k->count; i++) {
        text_hex(k->keys[i].bytes, AEAD_KEY, hex);
        buf_printf(&b, "%u %s\n", k->keys[i].number, hex);
    }
    footer_of(b.data, b.len, footer);
    buf_str(&b, footer);
    rc = fs_write(k->path, b.data, b.len, 0600, err);
    mem_wipe(hex, sizeof hex);
    buf_wipe(&b);
    return rc;
}

/* "number key\n" at *@p; moves behind it. */
static bool read_line(const char **p, const char *end, struct key *out)
{
    const char *newline = memchr(*p, '\n', (size_t)(end - *p));
    const char *blank;
    uint64_t number;

    if (newline == NULL) {
        return false;
    }
    blank = memchr(*p, ' ', (size_t)(newline - *p));
    if (blank == NULL || !text_u64_n(*p, (size_t)(blank - *p), &number) ||
        number == 0 || number > UINT32_MAX ||
        !text_unhex(blank + 1, (size_t)(newline - blank - 1), out->bytes,
                    AEAD_KEY)) {
        return false;
    }
    out->number = (uint32_t)number;
    *p = newline + 1;
    return true;
}

static int parse(struct keyring *k, const char *p, size_t len, struct err *err)
{
    const char *end;
    char footer[FOOTER_LEN + 1];

    if (len >= strlen(MAGIC) && memcmp(p, MAGIC, strlen(MAGIC)) == 0 &&
        (len < strlen(HEADER) || memcmp(p, HEADER, strlen(HEADER)) != 0)) {
        return err_set(err, ERR_VERSION, "a keyring of an unknown version");
    }
    if (len < strlen(HEADER) + FOOTER_LEN ||
        memcmp(p, HEADER, strlen(HEADER)) != 0) {
        return err_set(err, ERR_CORRUPT, "not a keyring, or cut short");
    }
    end = p + len - FOOTER_LEN;
    footer_of(p, len - FOOTER_LEN, footer);
    if (memcmp(end, footer, FOOTER_LEN) != 0) {
        return err_set(err, ERR_CORRUPT, "the checksum does not match");
    }
    p += strlen(HEADER);
    while (p < end) {
        struct key *key = &k->keys[k->count];
        if (k->count == KEYRING_KEYS_MAX || !read_line(&p, end, key) ||
            (k->count > 0 && key->number <= key[-1].number)) {
            return err_set(err, ERR_CORRUPT,
                           "key %zu is not a number and a key", k->count + 1);
        }
        k->count++;
    }
    if (k->count == 0) {
        return err_set(err, ERR_CORRUPT, "it holds no key");
    }
    return 0;
}

/* ---- life ---- */

static struct keyring *keyring_new(const char *path)
{
    struct keyring *k = mem_alloc(sizeof *k);

    CHECK(pthread_mutex_init(&k->mutex, NULL) == 0);
    k->path = mem_strdup(path);
    k->keys = mem_calloc(KEYRING_KEYS_MAX, sizeof k->keys[0]);
    return k;
}

static int make(struct keyring *k, struct err *err)
{
    k->keys[0].number = 1;
    rng_bytes(k->keys[0].bytes, AEAD_KEY);
    k->count = 1;
    return write_file(k, err);
}

int keyring_open(const char *path, struct keyring **out, struct err *err)
{
    struct keyring *k = keyring_new(path);
    struct buf b = {0};
    int rc;

    /* A reader's buffer that grows would leave keys behind, too. */
    buf_reserve(&b, 2 * KEYRING_FILE_MAX);
    rc = fs_read(path, KEYRING_FILE_MAX, &b, err);
    if (rc == ERR_NOT_FOUND) {
        rc = make(k, err);
    } else if (rc == ERR_LIMIT) {
        rc = ERR_CORRUPT;
    } else if (rc == 0) {
        rc = parse(k, (const char *)b.data, b.len, err);
        if (rc != 0) {
            err_wrap(err, rc, "%s", path);
        }
    }
    buf_wipe(&b);
    if (rc != 0) {
        keyring_close(k);
        return err_wrap(err, rc, "keyring");
    }
    *out = k;
    return 0;
}

void keyring_close(struct keyring *k)
{
    if (k == NULL) {
        return;
    }
    mem_wipe(k->keys, KEYRING_KEYS_MAX * sizeof k->keys[0]);
    free(k->keys);
    free(k->path);
    pthread_mutex_destroy(&k->mutex);
    free(k);
}

/* ---- adding and removing ---- */

/* The place of @number; count when it is not there. */
static size_t find(const struct keyring *k, uint32_t number)
{
    size_t low = 0, high = k->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (k->keys[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < k->count && k->keys[low].number == number ? low : k->count;
}

static int rotate(struct keyring *k, uint32_t *number, struct err *err)
{
    struct key *key = &k->keys[k->count];
    int rc;

    if (k->count == KEYRING_KEYS_MAX) {
        return err_set(err, ERR_LIMIT, "keyring: it has %d keys; shred some",
                       KEYRING_KEYS_MAX);
    }
    if (key[-1].number == UINT32_MAX) {
        return err_set(err, ERR_LIMIT, "keyring: all key numbers are used");
    }
    key->number = key[-1].number + 1;
    rng_bytes(key->bytes, AEAD_KEY);
    k->count++;
    rc = write_file(k, err);
    if (rc != 0) {
        k->count--;
        mem_wipe(key, sizeof *key);
        return err_wrap(err, rc, "keyring");
    }
    *number = key->number;
    return 0;
}

int keyring_rotate(struct keyring *k, uint32_t *number, struct err *err)
{
    int rc;

    pthread_mutex_lock(&k->mutex);
    rc = rotate(k, number, err);
    pthread_mutex_unlock(&k->mutex);
    return rc;
}

/* Write zeros over the replaced file that @fd still holds, unless it has
 * another name. The best that can be done from here: a drive that remaps blocks
 * keeps the old ones until it reuses them. */
static void overwrite(int fd)
{
    static const uint8_t zeros[4096];
    struct stat st;

    if (fstat(fd, &st) != 0 || st.st_nlink != 0) {
        return;
    }
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof zeros) {
        if (pwrite(fd, zeros, sizeof zeros, at) < 0) {
            return;
        }
    }
    fdatasync(fd);
}

static int shred(struct keyring *k, uint32_t number, struct err *err)
{
    size_t at = find(k, number);
    struct key key;
    int fd, rc;

    if (at == k->count) {
        return err_set(err, ERR_NOT_FOUND, "keyring: no key %u", number);
    }
    if (at == k->count - 1) {
        return err_set(err, ERR_BAD_INPUT,
                       "keyring: key %u is the newest; rotate first", number);
    }
    key = k->keys[at];
    fd = open(k->path, O_WRONLY | O_CLOEXEC);
    memmove(&k->keys[at], &k->keys[at + 1],
            (k->count - at - 1) * sizeof k->keys[0]);
    k->count--;
    rc = write_file(k, err);
    if (rc != 0) {
        memmove(&k->keys[at + 1], &k->keys[at],
                (k->count - at) * sizeof k->keys[0]);
        k->keys[at] = key;
        k->count++;
        err_wrap(err, rc, "keyring");
    } else {
        mem_wipe(&k->keys[k->count], sizeof k->keys[0]);
    }
    mem_wipe(&key, sizeof key);
    if (fd >= 0) {
        if (rc == 0) {
            overwrite(fd);
        }
        close(fd);
    }
    return rc;
}

int keyring_shred(struct keyring *k, uint32_t number, struct err *err)
{
    int rc;

    pthread_mutex_lock(&k->mutex);
    rc = shred(k, number, err);
    pthread_mutex_unlock(&k->mutex);
    return rc;
}

/* ---- wrapping ---- */

void keyring_wrap(struct keyring *k, const void *context, size_t context_len,
                  const void *in, size_t len, uint8_t *out)
{
    struct key key;

    pthread_mutex_lock(&k->mutex);
    key = k->keys[k->count - 1];
    pthread_mutex_unlock(&k->mutex);
    store_u32(out, key.number);
    rng_bytes(out + 4, AEAD_NONCE);
    aead_seal(key.bytes, out + 4, context, context_len, in, len,
              out + 4 + AEAD_NONCE);
    mem_wipe(&key, sizeof key);
}

int keyring_unwrap(struct keyring *k, const void *context, size_t context_len,
                   const void *in, size_t len, void *out, struct err *err)
{
    const uint8_t *p = in;
    struct key key = {0};
    size_t at;
    int rc;

    if (len < KEYRING_OVERHEAD) {
        return err_set(err, ERR_MISMATCH,
                       "keyring: %zu bytes are no wrapped key", len);
    }
    pthread_mutex_lock(&k->mutex);
    at = find(k, load_u32(p));
    if (at < k->count) {
        key = k->keys[at];
    }
    pthread_mutex_unlock(&k->mutex);
    if (key.number == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "keyring: key %u is not there or was shredded",
                       load_u32(p));
    }
    rc = aead_open(key.bytes, p + 4, context, context_len, p + 4 + AEAD_NONCE,
                   len - 4 - AEAD_NONCE, out, err);
    mem_wipe(&key, sizeof key);
    return rc == 0 ? 0 : err_wrap(err, rc, "keyring: key %u", load_u32(p));
}
