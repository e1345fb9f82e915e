/* SPDX-License-Identifier: Apache-2.0 */
/* sea_clock.h - durations and time stamps. Decisions about leases use the clock of the
 * database, never these. */
#ifndef SEA_CLOCK_H
#define SEA_CLOCK_H

#include <stdint.h>

int64_t sea_clock_ms(void);             /* CLOCK_BOOTTIME: counts through a suspend */
double sea_clock_seconds(void);         /* CLOCK_MONOTONIC, for rates and benchmarks */
void sea_clock_utc(char out[32]);       /* "2026-01-31T12:00:00.123Z" */
void sea_clock_sleep_ms(int64_t ms);    /* continues after signals only when ms remain;
                                           returns early on EINTR */

#endif
