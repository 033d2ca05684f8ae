/* cert_time.h: is a certificate good at this time, for who may have no clock.
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_CERT_TIME_H
#define GODWIT_EDGE_CERT_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* No agent of this version runs before: 2026-11-01. A clock below it is not
 * set. */
#define CERT_TIME_FLOOR_MS 1793491200000ull

enum cert_time { CERT_TIME_FINE, CERT_TIME_EXPIRED, CERT_TIME_FUTURE };

/* A UTC date of the Gregorian calendar in ms since 1970; before: 0. */
uint64_t cert_time_ms(int year, int month, int day, int hour, int minute,
                      int second);

/* @known: the clock is set; else it is at least @now_ms. */
enum cert_time cert_time_judge(uint64_t from_ms, uint64_t to_ms,
                               uint64_t now_ms, bool known);

/* What time it is, at least @floor_ms (what was seen last) and
 * CERT_TIME_FLOOR_MS: by the system's clock, or by it and the lead that the
 * cluster once had over it. The clock may have been set since, so the earlier
 * of the two counts that is not below the floor. *@known is false when both
 * are. */
uint64_t cert_time_now(uint64_t clock_ms, int64_t skew_ms, uint64_t floor_ms,
                       bool *known);

#endif
