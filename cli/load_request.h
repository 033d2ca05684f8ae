/* load_request.h: signed S3 requests made ready, so that one costs little.
 *
 * A template is the bytes of one kind of request with places for the key's
 * number, the date and the signature; making a request patches these and signs
 * with a signing key that is kept: one SHA-256 and one HMAC for each.
 *
 * Source: as crypto/sigv4.h.
 * Threads: a template belongs to its caller.
 */
#ifndef GODWIT_CLI_LOAD_REQUEST_H
#define GODWIT_CLI_LOAD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_REQUEST_MAX 2048
#define LOAD_NUMBER_DIGITS 10

/* What all requests of a run have in common; borrowed. */
struct load_identity {
    const char *authority; /* Host */
    const char *access_key;
    const char *secret_key;
    const char *region;
    bool unsigned_requests; /* no date, no signature */
};

struct load_request {
    char text[LOAD_REQUEST_MAX]; /* as sent, with the empty line */
    size_t len;
    size_t number_at; /* 0: none */
    size_t date_at, signature_at;

    bool sign;
    char canonical[LOAD_REQUEST_MAX];
    size_t canonical_len;
    size_t canonical_number_at, canonical_date_at;
    char to_sign[256];
    size_t to_sign_len;
    size_t to_sign_date_at, to_sign_hash_at;
    uint8_t signing_key[32];
};

/* @path is "/bucket" or "/bucket/prefix/", after which ten digits of a number
 * follow when @numbered; @query is encoded and in order, "" for none;
 * @payload is x-amz-content-sha256; @content_length goes with PUT only. Path,
 * names and keys must be short: CHECKed. */
void load_request_init(struct load_request *r, const struct load_identity *id,
                       const char *method, const char *path, bool numbered,
                       const char *query, const char *payload,
                       uint64_t content_length, uint64_t now_ms);

/* Put another second into it; on another day it must be made anew. */
void load_request_set_time(struct load_request *r, uint64_t now_ms);

/* Put @number into it and sign. */
void load_request_set(struct load_request *r, uint64_t number);

#endif
