/* Tags of objects: PutObjectTagging, GetObjectTagging, DeleteObjectTagging.
 *
 * Source: AWS S3 API Reference, of these names.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_tags.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"

/* Let the version have these tags; replies on failure. */
static bool set_tags(struct request *r, uint64_t which, const struct buf *tags)
{
    struct command_more more = {
        .version = which, .tags = tags->data, .tags_len = tags->len};
    struct err err = {{0}};
    int rc;

    command_object_set(&r->command, COMMAND_OBJECT_TAGS, r->bucket, r->key,
                       &more, r->time_ms);
    rc = meta_propose_wait(r->gateway->meta, &r->command, &r->proposal, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

void s3_put_object_tagging(struct request *r)
{
    struct s3_tags tags = {0};
    struct buf text = {0};
    struct err err = {{0}};
    uint64_t which;
    enum s3_error e;

    if (!s3_version_param(r, &which)) {
        return;
    }
    e = r->document.len == 0 ? S3_MissingRequestBodyError
                             : s3_tags_read(r->document.data, r->document.len,
                                            S3_TAGS_OBJECT_MAX, &tags, &err);
    /* Who may not is told so before what is wrong with the tags. */
    if (!s3_require_tagging(r, which, e == S3_OK ? &tags : NULL)) {
        s3_tags_free(&tags);
        return;
    }
    if (e != S3_OK) {
        reply_error(r, e, err.text[0] != '\0' ? "%s" : NULL, err.text);
        return;
    }
    s3_tags_write_query(&tags, &text);
    s3_tags_free(&tags);
    if (set_tags(r, which, &text)) {
        reply(r, 200);
        s3_version_reply(r, r->proposal.version);
    }
    buf_free(&text);
}

void s3_delete_object_tagging(struct request *r)
{
    struct buf none = {0};
    uint64_t which;

    if (s3_version_param(r, &which) && s3_require_tagging(r, which, NULL) &&
        set_tags(r, which, &none)) {
        reply(r, 204);
        s3_version_reply(r, r->proposal.version);
    }
}

static void show_tags(struct request *r, const struct meta_object *o)
{
    char *text =
        mem_strndup(o->tags != NULL ? (const char *)o->tags : "", o->tags_len);
    struct s3_tags tags = {0};
    struct err err = {{0}};
    struct buf *b;

    if (s3_tags_query(text, S3_TAGS_OBJECT_MAX, &tags, &err) != S3_OK) {
        r->err = err;
        reply_error(r, S3_InternalError, NULL);
        goto out;
    }
    b = reply_xml(r, 200, "Tagging");
    s3_version_reply(r, o->version);
    xml_open(b, "TagSet");
    for (size_t i = 0; i < tags.count; i++) {
        xml_open(b, "Tag");
        xml_text(b, "Key", tags.list[i].key);
        xml_text(b, "Value", tags.list[i].value);
        xml_close(b, "Tag");
    }
    xml_close(b, "TagSet");
    xml_close(b, "Tagging");
    s3_tags_free(&tags);

out:
    free(text);
}

void s3_get_object_tagging(struct request *r)
{
    struct meta_object o;
    uint64_t which;

    if (s3_version_param(r, &which) && s3_version_get(r, which, false, &o)) {
        show_tags(r, &o);
        meta_object_free(&o);
    }
    request_done(r);
}
