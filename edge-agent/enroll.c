#include "edge-agent/enroll.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/agent.h"
#include "edge-agent/cert_time.h"
#include "edge-agent/device_id.h"
#include "edge-agent/edge_tls.h"
#include "edge-agent/uplink.h"

#define REASON_MAX 200

struct enrolment {
    struct uplink_url url;
    uint8_t pin[DEVICE_ID_CA_PIN];
    char secret[DEVICE_ID_SECRET_TEXT + 1];
    struct device_id id;
    struct sync_memory memory;

    /* The exchange under way. */
    struct loop *loop;
    struct uplink *uplink;
    bool look; /* at the certificates alone */
    int code;
    struct err err;
    int status;
    struct buf body;
};

void enroll_answer_error(int status, const uint8_t *body, size_t len,
                         struct buf *out)
{
    char *text = mem_strndup(len > 0 ? (const char *)body : "", len);
    char *error = *text == '{' ? json_text(text, "error") : mem_strdup("");

    error[strnlen(error, REASON_MAX)] = '\0';
    for (char *p = error; *p != '\0'; p++) {
        *p = (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p;
    }
    if (*error != '\0') {
        buf_printf(out, "the gateway says: %s (%d)", error, status);
    } else {
        buf_printf(out, "the gateway answered %d", status);
    }
    free(error);
    free(text);
}

/* ---- exchanges ---- */

static void learn_time(struct enrolment *e, const struct http_head *head)
{
    const char *date = http_field(head, "Date");
    uint64_t ms;

    if (date != NULL && text_parse_http_date(date, &ms)) {
        e->memory.seen_ms = ms;
        e->memory.skew_ms = (int64_t)ms - (int64_t)clock_real_ms();
    }
}

static void on_answer(void *arg, int code, const struct uplink_answer *a,
                      const char *why)
{
    struct enrolment *e = arg;
    /* The handshake was done, whatever became of the answer. */
    bool shown = code == 0 || code == ERR_CLOSED || code == ERR_TIMEOUT ||
                 code == ERR_BAD_INPUT || code == ERR_LIMIT;

    e->code = code;
    if (code != 0) {
        err_set(&e->err, code, "%s", why);
    }
    if (e->look && e->url.tls && shown) {
        e->code = uplink_peer_find(e->uplink, e->pin, &e->id.ca, &e->err);
    } else if (code == 0) {
        e->status = a->status;
        buf_append(&e->body, a->body, a->body_len);
        learn_time(e, a->head);
    }
    loop_stop(e->loop);
}

static int exchange(struct enrolment *e, struct edge_tls_trust *trust,
                    const struct uplink_request *r, struct err *err)
{
    struct uplink_options o = {.url = &e->url, .trust = trust};

    e->loop = loop_new();
    e->uplink = uplink_new(e->loop, &o);
    uplink_send(e->uplink, r, on_answer, e);
    loop_run(e->loop, NULL, NULL);
    uplink_free(e->uplink);
    loop_free(e->loop);
    if (e->code != 0) {
        return err_set(err, e->code, "%s: %s", e->url.authority, e->err.text);
    }
    return 0;
}

/* Step 1. */
static int find_ca(struct enrolment *e, struct err *err)
{
    const struct uplink_request look = {.method = "GET", .path = "/-/ready"};
    struct edge_tls_trust *anybody;
    int code;

    if (!e->url.tls) {
        return 0; /* the answer has it */
    }
    anybody = edge_tls_trust_anybody();
    e->look = true;
    code = exchange(e, anybody, &look, err);
    e->look = false;
    edge_tls_trust_free(anybody);
    return code;
}

/* Step 2. */
static int ask(struct enrolment *e, struct err *err)
{
    struct edge_tls_trust *trust = NULL;
    struct buf request = {0}, body = {0};
    struct uplink_request r = {.method = "POST",
                               .path = "/-/edge/v1/enroll",
                               .fields = "Content-Type: application/json\r\n"};
    bool known;
    uint64_t now = cert_time_now(clock_real_ms(), 0, 0, &known);
    int code = edge_tls_request_new(&e->id.key, &request, err);

    if (code == 0 && e->url.tls) {
        code = edge_tls_trust_new(&e->id.ca, NULL, NULL, &trust, err);
    }
    if (code == 0) {
        if (trust != NULL) {
            edge_tls_trust_time(trust, now, known);
        }
        buf_str(&body, "{\"code\":");
        put_json_text(&body, e->secret);
        buf_str(&body, ",\"request\":");
        put_json_text(&body, (char *)request.data);
        buf_str(&body, "}");
        r.body = body.data;
        r.body_len = body.len;
        code = exchange(e, trust, &r, err);
    }
    if (code == 0 && e->status != 200) {
        struct buf why = {0};
        enroll_answer_error(e->status, e->body.data, e->body.len, &why);
        code = err_set(err, e->status == 403 ? ERR_DENIED : ERR_UNAVAILABLE,
                       "%s: %s", e->url.authority, (char *)why.data);
        buf_free(&why);
    }
    edge_tls_trust_free(trust);
    buf_free(&request);
    buf_wipe(&body);
    return code;
}

/* Step 3. */
static int take_pem(const char *json, const char *name, struct buf *out)
{
    char *text = json_text(json, name);

    buf_clear(out);
    buf_str(out, text);
    free(text);
    return out->len > 0 ? 0 : ERR_BAD_INPUT;
}

static int read_answer(struct enrolment *e, struct err *err)
{
    struct device_id_settings settings;
    struct edge_tls_cert ca;
    const char *json, *found;
    size_t len;
    int code;

    buf_char(&e->body, '\0');
    json = (const char *)e->body.data;
    e->id.device = json_text(json, "device");
    e->id.number = json_u64(json, "number");
    found = json_find(json, "settings", &len);
    if (*e->id.device == '\0' || e->id.number == 0 || found == NULL ||
        take_pem(json, "certificate", &e->id.cert) != 0 ||
        take_pem(json, "ca", &e->id.ca) != 0) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s answered something else than an enrolment",
                       e->url.authority);
    }
    buf_append(&e->id.settings, found, len);
    buf_char(&e->id.settings, '\0');
    e->id.settings.len--;
    code = edge_tls_cert_read(&e->id.ca, &ca, err);
    if (code == 0 && memcmp(ca.fingerprint, e->pin, sizeof e->pin) != 0) {
        code = err_set(err, ERR_DENIED,
                       "the CA in the answer is not the one that the code "
                       "names: an impostor");
    }
    if (code == 0) {
        code = edge_tls_cert_check(&e->id.cert, &e->id.key, &e->id.ca, err);
    }
    if (code == 0) {
        code = device_id_settings_read(&e->id.settings, &settings, err);
    }
    if (code == 0) {
        device_id_settings_free(&settings);
    }
    return code;
}

static int enroll_locked(struct enrolment *e, const char *data,
                         struct buf *name, struct err *err)
{
    int code = device_id_new_key(data, &e->id.key, err);

    if (code == 0) {
        code = find_ca(e, err);
    }
    if (code == 0) {
        code = ask(e, err);
    }
    if (code == 0) {
        code = read_answer(e, err);
    }
    if (code == 0) {
        e->memory.number = e->id.number;
        code = device_id_save(data, &e->id, err);
    }
    if (code == 0) {
        (void)sync_memory_save(data, &e->memory, NULL);
        buf_str(name, e->id.device);
    }
    return code;
}

int enroll(const char *data, const char *gateway, const char *code_text,
           bool insecure, struct buf *name, struct err *err)
{
    struct enrolment e = {0};
    char *lock_path = agent_path(data, "lock");
    int lock = -1;
    int code = uplink_url_parse(gateway, insecure, &e.url, err);

    if (code == 0) {
        code = device_id_code_parse(code_text, e.pin, e.secret, err);
    }
    if (code == 0) {
        code = fs_mkdirs(data, err);
    }
    if (code == 0) {
        code = fs_lock(lock_path, &lock, err);
        if (code == ERR_LOCKED) {
            code = err_wrap(err, code, "stop the agent first");
        }
    }
    if (code == 0) {
        e.id.gateway = mem_strdup(gateway);
        code = enroll_locked(&e, data, name, err);
    }
    device_id_free(&e.id);
    buf_wipe(&e.body);
    mem_wipe(e.secret, sizeof e.secret);
    if (lock >= 0) {
        close(lock);
    }
    free(lock_path);
    return code;
}
