#include "meta/raft_log_format.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define HEAD_MAGIC "GWLOGSEG"
#define VOTE_MAGIC "GWRVOTE1"
#define MAGIC_SIZE 8
#define RECORD_MAGIC 0x31524c47u /* "GLR1" */
#define BLOCK_CRC (RAFT_LOG_BLOCK - 4)
#define RECORD_CRC 44

static void seal_block(uint8_t *block)
{
    store_u32(block + BLOCK_CRC, crc32c(0, block, BLOCK_CRC));
}

static bool whole_block(const uint8_t *block, const char *magic)
{
    return memcmp(block, magic, MAGIC_SIZE) == 0 &&
           load_u32(block + BLOCK_CRC) == crc32c(0, block, BLOCK_CRC);
}

void raft_log_head_encode(uint8_t *block, uint64_t sequence, uint64_t salt,
                          uint64_t first, uint64_t bytes)
{
    memset(block, 0, RAFT_LOG_BLOCK);
    memcpy(block, HEAD_MAGIC, MAGIC_SIZE);
    store_u32(block + 8, RAFT_LOG_VERSION);
    store_u64(block + 16, sequence);
    store_u64(block + 24, salt);
    store_u64(block + 32, first);
    store_u64(block + 40, bytes);
    seal_block(block);
}

int raft_log_head_decode(const uint8_t *block, struct raft_log_head *out,
                         struct err *err)
{
    struct raft_log_head h;

    if (!whole_block(block, HEAD_MAGIC)) {
        return err_set(err, ERR_CORRUPT, "segment header is damaged");
    }
    if (load_u32(block + 8) != RAFT_LOG_VERSION) {
        return err_set(err, ERR_VERSION, "log version %u is not known",
                       load_u32(block + 8));
    }
    h.sequence = load_u64(block + 16);
    h.salt = load_u64(block + 24);
    h.first = load_u64(block + 32);
    h.bytes = load_u64(block + 40);
    if (h.first == 0 || h.bytes < 2 * RAFT_LOG_BLOCK ||
        h.bytes % RAFT_LOG_BLOCK != 0 || h.bytes > UINT32_MAX) {
        return err_set(err, ERR_CORRUPT, "segment header makes no sense");
    }
    *out = h;
    return 0;
}

size_t raft_log_record_bytes(size_t len)
{
    return mem_round_up(RAFT_LOG_RECORD_HEAD + len, RAFT_LOG_BLOCK);
}

size_t raft_log_record_encode(uint8_t *p, const struct raft_log_entry *e,
                              uint64_t salt, uint64_t batch)
{
    size_t bytes = raft_log_record_bytes(e->len);
    uint32_t crc;

    store_u32(p, RECORD_MAGIC);
    store_u32(p + 4, (uint32_t)e->len);
    store_u64(p + 8, salt);
    store_u64(p + 16, e->term);
    store_u64(p + 24, e->index);
    store_u64(p + 32, batch);
    store_u16(p + 40, e->type);
    store_u16(p + 42, 0);
    if (e->len > 0) {
        memcpy(p + RAFT_LOG_RECORD_HEAD, e->data, e->len);
    }
    memset(p + RAFT_LOG_RECORD_HEAD + e->len, 0,
           bytes - RAFT_LOG_RECORD_HEAD - e->len);
    crc = crc32c(0, p, RECORD_CRC);
    store_u32(p + RECORD_CRC, crc32c(crc, p + RAFT_LOG_RECORD_HEAD, e->len));
    return bytes;
}

bool raft_log_record_decode(const uint8_t *p, uint64_t left, uint64_t salt,
                            struct raft_log_record *out)
{
    size_t len;
    uint32_t crc;

    if (left < RAFT_LOG_BLOCK || load_u32(p) != RECORD_MAGIC ||
        load_u64(p + 8) != salt) {
        return false;
    }
    len = load_u32(p + 4);
    if (len > RAFT_LOG_RECORD_MAX || raft_log_record_bytes(len) > left) {
        return false;
    }
    crc = crc32c(0, p, RECORD_CRC);
    crc = crc32c(crc, p + RAFT_LOG_RECORD_HEAD, len);
    if (load_u32(p + RECORD_CRC) != crc) {
        return false;
    }
    out->entry = (struct raft_log_entry){
        .term = load_u64(p + 16),
        .index = load_u64(p + 24),
        .type = load_u16(p + 40),
        .data = p + RAFT_LOG_RECORD_HEAD,
        .len = len,
    };
    out->batch = load_u64(p + 32);
    out->bytes = raft_log_record_bytes(len);
    return true;
}

void raft_vote_encode(uint8_t *block, const struct raft_vote *v,
                      uint64_t sequence)
{
    memset(block, 0, RAFT_LOG_BLOCK);
    memcpy(block, VOTE_MAGIC, MAGIC_SIZE);
    store_u32(block + 8, RAFT_LOG_VERSION);
    store_u64(block + 16, sequence);
    store_u64(block + 24, v->term);
    store_u64(block + 32, v->vote);
    seal_block(block);
}

bool raft_vote_decode(const uint8_t *block, struct raft_vote *out,
                      uint64_t *sequence)
{
    if (!whole_block(block, VOTE_MAGIC) ||
        load_u32(block + 8) != RAFT_LOG_VERSION) {
        return false;
    }
    *sequence = load_u64(block + 16);
    out->term = load_u64(block + 24);
    out->vote = load_u64(block + 32);
    return true;
}
