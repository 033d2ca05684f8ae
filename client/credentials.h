/* credentials.h: which keys to sign with, as S3 tools look for them.
 *
 * The first that has both keys wins:
 *   1. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (not with a profile asked
 *      for by flag)
 *   2. GODWIT_ACCESS_KEY_ID and GODWIT_SECRET_ACCESS_KEY, which a server's
 *      root credentials are given by (likewise)
 *   3. section AWS_PROFILE or "default" of AWS_SHARED_CREDENTIALS_FILE or
 *      ~/.aws/credentials
 *   4. for a server on this machine, section "default" of ./data/credentials
 * A session token (AWS_SESSION_TOKEN, aws_session_token) is not used: Godwit
 * has no temporary credentials.
 *
 * Source: AWS "Configuration and credential file settings".
 * Threads: any.
 */
#ifndef GODWIT_CLIENT_CREDENTIALS_H
#define GODWIT_CLIENT_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define CREDENTIALS_FILE_MAX ((size_t)1 << 20)
#define CREDENTIALS_LOCAL "data/credentials" /* 4. above */

struct credentials {
    char *access_key;
    char *secret_key;
    char *region;   /* of the section; NULL: it names none */
    char *endpoint; /* endpoint_url likewise */
    char *source;   /* where they were found, for people */
    char *ca_file;  /* ca_bundle likewise */
};

void credentials_free(struct credentials *c); /* wipes */

/* Find keys. @profile NULL: none was asked for by flag. ERR_NOT_FOUND says
 * where was looked; ERR_BAD_INPUT names the file, the line or the section. */
int credentials_find(const char *profile, bool loopback,
                     struct credentials *out, struct err *err);

/* Those of the file @path, section "default". */
int credentials_of_file(const char *path, struct credentials *out,
                        struct err *err);

/* Read the section @profile of an ini text: [section], key = value, comments
 * by '#' or ';' at the start of a line. ERR_NOT_FOUND: no such section;
 * ERR_BAD_INPUT: a line is neither, or a key is missing. */
int credentials_parse(const char *text, size_t len, const char *profile,
                      struct credentials *out, struct err *err);

#endif
