#include "engine/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void clock_format_utc(int64_t wall_ns, char text[CLOCK_TEXT_BYTES])
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    long microseconds = (long)(wall_ns % NS_PER_S / NS_PER_US);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t length = strftime(text, CLOCK_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &utc);
    snprintf(text + length, CLOCK_TEXT_BYTES - length, ".%06ld", microseconds);
}
