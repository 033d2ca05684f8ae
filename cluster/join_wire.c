#include "cluster/join_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/pki.h"
#include "crypto/root_key.h"

#define JOIN_VERSION 2
#define KEY_TEXT_MAX 256

static void wipe_text(char *s)
{
    if (s != NULL) {
        mem_wipe(s, strlen(s));
    }
    free(s);
}

static void get_pem(struct wire_reader *r, struct buf *out)
{
    size_t len = 0;
    const uint8_t *p = get_blob(r, PKI_PEM_MAX, &len);

    if (p != NULL) {
        buf_append(out, p, len);
    }
}

static void put_pem(struct buf *out, const struct buf *pem)
{
    put_blob(out, pem->data, pem->len);
}

/* The first field that did not decode. */
static int bad(const char *what, const char *field, struct err *err)
{
    return err_set(err, ERR_BAD_INPUT, "%s: %s is missing or not valid", what,
                   field);
}

void join_question_encode(const struct join_question *q, struct buf *out)
{
    put_u8(out, JOIN_VERSION);
    put_text(out, q->token);
    put_text(out, q->name);
    put_text(out, q->address);
    put_text(out, q->endpoint);
    put_text(out, q->zone);
    put_u32(out, q->roles);
    put_u16(out, q->drive_count);
    for (unsigned i = 0; i < q->drive_count; i++) {
        put_u32(out, q->drives[i].weight);
        put_bytes(out, q->drives[i].uuid, META_DRIVE_UUID);
    }
    put_pem(out, &q->request);
}

static int decode_question(struct wire_reader *r, struct join_question *q,
                           struct err *err)
{
    static const char *const names[] = {"token", "name", "address", "endpoint",
                                        "zone"};
    char **const texts[] = {&q->token, &q->name, &q->address, &q->endpoint,
                            &q->zone};
    static const size_t limits[] = {JOIN_TOKEN_MAX, JOIN_NAME_MAX,
                                    JOIN_ADDRESS_MAX, JOIN_ADDRESS_MAX,
                                    JOIN_NAME_MAX};

    if (get_u8(r) != JOIN_VERSION) {
        return err_set(err, ERR_VERSION, "join: version is not known");
    }
    for (int i = 0; i < 5; i++) {
        *texts[i] = get_text(r, limits[i]);
        if (*texts[i] == NULL) {
            return bad("join", names[i], err);
        }
    }
    q->roles = get_u32(r);
    q->drive_count = get_u16(r);
    if (!wire_ok(r) || q->drive_count > JOIN_DRIVES_MAX) {
        q->drive_count = 0;
        return bad("join", "drives", err);
    }
    for (unsigned i = 0; i < q->drive_count; i++) {
        const uint8_t *uuid;
        q->drives[i].weight = get_u32(r);
        uuid = get_bytes(r, META_DRIVE_UUID);
        if (uuid == NULL) {
            return bad("join", "drives", err);
        }
        memcpy(q->drives[i].uuid, uuid, META_DRIVE_UUID);
    }
    get_pem(r, &q->request);
    return wire_done(r) ? 0 : bad("join", "request", err);
}

int join_question_decode(const void *p, size_t len, struct join_question *out,
                         struct err *err)
{
    struct wire_reader r;
    int rc;

    memset(out, 0, sizeof *out);
    wire_init(&r, p, len);
    rc = decode_question(&r, out, err);
    if (rc != 0) {
        join_question_free(out);
    }
    return rc;
}

void join_question_free(struct join_question *q)
{
    wipe_text(q->token);
    free(q->name);
    free(q->address);
    free(q->endpoint);
    free(q->zone);
    buf_free(&q->request);
    memset(q, 0, sizeof *q);
}

void join_answer_encode(const struct join_answer *a, struct buf *out)
{
    put_u8(out, JOIN_VERSION);
    put_u32(out, a->server);
    put_pem(out, &a->ca_cert);
    put_pem(out, &a->ca_key);
    put_pem(out, &a->master_key);
    put_pem(out, &a->cert);
    put_text(out, a->access_key);
    put_text(out, a->secret_key);
    put_u16(out, a->drive_count);
    for (unsigned i = 0; i < a->drive_count; i++) {
        put_u16(out, a->drives[i]);
    }
    put_u16(out, a->server_count);
    for (unsigned i = 0; i < a->server_count; i++) {
        put_u32(out, a->servers[i].id);
        put_text(out, a->servers[i].address);
    }
}

static int decode_drives(struct wire_reader *r, struct join_answer *a,
                         struct err *err)
{
    uint16_t count = get_u16(r);

    if (!wire_ok(r) || count > JOIN_DRIVES_MAX) {
        return bad("answer to join", "drives", err);
    }
    for (; a->drive_count < count; a->drive_count++) {
        a->drives[a->drive_count] = get_u16(r);
    }
    return wire_ok(r) ? 0 : bad("answer to join", "drives", err);
}

static int decode_servers(struct wire_reader *r, struct join_answer *a,
                          struct err *err)
{
    uint16_t count = get_u16(r);

    if (!wire_ok(r) || count > JOIN_SERVERS_MAX) {
        return bad("answer to join", "servers", err);
    }
    a->servers = mem_calloc(count > 0 ? count : 1, sizeof *a->servers);
    for (; a->server_count < count; a->server_count++) {
        struct join_server *s = &a->servers[a->server_count];
        s->id = get_u32(r);
        s->address = get_text(r, JOIN_ADDRESS_MAX);
        if (s->address == NULL) {
            return bad("answer to join", "address", err);
        }
    }
    return wire_done(r) ? 0 : bad("answer to join", "end", err);
}

static int decode_answer(struct wire_reader *r, struct join_answer *a,
                         struct err *err)
{
    int rc;

    if (get_u8(r) != JOIN_VERSION) {
        return err_set(err, ERR_VERSION,
                       "answer to join: version is not known");
    }
    a->server = get_u32(r);
    get_pem(r, &a->ca_cert);
    get_pem(r, &a->ca_key);
    get_pem(r, &a->master_key);
    get_pem(r, &a->cert);
    a->access_key = get_text(r, KEY_TEXT_MAX);
    a->secret_key = get_text(r, KEY_TEXT_MAX);
    if (!wire_ok(r) || a->server == 0 || a->access_key == NULL ||
        a->secret_key == NULL ||
        (a->master_key.len != 0 && a->master_key.len != ROOT_KEY)) {
        return bad("answer to join", "identity", err);
    }
    rc = decode_drives(r, a, err);
    return rc == 0 ? decode_servers(r, a, err) : rc;
}

int join_answer_decode(const void *p, size_t len, struct join_answer *out,
                       struct err *err)
{
    struct wire_reader r;
    int rc;

    memset(out, 0, sizeof *out);
    wire_init(&r, p, len);
    rc = decode_answer(&r, out, err);
    if (rc != 0) {
        join_answer_free(out);
    }
    return rc;
}

void join_answer_free(struct join_answer *a)
{
    for (unsigned i = 0; i < a->server_count; i++) {
        free(a->servers[i].address);
    }
    free(a->servers);
    buf_free(&a->ca_cert);
    buf_wipe(&a->ca_key);
    buf_wipe(&a->master_key);
    buf_free(&a->cert);
    wipe_text(a->access_key);
    wipe_text(a->secret_key);
    memset(a, 0, sizeof *a);
}
