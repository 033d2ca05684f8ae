/* What a stranger may send to the cluster port, and what a server that joins
 * may be told. */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cluster/join_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct join_question q;
    struct join_answer a;
    struct err err;

    if (join_question_decode(data, size, &q, &err) == 0) {
        join_question_free(&q);
    }
    if (join_answer_decode(data, size, &a, &err) == 0) {
        join_answer_free(&a);
    }
    return 0;
}
