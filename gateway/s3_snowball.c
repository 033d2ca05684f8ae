#include "gateway/s3_snowball.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "fleet/tar.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_more.h"
#include "gateway/s3_move.h"
#include "gateway/s3_router.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_upload.h"

#define WINDOW ((size_t)1 << 20)
#define ROUND_MEMBERS 200 /* named at a time */
#define ROUND_WAIT_MS 60000

/* A member whose bytes are durable, or stand in its command. */
struct item {
    struct s3_move move;
    struct buf command;
    struct meta_proposal proposal;
    char *key;
};

struct snowball {
    struct request *r;
    struct meta_object tar; /* borrows the upload's content */
    const uint8_t *key;     /* of the tar; NULL: not sealed */
    const char *prefix;     /* "" for none */
    bool ignore_dirs, ignore_errors;
    struct buf acl; /* attrs of the request's ACL headers */
    struct s3_more more;
    uint8_t *window; /* bytes of the tar, from window_at on */
    uint64_t window_at;
    size_t window_len;
    struct item *items;
    size_t count;
    uint64_t extracted, skipped, members;
    struct latch latch;
    size_t proposed;
};

/* ---- what is asked ---- */

static const char *option(const struct request *r, const char *name)
{
    char *own = mem_printf("x-amz-meta-snowball-%s", name);
    char *other = mem_printf("x-amz-meta-minio-snowball-%s", name);
    const char *text = request_header(r, own);

    if (text == NULL) {
        text = request_header(r, other);
    }
    free(own);
    free(other);
    return text;
}

static bool is_on(const struct request *r, const char *name)
{
    const char *text = option(r, name);

    return text != NULL && text_ieq(text, "true");
}

bool s3_snowball_asked(const struct request *r)
{
    return r->op == S3_OP_PutObject && is_on(r, "auto-extract");
}

/* ---- the tar's bytes ---- */

static struct s3_reader reader_at(const struct snowball *s, uint64_t offset,
                                  uint64_t len)
{
    return (struct s3_reader){.gateway = s->r->gateway,
                              .object = &s->tar,
                              .offset = offset,
                              .left = len,
                              .key = s->key};
}

static int fill_window(struct snowball *s, uint64_t offset, struct err *err)
{
    uint64_t left = s->tar.size_bytes - offset;
    struct s3_reader reader =
        reader_at(s, offset, left < WINDOW ? left : WINDOW);
    int rc = 0;

    s->window_at = offset;
    s->window_len = 0;
    while (rc == 0 && reader.left > 0) {
        struct object_bytes b;
        rc = s3_reader_take(&reader, WINDOW - s->window_len, &b, err);
        if (rc == 0) {
            memcpy(s->window + s->window_len, b.p, b.len);
            s->window_len += b.len;
            object_bytes_free(s->r->gateway->objects, &b);
        }
    }
    s3_reader_close(&reader);
    return rc == ERR_NOT_FOUND || rc == ERR_CORRUPT
               ? err_wrap(err, ERR_UNAVAILABLE, "the tar")
               : rc;
}

static bool in_window(const struct snowball *s, uint64_t offset, uint64_t len)
{
    return offset >= s->window_at && len <= s->window_len &&
           offset - s->window_at <= s->window_len - len;
}

static int fetch(void *arg, uint64_t offset, size_t len, const uint8_t **p,
                 struct err *err)
{
    struct snowball *s = arg;
    int rc = in_window(s, offset, len) ? 0 : fill_window(s, offset, err);

    if (rc == 0) {
        *p = s->window + (offset - s->window_at);
    }
    return rc;
}

/* ---- naming ---- */

static void on_proposed(struct meta_proposal *p)
{
    struct snowball *s = p->owner;

    latch_signal(&s->latch);
}

static void item_free(struct item *item, bool stored)
{
    s3_move_close(&item->move, stored);
    s3_sse_free(item->move.sse);
    buf_free(&item->command);
    free(item->key);
    *item = (struct item){.key = NULL};
}

/* Name all that waits. The first that the catalogue refuses is told in @err;
 * with ignore_errors it is skipped. */
static int end_round(struct snowball *s, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < s->count; i++) {
        struct item *item = &s->items[i];
        item->proposal = (struct meta_proposal){
            .command = item->command.data,
            .command_len = item->command.len,
            .done = on_proposed,
            .owner = s,
        };
        s->proposed++;
        meta_propose(s->r->gateway->meta, &item->proposal);
    }
    while (!latch_wait(&s->latch, s->proposed, ROUND_WAIT_MS)) {
        log_line(LOG_WARN, "members of a tar wait for the catalogue", NULL);
    }
    for (size_t i = 0; i < s->count; i++) {
        struct item *item = &s->items[i];
        int status = item->proposal.status;
        if (status == 0) {
            s->extracted++;
        } else if (rc == 0) {
            *err = item->proposal.err;
            rc = err_wrap(err, status, "%.200s", item->key);
        }
        s->skipped += status != 0 ? 1 : 0;
        item_free(item, status == 0 || status == ERR_UNKNOWN);
    }
    s->count = 0;
    return s->ignore_errors ? 0 : rc;
}

/* ---- members ---- */

static void put_attrs(const struct snowball *s, const struct s3_sse *sse,
                      struct buf *attrs)
{
    s3_attrs_begin(attrs);
    s3_attrs_copy_acl(s->acl.data, s->acl.len, attrs);
    if (sse != NULL) {
        s3_sse_attrs(sse, attrs);
    }
}

/* Bytes that are in the window are not read again. */
static int move(struct snowball *s, const struct tar_member *m,
                struct item *item, struct err *err)
{
    struct meta_object near = {.size_bytes = m->size};
    int rc;

    item->move.gateway = s->r->gateway;
    item->move.bucket = s->r->bucket;
    item->move.kind = DIGEST_CRC64NVME;
    item->move.reader = reader_at(s, m->offset, m->size);
    if (m->size <= WINDOW / 2 && m->size > 0) {
        const uint8_t *p;
        rc = fetch(s, m->offset, (size_t)m->size, &p, err);
        if (rc != 0) {
            return rc;
        }
        near.inline_bytes = s->window + (m->offset - s->window_at);
        item->move.reader.object = &near;
        item->move.reader.offset = 0;
        item->move.reader.key = NULL;
    }
    rc = s3_move_bytes(&item->move, err);
    s3_reader_close(&item->move.reader); /* @near goes */
    item->move.reader.object = NULL;
    return rc;
}

/* Make the member's bytes durable and the command that names them. *@replied:
 * how it is to be sealed cannot be, and a reply says why. */
static int prepare(struct snowball *s, const struct tar_member *m,
                   struct item *item, bool *replied, struct err *err)
{
    struct request *r = s->r;
    struct buf attrs = {0};
    int rc;

    *replied = !s3_sse_new(r, &item->move.sse);
    if (*replied) {
        return ERR_PRECONDITION;
    }
    rc = move(s, m, item, err);
    if (rc != 0) {
        return rc;
    }
    put_attrs(s, item->move.sse, &attrs);
    s3_attrs_add(&attrs, s3_checksum_header(item->move.kind), item->move.value);
    s3_attrs_add(&attrs, "x-amz-checksum-type", "FULL_OBJECT");
    buf_clear(&r->command);
    command_object_put(&r->command, r->bucket, item->key, NULL,
                       &item->move.content, item->move.etag, attrs.data,
                       attrs.len, r->time_ms);
    s3_more_add(r, &s->more);
    item->command = r->command;
    r->command = (struct buf){0};
    buf_free(&attrs);
    return 0;
}

/* Its key (free()), or why it can have none. */
static int judge(struct snowball *s, const struct tar_member *m, char **out,
                 struct err *err)
{
    const char *key = "", *why = tar_path_key(m->path, &key);
    size_t len = strlen(s->prefix);
    bool slash = len > 0 && s->prefix[len - 1] != '/';
    char *name;

    if (why != NULL) {
        return err_set(err, ERR_BAD_INPUT, "%.200s: %s", m->path, why);
    }
    if (m->type == TAR_OTHER) {
        return err_set(err, ERR_BAD_INPUT,
                       "%.200s: neither a file nor a folder", m->path);
    }
    len = strlen(key);
    name = mem_printf("%s%s%s%s", s->prefix, slash ? "/" : "", key,
                      m->type == TAR_FOLDER && key[len - 1] != '/' ? "/" : "");
    if (!s3_key_valid(name, strlen(name), &why)) {
        free(name);
        return err_set(err, ERR_BAD_INPUT, "%.200s: %s", m->path, why);
    }
    if (!s3_may(s->r, "s3:PutObject", s->r->bucket, name)) {
        free(name);
        return err_set(err, ERR_DENIED, "%.200s: access denied", m->path);
    }
    *out = name;
    return 0;
}

static int take_member(struct snowball *s, const struct tar_member *m,
                       bool *replied, struct err *err)
{
    struct item *item = &s->items[s->count];
    int rc;

    if (m->type == TAR_FOLDER && s->ignore_dirs) {
        return 0;
    }
    rc = judge(s, m, &item->key, err);
    if (rc == 0) {
        rc = prepare(s, m, item, replied, err);
        if (rc != 0 && !*replied) {
            err_wrap(err, rc, "%.200s", m->path);
        }
    }
    if (rc == 0) {
        s->count++;
        return s->count == ROUND_MEMBERS ? end_round(s, err) : 0;
    }
    item_free(item, false);
    if (*replied) {
        return rc;
    }
    s->skipped++;
    /* What is wrong with one member; what is wrong with us ends it. */
    return s->ignore_errors && (rc == ERR_BAD_INPUT || rc == ERR_DENIED) ? 0
                                                                         : rc;
}

static int take_all(struct snowball *s, bool *replied, struct err *err)
{
    struct tar_reader reader = {fetch, s, s->tar.size_bytes, 0};
    struct tar_member *m = mem_alloc(sizeof *m);
    struct err last = {{0}};
    bool more = true;
    int rc = 0, end;

    while (rc == 0 && more) {
        rc = tar_next(&reader, m, &more, err);
        if (rc == 0 && more && s->members++ == S3_SNOWBALL_MEMBERS_MAX) {
            rc = err_set(err, ERR_LIMIT, "over %d members in a tar",
                         S3_SNOWBALL_MEMBERS_MAX);
        } else if (rc == 0 && more) {
            rc = take_member(s, m, replied, err);
        }
    }
    free(m);
    end = end_round(s, &last); /* those before the bad one stay */
    if (rc == 0 && end != 0) {
        *err = last;
        rc = end;
    }
    return rc;
}

/* ---- the request ---- */

/* False: a reply was made. */
static bool read_asked(struct snowball *s)
{
    struct request *r = s->r;
    struct s3_put_conditions held = {0};
    const char *prefix = option(r, "prefix");
    bool conditional;

    s->prefix = prefix != NULL ? prefix : "";
    s->prefix += *s->prefix == '/' ? 1 : 0;
    s->ignore_dirs = is_on(r, "ignore-dirs");
    s->ignore_errors = is_on(r, "ignore-errors");
    if (!s3_put_conditions(r, &held)) {
        return false;
    }
    conditional = held.if_match != NULL || held.if_none_match != NULL;
    s3_put_conditions_free(&held);
    if (conditional || request_header(r, "x-godwit-sequence") != NULL) {
        reply_error(r, S3_NotImplemented,
                    "conditions, and deliveries of devices, do not go with "
                    "snowball-auto-extract");
        return false;
    }
    return s3_attrs_from(r, &s->acl) && s3_more_from(r, &s->more);
}

static void reply_failed(struct request *r, int rc, const struct err *err)
{
    if (rc == ERR_BAD_INPUT || rc == ERR_LIMIT) {
        reply_error(r, S3_InvalidArgument, "%s", err->text);
    } else {
        reply_err(r, rc, err);
    }
}

static void extract(struct snowball *s)
{
    struct request *r = s->r;
    struct err err = {{0}};
    bool replied = false;
    int rc;

    s->window = mem_alloc(WINDOW);
    s->items = mem_calloc(ROUND_MEMBERS, sizeof s->items[0]);
    latch_init(&s->latch);
    rc = take_all(s, &replied, &err);
    latch_close(&s->latch);
    free(s->items);
    free(s->window);
    if (rc == 0) {
        reply(r, 200);
        reply_header(r, "ETag", "\"%s\"", s3_upload_etag(r->upload));
        reply_header(r, "x-godwit-extracted", "%llu",
                     (unsigned long long)s->extracted);
        reply_header(r, "x-godwit-skipped", "%llu",
                     (unsigned long long)s->skipped);
    } else if (!replied) {
        reply_failed(r, rc, &err);
    }
}

void s3_snowball_extract(struct request *r)
{
    const struct meta_content *c = s3_upload_content(r->upload);
    const struct s3_sse *sse = s3_upload_sse(r->upload);
    struct snowball s = {
        .r = r,
        .tar = {.size_bytes = c->size_bytes,
                .inline_bytes = (uint8_t *)c->inline_bytes,
                .manifest = (uint8_t *)c->manifest,
                .manifest_len = c->manifest_len},
        .key = sse != NULL ? s3_sse_key(sse) : NULL,
    };

    if (read_asked(&s)) {
        extract(&s);
        s3_more_free(&s.more);
    }
    buf_free(&s.acl);
    s3_upload_close(r->upload, false); /* the tar itself is not kept */
    request_done(r);
}
