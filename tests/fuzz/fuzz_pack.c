/* fuzz_pack.c: pack_read of any bytes as blocks.
 *
 * The first bytes choose the shape, the rest are what is stored. It must not
 * crash, read or write beyond what it is given, nor take a span that the
 * shape's judge would not.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "object/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCKS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct packers *packers;
    uint32_t blocks[BLOCKS], head[BLOCKS + 3], stored = 0;
    struct pack_shape shape = {.blocks = blocks};
    uint32_t offset, length;
    uint8_t *out;
    struct err err = {{0}};

    if (packers == NULL) {
        packers = packers_new();
    }
    if (size < sizeof head) {
        return 0;
    }
    memcpy(head, data, sizeof head);
    data += sizeof head;
    size -= sizeof head;
    shape.shift = PACK_SHIFT_MIN;
    shape.plain_bytes = 1 + head[0] % (BLOCKS << PACK_SHIFT_MIN);
    for (uint32_t i = 0; i < pack_blocks(shape.plain_bytes, shape.shift); i++) {
        blocks[i] = head[3 + i] % ((1 << PACK_SHIFT_MIN) + 1);
        stored += blocks[i];
    }
    if (pack_judge(&shape, stored) != NULL || stored > size) {
        return 0;
    }
    offset = head[1] % shape.plain_bytes;
    length = 1 + head[2] % (shape.plain_bytes - offset);
    out = malloc(length);
    CHECK(out != NULL);
    if (pack_read(packers, &shape, offset, length,
                  data + pack_span(&shape, offset, length).at, out,
                  &err) != 0) {
        CHECK(err.text[0] != '\0');
    }
    free(out);
    return 0;
}
