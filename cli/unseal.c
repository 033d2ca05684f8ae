#include "cli/unseal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cli/squeeze.h"
#include "crypto/age.h"
#include "crypto/seal.h"
#include "crypto/seal_name.h"

#define FILE_MAX ((size_t)64 << 10)
#define STEP ((size_t)128 << 10)
#define SNIFF 21 /* bytes that tell an age file */

enum kind { UNKNOWN, ENVELOPE, AGE };

struct unseal {
    int (*sink)(void *arg, const void *p, size_t len, struct err *err);
    void *arg;
    enum kind kind;
    struct seal_opener *opener;
    struct age_reader *age;
    struct squeeze *unpack; /* of an envelope that says so */
    size_t first_len;
    uint8_t first[SNIFF];
    uint8_t out[SEAL_OPEN_UPDATE_MAX(STEP)];
};

/* ---- identities ---- */

static int add_line(struct unseal_identities *all, const char *line,
                    struct err *err)
{
    struct seal_identity *grown;
    size_t size = sizeof *grown;
    int rc;

    if (*line == '\0' || *line == '#') {
        return 0;
    }
    if (all->count == UNSEAL_IDENTITIES_MAX) {
        return err_set(err, ERR_BAD_INPUT, "more than %d identities",
                       UNSEAL_IDENTITIES_MAX);
    }
    if (all->items == NULL) {
        all->items = mem_calloc(UNSEAL_IDENTITIES_MAX, size);
    }
    grown = &all->items[all->count];
    rc = seal_identity_parse(line, grown, err);
    all->count += rc == 0;
    return rc;
}

int unseal_read_identities(const char *path, struct unseal_identities *out,
                           struct err *err)
{
    struct unseal_identities all = {NULL, 0};
    struct buf text = {0};
    int rc = fs_read(path, FILE_MAX, &text, err);
    unsigned number = 0;

    if (rc != 0) {
        return err_wrap(err, rc, "identity file");
    }
    buf_char(&text, '\n');
    for (char *line = (char *)text.data, *end; rc == 0; line = end + 1) {
        end = strchr(line, '\n');
        if (end == NULL) {
            break;
        }
        number++;
        *end = '\0';
        if (end > line && end[-1] == '\r') {
            end[-1] = '\0';
        }
        rc = add_line(&all, line, err);
    }
    if (rc != 0) {
        err_wrap(err, rc, "%s:%u", path, number);
    } else if (all.count == 0) {
        rc = err_set(err, ERR_BAD_INPUT, "%s: no identity in it", path);
    }
    buf_wipe(&text);
    if (rc != 0) {
        unseal_identities_free(&all);
        return rc;
    }
    *out = all;
    return 0;
}

void unseal_identities_free(struct unseal_identities *i)
{
    if (i->items != NULL) {
        mem_wipe(i->items, UNSEAL_IDENTITIES_MAX * sizeof *i->items);
        free(i->items);
    }
    *i = (struct unseal_identities){NULL, 0};
}

int unseal_read_names(const char *path, struct seal_names *out, struct err *err)
{
    struct unseal_identities all;
    uint8_t key[SEAL_NAMES_KEY];
    int rc = unseal_read_identities(path, &all, err);

    if (rc != 0) {
        return rc;
    }
    seal_names_key(&all.items[0], key);
    seal_names_init(key, out);
    mem_wipe(key, sizeof key);
    unseal_identities_free(&all);
    return 0;
}

int unseal_name(const struct seal_names *n, const char *name, char **out,
                struct err *err)
{
    struct buf b = {0};
    int rc = seal_name(n, name, strlen(name), &b, err);

    if (rc == 0) {
        *out = mem_strndup(b.len > 0 ? (const char *)b.data : "", b.len);
    }
    buf_free(&b);
    return rc;
}

/* ---- opening ---- */

struct unseal *unseal_new(const struct unseal_identities *identities,
                          int (*sink)(void *arg, const void *p, size_t len,
                                      struct err *err),
                          void *arg)
{
    struct unseal *u = mem_alloc(sizeof *u);

    u->sink = sink;
    u->arg = arg;
    u->opener = seal_opener_new(identities->items, identities->count);
    u->age = age_reader_new(identities->items, identities->count);
    return u;
}

void unseal_free(struct unseal *u)
{
    if (u == NULL) {
        return;
    }
    seal_opener_free(u->opener);
    age_reader_free(u->age);
    squeeze_free(u->unpack);
    mem_wipe(u, sizeof *u);
    free(u);
}

static bool is_packed(const struct unseal *u)
{
    return u->kind == ENVELOPE &&
           (seal_opener_flags(u->opener) & SEAL_FLAG_ZSTD) != 0;
}

static int give(struct unseal *u, size_t len, struct err *err)
{
    if (len == 0) {
        return 0;
    }
    if (!is_packed(u)) {
        return u->sink(u->arg, u->out, len, err);
    }
    if (u->unpack == NULL) {
        u->unpack = squeeze_new(true, u->sink, u->arg);
    }
    return squeeze_update(u->unpack, u->out, len, err);
}

static int open_bytes(struct unseal *u, const uint8_t *p, size_t len,
                      struct err *err)
{
    int rc = 0;

    while (len > 0 && rc == 0) {
        size_t n = len < STEP ? len : STEP;
        size_t made = 0;
        rc = u->kind == ENVELOPE
                 ? seal_opener_update(u->opener, p, n, u->out, &made, err)
                 : age_reader_update(u->age, p, n, u->out, &made, err);
        if (rc == 0) {
            rc = give(u, made, err);
        }
        p += n;
        len -= n;
    }
    return rc;
}

int unseal_update(struct unseal *u, const void *p, size_t len, struct err *err)
{
    const uint8_t *at = p;

    if (u->kind == UNKNOWN) {
        size_t n = SNIFF - u->first_len;
        n = n < len ? n : len;
        memcpy(u->first + u->first_len, at, n);
        u->first_len += n;
        at += n;
        len -= n;
        if (u->first_len < SNIFF) {
            return 0;
        }
        u->kind = seal_is_envelope(u->first, SNIFF) ? ENVELOPE
                  : age_is_file(u->first, SNIFF)    ? AGE
                                                    : UNKNOWN;
        if (u->kind != UNKNOWN) {
            int rc = open_bytes(u, u->first, SNIFF, err);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return u->kind == UNKNOWN ? err_set(err, ERR_BAD_INPUT,
                                        "not sealed: neither an envelope "
                                        "nor an age file")
                              : open_bytes(u, at, len, err);
}

int unseal_final(struct unseal *u, struct err *err)
{
    size_t made = 0;
    int rc;

    if (u->kind == UNKNOWN) {
        return err_set(err, ERR_BAD_INPUT,
                       "not sealed: neither an envelope "
                       "nor an age file");
    }
    rc = u->kind == ENVELOPE ? seal_opener_final(u->opener, u->out, &made, err)
                             : age_reader_final(u->age, u->out, &made, err);
    if (rc == 0) {
        rc = give(u, made, err);
    }
    if (rc == 0 && is_packed(u)) {
        rc = u->unpack != NULL ? squeeze_final(u->unpack, err)
                               : err_set(err, ERR_CORRUPT, "zstd: cut");
    }
    return rc;
}
