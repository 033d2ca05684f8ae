#include "edge-agent/sync.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "edge-agent/cert_time.h"
#include "edge-agent/edge_tls.h"
#include "edge-agent/enroll.h"
#include "edge-agent/sync_internal.h"

/* The cursor: what it lags behind is sent once more. The first save comes soon,
 * so that an agent that never lives for long gets on, too. */
#define SAVE_MS 10000
#define SAVE_SOON_MS 200
#define MEMORY_MS (60 * 60 * 1000) /* sync.json, when little changed */
#define SKEW_NEWS_MS 2000
#define SEQUENCE_NEWS 10000
#define HOURS_TICK_MS (60 * 1000)
#define DUE_AGAIN_MS 1000
#define URGENT_CLASS (SPOOL_CLASSES - 1)

/* ---- time ---- */

uint64_t sync_now(const struct sync *s, bool *known)
{
    if (s->heard) { /* no step of the system's clock moves it */
        *known = true;
        return s->heard_ms + (clock_mono_ms() - s->heard_at_ms);
    }
    return cert_time_now(clock_real_ms(), s->memory.skew_ms, s->memory.seen_ms,
                         known);
}

void sync_learn(struct sync *s, const struct http_head *head)
{
    const char *date = http_field(head, "Date");
    uint64_t ms;

    if (date == NULL || !text_parse_http_date(date, &ms) ||
        ms < CERT_TIME_FLOOR_MS) {
        return;
    }
    ms += 500; /* Date has whole seconds: the middle is the best guess */
    s->heard = true;
    s->heard_ms = ms;
    s->heard_at_ms = clock_mono_ms();
    s->memory.seen_ms = ms;
    s->memory.skew_ms = (int64_t)(ms - clock_real_ms());
}

void sync_remember(struct sync *s, bool now)
{
    const struct sync_memory *old = &s->stored;
    struct err err = {{0}};
    int64_t moved;

    s->memory.number = s->id.number;
    moved = s->memory.skew_ms - old->skew_ms;
    if (!now && moved < SKEW_NEWS_MS && moved > -SKEW_NEWS_MS &&
        s->memory.sequence - old->sequence < SEQUENCE_NEWS &&
        s->memory.refused == old->refused &&
        clock_mono_ms() - s->memory_saved_ms < MEMORY_MS) {
        return;
    }
    if (sync_memory_save(s->data, &s->memory, &err) != 0) {
        log_line(LOG_WARN, "sync.json was not written", "err", err.text, NULL);
    }
    s->stored = s->memory;
    s->memory_saved_ms = clock_mono_ms();
}

void sync_used(struct sync *s, uint64_t id)
{
    if (id > s->memory.sequence) {
        s->memory.sequence = id;
        if (s->stored.sequence == 0) {
            sync_remember(s, true);
        }
    }
}

/* ---- waiters of a flush ---- */

static void settle(struct flush_waiter *w, int code, const char *why)
{
    if (!w->settled) {
        w->settled = true;
        w->code = code;
        snprintf(w->why, sizeof w->why, "%s", why);
    }
}

/* True when some wait for more: they asked after this exchange had begun. */
static bool settle_all(struct sync *s, int code, const char *why)
{
    bool later = false;

    LIST_EACH (node, &s->waiters) {
        struct flush_waiter *w = LIST_OF(node, struct flush_waiter, node);
        if (s->landed > w->after) {
            settle(w, code, why);
        } else {
            later = true;
        }
    }
    return later;
}

/* Call back those that have what they waited for. */
static void tell_waiters(struct sync *s)
{
    uint64_t oldest = spool_next(s->spool, 0);
    struct list_node told;

    list_init(&told);
    LIST_EACH_SAFE (node, &s->waiters) {
        struct flush_waiter *w = LIST_OF(node, struct flush_waiter, node);
        if (oldest == 0 || oldest > w->through) {
            settle(w, s->memory.refused > w->refused ? ERR_DENIED : 0,
                   "all is delivered but what the cluster refused (see the "
                   "log)");
        }
        if (w->settled) {
            list_remove(node);
            list_push(&told, node);
        }
    }
    for (struct list_node *n; (n = list_pop(&told)) != NULL;) {
        struct flush_waiter *w = LIST_OF(n, struct flush_waiter, node);
        s->due_ms[CARE_REPORT] = clock_mono_ms(); /* the cluster is to know */
        w->done(w->arg, w->code, w->why);
        free(w);
    }
}

void sync_flush(struct sync *s, sync_done done, void *arg)
{
    struct flush_waiter *w = mem_alloc(sizeof *w);

    w->through = spool_coming_id(s->spool) - 1;
    w->after = s->exchanges;
    w->refused = s->memory.refused;
    w->done = done;
    w->arg = arg;
    list_push(&s->waiters, &w->node);
    s->pause_until_ms = 0;
    loop_timer_set(s->loop, &s->wake, 0);
}

void sync_forget(struct sync *s, const void *arg)
{
    LIST_EACH_SAFE (node, &s->waiters) {
        struct flush_waiter *w = LIST_OF(node, struct flush_waiter, node);
        if (w->arg == arg) {
            list_remove(node);
            free(w);
        }
    }
}

/* ---- how it goes ---- */

static void note_failure(struct sync *s, const char *text)
{
    char pause[24];
    uint64_t ms;

    snprintf(s->error, sizeof s->error, "%s", text);
    s->failed_kind = s->landed_kind;
    if (s->landed_kind == FLIGHT_CARE) {
        log_line(LOG_WARN, "report or renewal failed", "err", s->error, NULL);
        return;
    }
    ms = sync_backoff_ms(++s->failures, rng_u64());
    if (settle_all(s, ERR_UNAVAILABLE, s->error)) {
        ms = 0;
    }
    s->pause_until_ms = clock_mono_ms() + ms;
    snprintf(pause, sizeof pause, "%llu", (unsigned long long)ms);
    log_line(LOG_WARN, "no delivery", "err", s->error, "retry_ms", pause, NULL);
}

void sync_failed(struct sync *s, const char *fmt, ...)
{
    char text[SYNC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    note_failure(s, text);
}

void sync_failed_answer(struct sync *s, const struct uplink_answer *a)
{
    struct buf text = {0};

    enroll_answer_error(a->status, a->body, a->body_len, &text);
    note_failure(s, (char *)text.data);
    buf_free(&text);
}

void sync_succeeded(struct sync *s)
{
    if (s->landed_kind == FLIGHT_CARE && s->failed_kind != FLIGHT_CARE) {
        return; /* what failed was a delivery */
    }
    if (s->failures > 0) {
        log_line(LOG_INFO, "delivery goes on", NULL);
    }
    s->failures = 0;
    s->error[0] = '\0';
}

/* ---- fates ---- */

static bool denied_before(struct sync *s, uint64_t id, bool forget)
{
    for (size_t i = 0; i < s->denied_count; i++) {
        if (s->denied[i] == id) {
            if (forget) {
                s->denied[i] = s->denied[--s->denied_count];
            }
            return true;
        }
    }
    return false;
}

void sync_delivered(struct sync *s, uint64_t id)
{
    (void)denied_before(s, id, true);
    spool_drop(s->spool, id, SPOOL_DELIVERED);
    sync_plan_end(&s->plan, id, false);
}

void sync_refused(struct sync *s, uint64_t id, const char *why)
{
    struct spool_object o;
    struct buf text = {0};
    char number[24];
    char *key = NULL;

    (void)denied_before(s, id, true);
    if (spool_get(s->spool, id, &o, &text, NULL) == 0) {
        key = mem_strndup(o.key, o.key_len);
        s->memory.refused++;
    }
    snprintf(number, sizeof number, "%llu", (unsigned long long)id);
    log_line(LOG_ERROR, "the cluster refused an object", "id", number, "key",
             key != NULL ? key : "", "err", why, NULL);
    spool_drop(s->spool, id, SPOOL_SHED);
    sync_plan_end(&s->plan, id, false);
    free(key);
    buf_free(&text);
}

void sync_denied(struct sync *s, uint64_t id)
{
    if (denied_before(s, id, false)) {
        sync_refused(s, id, "access denied");
        return;
    }
    /* It may be us that the cluster refuses: the next exchange tells. */
    if (s->denied_count < SYNC_DENIED_MAX) {
        s->denied[s->denied_count++] = id;
    }
    sync_plan_end(&s->plan, id, true);
}

void sync_copied(struct sync *s, uint64_t id)
{
    s->copied = true;
    sync_failed(s,
                "the cluster has number %llu of this device already: DATA is "
                "a copy, or was put back; enrol it anew",
                (unsigned long long)id);
    s->memory.sequence = INT64_MAX; /* check_spool refuses it */
    sync_remember(s, true);
}

void sync_damaged(struct sync *s, uint64_t id, const struct err *why)
{
    char number[24];

    snprintf(number, sizeof number, "%llu", (unsigned long long)id);
    log_line(LOG_ERROR, "an object cannot be read any more", "id", number,
             "err", why->text, NULL);
    spool_drop(s->spool, id, SPOOL_DAMAGED);
    sync_plan_end(&s->plan, id, false);
}

/* ---- flights ---- */

void sync_send(struct flight *f, enum flight_kind kind,
               const struct uplink_request *r, uplink_done done)
{
    struct sync *s = f->sync;
    struct uplink_request signed_one = *r;
    bool known;
    uint64_t now = sync_now(s, &known);

    if (s->store != NULL) {
        sync_s3_sign(f, &signed_one);
    }
    if (s->trust != NULL) {
        edge_tls_trust_time(s->trust, now, known);
    }
    f->kind = kind;
    f->number = ++s->exchanges;
    uplink_send(f->uplink, &signed_one, done, f);
}

bool sync_landed(struct flight *f, int code, const struct uplink_answer *a,
                 const char *why)
{
    f->sync->landed = f->number;
    f->sync->landed_kind = f->kind;
    f->kind = FLIGHT_NONE;
    if (code != 0) {
        sync_failed(f->sync, "%s: %s", f->sync->url.authority, why);
        return false;
    }
    /* Only who proved to be the cluster tells the time; a store, for it refuses
     * what is signed at another. */
    if (f->sync->trust != NULL || f->sync->store != NULL) {
        sync_learn(f->sync, a->head);
    }
    return true;
}

static bool all_idle(const struct sync *s)
{
    for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
        if (s->flights[i].kind != FLIGHT_NONE) {
            return false;
        }
    }
    return true;
}

/* A new certificate, once nothing goes by the old one. */
static void change_trust(struct sync *s)
{
    if (s->next == NULL || !all_idle(s)) {
        return;
    }
    for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
        uplink_reset(s->flights[i].uplink, s->next);
    }
    edge_tls_trust_free(s->trust);
    s->trust = s->next;
    s->next = NULL;
}

/* Outside its hours an upload goes on to its end, over a link that costs it
 * does not. */
static bool large_may_go(const struct sync *s)
{
    return sync_large_idle(s) &&
           s->plan.order.priority[sync_large_class(s)] >= s->metered_min;
}

static void start_flight(struct flight *f, uint8_t priority_min)
{
    uint64_t large = 0;

    if (sync_care_start(f)) {
        return;
    }
    if (large_may_go(f->sync)) {
        sync_large_step(f);
    } else if (!(f->sync->store != NULL
                     ? sync_s3_start(f, priority_min, &large)
                     : sync_batch_start(f, priority_min, &large)) &&
               large != 0) {
        sync_large_start(f, large);
    }
}

static void save_cursor(struct sync *s, uint64_t now)
{
    struct err err = {{0}};

    if (!spool_moved(s->spool)) {
        s->save_ms = 0;
        return;
    }
    if (s->save_ms == 0) {
        s->save_ms = now - s->saved_ms < SAVE_MS ? s->saved_ms + SAVE_MS
                                                 : now + SAVE_SOON_MS;
    }
    if (now < s->save_ms && list_empty(&s->waiters)) {
        return;
    }
    s->saved_ms = now;
    s->save_ms = 0;
    if (spool_save(s->spool, &err) != 0) {
        log_line(LOG_ERROR, "the spool's disk failed", "err", err.text, NULL);
    }
}

static void set_wake(struct sync *s, uint64_t now)
{
    uint64_t due = sync_care_due(s);

    if (s->pause_until_ms > now) {
        due = s->pause_until_ms;
    } else if (s->hours.set && now + HOURS_TICK_MS < due) {
        due = now + HOURS_TICK_MS;
    }
    if (s->metered.path != NULL && now + METERED_MS < due) {
        due = now + METERED_MS;
    }
    if (s->save_ms != 0 && s->save_ms < due) {
        due = s->save_ms;
    }
    /* What is due and did not begin waits for a flight to land. */
    loop_timer_set(s->loop, &s->wake, due > now ? due - now : DUE_AGAIN_MS);
}

/* What may go now: of this priority or more. A flush asks for all. */
static uint8_t priority_min(struct sync *s, uint64_t now)
{
    bool known;
    uint8_t min = 0;

    s->metered_min = 0;
    if (!list_empty(&s->waiters)) {
        return 0;
    }
    if (!sync_hours_open(&s->hours, sync_now(s, &known))) {
        min = URGENT_CLASS;
    }
    if (metered_now(&s->metered, now)) {
        s->metered_min = s->metered_priority;
    }
    return s->metered_min > min ? s->metered_min : min;
}

void sync_pump(struct sync *s)
{
    uint64_t now = clock_mono_ms();
    uint8_t min = priority_min(s, now);

    s->landed = UINT64_MAX; /* what fails now is not by an answer */
    s->landed_kind = FLIGHT_NONE;
    change_trust(s);
    if (s->copied) {
        settle_all(s, ERR_DENIED, s->error);
    }
    for (size_t i = 0; i < SYNC_FLIGHTS && s->next == NULL && !s->copied; i++) {
        if (s->flights[i].kind == FLIGHT_NONE && now >= s->pause_until_ms) {
            start_flight(&s->flights[i], min);
        }
    }
    save_cursor(s, now);
    tell_waiters(s);
    set_wake(s, now);
}

static void on_wake(struct loop_timer *t)
{
    sync_pump(LIST_OF(t, struct sync, wake));
}

void sync_kick(struct sync *s)
{
    sync_plan_more(&s->plan);
    sync_pump(s);
}

/* ---- life ---- */

/* What a new spool takes in would be told from what was delivered by nothing.
 */
static int check_spool(const struct sync *s, struct err *err)
{
    uint64_t coming = spool_coming_id(s->spool);

    /* A store does not tell by numbers. */
    if (s->store != NULL || s->memory.number != s->id.number ||
        s->memory.sequence < coming) {
        return 0;
    }
    return err_set(err, ERR_CORRUPT,
                   "this spool is not the one that %s delivered from (%llu "
                   "after %llu): enrol the device anew",
                   s->id.device, (unsigned long long)coming,
                   (unsigned long long)s->memory.sequence);
}

static void make_flights(struct sync *s, const struct sync_options *o)
{
    struct uplink_options uo = {.url = &s->url,
                                .trust = s->trust,
                                .rate = &s->rate,
                                .answer_ms = o->answer_ms};

    for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
        s->flights[i].sync = s;
        s->flights[i].uplink = uplink_new(s->loop, &uo);
        s->flights[i].ids = mem_calloc(SYNC_BATCH_OBJECTS, sizeof(uint64_t));
    }
}

int sync_new(struct loop *loop, struct intake *in, struct device_id *id,
             const struct sync_options *o, struct sync **out, struct err *err)
{
    struct sync *s = mem_alloc(sizeof *s);
    const char *gateway = o->gateway != NULL ? o->gateway : id->gateway;
    int code = uplink_url_parse(gateway, o->insecure, &s->url, err);

    s->loop = loop;
    s->intake = in;
    s->spool = intake_spool(in);
    s->first_id = spool_coming_id(s->spool);
    s->hours = o->hours;
    s->rate.per_second = o->rate;
    s->on_settings = o->settings;
    s->on_report = o->report;
    s->arg = o->arg;
    sync_memory_load(o->data, &s->memory);
    s->stored = s->memory;
    if (o->store != NULL) {
        s->store_is = *o->store;
        s->store = &s->store_is;
    }
    s->id = *id; /* given back on failure */
    if (code == 0) {
        code = check_spool(s, err);
    }
    if (code == 0 && s->url.tls) {
        code = o->store != NULL
                   ? edge_tls_trust_file(o->store->ca_file, &s->trust, err)
                   : edge_tls_trust_new(&id->ca, &id->cert, &id->key, &s->trust,
                                        err);
    }
    if (code != 0) {
        free(s);
        return code;
    }
    *id = (struct device_id){0};
    if (s->memory.number != s->id.number) {
        s->memory = (struct sync_memory){.skew_ms = s->memory.skew_ms,
                                         .seen_ms = s->memory.seen_ms};
    }
    s->data = mem_strdup(o->data);
    sync_plan_init(&s->plan, o->newest_first);
    list_init(&s->waiters);
    loop_timer_init(&s->wake, on_wake);
    make_flights(s, o);
    sync_remember(s, true);
    loop_timer_set(loop, &s->wake, 0);
    *out = s;
    return 0;
}

void sync_set_rules(struct sync *s, const struct sync_rules *r)
{
    sync_plan_order(&s->plan, &r->order);
    s->rate.per_second = r->rate;
    s->hours = r->hours;
    metered_set(&s->metered, r->metered_file);
    s->metered_priority = r->metered_priority;
    loop_timer_set(s->loop, &s->wake, 0);
}

void sync_free(struct sync *s)
{
    if (s == NULL) {
        return;
    }
    loop_timer_clear(&s->wake);
    for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
        uplink_free(s->flights[i].uplink);
        buf_free(&s->flights[i].body);
        buf_free(&s->flights[i].fields);
        free(s->flights[i].ids);
    }
    sync_large_free(s);
    for (struct list_node *n; (n = list_pop(&s->waiters)) != NULL;) {
        free(LIST_OF(n, struct flush_waiter, node));
    }
    sync_remember(s, true);
    edge_tls_trust_free(s->trust);
    edge_tls_trust_free(s->next);
    device_id_free(&s->id);
    metered_free(&s->metered);
    free(s->data);
    free(s);
}

void sync_status(struct sync *s, struct buf *out)
{
    enum uplink_state best = UPLINK_DOWN;
    uint64_t sent = 0;
    uint64_t now = clock_mono_ms();

    for (size_t i = 0; i < SYNC_FLIGHTS; i++) {
        enum uplink_state state = uplink_state(s->flights[i].uplink);
        best = state > best ? state : best;
        sent += uplink_sent_bytes(s->flights[i].uplink);
    }
    buf_str(out, ",\"gateway\":");
    put_json_text(out, s->url.authority);
    buf_str(out, ",\"device\":");
    put_json_text(out, s->id.device != NULL ? s->id.device : "");
    buf_printf(out,
               ",\"link\":\"%s\",\"last_error\":", uplink_state_name(best));
    put_json_text(out, s->error);
    buf_printf(
        out,
        ",\"retry_in_ms\":%llu,\"in_flight\":%zu,\"refused_objects\":"
        "%llu,\"repeated_objects\":%llu,\"batches\":%llu,\"sent_bytes\":"
        "%llu,\"skew_ms\":%lld",
        (unsigned long long)(s->pause_until_ms > now ? s->pause_until_ms - now
                                                     : 0),
        s->plan.busy_count, (unsigned long long)s->memory.refused,
        (unsigned long long)s->repeated, (unsigned long long)s->batches,
        (unsigned long long)sent, (long long)s->memory.skew_ms);
}
