/*
 * The feeder: lines of files, one of each file in turn, stamped with the time and put to a queue.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/node.h"
#include "nodes/feed_stamp.h"
#include "nodes/line_reader.h"
#include "nodes/links/outlet.h"
#include "nodes/node_types.h"

struct feeder_config {
    struct address_list address;
    struct text_list path;
    int64_t delay_ns;
    uint64_t rate;
    uint64_t line_bytes_max;
    bool raw;
};

#define FEEDER(member) offsetof(struct feeder_config, member)

static const struct option feeder_options[] = {
    {"address", OPTION_ADDRESSES, FEEDER(address), "127.0.0.1:10000", .value_name = "ADDRESS",
     .help = "the queue to feed; of several, each gets every message", .role = ROLE_OUTPUT},
    {"path", OPTION_TEXTS, FEEDER(path), .value_name = "FILE", .help = "a file of messages, one a line",
     .required = true},
    {"delay", OPTION_SECONDS, FEEDER(delay_ns), "0", 0, 3600, .value_name = "SECONDS",
     .help = "wait after each message"},
    {"rate", OPTION_COUNT, FEEDER(rate), "0", 0, 1e9, .value_name = "COUNT",
     .help = "messages a second, evenly; 0: as fast as the queue takes them"},
    {"raw", OPTION_FLAG, FEEDER(raw), .help = "send each line as it stands: no quotes, no time of feeding"},
    {"max-message", OPTION_BYTES, FEEDER(line_bytes_max), "16M", 1, 1 << 29, .value_name = "BYTES",
     .help = "longer lines are left out, and counted"},
    {0},
};

enum feeder_counter {
    COUNTER_BLANK,
    COUNTER_TOO_LONG,
    COUNTER_READ_ERRORS,
    COUNTER_LOST,
    COUNTER_UNCONFIRMED,
    COUNTER_RESENT
};

static const struct counter feeder_counters[] = {
    [COUNTER_BLANK] = {"blank_lines", "lines with nothing in them", false},
    [COUNTER_TOO_LONG] = {"too_long", "lines above --max-message", false},
    [COUNTER_READ_ERRORS] = {"read_errors", "files that could not be read to their end", false},
    [COUNTER_LOST] = {"lost", "messages that the queue certainly did not take", true},
    [COUNTER_UNCONFIRMED] = {"unconfirmed", "PUTs that were not answered", false},
    [COUNTER_RESENT] = {"resent", "PUTs that found the queue full and went again", false},
    {0},
};

struct feeder {
    struct node *node;
    const struct feeder_config *config;
    struct line_reader **readers; /* those of files at their end are NULL */
    size_t reader_count;
    size_t open_count;
    size_t next_reader;
    uint64_t too_long_count; /* of those at their end */
    struct outlet **outlets;
    size_t outlet_count;
    struct edge *edge;      /* of the one outlet, if there is one and it is a ring */
    uint64_t emitted_count; /* to all of them */
    char *message;          /* the line as it goes out */
    size_t message_capacity;
    int64_t wall_ns; /* of the messages that are being fed */
    int64_t start_ns;
    int64_t next_ns;     /* when the next message is due, with --delay or --rate */
    bool awaits_writer;  /* the file whose turn it is has nothing now */
    size_t passed_count; /* what this step read and did not feed: blank lines, pieces of long ones */
    int64_t stop_ns;     /* when the stop was first seen; 0: not yet */
    bool outputs_ended;
};

static const int64_t writer_look_ns = 10 * NS_PER_MS; /* how often to look for what a pipe may bring */
/* At a stop: how long the queue has to answer. */
static const int64_t last_answer_ns = 500 * NS_PER_MS;
enum { STEP_MESSAGE_MAX = 256, CLOCK_GROUP = 16, STAMP_BYTES_MAX = 1 + FEED_STAMP_BYTES };
enum { PASSED_COUNT_MAX = 16384 }; /* lines a step: a stop must not wait for a file of nothing */
enum { SOH = '\x01' };

/* ---- one line ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f'); /* what Python's strip() takes */
}

static void strip(const char **text, size_t *length, bool (*is_stripped)(char))
{
    while (*length > 0 && is_stripped((*text)[0])) {
        (*text)++;
        (*length)--;
    }
    while (*length > 0 && is_stripped((*text)[*length - 1]))
        (*length)--;
}

static bool is_quote(char c)
{
    return c == '"';
}

static bool is_soh(char c)
{
    return c == SOH;
}

/* The line as it goes out: quotes and SOHs off, the feed time on, quotes on. Writes at most STAMP_BYTES_MAX more than
 * `length` bytes; returns how many. */
static size_t write_stamped(char *out, const char *line, size_t length, int64_t wall_ns)
{
    const char *start = out;
    strip(&line, &length, is_quote);
    strip(&line, &length, is_soh);
    *out++ = '"';
    memcpy(out, line, length);
    out += length;
    out += feed_stamp(out, wall_ns);
    return (size_t)(out - start);
}

static char *buffer_of(struct feeder *feeder, size_t bytes)
{
    if (feeder->message_capacity < bytes) {
        feeder->message_capacity = 2 * bytes;
        free(feeder->message);
        feeder->message = malloc(feeder->message_capacity);
        CHECK(feeder->message != NULL);
    }
    return feeder->message;
}

/* When it is fed. At full speed the clock is read once for a group of messages: they are nearer to each other than a
 * stamp's last digit, a microsecond, can tell. */
static int64_t feed_time_ns(struct feeder *feeder, size_t fed)
{
    bool full_speed = feeder->config->rate == 0 && feeder->config->delay_ns == 0;
    if (!full_speed || fed % CLOCK_GROUP == 0)
        feeder->wall_ns = clock_wall_ns();
    return feeder->wall_ns;
}

static void emit(struct feeder *feeder, const char *line, size_t length, int64_t now_ns)
{
    for (size_t i = 0; i < feeder->outlet_count; i++)
        outlet_emit(feeder->outlets[i], line, (uint32_t)length, now_ns);
}

static void emit_stamped(struct feeder *feeder, const char *line, size_t length, int64_t wall_ns, int64_t now_ns)
{
    size_t bytes_max = length + STAMP_BYTES_MAX;
    if (feeder->edge != NULL) { /* into the queue's ring, without a copy in between */
        struct message *message = edge_reserve(feeder->edge, (uint32_t)bytes_max);
        length = write_stamped((char *)message->text, line, length, wall_ns);
        edge_commit(feeder->edge, message, (uint32_t)length, now_ns);
        return;
    }
    char *buffer = buffer_of(feeder, bytes_max);
    emit(feeder, buffer, write_stamped(buffer, line, length, wall_ns), now_ns);
}

/* ---- reading in turn ---- */

static void close_reader(struct feeder *feeder, size_t index)
{
    feeder->too_long_count += line_reader_too_long_count(feeder->readers[index]);
    line_reader_close(&feeder->readers[index]);
    feeder->open_count--;
}

/* The next line that is not blank, of the file whose turn it is. False: it has nothing now (a pipe), the step has
 * passed over enough, or all files are at their end. */
static bool next_line(struct feeder *feeder, const char **line, size_t *length)
{
    struct node_stats *stats = feeder->node->stats;
    while (feeder->open_count > 0) {
        size_t index = feeder->next_reader;
        struct line_reader *reader = feeder->readers[index];
        if (reader != NULL) {
            struct error error; /* not cleared for each line: that would cost more than to find it */
            enum status status = line_reader_next(reader, line, length, &error);
            if (status == STATUS_AGAIN) {
                feeder->passed_count += *length;
                feeder->awaits_writer = *length == 0;
                return false;
            }
            if (status == STATUS_OK) {
                const char *text = *line;
                size_t text_length = *length;
                strip(&text, &text_length, is_blank);
                if (text_length == 0) {
                    stats_count(stats, COUNTER_BLANK);
                    if (++feeder->passed_count == PASSED_COUNT_MAX)
                        return false;
                    continue; /* the same file's next line has the turn */
                }
                if (!feeder->config->raw) {
                    *line = text;
                    *length = text_length;
                }
            } else {
                if (status != STATUS_CLOSED) {
                    stats_count(stats, COUNTER_READ_ERRORS);
                    log_line(feeder->node->log, LOG_ERROR, "%s", error.text);
                }
                close_reader(feeder, index);
                reader = NULL;
            }
        }
        feeder->next_reader = index + 1 < feeder->reader_count ? index + 1 : 0;
        if (reader != NULL)
            return true;
    }
    return false;
}

/* ---- pace ---- */

static bool is_due(const struct feeder *feeder, int64_t now_ns)
{
    return now_ns >= feeder->next_ns;
}

static void schedule_next(struct feeder *feeder, int64_t now_ns)
{
    const struct feeder_config *config = feeder->config;
    if (config->rate > 0) /* by the count, so that the mean rate is exact */
        feeder->next_ns = feeder->start_ns + (int64_t)((double)(stats_get(&feeder->node->stats->in_count)) *
                                                       (double)NS_PER_S / (double)config->rate);
    if (config->delay_ns > 0 && feeder->next_ns < now_ns + config->delay_ns)
        feeder->next_ns = now_ns + config->delay_ns;
}

static bool outputs_have_room(const struct feeder *feeder)
{
    for (size_t i = 0; i < feeder->outlet_count; i++)
        if (!outlet_has_room(feeder->outlets[i]))
            return false;
    return true;
}

static size_t feed(struct feeder *feeder, int64_t now_ns)
{
    struct node_stats *stats = feeder->node->stats;
    size_t fed = 0;
    const char *line;
    size_t length;
    while (fed < STEP_MESSAGE_MAX && is_due(feeder, now_ns) && outputs_have_room(feeder) &&
           next_line(feeder, &line, &length)) {
        if (feeder->config->raw)
            emit(feeder, line, length, now_ns);
        else
            emit_stamped(feeder, line, length, feed_time_ns(feeder, fed), now_ns);
        stats_add(&stats->in_count, 1);
        feeder->emitted_count += feeder->outlet_count;
        schedule_next(feeder, now_ns);
        fed++;
    }
    return fed;
}

/* ---- the end ---- */

static void tell_end(struct feeder *feeder)
{
    struct node *node = feeder->node;
    if (node->note[0] != '\0')
        return;
    double seconds = (double)(clock_monotonic_ns() - feeder->start_ns) / (double)NS_PER_S;
    uint64_t count = stats_get(&node->stats->in_count);
    if (seconds < 1e-6)
        seconds = 1e-6; /* nothing to feed */
    snprintf(node->note, sizeof node->note, "fed %llu messages in %.6f s, %.0f a second", (unsigned long long)count,
             seconds, (double)count / seconds);
    log_line(node->log, LOG_INFO, "%s", node->note);
}

static uint64_t show_counts(struct feeder *feeder)
{
    struct node_stats *stats = feeder->node->stats;
    struct outlet_counts sum = outlets_counts(feeder->outlets, feeder->outlet_count);
    uint64_t too_long_count = feeder->too_long_count;
    for (size_t i = 0; i < feeder->reader_count; i++)
        too_long_count += feeder->readers[i] != NULL ? line_reader_too_long_count(feeder->readers[i]) : 0;
    stats_set(&stats->counters[COUNTER_TOO_LONG], too_long_count);
    outlets_show_out(feeder->outlets, feeder->outlet_count, feeder->emitted_count, stats);
    stats_set(&stats->queued_count, sum.held_count);
    node_show_drops(feeder->node, COUNTER_LOST, sum.lost_count);
    stats_set(&stats->counters[COUNTER_UNCONFIRMED], sum.unconfirmed_count);
    stats_set(&stats->counters[COUNTER_RESENT], sum.resent_count);
    return sum.held_count;
}

/* It was read, and nobody has it. */
static void leave_over(struct feeder *feeder, uint64_t count)
{
    feeder->node->left_over_count = count;
    log_line(feeder->node->log, LOG_WARN, "%llu messages that were read have not been taken by a queue",
             (unsigned long long)count);
}

static void end_step(struct feeder *feeder, enum stop_phase phase, uint64_t held, int64_t now_ns)
{
    struct node *node = feeder->node;
    tell_end(feeder);
    if (phase == STOP_ABANDON) {
        node->done = true;
        return;
    }
    if (!feeder->outputs_ended)
        feeder->outputs_ended = node_end_outputs(node);
    if (phase != STOP_NOT && feeder->stop_ns == 0)
        feeder->stop_ns = now_ns;
    /* What a full or absent queue has not taken a while after the stop was not fed; it stays counted as queued. */
    bool waits = held > 0 && (phase == STOP_NOT || now_ns - feeder->stop_ns < last_answer_ns);
    if (waits && phase != STOP_NOT && node->deadline_ns > feeder->stop_ns + last_answer_ns)
        node->deadline_ns = feeder->stop_ns + last_answer_ns;
    node->done = feeder->outputs_ended && !waits;
    if (node->done && held > 0)
        leave_over(feeder, held);
}

/* ---- callbacks ---- */

static enum status feeder_open(struct node *node, struct error *error)
{
    struct feeder *feeder = node->state;
    feeder->node = node;
    feeder->config = node->config;
    feeder->reader_count = feeder->config->path.count;
    feeder->readers = calloc(feeder->reader_count + 1, sizeof(struct line_reader *));
    feeder->outlets = calloc(node->output_count + 1, sizeof(struct outlet *));
    CHECK(feeder->readers != NULL && feeder->outlets != NULL);
    for (size_t i = 0; i < feeder->reader_count; i++) {
        enum status status =
            line_reader_open(&feeder->readers[i], feeder->config->path.items[i], feeder->config->line_bytes_max, error);
        if (status != STATUS_OK) {
            error_prefix(error, "--path");
            return status;
        }
        feeder->open_count++;
    }
    for (size_t i = 0; i < node->output_count; i++) {
        feeder->outlet_count = i + 1;
        enum status status = outlet_open(&feeder->outlets[i], node, &node->outputs[i], NULL, error);
        if (status != STATUS_OK)
            return status;
    }
    if (feeder->outlet_count == 1)
        feeder->edge = outlet_edge(feeder->outlets[0]);
    return STATUS_OK;
}

static size_t feeder_step(struct node *node, int64_t now_ns)
{
    struct feeder *feeder = node->state;
    enum stop_phase phase = node_stop_phase(node);
    if (feeder->start_ns == 0)
        feeder->start_ns = feeder->next_ns = now_ns;
    feeder->awaits_writer = false;
    feeder->passed_count = 0;
    size_t fed = phase == STOP_NOT ? feed(feeder, now_ns) : 0;
    node->deadline_ns = feeder->next_ns > now_ns && phase == STOP_NOT ? feeder->next_ns : CLOCK_NEVER_NS;
    if (feeder->awaits_writer)
        node->deadline_ns = now_ns + writer_look_ns;
    for (size_t i = 0; i < feeder->outlet_count; i++) {
        int64_t output_ns = outlet_flush(feeder->outlets[i], now_ns);
        node->deadline_ns = output_ns < node->deadline_ns ? output_ns : node->deadline_ns;
    }
    uint64_t held = show_counts(feeder);
    if (phase != STOP_NOT || feeder->open_count == 0)
        end_step(feeder, phase, held, now_ns);
    return fed + feeder->passed_count;
}

static void feeder_close(struct node *node)
{
    struct feeder *feeder = node->state;
    for (size_t i = 0; i < feeder->reader_count && feeder->readers != NULL; i++)
        line_reader_close(&feeder->readers[i]);
    for (size_t i = 0; i < feeder->outlet_count; i++)
        outlet_close(&feeder->outlets[i]);
    free(feeder->readers);
    free(feeder->outlets);
    free(feeder->message);
}

const struct node_type feeder_type = {
    .name = "feeder",
    .title = "Feeder",
    .summary = "puts the lines of files to a queue, one of each file in turn, stamped with the time",
    .options = feeder_options,
    .config_bytes = sizeof(struct feeder_config),
    .counters = feeder_counters,
    .state_bytes = sizeof(struct feeder),
    .is_source = true,
    .may_block = true,
    .open = feeder_open,
    .step = feeder_step,
    .close = feeder_close,
};
