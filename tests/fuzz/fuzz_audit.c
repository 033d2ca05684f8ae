/* fuzz_audit.c: lines and entries of the audit log, of any bytes.
 *
 * What is read must write itself again to the same bytes, and nothing that is
 * read makes the checker's state other than it says.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "meta/audit_check.h"
#include "meta/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void as_draft(const uint8_t *p, size_t len)
{
    struct audit_entry e;
    struct buf again = {0};

    if (audit_draft_read(p, len, &e, NULL) == 0) {
        audit_draft_put(&again, &e);
        CHECK(again.len == len && memcmp(again.data, p, len) == 0);
        CHECK(len <= AUDIT_DRAFT_MAX);
        buf_free(&again);
    }
}

/* An entry that is good must come back from the line that is made of it. */
static void as_entry(const uint8_t *p, size_t len)
{
    struct buf line = {0}, bytes = {0};
    struct audit_line l = {.bytes = &bytes};
    uint8_t hash[AUDIT_HASH] = {1};
    struct audit_entry e;

    if (audit_entry_read(p, len, &e, NULL) == 0) {
        audit_line_entry(&line, &e, hash);
        CHECK(audit_line_read((const char *)line.data, line.len - 1, &l,
                              NULL) == 0);
        CHECK(bytes.len == len && memcmp(bytes.data, p, len) == 0);
    }
    buf_free(&line);
    buf_free(&bytes);
}

static void as_lines(const uint8_t *p, size_t len)
{
    struct audit_check c = {.lines = 0};

    audit_check_begin(&c);
    while (len > 0) {
        const uint8_t *end = memchr(p, '\n', len);
        size_t n = end != NULL ? (size_t)(end - p) : len;
        if (audit_check_line(&c, (const char *)p, n, NULL) != 0) {
            break;
        }
        p += end != NULL ? n + 1 : n;
        len -= end != NULL ? n + 1 : n;
    }
    audit_check_end(&c, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct command c;

    as_draft(p, len);
    as_entry(p, len);
    as_lines(p, len);
    command_decode(p, len, &c, NULL);
    return 0;
}
