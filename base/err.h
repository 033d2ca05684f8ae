/* err.h: error codes, and one sentence that grows outward.
 *
 * A function that can fail returns an int: 0 or one of ERR_* below (positive,
 * stable: they travel in logs and on the wire). Its last argument is a
 * `struct err *`, which may be NULL and receives one sentence. Each level
 * that knows more puts its knowledge in front:
 *
 *     "put photos/cat.jpg: shard 3 on drive 2: fdatasync: No space left on
 * device"
 *
 * On failure outputs are untouched and nothing has changed owner.
 *
 * Threads: any; a struct err belongs to its caller.
 */
#ifndef GODWIT_BASE_ERR_H
#define GODWIT_BASE_ERR_H

#define ERR_TEXT_SIZE 320

/* X(name, wire value, text) */
#define ERR_TABLE(X)                                            \
    X(NOMEM, 1, "out of memory")                                \
    X(IO, 2, "input/output error")                              \
    X(CORRUPT, 3, "stored bytes do not match their checksum")   \
    X(BAD_INPUT, 4, "bad input")                                \
    X(NOT_FOUND, 5, "not found")                                \
    X(EXISTS, 6, "already exists")                              \
    X(BUSY, 7, "too busy, try again")                           \
    X(FULL, 8, "no space left")                                 \
    X(TIMEOUT, 9, "timed out")                                  \
    X(UNAVAILABLE, 10, "not enough drives or members")          \
    X(UNKNOWN, 11, "outcome unknown")                           \
    X(PRECONDITION, 12, "a condition does not hold")            \
    X(DENIED, 13, "access denied")                              \
    X(CLOSED, 14, "closed")                                     \
    X(LIMIT, 15, "over a limit")                                \
    X(RANGE, 16, "range not satisfiable")                       \
    X(UNSUPPORTED, 17, "not supported")                         \
    X(LOCKED, 18, "in use by another process")                  \
    X(VERSION, 19, "unknown format version")                    \
    X(MISMATCH, 20, "digest does not match")                    \
    X(NO_BUCKET, 32, "no such bucket")                          \
    X(NO_KEY, 33, "no such key")                                \
    X(NO_UPLOAD, 34, "no such upload")                          \
    X(BUCKET_EXISTS, 35, "bucket already exists")               \
    X(BUCKET_NOT_EMPTY, 36, "bucket is not empty")              \
    X(BAD_PART, 37, "a part is missing or differs")             \
    X(PART_ORDER, 38, "parts are not in ascending order")       \
    X(PART_TOO_SMALL, 39, "a part but the last is under 5 MiB") \
    X(NO_VERSION, 48, "no such version")                        \
    X(IS_MARKER, 49, "the version is a delete marker")          \
    X(NO_LOCK, 50, "the bucket has no Object Lock")             \
    X(RETAINED, 51, "the version is retained or held")          \
    X(BUCKET_STATE, 52, "the bucket's state does not allow it")

enum err_code {
#define X(name, value, text) ERR_##name = value,
    ERR_TABLE(X)
#undef X
};

struct err {
    char text[ERR_TEXT_SIZE]; /* ends in NUL; cut, never overrun */
};

/* Write a sentence into @e (may be NULL) and return @code. */
int err_set(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "<fmt>: " in front of what @e (may be NULL) says and return @code. */
int err_wrap(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": <strerror(errno)>" at the end. ENOSPC and EDQUOT give
 * ERR_FULL, ENOENT gives ERR_NOT_FOUND, ENOMEM gives ERR_NOMEM, all others
 * ERR_IO. */
int err_errno(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "NOMEM" for ERR_NOMEM; "OK" for 0; "?" for what is not in the table. */
const char *err_name(int code);

/* The table's text for @code; "success" for 0. */
const char *err_text(int code);

#endif
