/* The part of prim.h that is the same on both libraries. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "crypto/prim.h"

#define INFO_MAX 256 /* ours are labels; HPKE's are under 150 bytes */

void prim_hkdf_extract(const void *salt, size_t salt_len, const void *ikm,
                       size_t ikm_len, uint8_t prk[PRIM_SHA256])
{
    /* HMAC pads a key with zeros: no salt is a salt of zeros. */
    prim_hmac(salt, salt_len, ikm, ikm_len, prk);
}

/* T(i) = HMAC(prk, T(i - 1) || info || i); RFC 5869, section 2.3. */
void prim_hkdf_expand(const uint8_t prk[PRIM_SHA256], const void *info,
                      size_t info_len, void *out, size_t out_len)
{
    uint8_t text[PRIM_SHA256 + INFO_MAX + 1], block[PRIM_SHA256] = {0};
    uint8_t key[PRIM_SHA256], *to = out;
    size_t before = 0;

    CHECK(info_len <= INFO_MAX);
    CHECK(out_len <= PRIM_EXPAND_MAX);
    memcpy(key, prk, sizeof key); /* @out may be @prk */
    for (uint8_t i = 1; out_len > 0; i++) {
        size_t n = out_len < sizeof block ? out_len : sizeof block;
        memcpy(text, block, before);
        if (info_len > 0) {
            memcpy(text + before, info, info_len);
        }
        text[before + info_len] = i;
        prim_hmac(key, sizeof key, text, before + info_len + 1, block);
        memcpy(to, block, n);
        to += n;
        out_len -= n;
        before = sizeof block;
    }
    mem_wipe(key, sizeof key);
    mem_wipe(text, sizeof text);
    mem_wipe(block, sizeof block);
}
