/* fuzz_map_list.c: map_list_decode on any bytes.
 *
 * It must not crash; what it takes keeps the bounds of the header and gives the
 * same groups again when it is encoded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "erasure/map_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct map_list l, again;
    struct buf bytes = {0};
    struct err err = {{0}};
    struct placement_group *a, *b;
    uint32_t groups;

    if (map_list_decode(data, size, &l, &err) != 0) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    groups = map_list_groups(&l);
    CHECK(l.count >= 1 && l.count <= MAP_LIST_MAX);
    CHECK(groups >= 1 && groups <= PLACEMENT_GROUPS_MAX);
    map_list_encode(&l, &bytes);
    CHECK(map_list_decode(bytes.data, bytes.len, &again, NULL) == 0);
    CHECK(map_list_groups(&again) == groups);
    a = map_list_flat(&l);
    b = map_list_flat(&again);
    CHECK(memcmp(a, b, groups * sizeof a[0]) == 0);
    free(a);
    free(b);
    buf_free(&bytes);
    map_list_free(&l);
    map_list_free(&again);
    return 0;
}
