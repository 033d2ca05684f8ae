/* download.h: an object to a file, that can go on where it stopped.
 *
 * Bytes go to NAME.<16 hex>.godwit-part beside the file, where the hex digits
 * stand for endpoint, key, ETag and size; whole and checked it is renamed. A
 * part file that is found goes on with If-Match from its end, so a changed
 * object is never mixed with an old one; what was continued is read once more
 * and compared with the object's checksum.
 *
 * Threads: a download blocks its caller.
 */
#ifndef GODWIT_CLI_DOWNLOAD_H
#define GODWIT_CLI_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct progress;
struct s3_client;
struct unseal_identities;

#define DOWNLOAD_SUFFIX ".godwit-part"

struct download_options {
    struct s3_client *client;
    const char *endpoint;
    bool no_clobber; /* refuse when the file is there */
    struct progress *progress;
    /* Open what comes; NULL: as stored. Then a download begins anew each time:
     * nothing half-opened stays behind. */
    const struct unseal_identities *identities;
};

int download_file(const struct download_options *o, const char *bucket,
                  const char *key, const char *path, struct err *err);

/* To @fd, such as standard output. */
int download_stream(const struct download_options *o, const char *bucket,
                    const char *key, int fd, struct err *err);

/* Name of the part file; free(). */
char *download_part_path(const char *endpoint, const char *bucket,
                         const char *key, const char *etag, uint64_t size,
                         const char *path);

/* Make the folders above @path, mode 0777 less umask. */
int download_make_folders(const char *path, struct err *err);

/* True when @relative, made of a key, stays below the folder that it is put
 * into: not empty, no "." or "..", no "//", no leading '/'. */
bool download_safe_name(const char *relative);

#endif
