/* s3_common.h: pieces of answers that several operations share.
 *
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_COMMON_H
#define GODWIT_GATEWAY_S3_COMMON_H

#include <stdbool.h>

struct buf;
struct request;

/* <@element> with the ID and DisplayName of the one owner there is. */
void s3_owner_xml(struct request *r, struct buf *b, const char *element);
/* <ETag>"..."</ETag> */
void s3_etag_xml(struct buf *b, const char *etag);
/* <@name> with @text, URI-encoded when @url. */
void s3_name_xml(struct buf *b, const char *name, const char *text, bool url);
/* ?encoding-type: *@url when it is url; false: a reply was made. */
bool s3_encoding_type(struct request *r, bool *url);

#endif
