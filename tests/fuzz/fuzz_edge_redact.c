/* fuzz_edge_redact.c: any bytes as JSON of which fields are left out.
 *
 * What comes out can be read, and has none of them; once more changes nothing.
 */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/config.h"
#include "base/err.h"
#include "edge-agent/redact.h"
#include "policy/json_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char a[] = "a", gps[] = "gps";
    static char *items[] = {a, gps};
    static const struct config_list names = {items, 2};
    struct buf out = {0}, again = {0};
    struct json_tree *tree;
    struct err err = {{0}};

    if (redact_json(data, size, &names, &out, &err) == 0) {
        CHECK(json_tree_read(out.data, out.len, &tree, &err) == 0);
        CHECK(json_tree_member(json_tree_root(tree), a) == NULL);
        CHECK(json_tree_member(json_tree_root(tree), gps) == NULL);
        json_tree_free(tree);
        CHECK(redact_json(out.data, out.len, &names, &again, &err) == 0);
        CHECK(out.len == again.len &&
              memcmp(out.data, again.data, out.len) == 0);
    } else {
        CHECK(err.text[0] != '\0');
    }
    buf_free(&out);
    buf_free(&again);
    return 0;
}
