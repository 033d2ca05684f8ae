#include "crypto/seal.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/wire.h"

#define VERSION 1

static const char info[] = "godwit seal 1 body";
/* ---- sizes ---- */

uint64_t seal_body_size(uint64_t size)
{
    return SEAL_SALT + chunks_sealed_size(size);
}

int seal_text_size(uint64_t body_size, uint64_t *out, struct err *err)
{
    if (body_size < SEAL_SALT) {
        return err_set(err, ERR_CORRUPT, "sealed text: cut in its salt");
    }
    return chunks_text_size(body_size - SEAL_SALT, out, err);
}

/* Wipes @key. */
static void body_key(struct seal_key *key, uint8_t flags,
                     const uint8_t salt[SEAL_SALT], struct chunk_key *out)
{
    uint8_t text[sizeof info], prk[PRIM_SHA256], okm[PRIM_KEY + CHUNK_PREFIX];

    memcpy(text, info, sizeof info - 1);
    text[sizeof info - 1] = flags;
    prim_hkdf_extract(salt, SEAL_SALT, key->key, sizeof key->key, prk);
    prim_hkdf_expand(prk, text, sizeof text, okm, sizeof okm);
    out->algorithm = key->algorithm;
    memcpy(out->key, okm, PRIM_KEY);
    memcpy(out->prefix, okm + PRIM_KEY, CHUNK_PREFIX);
    mem_wipe(prk, sizeof prk);
    mem_wipe(okm, sizeof okm);
    mem_wipe(key, sizeof *key);
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
    struct chunk_key chunks;

    rng_bytes(out, SEAL_SALT);
    body_key(key, flags, out, &chunks);
    chunks_seal(&chunks, in, len, out + SEAL_SALT);
    mem_wipe(&chunks, sizeof chunks);
}

struct seal_writer {
    struct chunk_writer *chunks;
    bool salt_owed;
    uint8_t salt[SEAL_SALT];
};

struct seal_writer *seal_writer_new(void)
{
    struct seal_writer *w = mem_alloc(sizeof *w);

    w->chunks = chunk_writer_new();
    return w;
}

void seal_writer_free(struct seal_writer *w)
{
    if (w == NULL) {
        return;
    }
    chunk_writer_free(w->chunks);
    free(w);
}

void seal_writer_init(struct seal_writer *w, struct seal_key *key,
                      uint8_t flags)
{
    struct chunk_key chunks;

    CHECK((flags & ~SEAL_FLAGS_KNOWN) == 0);
    rng_bytes(w->salt, sizeof w->salt);
    w->salt_owed = true;
    body_key(key, flags, w->salt, &chunks);
    chunk_writer_init(w->chunks, &chunks);
    mem_wipe(&chunks, sizeof chunks);
}

/* The salt goes out before the first chunk; gives its length. */
static size_t put_salt(struct seal_writer *w, uint8_t *out)
{
    if (!w->salt_owed) {
        return 0;
    }
    memcpy(out, w->salt, SEAL_SALT);
    w->salt_owed = false;
    return SEAL_SALT;
}

int seal_writer_update(struct seal_writer *w, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err)
{
    size_t salt = put_salt(w, out), made;
    int rc = chunk_writer_update(w->chunks, in, len, out + salt, &made, err);

    if (rc == 0) {
        *out_len = salt + made;
    }
    return rc;
}

void seal_writer_final(struct seal_writer *w, uint8_t *out, size_t *out_len)
{
    size_t salt = put_salt(w, out), made;

    chunk_writer_final(w->chunks, out + salt, &made);
    *out_len = salt + made;
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
    struct chunk_reader *chunks;
};

struct seal_reader *seal_reader_new(void)
{
    struct seal_reader *r = mem_alloc(sizeof *r);

    r->chunks = chunk_reader_new();
    return r;
}

void seal_reader_free(struct seal_reader *r)
{
    if (r == NULL) {
        return;
    }
    chunk_reader_free(r->chunks);
    free(r);
}

void seal_reader_init(struct seal_reader *r, struct seal_key *key,
                      uint8_t flags, const uint8_t salt[SEAL_SALT])
{
    struct chunk_key chunks;

    body_key(key, flags, salt, &chunks);
    chunk_reader_init(r->chunks, &chunks);
    mem_wipe(&chunks, sizeof chunks);
}

int seal_reader_range(struct seal_reader *r, uint64_t body_size,
                      uint64_t offset, uint64_t len, uint64_t *from,
                      uint64_t *to, struct err *err)
{
    int rc;

    if (body_size < SEAL_SALT) {
        return err_set(err, ERR_CORRUPT, "sealed text: cut in its salt");
    }
    rc = chunk_reader_range(r->chunks, body_size - SEAL_SALT, offset, len, from,
                            to, err);
    if (rc == 0) {
        *from += SEAL_SALT;
        *to += SEAL_SALT;
    }
    return rc;
}

int seal_reader_update(struct seal_reader *r, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err)
{
    return chunk_reader_update(r->chunks, in, len, out, out_len, err);
}

int seal_reader_final(struct seal_reader *r, uint8_t *out, size_t *out_len,
                      struct err *err)
{
    return chunk_reader_final(r->chunks, out, out_len, err);
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
    struct seal_reader *reader;
};

struct seal_opener *seal_opener_new(const struct seal_identity *identities,
                                    size_t count)
{
    struct seal_opener *o = mem_alloc(sizeof *o);

    o->identities = mem_dup(identities, count * sizeof *identities);
    o->count = count;
    o->reader = seal_reader_new();
    return o;
}

void seal_opener_free(struct seal_opener *o)
{
    if (o == NULL) {
        return;
    }
    seal_reader_free(o->reader);
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
    seal_reader_init(o->reader, &key, head.flags, o->head + head.size);
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
               ? seal_reader_update(o->reader, from, len, out, out_len, err)
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
    return seal_reader_final(o->reader, out, out_len, err);
}

uint8_t seal_opener_flags(const struct seal_opener *o)
{
    return o->flags;
}
