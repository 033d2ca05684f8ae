#include "edge-agent/shrink.h"

#include <stdlib.h>

#ifndef GODWIT_EDGE_NO_ZSTD
#include <zstd.h>
#endif

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#ifndef GODWIT_EDGE_NO_ZSTD

#define LEVEL 1
#define WINDOW_LOG 16 /* 64 KiB: that of one small object */
#define HASH_LOG 14
#define PAYS 16
#define PIECE ((size_t)64 << 10)

struct shrink {
    ZSTD_CCtx *ctx;
};

struct unshrink {
    ZSTD_DCtx *ctx;
    bool ended;
};

bool shrink_able(void)
{
    return true;
}

static void set(ZSTD_CCtx *ctx, ZSTD_cParameter name, int value)
{
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(ctx, name, value)));
}

struct shrink *shrink_new(void)
{
    struct shrink *s = mem_alloc(sizeof *s);

    s->ctx = ZSTD_createCCtx();
    CHECK(s->ctx != NULL);
    set(s->ctx, ZSTD_c_compressionLevel, LEVEL);
    set(s->ctx, ZSTD_c_windowLog, WINDOW_LOG);
    set(s->ctx, ZSTD_c_hashLog, HASH_LOG);
    set(s->ctx, ZSTD_c_checksumFlag, 1);
    return s;
}

void shrink_free(struct shrink *s)
{
    if (s != NULL) {
        ZSTD_freeCCtx(s->ctx);
        free(s);
    }
}

bool shrink_whole(struct shrink *s, const void *p, size_t len, struct buf *out)
{
    size_t room = len - len / PAYS;
    size_t n;

    if (len < SHRINK_MIN) {
        return false;
    }
    buf_reserve(out, room + 1);
    /* No room is the answer that it does not pay. */
    n = ZSTD_compress2(s->ctx, out->data + out->len, room, p, len);
    if (ZSTD_isError(n)) {
        return false;
    }
    out->len += n;
    out->data[out->len] = '\0';
    return true;
}

static void run(struct shrink *s, const void *p, size_t len,
                ZSTD_EndDirective how, struct buf *out)
{
    ZSTD_inBuffer in = {p, len, 0};
    size_t left;

    do {
        ZSTD_outBuffer to = {NULL, PIECE, 0};
        buf_reserve(out, PIECE + 1);
        to.dst = out->data + out->len;
        left = ZSTD_compressStream2(s->ctx, &to, &in, how);
        CHECK(!ZSTD_isError(left)); /* but for memory it cannot fail */
        out->len += to.pos;
    } while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
    out->data[out->len] = '\0';
}

void shrink_update(struct shrink *s, const void *p, size_t len, struct buf *out)
{
    if (len > 0) {
        run(s, p, len, ZSTD_e_continue, out);
    }
}

void shrink_final(struct shrink *s, struct buf *out)
{
    run(s, "", 0, ZSTD_e_end, out);
}

/* ---- the reverse ---- */

struct unshrink *unshrink_new(void)
{
    struct unshrink *u = mem_alloc(sizeof *u);

    u->ctx = ZSTD_createDCtx();
    CHECK(u->ctx != NULL);
    return u;
}

void unshrink_free(struct unshrink *u)
{
    if (u != NULL) {
        ZSTD_freeDCtx(u->ctx);
        free(u);
    }
}

int unshrink_update(struct unshrink *u, const void *p, size_t len,
                    struct buf *out, struct err *err)
{
    ZSTD_inBuffer in = {p, len, 0};
    size_t made = 1;

    while (in.pos < in.size || (made == PIECE && !u->ended)) {
        ZSTD_outBuffer to = {NULL, PIECE, 0};
        size_t left;
        if (u->ended) {
            return err_set(err, ERR_CORRUPT, "zstd: bytes behind the end");
        }
        buf_reserve(out, PIECE + 1);
        to.dst = out->data + out->len;
        left = ZSTD_decompressStream(u->ctx, &to, &in);
        if (ZSTD_isError(left)) {
            return err_set(err, ERR_CORRUPT, "zstd: %s",
                           ZSTD_getErrorName(left));
        }
        u->ended = left == 0;
        made = to.pos;
        out->len += made;
        out->data[out->len] = '\0';
    }
    return 0;
}

int unshrink_final(const struct unshrink *u, struct err *err)
{
    return u->ended ? 0 : err_set(err, ERR_CORRUPT, "zstd: cut");
}

#else /* GODWIT_EDGE_NO_ZSTD */

struct shrink {
    char none;
};

struct unshrink {
    char none;
};

bool shrink_able(void)
{
    return false;
}

struct shrink *shrink_new(void)
{
    return mem_alloc(sizeof(struct shrink));
}

void shrink_free(struct shrink *s)
{
    free(s);
}

bool shrink_whole(struct shrink *s, const void *p, size_t len, struct buf *out)
{
    (void)s;
    (void)p;
    (void)len;
    (void)out;
    return false;
}

void shrink_update(struct shrink *s, const void *p, size_t len, struct buf *out)
{
    (void)s;
    (void)p;
    (void)len;
    (void)out;
    CHECK(false); /* no whole text paid */
}

void shrink_final(struct shrink *s, struct buf *out)
{
    shrink_update(s, NULL, 0, out);
}

struct unshrink *unshrink_new(void)
{
    return mem_alloc(sizeof(struct unshrink));
}

void unshrink_free(struct unshrink *u)
{
    free(u);
}

int unshrink_update(struct unshrink *u, const void *p, size_t len,
                    struct buf *out, struct err *err)
{
    (void)u;
    (void)p;
    (void)len;
    (void)out;
    return err_set(err, ERR_UNSUPPORTED, "built without zstd");
}

int unshrink_final(const struct unshrink *u, struct err *err)
{
    (void)u;
    return err_set(err, ERR_UNSUPPORTED, "built without zstd");
}

#endif
