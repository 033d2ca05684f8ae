/* bench_policy.c: what one decision costs.
 *
 * usage: bench_policy [STATEMENTS]   (1000)
 * Prints, for each shape of policy, the nanoseconds of a decision. No statement
 * but the last applies, so every one is looked at.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "policy/iam.h"

#define BATCH 2000
#define ROUNDS 5

static const char *const name[] = {"ann"};
static const char *const ip[] = {"10.1.2.3"};
static const struct iam_key keys[] = {
    {"aws:sourceip", ip, 1},
    {"aws:username", name, 1},
};

static const struct shape {
    const char *what;
    const char *format; /* of one statement, with its number twice */
} shapes[] = {
    {"another action",
     "{\"Effect\":\"Allow\",\"Action\":\"s3:Put%u\",\"Resource\":"
     "\"arn:aws:s3:::bucket/%u/*\"}"},
    {"another resource",
     "{\"Effect\":\"Allow\",\"Action\":\"s3:Get*\",\"Resource\":"
     "\"arn:aws:s3:::bucket/%u/%u/*\"}"},
    {"a star in front",
     "{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":"
     "\"arn:aws:s3:::bucket/*/%u/%u\"}"},
    {"one condition for all",
     "{\"Sid\":\"%u-%u\",\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\","
     "\"Resource\":\"arn:aws:s3:::bucket/*\",\"Condition\":{\"IpAddress\":"
     "{\"aws:SourceIp\":\"192.168.0.0/16\"}}}"},
    {"a condition each",
     "{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":"
     "\"arn:aws:s3:::bucket/*\",\"Condition\":{\"StringEquals\":"
     "{\"aws:username\":\"bob%u%u\"}}}"},
    {"a variable",
     "{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":"
     "\"arn:aws:s3:::bucket/${aws:username}/%u/%u/*\"}"},
};

static double measure(const struct shape *s, unsigned count)
{
    static const char last[] =
        "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}";
    struct iam_request q = {"arn:aws:iam::111122223333:user/ann",
                            "111122223333",
                            "c0",
                            "s3:getobject",
                            "arn:aws:s3:::bucket/home/pictures/cat.jpg",
                            keys,
                            2};
    struct buf b = {0};
    struct iam_policy *p = NULL;
    double best = 1e30;

    buf_str(&b, "{\"Version\":\"2012-10-17\",\"Statement\":[");
    for (unsigned i = 1; i < count; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(&b, s->format, i, i);
#pragma GCC diagnostic pop
        buf_char(&b, ',');
    }
    buf_str(&b, last);
    CHECK(iam_read(IAM_IDENTITY, NULL, b.data, b.len, &p, NULL) == 0);
    for (int r = 0; r < ROUNDS; r++) {
        struct timespec t0, t1;
        double ns;
        clock_gettime(CLOCK_MONOTONIC, &t0);
        for (int i = 0; i < BATCH; i++) {
            CHECK(iam_judge(p, &q) == IAM_ALLOW);
        }
        clock_gettime(CLOCK_MONOTONIC, &t1);
        ns = (double)(t1.tv_sec - t0.tv_sec) * 1e9 +
             (double)(t1.tv_nsec - t0.tv_nsec);
        best = ns / BATCH < best ? ns / BATCH : best;
    }
    iam_free(p);
    buf_free(&b);
    return best;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;

    CHECK(count >= 1 && count <= 4000);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        printf("%-24s %8.2f us for %u statements\n", shapes[i].what,
               measure(&shapes[i], count) / 1000, count);
    }
    return 0;
}
