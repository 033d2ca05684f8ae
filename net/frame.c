#include "net/frame.h"

#include "base/err.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "net/net.h"

#define MAGIC 0x464e5747u
#define VERSION 1

void frame_encode(const struct frame *f, uint8_t out[FRAME_BYTES])
{
    store_u32(out, MAGIC);
    out[4] = VERSION;
    out[5] = (uint8_t)f->kind;
    out[6] = f->service;
    out[7] = f->type;
    store_u64(out + 8, f->id);
    store_u32(out + 16, f->value);
    store_u32(out + 20, f->head_len);
    store_u32(out + 24, f->body_len);
    store_u32(out + 28, f->head_crc);
    store_u32(out + 32, f->body_crc);
    store_u32(out + 36, crc32c(0, out, 36));
}

int frame_decode(const uint8_t in[FRAME_BYTES], struct frame *out,
                 struct err *err)
{
    if (load_u32(in) != MAGIC) {
        return err_set(err, ERR_CORRUPT, "frame: wrong magic");
    }
    if (in[4] != VERSION) {
        return err_set(err, ERR_VERSION, "frame: version %u is not known",
                       in[4]);
    }
    if (load_u32(in + 36) != crc32c(0, in, 36)) {
        return err_set(err, ERR_CORRUPT, "frame: its checksum does not match");
    }
    *out = (struct frame){.kind = in[5],
                          .service = in[6],
                          .type = in[7],
                          .id = load_u64(in + 8),
                          .value = load_u32(in + 16),
                          .head_len = load_u32(in + 20),
                          .body_len = load_u32(in + 24),
                          .head_crc = load_u32(in + 28),
                          .body_crc = load_u32(in + 32)};
    if (in[5] < FRAME_REQUEST || in[5] > FRAME_PONG ||
        out->service >= NET_SERVICES) {
        return err_set(err, ERR_CORRUPT, "frame: kind %u, service %u", in[5],
                       out->service);
    }
    if (out->head_len > NET_HEAD_MAX || out->body_len > NET_BODY_MAX) {
        return err_set(err, ERR_LIMIT, "frame: %u and %u bytes are too many",
                       out->head_len, out->body_len);
    }
    return 0;
}
