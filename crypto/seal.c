#include "crypto/seal.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/wire.h"

#define VERSION 1
#define PREFIX 7

static const char info[] = "godwit seal 1 body";
static const uint8_t zero_key[PRIM_KEY];

_Static_assert(PREFIX + 4 + 1 == PRIM_NONCE, "parts of the nonce");

/* ---- sizes ---- */

static uint64_t chunks_of(uint64_t size, uint64_t unit)
{
    return size == 0 ? 1 : (size - 1) / unit + 1;
}

uint64_t seal_body_size(uint64_t size)
{
    return SEAL_SALT + size + chunks_of(size, SEAL_CHUNK) * PRIM_TAG;
}

int seal_text_size(uint64_t body_size, uint64_t *out, struct err *err)
{
    uint64_t sealed, chunks;

    if (body_size < SEAL_SALT + PRIM_TAG) {
        return err_set(err, ERR_CORRUPT, "sealed body: %llu bytes are too few",
                       (unsigned long long)body_size);
    }
    sealed = body_size - SEAL_SALT;
    chunks = chunks_of(sealed, SEAL_CHUNK_SEALED);
    if (chunks > SEAL_CHUNKS_MAX ||
        seal_body_size(sealed - chunks * PRIM_TAG) != body_size) {
        return err_set(err, ERR_CORRUPT,
                       "sealed body: %llu is no possible length",
                       (unsigned long long)body_size);
    }
    *out = sealed - chunks * PRIM_TAG;
    return 0;
}

/* ---- chunks, in both directions ---- */

struct chunks {
    struct prim_aead *aead;
    enum prim_algorithm algorithm;
    bool keyed;
    uint8_t prefix[PREFIX];
    uint32_t next;
};

/* Wipes @key. */
static void chunks_init(struct chunks *c, struct seal_key *key, uint8_t flags,
                        const uint8_t salt[SEAL_SALT])
{
    uint8_t text[sizeof info], prk[PRIM_SHA256], okm[PRIM_KEY + PREFIX];

    memcpy(text, info, sizeof info - 1);
    text[sizeof info - 1] = flags;
    prim_hkdf_extract(salt, SEAL_SALT, key->key, sizeof key->key, prk);
    prim_hkdf_expand(prk, text, sizeof text, okm, sizeof okm);
    if (c->aead != NULL && c->algorithm == key->algorithm) {
        prim_aead_set_key(c->aead, okm);
    } else {
        prim_aead_free(c->aead);
        c->aead = prim_aead_new(key->algorithm, okm);
        c->algorithm = key->algorithm;
    }
    memcpy(c->prefix, okm + PRIM_KEY, PREFIX);
    c->keyed = true;
    c->next = 0;
    mem_wipe(prk, sizeof prk);
    mem_wipe(okm, sizeof okm);
    mem_wipe(key, sizeof *key);
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
    CHECK(c->next < SEAL_CHUNKS_MAX);
    memcpy(out, c->prefix, PREFIX);
    out[PREFIX] = (uint8_t)(c->next >> 24);
    out[PREFIX + 1] = (uint8_t)(c->next >> 16);
    out[PREFIX + 2] = (uint8_t)(c->next >> 8);
    out[PREFIX + 3] = (uint8_t)c->next;
    out[PREFIX + 4] = last ? 1 : 0;
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

size_t seal_head_write(uint8_t flags, uint32_t link, const void *header,
                       size_t header_len, uint8_t *out)
{
    CHECK((flags & ~SEAL_FLAGS_KNOWN) == 0);
    CHECK(header_len <= SEAL_HEADER_MAX);
    memcpy(out, "GWSE", 4);
    out[4] = VERSION;
    out[5] = flags;
    store_u16(out + 6, (uint16_t)header_len);
    store_u32(out + 8, link);
    memcpy(out + SEAL_HEAD, header, header_len);
    return SEAL_HEAD + header_len;
}

void seal_body(struct seal_key *key, uint8_t flags, const void *in, size_t len,
               uint8_t *out)
{
    const uint8_t *from = in;
    struct chunks c = {.aead = NULL};
    bool last;

    rng_bytes(out, SEAL_SALT);
    chunks_init(&c, key, flags, out);
    out += SEAL_SALT;
    do {
        size_t n = len <= SEAL_CHUNK ? len : SEAL_CHUNK;
        last = n == len;
        chunk_seal(&c, last, from, n, out);
        out += n + PRIM_TAG;
        from = n > 0 ? from + n : from;
        len -= n;
    } while (!last);
    prim_aead_free(c.aead);
}

struct seal_writer {
    struct chunks chunks;
    bool salt_owed;
    uint8_t salt[SEAL_SALT];
    size_t held_len; /* plain bytes that may be the last chunk */
    uint8_t held[SEAL_CHUNK];
};

struct seal_writer *seal_writer_new(void)
{
    return mem_alloc(sizeof(struct seal_writer));
}

void seal_writer_free(struct seal_writer *w)
{
    if (w == NULL) {
        return;
    }
    prim_aead_free(w->chunks.aead);
    mem_wipe(w, sizeof *w);
    free(w);
}

void seal_writer_init(struct seal_writer *w, struct seal_key *key,
                      uint8_t flags)
{
    CHECK((flags & ~SEAL_FLAGS_KNOWN) == 0);
    rng_bytes(w->salt, sizeof w->salt);
    chunks_init(&w->chunks, key, flags, w->salt);
    w->salt_owed = true;
    mem_wipe(w->held, w->held_len);
    w->held_len = 0;
}

static uint8_t *put_salt(struct seal_writer *w, uint8_t *out)
{
    if (w->salt_owed) {
        memcpy(out, w->salt, SEAL_SALT);
        out += SEAL_SALT;
        w->salt_owed = false;
    }
    return out;
}

int seal_writer_update(struct seal_writer *w, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err)
{
    const uint8_t *from = in;
    uint8_t *to = out;

    CHECK(w->chunks.keyed);
    if (len / SEAL_CHUNK + 1 >= SEAL_CHUNKS_MAX - w->chunks.next) {
        return err_set(err, ERR_LIMIT, "sealing: over %u chunks",
                       SEAL_CHUNKS_MAX);
    }
    to = put_salt(w, to);
    while (len > 0) {
        size_t n = SEAL_CHUNK - w->held_len;
        if (n == 0) {
            chunk_seal(&w->chunks, false, w->held, SEAL_CHUNK, to);
            to += SEAL_CHUNK_SEALED;
            w->held_len = 0;
        } else if (n == SEAL_CHUNK && len > SEAL_CHUNK) {
            chunk_seal(&w->chunks, false, from, SEAL_CHUNK, to);
            to += SEAL_CHUNK_SEALED;
            from += SEAL_CHUNK;
            len -= SEAL_CHUNK;
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

void seal_writer_final(struct seal_writer *w, uint8_t *out, size_t *out_len)
{
    uint8_t *to = put_salt(w, out);

    chunk_seal(&w->chunks, true, w->held, w->held_len, to);
    *out_len = (size_t)(to - out) + w->held_len + PRIM_TAG;
    chunks_forget(&w->chunks);
    mem_wipe(w->held, w->held_len);
    w->held_len = 0;
}

/* ---- opening ---- */

bool seal_is_envelope(const void *p, size_t len)
{
    return len >= 4 && memcmp(p, "GWSE", 4) == 0;
}

/* The fixed part alone: *@header_len is bounded. */
static int head_check(const uint8_t *p, size_t len, size_t *header_len,
                      struct err *err)
{
    if (len < SEAL_HEAD || !seal_is_envelope(p, len)) {
        return err_set(err, ERR_CORRUPT, "envelope: not one");
    }
    if (p[4] != VERSION) {
        return err_set(err, ERR_VERSION, "envelope: version %u", p[4]);
    }
    if ((p[5] & ~SEAL_FLAGS_KNOWN) != 0) {
        return err_set(err, ERR_UNSUPPORTED, "envelope: flags %#x", p[5]);
    }
    *header_len = load_u16(p + 6);
    if (*header_len < SEAL_HEADER(1) || *header_len > SEAL_HEADER_MAX) {
        return err_set(err, ERR_CORRUPT, "envelope: header of %zu bytes",
                       *header_len);
    }
    return 0;
}

int seal_head_parse(const void *p, size_t len, struct seal_head *out,
                    struct err *err)
{
    const uint8_t *bytes = p;
    size_t header_len;
    int rc = head_check(bytes, len, &header_len, err);

    if (rc != 0) {
        return rc;
    }
    if (len - SEAL_HEAD < header_len) {
        return err_set(err, ERR_CORRUPT, "envelope: cut in its header");
    }
    out->flags = bytes[5];
    out->link = load_u32(bytes + 8);
    out->header = bytes + SEAL_HEAD;
    out->header_len = header_len;
    out->size = SEAL_HEAD + header_len;
    return 0;
}

struct seal_reader {
    struct chunks chunks;
    bool failed;
    bool ranged;
    uint32_t total; /* chunks of the body; ranged only */
    uint32_t end;   /* first chunk that is not asked for; ranged only */
    size_t skip;    /* of the next chunk's text */
    uint64_t take;  /* bytes still to give */
    size_t held_len;
    uint8_t held[SEAL_CHUNK_SEALED]; /* may be the last chunk */
};

struct seal_reader *seal_reader_new(void)
{
    return mem_alloc(sizeof(struct seal_reader));
}

void seal_reader_free(struct seal_reader *r)
{
    if (r == NULL) {
        return;
    }
    prim_aead_free(r->chunks.aead);
    mem_wipe(r, sizeof *r);
    free(r);
}

void seal_reader_init(struct seal_reader *r, struct seal_key *key,
                      uint8_t flags, const uint8_t salt[SEAL_SALT])
{
    chunks_init(&r->chunks, key, flags, salt);
    r->failed = false;
    r->ranged = false;
    r->skip = 0;
    r->take = UINT64_MAX;
    r->held_len = 0;
}

int seal_reader_range(struct seal_reader *r, uint64_t body_size,
                      uint64_t offset, uint64_t len, uint64_t *from,
                      uint64_t *to, struct err *err)
{
    uint64_t size, end;
    int rc = seal_text_size(body_size, &size, err);

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
    r->total = (uint32_t)chunks_of(size, SEAL_CHUNK);
    r->chunks.next = (uint32_t)(offset / SEAL_CHUNK);
    r->end = (uint32_t)((offset + len - 1) / SEAL_CHUNK + 1);
    r->skip = offset % SEAL_CHUNK;
    r->take = len;
    *from = SEAL_SALT + r->chunks.next * (uint64_t)SEAL_CHUNK_SEALED;
    end = SEAL_SALT + r->end * (uint64_t)SEAL_CHUNK_SEALED;
    *to = end < body_size ? end : body_size;
    return 0;
}

static int fail(struct seal_reader *r, struct err *err, const char *why)
{
    r->failed = true;
    return err_set(err, ERR_MISMATCH, "sealed body: %s", why);
}

/* Open one chunk to *@to and move it on by what is wanted of the text. */
static int reader_chunk(struct seal_reader *r, bool final, const uint8_t *in,
                        size_t len, uint8_t **to, struct err *err)
{
    bool last = r->ranged ? r->chunks.next == r->total - 1 : final;
    size_t text = len - PRIM_TAG;
    int rc;

    if (r->chunks.next >= (r->ranged ? r->end : SEAL_CHUNKS_MAX - 1)) {
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
        return err_wrap(err, rc, "sealed body");
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

int seal_reader_update(struct seal_reader *r, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err)
{
    const uint8_t *from = in;
    uint8_t *to = out;
    int rc = 0;

    if (r->failed || !r->chunks.keyed) {
        return err_set(err, ERR_MISMATCH, "sealed body: failed before");
    }
    while (len > 0 && rc == 0) {
        size_t n = SEAL_CHUNK_SEALED - r->held_len;
        if (n == 0) {
            rc = reader_chunk(r, false, r->held, SEAL_CHUNK_SEALED, &to, err);
            r->held_len = 0;
        } else if (n == SEAL_CHUNK_SEALED && len > SEAL_CHUNK_SEALED) {
            rc = reader_chunk(r, false, from, SEAL_CHUNK_SEALED, &to, err);
            from += SEAL_CHUNK_SEALED;
            len -= SEAL_CHUNK_SEALED;
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

int seal_reader_final(struct seal_reader *r, uint8_t *out, size_t *out_len,
                      struct err *err)
{
    uint8_t *to = out;
    int rc;

    if (r->failed || !r->chunks.keyed) {
        return err_set(err, ERR_MISMATCH, "sealed body: failed before");
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

/* ---- a whole envelope ---- */

struct seal_opener {
    struct seal_identity *identities;
    size_t count;
    uint8_t flags;
    bool started; /* the reader has its key */
    bool failed;
    size_t head_len;
    uint8_t head[SEAL_OPENING_MAX];
    struct seal_reader reader;
};

struct seal_opener *seal_opener_new(const struct seal_identity *identities,
                                    size_t count)
{
    struct seal_opener *o = mem_alloc(sizeof *o);

    o->identities = mem_dup(identities, count * sizeof *identities);
    o->count = count;
    return o;
}

void seal_opener_free(struct seal_opener *o)
{
    if (o == NULL) {
        return;
    }
    prim_aead_free(o->reader.chunks.aead);
    mem_wipe(o->identities, o->count * sizeof *o->identities);
    free(o->identities);
    mem_wipe(o, sizeof *o);
    free(o);
}

static int open_any(const struct seal_opener *o, const struct seal_head *head,
                    struct seal_root *root, struct err *err)
{
    struct err why = {"no identity to open with"};
    int rc = ERR_DENIED;

    for (size_t i = 0; i < o->count && rc == ERR_DENIED; i++) {
        rc = seal_open_root(&o->identities[i], head->header, head->header_len,
                            root, &why);
    }
    return rc == 0 ? 0 : err_set(err, rc, "%s", why.text);
}

/* Head, header and salt are there. */
static int opener_start(struct seal_opener *o, struct err *err)
{
    struct seal_head head;
    struct seal_root root;
    struct seal_key key;
    int rc = seal_head_parse(o->head, o->head_len, &head, err);

    if (rc == 0) {
        rc = open_any(o, &head, &root, err);
    }
    if (rc != 0) {
        return rc;
    }
    rc = seal_root_key(&root, head.link, &key, err);
    mem_wipe(&root, sizeof root);
    if (rc != 0) {
        return rc;
    }
    seal_reader_init(&o->reader, &key, head.flags, o->head + head.size);
    o->flags = head.flags;
    o->started = true;
    return 0;
}

/* Bytes that the head still lacks; 0 when it is whole. */
static int head_lacks(const struct seal_opener *o, size_t *out, struct err *err)
{
    size_t header_len = 0, need = SEAL_HEAD;
    int rc = 0;

    if (o->head_len >= SEAL_HEAD) {
        rc = head_check(o->head, o->head_len, &header_len, err);
        need = SEAL_HEAD + header_len + SEAL_SALT;
    }
    *out = need - o->head_len;
    return rc;
}

int seal_opener_update(struct seal_opener *o, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err)
{
    const uint8_t *from = in;
    int rc = 0;

    if (o->failed) {
        return err_set(err, ERR_MISMATCH, "envelope: failed before");
    }
    while (!o->started && len > 0 && rc == 0) {
        size_t lacks, n;
        rc = head_lacks(o, &lacks, err);
        n = lacks < len ? lacks : len;
        if (rc == 0) {
            memcpy(o->head + o->head_len, from, n);
            o->head_len += n;
            from += n;
            len -= n;
            rc = head_lacks(o, &lacks, err);
        }
        if (rc == 0 && lacks == 0) {
            rc = opener_start(o, err);
        }
    }
    if (rc != 0) {
        o->failed = true;
        return rc;
    }
    *out_len = 0;
    return o->started
               ? seal_reader_update(&o->reader, from, len, out, out_len, err)
               : 0;
}

int seal_opener_final(struct seal_opener *o, uint8_t *out, size_t *out_len,
                      struct err *err)
{
    if (o->failed) {
        return err_set(err, ERR_MISMATCH, "envelope: failed before");
    }
    if (!o->started) {
        o->failed = true;
        return err_set(err, ERR_CORRUPT, "envelope: cut in its header");
    }
    return seal_reader_final(&o->reader, out, out_len, err);
}

uint8_t seal_opener_flags(const struct seal_opener *o)
{
    return o->flags;
}
