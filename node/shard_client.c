#include "node/shard_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "net/net.h"
#include "node/shard_index.h"

#define ASKED_MAGIC 0x444b5341u

/* A verb on its way to another server and back. */
struct asked {
    uint32_t magic;
    struct net_call call;
    struct shard_ask ask;
    uint8_t head[SHARD_ASK_BYTES_MAX];
    struct shard_put *put; /* one of the three */
    struct shard_get *get;
    struct shard_delete *del;
    atomic_ullong *answered_ms;
};

/* What object/ knows to handle; all else is a drive that failed. In particular
 * ERR_UNAVAILABLE means too few shards there, ERR_NOT_FOUND no shard. */
static int as_shard_error(int status)
{
    switch (status) {
        case 0:
        case ERR_NOMEM:
        case ERR_CORRUPT:
        case ERR_NOT_FOUND:
        case ERR_BUSY:
        case ERR_FULL:
        case ERR_TIMEOUT:
        case ERR_LIMIT:
        case ERR_RANGE:
            return status;
        default:
            return ERR_IO;
    }
}

static void ask(struct net_call *c, const struct shard_ask *a, uint8_t *head)
{
    c->service = NET_SHARD;
    c->type = (uint8_t)a->verb;
    c->head = head;
    c->head_len = shard_ask_encode(a, head);
}

/* The answer to a get is what was asked for: 0 or an error. */
static int check_got(const struct asked *x, struct err *err)
{
    const struct net_call *c = &x->call;
    struct shard_got got;

    if (shard_got_decode(c->reply_head.data, c->reply_head.len, &got, err) !=
        0) {
        return ERR_IO;
    }
    if (c->body_got != x->ask.length || c->reply_body.len != 0) {
        return err_set(err, ERR_IO, "shard get: %zu bytes came, not %u",
                       c->body_got, (unsigned)x->ask.length);
    }
    /* Not ERR_CORRUPT: the shard itself may be good. */
    if (crc32c(0, x->get->out, x->ask.length) != got.body_crc) {
        return err_set(err, ERR_IO, "shard get: wrong checksum on the way");
    }
    return 0;
}

/* Does the status come from the other end, for all that is known here? */
static bool has_answered(int status)
{
    switch (status) {
        case ERR_TIMEOUT:
        case ERR_BUSY:
        case ERR_UNAVAILABLE:
        case ERR_UNKNOWN:
        case ERR_DENIED:
        case ERR_CLOSED:
            return false;
        default:
            return true;
    }
}

static void on_answer(struct net_call *c)
{
    struct asked *x = LIST_OF(c, struct asked, call);
    int status = as_shard_error(c->status);

    CHECK_OBJ(x, ASKED_MAGIC);
    if (x->answered_ms != NULL && has_answered(c->status)) {
        atomic_store(x->answered_ms, clock_mono_ms());
    }
    if (status == 0 && x->get != NULL) {
        status = check_got(x, &c->err);
        if (status != 0) {
            err_wrap(&c->err, status, "drive %u", (unsigned)x->ask.drive);
        }
    }
    buf_free(&c->reply_head);
    buf_free(&c->reply_body);
    if (x->put != NULL) {
        x->put->done(x->put, status, &c->err);
    } else if (x->get != NULL) {
        x->get->done(x->get, status, &c->err);
    } else {
        x->del->done(x->del, status, &c->err);
    }
    x->magic = 0;
    free(x);
}

static struct asked *asked_new(const struct shard_route *r,
                               const struct shard_ask *a)
{
    struct asked *x = mem_alloc(sizeof *x);

    CHECK(r->server != 0);
    x->magic = ASKED_MAGIC;
    x->ask = *a;
    x->ask.drive = r->drive;
    x->answered_ms = r->answered_ms;
    ask(&x->call, &x->ask, x->head);
    x->call.timeout_ms = r->timeout_ms;
    x->call.done = on_answer;
    return x;
}

void shard_client_put(const struct shard_route *r, struct shard_put *put)
{
    struct shard_ask a = {.verb = SHARD_PUT,
                          .key = put->key,
                          .group = put->group,
                          .length = put->length};
    struct asked *x;

    CHECK(put->length >= 1);
    if (put->length > SHARD_BYTES_MAX) {
        struct err err;
        err_set(&err, ERR_LIMIT, "drive %u: a shard of %u bytes",
                (unsigned)r->drive, (unsigned)put->length);
        put->done(put, ERR_LIMIT, &err);
        return;
    }
    a.body_crc = crc32c(0, put->data, put->length);
    x = asked_new(r, &a);
    x->put = put;
    x->call.body = put->data;
    x->call.body_len = put->length;
    net_call(r->net, r->server, &x->call);
}

void shard_client_get(const struct shard_route *r, struct shard_get *get)
{
    struct shard_ask a = {.verb = SHARD_GET,
                          .key = get->key,
                          .offset = get->offset,
                          .length = get->length};
    struct asked *x;

    if (get->length < 1 || get->offset >= SHARD_BYTES_MAX ||
        get->length > SHARD_BYTES_MAX - get->offset) {
        struct err err;
        err_set(&err, ERR_RANGE, "drive %u: bytes %u+%u of a shard",
                (unsigned)r->drive, (unsigned)get->offset,
                (unsigned)get->length);
        get->done(get, ERR_RANGE, &err);
        return;
    }
    x = asked_new(r, &a);
    x->get = get;
    x->call.into = get->out;
    x->call.into_max = get->length;
    net_call(r->net, r->server, &x->call);
}

void shard_client_delete(const struct shard_route *r, struct shard_delete *del)
{
    struct shard_ask a = {.verb = SHARD_DELETE, .key = del->key};
    struct asked *x = asked_new(r, &a);

    x->del = del;
    net_call(r->net, r->server, &x->call);
}

/* Ask and wait; the answer's head is in @c, for the caller to free. */
static int ask_wait(const struct shard_route *r, struct shard_ask *a,
                    struct net_call *c, struct err *err)
{
    uint8_t head[SHARD_ASK_BYTES_MAX];
    int rc;

    memset(c, 0, sizeof *c);
    a->drive = r->drive;
    ask(c, a, head);
    c->timeout_ms = r->timeout_ms;
    rc = as_shard_error(net_call_wait(r->net, r->server, c));
    buf_free(&c->reply_body);
    if (rc != 0 && err != NULL) {
        *err = c->err;
    }
    return rc;
}

int shard_client_info(const struct shard_route *r, enum shard_verb verb,
                      const struct shard_key *key, struct shard_info *out,
                      struct err *err)
{
    struct shard_ask a = {.verb = verb, .key = *key};
    struct shard_info info = {.key = *key};
    struct net_call c;
    int rc = ask_wait(r, &a, &c, err);

    if (rc == 0 || rc == ERR_CORRUPT) {
        int got = shard_info_decode(verb, c.reply_head.data, c.reply_head.len,
                                    &info, rc == 0 ? err : NULL);
        rc = rc == 0 && got != 0 ? ERR_IO : rc;
    }
    buf_free(&c.reply_head);
    if (rc == 0 || rc == ERR_CORRUPT) {
        *out = info;
    }
    return rc;
}

int shard_client_list(const struct shard_route *r, uint32_t group,
                      const struct shard_key *after, struct shard_info *shards,
                      uint16_t max, struct shard_page *out, struct err *err)
{
    struct shard_ask a = {.verb = SHARD_LIST,
                          .from_start = after == NULL,
                          .group = group,
                          .max = max};
    struct net_call c;
    int rc;

    CHECK(max >= 1 && max <= SHARD_LIST_MAX);
    if (after != NULL) {
        a.key = *after;
    }
    rc = ask_wait(r, &a, &c, err);
    if (rc == 0 && shard_page_decode(c.reply_head.data, c.reply_head.len,
                                     shards, max, out, err) != 0) {
        rc = ERR_IO;
    }
    /* Else the caller would go round for ever. */
    if (rc == 0 && !out->end && after != NULL &&
        shard_key_compare(&out->last, after) <= 0) {
        rc = err_set(err, ERR_IO, "shard list: last: not after the first");
    }
    buf_free(&c.reply_head);
    return rc;
}

void shard_client_ask_stats(struct net_call *c,
                            uint8_t head[SHARD_ASK_BYTES_MAX])
{
    struct shard_ask a = {.verb = SHARD_STATS};

    ask(c, &a, head);
}
