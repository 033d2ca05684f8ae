/* What a stranger may send to the cluster port, and what a server that joins
 * may be told: what decodes is encoded to the same bytes again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

#include "base/err.h"
#include "cluster/join_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct join_question q;
    struct join_answer a;
    struct buf again = {0};
    struct err err;

    if (join_question_decode(data, size, &q, &err) == 0) {
        join_question_encode(&q, &again);
        CHECK(again.len == size && memcmp(again.data, data, size) == 0);
        join_question_free(&q);
    }
    buf_free(&again);
    if (join_answer_decode(data, size, &a, &err) == 0) {
        join_answer_encode(&a, &again);
        CHECK(again.len == size && memcmp(again.data, data, size) == 0);
        join_answer_free(&a);
    }
    buf_free(&again);
    return 0;
}
