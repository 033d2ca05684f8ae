#include "edge-agent/cert_time.h"

/* Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
 * days_from_civil. */
static int64_t days_of(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

uint64_t cert_time_ms(int year, int month, int day, int hour, int minute,
                      int second)
{
    int64_t s;

    if (year < 1970 || month < 1 || month > 12 || day < 1) {
        return 0;
    }
    s = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return (uint64_t)s * 1000;
}

enum cert_time cert_time_judge(uint64_t from_ms, uint64_t to_ms,
                               uint64_t now_ms, bool known)
{
    if (now_ms > to_ms) {
        return CERT_TIME_EXPIRED;
    }
    return known && now_ms < from_ms ? CERT_TIME_FUTURE : CERT_TIME_FINE;
}

uint64_t cert_time_now(uint64_t clock_ms, int64_t skew_ms, uint64_t floor_ms,
                       bool *known)
{
    uint64_t floor =
        floor_ms > CERT_TIME_FLOOR_MS ? floor_ms : CERT_TIME_FLOOR_MS;
    bool before = skew_ms < 0 && (uint64_t)-skew_ms > clock_ms;
    uint64_t moved = before ? 0 : clock_ms + (uint64_t)skew_ms;
    uint64_t low = moved < clock_ms ? moved : clock_ms;
    uint64_t high = moved < clock_ms ? clock_ms : moved;

    *known = high >= floor;
    return low >= floor ? low : *known ? high : floor;
}
