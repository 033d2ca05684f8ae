/* EXPIRE: the rules of a bucket have ended some of its versions.
 *
 * Whoever proposed it looked some time ago, with a clock of its own: here it is
 * judged whether each is still what was seen, and by the cluster's time, so
 * that nothing new is taken for the old and no one machine's clock ends
 * anything early.
 */
#include "base/err.h"
#include "meta/apply_step.h"

static bool is_seen(const struct version_row *v,
                    const struct command_item *item)
{
    return v->there && v->modified_ms == item->modified_ms &&
           v->size_bytes == item->size_bytes;
}

static int expire_one(struct step *s, uint64_t bucket,
                      const struct command_item *item, uint32_t i)
{
    bool current = item->version == META_VERSION_CURRENT;
    struct version_row v;
    int rc;

    if (item->due_ms > s->a->state.clock_ms) {
        return 0;
    }
    rc = version_find(s, bucket, &item->key, item->version, &v);
    if (rc != 0 || !is_seen(&v, item) || current == v.in_history) {
        return rc;
    }
    if (current) {
        rc = version_judge_delete(s, bucket, &item->key, &v);
    } else {
        version_judge_retained(s, &v, false);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    return current ? version_delete_newest(s, bucket, &item->key, &v, i)
                   : version_remove(s, bucket, &item->key, &v);
}

int apply_expire(struct step *s)
{
    const struct command *c = s->c;
    uint64_t bucket;
    size_t at = 0;
    int rc = step_bucket(s, &c->bucket, &bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < c->count && rc == 0; i++) {
        struct command_item item;
        command_item(c, &at, &item);
        rc = expire_one(s, bucket, &item, i);
        s->status = 0;
    }
    s->version = 0;
    return rc;
}
