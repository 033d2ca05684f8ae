/* bench_load.c: fill a bucket with many small objects of known names.
 *
 * usage: bench_load ENDPOINT BUCKET PREFIXES COUNT THREADS
 * Key i is "p<i mod PREFIXES>/k<i>", or "k<i>" with PREFIXES 0; the body is a
 * few bytes. Keys to sign with come from AWS_ACCESS_KEY_ID and
 * AWS_SECRET_ACCESS_KEY. Makes the bucket. Prints one line of JSON.
 *
 * Threads: each takes the next i.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "client/s3_client.h"

#define THREADS_MAX 128

struct load {
    struct s3_client_options options;
    const char *bucket;
    unsigned long prefixes;
    unsigned long count;
    atomic_ulong next;
    atomic_int failed;
};

static void key_of(const struct load *l, unsigned long i, char *key, size_t n)
{
    if (l->prefixes > 0) {
        snprintf(key, n, "p%05lu/k%08lu", i % l->prefixes, i);
    } else {
        snprintf(key, n, "k%08lu", i);
    }
}

static void *run(void *arg)
{
    struct load *l = arg;
    struct s3_client *c;
    struct err err;
    if (s3_client_new(&l->options, &c, &err) != 0) {
        fprintf(stderr, "bench_load: %s\n", err.text);
        atomic_store(&l->failed, 1);
        return NULL;
    }
    while (atomic_load(&l->failed) == 0) {
        unsigned long i = atomic_fetch_add(&l->next, 1);
        if (i >= l->count) {
            break;
        }
        char key[64];
        key_of(l, i, key, sizeof(key));
        struct s3_put put = {
            .bucket = l->bucket,
            .key = key,
            .body = {.data = key, .fd = -1, .size = strlen(key)},
        };
        if (s3_client_put_object(c, &put, NULL, &err) != 0) {
            fprintf(stderr, "bench_load: %s: %s\n", key, err.text);
            atomic_store(&l->failed, 1);
        }
    }
    s3_client_free(c);
    return NULL;
}

static int make_bucket(const struct load *l)
{
    struct s3_client *c;
    struct err err;
    int rc = s3_client_new(&l->options, &c, &err);
    if (rc == 0) {
        rc = s3_client_create_bucket(c, l->bucket, &err);
        s3_client_free(c);
    }
    if (rc != 0) {
        fprintf(stderr, "bench_load: %s: %s\n", l->bucket, err.text);
    }
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr,
                "usage: bench_load ENDPOINT BUCKET PREFIXES COUNT THREADS\n");
        return 2;
    }
    struct load l = {
        .options = {.endpoint = argv[1],
                    .access_key = getenv("AWS_ACCESS_KEY_ID"),
                    .secret_key = getenv("AWS_SECRET_ACCESS_KEY")},
        .bucket = argv[2],
        .prefixes = strtoul(argv[3], NULL, 10),
        .count = strtoul(argv[4], NULL, 10),
    };
    int threads = atoi(argv[5]);
    pthread_t ids[THREADS_MAX];
    if (threads < 1 || threads > THREADS_MAX || make_bucket(&l) != 0) {
        return 1;
    }
    uint64_t start = clock_mono_us();
    int started = 0;
    while (started < threads &&
           pthread_create(&ids[started], NULL, run, &l) == 0) {
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(ids[i], NULL);
    }
    double took = (double)(clock_mono_us() - start) / 1e6;
    printf("{\"ops\": %lu, \"ops_per_s\": %.1f}\n", l.count,
           (double)l.count / took);
    return atomic_load(&l.failed);
}
