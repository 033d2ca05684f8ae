/* sync_care.c: what an agent asks and tells beside its objects: a report each
 * minute, which also tells it the time; the settings each hour; a new
 * certificate at 2/3 of the old one's life. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/edge_tls.h"
#include "edge-agent/sync_internal.h"

#define RENEW_AGAIN_MS (10 * 60 * 1000)

static const char json_type[] = "Content-Type: application/json\r\n";

static void again_in(struct sync *s, enum care care, uint64_t ms)
{
    s->due_ms[care] = clock_mono_ms() + ms;
}

/* ---- reports ---- */

static void put_report(struct sync *s, struct buf *b)
{
    struct spool_status st;
    const struct spool_cursor *c = &st.counters;

    spool_status(s->spool, &st);
    buf_printf(b, "{\"version\":\"%s\",\"backlog_objects\":%llu,",
               GODWIT_VERSION, (unsigned long long)st.objects);
    buf_printf(b, "\"backlog_bytes\":%llu,\"oldest_ms\":%llu,",
               (unsigned long long)st.bytes,
               (unsigned long long)st.oldest_time_ms);
    buf_printf(b, "\"delivered\":%llu,\"repeated\":%llu,\"refused\":%llu,",
               (unsigned long long)c->delivered_objects,
               (unsigned long long)s->repeated,
               (unsigned long long)s->memory.refused);
    buf_printf(b, "\"shed\":%llu,\"damaged\":%llu,\"flash_bytes\":%llu,",
               (unsigned long long)c->shed_objects,
               (unsigned long long)c->damaged_objects,
               (unsigned long long)c->flash_bytes);
    buf_printf(b, "\"skew_ms\":%lld,\"time_ms\":%llu",
               (long long)s->memory.skew_ms,
               (unsigned long long)clock_real_ms());
    if (s->on_report != NULL) {
        s->on_report(s->arg, b);
    }
    buf_char(b, '}');
}

/* Another policy than the one that came last: ask for it now. */
static void look_for_policy(struct sync *s, const struct http_head *head)
{
    const char *text = http_field(head, "x-godwit-policy");
    uint64_t version;

    if (text != NULL && text_u64(text, &version) &&
        version != json_u64((char *)s->id.settings.data, "policy.version")) {
        again_in(s, CARE_SETTINGS, 0);
    }
}

static void on_report(void *arg, int code, const struct uplink_answer *a,
                      const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;

    if (sync_landed(f, code, a, why)) {
        if (a->status == 204) {
            sync_succeeded(s);
            sync_remember(s, false);
            look_for_policy(s, a->head);
        } else {
            sync_failed_answer(s, a);
        }
    }
    sync_pump(s);
}

static void report(struct flight *f)
{
    struct uplink_request r = {
        .method = "POST", .path = "/-/edge/v1/report", .fields = json_type};

    again_in(f->sync, CARE_REPORT, SYNC_REPORT_MS);
    buf_clear(&f->body);
    put_report(f->sync, &f->body);
    r.body = f->body.data;
    r.body_len = f->body.len;
    sync_send(f, FLIGHT_CARE, &r, on_report);
}

/* ---- settings ---- */

static void take_settings(struct sync *s, const struct uplink_answer *a)
{
    struct device_id_settings parsed;
    struct err err = {{0}};
    struct buf json = {0};
    int code;

    buf_append(&json, a->body, a->body_len);
    buf_char(&json, '\0');
    json.len--;
    code = device_id_settings_read(&json, &parsed, &err);
    if (code != 0) {
        sync_failed(s, "the gateway sent no settings: %s", err.text);
        buf_free(&json);
        return;
    }
    device_id_settings_free(&parsed);
    sync_succeeded(s);
    if (s->on_settings != NULL) {
        s->on_settings(s->arg, &json);
    }
    if (json.len == s->id.settings.len &&
        memcmp(json.data, s->id.settings.data, json.len) == 0) {
        buf_free(&json);
        return;
    }
    if (device_id_save_settings(s->data, &json, &err) == 0) {
        log_line(LOG_WARN,
                 "new settings: but for a policy they count from the next "
                 "start",
                 NULL);
        buf_free(&s->id.settings);
        s->id.settings = json;
    } else {
        log_line(LOG_ERROR, "settings were not written", "err", err.text, NULL);
        buf_free(&json);
    }
}

static void on_settings(void *arg, int code, const struct uplink_answer *a,
                        const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;

    if (sync_landed(f, code, a, why)) {
        if (a->status == 200) {
            take_settings(s, a);
        } else {
            sync_failed_answer(s, a);
        }
    }
    sync_pump(s);
}

static void ask_settings(struct flight *f)
{
    const struct uplink_request r = {.method = "GET",
                                     .path = "/-/edge/v1/settings"};

    again_in(f->sync, CARE_SETTINGS, SYNC_SETTINGS_MS);
    sync_send(f, FLIGHT_CARE, &r, on_settings);
}

/* ---- certificates ---- */

static int take_cert(struct sync *s, const struct uplink_answer *a,
                     struct err *err)
{
    struct edge_tls_trust *trust = NULL;
    char *pem = json_text((const char *)a->body, "certificate");
    struct buf cert = {0};
    int code;

    buf_str(&cert, pem);
    free(pem);
    code = edge_tls_cert_check(&cert, &s->id.key, &s->id.ca, err);
    if (code == 0) {
        code = edge_tls_trust_new(&s->id.ca, &cert, &s->id.key, &trust, err);
    }
    if (code == 0) {
        code = device_id_save_cert(s->data, &cert, err);
    }
    if (code != 0) {
        edge_tls_trust_free(trust);
        buf_free(&cert);
        return code;
    }
    edge_tls_trust_free(s->next);
    s->next = trust;
    buf_free(&s->id.cert);
    s->id.cert = cert;
    return 0;
}

static void on_renewed(void *arg, int code, const struct uplink_answer *a,
                       const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;
    struct err err = {{0}};

    if (sync_landed(f, code, a, why)) {
        if (a->status != 200) {
            sync_failed_answer(s, a);
        } else if (take_cert(s, a, &err) != 0) {
            sync_failed(s, "the gateway sent no new certificate: %s", err.text);
        } else {
            sync_succeeded(s);
            log_line(LOG_INFO, "the certificate was renewed", NULL);
        }
    }
    sync_pump(s);
}

/* At 2/3 of its life, by a clock that is known. */
static bool is_old(const struct sync *s)
{
    struct edge_tls_cert c;
    bool known;
    uint64_t now = sync_now(s, &known);

    return s->trust != NULL && known &&
           edge_tls_cert_read(&s->id.cert, &c, NULL) == 0 &&
           now > c.not_before_ms + (c.not_after_ms - c.not_before_ms) / 3 * 2;
}

static bool renew(struct flight *f)
{
    struct sync *s = f->sync;
    struct uplink_request r = {
        .method = "POST", .path = "/-/edge/v1/renew", .fields = json_type};
    struct buf pem = {0};
    struct err err = {{0}};

    again_in(s, CARE_RENEW, RENEW_AGAIN_MS);
    if (!is_old(s)) {
        return false;
    }
    if (edge_tls_request_new(&s->id.key, &pem, &err) != 0) {
        log_line(LOG_ERROR, "no request for a certificate", "err", err.text,
                 NULL);
        return false;
    }
    buf_clear(&f->body);
    buf_str(&f->body, "{\"request\":");
    put_json_text(&f->body, (char *)pem.data);
    buf_str(&f->body, "}");
    buf_free(&pem);
    r.body = f->body.data;
    r.body_len = f->body.len;
    sync_send(f, FLIGHT_CARE, &r, on_renewed);
    return true;
}

/* ---- what is due ---- */

uint64_t sync_care_due(const struct sync *s)
{
    uint64_t due = UINT64_MAX;

    if (s->store != NULL) {
        return clock_mono_ms() + SYNC_REPORT_MS; /* a store is told nothing */
    }
    for (size_t i = 0; i < CARES; i++) {
        due = s->due_ms[i] < due ? s->due_ms[i] : due;
    }
    return due;
}

bool sync_care_start(struct flight *f)
{
    struct sync *s = f->sync;
    uint64_t now = clock_mono_ms();

    if (s->store != NULL) {
        return false;
    }
    for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
        if (s->flights[i].kind == FLIGHT_CARE) {
            return false; /* one after the other */
        }
    }
    if (s->due_ms[CARE_RENEW] <= now && renew(f)) {
        return true;
    }
    if (s->due_ms[CARE_REPORT] <= now) {
        report(f);
        return true;
    }
    if (s->due_ms[CARE_SETTINGS] <= now) {
        ask_settings(f);
        return true;
    }
    return false;
}
