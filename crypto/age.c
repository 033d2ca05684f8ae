#include "crypto/age.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"

#define FILE_KEY 16
#define SHARE PRIM_X25519
#define WRAPPED (FILE_KEY + PRIM_TAG)
#define B64_32 43 /* characters of 32 bytes without padding */
#define COLUMNS 64

static const char version_line[] = "age-encryption.org/v1\n";
static const char any_version[] = "age-encryption.org/v";
static const char x25519_info[] = "age-encryption.org/v1/X25519";
static const uint8_t zero_nonce[PRIM_NONCE];

_Static_assert(WRAPPED == 32 && PRIM_SHA256 == 32, "both are B64_32 long");

bool age_is_file(const void *p, size_t len)
{
    size_t n = sizeof any_version - 1;

    return len >= n && memcmp(p, any_version, n) == 0;
}

uint64_t age_file_size(size_t recipients, uint64_t size)
{
    return AGE_OPENING(recipients) + chunks_sealed_size(size);
}

/* ---- keys ---- */

/* The key that wraps the file key for one recipient. */
static void wrap_key(const uint8_t shared[PRIM_X25519],
                     const uint8_t share[SHARE],
                     const uint8_t recipient[PRIM_X25519],
                     uint8_t out[PRIM_KEY])
{
    uint8_t salt[SHARE + PRIM_X25519];

    memcpy(salt, share, SHARE);
    memcpy(salt + SHARE, recipient, PRIM_X25519);
    prim_hkdf_extract(salt, sizeof salt, shared, PRIM_X25519, out);
    prim_hkdf_expand(out, x25519_info, sizeof x25519_info - 1, out, PRIM_KEY);
}

static void header_mac(const uint8_t file_key[FILE_KEY], const void *header,
                       size_t len, uint8_t out[PRIM_SHA256])
{
    prim_hkdf_extract(NULL, 0, file_key, FILE_KEY, out);
    prim_hkdf_expand(out, "header", 6, out, PRIM_SHA256);
    prim_hmac(out, PRIM_SHA256, header, len, out);
}

static void payload_key(const uint8_t file_key[FILE_KEY],
                        const uint8_t nonce[AGE_NONCE], struct chunk_key *out)
{
    out->algorithm = PRIM_CHACHA20_POLY1305;
    prim_hkdf_extract(nonce, AGE_NONCE, file_key, FILE_KEY, out->key);
    prim_hkdf_expand(out->key, "payload", 7, out->key, PRIM_KEY);
    memset(out->prefix, 0, sizeof out->prefix);
}

/* Base64 without padding of 32 bytes. */
static void put_b64(struct buf *out, const uint8_t p[32])
{
    char text[TEXT_BASE64_MAX(32)];

    buf_append(out, text_base64(p, 32, text), B64_32);
}

/* The reverse; the one way to write them. */
static bool get_b64(const char *s, size_t len, uint8_t out[32])
{
    char text[B64_32 + 1], again[TEXT_BASE64_MAX(32)];
    uint8_t bytes[36];
    size_t n;

    if (len != B64_32) {
        return false;
    }
    memcpy(text, s, B64_32);
    text[B64_32] = '=';
    if (!text_unbase64(text, sizeof text, bytes, &n) || n != 32 ||
        memcmp(text_base64(bytes, 32, again), text, B64_32) != 0) {
        return false;
    }
    memcpy(out, bytes, 32);
    return true;
}

/* ---- writing ---- */

struct age_writer {
    struct chunk_writer *chunks;
    struct buf opening; /* owed until the first bytes go out */
};

static int put_stanza(const struct seal_recipient *r,
                      const uint8_t file_key[FILE_KEY], struct buf *out,
                      struct err *err)
{
    uint8_t ephemeral[PRIM_X25519], share[SHARE], key[PRIM_KEY];
    uint8_t wrapped[WRAPPED];
    int rc;

    prim_x25519_keygen(ephemeral, share);
    rc = prim_x25519_shared(ephemeral, r->public_key, key, err);
    if (rc == 0) {
        wrap_key(key, share, r->public_key, key);
        prim_seal(PRIM_CHACHA20_POLY1305, key, zero_nonce, NULL, 0, file_key,
                  FILE_KEY, wrapped);
        buf_str(out, "-> X25519 ");
        put_b64(out, share);
        buf_char(out, '\n');
        put_b64(out, wrapped);
        buf_char(out, '\n');
    }
    mem_wipe(ephemeral, sizeof ephemeral);
    mem_wipe(key, sizeof key);
    return rc;
}

static int put_header(const struct seal_recipient *recipients, size_t count,
                      const uint8_t file_key[FILE_KEY], struct buf *out,
                      struct err *err)
{
    uint8_t mac[PRIM_SHA256];

    buf_str(out, version_line);
    for (size_t i = 0; i < count; i++) {
        int rc = put_stanza(&recipients[i], file_key, out, err);
        if (rc != 0) {
            return err_wrap(err, rc, "recipient %zu", i + 1);
        }
    }
    buf_str(out, "---");
    header_mac(file_key, out->data, out->len, mac);
    buf_char(out, ' ');
    put_b64(out, mac);
    buf_char(out, '\n');
    return 0;
}

int age_writer_new(const struct seal_recipient *recipients, size_t count,
                   struct age_writer **out, struct err *err)
{
    uint8_t file_key[FILE_KEY], nonce[AGE_NONCE];
    struct buf opening = {0};
    struct chunk_key key;
    struct age_writer *w;
    int rc;

    if (count < 1 || count > AGE_RECIPIENTS_MAX) {
        return err_set(err, ERR_BAD_INPUT, "%zu recipients: from 1 to %d",
                       count, AGE_RECIPIENTS_MAX);
    }
    rng_bytes(file_key, sizeof file_key);
    rng_bytes(nonce, sizeof nonce);
    rc = put_header(recipients, count, file_key, &opening, err);
    if (rc != 0) {
        buf_free(&opening);
        mem_wipe(file_key, sizeof file_key);
        return rc;
    }
    buf_append(&opening, nonce, sizeof nonce);
    CHECK(opening.len == AGE_OPENING(count));
    w = mem_alloc(sizeof *w);
    w->opening = opening;
    w->chunks = chunk_writer_new();
    payload_key(file_key, nonce, &key);
    chunk_writer_init(w->chunks, &key);
    mem_wipe(&key, sizeof key);
    mem_wipe(file_key, sizeof file_key);
    *out = w;
    return 0;
}

void age_writer_free(struct age_writer *w)
{
    if (w == NULL) {
        return;
    }
    chunk_writer_free(w->chunks);
    buf_free(&w->opening);
    free(w);
}

static size_t put_opening(struct age_writer *w, uint8_t *out)
{
    size_t len = w->opening.len;

    if (len > 0) {
        memcpy(out, w->opening.data, len);
        buf_free(&w->opening);
    }
    return len;
}

int age_writer_update(struct age_writer *w, const void *in, size_t len,
                      uint8_t *out, size_t *out_len, struct err *err)
{
    size_t opening = put_opening(w, out), made;
    int rc = chunk_writer_update(w->chunks, in, len, out + opening, &made, err);

    if (rc == 0) {
        *out_len = opening + made;
    }
    return rc;
}

void age_writer_final(struct age_writer *w, uint8_t *out, size_t *out_len)
{
    size_t opening = put_opening(w, out), made;

    chunk_writer_final(w->chunks, out + opening, &made);
    *out_len = opening + made;
}

/* ---- reading the header ---- */

/* What is left of a header, by lines. */
struct lines {
    const char *p;
    size_t left;
};

/* The next line without its end; false when there is none. */
static bool next_line(struct lines *l, const char **line, size_t *len)
{
    const char *end = l->left == 0 ? NULL : memchr(l->p, '\n', l->left);

    if (end == NULL) {
        return false;
    }
    *line = l->p;
    *len = (size_t)(end - l->p);
    l->left -= *len + 1;
    l->p = end + 1;
    return true;
}

/* "-> ", then arguments of visible ASCII, one blank between. */
static bool arguments_ok(const char *p, size_t len)
{
    char before = ' ';

    if (len < 4 || memcmp(p, "-> ", 3) != 0) {
        return false;
    }
    for (size_t i = 3; i < len; i++) {
        if (p[i] == ' ' ? before == ' ' : p[i] < 33 || p[i] > 126) {
            return false;
        }
        before = p[i];
    }
    return before != ' ';
}

/* The body of a stanza: full lines of base64 and one that is shorter. Its first
 * line is given; @only when it is the last, too. */
static bool next_body(struct lines *l, const char **first, size_t *first_len)
{
    const char *line;
    size_t len = COLUMNS;

    *first = NULL;
    while (len == COLUMNS) {
        if (!next_line(l, &line, &len) || len > COLUMNS) {
            return false;
        }
        for (size_t i = 0; i < len; i++) {
            char c = line[i];
            if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  (c >= '0' && c <= '9') || c == '+' || c == '/')) {
                return false;
            }
        }
        if (*first == NULL) {
            *first = line;
            *first_len = len;
        }
    }
    return true;
}

struct age_reader {
    struct seal_identity *identities;
    size_t count;
    bool started; /* the payload has its key */
    bool failed;
    struct buf head;
    size_t looked;   /* bytes of head in whole lines that were looked at */
    size_t head_len; /* of the header, once its last line was seen */
    struct chunk_reader *chunks;
};

/* One X25519 stanza: ERR_CORRUPT when it is malformed, ERR_DENIED when it is
 * for none of the identities. */
static int open_stanza(const struct age_reader *r, const char *share_text,
                       size_t share_len, const char *body, size_t body_len,
                       uint8_t file_key[FILE_KEY], struct err *err)
{
    uint8_t share[SHARE], wrapped[32], key[PRIM_KEY];
    int rc = ERR_DENIED;

    if (!get_b64(share_text, share_len, share) ||
        !get_b64(body, body_len, wrapped)) {
        return err_set(err, ERR_CORRUPT, "age header: a bad X25519 stanza");
    }
    for (size_t i = 0; i < r->count && rc == ERR_DENIED; i++) {
        const struct seal_identity *own = &r->identities[i];
        if (prim_x25519_shared(own->private_key, share, key, NULL) != 0) {
            return err_set(err, ERR_CORRUPT, "age header: a bad X25519 share");
        }
        wrap_key(key, share, own->public_key, key);
        if (prim_open(PRIM_CHACHA20_POLY1305, key, zero_nonce, NULL, 0, wrapped,
                      sizeof wrapped, file_key, NULL) == 0) {
            rc = 0;
        }
    }
    mem_wipe(key, sizeof key);
    return rc;
}

/* All stanzas: each is judged, also behind the one that opens. */
static int open_stanzas(const struct age_reader *r, struct lines *l,
                        uint8_t file_key[FILE_KEY], struct err *err)
{
    static const char x25519[] = "-> X25519 ";
    size_t n = sizeof x25519 - 1, stanzas = 0;
    int rc = ERR_DENIED;

    while (l->left < 3 || memcmp(l->p, "---", 3) != 0) {
        const char *line, *body;
        size_t len, body_len = 0;
        uint8_t key[FILE_KEY];
        int one = ERR_DENIED;
        if (!next_line(l, &line, &len) || !arguments_ok(line, len) ||
            !next_body(l, &body, &body_len)) {
            return err_set(err, ERR_CORRUPT, "age header: a bad stanza");
        }
        stanzas++;
        if (len >= 9 && memcmp(line, "-> scrypt", 9) == 0 &&
            (len == 9 || line[9] == ' ')) {
            return err_set(err, ERR_UNSUPPORTED,
                           "age file: sealed by passphrase");
        }
        if (len > n && memcmp(line, x25519, n) == 0) {
            one = open_stanza(r, line + n, len - n, body, body_len, key, err);
        }
        if (one == 0 && rc != 0) {
            memcpy(file_key, key, sizeof key);
            rc = 0;
        } else if (one != 0 && one != ERR_DENIED) {
            return one;
        }
        mem_wipe(key, sizeof key);
    }
    if (stanzas == 0) {
        return err_set(err, ERR_CORRUPT, "age header: no recipient");
    }
    return rc == 0 ? 0
                   : err_set(err, rc, "age file: not sealed to this identity");
}

static int check_mac(const struct lines *l, const uint8_t *header,
                     const uint8_t file_key[FILE_KEY], struct err *err)
{
    size_t before = (size_t)((const uint8_t *)l->p - header) + 3;
    uint8_t want[PRIM_SHA256], have[PRIM_SHA256];

    if (l->left != 3 + 1 + B64_32 + 1 || l->p[3] != ' ' ||
        !get_b64(l->p + 4, B64_32, have)) {
        return err_set(err, ERR_CORRUPT, "age header: a bad last line");
    }
    header_mac(file_key, header, before, want);
    if (mem_diff(have, want, sizeof want) != 0) {
        return err_set(err, ERR_MISMATCH, "age header: changed");
    }
    return 0;
}

/* Header and nonce are there. */
static int reader_start(struct age_reader *r, struct err *err)
{
    size_t first = sizeof version_line - 1;
    struct lines l = {(const char *)r->head.data + first, r->head_len - first};
    uint8_t file_key[FILE_KEY];
    struct chunk_key key;
    int rc = open_stanzas(r, &l, file_key, err);

    if (rc != 0) {
        return rc;
    }
    rc = check_mac(&l, r->head.data, file_key, err);
    if (rc == 0) {
        payload_key(file_key, r->head.data + r->head_len, &key);
        chunk_reader_init(r->chunks, &key);
        mem_wipe(&key, sizeof key);
        r->started = true;
        buf_free(&r->head);
    }
    mem_wipe(file_key, sizeof file_key);
    return rc;
}

struct age_reader *age_reader_new(const struct seal_identity *identities,
                                  size_t count)
{
    struct age_reader *r = mem_alloc(sizeof *r);

    r->identities = mem_dup(identities, count * sizeof *identities);
    r->count = count;
    r->chunks = chunk_reader_new();
    return r;
}

void age_reader_free(struct age_reader *r)
{
    if (r == NULL) {
        return;
    }
    chunk_reader_free(r->chunks);
    mem_wipe(r->identities, r->count * sizeof *r->identities);
    free(r->identities);
    buf_free(&r->head);
    free(r);
}

/* The first line, as soon as it differs; then look for the last line. */
static int look(struct age_reader *r, struct err *err)
{
    size_t first = sizeof version_line - 1;
    size_t n = r->head.len < first ? r->head.len : first;

    if (memcmp(r->head.data, version_line, n) != 0) {
        n = r->head.len < sizeof any_version - 1 ? r->head.len
                                                 : sizeof any_version - 1;
        return memcmp(r->head.data, any_version, n) == 0
                   ? err_set(err, ERR_VERSION, "age file: unknown version")
                   : err_set(err, ERR_CORRUPT, "age file: not one");
    }
    while (r->head_len == 0) {
        const uint8_t *line = r->head.data + r->looked;
        size_t left = r->head.len - r->looked;
        const uint8_t *end = left == 0 ? NULL : memchr(line, '\n', left);
        if (end == NULL) {
            break;
        }
        r->looked += (size_t)(end - line) + 1;
        if (left >= 3 && memcmp(line, "---", 3) == 0) {
            r->head_len = r->looked;
        }
    }
    if (r->head_len == 0 && r->head.len >= AGE_HEADER_MAX) {
        return err_set(err, ERR_CORRUPT, "age header: over %d bytes",
                       AGE_HEADER_MAX);
    }
    return 0;
}

/* Take a byte range into the head; gives what was taken. Bytes beyond the
 * header's end are given back but for the nonce. */
static int take_head(struct age_reader *r, const uint8_t *in, size_t len,
                     size_t *taken, struct err *err)
{
    size_t before = r->head.len, want;
    int rc;

    want = r->head_len > 0 ? r->head_len + AGE_NONCE - before : 512;
    want = want < len ? want : len;
    buf_append(&r->head, in, want);
    rc = look(r, err);
    if (rc == 0 && r->head_len > 0 && r->head.len > r->head_len + AGE_NONCE) {
        r->head.len = r->head_len + AGE_NONCE;
    }
    *taken = r->head.len - before;
    if (rc == 0 && r->head_len > 0 && r->head.len == r->head_len + AGE_NONCE) {
        rc = reader_start(r, err);
    }
    return rc;
}

int age_reader_update(struct age_reader *r, const void *in, size_t len,
                      uint8_t *out, size_t *out_len, struct err *err)
{
    const uint8_t *from = in;
    int rc = 0;

    if (r->failed) {
        return err_set(err, ERR_MISMATCH, "age file: failed before");
    }
    while (!r->started && len > 0 && rc == 0) {
        size_t taken = 0;
        rc = take_head(r, from, len, &taken, err);
        from += taken;
        len -= taken;
    }
    if (rc != 0) {
        r->failed = true;
        return rc;
    }
    *out_len = 0;
    return r->started
               ? chunk_reader_update(r->chunks, from, len, out, out_len, err)
               : 0;
}

int age_reader_final(struct age_reader *r, uint8_t *out, size_t *out_len,
                     struct err *err)
{
    if (r->failed) {
        return err_set(err, ERR_MISMATCH, "age file: failed before");
    }
    if (!r->started) {
        r->failed = true;
        return err_set(err, ERR_CORRUPT, "age file: cut in its header");
    }
    return chunk_reader_final(r->chunks, out, out_len, err);
}
