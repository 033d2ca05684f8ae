#include "node/shard_store_private.h"

#include "base/clock.h"
#include "base/rng.h"

/* What is due is read in parts of this size, or all at once when all is less:
 * a nearly empty drive is left in peace between its rounds. */
#define PART_BYTES ((uint64_t)1 << 20)

/* Under the mutex, so that after shard_store_on_bad(s, NULL, NULL) no call is
 * under way. */
void store_report_bad(struct shard_store *s, const struct shard_info *bad)
{
    pthread_mutex_lock(&s->mutex);
    if (s->on_bad != NULL) {
        s->on_bad(s->on_bad_arg, bad);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* Bytes that are due since the last round; 0 until it is worth a round. */
static uint64_t due_bytes(struct shard_store *s)
{
    uint64_t now = clock_mono_ms();
    double passed = (double)(now - s->scrub_ms);
    uint64_t live;
    uint64_t due;

    pthread_mutex_lock(&s->mutex);
    live = s->volume->live_bytes;
    pthread_mutex_unlock(&s->mutex);
    due = (uint64_t)((double)live * passed / (double)s->scrub_interval_ms);
    if (due < PART_BYTES && due < live) {
        return 0;
    }
    s->scrub_ms = now;
    return due;
}

/* Where a start begins is left to chance: a server that is restarted often
 * still reads all in time. */
static void begin(struct shard_store *s)
{
    s->scrub_at = (struct shard_key){rng_u64(), rng_u64(), 0};
    s->scrub_ms = clock_mono_ms();
    s->scrub_started = true;
}

void scrub_round(struct shard_store *s)
{
    struct shard_info info;
    uint64_t due;
    uint64_t done = 0;
    bool wrapped = false;

    if (s->scrub_interval_ms == 0) {
        return;
    }
    if (!s->scrub_started) {
        begin(s);
    }
    for (due = due_bytes(s); done < due;) {
        struct err err;
        uint32_t span;
        int status;
        if (shard_store_list(s, &s->scrub_at, &info, 1) == 0) {
            if (wrapped || shard_store_list(s, NULL, &info, 1) == 0) {
                return; /* all of it was read in this round */
            }
            wrapped = true;
        }
        s->scrub_at = info.key;
        status = reader_verify(s, &info.key, &span, &err);
        done += span + 1;
        pthread_mutex_lock(&s->mutex);
        s->count_scrubbed += span;
        pthread_mutex_unlock(&s->mutex);
        if (status == ERR_CORRUPT || status == ERR_IO) {
            store_report_bad(s, &info);
        }
        if (!keeper_pause(s, 0)) {
            return;
        }
    }
}
