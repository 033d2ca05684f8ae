#include <stdbool.h>

#include "base/wire.h"
#include "crypto/digest.h"

/* The agent's crc32c of crypto/digest.h, for isa-l is not linked there: by the
 * processor's instruction, else eight bytes at a time from tables (Kounavis and
 * Berry, "Novel table lookup-based algorithms", 2008). */

#define POLYNOMIAL 0x82f63b78u /* of RFC 3720, reflected */

static uint32_t tables[8][256];

__attribute__((constructor)) static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) {
            c = (c & 1) != 0 ? (c >> 1) ^ POLYNOMIAL : c >> 1;
        }
        tables[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++) {
            uint32_t before = tables[t - 1][i];
            tables[t][i] = (before >> 8) ^ tables[0][before & 0xff];
        }
    }
}

static uint32_t by_tables(uint32_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t low = crc ^ load_u32(p);
        uint32_t high = load_u32(p + 4);
        crc = tables[7][low & 0xff] ^ tables[6][(low >> 8) & 0xff] ^
              tables[5][(low >> 16) & 0xff] ^ tables[4][low >> 24] ^
              tables[3][high & 0xff] ^ tables[2][(high >> 8) & 0xff] ^
              tables[1][(high >> 16) & 0xff] ^ tables[0][high >> 24];
    }
    for (; len > 0; p++, len--) {
        crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xff];
    }
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(
    uint32_t crc, const uint8_t *p, size_t len)
{
    uint64_t c = crc;

    for (; len >= 8; p += 8, len -= 8) {
        c = __builtin_ia32_crc32di(c, load_u64(p));
    }
    for (; len > 0; p++, len--) {
        c = __builtin_ia32_crc32qi((uint32_t)c, *p);
    }
    return (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    crc = ~crc;
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return ~by_instruction(crc, p, len);
    }
#endif
    return ~by_tables(crc, p, len);
}
