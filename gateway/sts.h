/* sts.h: the Security Token Service: POST / by SigV4 with the service "sts".
 *
 * AssumeRole and GetSessionToken give temporary credentials of who asks
 * (session.h); a role is not looked for, since there are none. The body is
 * gathered before the signature is judged, which covers its hash.
 *
 * Source: AWS Security Token Service API Reference. Threads: as request.h.
 */
#ifndef GODWIT_GATEWAY_STS_H
#define GODWIT_GATEWAY_STS_H

#include <stdbool.h>

#include "gateway/s3_error.h"

struct request;

/* Is it to STS, by its method, path and Content-Type? */
bool sts_is(const struct request *r);
/* Reply with an error in the form and by the codes of STS. */
void sts_reply_error(struct request *r, enum s3_error e, const char *message);

#endif
