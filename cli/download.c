#include "cli/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/progress.h"
#include "cli/unseal.h"
#include "cli/whole_file.h"
#include "client/s3_client.h"
#include "crypto/digest.h"

#define PIECE ((size_t)256 << 10)
#define ERR_CONTINUE 1000 /* not an error: ask again from an offset */

struct job {
    const struct download_options *o;
    const char *bucket;
    const char *key;
    const char *path;
    int fd;          /* of the part file; -1 before the answer */
    char *part_path; /* NULL for a stream */
    char *etag;
    char *crc;     /* CRC64NVME of the whole object; NULL: none */
    uint64_t have; /* bytes that were there */
};

static int write_all(int fd, const void *p, size_t len, struct err *err)
{
    const char *at = p;

    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "write");
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int on_bytes(void *arg, const void *p, size_t len, struct err *err)
{
    struct job *j = arg;
    int rc = write_all(j->fd, p, len, err);

    if (rc == 0 && j->o->progress != NULL) {
        progress_add(j->o->progress, (int64_t)len);
    }
    return rc;
}

char *download_part_path(const char *endpoint, const char *bucket,
                         const char *key, const char *etag, uint64_t size,
                         const char *path)
{
    struct buf b = {0};
    uint8_t sum[DIGEST_MAX];
    char hex[17];

    buf_printf(&b, "%s\n%s\n%s\n%s\n%llu", endpoint, bucket, key, etag,
               (unsigned long long)size);
    digest_of(DIGEST_SHA256, b.data, b.len, sum);
    buf_free(&b);
    text_hex(sum, 8, hex);
    return mem_printf("%s.%s" DOWNLOAD_SUFFIX, path, hex);
}

/* The answer's head came: open the part file. When it holds bytes already, end
 * this answer and ask for the rest. */
static int on_begin(void *arg, const struct s3_info *info, struct err *err)
{
    struct job *j = arg;
    const char *crc =
        http_response_header(&info->response, "x-amz-checksum-crc64nvme");
    struct stat st;

    if (j->fd >= 0) {
        return 0; /* the rest comes */
    }
    if (crc != NULL && strchr(crc, '-') == NULL) {
        j->crc = mem_strdup(crc);
    }
    j->etag = mem_strdup(info->etag);
    j->part_path = download_part_path(j->o->endpoint, j->bucket, j->key,
                                      info->etag, info->size, j->path);
    j->fd = open(j->part_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0) {
        return err_errno(err, "%s", j->part_path);
    }
    /* Without an ETag nothing says that the object is still the same. */
    if (fstat(j->fd, &st) == 0 && st.st_size > 0 && info->etag[0] != '\0' &&
        (uint64_t)st.st_size <= info->size) {
        j->have = (uint64_t)st.st_size;
        return ERR_CONTINUE;
    }
    if (ftruncate(j->fd, 0) != 0) {
        return err_errno(err, "%s", j->part_path);
    }
    return 0;
}

/* Compare what was continued with the object's checksum. */
static int check_whole(const struct job *j, struct err *err)
{
    uint8_t *piece;
    uint8_t sum[8];
    char text[TEXT_BASE64_MAX(8)];
    uint64_t crc = 0;
    off_t at = 0;
    ssize_t n;

    if (j->crc == NULL) {
        return 0;
    }
    piece = mem_realloc(NULL, PIECE);
    while ((n = pread(j->fd, piece, PIECE, at)) > 0) {
        crc = crc64nvme(crc, piece, (size_t)n);
        at += n;
    }
    free(piece);
    if (n < 0) {
        return err_errno(err, "%s", j->part_path);
    }
    for (unsigned i = 0; i < 8; i++) {
        sum[i] = (uint8_t)(crc >> (56 - 8 * i));
    }
    if (strcmp(text_base64(sum, 8, text), j->crc) != 0) {
        return err_set(err, ERR_MISMATCH,
                       "the bytes do not match the stored CRC64NVME");
    }
    return 0;
}

static int fetch(struct job *j, struct err *err)
{
    struct s3_get g = {.bucket = j->bucket,
                       .key = j->key,
                       .begin = on_begin,
                       .sink = on_bytes,
                       .arg = j};
    struct s3_info info;
    int rc = s3_client_get_object(j->o->client, &g, err);

    if (rc != ERR_CONTINUE) {
        return rc;
    }
    if (j->o->progress != NULL) {
        progress_skip(j->o->progress, j->have);
    }
    if (lseek(j->fd, 0, SEEK_END) < 0) {
        return err_errno(err, "%s", j->part_path);
    }
    /* All may be there: a range would be past the end. */
    rc = s3_client_head_object(j->o->client, j->bucket, j->key, &info, err);
    if (rc != 0) {
        return rc;
    }
    g.offset = j->have;
    g.if_match = j->etag;
    rc = 0;
    if (info.size > j->have || strcmp(info.etag, j->etag) != 0) {
        rc = s3_client_get_object(j->o->client, &g, err);
    }
    s3_info_free(&info);
    return rc != 0 ? rc : check_whole(j, err);
}

int download_make_folders(const char *path, struct err *err)
{
    char *folder = mem_strdup(path);
    int rc = 0;

    for (char *p = folder + 1; rc == 0 && (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
            rc = err_errno(err, "%s", folder);
        }
        *p = '/';
    }
    free(folder);
    return rc;
}

bool download_safe_name(const char *relative)
{
    const char *p = relative;

    if (*p == '\0') {
        return false;
    }
    for (;;) {
        size_t len = strcspn(p, "/");
        if (len == 0 || (len == 1 && p[0] == '.') ||
            (len == 2 && p[0] == '.' && p[1] == '.')) {
            return false;
        }
        p += len;
        if (*p == '\0') {
            return true;
        }
        p++;
    }
}

/* ---- opened on the way ---- */

struct opening {
    struct unseal *unseal;
    struct progress *progress;
};

static int on_sealed(void *arg, const void *p, size_t len, struct err *err)
{
    struct opening *o = arg;
    int rc = unseal_update(o->unseal, p, len, err);

    if (rc == 0 && o->progress != NULL) {
        progress_add(o->progress, (int64_t)len);
    }
    return rc;
}

static int download_opened(const struct download_options *o, const char *bucket,
                           const char *key, const char *path, struct err *err)
{
    struct opening opening = {.progress = o->progress};
    struct s3_get g = {
        .bucket = bucket, .key = key, .sink = on_sealed, .arg = &opening};
    struct whole_file out;
    int rc = whole_file_open(path, &out, err);

    if (rc != 0) {
        return rc;
    }
    opening.unseal = unseal_new(o->identities, whole_file_write, &out);
    rc = s3_client_get_object(o->client, &g, err);
    if (rc == 0) {
        rc = unseal_final(opening.unseal, err);
    }
    unseal_free(opening.unseal);
    if (rc != 0) {
        whole_file_abort(&out);
        return rc;
    }
    return whole_file_commit(&out, err);
}

int download_file(const struct download_options *o, const char *bucket,
                  const char *key, const char *path, struct err *err)
{
    struct job j = {
        .o = o, .bucket = bucket, .key = key, .path = path, .fd = -1};
    int rc;

    if (o->no_clobber && access(path, F_OK) == 0) {
        return err_set(err, ERR_EXISTS, "%s: is there already", path);
    }
    if (o->identities != NULL) {
        return download_opened(o, bucket, key, path, err);
    }
    rc = fetch(&j, err);
    if (rc == 0 && rename(j.part_path, path) != 0) {
        rc = err_errno(err, "%s", path);
    }
    /* Bytes that are wrong or of an old object are of no use to a next run. */
    if ((rc == ERR_MISMATCH || rc == ERR_PRECONDITION) && j.part_path != NULL) {
        unlink(j.part_path);
    }
    if (j.fd >= 0) {
        if (close(j.fd) != 0 && rc == 0) {
            rc = err_errno(err, "%s", path);
        }
    }
    free(j.part_path);
    free(j.etag);
    free(j.crc);
    return rc;
}

int download_stream(const struct download_options *o, const char *bucket,
                    const char *key, int fd, struct err *err)
{
    struct job j = {.o = o, .fd = fd};
    struct s3_get g = {
        .bucket = bucket, .key = key, .sink = on_bytes, .arg = &j};

    if (o->identities != NULL) {
        CHECK(fd == STDOUT_FILENO);
        return download_opened(o, bucket, key, "-", err);
    }
    return s3_client_get_object(o->client, &g, err);
}
