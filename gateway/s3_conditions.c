#include "gateway/s3_conditions.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/request.h"

/* The next ETag of a list, without quotes and W/. False at the end. */
static bool next_etag(const char **p, const char **tag, size_t *len, bool *weak)
{
    *p += strspn(*p, " \t,");
    if (**p == '\0') {
        return false;
    }
    *weak = strncmp(*p, "W/\"", 3) == 0;
    if (*weak) {
        *p += 2;
    }
    if (**p == '"') {
        *tag = ++*p;
        *len = strcspn(*p, "\"");
        *p += *len;
        *p += **p == '"';
    } else {
        *tag = *p;
        *len = strcspn(*p, ", \t");
        *p += *len;
    }
    return true;
}

/* Is @etag in the list? RFC 9110 section 8.8.3.2: If-Match compares strongly
 * (a weak one never is the same), If-None-Match weakly. */
static bool etag_in(const char *list, const char *etag, bool strong)
{
    const char *tag;
    size_t len;
    bool weak;

    while (next_etag(&list, &tag, &len, &weak)) {
        if (len == 1 && tag[0] == '*') {
            return true;
        }
        if (!(strong && weak) && strlen(etag) == len &&
            memcmp(etag, tag, len) == 0) {
            return true;
        }
    }
    return false;
}

/* HTTP dates are whole seconds. */
static bool date_seconds(const char *text, uint64_t *seconds)
{
    uint64_t ms;

    if (text == NULL || !text_parse_http_date(text, &ms)) {
        return false;
    }
    *seconds = ms / 1000;
    return true;
}

enum s3_condition_result s3_conditions_get(const char *if_match,
                                           const char *if_none_match,
                                           const char *if_modified_since,
                                           const char *if_unmodified_since,
                                           const char *etag,
                                           uint64_t modified_ms)
{
    uint64_t date;

    /* RFC 9110 section 13.2.2, steps 1 to 4: an ETag is asked before, and
     * instead of, the date of its pair. */
    if (if_match != NULL) {
        if (!etag_in(if_match, etag, true)) {
            return S3_CONDITION_FAILED;
        }
    } else if (date_seconds(if_unmodified_since, &date) &&
               modified_ms / 1000 > date) {
        return S3_CONDITION_FAILED;
    }
    if (if_none_match != NULL) {
        if (etag_in(if_none_match, etag, false)) {
            return S3_CONDITION_NOT_MODIFIED;
        }
    } else if (date_seconds(if_modified_since, &date) &&
               modified_ms / 1000 <= date) {
        return S3_CONDITION_NOT_MODIFIED;
    }
    return S3_CONDITION_PROCEED;
}

char *s3_etag_parse(const char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t')) {
        len--;
    }
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    if (len == 0 || memchr(text, '"', len) != NULL ||
        memchr(text, ',', len) != NULL) {
        return NULL;
    }
    return mem_strndup(text, len);
}

bool s3_put_conditions_parse(const char *if_match, const char *if_none_match,
                             struct s3_put_conditions *out,
                             enum s3_error *refusal, const char **why)
{
    struct s3_put_conditions c = {NULL, NULL};

    if (if_none_match != NULL) {
        c.if_none_match = s3_etag_parse(if_none_match);
        if (c.if_none_match == NULL || strcmp(c.if_none_match, "*") != 0) {
            *refusal = S3_NotImplemented;
            *why = "If-None-Match of a write takes * only";
            goto refused;
        }
    }
    if (if_match != NULL) {
        c.if_match = s3_etag_parse(if_match);
        if (c.if_match == NULL) {
            *refusal = S3_NotImplemented;
            *why = "If-Match of a write takes one ETag or *";
            goto refused;
        }
        if (strlen(c.if_match) > META_ETAG_MAX) {
            *refusal = S3_PreconditionFailed;
            *why = "If-Match names no ETag that an object could have";
            goto refused;
        }
    }
    *out = c;
    return true;

refused:
    s3_put_conditions_free(&c);
    return false;
}

bool s3_put_conditions(struct request *r, struct s3_put_conditions *out)
{
    static const char *const dates[] = {"if-modified-since",
                                        "if-unmodified-since"};
    enum s3_error refusal;
    const char *why;

    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        if (request_header(r, dates[i]) != NULL) {
            reply_error(r, S3_NotImplemented, "%s of a write is not supported",
                        dates[i]);
            return false;
        }
    }
    if (!s3_put_conditions_parse(request_header(r, "if-match"),
                                 request_header(r, "if-none-match"), out,
                                 &refusal, &why)) {
        reply_error(r, refusal, "%s", why);
        return false;
    }
    return true;
}

void s3_put_conditions_free(struct s3_put_conditions *c)
{
    free(c->if_match);
    free(c->if_none_match);
    *c = (struct s3_put_conditions){NULL, NULL};
}
