/* refusal.c: what becomes of a message that the function refused. */
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/topology_spec.h"
#include "nodes/node_types.h"
#include "nodes/queue/dead_letter.h"
#include "nodes/queue/queue_config.h"
#include "nodes/worker/worker_private.h"

/* ---- the log ---- */

void worker_tell_unlogged(struct worker *worker)
{
    if (worker->error_count > WORKER_ERRORS_LOGGED_A_SECOND)
        log_line(worker->node->log, LOG_WARN, "%llu more errors like these",
                 (unsigned long long)(worker->error_count - WORKER_ERRORS_LOGGED_A_SECOND));
    worker->error_count = 0;
}

static void log_error(struct worker *worker, const void *text, uint32_t length)
{
    struct log *log = worker->node->log;
    if (worker->call.time_ns - worker->error_second_ns >= NS_PER_S) {
        worker_tell_unlogged(worker);
        worker->error_second_ns = worker->call.time_ns;
    }
    if (worker->error_count++ < WORKER_ERRORS_LOGGED_A_SECOND) {
        char quoted[200];
        log_line(log, LOG_ERROR, "%s: %s; message of %lu bytes: '%s'", worker->function->title, worker->call.why,
                 (unsigned long)length, log_quote(text, length, quoted, sizeof quoted));
    }
}

/* ---- a refused message ---- */

struct refused {
    const void *text;
    uint32_t length;
    uint64_t deliveries;
    int64_t first_wall_ns;
};

static void send_letter(struct worker *worker, const struct worker_input *input, const struct refused *refused)
{
    struct dead_letter letter = {.deliveries = refused->deliveries,
                                 .first_wall_ns = refused->first_wall_ns > 0 ? refused->first_wall_ns : 0,
                                 .last_wall_ns = clock_wall_ns(),
                                 .message_bytes = refused->length};
    const char *why = worker->call.why;
    const char *source = input->letter_of != NULL ? queue_letter_name(input->letter_of) : NULL;
    const void *text = refused->text;
    uint32_t length = refused->length;
    if (source != NULL) {
        dead_letter_set_text(letter.reason, sizeof letter.reason, why, strlen(why));
        dead_letter_set_text(letter.source, sizeof letter.source, source, strlen(source));
        if (dead_letter_write(&worker->letter, &letter, text)) { /* else it is too long with its head */
            text = worker->letter.data;
            length = (uint32_t)worker->letter.length;
        }
    }
    outlet_emit(input->dead_letter, text, length, worker->call.time_ns);
    worker->letter_count++;
}

static void give_up(struct worker *worker, const struct worker_input *input, const struct refused *refused)
{
    log_error(worker, refused->text, refused->length);
    if (input->dead_letter != NULL)
        send_letter(worker, input, refused);
    else
        node_drop(worker->node, WORKER_FUNCTION_ERRORS, 1);
}

void worker_refuse(struct worker *worker, const struct worker_input *input, const void *text, uint32_t length)
{
    struct refused refused = {.text = text, .length = length, .deliveries = 1, .first_wall_ns = clock_wall_ns()};
    if (input->gives_back && !worker->call.changed) {
        worker->gave_back = true;
        log_error(worker, text, length);
        stats_count(worker->node->stats, WORKER_GIVEN_BACK);
        return;
    }
    while (!worker->call.changed && refused.deliveries < input->deliveries_max) {
        refused.deliveries++;
        stats_count(worker->node->stats, WORKER_RETRIED);
        if (worker_call(worker, text, length))
            return;
    }
    give_up(worker, input, &refused);
}

const char *worker_take_refusal(struct worker *worker)
{
    bool gave_back = worker->gave_back;
    worker->gave_back = false;
    return gave_back ? worker->call.why : NULL;
}

/* ---- before the start ---- */

/* The queue of this launch that this address reaches by a ring. */
static const struct node_spec *queue_at(const struct topology_spec *spec, const struct address *address)
{
    for (size_t i = 0; i < spec->node_count && spec->launch.join == JOIN_RINGS; i++) {
        const struct node_spec *node = &spec->nodes[i];
        if (node->type != &queue_type)
            continue;
        const struct queue_config *queue = node->config;
        for (size_t j = 0; j < queue->address.count; j++)
            if (address_reaches(address, &queue->address.items[j]))
                return node;
    }
    return NULL;
}

static bool has_address(const struct address_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].text, text) == 0)
            return true;
    return false;
}

enum status worker_complete(struct node_spec *node, const struct topology_spec *spec, struct error *error)
{
    struct worker_config *config = node->config;
    if (config->guarantee == GUARANTEE_AT_MOST_ONCE || config->dead_letter.count > 0)
        return STATUS_OK;
    static const char flag[] = "dead-letter";
    const struct option *option = options_find(node->type->options, flag, strlen(flag));
    CHECK(option != NULL);
    enum status status = STATUS_OK;
    config->letters_of_queues = true;
    for (size_t i = 0; i < config->input_address.count && status == STATUS_OK; i++) {
        const struct node_spec *found = queue_at(spec, &config->input_address.items[i]);
        const struct queue_config *queue = found != NULL ? found->config : NULL;
        if (queue != NULL && queue->dead_letter.count > 0 &&
            !has_address(&config->dead_letter, queue->dead_letter.items[0].text))
            status = options_set(option, config, queue->dead_letter.items[0].text, false, error);
    }
    return status;
}

static struct outlet *letter_outlet(const struct worker *worker, const struct queue_config *queue)
{
    const struct address_list *list = &worker->config->dead_letter;
    for (size_t i = 0; i < list->count && queue->dead_letter.count > 0; i++)
        if (strcmp(list->items[i].text, queue->dead_letter.items[0].text) == 0)
            return worker->outlets[worker->output_count + i];
    return NULL;
}

void worker_join_refusals(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    bool promises = config->guarantee != GUARANTEE_AT_MOST_ONCE;
    for (size_t i = 0; i < worker->input_count; i++) {
        struct worker_input *input = &worker->inputs[i];
        const struct node *peer = input->edge != NULL ? worker->node->inputs[i].peer : NULL;
        const struct queue_config *queue = peer != NULL && peer->type == &queue_type ? peer->config : NULL;
        input->deliveries_max = !promises ? 1 : queue != NULL ? queue->deliveries_max : WORKER_DELIVERIES_MAX;
        if (!config->letters_of_queues && config->dead_letter.count > 0) {
            input->dead_letter = worker->outlets[worker->output_count];
        } else if (config->letters_of_queues && queue != NULL) {
            input->dead_letter = letter_outlet(worker, queue);
            input->letter_of = input->dead_letter != NULL ? peer : NULL;
        }
    }
}
