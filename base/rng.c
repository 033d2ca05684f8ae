#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"

static void system_bytes(void *data, void *out, size_t len)
{
    uint8_t *p = out;

    (void)data;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        CHECK(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

static const struct rng_ops system_rng = {system_bytes, NULL};
static const struct rng_ops *current = &system_rng;

void rng_use(const struct rng_ops *ops)
{
    current = ops != NULL ? ops : &system_rng;
}

void rng_bytes(void *out, size_t len)
{
    current->bytes(current->data, out, len);
}

uint64_t rng_u64(void)
{
    uint64_t v;

    rng_bytes(&v, sizeof v);
    return v;
}
