/* fuzz_edge_policy.c: any bytes as a policy, and as a document of one.
 *
 * What is refused says why; what is taken keeps to its bounds.
 */
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "fleet/edge_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(struct edge_policy *p)
{
    unsigned reserved = 0;

    for (size_t i = 0; i < EDGE_CLASSES; i++) {
        CHECK(p->classes[i].priority < EDGE_CLASSES);
        reserved += p->classes[i].reserved;
    }
    CHECK(reserved <= EDGE_RESERVED_MAX);
    CHECK(p->drop_json.count <= EDGE_REDACT_MAX);
    CHECK(p->drop_metadata.count <= EDGE_REDACT_MAX);
    edge_policy_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct edge_policy p;
    struct err err = {{0}};
    uint64_t version;

    if (edge_policy_read(data, size, &p, &err) == 0) {
        judge(&p);
    } else {
        CHECK(err.text[0] != '\0');
    }
    if (edge_policy_open(data, size, "d", &version, &p, NULL) == 0) {
        CHECK(version > 0);
        judge(&p);
    }
    return 0;
}
