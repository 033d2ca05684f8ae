#include "cluster/cluster.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "cluster/cluster_internal.h"
#include "crypto/tls.h"
#include "meta/command.h"
#include "meta/meta.h"
#include "node/peers.h"

int cluster_roles_parse(const char *text, uint32_t *out, struct err *err)
{
    static const struct {
        const char *name;
        uint32_t role;
    } roles[] = {{"gateway", CLUSTER_ROLE_GATEWAY},
                 {"node", CLUSTER_ROLE_NODE},
                 {"meta", CLUSTER_ROLE_META}};
    const size_t count = sizeof roles / sizeof roles[0];

    *out = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, ","), i = 0;
        while (i < count && (strlen(roles[i].name) != len ||
                             strncmp(roles[i].name, text, len) != 0)) {
            i++;
        }
        if (i == count) {
            return err_set(err, ERR_BAD_INPUT,
                           "roles: \"%.*s\" is not gateway, node or meta",
                           (int)len, text);
        }
        *out |= roles[i].role;
        text += len + (text[len] == ',');
    }
    return *out != 0 ? 0 : err_set(err, ERR_BAD_INPUT, "roles: name one");
}

static char *choose_name(const char *given)
{
    char host[64] = {0};

    if (given != NULL && given[0] != '\0') {
        return mem_strdup(given);
    }
    /* The kernel takes any bytes for a host's name. */
    if (gethostname(host, sizeof host - 1) != 0 ||
        !command_is_server_name(host)) {
        strcpy(host, "server");
    }
    /* Several may have one host name: containers, and servers on a machine. */
    return mem_printf("%.40s-%04x", host, (unsigned)(rng_u64() & 0xffff));
}

/* A member is started by the line with which it joined again and again; but a
 * token of another cluster means that something else was wanted. */
static int check_token(const struct cluster *c, const char *token,
                       struct err *err)
{
    struct pki_token t;
    int rc;

    if (token == NULL || pki_token_parse(token, &t, NULL) != 0) {
        return 0;
    }
    rc = cluster_check_token(c, &t, err);
    if (rc == ERR_DENIED) {
        rc = err_set(err, ERR_DENIED,
                     "join: this server is of another cluster than the token; "
                     "join with an empty folder");
    }
    mem_wipe(&t, sizeof t);
    return rc;
}

static int become(struct cluster *c, const struct cluster_options *o,
                  struct err *err)
{
    uint16_t ids[CLUSTER_DRIVES_MAX];
    int rc;

    if (c->identity.server != 0) {
        return check_token(c, o->token, err); /* of an earlier start */
    }
    if (o->join != NULL) {
        return cluster_join(c, o->join, o->token, err);
    }
    for (uint16_t i = 0; i < c->drive_count; i++) {
        ids[i] = i; /* as CLUSTER_INIT gives them */
    }
    rc = cluster_know_drives(c, ids, err);
    if (rc == 0) {
        rc = identity_found(&c->identity, o->cluster_id, clock_real_ms() / 1000,
                            err);
    }
    return rc;
}

static void cluster_free(struct cluster *c)
{
    identity_free(&c->identity);
    pthread_cond_destroy(&c->cond);
    pthread_cond_destroy(&c->mover_cond);
    pthread_cond_destroy(&c->unused);
    pthread_mutex_destroy(&c->mutex);
    free(c->joined_access_key);
    if (c->joined_secret_key != NULL) {
        mem_wipe(c->joined_secret_key, strlen(c->joined_secret_key));
    }
    free(c->joined_secret_key);
    free(c->master_key_path);
    free(c->address);
    free(c->name);
    free(c->zone);
    free(c->endpoint);
    buf_free(&c->ping);
    free(c);
}

/* Listen, and be who this server is. It listens first: so who joins can say
 * where, and joins nowhere when it could not serve. */
static int open_net(struct cluster *c, const struct cluster_options *o,
                    struct err *err)
{
    struct net_options no = {.listen = o->listen};
    struct tls_context *tls;
    int rc = net_open(&no, &c->net, err);

    if (rc == 0) {
        c->address = mem_strdup(o->advertise != NULL ? o->advertise
                                                     : net_address(c->net));
        c->name = choose_name(o->name);
        rc = become(c, o, err);
    }
    if (rc == 0) {
        rc = identity_tls(&c->identity, &tls, err);
    }
    if (rc == 0) {
        net_become(c->net, c->identity.server, tls);
        rc = cluster_load_servers(c, err);
    }
    return rc;
}

/* The host of ADDR:PORT stands for all addresses of a machine. */
static bool is_wildcard(const char *address)
{
    size_t len = (size_t)(strrchr(address, ':') - address);
    bool brackets = len >= 2 && address[0] == '[' && address[len - 1] == ']';
    char *host = mem_strndup(address + brackets, len - 2 * brackets);
    struct in_addr four;
    struct in6_addr six;
    bool is = host[0] == '\0' || strcmp(host, "*") == 0 ||
              (inet_aton(host, &four) != 0 && four.s_addr == INADDR_ANY) ||
              (inet_pton(AF_INET6, host, &six) == 1 &&
               (IN6_IS_ADDR_UNSPECIFIED(&six) ||
                (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr32[3] == 0)));

    free(host);
    return is;
}

static bool can_be_called(const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;

    return colon != NULL && text_u64(colon + 1, &port) && port > 0 &&
           port <= UINT16_MAX && strlen(address) <= META_ADDRESS_MAX &&
           !is_wildcard(address);
}

int cluster_open(const struct cluster_options *o, struct cluster **out,
                 struct err *err)
{
    struct cluster *c;
    int rc;

    if (strrchr(o->listen, ':') == NULL) {
        return err_set(err, ERR_BAD_INPUT, "cluster: %s is not ADDR:PORT",
                       o->listen);
    }
    if (o->advertise != NULL && !can_be_called(o->advertise)) {
        return err_set(err, ERR_BAD_INPUT,
                       "advertise: %s is not the ADDR:PORT of one machine",
                       o->advertise);
    }
    if (o->advertise == NULL && is_wildcard(o->listen)) {
        return err_set(err, ERR_BAD_INPUT,
                       "cluster: no other server can call %s: give the address "
                       "at which they reach this one, or say it by "
                       "--advertise ADDR:PORT",
                       o->listen);
    }
    if (!command_is_zone(o->zone)) {
        return err_set(err, ERR_BAD_INPUT,
                       "zone: \"%s\" is not 1 to %d of a-z 0-9 and -", o->zone,
                       META_ZONE_MAX);
    }
    if (o->name != NULL && o->name[0] != '\0' &&
        !command_is_server_name(o->name)) {
        return err_set(err, ERR_BAD_INPUT,
                       "name: \"%s\" is not 1 to %d of A-Z a-z 0-9 . _ and -",
                       o->name, META_NAME_MAX);
    }
    if (o->drive_count > CLUSTER_DRIVES_MAX) {
        return err_set(err, ERR_BAD_INPUT, "cluster: more than %d drives",
                       CLUSTER_DRIVES_MAX);
    }
    c = mem_alloc(sizeof *c);
    CHECK(pthread_mutex_init(&c->mutex, NULL) == 0);
    latch_cond_init(&c->cond);
    latch_cond_init(&c->mover_cond);
    latch_cond_init(&c->unused);
    c->zone = mem_strdup(o->zone);
    c->endpoint = mem_strdup("");
    c->roles = o->roles;
    c->master_key_path =
        o->master_key_path != NULL ? mem_strdup(o->master_key_path) : NULL;
    c->policy = o->policy;
    c->repair_after_ms = o->repair_after_ms;
    rc = identity_load(o->data, &c->identity, err);
    if (rc == 0) {
        rc = cluster_load_drives(c, o, err);
    }
    if (rc == 0) {
        rc = open_net(c, o, err);
    }
    if (rc != 0) {
        cluster_free_peers(c);
        net_close(c->net);
        cluster_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

struct net *cluster_net(const struct cluster *c)
{
    return c->net;
}

uint32_t cluster_server(const struct cluster *c)
{
    return c->identity.server;
}

const uint8_t *cluster_id(const struct cluster *c)
{
    return c->identity.cluster;
}

const char *cluster_address(const struct cluster *c)
{
    return c->address;
}

bool cluster_founds(const struct cluster *c)
{
    return c->identity.server == 1 && c->peers == NULL;
}

const char *cluster_access_key(const struct cluster *c)
{
    return c->joined_access_key;
}

const char *cluster_secret_key(const struct cluster *c)
{
    return c->joined_secret_key;
}

void cluster_give_master_key(struct cluster *c, const uint8_t *key)
{
    c->master_key = key;
}

void cluster_use_peers(struct cluster *c, struct peers *p)
{
    c->drive_peers = p;
}

void cluster_start(struct cluster *c, struct meta *m, struct workers *workers,
                   const char *endpoint, const char *access_key,
                   const char *secret_key)
{
    const struct peers_net_options defaults = {0};

    c->meta = m;
    c->workers = workers;
    free(c->endpoint);
    c->endpoint = mem_strdup(endpoint);
    c->access_key = access_key;
    c->secret_key = secret_key;
    cluster_serve_joins(c);
    cluster_serve_pings(c);
    net_start(c->net);
    if (c->drive_peers != NULL) {
        peers_use_net(c->drive_peers, c->net, &defaults);
    }
    c->started = true;
    CHECK(pthread_create(&c->keeper, NULL, cluster_keeper_main, c) == 0);
    CHECK(pthread_create(&c->mover, NULL, cluster_mover_main, c) == 0);
}

void cluster_hand_over(struct cluster *c)
{
    struct meta_member members[META_MEMBERS_MAX];
    struct meta_stats stats;
    size_t count;

    if (c == NULL || !c->started) {
        return;
    }
    meta_stats(c->meta, &stats);
    count = stats.leader ? meta_members(c->meta, members) : 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t to = members[i].server;
        if (members[i].role == META_VOTER && to != c->identity.server &&
            cluster_hears(c, to) && meta_give_lead(c->meta, to)) {
            log_errf(LOG_INFO, "catalogue: leads no more", "asked server %u to",
                     to);
            return;
        }
    }
}

void cluster_stop(struct cluster *c)
{
    if (c == NULL || !c->started) {
        return;
    }
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    pthread_cond_signal(&c->cond);
    pthread_cond_signal(&c->mover_cond);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->keeper, NULL);
    pthread_join(c->mover, NULL);
    net_stop(c->net);
    c->started = false;
}

void cluster_close(struct cluster *c)
{
    if (c == NULL) {
        return;
    }
    cluster_stop(c);
    cluster_free_peers(c);
    net_close(c->net);
    cluster_free(c);
}
