#include "gateway/bucket_rules.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/object_put.h"

/* Places; a bucket has one, and whoever else has it is read again. */
#define PLACES 256

struct place {
    char bucket[META_BUCKET_MAX + 1]; /* "": none */
    uint64_t until_ms;
    struct bucket_rule rule;
};

struct bucket_rules {
    pthread_mutex_t mutex; /* guards all below */
    struct place places[PLACES];
};

struct bucket_rules *bucket_rules_new(void)
{
    struct bucket_rules *rules = mem_alloc(sizeof *rules);

    CHECK(pthread_mutex_init(&rules->mutex, NULL) == 0);
    return rules;
}

void bucket_rules_free(struct bucket_rules *rules)
{
    if (rules != NULL) {
        pthread_mutex_destroy(&rules->mutex);
        free(rules);
    }
}

int bucket_compression_parse(const char *text, bool *out, struct err *err)
{
    if (strcmp(text, "zstd") != 0 && strcmp(text, "off") != 0) {
        return err_set(err, ERR_BAD_INPUT,
                       "compression: \"%s\" is not zstd or off", text);
    }
    *out = text[0] == 'z';
    return 0;
}

const char *bucket_compression_text(bool compress)
{
    return compress ? "zstd" : "off";
}

/* What cannot be read, of a newer version perhaps, is as never set. */
void bucket_rule_of(const struct gateway *g, const struct meta_bucket *bucket,
                    struct bucket_rule *out)
{
    const char *compression =
        (const char *)bucket->config[META_CONFIG_COMPRESSION].value;

    const char *policy =
        (const char *)bucket->config[META_CONFIG_ERASURE].value;

    *out =
        (struct bucket_rule){.compress = RULES_COMPRESS, .policy = g->policy};
    out->policy_set =
        policy != NULL && ec_policy_parse(policy, &out->policy, NULL) == 0;
    out->compress_set =
        compression != NULL &&
        bucket_compression_parse(compression, &out->compress, NULL) == 0;
}

static struct place *place_of(struct bucket_rules *rules, const char *bucket)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */

    for (const char *p = bucket; *p != '\0'; p++) {
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    }
    return &rules->places[(h ^ h >> 32) % PLACES];
}

void bucket_rules_get(struct gateway *g, const char *bucket,
                      struct bucket_rule *out)
{
    struct place *place = place_of(g->rules, bucket);
    struct meta_bucket b = {0};
    uint64_t now = clock_mono_ms();
    bool known;
    int rc;

    pthread_mutex_lock(&g->rules->mutex);
    known = strcmp(place->bucket, bucket) == 0 && now < place->until_ms;
    if (known) {
        *out = place->rule;
    }
    pthread_mutex_unlock(&g->rules->mutex);
    if (known) {
        return;
    }
    rc = meta_bucket_get(g->meta, bucket, &b, NULL);
    bucket_rule_of(g, &b, out);
    meta_bucket_free(&b);
    if (rc == 0 && strlen(bucket) <= META_BUCKET_MAX) {
        pthread_mutex_lock(&g->rules->mutex);
        memcpy(place->bucket, bucket, strlen(bucket) + 1);
        place->until_ms = now + RULES_KEEP_MS; /* since before it was read */
        place->rule = *out;
        pthread_mutex_unlock(&g->rules->mutex);
    }
}

void bucket_rules_forget(struct gateway *g, const char *bucket)
{
    struct place *place = place_of(g->rules, bucket);

    pthread_mutex_lock(&g->rules->mutex);
    place->bucket[0] = '\0';
    pthread_mutex_unlock(&g->rules->mutex);
}

struct object_put *bucket_put_open(struct gateway *g, const char *bucket,
                                   bool sealed)
{
    struct bucket_rule rule;
    struct object_put_how how = {0};

    bucket_rules_get(g, bucket, &rule);
    how.compress = rule.compress && !sealed;
    how.policy = rule.policy;
    return object_put_open_as(g->objects, &how);
}
