#include "base/text.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

#define MS_PER_DAY ((uint64_t)86400000)
#define YEAR_FIRST 1970 /* of times that can be told */
#define YEAR_LAST 9999  /* of four digits */

bool text_u64_n(const char *s, size_t len, uint64_t *out)
{
    uint64_t v = 0;

    if (len == 0) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s[i] - '0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) {
            return false;
        }
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool text_u64(const char *s, uint64_t *out)
{
    return text_u64_n(s, strlen(s), out);
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number and one of @units, of which the last has a NULL name. */
static bool number_with_unit(const char *s, const struct unit *units,
                             uint64_t *out)
{
    size_t digits = strspn(s, "0123456789");
    uint64_t v;

    if (!text_u64_n(s, digits, &v)) {
        return false;
    }
    for (; units->name != NULL; units++) {
        if (strcmp(s + digits, units->name) == 0) {
            if (v > UINT64_MAX / units->factor) {
                return false;
            }
            *out = v * units->factor;
            return true;
        }
    }
    return false;
}

bool text_size(const char *s, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1},
        {"K", (uint64_t)1 << 10},
        {"KiB", (uint64_t)1 << 10},
        {"M", (uint64_t)1 << 20},
        {"MiB", (uint64_t)1 << 20},
        {"G", (uint64_t)1 << 30},
        {"GiB", (uint64_t)1 << 30},
        {"T", (uint64_t)1 << 40},
        {"TiB", (uint64_t)1 << 40},
        {NULL, 0},
    };
    return number_with_unit(s, units, out);
}

bool text_duration_ms(const char *s, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1000},     {"ms", 1},         {"s", 1000}, {"m", 60000},
        {"h", 3600000}, {"d", MS_PER_DAY}, {NULL, 0},
    };
    return number_with_unit(s, units, out);
}

char *text_size_human(uint64_t bytes, char *out)
{
    static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    size_t u = 0;
    double v = (double)bytes;
    unsigned tenths;

    /* What would be rounded to 1024.0 is 1 of the next unit. */
    while (u + 1 < sizeof units / sizeof units[0] && v >= 1023.95) {
        v /= 1024;
        u++;
    }
    tenths = (unsigned)(v * 10 + 0.5);
    if (tenths % 10 == 0) {
        snprintf(out, TEXT_SIZE_MAX, "%u %s", tenths / 10, units[u]);
    } else {
        snprintf(out, TEXT_SIZE_MAX, "%u.%u %s", tenths / 10, tenths % 10,
                 units[u]);
    }
    return out;
}

bool text_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* tolower() asks the locale. */
static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

bool text_ieq(const char *a, const char *b)
{
    while (*a != 0 && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return *a == 0 && *b == 0;
}

char *text_hex(const void *p, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = p;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = 0;
    return out;
}

/* 0 to 15, or -1. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool text_unhex(const char *s, size_t s_len, void *out, size_t len)
{
    uint8_t *o = out;

    if (s_len % 2 != 0 || s_len / 2 != len) {
        return false;
    }
    for (size_t i = 0; i < s_len; i++) {
        if (hex_digit(s[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < len; i++) {
        o[i] = (uint8_t)(hex_digit(s[2 * i]) << 4 | hex_digit(s[2 * i + 1]));
    }
    return true;
}

char *text_base64(const void *p, size_t len, char *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = p;
    char *o = out;

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)in[i] << 16;
        v |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        v |= n > 2 ? in[i + 2] : 0;
        *o++ = digits[v >> 18];
        *o++ = digits[v >> 12 & 63];
        *o++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *o++ = n > 2 ? digits[v & 63] : '=';
    }
    *o = 0;
    return out;
}

/* 0 to 63, or -1. */
static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* How many digits stand before the padding; false when @s is not one whole
 * canonical encoding: bits that no byte uses must be zero (RFC 4648, 3.5). */
static bool base64_check(const char *s, size_t s_len, size_t *digits)
{
    size_t n = s_len;
    size_t rest;

    if (s_len % 4 != 0) {
        return false;
    }
    while (n > 0 && s_len - n < 2 && s[n - 1] == '=') {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        if (base64_digit(s[i]) < 0) {
            return false;
        }
    }
    rest = n % 4;
    if ((rest == 2 && (base64_digit(s[n - 1]) & 15) != 0) ||
        (rest == 3 && (base64_digit(s[n - 1]) & 3) != 0)) {
        return false;
    }
    *digits = n;
    return true;
}

bool text_unbase64(const char *s, size_t s_len, void *out, size_t *out_len)
{
    uint8_t *o = out;
    uint32_t bits = 0;
    size_t digits;

    if (!base64_check(s, s_len, &digits)) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        bits = bits << 6 | (uint32_t)base64_digit(s[i]);
        /* Digits 1, 2 and 3 of four each complete a byte. */
        if (i % 4 != 0) {
            *o++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *out_len = digits * 3 / 4;
    return true;
}

static bool uri_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
           c == '~';
}

void text_uri_encode(struct buf *b, const void *s, size_t len, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t *p = s;

    buf_reserve(b, len);
    for (size_t i = 0; i < len; i++) {
        if (uri_unreserved(p[i]) || (keep_slash && p[i] == '/')) {
            buf_char(b, (char)p[i]);
        } else {
            char escape[3] = {'%', digits[p[i] >> 4], digits[p[i] & 15]};
            buf_append(b, escape, sizeof escape);
        }
    }
}

bool text_uri_decode(struct buf *b, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%') {
            if (len - i < 3 || hex_digit(s[i + 1]) < 0 ||
                hex_digit(s[i + 2]) < 0) {
                return false;
            }
            i += 2;
        }
    }
    buf_reserve(b, len);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%') {
            buf_char(b, (char)(hex_digit(s[i + 1]) << 4 | hex_digit(s[i + 2])));
            i += 2;
        } else {
            buf_char(b, s[i]);
        }
    }
    return true;
}

/* Length of the well-formed sequence at @p, or 0. Source: The Unicode
 * Standard, table 3-7: only the second byte has bounds of its own. */
static size_t utf8_one(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    size_t n;

    if (p[0] < 0x80) {
        return 1;
    }
    n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) {
        return 0;
    }
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : low;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : high;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }
    return n;
}

bool text_utf8(const void *p, size_t len)
{
    const uint8_t *s = p;

    for (size_t i = 0; i < len;) {
        size_t n = utf8_one(s + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

/* Dates are computed here and not by the C library, whose answers depend on
 * the locale and the time zone. */

struct date {
    unsigned year, month, day; /* month and day from 1 */
    unsigned hour, minute, second, ms;
};

static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr",
                                          "May", "Jun", "Jul", "Aug",
                                          "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[] = {
    "Sunday",   "Monday", "Tuesday",  "Wednesday",
    "Thursday", "Friday", "Saturday",
};

static bool leap_year(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30,
                                         31, 31, 30, 31, 30, 31};
    return month == 2 && leap_year(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to the first day of @year. */
static uint64_t year_days(uint64_t year)
{
    uint64_t y = year - 1;
    return (year - YEAR_FIRST) * 365 + (y / 4 - 1969 / 4) -
           (y / 100 - 1969 / 100) + (y / 400 - 1969 / 400);
}

static void date_of(uint64_t time_ms, struct date *d)
{
    uint64_t days = time_ms / MS_PER_DAY;
    uint64_t ms = time_ms % MS_PER_DAY;
    uint64_t year = YEAR_FIRST + days / 366; /* never too late */

    year += (days - year_days(year)) / 366;
    while (year_days(year + 1) <= days) {
        year++;
    }
    days -= year_days(year);
    d->year = (unsigned)year;
    d->month = 1;
    while (days >= month_days(d->year, d->month)) {
        days -= month_days(d->year, d->month);
        d->month++;
    }
    d->day = (unsigned)days + 1;
    d->hour = (unsigned)(ms / 3600000);
    d->minute = (unsigned)(ms / 60000 % 60);
    d->second = (unsigned)(ms / 1000 % 60);
    d->ms = (unsigned)(ms % 1000);
}

/* Leap seconds (:60) are refused: no time here can hold one. */
static bool date_ms(const struct date *d, uint64_t *time_ms)
{
    uint64_t days;

    if (d->year < YEAR_FIRST || d->year > YEAR_LAST || d->month < 1 ||
        d->month > 12 || d->day < 1 || d->day > month_days(d->year, d->month) ||
        d->hour > 23 || d->minute > 59 || d->second > 59) {
        return false;
    }
    days = year_days(d->year) + d->day - 1;
    for (unsigned m = 1; m < d->month; m++) {
        days += month_days(d->year, m);
    }
    *time_ms = days * MS_PER_DAY + d->hour * (uint64_t)3600000 +
               d->minute * (uint64_t)60000 + d->second * (uint64_t)1000 + d->ms;
    return true;
}

/* 0 is Sunday; 1970-01-01 was a Thursday. */
static unsigned weekday(uint64_t time_ms)
{
    return (unsigned)((time_ms / MS_PER_DAY + 4) % 7);
}

char *text_iso8601(uint64_t time_ms, char *out)
{
    struct date d;

    date_of(time_ms, &d);
    snprintf(out, TEXT_TIME_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", d.year,
             d.month, d.day, d.hour, d.minute, d.second, d.ms);
    return out;
}

char *text_basic8601(uint64_t time_ms, char *out)
{
    struct date d;

    date_of(time_ms, &d);
    snprintf(out, TEXT_TIME_MAX, "%04u%02u%02uT%02u%02u%02uZ", d.year, d.month,
             d.day, d.hour, d.minute, d.second);
    return out;
}

char *text_http_date(uint64_t time_ms, char *out)
{
    struct date d;

    date_of(time_ms, &d);
    snprintf(out, TEXT_TIME_MAX, "%.3s, %02u %s %04u %02u:%02u:%02u GMT",
             day_names[weekday(time_ms)], d.day, month_names[d.month - 1],
             d.year, d.hour, d.minute, d.second);
    return out;
}

/* Scanners move *@s past what they read. */

static bool scan_literal(const char **s, const char *literal)
{
    if (!text_starts(*s, literal)) {
        return false;
    }
    *s += strlen(literal);
    return true;
}

static bool scan_digits(const char **s, unsigned count, unsigned *out)
{
    unsigned v = 0;

    for (unsigned i = 0; i < count; i++) {
        char c = (*s)[i];
        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (unsigned)(c - '0');
    }
    *s += count;
    *out = v;
    return true;
}

static bool scan_month(const char **s, unsigned *month)
{
    for (unsigned i = 0; i < 12; i++) {
        if (scan_literal(s, month_names[i])) {
            *month = i + 1;
            return true;
        }
    }
    return false;
}

/* "01:02:03" */
static bool scan_clock(const char **s, struct date *d)
{
    return scan_digits(s, 2, &d->hour) && scan_literal(s, ":") &&
           scan_digits(s, 2, &d->minute) && scan_literal(s, ":") &&
           scan_digits(s, 2, &d->second);
}

/* ".5", ".123456789": what is finer than milliseconds is cut off. */
static bool scan_fraction(const char **s, unsigned *ms)
{
    size_t digits;
    unsigned v = 0;

    if (**s != '.') {
        *ms = 0;
        return true;
    }
    digits = strspn(*s + 1, "0123456789");
    if (digits < 1 || digits > 9) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        v = v * 10 + (i < digits ? (unsigned)((*s)[1 + i] - '0') : 0);
    }
    *s += 1 + digits;
    *ms = v;
    return true;
}

bool text_parse_basic8601(const char *s, uint64_t *time_ms)
{
    struct date d = {0};

    return scan_digits(&s, 4, &d.year) && scan_digits(&s, 2, &d.month) &&
           scan_digits(&s, 2, &d.day) && scan_literal(&s, "T") &&
           scan_digits(&s, 2, &d.hour) && scan_digits(&s, 2, &d.minute) &&
           scan_digits(&s, 2, &d.second) && scan_literal(&s, "Z") && *s == 0 &&
           date_ms(&d, time_ms);
}

bool text_parse_iso8601(const char *s, uint64_t *time_ms)
{
    struct date d = {0};

    return scan_digits(&s, 4, &d.year) && scan_literal(&s, "-") &&
           scan_digits(&s, 2, &d.month) && scan_literal(&s, "-") &&
           scan_digits(&s, 2, &d.day) && scan_literal(&s, "T") &&
           scan_clock(&s, &d) && scan_fraction(&s, &d.ms) &&
           scan_literal(&s, "Z") && *s == 0 && date_ms(&d, time_ms);
}

/* " 06 Nov 1994 08:49:37 GMT" after "Sun," */
static bool parse_imf(const char *s, struct date *d)
{
    return scan_literal(&s, " ") && scan_digits(&s, 2, &d->day) &&
           scan_literal(&s, " ") && scan_month(&s, &d->month) &&
           scan_literal(&s, " ") && scan_digits(&s, 4, &d->year) &&
           scan_literal(&s, " ") && scan_clock(&s, d) &&
           scan_literal(&s, " GMT") && *s == 0;
}

/* The latest year ending in @yy that is not more than 50 years away, as RFC
 * 9110 asks. Whole years decide: a few months at the edge do not matter. */
static unsigned full_year(unsigned yy)
{
    struct date now;
    unsigned last;

    date_of(clock_real_ms(), &now);
    last = now.year + 50;
    return last - (last % 100 + 100 - yy) % 100;
}

/* " 06-Nov-94 08:49:37 GMT" after "Sunday," */
static bool parse_rfc850(const char *s, struct date *d)
{
    unsigned yy;

    if (!(scan_literal(&s, " ") && scan_digits(&s, 2, &d->day) &&
          scan_literal(&s, "-") && scan_month(&s, &d->month) &&
          scan_literal(&s, "-") && scan_digits(&s, 2, &yy) &&
          scan_literal(&s, " ") && scan_clock(&s, d) &&
          scan_literal(&s, " GMT") && *s == 0)) {
        return false;
    }
    d->year = full_year(yy);
    return true;
}

/* " Nov  6 08:49:37 1994" after "Sun" */
static bool parse_asctime(const char *s, struct date *d)
{
    return scan_literal(&s, " ") && scan_month(&s, &d->month) &&
           scan_literal(&s, " ") &&
           (scan_literal(&s, " ") ? scan_digits(&s, 1, &d->day)
                                  : scan_digits(&s, 2, &d->day)) &&
           scan_literal(&s, " ") && scan_clock(&s, d) &&
           scan_literal(&s, " ") && scan_digits(&s, 4, &d->year) && *s == 0;
}

bool text_parse_http_date(const char *s, uint64_t *time_ms)
{
    struct date d = {0};
    unsigned day = 0;
    size_t name_len = strcspn(s, ", ");
    bool full;
    uint64_t ms;

    while (day < 7 && strncmp(s, day_names[day], 3) != 0) {
        day++;
    }
    if (day == 7) {
        return false;
    }
    full = name_len == strlen(day_names[day]) &&
           strncmp(s, day_names[day], name_len) == 0;
    if (!full && name_len != 3) {
        return false;
    }
    s += name_len;
    if (!(full        ? *s == ',' && parse_rfc850(s + 1, &d)
          : *s == ',' ? parse_imf(s + 1, &d)
                      : parse_asctime(s, &d))) {
        return false;
    }
    /* A date that contradicts its own weekday is no date. */
    if (!date_ms(&d, &ms) || weekday(ms) != day) {
        return false;
    }
    *time_ms = ms;
    return true;
}
