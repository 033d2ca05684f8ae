/* canonical.h: the canonical request of SigV4, hashed as it is written.
 *
 *     METHOD \n path \n sorted query \n name:value \n ... \n names \n payload
 *
 * Nothing is allocated for a usual request: the text goes through a small
 * buffer into SHA-256 and is never held whole.
 *
 * Source: AWS "Create a signed AWS API request", step 1. S3 rules: the path is
 * decoded once and encoded once; a part with a bad escape stays as it is.
 * Parameters are ordered by encoded name, then encoded value; X-Amz-Signature
 * is left out; one without '=' has an empty value; empty ones ("&&") are
 * skipped. Values of headers lose outer blanks, inner runs of blanks become one
 * space, and headers of one name are joined by commas in the order sent.
 * Threads: any.
 */
#ifndef GODWIT_CRYPTO_CANONICAL_H
#define GODWIT_CRYPTO_CANONICAL_H

#include <stdbool.h>
#include <stddef.h>

struct sigv4_request;

/* A query parameter as sent; borrowed from the query. */
struct canonical_param {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

/* Take the next parameter from *@p; false at the end. */
bool canonical_next_param(const char **p, struct canonical_param *out);

/* True when @name is @other in any case; fast when it is not. */
bool canonical_same_name(const char *name, const char *other, size_t len);

/* @names are the signed headers, joined by ';'. */
void canonical_hash(const struct sigv4_request *r, const char *names,
                    const char *payload, char hex[65]);

#endif
