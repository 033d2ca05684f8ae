/* Versioning of buckets, and the names of versions.
 *
 * Source: AWS S3 API Reference, PutBucketVersioning, GetBucketVersioning.
 */
#include "gateway/s3_version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_tree.h"
#include "gateway/s3_xml.h"

/* ---- version ids ---- */

bool s3_version_parse(const char *text, uint64_t *which, const char **why)
{
    uint64_t v = 0;

    if (text == NULL) {
        *which = META_VERSION_CURRENT;
        return true;
    }
    if (strcmp(text, "null") == 0) {
        *which = META_VERSION_NULL;
        return true;
    }
    if (text[0] == '\0') {
        *why = "Version id cannot be the empty string";
        return false;
    }
    for (size_t i = 0; text[i] != '\0'; i++) {
        const char *digit = strchr("0123456789abcdef", text[i]);
        if (i == S3_VERSION_TEXT - 1 || digit == NULL) {
            *why = "Invalid version id specified";
            return false;
        }
        v = v << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    if (strlen(text) != S3_VERSION_TEXT - 1 || v <= META_VERSION_NULL ||
        v >= META_VERSION_MARKER) {
        *why = "Invalid version id specified";
        return false;
    }
    *which = v;
    return true;
}

bool s3_version_param(struct request *r, uint64_t *which)
{
    const char *why;

    if (!s3_version_parse(request_param(r, "versionId"), which, &why)) {
        reply_error(r, S3_InvalidArgument, "%s", why);
        return false;
    }
    return true;
}

const char *s3_version_text(uint64_t version, char out[S3_VERSION_TEXT])
{
    version &= ~META_VERSION_MARKER;
    if (version == META_VERSION_NULL) {
        return "null";
    }
    snprintf(out, S3_VERSION_TEXT, "%016llx", (unsigned long long)version);
    return out;
}

void s3_version_header(struct request *r, const char *name, uint64_t version)
{
    char text[S3_VERSION_TEXT];

    if (version != 0) {
        reply_header(r, name, "%s", s3_version_text(version, text));
    }
}

void s3_version_reply(struct request *r, uint64_t version)
{
    s3_version_header(r, "x-amz-version-id", version);
}

void s3_version_reply_made(struct request *r, uint64_t version)
{
    if (version != META_VERSION_NULL) {
        s3_version_reply(r, version);
    }
}

void s3_version_reply_deleted(struct request *r, uint64_t version)
{
    if ((version & META_VERSION_MARKER) != 0) {
        reply_header(r, "x-amz-delete-marker", "true");
    }
    s3_version_reply(r, version);
}

static void reply_marker(struct request *r, uint64_t which,
                         const struct meta_object *o)
{
    char date[TEXT_TIME_MAX];

    s3_version_reply_deleted(r, o->version | META_VERSION_MARKER);
    if (which == META_VERSION_CURRENT) {
        reply_error(r, S3_NoSuchKey, NULL);
        return;
    }
    reply_header(r, "Last-Modified", "%s",
                 text_http_date(o->modified_ms, date));
    reply_header(r, "Allow", "DELETE");
    reply_error(r, S3_MethodNotAllowed, NULL);
}

/* It was read, or looked for in vain: may who asks be told, and have it? False:
 * a reply was made. */
static bool judge_read(struct request *r, int rc, const struct meta_object *o)
{
    bool missing =
        rc == ERR_NO_KEY || rc == ERR_NO_VERSION || (rc == 0 && o->is_marker);

    if (missing) {
        return s3_may_be_told(r, r->bucket);
    }
    return rc != 0 || s3_target_allowed(r, o);
}

bool s3_version_get(struct request *r, uint64_t which, bool with_content,
                    struct meta_object *out)
{
    struct meta_object o = {.attrs = NULL};
    struct err err = {{0}};
    int rc = meta_version_get(r->gateway->meta, r->bucket, r->key, which,
                              with_content, &o, &err);

    if (!judge_read(r, rc, &o)) {
        meta_object_free(&o);
        return false;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    if (o.is_marker) {
        reply_marker(r, which, &o);
        meta_object_free(&o);
        return false;
    }
    *out = o;
    return true;
}

/* ---- PutBucketVersioning, GetBucketVersioning ---- */

/* Gives META_VERSIONING_*. False: a reply was made. */
static bool read_state(struct request *r, const struct s3_node *root,
                       uint8_t *state)
{
    static const char *const names[] = {"Status", "MfaDelete", NULL};
    const struct s3_node *status, *mfa;
    struct err err = {{0}};
    char *text = NULL, *mfa_text = NULL;
    bool malformed = s3_node_check(root, names, &err) != 0;
    bool good = false;

    if (!malformed) {
        status = s3_node_child(root, "Status");
        mfa = s3_node_child(root, "MfaDelete");
        malformed =
            (status != NULL && s3_node_word(status, &text, &err) != 0) ||
            (mfa != NULL && s3_node_word(mfa, &mfa_text, &err) != 0);
    }
    if (!malformed && mfa_text != NULL && strcmp(mfa_text, "Enabled") == 0) {
        reply_error(r, S3_NotImplemented,
                    "MFA delete is not implemented; Object Lock protects "
                    "versions from being deleted");
        goto out;
    }
    malformed = malformed ||
                (mfa_text != NULL && strcmp(mfa_text, "Disabled") != 0) ||
                (text != NULL && strcmp(text, "Enabled") != 0 &&
                 strcmp(text, "Suspended") != 0);
    if (malformed) {
        r->err = err;
        reply_error(r, S3_MalformedXML, NULL);
    } else if (text == NULL) {
        reply_error(r, S3_IllegalVersioningConfigurationException, NULL);
    } else {
        *state = strcmp(text, "Enabled") == 0 ? META_VERSIONING_ENABLED
                                              : META_VERSIONING_SUSPENDED;
        good = true;
    }

out:
    free(text);
    free(mfa_text);
    return good;
}

void s3_put_bucket_versioning(struct request *r)
{
    struct s3_node *root;
    struct err err = {{0}};
    uint8_t state;
    bool good;
    int rc;

    if (r->document.len == 0) {
        reply_error(r, S3_MissingRequestBodyError, NULL);
        return;
    }
    if (s3_tree_read(r->document.data, r->document.len,
                     "VersioningConfiguration", &root, &err) != 0) {
        r->err = err;
        reply_error(r, S3_MalformedXML, NULL);
        return;
    }
    good = read_state(r, root, &state);
    s3_tree_free(root);
    if (!good) {
        return;
    }
    command_bucket_config(&r->command, r->bucket, META_CONFIG_VERSIONING,
                          &state, sizeof state);
    rc = request_propose_wait(r, NULL, &err);
    if (rc == ERR_BUCKET_STATE) {
        reply_error(r, S3_InvalidBucketState,
                    "An Object Lock configuration is present on this bucket, "
                    "so the versioning state cannot be changed.");
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        reply(r, 200);
    }
}

void s3_get_bucket_versioning(struct request *r)
{
    static const char root[] = "VersioningConfiguration";
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_VERSIONING];
    struct err err = {{0}};
    struct buf *b;
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);

    if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        b = reply_xml(r, 200, root);
        if (c->len > 0) {
            xml_text(b, "Status",
                     c->value[0] == META_VERSIONING_ENABLED ? "Enabled"
                                                            : "Suspended");
        }
        xml_close(b, root);
    }
    meta_bucket_free(&bucket);
    request_done(r);
}
