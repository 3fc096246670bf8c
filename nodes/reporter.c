/*
 * The reporter: one thread that reads the counts of all nodes of a launch and sends their metrics, so that the nodes
 * themselves only count.
 */
#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/node.h"
#include "engine/topology.h"
#include "engine/topology_spec.h"
#include "nodes/metrics/hub.h"
#include "nodes/metrics/metrics.h"
#include "nodes/metrics/metrics_output.h"
#include "nodes/metrics/report_schedule.h"
#include "nodes/node_types.h"

/* A report of more seconds (with both throughputs some 50 bytes each) would not fit a datagram; a longer period is sent
 * in several reports, one behind the other. */
enum { REPORT_SECONDS_MAX = 1000 };
/* --stats-period is a day at most. */
enum { PERIOD_SECONDS_MAX = 86400 };

/* While a launch stops: how often to see whether all have ended, and how long to wait for those that are to leave
 * everything. */
static const int64_t end_look_interval_ns = 10 * NS_PER_MS;
static const int64_t abandon_wait_ns = 500 * NS_PER_MS;

enum reporter_counter {
    COUNTER_REPORTS_SENT,
    COUNTER_REPORTS_DROPPED,
    COUNTER_REPORTS_UNHEARD,
    COUNTER_HUB,
};

static const struct counter reporter_counters[] = {
    [COUNTER_REPORTS_SENT] = {"reports_sent", "reports handed to a ring or to the network", false},
    [COUNTER_REPORTS_DROPPED] = {"reports_dropped", "reports lost for want of room or of a connection", true},
    [COUNTER_REPORTS_UNHEARD] = {"reports_unheard", "reports sent while nobody listened", true},
    HUB_COUNTERS,
    {0},
};

/* A node whose metrics are sent, and what its current period has so far. */
struct reported {
    const struct node *node;
    struct report_schedule schedule;
    uint64_t in_count, out_count;    /* at the last look */
    struct histogram_copy latency;   /* at the last period's end */
    struct metrics_second *in, *out; /* of the current period, `second_count` each */
    size_t second_count, second_count_max;
    size_t *outputs; /* indices: where its reports go */
    size_t output_count;
};

enum reporter_stage { STAGE_NEW, STAGE_RUNNING, STAGE_ENDING };

struct reporter {
    struct node *node;
    struct reported *reported;
    size_t reported_count;
    struct metrics_output *outputs; /* one a port */
    struct hub hub;
    struct text text;
    enum reporter_stage stage;
    bool outputs_ended;
    int64_t abandon_since_ns; /* 0: not abandoned */
};

/* ---- open ---- */

static size_t output_at(const struct node *node, const struct address *address)
{
    size_t i = 0;
    while (i < node->output_count && !address_same(node->outputs[i].address, address))
        i++;
    CHECK(i < node->output_count); /* the wiring gave the reporter a port for each metrics address */
    return i;
}

static void add_reported(struct reporter *reporter, const struct node *node)
{
    const struct address_list *addresses = &node->common->metrics_address;
    if (!node->type->reports || (addresses->count == 0 && reporter->hub.uri == NULL))
        return;
    struct reported *reported = &reporter->reported[reporter->reported_count++];
    int64_t seconds = node->common->stats_period_ns / NS_PER_S;
    CHECK(seconds <= PERIOD_SECONDS_MAX);
    reported->node = node;
    /* A period that does not end on a whole second touches up to two more. */
    reported->second_count_max = (size_t)seconds + 2;
    reported->in = calloc(reported->second_count_max, sizeof *reported->in);
    reported->out = calloc(reported->second_count_max, sizeof *reported->out);
    reported->outputs = calloc(addresses->count + 1, sizeof *reported->outputs);
    CHECK(reported->in != NULL && reported->out != NULL && reported->outputs != NULL);
    for (size_t i = 0; i < addresses->count; i++) {
        size_t output = output_at(reporter->node, &addresses->items[i]);
        bool known = false;
        for (size_t j = 0; j < reported->output_count; j++)
            known = known || reported->outputs[j] == output;
        if (!known)
            reported->outputs[reported->output_count++] = output;
    }
}

static enum status reporter_open(struct node *node, struct error *error)
{
    struct reporter *reporter = node->state;
    size_t node_count;
    struct node *const *nodes = topology_nodes(node->topology, &node_count);
    reporter->node = node;
    enum status status = hub_open(&reporter->hub, node, node->spec->launch.metrics_uri, COUNTER_HUB, error);
    if (status != STATUS_OK) {
        error_prefix(error, "--metrics-uri");
        return status;
    }
    reporter->outputs = calloc(node->output_count + 1, sizeof *reporter->outputs);
    reporter->reported = calloc(node_count + 1, sizeof *reporter->reported);
    CHECK(reporter->outputs != NULL && reporter->reported != NULL);
    for (size_t i = 0; i < node_count; i++)
        if (nodes[i] != node)
            add_reported(reporter, nodes[i]);
    for (size_t i = 0; i < node->output_count; i++) {
        status = metrics_output_open(&reporter->outputs[i], node, &node->outputs[i], error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- reports ---- */

static void send_report(struct reporter *reporter, const struct reported *reported, const struct metrics_period *period,
                        int64_t now_ns)
{
    struct node_stats *stats = reporter->node->stats;
    text_reset(&reporter->text);
    metrics_write_datagram(&reporter->text, period);
    for (size_t i = 0; i < reported->output_count; i++) {
        if (metrics_output_send(&reporter->outputs[reported->outputs[i]], &reporter->text, now_ns)) {
            stats_count(stats, COUNTER_REPORTS_SENT);
            stats_add(&stats->out_count, 1);
        } else {
            node_drop(reporter->node, COUNTER_REPORTS_DROPPED, 1);
        }
    }
    text_reset(&reporter->text);
    metrics_write_post(&reporter->text, period);
    hub_post(&reporter->hub, &reporter->text);
}

static double seconds_of(int64_t wall_ns)
{
    int64_t whole_s = wall_ns / NS_PER_S;
    return (double)whole_s + (double)(wall_ns % NS_PER_S) / (double)NS_PER_S;
}

/* The period has ended with `slice`. */
static void send_period(struct reporter *reporter, struct reported *reported, const struct report_slice *slice,
                        int64_t now_ns)
{
    struct histogram_copy latency;
    struct histogram_copy now;
    histogram_read(&reported->node->stats->latency, &now);
    latency = now;
    histogram_subtract(&latency, &reported->latency);
    reported->latency = now;

    struct metrics_period period = {
        .t0_s = seconds_of(slice->t0_ns),
        .func = reported->node->function_title,
        .vuid = reported->node->vuid,
        .in = reported->in,
        .out = reported->out,
    };
    size_t left = reported->second_count;
    while (left > REPORT_SECONDS_MAX) {
        period.in_count = period.out_count = REPORT_SECONDS_MAX;
        period.t1_s = (double)period.in[REPORT_SECONDS_MAX].second;
        send_report(reporter, reported, &period, now_ns);
        period.t0_s = period.t1_s;
        period.in += REPORT_SECONDS_MAX;
        period.out += REPORT_SECONDS_MAX;
        left -= REPORT_SECONDS_MAX;
    }
    period.in_count = period.out_count = left;
    period.t1_s = seconds_of(slice->t1_ns);
    metrics_set_latency(&period, &latency);
    send_report(reporter, reported, &period, now_ns);
    reported->second_count = 0;
}

static void take_slice(struct reporter *reporter, struct reported *reported, const struct report_slice *slice,
                       int64_t now_ns)
{
    uint64_t in = stats_get(&reported->node->stats->in_count);
    uint64_t out = stats_get(&reported->node->stats->out_count);
    uint64_t in_delta = in - reported->in_count;
    uint64_t out_delta = out - reported->out_count;
    reported->in_count = in;
    reported->out_count = out;
    if (slice->owned || in_delta > 0 || out_delta > 0) {
        size_t at = reported->second_count++;
        CHECK(at < reported->second_count_max);
        reported->in[at] = (struct metrics_second){.second = slice->second, .count = in_delta};
        reported->out[at] = (struct metrics_second){.second = slice->second, .count = out_delta};
    }
    if (slice->ends_period)
        send_period(reporter, reported, slice, now_ns);
}

/* ---- the step ---- */

static void start(struct reporter *reporter)
{
    int64_t start_ns = topology_start_wall_ns(reporter->node->topology);
    for (size_t i = 0; i < reporter->reported_count; i++) {
        struct reported *reported = &reporter->reported[i];
        report_schedule_start(&reported->schedule, reported->node->common->stats_period_ns,
                              start_ns > 0 ? start_ns : clock_wall_ns());
    }
    reporter->stage = STAGE_RUNNING;
}

/* Takes what is due. Returns when the next is, monotonic: from the wall clock as it is now, since it may be set. */
static int64_t take_due(struct reporter *reporter, int64_t now_ns)
{
    int64_t wall_ns = clock_wall_ns();
    int64_t monotonic_ns = clock_monotonic_ns();
    int64_t next_ns = CLOCK_NEVER_NS;
    for (size_t i = 0; i < reporter->reported_count; i++) {
        struct reported *reported = &reporter->reported[i];
        struct report_slice slice;
        while (report_schedule_take(&reported->schedule, wall_ns, &slice))
            take_slice(reporter, reported, &slice, now_ns);
        int64_t due_ns = monotonic_ns + (report_schedule_due_ns(&reported->schedule) - wall_ns);
        if (due_ns < next_ns)
            next_ns = due_ns;
    }
    return next_ns;
}

static bool all_ended(const struct reporter *reporter)
{
    for (size_t i = 0; i < reporter->reported_count; i++)
        if (!atomic_load_explicit(&reporter->reported[i].node->ended, memory_order_acquire))
            return false;
    return true;
}

/* Whether the others' counts will change no more, or are waited for no longer. */
static bool is_over(struct reporter *reporter, int64_t now_ns)
{
    if (all_ended(reporter))
        return true;
    if (node_stop_phase(reporter->node) != STOP_ABANDON)
        return false;
    if (reporter->abandon_since_ns == 0)
        reporter->abandon_since_ns = now_ns;
    return now_ns - reporter->abandon_since_ns >= abandon_wait_ns;
}

static void finish(struct reporter *reporter, int64_t now_ns)
{
    (void)take_due(reporter, now_ns);
    for (size_t i = 0; i < reporter->reported_count; i++) {
        struct reported *reported = &reporter->reported[i];
        struct report_slice slice;
        report_schedule_finish(&reported->schedule, clock_wall_ns(), &slice);
        take_slice(reporter, reported, &slice, now_ns);
    }
    reporter->stage = STAGE_ENDING;
}

static int64_t step_outputs(struct reporter *reporter, int64_t now_ns)
{
    int64_t next_ns = CLOCK_NEVER_NS;
    uint64_t unheard = 0;
    for (size_t i = 0; i < reporter->node->output_count; i++) {
        int64_t when_ns = metrics_output_step(&reporter->outputs[i], now_ns);
        next_ns = when_ns < next_ns ? when_ns : next_ns;
        unheard += reporter->outputs[i].unheard_count;
    }
    node_show_drops(reporter->node, COUNTER_REPORTS_UNHEARD, unheard);
    hub_step(&reporter->hub);
    return next_ns;
}

/* Everything is sent; gives the receivers in the launch and the hub a moment to take it. */
static bool has_left(struct reporter *reporter, int64_t now_ns)
{
    bool abandoned = node_stop_phase(reporter->node) == STOP_ABANDON;
    if (!reporter->outputs_ended)
        reporter->outputs_ended = node_end_outputs(reporter->node);
    return abandoned || (reporter->outputs_ended && hub_has_settled(&reporter->hub, now_ns));
}

static size_t reporter_step(struct node *node, int64_t now_ns)
{
    struct reporter *reporter = node->state;
    if (reporter->stage == STAGE_NEW)
        start(reporter);
    int64_t next_ns = CLOCK_NEVER_NS;
    if (reporter->stage == STAGE_RUNNING) {
        next_ns = take_due(reporter, now_ns);
        if (is_over(reporter, now_ns))
            finish(reporter, now_ns);
    }
    int64_t output_ns = step_outputs(reporter, now_ns);
    next_ns = output_ns < next_ns ? output_ns : next_ns;
    bool ending = reporter->stage == STAGE_ENDING;
    /* The topology wakes this node when it is the last; but a metrics receiver of the launch waits for it. */
    if ((ending || node_stop_phase(node) != STOP_NOT) && next_ns > now_ns + end_look_interval_ns)
        next_ns = now_ns + end_look_interval_ns;
    node->deadline_ns = next_ns;
    node->done = ending && has_left(reporter, now_ns);
    return 0;
}

static void reporter_close(struct node *node)
{
    struct reporter *reporter = node->state;
    hub_close(&reporter->hub);
    for (size_t i = 0; i < node->output_count && reporter->outputs != NULL; i++)
        metrics_output_close(&reporter->outputs[i]);
    for (size_t i = 0; i < reporter->reported_count; i++) {
        free(reporter->reported[i].in);
        free(reporter->reported[i].out);
        free(reporter->reported[i].outputs);
    }
    free(reporter->outputs);
    free(reporter->reported);
    text_free(&reporter->text);
}

const struct node_type metrics_reporter_type = {
    .name = "metrics",
    .title = "Metrics",
    .summary = "sends the metrics of all nodes of a launch",
    .counters = reporter_counters,
    .state_bytes = sizeof(struct reporter),
    .open = reporter_open,
    .step = reporter_step,
    .close = reporter_close,
};
