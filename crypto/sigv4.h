/* sigv4.h: AWS Signature Version 4, both ends, as pure functions.
 *
 * Time is an argument; nothing is read from the system. Header and query
 * (presigned) forms; the seed of aws-chunked streams and the signatures of
 * their chunks and trailers.
 *
 * Source: AWS "Authenticating Requests (AWS Signature Version 4)": header,
 * query string, "Signature calculations for the authorization header:
 * transferring payload in multiple chunks", and its trailer variant.
 * Another service's name and body hash may be given (STS).
 * S3 rules: the path is used as sent, decoded once and encoded once; no
 * normalisation of "//" or "..".
 * Threads: any; sigv4_keys has a lock of its own.
 */
#ifndef GODWIT_CRYPTO_SIGV4_H
#define GODWIT_CRYPTO_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define SIGV4_SKEW_MAX_MS ((uint64_t)15 * 60 * 1000)
#define SIGV4_EXPIRES_MAX_S 604800 /* seven days */
#define SIGV4_ACCESS_KEY_MAX 128
#define SIGV4_SIGNATURE_HEX 64
/* S3 takes at most 8 KiB of headers; a signed name stands in them twice. */
#define SIGV4_SIGNED_HEADERS_MAX 4096

struct sigv4_header {
    const char *name; /* any case */
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path;  /* raw, as sent, without the query */
    const char *query; /* raw, without '?'; "" for none */
    const struct sigv4_header *headers;
    size_t header_count;
    const char *service; /* that the scope names; NULL: s3 */
    /* SHA-256 of the body in hex, of services that do not have it said in
     * x-amz-content-sha256; NULL: it must be. */
    const char *body_sha256;
};

enum sigv4_payload {
    SIGV4_PAYLOAD_SHA256,           /* payload_sha256 must match the body */
    SIGV4_PAYLOAD_UNSIGNED,         /* UNSIGNED-PAYLOAD */
    SIGV4_PAYLOAD_CHUNKED,          /* STREAMING-AWS4-HMAC-SHA256-PAYLOAD */
    SIGV4_PAYLOAD_CHUNKED_TRAILER,  /* ...-PAYLOAD-TRAILER */
    SIGV4_PAYLOAD_UNSIGNED_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER */
};

/* Each has an S3 code that the gateway answers with. */
enum sigv4_status {
    SIGV4_OK,
    SIGV4_ANONYMOUS,       /* no signature at all */
    SIGV4_MALFORMED,       /* AuthorizationHeaderMalformed,
                              AuthorizationQueryParametersError */
    SIGV4_BAD_DATE,        /* AccessDenied: no or invalid date */
    SIGV4_BAD_REGION,      /* AuthorizationHeaderMalformed: names the region */
    SIGV4_UNSIGNED_HEADER, /* AccessDenied: host or an x-amz-* not signed */
    SIGV4_BAD_PAYLOAD,     /* InvalidArgument: x-amz-content-sha256 */
    SIGV4_SKEWED,          /* RequestTimeTooSkewed */
    SIGV4_NOT_YET,         /* AccessDenied: not yet valid (presigned) */
    SIGV4_EXPIRED,         /* AccessDenied: Request has expired */
    SIGV4_MISMATCH,        /* SignatureDoesNotMatch */
};

struct sigv4_auth {
    bool presigned;
    char access_key[SIGV4_ACCESS_KEY_MAX + 1];
    char date[9]; /* scope: 20261123 */
    char region[64];
    char service[16];
    uint64_t time_ms;
    uint64_t expires_ms; /* presigned: from time_ms */
    char signature[SIGV4_SIGNATURE_HEX + 1];
    char signed_headers[SIGV4_SIGNED_HEADERS_MAX + 1];
    enum sigv4_payload payload;
    char payload_text[72]; /* x-amz-content-sha256 as sent */
    uint8_t payload_sha256[32];
    bool payload_not_signed; /* UNSIGNED-PAYLOAD was, not payload_text */
};

/* Is the body aws-chunked (crypto/aws_chunked.h)? */
static inline bool sigv4_is_streaming(const struct sigv4_auth *a)
{
    return a->payload == SIGV4_PAYLOAD_CHUNKED ||
           a->payload == SIGV4_PAYLOAD_CHUNKED_TRAILER ||
           a->payload == SIGV4_PAYLOAD_UNSIGNED_TRAILER;
}

/* Find and parse the signature of @r. The error says which field and why.
 * Presigned: UNSIGNED-PAYLOAD is what was signed unless X-Amz-Content-Sha256
 * stands in the query or in a signed header; a hash in an unsigned header is
 * still one that the body must have, a streaming form there is refused. */
enum sigv4_status sigv4_parse(const struct sigv4_request *r,
                              struct sigv4_auth *out, struct err *err);

/* Judge what sigv4_parse found: scope, time, signature. @region must be the
 * scope's. @signing_key is of sigv4_signing_key for the scope. */
enum sigv4_status sigv4_verify(const struct sigv4_request *r,
                               const struct sigv4_auth *auth,
                               const char *region,
                               const uint8_t signing_key[32], uint64_t now_ms,
                               struct err *err);

void sigv4_signing_key(const char *secret, const char *date, const char *region,
                       const char *service, uint8_t out[32]);

/* A small cache of signing keys: 4 HMACs saved for each request. An entry is
 * used only for the secret that it was made from. */
struct sigv4_keys;
struct sigv4_keys *sigv4_keys_new(void);
void sigv4_keys_free(struct sigv4_keys *k); /* wipes */
void sigv4_keys_get(struct sigv4_keys *k, const char *access_key,
                    const char *secret, const char *date, const char *region,
                    const char *service, uint8_t out[32]);

/* Chunk signatures: each chunk's is over the one before, the first over the
 * request's. @previous is replaced. */
void sigv4_chunk_signature(const struct sigv4_auth *auth,
                           const uint8_t signing_key[32],
                           char previous[SIGV4_SIGNATURE_HEX + 1],
                           const uint8_t chunk_sha256[32]);
/* @trailer is "name:value\n" for each trailing header, in order sent. */
void sigv4_trailer_signature(const struct sigv4_auth *auth,
                             const uint8_t signing_key[32],
                             char previous[SIGV4_SIGNATURE_HEX + 1],
                             const void *trailer, size_t len);

/* Client side. Append the value of the Authorization header for @r, whose
 * headers must include Host, X-Amz-Date and, unless the body's hash is given,
 * X-Amz-Content-Sha256. All headers given are signed. */
void sigv4_sign(const struct sigv4_request *r, const char *access_key,
                const char *secret, const char *region, uint64_t time_ms,
                struct buf *out);
/* Append a presigned query ("X-Amz-Algorithm=...") for @r, whose headers are
 * just Host. @r->query is kept in front. */
void sigv4_presign(const struct sigv4_request *r, const char *access_key,
                   const char *secret, const char *region, uint64_t time_ms,
                   uint64_t expires_s, struct buf *out);

#endif
