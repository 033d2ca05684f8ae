/* bench_files.c: the reference for durable small writes: a file for each
 * object, and an fsync of the file and of its folder before the next.
 *
 * usage: bench_files FOLDER SIZE THREADS SECONDS
 * Prints one line of JSON: ops, ops_per_s, mb_per_s, p50_ms, p99_ms.
 *
 * Threads: each writes files of its own into the one folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 256
#define SAMPLES_MAX (1 << 20)

struct writer {
    pthread_t thread;
    int folder_fd;
    int index;
    size_t size;
    uint64_t end_us;
    uint64_t ops;
    int error; /* errno of the write that failed */
    uint32_t *samples_us;
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool write_one(struct writer *w, const char *bytes)
{
    char name[64];
    snprintf(name, sizeof(name), "%d-%llu", w->index,
             (unsigned long long)w->ops);
    int fd = openat(w->folder_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
                    0644);
    if (fd < 0) {
        return false;
    }
    bool ok = write(fd, bytes, w->size) == (ssize_t)w->size && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    return ok && fsync(w->folder_fd) == 0;
}

static void *run(void *arg)
{
    struct writer *w = arg;
    char *bytes = malloc(w->size + 1);
    if (bytes == NULL) {
        w->error = ENOMEM;
        return NULL;
    }
    memset(bytes, 'g', w->size);
    uint64_t before = now_us();
    while (before < w->end_us) {
        if (!write_one(w, bytes)) {
            w->error = errno;
            break;
        }
        uint64_t after = now_us();
        if (w->ops < SAMPLES_MAX) {
            w->samples_us[w->ops] = (uint32_t)(after - before);
        }
        w->ops++;
        before = after;
    }
    free(bytes);
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int report(struct writer *writers, int count, size_t size, double took)
{
    uint64_t ops = 0;
    uint64_t kept = 0;
    for (int i = 0; i < count; i++) {
        if (writers[i].error != 0) {
            fprintf(stderr, "bench_files: %s\n", strerror(writers[i].error));
            return 1;
        }
        ops += writers[i].ops;
    }
    uint32_t *all = malloc((ops + 1) * sizeof(*all));
    if (all == NULL) {
        return 1;
    }
    for (int i = 0; i < count; i++) {
        uint64_t n =
            writers[i].ops < SAMPLES_MAX ? writers[i].ops : SAMPLES_MAX;
        memcpy(all + kept, writers[i].samples_us, n * sizeof(*all));
        kept += n;
    }
    qsort(all, kept, sizeof(*all), by_value);
    printf(
        "{\"ops\": %llu, \"ops_per_s\": %.1f, \"mb_per_s\": %.2f, "
        "\"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
        (unsigned long long)ops, (double)ops / took,
        (double)ops * (double)size / took / 1e6,
        kept > 0 ? all[kept / 2] / 1e3 : 0,
        kept > 0 ? all[kept * 99 / 100] / 1e3 : 0);
    free(all);
    return 0;
}

int main(int argc, char **argv)
{
    static struct writer writers[THREADS_MAX];
    if (argc != 5) {
        fprintf(stderr, "usage: bench_files FOLDER SIZE THREADS SECONDS\n");
        return 2;
    }
    long size = atol(argv[2]);
    int count = atoi(argv[3]);
    double seconds = atof(argv[4]);
    int folder_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0 || size < 0 || size > (64 << 20) || count < 1 ||
        count > THREADS_MAX) {
        fprintf(stderr, "bench_files: %s: bad folder, size or threads\n",
                argv[1]);
        return 2;
    }
    uint64_t start = now_us();
    for (int i = 0; i < count; i++) {
        writers[i] = (struct writer){
            .folder_fd = folder_fd,
            .index = i,
            .size = (size_t)size,
            .end_us = start + (uint64_t)(seconds * 1e6),
            .samples_us = malloc(SAMPLES_MAX * sizeof(uint32_t)),
        };
        if (writers[i].samples_us == NULL ||
            pthread_create(&writers[i].thread, NULL, run, &writers[i]) != 0) {
            fprintf(stderr, "bench_files: no memory or threads\n");
            return 1;
        }
    }
    for (int i = 0; i < count; i++) {
        pthread_join(writers[i].thread, NULL);
    }
    double took = (double)(now_us() - start) / 1e6;
    int rc = report(writers, count, (size_t)size, took);
    for (int i = 0; i < count; i++) {
        free(writers[i].samples_us);
    }
    close(folder_fd);
    return rc;
}
