#include "crypto/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

static const uint8_t zero_key[PRIM_KEY];

_Static_assert(CHUNK_PREFIX + 4 + 1 == PRIM_NONCE, "parts of the nonce");

/* ---- sizes ---- */

static uint64_t parts_of(uint64_t size, uint64_t unit)
{
    return size == 0 ? 1 : (size - 1) / unit + 1;
}

uint64_t chunks_count(uint64_t size)
{
    return parts_of(size, CHUNK);
}

uint64_t chunks_sealed_size(uint64_t size)
{
    return size + chunks_count(size) * PRIM_TAG;
}

int chunks_text_size(uint64_t sealed_size, uint64_t *out, struct err *err)
{
    uint64_t chunks = parts_of(sealed_size, CHUNK_SEALED);

    if (sealed_size < PRIM_TAG || chunks > CHUNKS_MAX ||
        chunks_sealed_size(sealed_size - chunks * PRIM_TAG) != sealed_size) {
        return err_set(err, ERR_CORRUPT,
                       "sealed text: %llu is no possible length",
                       (unsigned long long)sealed_size);
    }
    *out = sealed_size - chunks * PRIM_TAG;
    return 0;
}

/* ---- the key at work ---- */

struct chunks {
    struct prim_aead *aead;
    enum prim_algorithm algorithm;
    bool keyed;
    uint8_t prefix[CHUNK_PREFIX];
    uint32_t next;
};

static void chunks_init(struct chunks *c, const struct chunk_key *key)
{
    if (c->aead != NULL && c->algorithm == key->algorithm) {
        prim_aead_set_key(c->aead, key->key);
    } else {
        prim_aead_free(c->aead);
        c->aead = prim_aead_new(key->algorithm, key->key);
        c->algorithm = key->algorithm;
    }
    memcpy(c->prefix, key->prefix, sizeof c->prefix);
    c->keyed = true;
    c->next = 0;
}

static void chunks_forget(struct chunks *c)
{
    if (c->keyed) {
        prim_aead_set_key(c->aead, zero_key);
        mem_wipe(c->prefix, sizeof c->prefix);
        c->keyed = false;
    }
}

static void next_nonce(struct chunks *c, bool last, uint8_t out[PRIM_NONCE])
{
    CHECK(c->keyed);
    CHECK(c->next < CHUNKS_MAX);
    memcpy(out, c->prefix, CHUNK_PREFIX);
    out[CHUNK_PREFIX] = (uint8_t)(c->next >> 24);
    out[CHUNK_PREFIX + 1] = (uint8_t)(c->next >> 16);
    out[CHUNK_PREFIX + 2] = (uint8_t)(c->next >> 8);
    out[CHUNK_PREFIX + 3] = (uint8_t)c->next;
    out[CHUNK_PREFIX + 4] = last ? 1 : 0;
    c->next++;
}

static void chunk_seal(struct chunks *c, bool last, const uint8_t *in,
                       size_t len, uint8_t *out)
{
    uint8_t nonce[PRIM_NONCE];

    next_nonce(c, last, nonce);
    prim_aead_seal(c->aead, nonce, NULL, 0, in, len, out);
}

static int chunk_open(struct chunks *c, bool last, const uint8_t *in,
                      size_t len, uint8_t *out, struct err *err)
{
    uint8_t nonce[PRIM_NONCE];
    uint32_t number = c->next;
    int rc;

    next_nonce(c, last, nonce);
    rc = prim_aead_open(c->aead, nonce, NULL, 0, in, len, out, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "chunk %u", number);
}

/* ---- sealing ---- */

void chunks_seal(const struct chunk_key *key, const void *in, size_t len,
                 uint8_t *out)
{
    struct chunks c = {.aead = NULL};
    const uint8_t *from = in;
    bool last;

    chunks_init(&c, key);
    do {
        size_t n = len <= CHUNK ? len : CHUNK;
        last = n == len;
        chunk_seal(&c, last, from, n, out);
        out += n + PRIM_TAG;
        from = n > 0 ? from + n : from;
        len -= n;
    } while (!last);
    prim_aead_free(c.aead);
}

struct chunk_writer {
    struct chunks chunks;
    size_t held_len; /* plain bytes that may be the last chunk */
    uint8_t held[CHUNK];
};

struct chunk_writer *chunk_writer_new(void)
{
    return mem_alloc(sizeof(struct chunk_writer));
}

void chunk_writer_free(struct chunk_writer *w)
{
    if (w == NULL) {
        return;
    }
    prim_aead_free(w->chunks.aead);
    mem_wipe(w, sizeof *w);
    free(w);
}

void chunk_writer_init(struct chunk_writer *w, const struct chunk_key *key)
{
    chunks_init(&w->chunks, key);
    mem_wipe(w->held, w->held_len);
    w->held_len = 0;
}

int chunk_writer_update(struct chunk_writer *w, const void *in, size_t len,
                        uint8_t *out, size_t *out_len, struct err *err)
{
    const uint8_t *from = in;
    uint8_t *to = out;

    CHECK(w->chunks.keyed);
    if (len / CHUNK + 1 >= CHUNKS_MAX - w->chunks.next) {
        return err_set(err, ERR_LIMIT, "sealing: over %u chunks", CHUNKS_MAX);
    }
    while (len > 0) {
        size_t n = CHUNK - w->held_len;
        if (n == 0) {
            chunk_seal(&w->chunks, false, w->held, CHUNK, to);
            to += CHUNK_SEALED;
            w->held_len = 0;
        } else if (n == CHUNK && len > CHUNK) {
            chunk_seal(&w->chunks, false, from, CHUNK, to);
            to += CHUNK_SEALED;
            from += CHUNK;
            len -= CHUNK;
        } else {
            n = n < len ? n : len;
            memcpy(w->held + w->held_len, from, n);
            w->held_len += n;
            from += n;
            len -= n;
        }
    }
    *out_len = (size_t)(to - out);
    return 0;
}

void chunk_writer_final(struct chunk_writer *w, uint8_t *out, size_t *out_len)
{
    chunk_seal(&w->chunks, true, w->held, w->held_len, out);
    *out_len = w->held_len + PRIM_TAG;
    chunks_forget(&w->chunks);
    mem_wipe(w->held, w->held_len);
    w->held_len = 0;
}

/* ---- opening ---- */

struct chunk_reader {
    struct chunks chunks;
    bool failed;
    bool ranged;
    uint32_t total; /* chunks of the body; ranged only */
    uint32_t end;   /* first chunk that is not asked for; ranged only */
    size_t skip;    /* of the next chunk's text */
    uint64_t take;  /* bytes still to give */
    size_t held_len;
    uint8_t held[CHUNK_SEALED]; /* may be the last chunk */
};

struct chunk_reader *chunk_reader_new(void)
{
    return mem_alloc(sizeof(struct chunk_reader));
}

void chunk_reader_free(struct chunk_reader *r)
{
    if (r == NULL) {
        return;
    }
    prim_aead_free(r->chunks.aead);
    mem_wipe(r, sizeof *r);
    free(r);
}

void chunk_reader_init(struct chunk_reader *r, const struct chunk_key *key)
{
    chunks_init(&r->chunks, key);
    r->failed = false;
    r->ranged = false;
    r->skip = 0;
    r->take = UINT64_MAX;
    r->held_len = 0;
}

int chunk_reader_range(struct chunk_reader *r, uint64_t sealed_size,
                       uint64_t offset, uint64_t len, uint64_t *from,
                       uint64_t *to, struct err *err)
{
    uint64_t size, end;
    int rc = chunks_text_size(sealed_size, &size, err);

    CHECK(r->chunks.keyed && r->chunks.next == 0 && r->held_len == 0);
    CHECK(len > 0);
    if (rc != 0) {
        return rc;
    }
    if (offset >= size || len > size - offset) {
        return err_set(err, ERR_RANGE, "the sealed text has %llu bytes",
                       (unsigned long long)size);
    }
    r->ranged = true;
    r->total = (uint32_t)chunks_count(size);
    r->chunks.next = (uint32_t)(offset / CHUNK);
    r->end = (uint32_t)((offset + len - 1) / CHUNK + 1);
    r->skip = offset % CHUNK;
    r->take = len;
    *from = r->chunks.next * (uint64_t)CHUNK_SEALED;
    end = r->end * (uint64_t)CHUNK_SEALED;
    *to = end < sealed_size ? end : sealed_size;
    return 0;
}

static int fail(struct chunk_reader *r, struct err *err, const char *why)
{
    r->failed = true;
    return err_set(err, ERR_MISMATCH, "sealed text: %s", why);
}

/* Open one chunk to *@to and move it on by what is wanted of the text. */
static int reader_chunk(struct chunk_reader *r, bool final, const uint8_t *in,
                        size_t len, uint8_t **to, struct err *err)
{
    bool last = r->ranged ? r->chunks.next == r->total - 1 : final;
    size_t text = len - PRIM_TAG;
    int rc;

    if (r->chunks.next >= (r->ranged ? r->end : CHUNKS_MAX - 1)) {
        return fail(r, err, "more than was sealed");
    }
    if (len < PRIM_TAG) {
        return fail(r, err, "cut short");
    }
    if (text == 0 && r->chunks.next > 0) {
        return fail(r, err, "an empty chunk at the end");
    }
    rc = chunk_open(&r->chunks, last, in, len, *to, err);
    if (rc != 0) {
        r->failed = true;
        return err_wrap(err, rc, "sealed text");
    }
    if (r->skip > 0) {
        size_t skip = r->skip < text ? r->skip : text;
        memmove(*to, *to + skip, text - skip);
        text -= skip;
        r->skip = 0;
    }
    text = text < r->take ? text : (size_t)r->take;
    r->take -= text;
    *to += text;
    return 0;
}

int chunk_reader_update(struct chunk_reader *r, const void *in, size_t len,
                        uint8_t *out, size_t *out_len, struct err *err)
{
    const uint8_t *from = in;
    uint8_t *to = out;
    int rc = 0;

    if (r->failed || !r->chunks.keyed) {
        return err_set(err, ERR_MISMATCH, "sealed text: failed before");
    }
    while (len > 0 && rc == 0) {
        size_t n = CHUNK_SEALED - r->held_len;
        if (n == 0) {
            rc = reader_chunk(r, false, r->held, CHUNK_SEALED, &to, err);
            r->held_len = 0;
        } else if (n == CHUNK_SEALED && len > CHUNK_SEALED) {
            rc = reader_chunk(r, false, from, CHUNK_SEALED, &to, err);
            from += CHUNK_SEALED;
            len -= CHUNK_SEALED;
        } else {
            n = n < len ? n : len;
            memcpy(r->held + r->held_len, from, n);
            r->held_len += n;
            from += n;
            len -= n;
        }
    }
    if (rc == 0) {
        *out_len = (size_t)(to - out);
    }
    return rc;
}

int chunk_reader_final(struct chunk_reader *r, uint8_t *out, size_t *out_len,
                       struct err *err)
{
    uint8_t *to = out;
    int rc;

    if (r->failed || !r->chunks.keyed) {
        return err_set(err, ERR_MISMATCH, "sealed text: failed before");
    }
    rc = reader_chunk(r, true, r->held, r->held_len, &to, err);
    chunks_forget(&r->chunks);
    if (rc != 0) {
        return rc;
    }
    if (r->ranged && (r->take > 0 || r->chunks.next != r->end)) {
        mem_wipe(out, (size_t)(to - out));
        return fail(r, err, "cut short");
    }
    *out_len = (size_t)(to - out);
    return 0;
}
