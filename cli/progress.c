#include "cli/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define REDRAW_MS 200
#define WIDTH 80

struct progress {
    pthread_mutex_t mutex;
    char *label;
    uint64_t total;
    int64_t done;  /* bytes that are there */
    int64_t moved; /* bytes of this run */
    uint64_t start_ms;
    uint64_t drawn_ms;
    bool shown; /* stderr is a terminal */
};

struct progress *progress_new(const char *label, uint64_t total_bytes,
                              bool quiet)
{
    struct progress *p = mem_alloc(sizeof *p);

    pthread_mutex_init(&p->mutex, NULL);
    p->label = mem_strdup(label);
    p->total = total_bytes;
    p->start_ms = clock_mono_ms();
    p->drawn_ms = p->start_ms;
    p->shown = !quiet && isatty(STDERR_FILENO) == 1;
    return p;
}

void progress_free(struct progress *p)
{
    if (p == NULL) {
        return;
    }
    if (p->shown) {
        fputs("\r\033[K", stderr);
    }
    pthread_mutex_destroy(&p->mutex);
    free(p->label);
    free(p);
}

static void print_left(uint64_t seconds, char *out, size_t size)
{
    unsigned long long s = seconds;

    if (s >= 3600) {
        snprintf(out, size, "%llu:%02llu:%02llu left", s / 3600, s / 60 % 60,
                 s % 60);
    } else {
        snprintf(out, size, "%llu:%02llu left", s / 60, s % 60);
    }
}

void progress_line(const char *label, uint64_t done, uint64_t total,
                   uint64_t moved, uint64_t elapsed_ms, unsigned width,
                   char out[PROGRESS_WIDTH_MAX])
{
    uint64_t rate = elapsed_ms > 0 ? moved * 1000 / elapsed_ms : 0;
    char done_text[TEXT_SIZE_MAX];
    char total_text[TEXT_SIZE_MAX];
    char rate_text[TEXT_SIZE_MAX];
    char left[40] = "";

    width = width > PROGRESS_WIDTH_MAX ? PROGRESS_WIDTH_MAX : width;
    text_size_human(done, done_text);
    text_size_human(rate, rate_text);
    if (total == 0) {
        snprintf(out, width, "%s  %s  %s/s", label, done_text, rate_text);
        return;
    }
    if (rate > 0 && total >= done) {
        print_left((total - done) / rate, left, sizeof left);
    }
    snprintf(out, width, "%s  %s of %s  %u%%  %s/s  %s", label, done_text,
             text_size_human(total, total_text),
             (unsigned)((double)done * 100 / (double)total), rate_text, left);
}

static void draw(struct progress *p)
{
    char line[PROGRESS_WIDTH_MAX];
    struct winsize w;
    unsigned width = WIDTH;
    uint64_t now = clock_mono_ms();

    if (!p->shown || now - p->drawn_ms < REDRAW_MS) {
        return;
    }
    p->drawn_ms = now;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1) {
        width = w.ws_col;
    }
    progress_line(p->label, p->done > 0 ? (uint64_t)p->done : 0, p->total,
                  p->moved > 0 ? (uint64_t)p->moved : 0, now - p->start_ms,
                  width, line);
    fprintf(stderr, "\r%s\033[K", line);
}

void progress_add(struct progress *p, int64_t bytes)
{
    pthread_mutex_lock(&p->mutex);
    p->done += bytes;
    p->moved += bytes;
    draw(p);
    pthread_mutex_unlock(&p->mutex);
}

void progress_skip(struct progress *p, uint64_t bytes)
{
    pthread_mutex_lock(&p->mutex);
    p->done += (int64_t)bytes;
    draw(p);
    pthread_mutex_unlock(&p->mutex);
}
