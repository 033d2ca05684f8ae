#include "meta/raft_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/raft_wire.h"

#define SNAPSHOT_MAGIC "GWRSNAP1"
#define SNAPSHOT_MAGIC_SIZE 8
#define SNAPSHOT_VERSION 1
#define SNAPSHOT_MAX (1u << 20)
#define SNAPSHOT_SERVERS_MAX 64
#define ADDRESS_MAX 256

void raft_snapshot_encode(const struct raft_snapshot *s, struct buf *out)
{
    CHECK(s->n_bufs == 1);
    CHECK(s->configuration.n <= SNAPSHOT_SERVERS_MAX);
    put_bytes(out, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_SIZE);
    put_u32(out, SNAPSHOT_VERSION);
    put_u32(out, 0);
    put_u64(out, s->index);
    put_u64(out, s->term);
    put_u64(out, s->configuration_index);
    put_blob(out, s->bufs[0].base, s->bufs[0].len);
    put_u32(out, s->configuration.n);
    for (unsigned i = 0; i < s->configuration.n; i++) {
        const struct raft_server *v = &s->configuration.servers[i];
        put_u64(out, v->id);
        put_u8(out, (uint8_t)v->role);
        put_text(out, v->address);
    }
    put_u32(out, crc32c(0, out->data, out->len));
}

static int decode_servers(struct wire_reader *r, struct raft_configuration *c)
{
    uint32_t n = get_u32(r);

    if (n > SNAPSHOT_SERVERS_MAX) {
        wire_fail(r);
    }
    for (uint32_t i = 0; i < n && wire_ok(r); i++) {
        uint64_t id = get_u64(r);
        int role = get_u8(r);
        char *address = get_text(r, ADDRESS_MAX);
        int rc = address != NULL ? raft_configuration_add(c, id, address, role)
                                 : RAFT_MALFORMED;
        free(address);
        if (rc != 0) {
            return rc;
        }
    }
    return wire_done(r) ? 0 : RAFT_MALFORMED;
}

void raft_snapshot_free(struct raft_snapshot *s)
{
    if (s == NULL) {
        return;
    }
    raft_configuration_close(&s->configuration);
    if (s->bufs != NULL) {
        raft_free(s->bufs[0].base);
        raft_free(s->bufs);
    }
    raft_free(s);
}

static int snapshot_decode(const struct buf *file, const char *path,
                           struct raft_snapshot **out, struct err *err)
{
    struct raft_snapshot *s;
    struct wire_reader r;
    const uint8_t *magic, *data;
    size_t len;

    if (file->len < SNAPSHOT_MAGIC_SIZE + 8 ||
        memcmp(file->data, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_SIZE) != 0 ||
        load_u32(file->data + file->len - 4) !=
            crc32c(0, file->data, file->len - 4)) {
        return err_set(err, ERR_CORRUPT, "%s: offset 0: snapshot is damaged",
                       path);
    }
    wire_init(&r, file->data, file->len - 4);
    magic = get_bytes(&r, SNAPSHOT_MAGIC_SIZE);
    CHECK(magic != NULL);
    if (get_u32(&r) != SNAPSHOT_VERSION) {
        return err_set(err, ERR_VERSION, "%s: snapshot version is not known",
                       path);
    }
    get_u32(&r);
    s = raft_calloc(1, sizeof *s);
    CHECK(s != NULL);
    raft_configuration_init(&s->configuration);
    s->index = get_u64(&r);
    s->term = get_u64(&r);
    s->configuration_index = get_u64(&r);
    data = get_blob(&r, SNAPSHOT_MAX, &len);
    if (data != NULL) {
        s->bufs = raft_calloc(1, sizeof *s->bufs);
        CHECK(s->bufs != NULL);
        s->bufs[0].base = raft_wire_give(data, len);
        s->bufs[0].len = len;
        s->n_bufs = 1;
    }
    if (decode_servers(&r, &s->configuration) != 0 || s->index == 0 ||
        s->bufs == NULL) {
        raft_snapshot_free(s);
        return err_set(err, ERR_CORRUPT, "%s: snapshot cannot be decoded",
                       path);
    }
    *out = s;
    return 0;
}

int raft_snapshot_read(const char *path, struct raft_snapshot **out,
                       struct err *err)
{
    struct buf file = {0};
    int rc = fs_read(path, SNAPSHOT_MAX, &file, err);

    *out = NULL;
    if (rc == 0) {
        rc = snapshot_decode(&file, path, out, err);
    } else if (rc == ERR_NOT_FOUND) {
        rc = 0;
    }
    buf_free(&file);
    return rc;
}
