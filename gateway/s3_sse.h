/* s3_sse.h: objects that are sealed with a key of the client's (SSE-C).
 *
 * Each object has a data key of its own, drawn at random. Its bytes are sealed
 * in segments (crypto/aead.h) before they are coded, so that no drive and no
 * catalogue ever has them: segment i of a run stands at i * S3_SSE_SEALED; the
 * last one is marked when it is not full. The data key is wrapped by the
 * client's key, which is never kept; its MD5 is, as AWS does, to tell it by.
 * The attrs of the object have (s3_attrs.h):
 *
 *     x-amz-server-side-encryption-customer-algorithm   AES256
 *     x-amz-server-side-encryption-customer-key-MD5     base64
 *     godwit-sse-c-key   base64 of 12 bytes nonce, wrapped key and tag; not
 *                        given back
 *
 * The ETag of such an object is no MD5 of its bytes. Small objects are sealed
 * and written to drives as well: what lies in the catalogue is empty ones only.
 *
 * Source: AWS S3 User Guide, "Using server-side encryption with
 * customer-provided keys (SSE-C)"; PutObject, GetObject, HeadObject.
 * Threads: one at a time.
 */
#ifndef GODWIT_GATEWAY_S3_SSE_H
#define GODWIT_GATEWAY_S3_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/aead.h"
#include "gateway/s3_error.h"

struct buf;
struct err;
struct meta_object;
struct request;
struct s3_sse;

#define S3_SSE_SEALED (AEAD_SEGMENT + AEAD_TAG)
#define S3_SSE_HIDDEN "godwit-" /* attrs that begin so are not given back */

/* The three headers as they were sent; NULL: missing. */
struct s3_sse_headers {
    const char *algorithm, *key, *md5;
};
/* S3_OK and the key, or the error that answers with its sentence. */
enum s3_error s3_sse_judge(const struct s3_sse_headers *h,
                           uint8_t key[AEAD_KEY], struct err *err);
/* Bytes of a run that holds @plain ones. */
uint64_t s3_sse_sealed_bytes(uint64_t plain);
/* How many plain bytes may be put into @room so that they fit sealed: whole
 * segments, if there is room for one. */
uint32_t s3_sse_room(uint32_t room);

/* ---- uploads ---- */

/* As @r's headers ask; *@out is NULL when they do not. False: a reply was
 * made. */
bool s3_sse_new(struct request *r, struct s3_sse **out);
void s3_sse_free(struct s3_sse *s); /* wipes */
/* Seal the next @len bytes in place; whole segments, but at the end. Gives the
 * sealed length. */
uint32_t s3_sse_seal(struct s3_sse *s, uint8_t *data, uint32_t len);
/* An ETag that tells nothing of the bytes but whether they changed. */
void s3_sse_etag(const struct s3_sse *s, const uint8_t md5[16], char etag[33]);
void s3_sse_attrs(const struct s3_sse *s, struct buf *attrs);
/* What the answer to a PUT says. */
void s3_sse_reply(struct request *r, const struct s3_sse *s);

/* ---- reads ---- */

/* The data key of @o, if it is sealed and @r's headers have the key to it; and
 * none if neither is so. False: a reply was made. */
bool s3_sse_open(struct request *r, const struct meta_object *o, bool *sealed,
                 uint8_t key[AEAD_KEY]);
/* Is it sealed at all? */
bool s3_sse_is_sealed(const struct meta_object *o);

#endif
