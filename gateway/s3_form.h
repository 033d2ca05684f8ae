/* s3_form.h: an HTML form with a file, read as it comes.
 *
 * multipart/form-data: a delimiter, fields with their values, then one part by
 * the name "file", whose bytes are given on; what follows it is not read. The
 * fields together have S3_FORM_FIELDS_BYTES_MAX bytes at most, so that memory
 * is bounded whatever comes.
 *
 * Source: RFC 7578, RFC 2046 section 5.1.1; AWS "Creating an HTML form (using
 * AWS Signature Version 4)".
 * Threads: a form belongs to its caller.
 */
#ifndef GODWIT_GATEWAY_S3_FORM_H
#define GODWIT_GATEWAY_S3_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s3_form;

#define S3_FORM_FIELDS_BYTES_MAX (20 << 10) /* AWS: 20 KB before the file */
#define S3_FORM_FIELDS_MAX 100
#define S3_FORM_BOUNDARY_MAX 70 /* RFC 2046 */

struct s3_form_field {
    char *name;
    char *value; /* no NUL is in it */
};

enum s3_form_event {
    S3_FORM_MORE,     /* all was taken, or @out is full */
    S3_FORM_FILE,     /* the fields are there and the file begins: go on */
    S3_FORM_END,      /* the file, or a form without one, is at its end */
    S3_FORM_BAD,      /* not such a form */
    S3_FORM_TOO_LONG, /* too much before the file */
};

/* By a Content-Type header; NULL: not a form, or its boundary is wrong. */
struct s3_form *s3_form_new(const char *content_type);
void s3_form_free(struct s3_form *f);

/* Take up to *@used bytes and give up to @room bytes of the file to @out; both
 * become what was taken and given. Before S3_FORM_FILE nothing is given and
 * @room may be 0; later it must not. After END, BAD and TOO_LONG nothing more
 * is taken. */
enum s3_form_event s3_form_feed(struct s3_form *f, const char *data,
                                size_t *used, uint8_t *out, size_t room,
                                size_t *made);

/* Did the file begin? */
bool s3_form_has_file(const struct s3_form *f);
/* The file's name without folders; "" for none. */
const char *s3_form_filename(const struct s3_form *f);
/* The value of a field by name of any case; NULL for none. */
const char *s3_form_value(const struct s3_form *f, const char *name);
const struct s3_form_field *s3_form_fields(const struct s3_form *f,
                                           size_t *count);
/* Put the file's name in the place of each ${filename} in the values. False:
 * they become too long. */
bool s3_form_expand(struct s3_form *f);

#endif
