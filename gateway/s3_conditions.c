#include "gateway/s3_conditions.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/request.h"

/* One entry of an ETag list, without weakness and quotes. */
static size_t entry(const char **p, const char **start)
{
    const char *at = *p + strspn(*p, " \t,");
    size_t len;

    if (strncmp(at, "W/", 2) == 0) {
        at += 2;
    }
    if (*at == '"') {
        at++;
        len = strcspn(at, "\"");
        *p = at + len + (at[len] == '"');
    } else {
        len = strcspn(at, ", \t");
        *p = at + len;
    }
    *start = at;
    return len;
}

static bool any_matches(const char *list, const char *etag)
{
    const char *p = list;
    size_t etag_len = strlen(etag);

    while (p[strspn(p, " \t,")] != '\0') {
        const char *start;
        size_t len = entry(&p, &start);
        if ((len == 1 && *start == '*') ||
            (len == etag_len && memcmp(start, etag, len) == 0)) {
            return true;
        }
    }
    return false;
}

/* Steps 1 to 4 of section 13.2.2. */
enum s3_condition_result s3_conditions_get(const char *if_match,
                                           const char *if_none_match,
                                           const char *if_modified_since,
                                           const char *if_unmodified_since,
                                           const char *etag,
                                           uint64_t modified_ms)
{
    uint64_t modified_s = modified_ms / 1000;
    uint64_t date_ms;

    if (if_match != NULL) {
        if (!any_matches(if_match, etag)) {
            return S3_CONDITION_FAILED;
        }
    } else if (if_unmodified_since != NULL &&
               text_parse_http_date(if_unmodified_since, &date_ms) &&
               modified_s > date_ms / 1000) {
        return S3_CONDITION_FAILED;
    }
    if (if_none_match != NULL) {
        if (any_matches(if_none_match, etag)) {
            return S3_CONDITION_NOT_MODIFIED;
        }
    } else if (if_modified_since != NULL &&
               text_parse_http_date(if_modified_since, &date_ms) &&
               modified_s <= date_ms / 1000) {
        return S3_CONDITION_NOT_MODIFIED;
    }
    return S3_CONDITION_OK;
}

/* A single ETag or "*". */
static char *single(const char *header)
{
    const char *p = header;
    const char *start;
    size_t len = entry(&p, &start);

    if (len == 0 || len > META_ETAG_MAX || p[strspn(p, " \t")] != '\0') {
        return NULL;
    }
    return mem_strndup(start, len);
}

bool s3_put_conditions(struct request *r, struct s3_put_conditions *out)
{
    const char *match = request_header(r, "if-match");
    const char *none = request_header(r, "if-none-match");

    *out = (struct s3_put_conditions){0};
    if (match != NULL && none != NULL) {
        reply_error(r, S3_InvalidRequest,
                    "If-Match and If-None-Match cannot be used together");
        return false;
    }
    if (none != NULL) {
        out->if_none_match = single(none);
        if (out->if_none_match == NULL ||
            strcmp(out->if_none_match, "*") != 0) {
            reply_error(r, S3_NotImplemented,
                        "If-None-Match on a write must be *");
            s3_put_conditions_free(out);
            return false;
        }
    }
    if (match != NULL) {
        out->if_match = single(match);
        if (out->if_match == NULL) {
            reply_error(r, S3_InvalidArgument,
                        "If-Match on a write must be one ETag");
            return false;
        }
    }
    return true;
}

void s3_put_conditions_free(struct s3_put_conditions *c)
{
    free(c->if_match);
    free(c->if_none_match);
    *c = (struct s3_put_conditions){0};
}
