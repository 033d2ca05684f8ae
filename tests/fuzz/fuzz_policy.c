/* fuzz_policy.c: no policy makes the reader or the judge crash, leak or pass
 * their bounds, and what is refused says why.
 *
 * The first byte chooses the kind and who asks; the rest is the policy.
 */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "policy/iam.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const name[] = {"ann"};
static const char *const ip[] = {"10.1.2.3"};
static const char *const two[] = {"a", "b*"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct iam_key keys[] = {
        {"aws:username", name, 1},
        {"aws:sourceip", ip, 1},
        {"aws:tagkeys", two, 2},
    };
    struct iam_request q = {
        "", "", "", "s3:getobject", "arn:aws:s3:::b/k", keys, 3,
    };
    struct iam_policy *p = NULL;
    struct err err = {{0}};
    enum iam_kind kind;
    int rc;

    if (size == 0) {
        return 0;
    }
    kind = data[0] % 2 == 0 ? IAM_IDENTITY : IAM_RESOURCE;
    if (data[0] % 4 < 2) {
        q.principal = "arn:aws:iam::111122223333:user/ann";
        q.account = "111122223333";
        q.canonical = "c0ffee";
    }
    rc = iam_read(kind, kind == IAM_RESOURCE ? "b" : NULL, data + 1, size - 1,
                  &p, &err);
    if (rc != 0) {
        CHECK((rc == ERR_BAD_INPUT || rc == ERR_LIMIT) && p == NULL);
        CHECK(err.text[0] != '\0');
        return 0;
    }
    CHECK(iam_judge(p, &q) <= IAM_DENY);
    (void)iam_is_public(p);
    iam_free(p);
    return 0;
}
