/* Questions between servers that a worker answers. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cluster/cluster_internal.h"

struct answer_job {
    struct work work;
    struct cluster *c;
    struct net_request *request;
    cluster_answer_fn fn;
};

static void answer_in_worker(struct work *w)
{
    struct answer_job *j = LIST_OF(w, struct answer_job, work);
    struct buf answer = {0};
    struct err err = {{0}};
    int rc = j->fn(j->c, j->request, &answer, &err);

    net_reply(j->c->net, j->request, rc, err.text, answer.data, answer.len,
              NULL, 0, NULL, NULL);
    buf_wipe(&answer);
    free(j);
}

void cluster_answer(struct cluster *c, struct net_request *r,
                    cluster_answer_fn fn)
{
    struct answer_job *j = mem_alloc(sizeof *j);

    j->work.fn = answer_in_worker;
    j->c = c;
    j->request = r;
    j->fn = fn;
    if (!workers_run(c->workers, &j->work)) {
        net_reply(c->net, r, ERR_BUSY, "too much to do, try again", NULL, 0,
                  NULL, 0, NULL, NULL);
        free(j);
    }
}

void cluster_answer_server(struct cluster *c, struct net_request *r,
                           cluster_answer_fn fn)
{
    if (r->server == 0) {
        net_reply(c->net, r, ERR_DENIED, "for servers of the cluster only",
                  NULL, 0, NULL, 0, NULL, NULL);
        return;
    }
    cluster_answer(c, r, fn);
}

int cluster_ask(struct cluster *c, uint32_t server, uint8_t type,
                const struct buf *question, struct buf *answer, struct err *err)
{
    struct net_call call = {.service = NET_CLUSTER,
                            .type = type,
                            .head = question->data,
                            .head_len = question->len,
                            .timeout_ms = CLUSTER_ASK_MS};
    int rc = net_call_wait(c->net, server, &call);

    if (rc == 0) {
        buf_append(answer, call.reply_head.data, call.reply_head.len);
    } else {
        err_set(err, rc, "server %u: %s", server, call.err.text);
    }
    buf_free(&call.reply_head);
    buf_free(&call.reply_body);
    return rc;
}
