#include "bench/measure.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/round_trip.h"
#include "bench/support.h"

/* What measure_open read; a benchmark is a program of its own. */
static struct {
    const char *name;
    double seconds;
    unsigned round_count;
} settings = {.seconds = 1, .round_count = 5};

/* What the rounds of a contest yielded. */
struct outcome {
    double figures[MEASURE_CONTESTANT_MAX][MEASURE_METRIC_MAX][MEASURE_ROUND_MAX];
    double round_trip_ns[MEASURE_ROUND_MAX];
    bool absent[MEASURE_CONTESTANT_MAX];
    size_t ours;
};

/* ---- flags ---- */

static double read_number(const char *flag, const char *text, double least, double most)
{
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(number >= least && number <= most))
        bench_fail("%s: '%s' is no number from %g to %g", flag, text, least, most);
    return number;
}

void measure_open(int count, char **arguments)
{
    const char *slash = strrchr(arguments[0], '/');
    settings.name = slash != NULL ? slash + 1 : arguments[0];
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(arguments[i], "--seconds") == 0)
            settings.seconds = read_number("--seconds", value, 0.01, 3600);
        else if (strcmp(arguments[i], "--rounds") == 0)
            settings.round_count = (unsigned)read_number("--rounds", value, 1, MEASURE_ROUND_MAX);
        else
            bench_fail("'%s': a benchmark knows --seconds N (of each run) and --rounds N", arguments[i]);
    }
}

/* ---- figures ---- */

static int compare(const void *one, const void *other)
{
    double left = *(const double *)one;
    double right = *(const double *)other;
    return (left > right) - (left < right);
}

double measure_percentile(double *sorted_or_not, size_t count, double fraction)
{
    bool sorted = true;
    for (size_t i = 1; i < count && sorted; i++)
        sorted = sorted_or_not[i - 1] <= sorted_or_not[i];
    if (!sorted)
        qsort(sorted_or_not, count, sizeof *sorted_or_not, compare);
    size_t rank = (size_t)ceil(fraction * (double)count - 1e-6);
    return count == 0 ? 0 : sorted_or_not[rank == 0 ? 0 : rank > count ? count - 1 : rank - 1];
}

struct spread {
    double median, min, max;
};

static struct spread spread_of(const double *values, unsigned count)
{
    double sorted[MEASURE_ROUND_MAX];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    double median = count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
    return (struct spread){.median = median, .min = sorted[0], .max = sorted[count - 1]};
}

static void make_ratios(const struct outcome *outcome, size_t contestant, size_t metric, double *ratios)
{
    for (unsigned i = 0; i < settings.round_count; i++)
        ratios[i] = outcome->figures[outcome->ours][metric][i] / outcome->figures[contestant][metric][i];
}

/* ---- what goes on ---- */

/* 22.1 M/s, 480 ns. */
static const char *figure_text(double value, const char *unit, char *text, size_t text_bytes)
{
    static const struct {
        double factor;
        const char *letter;
    } prefixes[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {0, ""}};
    size_t i = 3;
    if (strstr(unit, "/s") != NULL)
        for (i = 0; value < prefixes[i].factor;)
            i++;
    double shown = prefixes[i].factor > 0 ? value / prefixes[i].factor : value;
    snprintf(text, text_bytes, "%.*f %s%s", shown < 1 ? 4 : shown < 1000 ? 2 : 0, shown, prefixes[i].letter, unit);
    return text;
}

static void tell_run(const struct measure_contest *contest, const struct outcome *outcome, unsigned round, size_t which)
{
    char text[64];
    fprintf(stderr, "  round %u, cache line %.0f ns  %s:", round + 1, outcome->round_trip_ns[round],
            contest->contestants[which].name);
    for (size_t i = 0; i < contest->metric_count; i++)
        fprintf(stderr, "%s %s %s", i == 0 ? "" : ",", contest->metrics[i].name,
                figure_text(outcome->figures[which][i][round], contest->metrics[i].unit, text, sizeof text));
    fputc('\n', stderr);
}

/* ---- the rounds ---- */

static void run_one(const struct measure_contest *contest, struct outcome *outcome, unsigned round, size_t which)
{
    const struct measure_contestant *contestant = &contest->contestants[which];
    double figures[MEASURE_METRIC_MAX] = {0};
    if (outcome->absent[which])
        return;
    if (!contestant->run(contestant->context, settings.seconds, figures)) {
        if (contestant->role != MEASURE_PEER || round > 0)
            bench_fail("%s could not run", contestant->name);
        fprintf(stderr, "  %s is not here\n", contestant->name);
        outcome->absent[which] = true;
        return;
    }
    for (size_t i = 0; i < contest->metric_count; i++) {
        if (!isfinite(figures[i]) || figures[i] < 0 || (figures[i] == 0 && contest->contestant_count > 1))
            bench_fail("%s: %s is %g", contestant->name, contest->metrics[i].name, figures[i]);
        outcome->figures[which][i][round] = figures[i];
    }
    tell_run(contest, outcome, round, which);
}

/* Whether a round's end met another regime than its beginning: its runs cannot be compared then. */
static bool has_changed(double before_ns, double after_ns)
{
    return before_ns > 2 * after_ns || after_ns > 2 * before_ns;
}

static size_t find_ours(const struct measure_contest *contest)
{
    size_t ours = 0;
    unsigned ours_count = 0;
    unsigned limit_count = 0;
    for (size_t i = 0; i < contest->contestant_count; i++) {
        if (contest->contestants[i].role == MEASURE_OURS) {
            ours = i;
            ours_count++;
        }
        limit_count += contest->contestants[i].role == MEASURE_LIMIT;
    }
    if (ours_count != 1 || limit_count > 1 || contest->contestant_count > MEASURE_CONTESTANT_MAX ||
        contest->metric_count > MEASURE_METRIC_MAX)
        bench_fail("'%s' is no contest", contest->workload);
    return ours;
}

/* ---- JSON ---- */

static void write_text(const char *key, const char *text)
{
    printf("\"%s\": \"", key);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void write_values(const char *key, const double *values)
{
    printf(", \"%s\": [", key);
    for (unsigned i = 0; i < settings.round_count; i++)
        printf("%s%.6g", i == 0 ? "" : ", ", values[i]);
    putchar(']');
}

static void write_contestant(const struct measure_contestant *contestant, const struct outcome *outcome, size_t which,
                             size_t metric)
{
    static const char *const roles[] = {[MEASURE_OURS] = "ours", [MEASURE_LIMIT] = "limit", [MEASURE_PEER] = "peer"};
    const double *figures = outcome->figures[which][metric];
    struct spread spread = spread_of(figures, settings.round_count);
    putchar('{');
    write_text("name", contestant->name);
    printf(", \"role\": \"%s\", \"median\": %.6g, \"min\": %.6g, \"max\": %.6g", roles[contestant->role], spread.median,
           spread.min, spread.max);
    write_values("figures", figures);
    if (contestant->role != MEASURE_OURS) {
        double ratios[MEASURE_ROUND_MAX];
        make_ratios(outcome, which, metric, ratios);
        write_values("ratios", ratios);
    }
    putchar('}');
}

static void write_metric(const struct measure_contest *contest, const struct outcome *outcome, size_t which)
{
    const struct measure_metric *metric = &contest->metrics[which];
    putchar('{');
    write_text("benchmark", settings.name);
    fputs(", ", stdout);
    write_text("workload", contest->workload);
    fputs(", ", stdout);
    write_text("metric", metric->name);
    fputs(", ", stdout);
    write_text("unit", metric->unit);
    printf(", \"lower_is_better\": %s, \"asked_ratio\": %g, \"asked_bound\": %g, \"seconds\": %g",
           metric->lower_is_better ? "true" : "false", metric->ratio, metric->bound, settings.seconds);
    write_values("round_trip_ns", outcome->round_trip_ns);
    fputs(", \"contestants\": [", stdout);
    const char *separator = "";
    for (size_t i = 0; i < contest->contestant_count; i++) {
        if (outcome->absent[i])
            continue;
        fputs(separator, stdout);
        write_contestant(&contest->contestants[i], outcome, i, which);
        separator = ", ";
    }
    puts("]}");
}

void measure_contest(const struct measure_contest *contest)
{
    struct outcome *outcome = calloc(1, sizeof *outcome);
    if (outcome == NULL)
        bench_fail("no memory");
    outcome->ours = find_ours(contest);
    fprintf(stderr, "%s: %s\n", settings.name, contest->workload);
    size_t count = contest->contestant_count;
    unsigned again_left = settings.round_count / 2;
    for (unsigned round = 0; round < settings.round_count;) {
        outcome->round_trip_ns[round] = bench_round_trip_ns();
        for (size_t i = 0; i < count; i++)
            run_one(contest, outcome, round, round % 2 == 0 ? i : count - 1 - i);
        if (has_changed(outcome->round_trip_ns[round], bench_round_trip_ns()) && again_left > 0) {
            again_left--;
            fputs("  the processors have moved meanwhile; this round again\n", stderr);
            continue;
        }
        round++;
    }
    for (size_t i = 0; i < contest->metric_count; i++)
        write_metric(contest, outcome, i);
    fflush(stdout);
    free(outcome);
}

int measure_close(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
