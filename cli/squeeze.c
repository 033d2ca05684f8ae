#include "cli/squeeze.h"

#include <stdint.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#define LEVEL 3
#define PIECE ((size_t)128 << 10)

struct squeeze {
    squeeze_sink_f sink;
    void *arg;
    ZSTD_CCtx *pack; /* one of both */
    ZSTD_DCtx *unpack;
    bool ended; /* the frame to unpack */
    uint8_t out[PIECE];
};

struct squeeze *squeeze_new(bool unpack, squeeze_sink_f sink, void *arg)
{
    struct squeeze *s = mem_alloc(sizeof *s);

    s->sink = sink;
    s->arg = arg;
    if (unpack) {
        s->unpack = ZSTD_createDCtx();
        CHECK(s->unpack != NULL);
        CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(
            s->unpack, ZSTD_d_windowLogMax, SQUEEZE_WINDOW_LOG_MAX)));
    } else {
        s->pack = ZSTD_createCCtx();
        CHECK(s->pack != NULL);
        CHECK(!ZSTD_isError(
            ZSTD_CCtx_setParameter(s->pack, ZSTD_c_compressionLevel, LEVEL)));
        CHECK(!ZSTD_isError(
            ZSTD_CCtx_setParameter(s->pack, ZSTD_c_checksumFlag, 1)));
    }
    return s;
}

void squeeze_free(struct squeeze *s)
{
    if (s == NULL) {
        return;
    }
    ZSTD_freeCCtx(s->pack);
    ZSTD_freeDCtx(s->unpack);
    mem_wipe(s, sizeof *s);
    free(s);
}

static int give(struct squeeze *s, size_t len, struct err *err)
{
    return len == 0 ? 0 : s->sink(s->arg, s->out, len, err);
}

static int pack(struct squeeze *s, const void *p, size_t len,
                ZSTD_EndDirective how, struct err *err)
{
    ZSTD_inBuffer in = {p, len, 0};
    size_t left;
    int rc;

    do {
        ZSTD_outBuffer out = {s->out, sizeof s->out, 0};
        left = ZSTD_compressStream2(s->pack, &out, &in, how);
        if (ZSTD_isError(left)) {
            return err_set(err, ERR_NOMEM, "zstd: %s", ZSTD_getErrorName(left));
        }
        rc = give(s, out.pos, err);
    } while (rc == 0 && (how == ZSTD_e_end ? left > 0 : in.pos < in.size));
    return rc;
}

static int unpack(struct squeeze *s, const void *p, size_t len, struct err *err)
{
    ZSTD_inBuffer in = {p, len, 0};
    ZSTD_outBuffer out = {s->out, sizeof s->out, 0};
    int rc = 0;

    /* A full piece may leave more behind that wants no more input. */
    while (rc == 0 && (in.pos < in.size || out.pos == sizeof s->out)) {
        size_t left;
        if (s->ended) {
            return in.pos == in.size ? 0
                                     : err_set(err, ERR_CORRUPT,
                                               "zstd: bytes behind the end");
        }
        out.pos = 0;
        left = ZSTD_decompressStream(s->unpack, &out, &in);
        if (ZSTD_isError(left)) {
            return err_set(err, ERR_CORRUPT, "zstd: %s",
                           ZSTD_getErrorName(left));
        }
        s->ended = left == 0;
        rc = give(s, out.pos, err);
    }
    return rc;
}

int squeeze_update(struct squeeze *s, const void *p, size_t len,
                   struct err *err)
{
    if (len == 0) {
        return 0;
    }
    return s->pack != NULL ? pack(s, p, len, ZSTD_e_continue, err)
                           : unpack(s, p, len, err);
}

int squeeze_final(struct squeeze *s, struct err *err)
{
    if (s->pack != NULL) {
        return pack(s, NULL, 0, ZSTD_e_end, err);
    }
    return s->ended ? 0 : err_set(err, ERR_CORRUPT, "zstd: cut");
}
