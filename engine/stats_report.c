#include "engine/stats_report.h"

#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/store/journal.h"

struct row {
    uint64_t in_count, out_count;
    struct histogram_copy latency;
};

struct stats_table {
    const struct topology *topology;
    struct row *rows;
    int64_t printed_ns;
    uint64_t line_count;
};

static size_t shown_nodes(const struct topology *topology, struct node *const **nodes)
{
    size_t count;
    *nodes = topology_nodes(topology, &count);
    return count - (topology_wiring(topology)->has_reporter ? 1 : 0);
}

struct stats_table *stats_table_new(const struct topology *topology)
{
    struct node *const *nodes;
    struct stats_table *table = calloc(1, sizeof *table);
    CHECK(table != NULL);
    table->topology = topology;
    table->rows = calloc(shown_nodes(topology, &nodes) + 1, sizeof *table->rows);
    CHECK(table->rows != NULL);
    table->printed_ns = topology_start_ns(topology);
    return table;
}

void stats_table_free(struct stats_table **table)
{
    if (*table == NULL)
        return;
    free((*table)->rows);
    free(*table);
    *table = NULL;
}

/* "131 ns", "1.2 us", "45 ms". */
static const char *duration_text(int64_t ns, char text[16])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double)ns;
    size_t unit = 0;
    while (value >= 1000 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(text, 16, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

static void print_row(FILE *out, const struct node *node, struct row *row, double seconds)
{
    struct histogram_copy now;
    struct histogram_copy since;
    char p50[16] = "-";
    char p99[16] = "-";
    histogram_read(&node->stats->latency, &now);
    since = now;
    histogram_subtract(&since, &row->latency);
    if (histogram_count(&since) > 0) {
        duration_text(histogram_quantile_ns(&since, 0.5), p50);
        duration_text(histogram_quantile_ns(&since, 0.99), p99);
    }
    uint64_t in_count = stats_get(&node->stats->in_count);
    uint64_t out_count = stats_get(&node->stats->out_count);
    uint64_t queued = stats_get(&node->stats->queued_count) + node_in_flight(node->inputs, node->input_count);
    fprintf(out, "%-28s %12.0f %12.0f %12llu %10s %10s\n", node->name, (double)(in_count - row->in_count) / seconds,
            (double)(out_count - row->out_count) / seconds, (unsigned long long)queued, p50, p99);
    *row = (struct row){.in_count = in_count, .out_count = out_count, .latency = now};
}

void stats_table_print(struct stats_table *table, FILE *out, int64_t now_ns)
{
    struct node *const *nodes;
    size_t count = shown_nodes(table->topology, &nodes);
    double seconds = (double)(now_ns - table->printed_ns) / (double)NS_PER_S;
    if (seconds <= 0)
        return;
    double age = (double)(now_ns - topology_start_ns(table->topology)) / (double)NS_PER_S;
    char title[32];
    snprintf(title, sizeof title, "node, after %.1f s", age);
    fprintf(out, "%s%-28s %12s %12s %12s %10s %10s\n", table->line_count++ > 0 ? "\n" : "", title, "in/s", "out/s",
            "queued", "p50", "p99");
    for (size_t i = 0; i < count; i++)
        print_row(out, nodes[i], &table->rows[i], seconds);
    fflush(out);
    table->printed_ns = now_ns;
}

/* ---- the end ---- */

static void print_counters(FILE *out, const struct node_stats *stats)
{
    size_t total = stats->definition_count + stats->extra_count;
    const char *separator = "; ";
    for (size_t i = 0; i < total; i++) {
        uint64_t value = stats_get(&stats->counters[i]);
        if (value == 0)
            continue;
        const char *name =
            i < stats->definition_count ? stats->definitions[i].name : stats->extra_names[i - stats->definition_count];
        fprintf(out, "%s%s %llu", separator, name, (unsigned long long)value);
        separator = ", ";
    }
}

static void print_latency(FILE *out, const struct node_stats *stats)
{
    struct histogram_copy latency;
    char texts[4][16];
    histogram_read(&stats->latency, &latency);
    uint64_t count = histogram_count(&latency);
    if (count == 0)
        return;
    fprintf(out, "; latency of %llu: p50 %s, p99 %s, p99.9 %s, max %s", (unsigned long long)count,
            duration_text(histogram_quantile_ns(&latency, 0.5), texts[0]),
            duration_text(histogram_quantile_ns(&latency, 0.99), texts[1]),
            duration_text(histogram_quantile_ns(&latency, 0.999), texts[2]),
            duration_text(histogram_quantile_ns(&latency, 1.0), texts[3]));
}

static void print_node(FILE *out, const struct node *node, double seconds)
{
    const struct node_stats *stats = node->stats;
    uint64_t in_flight = node_in_flight(node->inputs, node->input_count);
    uint64_t lost_lines = log_lost_line_count(node->log);
    fprintf(out, "%s: in %llu, out %llu, dropped %llu, queued %llu, %.3f s", node->name,
            (unsigned long long)stats_get(&stats->in_count), (unsigned long long)stats_get(&stats->out_count),
            (unsigned long long)stats_dropped_count(stats), (unsigned long long)stats_get(&stats->queued_count),
            seconds);
    if (in_flight > 0)
        fprintf(out, "; left on the way to it %llu", (unsigned long long)in_flight);
    if (node->note[0] != '\0' && atomic_load_explicit(&node->ended, memory_order_acquire))
        fprintf(out, "; %s", node->note);
    print_counters(out, stats);
    if (lost_lines > 0)
        fprintf(out, "; log lines lost %llu", (unsigned long long)lost_lines);
    print_latency(out, stats);
    fputc('\n', out);
}

static void print_journal(FILE *out, const struct journal *journal, const char *directory)
{
    struct journal_counts counts = journal_counts(journal);
    fprintf(out, "store %s: batches %llu, syncs %llu, bytes %llu", directory, (unsigned long long)counts.batch_count,
            (unsigned long long)counts.sync_count, (unsigned long long)counts.stored_bytes);
    if (counts.retry_count > 0)
        fprintf(out, ", retries on a full disk %llu", (unsigned long long)counts.retry_count);
    fputc('\n', out);
}

void stats_print_summary(const struct topology *topology, FILE *out, int64_t now_ns)
{
    struct node *const *nodes;
    size_t count;
    nodes = topology_nodes(topology, &count); /* the reporter too: its posts and drops are told */
    double seconds = (double)(now_ns - topology_start_ns(topology)) / (double)NS_PER_S;
    for (size_t i = 0; i < count; i++)
        print_node(out, nodes[i], seconds);
    if (topology_journal(topology) != NULL)
        print_journal(out, topology_journal(topology), nodes[0]->spec->launch.store);
    fflush(out);
}
