/* text.h: numbers, sizes, hex, base64, URI escapes and dates, as text.
 *
 * Parsers take a whole string and refuse what is left over; on failure they
 * return false and leave the output untouched.
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_TEXT_H
#define GODWIT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Decimal digits only (no sign, no blanks), no overflow. */
bool text_u64(const char *s, uint64_t *out);
bool text_u64_n(const char *s, size_t len, uint64_t *out);

/* "4096", "64KiB", "8MiB", "1GiB", "2TiB" and K M G T as binary. */
bool text_size(const char *s, uint64_t *out);
/* "250ms", "30s", "10m", "24h", "7d"; a bare number is in seconds. */
bool text_duration_ms(const char *s, uint64_t *out);
/* "1.5 GiB"; @out needs TEXT_SIZE_MAX bytes. */
#define TEXT_SIZE_MAX 24
char *text_size_human(uint64_t bytes, char *out);

bool text_starts(const char *s, const char *prefix);
bool text_ieq(const char *a, const char *b); /* ASCII case-insensitive */

/* Lower-case hex; @out needs 2 * len + 1 bytes. */
char *text_hex(const void *p, size_t len, char *out);
/* Exactly @len bytes from 2 * len hex digits of either case. */
bool text_unhex(const char *s, size_t s_len, void *out, size_t len);

/* Standard base64 with padding; @out needs TEXT_BASE64_MAX(len) bytes. */
#define TEXT_BASE64_MAX(len) (((len) + 2) / 3 * 4 + 1)
char *text_base64(const void *p, size_t len, char *out);
/* Strict: padding required, no blanks. @out needs 3 * (s_len / 4) bytes. */
bool text_unbase64(const char *s, size_t s_len, void *out, size_t *out_len);

/* Append @s percent-encoded as SigV4 wants it: all but A-Z a-z 0-9 - _ . ~
 * and, when @keep_slash, '/'. Source: AWS "Create a signed AWS API request",
 * UriEncode. */
void text_uri_encode(struct buf *b, const void *s, size_t len, bool keep_slash);
/* Append @s with %XX decoded ('+' stays '+'); false on a bad escape. */
bool text_uri_decode(struct buf *b, const char *s, size_t len);

/* Valid UTF-8 by Unicode table 3-7 (no surrogates, no overlong forms). */
bool text_utf8(const void *p, size_t len);

/* Times are milliseconds since 1970-01-01T00:00:00Z. */
#define TEXT_TIME_MAX 40
char *text_iso8601(uint64_t time_ms, char *out); /* 2026-11-23T01:02:03.000Z */
char *text_basic8601(uint64_t time_ms, char *out); /* 20261123T010203Z */
char *text_http_date(uint64_t time_ms, char *out); /* Mon, 23 Nov 2026 ... */
bool text_parse_basic8601(const char *s, uint64_t *time_ms);
/* 2026-11-23T01:02:03Z, with or without fractions. */
bool text_parse_iso8601(const char *s, uint64_t *time_ms);
/* RFC 9110 section 5.6.7: IMF-fixdate, RFC 850 and asctime forms. */
bool text_parse_http_date(const char *s, uint64_t *time_ms);

#endif
