#include "edge-agent/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/pki.h"
#include "edge-agent/device_id.h"
#include "edge-agent/edge_tls.h"
#include "edge-agent/shrink.h"

struct orders {
    char *path, *device;
    uint64_t number;
    struct buf ca;
    struct edge_policy policy;
    uint64_t version; /* of it; 0: none came */
    char refused[ERR_TEXT_SIZE];
};

/* As it travels and stands in the file. */
struct sheet {
    uint64_t version;
    char *document;
    uint8_t signature[PKI_SIGNATURE_MAX + 3];
    size_t signature_len;
};

static bool sheet_read(const char *json, struct sheet *out, struct err *err)
{
    char *text = json_text(json, "signature");
    size_t len = strlen(text);
    bool ok = len <= TEXT_BASE64_MAX(PKI_SIGNATURE_MAX) &&
              text_unbase64(text, len, out->signature, &out->signature_len);

    free(text);
    out->version = json_u64(json, "version");
    out->document = json_text(json, "document");
    if (!ok) {
        err_set(err, ERR_BAD_INPUT, "signature: not one in base64");
    }
    return ok;
}

/* Is it by our CA, for us, and newer? On success *@out is owned. */
static int judge(const struct orders *o, const struct sheet *s,
                 uint64_t *version, struct edge_policy *out, struct err *err)
{
    size_t len = strlen(s->document);
    int code = edge_tls_policy_check(&o->ca, s->document, len, s->signature,
                                     s->signature_len, err);

    *version = s->version;
    if (code == 0) {
        code = edge_policy_open(s->document, len, o->device, version, out, err);
    }
    if (code == 0 && out->zstd && !shrink_able()) {
        edge_policy_free(out);
        return err_set(err, ERR_UNSUPPORTED,
                       "zstd: this agent was built without it");
    }
    if (code == 0 && *version <= o->version) {
        edge_policy_free(out);
        code = err_set(err, ERR_DENIED,
                       "version: %llu counts, and there is no way back",
                       (unsigned long long)o->version);
    }
    return code;
}

static void save(const struct orders *o, const struct sheet *s)
{
    char text[TEXT_BASE64_MAX(PKI_SIGNATURE_MAX + 3)];
    struct buf b = {0};
    struct err err;

    buf_char(&b, '{');
    put_json_u64(&b, "number", o->number, false);
    put_json_u64(&b, "version", o->version, false);
    put_json_member(&b, "document", s->document, false);
    put_json_member(&b, "signature",
                    text_base64(s->signature, s->signature_len, text), true);
    buf_str(&b, "}\n");
    if (fs_write(o->path, b.data, b.len, 0600, &err) != 0) {
        log_line(LOG_ERROR, "the policy was not written", "err", err.text,
                 NULL);
    }
    buf_free(&b);
}

static void refuse(struct orders *o, uint64_t version, const struct err *why)
{
    char text[ERR_TEXT_SIZE];

    snprintf(text, sizeof text, "policy %llu refused: %.280s",
             (unsigned long long)version, why->text);
    if (strcmp(text, o->refused) != 0) {
        memcpy(o->refused, text, sizeof text);
        log_line(LOG_ERROR, "a policy does not count", "err", text, NULL);
    }
}

/* @json: what sheet_read reads, and a NUL at its end. */
static bool take(struct orders *o, const char *json, bool keep)
{
    struct sheet s = {.document = NULL};
    struct err err = {{0}};
    struct edge_policy policy;
    uint64_t version = json_u64(json, "version");
    bool ok = sheet_read(json, &s, &err) &&
              judge(o, &s, &version, &policy, &err) == 0;

    if (ok) {
        char text[24];
        edge_policy_free(&o->policy);
        o->policy = policy;
        o->version = version;
        o->refused[0] = '\0';
        snprintf(text, sizeof text, "%llu", (unsigned long long)version);
        log_line(LOG_INFO, "the cluster's policy counts", "version", text,
                 NULL);
        if (keep) {
            save(o, &s);
        }
    } else {
        refuse(o, version, &err);
    }
    free(s.document);
    return ok;
}

bool orders_take(struct orders *o, const struct buf *settings)
{
    size_t len = 0;
    const char *raw = json_find((const char *)settings->data, "policy", &len);
    bool changed = false;
    char *json;

    if (raw == NULL) {
        return false;
    }
    json = mem_strndup(raw, len);
    /* The one that counts comes with each look at the settings. */
    if (o->version == 0 || json_u64(json, "version") != o->version) {
        changed = take(o, json, true);
    } else {
        o->refused[0] = '\0';
    }
    free(json);
    return changed;
}

static void load(struct orders *o)
{
    struct buf json = {0};

    if (fs_read(o->path, DEVICE_ID_JSON_MAX, &json, NULL) == 0) {
        buf_char(&json, '\0');
        if (json_u64((char *)json.data, "number") == o->number) {
            (void)take(o, (char *)json.data, false);
        }
    }
    buf_free(&json);
}

struct orders *orders_new(const char *data, const struct device_id *id)
{
    struct orders *o = mem_alloc(sizeof *o);

    o->path = mem_printf("%s/policy.json", data);
    o->device = mem_strdup(id->device);
    o->number = id->number;
    buf_append(&o->ca, id->ca.data, id->ca.len);
    edge_policy_init(&o->policy);
    load(o);
    (void)orders_take(o, &id->settings);
    return o;
}

void orders_free(struct orders *o)
{
    if (o != NULL) {
        edge_policy_free(&o->policy);
        buf_free(&o->ca);
        free(o->path);
        free(o->device);
        free(o);
    }
}

const struct edge_policy *orders_policy(const struct orders *o)
{
    return &o->policy;
}

void orders_report(const struct orders *o, struct buf *out)
{
    buf_printf(out, ",\"policy_version\":%llu", (unsigned long long)o->version);
    if (o->refused[0] != '\0') {
        buf_str(out, ",\"policy_error\":");
        put_json_text(out, o->refused);
    }
}
