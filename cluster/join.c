/* Joining, both ends. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_internal.h"
#include "crypto/digest.h"
#include "crypto/root_key.h"
#include "crypto/tls.h"
#include "meta/meta.h"

#define JOIN_TIMEOUT_MS 15000
#define SERVERS_FILE_MAX ((size_t)4 << 20)
#define FORMAT 1       /* what this version reads and writes */
#define GIVEN_MAX 2048 /* servers in an answer, within NET_HEAD_MAX */

/* ---- addresses on disk ---- */

int cluster_save_servers(const struct cluster *c,
                         const struct join_server *servers, size_t count,
                         struct err *err)
{
    char *path = mem_printf("%s/servers", c->identity.dir);
    struct buf text = {0};
    int rc;

    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, "%u %s\n", servers[i].id, servers[i].address);
    }
    rc = fs_write(path, text.data, text.len, 0600, err);
    buf_free(&text);
    free(path);
    return rc;
}

int cluster_load_servers(struct cluster *c, struct err *err)
{
    char *path = mem_printf("%s/servers", c->identity.dir);
    struct buf text = {0};
    char *save = NULL;
    int rc = fs_read(path, SERVERS_FILE_MAX, &text, err);

    if (rc == 0) {
        buf_char(&text, '\0');
        for (char *line = strtok_r((char *)text.data, "\n", &save);
             line != NULL; line = strtok_r(NULL, "\n", &save)) {
            char *address = strchr(line, ' ');
            uint64_t id;
            if (address == NULL) {
                continue;
            }
            *address++ = '\0';
            if (text_u64(line, &id) && id > 0 && id <= UINT32_MAX &&
                id != c->identity.server) {
                cluster_meet(c, (uint32_t)id, address);
            }
        }
    }
    buf_free(&text);
    free(path);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

void cluster_describe(const struct cluster *c, const uint8_t *fingerprint,
                      struct command_server *out)
{
    *out = (struct command_server){.name = c->name,
                                   .address = cluster_address(c),
                                   .endpoint = c->endpoint,
                                   .zone = c->zone,
                                   .roles = c->roles,
                                   .fingerprint = fingerprint,
                                   .format = FORMAT,
                                   .drives = c->drives,
                                   .drive_count = c->drive_count};
}

/* ---- the one that joins ---- */

static int take_answer(struct cluster *c, const struct pki_token *token,
                       const struct buf *head, struct err *err)
{
    struct join_answer a;
    struct pki_cert ca;
    int rc = join_answer_decode(head->data, head->len, &a, err);

    if (rc != 0) {
        return rc;
    }
    rc = pki_cert_read(a.ca_cert.data, a.ca_cert.len, &ca, err);
    if (rc == 0 &&
        mem_diff(ca.fingerprint, token->ca, sizeof ca.fingerprint) != 0) {
        rc = err_set(err, ERR_DENIED, "the answer is of another cluster");
    }
    if (rc == 0 && a.drive_count != c->drive_count) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "the answer to the join is of %u drives, not %u",
                     a.drive_count, c->drive_count);
    }
    if (rc == 0) {
        rc = cluster_know_drives(c, a.drives, err);
    }
    if (rc == 0) { /* the certificate last: with it the join is done */
        rc = cluster_save_servers(c, a.servers, a.server_count, err);
    }
    if (rc == 0 && a.master_key.len > 0 && c->master_key_path != NULL) {
        rc = root_key_save(c->master_key_path, a.master_key.data, err);
    }
    if (rc == 0) {
        rc = identity_accept(&c->identity, &a.ca_cert, &a.ca_key, &a.cert, err);
    }
    if (rc == 0) {
        c->joined_access_key = mem_strdup(a.access_key);
        c->joined_secret_key = mem_strdup(a.secret_key);
    }
    join_answer_free(&a);
    return rc;
}

static int ask(struct cluster *c, const char *address,
               const struct pki_token *token, const struct buf *question,
               struct err *err)
{
    struct net_options no = {0};
    struct net_call call = {.service = NET_JOIN,
                            .type = JOIN_TYPE,
                            .head = question->data,
                            .head_len = question->len,
                            .timeout_ms = JOIN_TIMEOUT_MS};
    struct net *net;
    int rc = tls_context_stranger(token->ca, &no.tls, err);

    if (rc == 0) {
        rc = net_open(&no, &net, err);
    }
    if (rc != 0) {
        return rc;
    }
    net_start(net);
    rc = net_call_address(net, address, &call);
    net_close(net);
    if (rc == 0) {
        rc = take_answer(c, token, &call.reply_head, err);
    } else {
        err_set(err, rc, "join through %s: %s", address, call.err.text);
    }
    buf_wipe(&call.reply_head);
    buf_free(&call.reply_body);
    return rc;
}

int cluster_join(struct cluster *c, const char *address, const char *token,
                 struct err *err)
{
    struct join_question q = {.token = (char *)(uintptr_t)token,
                              .name = c->name,
                              .address = (char *)(uintptr_t)cluster_address(c),
                              .endpoint = c->endpoint,
                              .zone = c->zone,
                              .roles = c->roles,
                              .drive_count = c->drive_count};
    struct buf question = {0};
    struct pki_token t;
    int rc;

    if (token == NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "token: --join needs --token, which `godwit token "
                       "create` on a member prints");
    }
    rc = pki_token_parse(token, &t, err);
    if (rc != 0) {
        return err_wrap(err, rc, "token");
    }
    rc = identity_request(&c->identity, err);
    if (rc != 0) {
        return rc;
    }
    memcpy(q.drives, c->drives, sizeof q.drives);
    q.request = c->identity.request; /* borrowed */
    join_question_encode(&q, &question);
    rc = ask(c, address, &t, &question, err);
    buf_wipe(&question);
    return rc;
}

/* ---- the one that lets in ---- */

int cluster_check_token(const struct cluster *c, const struct pki_token *t,
                        struct err *err)
{
    struct pki_cert ca;
    int rc = pki_cert_read(c->identity.ca_cert.data, c->identity.ca_cert.len,
                           &ca, err);

    if (rc == 0 && mem_diff(ca.fingerprint, t->ca, sizeof t->ca) != 0) {
        rc = err_set(err, ERR_DENIED, "the token is of another cluster");
    }
    return rc;
}

static int read_token(const struct cluster *c, const char *text,
                      uint8_t hash[META_TOKEN_HASH], struct err *err)
{
    struct pki_token t;
    int rc = pki_token_parse(text, &t, err);

    if (rc == 0) {
        rc = cluster_check_token(c, &t, err);
    }
    if (rc == 0) {
        digest_of(DIGEST_SHA256, t.secret, sizeof t.secret, hash);
    }
    mem_wipe(&t, sizeof t);
    return rc;
}

int cluster_propose(struct cluster *c, struct buf *command,
                    struct meta_proposal *p, struct err *err)
{
    int rc = meta_propose_wait(c->meta, command, p, err);

    buf_free(command);
    if (rc != 0 && command_refusal_text(p->body) != NULL) {
        err_set(err, rc, "%s", command_refusal_text(p->body));
    }
    return rc;
}

static int propose(struct cluster *c, const struct join_question *q,
                   const uint8_t hash[META_TOKEN_HASH], uint32_t *server,
                   struct err *err)
{
    uint8_t fingerprint[META_FINGERPRINT];
    struct command_server s = {.name = q->name,
                               .address = q->address,
                               .endpoint = q->endpoint,
                               .zone = q->zone,
                               .roles = q->roles,
                               .fingerprint = fingerprint,
                               .format = FORMAT,
                               .drives = q->drives,
                               .drive_count = q->drive_count};
    struct meta_proposal p = {0};
    struct buf command = {0};
    int rc;

    digest_of(DIGEST_SHA256, q->request.data, q->request.len, fingerprint);
    command_server_join(&command, hash, &s, clock_real_ms());
    rc = cluster_propose(c, &command, &p, err);
    *server = (uint32_t)p.body;
    return rc;
}

static int give_servers(struct cluster *c, struct join_answer *a,
                        struct err *err)
{
    struct meta_server *servers = NULL;
    size_t count = 0;
    int rc = meta_servers(c->meta, &servers, &count, err);

    if (rc == 0) {
        a->servers = mem_calloc(count > 0 ? count : 1, sizeof *a->servers);
        for (size_t i = 0; i < count && a->server_count < GIVEN_MAX; i++) {
            if (servers[i].state != META_SERVER_REMOVED) {
                a->servers[a->server_count].id = servers[i].id;
                a->servers[a->server_count++].address =
                    mem_strdup(servers[i].address);
            }
        }
    }
    free(servers);
    return rc;
}

/* The ids of the drives that were asked for. */
static int give_drives(struct cluster *c, const struct join_question *q,
                       struct join_answer *a, struct err *err)
{
    struct meta_drive *drives = NULL;
    size_t count = 0;
    int rc = meta_drives(c->meta, &drives, &count, err);

    a->drive_count = rc == 0 ? q->drive_count : 0;
    for (unsigned i = 0; i < a->drive_count; i++) {
        a->drives[i] = JOIN_NO_DRIVE; /* a join repeated adds none */
        for (size_t j = 0; j < count; j++) {
            if (drives[j].server == a->server &&
                memcmp(drives[j].uuid, q->drives[i].uuid, META_DRIVE_UUID) ==
                    0) {
                a->drives[i] = drives[j].id;
            }
        }
    }
    free(drives);
    return rc;
}

static int let_in(struct cluster *c, const struct net_request *r,
                  struct buf *out, struct err *err)
{
    struct join_question q;
    struct join_answer a = {0};
    uint8_t hash[META_TOKEN_HASH];
    int rc = join_question_decode(r->head, r->head_len, &q, err);

    if (rc != 0) {
        return rc;
    }
    rc = read_token(c, q.token, hash, err);
    if (rc == 0 && c->identity.ca_key.len == 0) {
        rc = err_set(err, ERR_UNAVAILABLE,
                     "this server does not keep the catalogue; join through "
                     "one that does");
    }
    if (rc == 0) {
        rc = propose(c, &q, hash, &a.server, err);
    }
    if (rc == 0) {
        rc = pki_issue(&c->identity.ca_key, &c->identity.ca_cert,
                       q.request.data, q.request.len, a.server,
                       clock_real_ms() / 1000, &a.cert, err);
    }
    if (rc == 0) {
        rc = give_drives(c, &q, &a, err);
    }
    if (rc == 0) {
        rc = give_servers(c, &a, err);
    }
    if (rc == 0) {
        buf_append(&a.ca_cert, c->identity.ca_cert.data,
                   c->identity.ca_cert.len);
        if (q.roles & CLUSTER_ROLE_META) {
            buf_append(&a.ca_key, c->identity.ca_key.data,
                       c->identity.ca_key.len);
        }
        if (c->master_key != NULL &&
            (q.roles & (CLUSTER_ROLE_META | CLUSTER_ROLE_GATEWAY)) != 0) {
            buf_append(&a.master_key, c->master_key, ROOT_KEY);
        }
        a.access_key = mem_strdup(c->access_key);
        a.secret_key = mem_strdup(c->secret_key);
        join_answer_encode(&a, out);
        net_peer(c->net, a.server, q.address);
        cluster_wake(c);
        log_errf(LOG_INFO, "server joined", "%s at %s is server %u", q.name,
                 q.address, a.server);
    }
    join_answer_free(&a);
    join_question_free(&q);
    return rc;
}

static int let_in_and_tell(struct cluster *c, struct net_request *r,
                           struct buf *answer, struct err *err)
{
    int rc = let_in(c, r, answer, err);

    if (rc != 0) {
        log_errf(LOG_WARN, "join refused", "%s", err->text);
    }
    return rc;
}

static void on_join(void *arg, struct net_request *r)
{
    struct cluster *c = arg;

    if (r->type != JOIN_TYPE) {
        net_reply(c->net, r, ERR_UNSUPPORTED, "no such request", NULL, 0, NULL,
                  0, NULL, NULL);
        return;
    }
    cluster_answer(c, r, let_in_and_tell);
}

void cluster_serve_joins(struct cluster *c)
{
    net_serve(c->net, NET_JOIN, on_join, c);
}

int cluster_token_create(struct cluster *c, uint64_t expires_ms, uint32_t uses,
                         const char *note, char **out, struct err *err)
{
    struct meta_proposal p = {0};
    struct buf command = {0};
    struct pki_cert ca;
    struct pki_token t;
    uint8_t hash[META_TOKEN_HASH];
    int rc = pki_cert_read(c->identity.ca_cert.data, c->identity.ca_cert.len,
                           &ca, err);

    if (rc != 0) {
        return rc;
    }
    pki_token_new(ca.fingerprint, &t);
    digest_of(DIGEST_SHA256, t.secret, sizeof t.secret, hash);
    command_token_create(&command, hash, uses, expires_ms, note,
                         clock_real_ms());
    rc = cluster_propose(c, &command, &p, err);
    if (rc == 0) {
        *out = mem_alloc(PKI_TOKEN_TEXT);
        pki_token_format(&t, *out);
    }
    mem_wipe(&t, sizeof t);
    return rc;
}

int cluster_token_json(struct cluster *c, uint64_t for_ms, uint32_t uses,
                       const char *note, struct buf *out, struct err *err)
{
    uint64_t expires_ms = clock_real_ms() + for_ms;
    char *text;
    int rc = cluster_token_create(c, expires_ms, uses, note, &text, err);

    if (rc == 0) {
        buf_printf(out, "{\"token\":\"%s\",\"expires_ms\":%llu,\"uses\":%u}\n",
                   text, (unsigned long long)expires_ms, uses);
        mem_wipe(text, strlen(text));
        free(text);
    }
    return rc;
}
