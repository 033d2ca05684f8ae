/* s3_version.h: versions of objects, as requests and answers name them.
 *
 * A version id is 16 hex digits of the catalogue's number, or "null". Answers
 * name the version only where versions are, or were, kept; those to writes only
 * where they are.
 *
 * Source: AWS S3 API Reference, GetObject, PutObject, DeleteObject; S3 User
 * Guide, "Working with delete markers".
 * Threads: those of the request.
 */
#ifndef GODWIT_GATEWAY_S3_VERSION_H
#define GODWIT_GATEWAY_S3_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/meta.h"

struct request;

#define S3_VERSION_TEXT 17

/* The version that @text names: NULL the current one. False: @text is no
 * version id; *@why says so. */
bool s3_version_parse(const char *text, uint64_t *which, const char **why);
/* That of ?versionId=. False: a reply was made. */
bool s3_version_param(struct request *r, uint64_t *which);

/* Of a number or META_VERSION_NULL, META_VERSION_MARKER left out. */
const char *s3_version_text(uint64_t version, char out[S3_VERSION_TEXT]);
/* The header @name, unless @version is 0. */
void s3_version_header(struct request *r, const char *name, uint64_t version);
/* x-amz-version-id of what was read. */
void s3_version_reply(struct request *r, uint64_t version);
/* x-amz-version-id of what was written; none for the null version. */
void s3_version_reply_made(struct request *r, uint64_t version);
/* x-amz-delete-marker and x-amz-version-id of what was deleted. */
void s3_version_reply_deleted(struct request *r, uint64_t version);

/* Read the version of @r's key, which must not be a delete marker. False: a
 * reply was made: for a marker 404 NoSuchKey or, when it was named, 405, with
 * what AWS tells of it. */
bool s3_version_get(struct request *r, uint64_t which, bool with_content,
                    struct meta_object *out);

#endif
