#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

/* A longer line is cut: a pipe takes this much whole in one write (pipe(7)),
 * and a hostile value cannot flood the log. */
#define LOG_LINE_MAX PIPE_BUF

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static atomic_int current_level = LOG_INFO;

static struct {
    pthread_mutex_t mutex; /* guards all below */
    void (*fn)(const char *line, void *arg);
    void *arg;
} capture = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level <=
           atomic_load_explicit(&current_level, memory_order_relaxed);
}

static bool is_plain(const char *value)
{
    for (const char *p = value; *p != 0; p++) {
        unsigned char c = (unsigned char)*p;
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) {
            return false;
        }
    }
    return *value != 0 && text_utf8(value, strlen(value));
}

static void add_escaped(struct buf *b, const char *value)
{
    bool utf8 = text_utf8(value, strlen(value));

    buf_char(b, '"');
    for (const char *p = value; *p != 0; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            buf_char(b, '\\');
            buf_char(b, *p);
        } else if (c == '\n') {
            buf_str(b, "\\n");
        } else if (c == '\r') {
            buf_str(b, "\\r");
        } else if (c == '\t') {
            buf_str(b, "\\t");
        } else if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8)) {
            buf_printf(b, "\\x%02x", c);
        } else {
            buf_char(b, *p);
        }
    }
    buf_char(b, '"');
}

static void add_pair(struct buf *b, const char *key, const char *value)
{
    if (b->len > 0) {
        buf_char(b, ' ');
    }
    buf_str(b, key);
    buf_char(b, '=');
    if (is_plain(value)) {
        buf_str(b, value);
    } else {
        add_escaped(b, value);
    }
}

static void begin(struct buf *b, enum log_level level, const char *msg)
{
    char time[TEXT_TIME_MAX];

    add_pair(b, "time", text_iso8601(clock_real_ms(), time));
    add_pair(b, "level", level_names[level]);
    add_pair(b, "msg", msg);
}

static void emit(struct buf *b)
{
    if (b->len >= LOG_LINE_MAX) {
        b->len = LOG_LINE_MAX - 4;
        buf_str(b, "...");
    }
    pthread_mutex_lock(&capture.mutex);
    if (capture.fn != NULL) {
        capture.fn((const char *)b->data, capture.arg);
        pthread_mutex_unlock(&capture.mutex);
        return;
    }
    pthread_mutex_unlock(&capture.mutex);
    buf_char(b, '\n');
    /* One write; a log that cannot be written has nowhere to say so. */
    while (write(STDERR_FILENO, b->data, b->len) < 0 && errno == EINTR) {
    }
}

void log_line(enum log_level level, const char *msg, ...)
{
    struct buf b = {0};
    const char *key;
    va_list ap;

    if (!log_enabled(level)) {
        return;
    }
    begin(&b, level, msg);
    va_start(ap, msg);
    while ((key = va_arg(ap, const char *)) != NULL) {
        const char *value = va_arg(ap, const char *);
        /* The last pair may lack its value; then what follows is not ours. */
        add_pair(&b, key, value != NULL ? value : "-");
        if (value == NULL) {
            break;
        }
    }
    va_end(ap);
    emit(&b);
    buf_free(&b);
}

void log_errf(enum log_level level, const char *msg, const char *fmt, ...)
{
    struct buf b = {0};
    struct buf text = {0};
    va_list ap;

    if (!log_enabled(level)) {
        return;
    }
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    begin(&b, level, msg);
    add_pair(&b, "err", (const char *)text.data);
    emit(&b);
    buf_free(&text);
    buf_free(&b);
}

void log_capture(void (*fn)(const char *line, void *arg), void *arg)
{
    pthread_mutex_lock(&capture.mutex);
    capture.fn = fn;
    capture.arg = arg;
    pthread_mutex_unlock(&capture.mutex);
}
