/* fuzz_map.c: map_decode on any bytes.
 *
 * It must not crash; what it takes must keep the bounds of the header and be
 * encoded to the very same bytes, or, when it was of version 1, to bytes that
 * give the same map again.
 */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "erasure/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct placement_map map, again;
    struct buf bytes = {0};
    struct err err = {{0}};

    if (map_decode(data, size, &map, &err) != 0) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    CHECK(ec_policy_is_valid(map.policy));
    CHECK(map.count >= 1 && map.count <= PLACEMENT_GROUPS_MAX);
    map_encode(&map, &bytes);
    if (data[0] == 2) {
        CHECK(bytes.len == size && memcmp(bytes.data, data, size) == 0);
    }
    CHECK(map_decode(bytes.data, bytes.len, &again, NULL) == 0);
    CHECK(again.epoch == map.epoch && again.count == map.count);
    for (uint32_t i = 0; i < map.count; i++) {
        CHECK(memcmp(&again.groups[i], &map.groups[i], sizeof map.groups[i]) ==
              0);
    }
    CHECK(map_survives(&map, NULL, 0).groups_lost == map.count);
    map_free(&again);
    map_free(&map);
    buf_free(&bytes);
    return 0;
}
