/* log.h: logfmt lines on stderr.
 *
 *     time=2026-11-23T01:02:03.456Z level=info msg="serving"
 * listen=127.0.0.1:9000
 *
 * A line is one write(2), so lines of threads do not mix. Values with blanks,
 * quotes, '=' or control bytes are quoted and escaped. The one who answers
 * logs, once; lower layers return their error. error: a person must act; warn:
 * we acted; info: life cycle; debug: the rest. No keys, no payload.
 *
 * log_line(LOG_INFO, "serving", "listen", addr, "drives", "6", NULL);
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_LOG_H
#define GODWIT_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* LOG_INFO at start */
bool log_level_parse(const char *name, enum log_level *out);
bool log_enabled(enum log_level level);

/* @msg, then pairs of key and value (const char *), ended by NULL. */
void log_line(enum log_level level, const char *msg, ...)
    __attribute__((sentinel));

/* @msg with one formatted text as err=. */
void log_errf(enum log_level level, const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Log lines that a test wants to read go to @fn instead; NULL for stderr. */
void log_capture(void (*fn)(const char *line, void *arg), void *arg);

#endif
