/* metadata.h: what a device may say of an object, one rule at both ends.
 *
 * The device refuses what the cluster would, before it takes an object that it
 * could never deliver.
 *
 * Source: AWS S3 User Guide, "Working with object metadata".
 * Threads: any; no state.
 */
#ifndef GODWIT_FLEET_METADATA_H
#define GODWIT_FLEET_METADATA_H

#include <stdbool.h>

#define METADATA_NAME_MAX 128   /* bytes of a name */
#define METADATA_BYTES_MAX 2048 /* names and values of an object together */
#define METADATA_OWN "godwit-"  /* names that begin so the cluster writes */
#define METADATA_HEADER "x-amz-meta-" /* before a name, as a header */

/* a-z 0-9 - _ . and none of the cluster's own. */
bool metadata_name_ok(const char *name);
/* UTF-8 without control bytes; of content types, too. */
bool metadata_value_ok(const char *value);

#endif
