#include "crypto/aws_chunked.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"

#define SIZE_DIGITS_MAX 16

enum state {
    SIZE_LINE, /* hex-size[;chunk-signature=...] CRLF */
    DATA,
    DATA_CR, /* the CRLF behind a chunk's bytes */
    DATA_LF,
    TRAILER_LINE, /* name:value CRLF, or the empty line */
    DONE,
    FAILED,
};

struct aws_chunked {
    enum state state;
    bool is_signed;
    bool has_trailers; /* the payload kind allows them */
    struct sigv4_auth auth;
    uint8_t signing_key[32];
    char previous[SIGV4_SIGNATURE_HEX + 1]; /* signature */
    char expected[SIGV4_SIGNATURE_HEX + 1]; /* of the chunk at hand */
    char *declared;                         /* x-amz-trailer, or NULL */

    char line[AWS_CHUNKED_LINE_MAX + 1]; /* gathered so far, without CRLF */
    size_t line_len;
    bool line_cr;   /* a CR was seen: LF must follow */
    bool line_bare; /* the line before ended in LF alone: a CRLF is owed */

    uint64_t chunk_left;
    bool last_chunk;
    struct digest sha256; /* of the chunk at hand */

    char *names[AWS_CHUNKED_TRAILERS_MAX];
    char *values[AWS_CHUNKED_TRAILERS_MAX];
    size_t trailers;
    struct buf trailer_text; /* "name:value\n" for each, to be signed */
    bool trailer_signed;
};

struct aws_chunked *aws_chunked_new(const struct sigv4_auth *auth,
                                    const uint8_t signing_key[32],
                                    const char *trailers)
{
    struct aws_chunked *c = mem_alloc(sizeof *c);

    CHECK(auth->payload >= SIGV4_PAYLOAD_CHUNKED);
    c->is_signed = auth->payload != SIGV4_PAYLOAD_UNSIGNED_TRAILER;
    c->has_trailers = auth->payload != SIGV4_PAYLOAD_CHUNKED;
    c->auth = *auth;
    if (c->is_signed) {
        memcpy(c->signing_key, signing_key, sizeof c->signing_key);
    }
    memcpy(c->previous, auth->signature, sizeof c->previous);
    c->declared = trailers != NULL ? mem_strdup(trailers) : NULL;
    return c;
}

void aws_chunked_free(struct aws_chunked *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < c->trailers; i++) {
        free(c->names[i]);
        free(c->values[i]);
    }
    digest_free(&c->sha256);
    buf_free(&c->trailer_text);
    free(c->declared);
    mem_wipe(c->signing_key, sizeof c->signing_key);
    free(c);
}

/* ---- lines ---- */

/* Gather bytes up to the end of the line; *@complete when it is there. */
static int take_line(struct aws_chunked *c, const uint8_t *in, size_t len,
                     size_t *used, bool *complete, struct err *err)
{
    *used = 0;
    *complete = false;
    while (*used < len) {
        char byte = (char)in[(*used)++];
        if (c->line_cr) {
            if (byte != '\n') {
                return err_set(err, ERR_BAD_INPUT,
                               "aws-chunked: CR without LF");
            }
            c->line_cr = false;
            c->line[c->line_len] = '\0';
            *complete = true;
            return 0;
        }
        if (byte == '\r') {
            c->line_cr = true;
        } else if (byte == '\n') {
            if (c->state != TRAILER_LINE || c->line_len == 0) {
                return err_set(err, ERR_BAD_INPUT,
                               "aws-chunked: LF without CR");
            }
            c->line_bare = true;
            c->line[c->line_len] = '\0';
            *complete = true;
            return 0;
        } else if (byte == '\0') {
            return err_set(err, ERR_BAD_INPUT, "aws-chunked: NUL in a line");
        } else if (c->line_len == AWS_CHUNKED_LINE_MAX) {
            return err_set(err, ERR_BAD_INPUT,
                           "aws-chunked: a line is over %d bytes",
                           AWS_CHUNKED_LINE_MAX);
        } else {
            c->line[c->line_len++] = byte;
        }
    }
    return 0;
}

static bool parse_hex(const char *s, size_t len, uint64_t *out)
{
    uint64_t v = 0;

    if (len == 0 || len > SIZE_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char ch = s[i];
        unsigned digit = ch >= '0' && ch <= '9'   ? (unsigned)(ch - '0')
                         : ch >= 'a' && ch <= 'f' ? (unsigned)(ch - 'a') + 10
                         : ch >= 'A' && ch <= 'F' ? (unsigned)(ch - 'A') + 10
                                                  : 16;
        if (digit == 16) {
            return false;
        }
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

static int on_size_line(struct aws_chunked *c, struct err *err)
{
    static const char extension[] = ";chunk-signature=";
    size_t digits = strcspn(c->line, ";");
    const char *rest = c->line + digits;
    uint8_t raw[32];

    if (!parse_hex(c->line, digits, &c->chunk_left) ||
        c->chunk_left > AWS_CHUNKED_CHUNK_MAX) {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: a chunk size is not a number in hex of "
                       "at most 5 GiB");
    }
    if (c->is_signed) {
        const char *signature = rest + sizeof extension - 1;
        if (strncmp(rest, extension, sizeof extension - 1) != 0 ||
            strlen(signature) != SIGV4_SIGNATURE_HEX) {
            return err_set(err, ERR_BAD_INPUT,
                           "aws-chunked: a chunk has no chunk-signature of 64 "
                           "hex digits");
        }
        if (!text_unhex(signature, SIGV4_SIGNATURE_HEX, raw, 32)) {
            return err_set(err, ERR_MISMATCH,
                           "aws-chunked: a chunk's signature is not hex");
        }
        text_hex(raw, 32, c->expected);
        digest_init(&c->sha256, DIGEST_SHA256);
    } else if (*rest != '\0') {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: an unsigned chunk has an extension");
    }
    c->last_chunk = c->chunk_left == 0;
    return 0;
}

/* All bytes of a signed chunk are here. */
static int check_chunk(struct aws_chunked *c, struct err *err)
{
    uint8_t sum[DIGEST_MAX];

    if (!c->is_signed) {
        return 0;
    }
    digest_final(&c->sha256, sum);
    sigv4_chunk_signature(&c->auth, c->signing_key, c->previous, sum);
    if (mem_diff(c->previous, c->expected, SIGV4_SIGNATURE_HEX) != 0) {
        return err_set(err, ERR_MISMATCH,
                       "aws-chunked: a chunk's signature does not match");
    }
    return 0;
}

/* ---- trailers ---- */

static bool is_declared(const char *list, const char *name)
{
    size_t len = strlen(name);

    while (list != NULL && *list != '\0') {
        size_t n;
        list += strspn(list, " ,\t");
        n = strcspn(list, ", \t");
        if (n == len && strncasecmp(list, name, n) == 0) {
            return true;
        }
        list += n;
    }
    return false;
}

static int check_trailer_signature(struct aws_chunked *c, const char *value,
                                   struct err *err)
{
    uint8_t raw[32];
    char given[65];

    if (!c->is_signed || c->trailer_signed ||
        strlen(value) != SIGV4_SIGNATURE_HEX) {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: x-amz-trailer-signature is not expected "
                       "or not 64 hex digits");
    }
    if (!text_unhex(value, SIGV4_SIGNATURE_HEX, raw, 32)) {
        return err_set(err, ERR_MISMATCH,
                       "aws-chunked: the trailer's signature is not hex");
    }
    sigv4_trailer_signature(&c->auth, c->signing_key, c->previous,
                            c->trailer_text.data, c->trailer_text.len);
    if (mem_diff(c->previous, text_hex(raw, 32, given), SIGV4_SIGNATURE_HEX) !=
        0) {
        return err_set(err, ERR_MISMATCH,
                       "aws-chunked: the trailer's signature does not match");
    }
    c->trailer_signed = true;
    return 0;
}

static int on_trailer(struct aws_chunked *c, struct err *err)
{
    char *colon = strchr(c->line, ':');
    char *value;
    size_t len;

    if (!c->has_trailers || colon == NULL || colon == c->line) {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: a trailer is not expected or not "
                       "name:value");
    }
    *colon = '\0';
    value = colon + 1 + strspn(colon + 1, " \t");
    len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        value[--len] = '\0';
    }
    if (strcasecmp(c->line, "x-amz-trailer-signature") == 0) {
        return check_trailer_signature(c, value, err);
    }
    if (c->trailer_signed || c->trailers == AWS_CHUNKED_TRAILERS_MAX ||
        !is_declared(c->declared, c->line) ||
        aws_chunked_trailer(c, c->line) != NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: the trailer %s was not declared in "
                       "x-amz-trailer, or comes twice",
                       c->line);
    }
    for (char *p = c->line; *p != '\0'; p++) {
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    }
    c->names[c->trailers] = mem_strdup(c->line);
    c->values[c->trailers] = mem_strdup(value);
    c->trailers++;
    buf_printf(&c->trailer_text, "%s:%s\n", c->line, value);
    return 0;
}

/* The empty line: the CRLF that a bare LF owes, or the end, when all must be
 * there. */
static int on_empty_line(struct aws_chunked *c, struct err *err)
{
    if (c->line_bare) {
        c->line_bare = false;
        return 0;
    }
    if (c->is_signed && c->has_trailers && !c->trailer_signed) {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: x-amz-trailer-signature is missing");
    }
    c->state = DONE;
    return 0;
}

/* ---- the machine ---- */

static int on_line(struct aws_chunked *c, struct err *err)
{
    int rc;

    if (c->state == TRAILER_LINE) {
        return c->line_len == 0 ? on_empty_line(c, err) : on_trailer(c, err);
    }
    rc = on_size_line(c, err);
    if (rc != 0) {
        return rc;
    }
    if (!c->last_chunk) {
        c->state = DATA;
        return 0;
    }
    c->state = TRAILER_LINE;
    return check_chunk(c, err);
}

static size_t take_data(struct aws_chunked *c, const uint8_t *in, size_t len,
                        uint8_t *out, size_t room)
{
    size_t n = len < room ? len : room;

    if (n > c->chunk_left) {
        n = (size_t)c->chunk_left;
    }
    if (n > 0) {
        memcpy(out, in, n);
        if (c->is_signed) {
            digest_update(&c->sha256, in, n);
        }
        c->chunk_left -= n;
    }
    return n;
}

static int take_crlf(struct aws_chunked *c, uint8_t byte, struct err *err)
{
    if (byte != (c->state == DATA_CR ? '\r' : '\n')) {
        return err_set(err, ERR_BAD_INPUT,
                       "aws-chunked: no CRLF behind a chunk");
    }
    if (c->state == DATA_CR) {
        c->state = DATA_LF;
        return 0;
    }
    c->state = SIZE_LINE;
    return check_chunk(c, err);
}

/* One step: the bytes used go to *@used, those made are added to *@made. */
static int step(struct aws_chunked *c, const uint8_t *in, size_t len,
                uint8_t *out, size_t room, size_t *used, size_t *made,
                struct err *err)
{
    bool complete;
    int rc;

    *used = 1;
    switch (c->state) {
        case DATA:
            *used = take_data(c, in, len, out, room);
            *made += *used;
            if (c->chunk_left == 0) {
                c->state = DATA_CR;
            }
            return 0;
        case DATA_CR:
        case DATA_LF:
            return take_crlf(c, *in, err);
        case DONE:
            return err_set(err, ERR_BAD_INPUT,
                           "aws-chunked: bytes after the end");
        case FAILED:
            return err_set(err, ERR_BAD_INPUT,
                           "aws-chunked: it has failed before");
        default:
            rc = take_line(c, in, len, used, &complete, err);
            if (rc == 0 && complete) {
                rc = on_line(c, err);
                c->line_len = 0;
            }
            return rc;
    }
}

int aws_chunked_decode(struct aws_chunked *c, const void *in, size_t *len,
                       void *out, size_t out_max, size_t *out_len,
                       struct err *err)
{
    const uint8_t *p = in;
    size_t left = *len;
    size_t made = 0;

    while (left > 0) {
        size_t used;
        int rc = step(c, p, left, (uint8_t *)out + made, out_max - made, &used,
                      &made, err);
        if (rc != 0) {
            c->state = FAILED;
            return rc;
        }
        if (used == 0) {
            break; /* @out is full */
        }
        p += used;
        left -= used;
    }
    *len -= left;
    *out_len = made;
    return 0;
}

bool aws_chunked_done(const struct aws_chunked *c)
{
    return c->state == DONE;
}

const char *aws_chunked_trailer(const struct aws_chunked *c, const char *name)
{
    for (size_t i = 0; i < c->trailers; i++) {
        if (strcasecmp(c->names[i], name) == 0) {
            return c->values[i];
        }
    }
    return NULL;
}
