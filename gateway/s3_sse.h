/* s3_sse.h: objects that are sealed: SSE-C, SSE-S3, SSE-KMS.
 *
 * Each object has a data key of its own, drawn at random. Its bytes are sealed
 * in segments (crypto/aead.h) before they are coded, so that no drive and no
 * catalogue ever has them: segment i of a run stands at i * S3_SSE_SEALED; the
 * last one is marked when it is not full. The data key is wrapped by
 *
 *     SSE-C    the client's key, which is never kept; its MD5 is, as AWS does,
 *              to tell it by
 *     SSE-S3   the master key "s3" (gateway/master_keys.h)
 *     SSE-KMS  a master key of a name
 *
 * An upload in parts has one data key, and each part a key derived from it with
 * a salt of its own, drawn whenever the part is put: HKDF-SHA256(data key,
 * salt, "godwit part key 1"). So no part's nonces meet another's, nor those of
 * the same part put again. The salt stands in front of the part's checksum in
 * the catalogue: "godwit-salt:<32 hex digits>;x-amz-checksum-...".
 *
 * The attrs of the object have (s3_attrs.h):
 *
 *     x-amz-server-side-encryption                      AES256, aws:kms
 *     x-amz-server-side-encryption-aws-kms-key-id       aws:kms: the key's name
 *     x-amz-server-side-encryption-bucket-key-enabled   true, when it was asked
 *     godwit-sse-key    name, blank, number, blank, base64 of what
 *                       master_keys.h calls a data key; not given back
 *
 *     x-amz-server-side-encryption-customer-algorithm   AES256
 *     x-amz-server-side-encryption-customer-key-MD5     base64
 *     godwit-sse-c-key   base64 of 12 bytes nonce, wrapped key and tag; not
 *                        given back
 *
 * The ETag is the MD5 of the bytes with SSE-S3, and tells nothing of them with
 * the others. Small objects are sealed and written to drives as well: what lies
 * in the catalogue is empty ones only.
 *
 * Source: AWS S3 User Guide, "Protecting data with server-side encryption";
 * PutObject, GetObject, HeadObject, CreateMultipartUpload, UploadPart,
 * CopyObject.
 * Threads: one at a time. Who is not on the loop may wait for the catalogue.
 */
#ifndef GODWIT_GATEWAY_S3_SSE_H
#define GODWIT_GATEWAY_S3_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/aead.h"
#include "gateway/s3_error.h"
#include "meta/command.h"

struct buf;
struct err;
struct meta_object;
struct request;
struct s3_sse;

#define S3_SSE_SEALED (AEAD_SEGMENT + AEAD_TAG)
#define S3_SSE_HIDDEN "godwit-" /* attrs that begin so are not given back */
#define S3_SSE_SALT 16
#define S3_SSE_MD5_TEXT 25 /* base64 and NUL */

enum s3_sse_kind { S3_SSE_NONE, S3_SSE_C, S3_SSE_S3, S3_SSE_KMS };

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

/* ---- s3_sse_ask.c: what is asked ---- */

/* How bytes are to be sealed; wiped by who has it. */
struct s3_sse_how {
    enum s3_sse_kind kind;
    uint8_t client[AEAD_KEY];            /* C */
    char md5[S3_SSE_MD5_TEXT];           /* C */
    char name[META_MASTER_NAME_MAX + 1]; /* S3, KMS: of the master key */
    bool bucket_key;                     /* KMS */
};
/* By @r's headers, else by the default of its bucket, as this server's copy of
 * the catalogue has it. False: a reply was made. */
bool s3_sse_asked(struct request *r, struct s3_sse_how *how);
/* SSE-C: the client's key, where @r has one, for the object or (@source) for
 * the source of a copy. False: a reply was made. */
bool s3_sse_client(struct request *r, bool source, struct s3_sse_how *how);
/* A key id of aws:kms as clients write it: a name, an ARN that ends in
 * :key/name or :alias/name, or alias/name. False: it can be none. */
bool s3_sse_key_name(const char *id, char name[META_MASTER_NAME_MAX + 1]);
/* Is the header one of those that are obeyed? */
bool s3_sse_knows(const char *header);

/* ---- s3_encryption.c: the default of a bucket ---- */

struct s3_encryption {
    enum s3_sse_kind kind; /* NONE: there is none */
    char name[META_MASTER_NAME_MAX + 1];
    bool bucket_key;
};
/* What a kept <ServerSideEncryptionConfiguration> says. */
void s3_encryption_read(const void *p, size_t len, struct s3_encryption *out);

/* ---- what seals ---- */

/* Must the catalogue be asked before bytes of this upload can be sealed, or
 * whether they are? */
bool s3_sse_must_ask(struct request *r);
/* As is asked of @r; *@out is NULL when nothing is. For UploadPart and
 * UploadPartCopy as their upload has it. False: a reply was made. */
bool s3_sse_new(struct request *r, struct s3_sse **out);
/* As @how says, with the data key @key (NULL: a new one). */
bool s3_sse_new_as(struct request *r, const struct s3_sse_how *how,
                   const uint8_t *key, struct s3_sse **out);
void s3_sse_free(struct s3_sse *s); /* wipes */
/* What opens again what it seals, for s3_reader.h; borrowed. */
const uint8_t *s3_sse_key(const struct s3_sse *s);
/* Seal the next @len bytes in place; whole segments, but at the end. Gives the
 * sealed length. */
uint32_t s3_sse_seal(struct s3_sse *s, uint8_t *data, uint32_t len);
/* The ETag of bytes with this MD5. */
void s3_sse_etag(const struct s3_sse *s, const uint8_t md5[16], char etag[33]);
void s3_sse_attrs(const struct s3_sse *s, struct buf *attrs);
/* What the answer says. */
void s3_sse_reply(struct request *r, const struct s3_sse *s);
/* The same from the attrs of an object or upload. */
void s3_sse_reply_attrs(struct request *r, const void *attrs, size_t len);
/* What stands before the checksum of a part: free(). @s NULL: a copy. */
char *s3_sse_salted(const struct s3_sse *s, const char *check);

/* ---- reads ---- */

/* The data key of @o, if it is sealed and may be opened: by the master keys, or
 * by the client's that @r has; and none if it is not sealed. HEAD and
 * GetObjectAttributes need no master key and get none. @source: for the source
 * of a copy. False: a reply was made. */
bool s3_sse_open(struct request *r, const struct meta_object *o, bool *sealed,
                 uint8_t key[AEAD_KEY]);
bool s3_sse_open_source(struct request *r, const struct meta_object *o,
                        bool *sealed, uint8_t key[AEAD_KEY]);
/* How it is sealed; md5, name and bucket_key, but no client's key. */
void s3_sse_how_of(const void *attrs, size_t len, struct s3_sse_how *how);
/* The key of a part; false: its @check has no salt. */
bool s3_sse_part_key(const uint8_t key[AEAD_KEY], const char *check,
                     uint8_t out[AEAD_KEY]);
/* What a part's check says without its salt. */
const char *s3_sse_unsalted(const char *check);

#endif
