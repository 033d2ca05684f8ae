#include "gateway/tls_auto.h"

#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/cluster.h"
#include "cluster/identity.h"
#include "gateway/gateway_internal.h"

#define HOUR_MS ((uint64_t)3600 * 1000)
#define SOON_MS 1000   /* while there is no certificate */
#define AGAIN_MS 30000 /* while an old one does */

/* A certificate that is, or was, shown. A handshake under way may use one that
 * has been replaced, so all stay: one in two months. */
struct shown {
    gnutls_pcert_st chain[2]; /* the port's, the CA's */
    struct shown *older;
};

struct tls_auto {
    struct gateway *gateway;
    struct identity identity; /* its https part is the thread's once it runs */
    char *ca_file;
    struct buf ca; /* with its NUL */
    char *names[PKI_NAMES_MAX];
    size_t name_count;
    gnutls_privkey_t key;
    _Atomic(struct shown *) shown;
    uint64_t from_s, until_s; /* of it */
    bool fresh;               /* it was made by this start */

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex; /* guards stopping */
    pthread_cond_t cond;
    bool stopping;
};

/* GnuTLS hands no argument of ours to its callback. */
static struct tls_auto *current;

/* ---- names ---- */

static int add_name(struct tls_auto *t, const char *name)
{
    if (!pki_name_ok(name)) {
        return ERR_BAD_INPUT;
    }
    for (size_t i = 0; i < t->name_count; i++) {
        if (strcasecmp(t->names[i], name) == 0) {
            return 0;
        }
    }
    if (t->name_count == PKI_NAMES_MAX) {
        return ERR_LIMIT;
    }
    t->names[t->name_count++] = mem_strdup(name);
    return 0;
}

/* The host of ADDR:PORT; free(). */
static char *host_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : strlen(address);

    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        return mem_strndup(address + 1, len - 2);
    }
    return mem_strndup(address, len);
}

static void add_interfaces(struct tls_auto *t)
{
    struct ifaddrs *all = NULL;
    char text[INET6_ADDRSTRLEN];

    if (getifaddrs(&all) != 0) {
        return;
    }
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        const struct sockaddr *a = i->ifa_addr;
        const void *address = NULL;
        if (a != NULL && a->sa_family == AF_INET) {
            address = &((const struct sockaddr_in *)(const void *)a)->sin_addr;
        } else if (a != NULL && a->sa_family == AF_INET6) {
            address =
                &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
        }
        if (address != NULL && (i->ifa_flags & IFF_UP) &&
            inet_ntop(a->sa_family, address, text, sizeof text) != NULL) {
            add_name(t, text);
        }
    }
    freeifaddrs(all);
}

static int collect_names(struct tls_auto *t, struct err *err)
{
    const struct server_options *o = t->gateway->options;
    char *listen = host_of(o->listen);
    char host[256] = {0};

    for (size_t i = 0; i < o->tls_name.count; i++) {
        int rc = add_name(t, o->tls_name.items[i]);
        if (rc != 0) {
            free(listen);
            return err_set(err, rc,
                           "tls-name: %s is not an address or a name, or one "
                           "too many",
                           o->tls_name.items[i]);
        }
    }
    add_name(t, "localhost");
    add_name(t, "127.0.0.1");
    add_name(t, "::1");
    add_name(t, listen); /* also "0.0.0.0": the endpoint is called so */
    if (o->advertise != NULL) {
        char *advertise = host_of(o->advertise);
        add_name(t, advertise);
        free(advertise);
    }
    if (gethostname(host, sizeof host - 1) == 0) {
        add_name(t, host);
    }
    if (o->domain != NULL && o->domain[0] != '\0') {
        char *any = mem_printf("*.%s", o->domain);
        add_name(t, o->domain);
        add_name(t, any);
        free(any);
    }
    if (listen[0] == '\0' || strcmp(listen, "0.0.0.0") == 0 ||
        strcmp(listen, "::") == 0) {
        add_interfaces(t);
    }
    free(listen);
    return 0;
}

/* ---- what is shown ---- */

static void shown_free(struct shown *s)
{
    for (size_t i = 0; i < 2; i++) {
        gnutls_pcert_deinit(&s->chain[i]);
    }
    free(s);
}

static int import(gnutls_pcert_st *out, const struct buf *pem, struct err *err)
{
    gnutls_datum_t d = {pem->data, (unsigned)pem->len};
    int rc = gnutls_pcert_import_x509_raw(out, &d, GNUTLS_X509_FMT_PEM, 0);

    return rc == 0 ? 0
                   : err_set(err, ERR_CORRUPT, "https certificate: %s",
                             gnutls_strerror(rc));
}

static int show(struct tls_auto *t, struct err *err)
{
    const struct identity *id = &t->identity;
    struct shown *s = mem_alloc(sizeof *s);
    struct pki_cert info;
    int rc = pki_cert_read(id->https_cert.data, id->https_cert.len, &info, err);

    /* The CA goes along: who enrols knows it by its fingerprint only. */
    if (rc == 0) {
        rc = import(&s->chain[0], &id->https_cert, err);
    }
    if (rc == 0) {
        rc = import(&s->chain[1], &id->ca_cert, err);
    }
    if (rc != 0) {
        shown_free(s);
        return rc;
    }
    t->from_s = info.not_before_s;
    t->until_s = info.not_after_s;
    s->older = atomic_load(&t->shown);
    atomic_store(&t->shown, s);
    return 0;
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *names,
                    int name_count, const gnutls_pk_algorithm_t *algorithms,
                    int algorithm_count, gnutls_pcert_st **chain,
                    unsigned *chain_len, gnutls_privkey_t *key)
{
    struct shown *s = current != NULL ? atomic_load(&current->shown) : NULL;

    (void)session;
    (void)names;
    (void)name_count;
    (void)algorithms;
    (void)algorithm_count;
    if (s == NULL) {
        return -1;
    }
    *chain = s->chain;
    *chain_len = 2;
    *key = current->key;
    return 0;
}

void *tls_auto_callback(void)
{
    return (void *)retrieve;
}

/* ---- certificates ---- */

/* A new certificate, by the key at hand or by another server. */
static int certify(struct tls_auto *t, struct err *err)
{
    const char *const *names = (const char *const *)t->names;
    struct identity *id = &t->identity;
    struct buf request = {0}, cert = {0};
    int rc = identity_https_request(id, &request, err);

    if (rc == 0 && id->ca_key.len > 0) {
        rc = pki_issue_https(&id->ca_key, &id->ca_cert, request.data,
                             request.len, names, t->name_count,
                             clock_real_ms() / 1000, &cert, err);
    } else if (rc == 0) {
        rc = cluster_issue_https(t->gateway->cluster, &request, names,
                                 t->name_count, &cert, err);
    }
    if (rc == 0) {
        rc = identity_https_accept(id, &cert, err);
    }
    if (rc == 0) {
        rc = show(t, err);
    }
    t->fresh = t->fresh || rc == 0;
    buf_free(&request);
    buf_free(&cert);
    return rc;
}

int tls_auto_issue_device(struct tls_auto *t, const void *request,
                          size_t request_len, uint64_t number, struct buf *cert,
                          struct err *err)
{
    const struct identity *id = &t->identity;

    if (t->gateway->cluster != NULL) {
        return cluster_issue_device(t->gateway->cluster, request, request_len,
                                    number, cert, err);
    }
    return pki_issue_device(&id->ca_key, &id->ca_cert, request, request_len,
                            number, clock_real_ms() / 1000, cert, err);
}

int tls_auto_sign_policy(struct tls_auto *t, const void *p, size_t len,
                         struct buf *signature, struct err *err)
{
    if (t->gateway->cluster != NULL) {
        return cluster_sign_policy(t->gateway->cluster, p, len, signature, err);
    }
    return pki_sign_policy(&t->identity.ca_key, p, len, signature, err);
}

static bool is_due(const struct tls_auto *t)
{
    return !t->fresh ||
           pki_renewal_due(t->from_s, t->until_s, clock_real_ms() / 1000);
}

static bool wait_ms(struct tls_auto *t, uint64_t ms)
{
    bool goes_on;

    pthread_mutex_lock(&t->mutex);
    if (!t->stopping) {
        latch_cond_wait(&t->cond, &t->mutex, ms);
    }
    goes_on = !t->stopping;
    pthread_mutex_unlock(&t->mutex);
    return goes_on;
}

static void *thread_main(void *arg)
{
    struct tls_auto *t = arg;
    uint64_t told_ms = 0, pause_ms = 0;
    struct err err = {{0}};

    while (wait_ms(t, pause_ms)) {
        uint64_t now_ms = clock_mono_ms();
        pause_ms = HOUR_MS;
        if (!is_due(t)) {
            continue;
        }
        if (certify(t, &err) == 0) {
            log_errf(LOG_INFO, "https certificate renewed", "good for %d days",
                     PKI_CERT_DAYS);
            continue;
        }
        pause_ms = atomic_load(&t->shown) != NULL ? AGAIN_MS : SOON_MS;
        if (told_ms == 0 || now_ms - told_ms > HOUR_MS) {
            log_errf(LOG_WARN, "https certificate not renewed", "%s", err.text);
            told_ms = now_ms;
        }
    }
    return NULL;
}

/* ---- life ---- */

static int load_key(struct tls_auto *t, struct err *err)
{
    struct identity *id = &t->identity;
    struct buf request = {0};
    gnutls_datum_t d;
    int rc = identity_https_request(id, &request, err); /* makes it */

    buf_free(&request);
    if (rc != 0) {
        return rc;
    }
    d = (gnutls_datum_t){id->https_key.data, (unsigned)id->https_key.len};
    CHECK(gnutls_privkey_init(&t->key) == 0);
    rc = gnutls_privkey_import_x509_raw(t->key, &d, GNUTLS_X509_FMT_PEM, NULL,
                                        0);
    return rc == 0 ? 0
                   : err_set(err, ERR_CORRUPT, "%s/https.key: %s", id->dir,
                             gnutls_strerror(rc));
}

/* Others read it from other folders. */
static char *whole_path(const char *dir)
{
    char *path = mem_printf("%s/ca.crt", dir);
    char *whole = realpath(path, NULL);

    if (whole == NULL) {
        return path;
    }
    free(path);
    return whole;
}

/* What is there, made whole as far as this server can by itself. */
static int load(struct tls_auto *t, struct err *err)
{
    struct gateway *g = t->gateway;
    struct identity *id = &t->identity;
    int rc = identity_load(g->options->data, id, err);

    if (rc == 0 && g->cluster == NULL) {
        rc = identity_ca(id, g->cluster_id, clock_real_ms() / 1000, err);
    }
    if (rc == 0) {
        rc = load_key(t, err);
    }
    if (rc == 0) {
        rc = collect_names(t, err);
    }
    if (rc != 0) {
        return rc;
    }
    t->ca_file = whole_path(id->dir);
    buf_append(&t->ca, id->ca_cert.data, id->ca_cert.len);
    buf_char(&t->ca, '\0');
    if (id->ca_key.len > 0) {
        return certify(t, err);
    }
    if (id->https_cert.len > 0 && show(t, err) != 0) {
        log_errf(LOG_WARN, "https certificate", "%s", err->text);
    }
    return 0;
}

int tls_auto_open(struct gateway *g, struct tls_auto **out, struct err *err)
{
    struct tls_auto *t = mem_alloc(sizeof *t);
    int rc;

    CHECK(current == NULL);
    t->gateway = g;
    CHECK(pthread_mutex_init(&t->mutex, NULL) == 0);
    latch_cond_init(&t->cond);
    rc = load(t, err);
    if (rc != 0) {
        tls_auto_free(t);
        return err_wrap(err, rc, "tls");
    }
    current = t;
    *out = t;
    return 0;
}

void tls_auto_start(struct tls_auto *t)
{
    t->running = true;
    CHECK(pthread_create(&t->thread, NULL, thread_main, t) == 0);
    pthread_setname_np(t->thread, "tls");
}

void tls_auto_stop(struct tls_auto *t)
{
    if (t == NULL || !t->running) {
        return;
    }
    pthread_mutex_lock(&t->mutex);
    t->stopping = true;
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->mutex);
    pthread_join(t->thread, NULL);
    t->running = false;
}

void tls_auto_free(struct tls_auto *t)
{
    if (t == NULL) {
        return;
    }
    CHECK(!t->running);
    if (current == t) {
        current = NULL;
    }
    for (struct shown *s = atomic_load(&t->shown), *older; s; s = older) {
        older = s->older;
        shown_free(s);
    }
    if (t->key != NULL) {
        gnutls_privkey_deinit(t->key);
    }
    for (size_t i = 0; i < t->name_count; i++) {
        free(t->names[i]);
    }
    identity_free(&t->identity);
    buf_free(&t->ca);
    free(t->ca_file);
    pthread_cond_destroy(&t->cond);
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

const struct buf *tls_auto_ca(const struct tls_auto *t)
{
    return &t->ca;
}

const char *tls_auto_ca_file(const struct tls_auto *t)
{
    return t->ca_file;
}
