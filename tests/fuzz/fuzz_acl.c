/* fuzz_acl.c: access control lists from any bytes.
 *
 * What is taken as a coding is the only coding of its list; what is taken as a
 * document or a header makes a list whose document and coding come back. The
 * first byte chooses.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/access.h"
#include "gateway/s3_acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The id itself is the name, unless it is the id of a name that was given. */
static char given[8][ACL_NAME_MAX + 1];
static size_t given_count;

static int find(void *arg, const char *id, char name[ACL_NAME_MAX + 1],
                struct err *err)
{
    char known[65];

    (void)arg;
    (void)err;
    for (size_t i = 0; i < given_count; i++) {
        access_canonical_id(given[i], known);
        if (strcmp(known, id) == 0) {
            snprintf(name, ACL_NAME_MAX + 1, "%s", given[i]);
            return 0;
        }
    }
    if (given_count == 8) {
        return ERR_NOT_FOUND;
    }
    snprintf(given[given_count], ACL_NAME_MAX + 1, "%s", id);
    snprintf(name, ACL_NAME_MAX + 1, "%s", id);
    given_count++;
    return 0;
}

static const struct s3_acl_names names = {find, NULL};

static void comes_back(const struct acl *a)
{
    struct buf first = {0}, second = {0};
    struct acl b = {.count = 0};

    s3_acl_write(a, &first);
    CHECK(s3_acl_read(first.data, first.len, &names, &b, NULL) == S3_OK);
    s3_acl_write(&b, &second);
    CHECK(first.len == second.len &&
          memcmp(first.data, second.data, first.len) == 0);
    acl_free(&b);
    buf_clear(&first);
    buf_clear(&second);
    acl_encode(a, &first);
    CHECK(acl_decode(first.data, first.len, &b, NULL) == 0);
    acl_encode(&b, &second);
    CHECK(first.len == second.len &&
          memcmp(first.data, second.data, first.len) == 0);
    acl_free(&b);
    buf_free(&first);
    buf_free(&second);
}

static void try_coding(const uint8_t *data, size_t size)
{
    struct acl a = {.count = 0};
    struct buf again = {0};

    if (acl_decode(data, size, &a, NULL) == 0) {
        acl_encode(&a, &again);
        CHECK(again.len == size && memcmp(again.data, data, size) == 0);
        CHECK(acl_permissions(&a, a.owner, true) == ACL_FULL_CONTROL);
    }
    acl_free(&a);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acl a = {.count = 0};
    char *text;

    given_count = 0;
    if (size == 0) {
        return 0;
    }
    switch (*data++ % 3) {
        case 0:
            try_coding(data, size - 1);
            return 0;
        case 1:
            if (s3_acl_read(data, size - 1, &names, &a, NULL) == S3_OK) {
                comes_back(&a);
            }
            break;
        default:
            text = mem_strndup((const char *)data, size - 1);
            acl_begin(&a, "owner");
            (void)find(NULL, "owner", (char[ACL_NAME_MAX + 1]){0}, NULL);
            if (s3_acl_grant(&a, ACL_READ, text, &names, NULL) == S3_OK) {
                comes_back(&a);
            }
            free(text);
    }
    acl_free(&a);
    return 0;
}
