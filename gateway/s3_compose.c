#include "gateway/s3_compose.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "gateway/s3_attrs.h"

#define MD5_SIZE 16

/* A composite checksum is at its longest with SHA-256 and 10,000 parts. */
_Static_assert(TEXT_BASE64_MAX(DIGEST_MAX) + sizeof "-10000" - 1 <=
                   S3_COMPOSE_VALUE,
               "a checksum's text has room");
_Static_assert(2 * MD5_SIZE + sizeof "-10000" - 1 <= META_ETAG_MAX,
               "an ETag has room");

void s3_compose_init(struct s3_compose *c)
{
    *c = (struct s3_compose){.count = 0};
    digest_init(&c->md5, DIGEST_MD5);
}

void s3_compose_close(struct s3_compose *c)
{
    digest_free(&c->md5);
    digest_free(&c->check);
}

static bool is_crc(enum digest_kind kind)
{
    return kind == DIGEST_CRC32 || kind == DIGEST_CRC32C ||
           kind == DIGEST_CRC64NVME;
}

void s3_compose_kind(struct s3_compose *c, enum digest_kind kind,
                     bool composite)
{
    CHECK(!c->has_kind);
    CHECK(composite || is_crc(kind));
    c->kind = kind;
    c->has_kind = true;
    c->composite = composite;
    if (composite) {
        digest_init(&c->check, kind);
    }
}

/* Take a part's checksum into the object's; false when the object can have
 * none. */
static bool add_check(struct s3_compose *c, const char *check,
                      uint64_t size_bytes)
{
    uint8_t raw[TEXT_BASE64_MAX(DIGEST_MAX)];
    enum digest_kind kind;
    const char *value;
    size_t len;

    if (!s3_part_check(check, &kind, &value)) {
        return false;
    }
    if (!c->has_kind && c->count == 0 && is_crc(kind)) {
        s3_compose_kind(c, kind, false);
    }
    if (!c->has_kind || kind != c->kind ||
        strlen(value) >= TEXT_BASE64_MAX(DIGEST_MAX) ||
        !text_unbase64(value, strlen(value), raw, &len) ||
        len != digest_size(kind)) {
        return false;
    }
    if (c->composite) {
        digest_update(&c->check, raw, len);
    } else if (c->count == 0) {
        memcpy(c->crc, raw, len);
    } else {
        digest_crc_combine(kind, c->crc, raw, size_bytes, c->crc);
    }
    return true;
}

bool s3_compose_add(struct s3_compose *c, const char *etag, const char *check,
                    uint64_t size_bytes)
{
    uint8_t md5[MD5_SIZE];

    if (!text_unhex(etag, strlen(etag), md5, sizeof md5)) {
        return false;
    }
    digest_update(&c->md5, md5, sizeof md5);
    if (!c->broken && !add_check(c, check, size_bytes)) {
        c->broken = true;
    }
    c->size_bytes += size_bytes;
    c->count++;
    return true;
}

char *s3_compose_etag(struct s3_compose *c, char out[META_ETAG_MAX + 1])
{
    uint8_t sum[DIGEST_MAX];

    digest_final(&c->md5, sum);
    text_hex(sum, MD5_SIZE, out);
    snprintf(out + 2 * MD5_SIZE, META_ETAG_MAX + 1 - 2 * MD5_SIZE, "-%zu",
             c->count);
    return out;
}

bool s3_compose_checksum(struct s3_compose *c, char out[S3_COMPOSE_VALUE])
{
    uint8_t sum[DIGEST_MAX];
    size_t len;

    if (!c->has_kind || c->broken || c->count == 0) {
        return false;
    }
    if (!c->composite) {
        text_base64(c->crc, digest_size(c->kind), out);
        return true;
    }
    digest_final(&c->check, sum);
    text_base64(sum, digest_size(c->kind), out);
    len = strlen(out);
    snprintf(out + len, S3_COMPOSE_VALUE - len, "-%zu", c->count);
    return true;
}
