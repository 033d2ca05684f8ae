/* s3_xml.h: S3's documents, read and written.
 *
 * Reading is by expat: no external entities, no document type at all, at most
 * S3_XML_DEPTH_MAX levels and S3_XML_TEXT_MAX bytes of text in an element;
 * namespaces are ignored. ERR_BAD_INPUT says the line and what was wrong;
 * ERR_UNSUPPORTED names an element that asks for what is not there. Elements
 * that are not known are skipped.
 *
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_XML_H
#define GODWIT_GATEWAY_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/digest.h"
#include "meta/command.h"

struct buf;
struct err;

#define S3_XML_DEPTH_MAX 8
#define S3_XML_TEXT_MAX 8192

/* ---- written ---- */

void xml_open(struct buf *b, const char *name);
void xml_close(struct buf *b, const char *name);
/* <name>escaped text</name>; control bytes that XML 1.0 forbids are written as
 * character references, as S3 does. */
void xml_text(struct buf *b, const char *name, const char *text);
void xml_u64(struct buf *b, const char *name, uint64_t v);
void xml_bool(struct buf *b, const char *name, bool v);
void xml_time(struct buf *b, const char *name, uint64_t time_ms);
void xml_escape(struct buf *b, const char *text, size_t len);
/* <name>"etag"</name>, the quotes escaped as S3 does. */
void xml_etag(struct buf *b, const char *name, const char *etag);
/* <name><ID>..</ID><DisplayName>..</DisplayName></name>: who has @access_key.
 * The ID is 64 hex digits, as S3's canonical user ids are. */
void xml_owner(struct buf *b, const char *name, const char *access_key);
void xml_owner_fields(struct buf *b, const char *access_key); /* just inside */

/* <ChecksumCRC32C>value</ChecksumCRC32C> */
void xml_checksum(struct buf *b, enum digest_kind kind, const char *value);

/* ---- read ---- */

struct xml_delete {
    bool quiet;
    size_t count;
    char **keys;
    char **etags;    /* entries may be NULL */
    char **versions; /* entries may be NULL */
};
/* <Delete>: 1..META_DELETE_MAX objects. */
int xml_read_delete(const void *p, size_t len, struct xml_delete *out,
                    struct err *err);
void xml_delete_free(struct xml_delete *d);

struct xml_complete {
    size_t count;
    struct command_part *parts; /* etags without quotes; owned */
    char **checks; /* the part's checksum as "x-amz-checksum-crc32:VALUE", the
                      form in which meta_part keeps it; entries may be NULL */
};
/* <CompleteMultipartUpload>: 1..META_PARTS_MAX parts, in the order sent. */
int xml_read_complete(const void *p, size_t len, struct xml_complete *out,
                      struct err *err);
void xml_complete_free(struct xml_complete *c);

/* <CreateBucketConfiguration>: gives the LocationConstraint (free()) or NULL;
 * an empty document gives NULL too. */
int xml_read_create_bucket(const void *p, size_t len, char **location,
                           struct err *err);

#endif
