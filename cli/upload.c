#include "cli/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/progress.h"
#include "client/s3_client.h"
#include "crypto/digest.h"

#define PIECE ((size_t)256 << 10)
#define PART_ROUND ((uint64_t)1 << 20)
#define ID_MAX ((size_t)1024)
#define STREAM_STEP 2000 /* parts of a stream after which they double */

/* ---- parts in parallel ---- */

struct job {
    const struct upload_options *o;
    struct s3_client_upload upload;
    pthread_mutex_t mutex;
    int fd;
    bool stream;   /* read in order, size not known */
    uint64_t size; /* of the file */
    uint64_t part_bytes;
    /* under mutex */
    unsigned next;         /* number of the part to take */
    bool ended;            /* nothing is left to take */
    struct s3_part *parts; /* by number - 1 */
    size_t count;
    int rc;
    struct err err;
};

static void on_bytes(void *arg, int64_t bytes)
{
    progress_add(arg, bytes);
}

static struct s3_body body_of(const struct upload_options *o)
{
    struct s3_body b = {.fd = -1};

    if (o->progress != NULL) {
        b.progress = on_bytes;
        b.progress_arg = o->progress;
    }
    return b;
}

/* Fill @p from @fd; *@len is less than @max only at the end. */
static int read_full(int fd, uint8_t *p, size_t max, size_t *len,
                     struct err *err)
{
    size_t n = 0;

    while (n < max) {
        ssize_t got = read(fd, p + n, max - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_errno(err, "read");
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    *len = n;
    return 0;
}

static void fail_job(struct job *j, int rc, const struct err *err)
{
    if (j->rc == 0) {
        j->rc = rc;
        j->err = *err;
    }
    j->ended = true;
}

static void reserve_part(struct job *j, unsigned number)
{
    if (number > j->count) {
        j->parts = mem_realloc(j->parts, number * sizeof *j->parts);
        memset(j->parts + j->count, 0, (number - j->count) * sizeof *j->parts);
        j->count = number;
    }
}

/* The next part of a file that is not there yet; mutex held. */
static unsigned take_file_part(struct job *j, struct s3_body *b)
{
    while (!j->ended) {
        unsigned number = j->next++;
        uint64_t at = (uint64_t)(number - 1) * j->part_bytes;
        if (at >= j->size) {
            j->ended = true;
            return 0;
        }
        if (j->parts[number - 1].etag == NULL) {
            b->fd = j->fd;
            b->offset = at;
            b->size =
                j->size - at < j->part_bytes ? j->size - at : j->part_bytes;
            return number;
        }
    }
    return 0;
}

static uint64_t stream_part_bytes(const struct job *j, unsigned number)
{
    return j->part_bytes << (number - 1) / STREAM_STEP;
}

/* The next part of a stream, read into *@memory; mutex held. */
static unsigned take_stream_part(struct job *j, struct s3_body *b,
                                 uint8_t **memory)
{
    struct err err = {{0}};
    size_t max = (size_t)stream_part_bytes(j, j->next);
    size_t len = 0;
    int rc;

    if (j->ended) {
        return 0;
    }
    if (j->next > S3_CLIENT_PARTS_MAX) {
        rc = err_set(&err, ERR_LIMIT, "the stream is too long for %d parts",
                     S3_CLIENT_PARTS_MAX);
        fail_job(j, rc, &err);
        return 0;
    }
    *memory = mem_realloc(*memory, max);
    rc = read_full(j->fd, *memory, max, &len, &err);
    if (rc != 0) {
        fail_job(j, rc, &err);
        return 0;
    }
    j->ended = len < max;
    if (len == 0) {
        return 0;
    }
    b->data = *memory;
    b->size = len;
    reserve_part(j, j->next);
    return j->next++;
}

static void *send_parts(void *arg)
{
    struct job *j = arg;
    uint8_t *memory = NULL;

    for (;;) {
        struct s3_body b = body_of(j->o);
        struct err err = {{0}};
        char *etag = NULL;
        unsigned number;
        int rc;
        pthread_mutex_lock(&j->mutex);
        number = j->stream ? take_stream_part(j, &b, &memory)
                           : take_file_part(j, &b);
        pthread_mutex_unlock(&j->mutex);
        if (number == 0) {
            break;
        }
        rc = s3_client_upload_part(j->o->client, &j->upload, number, &b, &etag,
                                   &err);
        pthread_mutex_lock(&j->mutex);
        if (rc != 0) {
            err_wrap(&err, rc, "part %u", number);
            fail_job(j, rc, &err);
        } else {
            j->parts[number - 1].number = number;
            j->parts[number - 1].size = b.size;
            j->parts[number - 1].etag = etag;
        }
        pthread_mutex_unlock(&j->mutex);
    }
    free(memory);
    return NULL;
}

/* Send what is missing and complete. */
static int run_job(struct job *j, struct err *err)
{
    pthread_t threads[UPLOAD_PARALLEL_MAX];
    unsigned started = 0;

    CHECK(j->o->parallel >= 1 && j->o->parallel <= UPLOAD_PARALLEL_MAX);
    pthread_mutex_init(&j->mutex, NULL);
    while (started + 1 < j->o->parallel &&
           pthread_create(&threads[started], NULL, send_parts, j) == 0) {
        started++;
    }
    send_parts(j); /* this thread too: it goes on when no other starts */
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&j->mutex);
    if (j->rc != 0) {
        return err_set(err, j->rc, "%s", j->err.text);
    }
    return s3_client_complete_upload(j->o->client, &j->upload, j->parts,
                                     j->count, err);
}

static void free_parts(struct job *j)
{
    struct s3_parts p = {j->parts, j->count};

    s3_parts_free(&p);
    j->parts = NULL;
    j->count = 0;
}

/* ---- what is there already ---- */

/* MD5 of a part of the file, as its ETag has it. */
static bool same_md5(int fd, uint64_t offset, uint64_t size, const char *etag)
{
    uint8_t *piece = mem_realloc(NULL, PIECE);
    uint8_t sum[DIGEST_MAX];
    char quoted[40] = "\"";
    struct digest md5 = {0};
    bool whole = true;

    digest_init(&md5, DIGEST_MD5);
    while (size > 0 && whole) {
        size_t max = size < PIECE ? (size_t)size : PIECE;
        ssize_t n = pread(fd, piece, max, (off_t)offset);
        whole = n > 0;
        if (whole) {
            digest_update(&md5, piece, (size_t)n);
            offset += (uint64_t)n;
            size -= (uint64_t)n;
        }
    }
    digest_final(&md5, sum);
    free(piece);
    text_hex(sum, 16, quoted + 1);
    quoted[33] = '"';
    quoted[34] = '\0';
    /* Some servers leave the quotes out. */
    return whole &&
           (strcmp(etag, quoted) == 0 ||
            (strlen(etag) == 32 && strncmp(etag, quoted + 1, 32) == 0));
}

/* Mark the parts that the server has and that are the file's. */
static void adopt_parts(struct job *j, struct s3_parts *there)
{
    for (size_t i = 0; i < there->count; i++) {
        struct s3_part *p = &there->items[i];
        uint64_t at = (uint64_t)(p->number - 1) * j->part_bytes;
        uint64_t due;
        if (p->number > j->count) {
            continue;
        }
        due = j->size - at < j->part_bytes ? j->size - at : j->part_bytes;
        if (p->size == due && same_md5(j->fd, at, due, p->etag)) {
            j->parts[p->number - 1] = *p;
            p->etag = NULL;
            if (j->o->progress != NULL) {
                progress_skip(j->o->progress, due);
            }
        }
    }
}

/* Go on with the upload named in @state. ERR_NO_UPLOAD: there is none. */
static int resume(struct job *j, const char *state, char **id, struct err *err)
{
    struct buf text = {0};
    struct s3_parts there;
    size_t len;
    int rc;

    if (state == NULL || fs_read(state, ID_MAX, &text, NULL) != 0 ||
        text.len == 0) {
        buf_free(&text);
        return ERR_NO_UPLOAD;
    }
    *id = (char *)buf_take(&text, &len);
    j->upload.id = *id;
    rc = s3_client_list_parts(j->o->client, &j->upload, &there, err);
    if (rc != 0) {
        free(*id);
        *id = NULL;
        return rc;
    }
    adopt_parts(j, &there);
    s3_parts_free(&there);
    return 0;
}

char *upload_state_path(const char *endpoint, const char *bucket,
                        const char *key, const char *path, uint64_t size,
                        uint64_t mtime_ns, uint64_t part_bytes)
{
    const char *base = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char whole[PATH_MAX];
    uint8_t sum[DIGEST_MAX];
    char hex[65];
    struct buf b = {0};

    if ((base == NULL || *base != '/') && (home == NULL || *home == '\0')) {
        return NULL;
    }
    if (realpath(path, whole) == NULL) {
        return NULL;
    }
    buf_printf(&b, "%s\n%s\n%s\n%s\n%llu\n%llu\n%llu", endpoint, bucket, key,
               whole, (unsigned long long)size, (unsigned long long)mtime_ns,
               (unsigned long long)part_bytes);
    digest_of(DIGEST_SHA256, b.data, b.len, sum);
    buf_free(&b);
    text_hex(sum, 16, hex);
    return base != NULL && *base == '/'
               ? mem_printf("%s/godwit/uploads/%s", base, hex)
               : mem_printf("%s/.local/state/godwit/uploads/%s", home, hex);
}

/* Remember the upload for another run. That it cannot be is no failure: it
 * only cannot be continued. */
static void keep_state(const char *state, const char *id)
{
    char *folder;
    char *slash;

    if (state == NULL) {
        return;
    }
    folder = mem_strdup(state);
    slash = strrchr(folder, '/');
    *slash = '\0';
    if (fs_mkdirs(folder, NULL) == 0) {
        (void)fs_write(state, id, strlen(id), 0600, NULL);
    }
    free(folder);
}

/* ---- files and streams ---- */

uint64_t upload_part_size(uint64_t size, uint64_t part_bytes)
{
    uint64_t least = (size + S3_CLIENT_PARTS_MAX - 1) / S3_CLIENT_PARTS_MAX;

    if (part_bytes < least) {
        part_bytes = (least + PART_ROUND - 1) / PART_ROUND * PART_ROUND;
    }
    return part_bytes;
}

const char *upload_content_type(const char *key)
{
    static const struct {
        const char *ending;
        const char *type;
    } types[] = {
        {"css", "text/css"},          {"csv", "text/csv"},
        {"gif", "image/gif"},         {"gz", "application/gzip"},
        {"htm", "text/html"},         {"html", "text/html"},
        {"jpeg", "image/jpeg"},       {"jpg", "image/jpeg"},
        {"js", "text/javascript"},    {"json", "application/json"},
        {"md", "text/markdown"},      {"mp3", "audio/mpeg"},
        {"mp4", "video/mp4"},         {"pdf", "application/pdf"},
        {"png", "image/png"},         {"svg", "image/svg+xml"},
        {"tar", "application/x-tar"}, {"txt", "text/plain"},
        {"wasm", "application/wasm"}, {"webp", "image/webp"},
        {"xml", "application/xml"},   {"zip", "application/zip"},
        {"zst", "application/zstd"},
    };
    const char *slash = strrchr(key, '/');
    const char *dot = strrchr(slash != NULL ? slash : key, '.');

    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (text_ieq(dot + 1, types[i].ending)) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

static const char *type_of(const struct upload_options *o, const char *key)
{
    return o->content_type != NULL ? o->content_type : upload_content_type(key);
}

static int put_single(const struct upload_options *o, struct s3_body body,
                      const char *bucket, const char *key, struct err *err)
{
    struct s3_put p = {.bucket = bucket,
                       .key = key,
                       .content_type = type_of(o, key),
                       .if_none_match = o->no_clobber ? "*" : NULL,
                       .body = body};

    return s3_client_put_object(o->client, &p, NULL, err);
}

/* With --no-clobber parts are not sent in vain. */
static int refuse_clobber(const struct upload_options *o, const char *bucket,
                          const char *key, struct err *err)
{
    struct s3_info info;
    int rc;

    if (!o->no_clobber) {
        return 0;
    }
    rc = s3_client_head_object(o->client, bucket, key, &info, err);
    if (rc == 0) {
        s3_info_free(&info);
        return err_set(err, ERR_PRECONDITION, "is there already");
    }
    return rc == ERR_NO_KEY ? 0 : rc;
}

static uint64_t mtime_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000 +
           (uint64_t)st->st_mtim.tv_nsec;
}

static int put_parts(const struct upload_options *o, int fd,
                     const struct stat *st, const char *path,
                     const char *bucket, const char *key, struct err *err)
{
    uint64_t size = (uint64_t)st->st_size;
    struct job j = {.o = o,
                    .upload = {.bucket = bucket, .key = key},
                    .fd = fd,
                    .size = size,
                    .part_bytes = upload_part_size(size, o->part_bytes),
                    .next = 1};
    char *state = upload_state_path(o->endpoint, bucket, key, path, size,
                                    mtime_ns(st), j.part_bytes);
    char *id = NULL;
    int rc = refuse_clobber(o, bucket, key, err);

    if (rc != 0) {
        goto done;
    }
    reserve_part(&j, (unsigned)((size + j.part_bytes - 1) / j.part_bytes));
    rc = resume(&j, state, &id, err);
    if (rc == ERR_NO_UPLOAD) {
        rc = s3_client_create_upload(o->client, bucket, key, type_of(o, key),
                                     &id, err);
        if (rc == 0) {
            j.upload.id = id;
            keep_state(state, id);
        }
    }
    rc = rc != 0 ? rc : run_job(&j, err);
    if (rc == 0 && state != NULL) {
        unlink(state);
    } else if (rc == ERR_NO_UPLOAD && state != NULL) {
        unlink(
            state); /* it was aborted under our hands: begin anew next time */
    }
done:
    free_parts(&j);
    free(id);
    free(state);
    return rc;
}

int upload_file(const struct upload_options *o, const char *path,
                const char *bucket, const char *key, struct err *err)
{
    struct s3_body body = body_of(o);
    struct stat before, after;
    int rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return err_errno(err, "%s", path);
    }
    if (fstat(fd, &before) != 0) {
        rc = err_errno(err, "%s", path);
        goto done;
    }
    if (!S_ISREG(before.st_mode)) {
        rc = S_ISDIR(before.st_mode)
                 ? err_set(err, ERR_BAD_INPUT, "%s: is a folder; give -r", path)
                 : upload_stream(o, fd, bucket, key, err);
        goto done;
    }
    if ((uint64_t)before.st_size >= o->multipart_min) {
        rc = put_parts(o, fd, &before, path, bucket, key, err);
    } else {
        body.fd = fd;
        body.size = (uint64_t)before.st_size;
        rc = put_single(o, body, bucket, key, err);
    }
    if (rc != 0) {
        err_wrap(err, rc, "%s", path);
    } else if (fstat(fd, &after) == 0 &&
               (after.st_size != before.st_size ||
                mtime_ns(&after) != mtime_ns(&before))) {
        rc = err_set(err, ERR_IO,
                     "%s: changed while it was sent; the object may be a "
                     "mixture",
                     path);
    }
done:
    close(fd);
    return rc;
}

int upload_stream(const struct upload_options *o, int fd, const char *bucket,
                  const char *key, struct err *err)
{
    struct job j = {.o = o,
                    .upload = {.bucket = bucket, .key = key},
                    .fd = fd,
                    .stream = true,
                    .part_bytes = o->part_bytes};
    size_t max = (size_t)o->part_bytes;
    uint8_t *first = mem_realloc(NULL, max);
    struct s3_body body = body_of(o);
    char *id = NULL;
    size_t len;
    int rc = read_full(fd, first, max, &len, err);

    if (rc != 0) {
        goto done;
    }
    body.data = first;
    body.size = len;
    if (len < max) { /* all of it */
        rc = put_single(o, body, bucket, key, err);
        goto done;
    }
    rc = refuse_clobber(o, bucket, key, err);
    if (rc == 0) {
        rc = s3_client_create_upload(o->client, bucket, key, type_of(o, key),
                                     &id, err);
    }
    if (rc != 0) {
        goto done;
    }
    j.upload.id = id;
    reserve_part(&j, 1);
    rc = s3_client_upload_part(o->client, &j.upload, 1, &body, &j.parts[0].etag,
                               err);
    j.parts[0].number = 1;
    if (rc == 0) {
        j.next = 2;
        rc = run_job(&j, err);
    }
    if (rc != 0) {
        s3_client_abort_upload(o->client, &j.upload, NULL);
    }
done:
    free_parts(&j);
    free(first);
    free(id);
    return rc;
}
