#include "crypto/bech32.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define CHECKSUM 6
#define DIGITS_MAX ((BECH32_BYTES_MAX * 8 + 4) / 5)

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* BIP 173: one step of the checksum, a BCH code over GF(32). */
static uint32_t polymod(uint32_t sum, uint8_t digit)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa,
                                          0x3d4233dd, 0x2a1462b3};
    uint32_t top = sum >> 25;

    sum = (sum & 0x1ffffff) << 5 ^ digit;
    for (int i = 0; i < 5; i++) {
        sum ^= (top >> i & 1) != 0 ? generator[i] : 0;
    }
    return sum;
}

static uint32_t polymod_prefix(const char *prefix)
{
    uint32_t sum = 1;

    for (const char *c = prefix; *c != '\0'; c++) {
        sum = polymod(sum, (uint8_t)*c >> 5);
    }
    sum = polymod(sum, 0);
    for (const char *c = prefix; *c != '\0'; c++) {
        sum = polymod(sum, (uint8_t)*c & 31);
    }
    return sum;
}

char *bech32_encode(const char *prefix, const void *p, size_t len, char *out)
{
    const uint8_t *bytes = p;
    uint32_t sum = polymod_prefix(prefix);
    uint32_t held = 0;
    unsigned bits = 0;
    char *to = out;

    CHECK(len <= BECH32_BYTES_MAX);
    to = stpcpy(to, prefix);
    *to++ = '1';
    for (size_t i = 0; i < len || bits > 0;) {
        uint8_t digit;
        if (bits < 5 && i < len) {
            held = (held & 0xff) << 8 | bytes[i++];
            bits += 8;
        } else if (bits < 5) {
            held <<= 5 - bits;
            bits = 5;
        }
        bits -= 5;
        digit = held >> bits & 31;
        sum = polymod(sum, digit);
        *to++ = alphabet[digit];
    }
    for (int i = 0; i < CHECKSUM; i++) {
        sum = polymod(sum, 0);
    }
    sum ^= 1;
    for (int i = CHECKSUM - 1; i >= 0; i--) {
        *to++ = alphabet[sum >> 5 * i & 31];
    }
    *to = '\0';
    return out;
}

/* Digits after the separator into @digits; false when one is none. */
static bool digits_of(const char *text, size_t count, bool upper,
                      uint8_t *digits)
{
    for (size_t i = 0; i < count; i++) {
        char c = text[i];
        const char *at;
        if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z') {
            return false;
        }
        c = upper && c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        at = c == '\0' ? NULL : strchr(alphabet, c);
        if (at == NULL) {
            return false;
        }
        digits[i] = (uint8_t)(at - alphabet);
    }
    return true;
}

bool bech32_decode(const char *text, const char *prefix, void *out, size_t len)
{
    uint8_t digits[DIGITS_MAX + CHECKSUM], bytes[BECH32_BYTES_MAX];
    size_t prefix_len = strlen(prefix), count = (len * 8 + 4) / 5, made = 0;
    uint32_t sum = polymod_prefix(prefix), held = 0;
    unsigned bits = 0;
    bool upper = text[0] >= 'A' && text[0] <= 'Z', ok = false;

    CHECK(len <= BECH32_BYTES_MAX);
    if (strlen(text) != prefix_len + 1 + count + CHECKSUM ||
        text[prefix_len] != '1') {
        return false;
    }
    for (size_t i = 0; i < prefix_len; i++) {
        char c = prefix[i];
        if (text[i] != (upper && c >= 'a' && c <= 'z' ? c - 0x20 : c)) {
            return false;
        }
    }
    if (!digits_of(text + prefix_len + 1, count + CHECKSUM, upper, digits)) {
        goto wipe;
    }
    for (size_t i = 0; i < count + CHECKSUM; i++) {
        sum = polymod(sum, digits[i]);
    }
    for (size_t i = 0; i < count; i++) {
        held = (held & 0xff) << 5 | digits[i];
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            bytes[made++] = (uint8_t)(held >> bits);
        }
    }
    /* The bits that fill the last digit are zero. */
    ok = sum == 1 && made == len && (held & ((1u << bits) - 1)) == 0;
    if (ok) {
        memcpy(out, bytes, len);
    }
wipe:
    mem_wipe(digits, sizeof digits);
    mem_wipe(bytes, sizeof bytes);
    return ok;
}
