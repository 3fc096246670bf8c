#include "engine/stats.h"

#include "engine/check.h"

static const int64_t powers_of_ten[] = {
    INT64_C(1),           INT64_C(10),           INT64_C(100),           INT64_C(1000),           INT64_C(10000),
    INT64_C(100000),      INT64_C(1000000),      INT64_C(10000000),      INT64_C(100000000),      INT64_C(1000000000),
    INT64_C(10000000000), INT64_C(100000000000), INT64_C(1000000000000), INT64_C(10000000000000),
};

/* The decade index of a latency: the number of its decimal digits less one. 1233/4096 is a little above log10(2); the
 * guess from the number of bits is at most one too high. */
static unsigned decade_of(int64_t latency_ns)
{
    if (latency_ns < 10)
        return 0;
    unsigned bits = 64u - (unsigned)__builtin_clzll((uint64_t)latency_ns);
    unsigned guess = bits * 1233u >> 12;
    return latency_ns < powers_of_ten[guess] ? guess - 1 : guess;
}

/* latency_ns / 10^(decade - 1), for a latency of that decade. A division of 64 bits costs more than all the rest here;
 * the product is at most one too high or too low. */
static int64_t two_leading_digits(int64_t latency_ns, unsigned decade)
{
    static const double inverse_powers[] = {1e0,  1e-1, 1e-2, 1e-3,  1e-4,  1e-5,  1e-6,
                                            1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13};
    int64_t power = powers_of_ten[decade - 1];
    int64_t digits = (int64_t)((double)latency_ns * inverse_powers[decade - 1]);
    digits -= digits * power > latency_ns;
    return digits + ((digits + 1) * power <= latency_ns);
}

void histogram_record(struct histogram *histogram, int64_t latency_ns, uint64_t count)
{
    if (count == 0)
        return;
    if (latency_ns < 0)
        latency_ns = 0;
    if (latency_ns >= powers_of_ten[HISTOGRAM_DECADE_COUNT])
        latency_ns = powers_of_ten[HISTOGRAM_DECADE_COUNT] - 1;
    unsigned decade = decade_of(latency_ns);
    /* Two leading digits, 10 to 99; a single digit counts as d0, and 0 as 1. */
    int64_t leading = decade == 0 ? latency_ns * 10 : two_leading_digits(latency_ns, decade);
    unsigned bin = leading < 10 ? 0 : (unsigned)leading - 10u;
    stats_add(&histogram->bins[decade][bin], count);
    stats_add(&histogram->sum_ns[decade], (uint64_t)latency_ns * count);
}

void histogram_read(const struct histogram *histogram, struct histogram_copy *copy)
{
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++) {
        copy->sum_ns[decade] = stats_get(&histogram->sum_ns[decade]);
        for (unsigned bin = 0; bin < HISTOGRAM_DECADE_BINS; bin++)
            copy->bins[decade][bin] = stats_get(&histogram->bins[decade][bin]);
    }
}

void histogram_subtract(struct histogram_copy *copy, const struct histogram_copy *earlier)
{
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++) {
        copy->sum_ns[decade] -= earlier->sum_ns[decade];
        for (unsigned bin = 0; bin < HISTOGRAM_DECADE_BINS; bin++)
            copy->bins[decade][bin] -= earlier->bins[decade][bin];
    }
}

uint64_t histogram_decade_count(const struct histogram_copy *copy, unsigned decade)
{
    uint64_t count = 0;
    for (unsigned bin = 0; bin < HISTOGRAM_DECADE_BINS; bin++)
        count += copy->bins[decade][bin];
    return count;
}

uint64_t histogram_count(const struct histogram_copy *copy)
{
    uint64_t count = 0;
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++)
        count += histogram_decade_count(copy, decade);
    return count;
}

int64_t histogram_decade_bound_ns(unsigned decade)
{
    CHECK(decade < HISTOGRAM_DECADE_COUNT);
    return powers_of_ten[decade + 1];
}

int64_t histogram_quantile_ns(const struct histogram_copy *copy, double quantile)
{
    uint64_t total = histogram_count(copy);
    if (total == 0)
        return 0;
    double wanted = quantile * (double)total;
    uint64_t seen = 0;
    int64_t last_ns = 0;
    for (unsigned decade = 0; decade < HISTOGRAM_DECADE_COUNT; decade++) {
        for (unsigned bin = 0; bin < HISTOGRAM_DECADE_BINS; bin++) {
            if (copy->bins[decade][bin] == 0)
                continue;
            seen += copy->bins[decade][bin];
            last_ns = decade == 0 ? (bin + 10) / 10 : (2 * ((int64_t)bin + 10) + 1) * powers_of_ten[decade - 1] / 2;
            if ((double)seen >= wanted)
                return last_ns;
        }
    }
    return last_ns;
}

uint64_t stats_dropped_count(const struct node_stats *stats)
{
    uint64_t count = 0;
    for (size_t i = 0; i < stats->definition_count; i++)
        if (stats->definitions[i].is_drop)
            count += stats_get(&stats->counters[i]);
    return count;
}
