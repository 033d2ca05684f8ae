#include "gateway/s3_range.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct number {
    bool given;
    uint64_t value; /* UINT64_MAX when it does not fit */
};

/* Digits at *@p, if any. What does not fit is past the end of any object. */
static struct number take_number(const char **p)
{
    struct number n = {false, 0};

    for (; **p >= '0' && **p <= '9'; (*p)++) {
        uint64_t digit = (uint64_t)(**p - '0');
        n.given = true;
        if (n.value > (UINT64_MAX - digit) / 10) {
            n.value = UINT64_MAX;
        } else {
            n.value = n.value * 10 + digit;
        }
    }
    return n;
}

/* "a-b" with one of both at least, blanks around it, and nothing more. */
static bool take_range(const char *p, struct number *first, struct number *last)
{
    p += strspn(p, " \t");
    *first = take_number(&p);
    if (*p != '-') {
        return false;
    }
    p++;
    *last = take_number(&p);
    p += strspn(p, " \t");
    return *p == '\0' && (first->given || last->given);
}

enum s3_range_result s3_range_parse(const char *text, uint64_t size,
                                    uint64_t *offset, uint64_t *length)
{
    struct number first, last;

    if (strncasecmp(text, "bytes=", 6) != 0 ||
        !take_range(text + 6, &first, &last)) {
        return S3_RANGE_IGNORED;
    }
    if (!first.given) { /* the last n bytes */
        if (last.value == 0 || size == 0) {
            return S3_RANGE_UNSATISFIABLE;
        }
        *length = last.value < size ? last.value : size;
        *offset = size - *length;
        return S3_RANGE_OK;
    }
    if (last.given && last.value < first.value) {
        return S3_RANGE_IGNORED;
    }
    if (first.value >= size) {
        return S3_RANGE_UNSATISFIABLE;
    }
    if (!last.given || last.value >= size) {
        last.value = size - 1;
    }
    *offset = first.value;
    *length = last.value - first.value + 1;
    return S3_RANGE_OK;
}
