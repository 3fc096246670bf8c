/*
 * leases.c: a worker that promises takes messages from queues elsewhere with leases. It owes each queue an
 * acknowledgement, which it gives, in the order in which it took the messages, when all that came of a message is where
 * it belongs: with a store, when the batch that has it is on the disk; without, when its receivers have taken it.
 */
#include <stdlib.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/store/journal.h"
#include "nodes/worker/worker_private.h"

/* ---- open and close ---- */

enum status worker_leases_open_input(struct worker *worker, struct worker_input *input, const struct address *address,
                                     struct error *error)
{
    const struct worker_config *config = worker->config;
    input->address = address;
    input->gives_back = true;
    enum status status = remote_lease_open(&input->lease, worker->node, address, config->delay_ns, config->lease_ns,
                                           config->message_bytes_max, error);
    if (status == STATUS_OK && worker->is_kept && config->guarantee == GUARANTEE_EXACTLY_ONCE)
        status = inbox_open(&input->inbox, worker->node, address->text, worker->stored_name, error);
    return status;
}

void worker_leases_open(struct worker *worker)
{
    struct worker_debts *debts = &worker->debts;
    for (size_t i = 0; i < worker->input_count; i++)
        debts->capacity += worker->inputs[i].lease != NULL ? REMOTE_LEASE_WINDOW : 0;
    debts->items = calloc(debts->capacity + 1, sizeof *debts->items);
    debts->marks = calloc(debts->capacity * worker->outlet_count + 1, sizeof *debts->marks);
    CHECK(debts->items != NULL && debts->marks != NULL);
}

void worker_leases_close(struct worker *worker)
{
    for (size_t i = 0; i < worker->input_count; i++) {
        remote_lease_close(&worker->inputs[i].lease);
        inbox_close(&worker->inputs[i].inbox);
    }
    free(worker->debts.items);
    free(worker->debts.marks);
    worker->debts = (struct worker_debts){0};
}

/* ---- taking ---- */

static void owe(struct worker *worker, struct worker_input *input, uint64_t number)
{
    struct worker_debts *debts = &worker->debts;
    CHECK(debts->count < debts->capacity); /* no queue gives more at a time */
    size_t place = (debts->first + debts->count++) % debts->capacity;
    debts->items[place] = (struct worker_debt){.input = input, .number = number};
    if (worker->is_kept) {
        debts->items[place].ticket = journal_ticket(worker->node->journal);
        journal_want_sync(worker->node->journal);
        return;
    }
    for (size_t i = 0; i < worker->outlet_count; i++)
        debts->marks[place * worker->outlet_count + i] = outlet_emitted_count(worker->outlets[i]);
}

bool worker_leases_take(struct worker *worker, struct worker_input *input, bool *applied)
{
    struct remote_lease_message message;
    int64_t now_ns = worker->call.time_ns;
    *applied = false;
    if (!remote_lease_take(input->lease, now_ns, &message))
        return false;
    if (input->inbox != NULL && inbox_has(input->inbox, message.name, message.name_length, now_ns)) {
        stats_count(worker->node->stats, WORKER_DONE_BEFORE);
        owe(worker, input, message.number);
        return true;
    }
    *applied = true;
    worker_apply(worker, input, message.text, message.length);
    const char *refusal = worker_take_refusal(worker);
    if (refusal != NULL) {
        remote_lease_refuse(input->lease, message.number, refusal);
        return true;
    }
    if (input->inbox != NULL)
        inbox_add(input->inbox, message.name, message.name_length, now_ns);
    owe(worker, input, message.number);
    return true;
}

/* ---- settling ---- */

static bool is_settled(const struct worker *worker, size_t place)
{
    const struct worker_debts *debts = &worker->debts;
    if (worker->is_kept)
        return journal_synced_ticket(worker->node->journal) >= debts->items[place].ticket;
    for (size_t i = 0; i < worker->outlet_count; i++)
        if (outlet_taken_count(worker->outlets[i]) < debts->marks[place * worker->outlet_count + i])
            return false;
    return true;
}

void worker_leases_settle(struct worker *worker)
{
    struct worker_debts *debts = &worker->debts;
    while (debts->count > 0 && is_settled(worker, debts->first)) {
        const struct worker_debt *debt = &debts->items[debts->first];
        remote_lease_acknowledge(debt->input->lease, debt->number);
        debts->first = (debts->first + 1) % debts->capacity;
        debts->count--;
    }
}

/* A queue that knows no leases is asked with GET from now on. Returns when to come back. */
static int64_t fall_back(struct worker *worker, struct worker_input *input, int64_t now_ns)
{
    struct error error = {0};
    if (remote_get_open(&input->remote, worker->node, input->address, worker->config->delay_ns,
                        worker->config->message_bytes_max, &error) != STATUS_OK) {
        log_line(worker->node->log, LOG_ERROR, "%s", error.text);
        remote_get_close(&input->remote);
        return now_ns + NS_PER_S;
    }
    remote_lease_close(&input->lease);
    input->gives_back = false;
    stats_count(worker->node->stats, WORKER_WITHOUT_LEASES);
    return now_ns;
}

int64_t worker_leases_step(struct worker *worker, struct worker_input *input, bool wanted, int64_t now_ns)
{
    int64_t when_ns = remote_lease_step(input->lease, wanted, now_ns);
    if (remote_lease_peer(input->lease) != REMOTE_LEASE_PROTOTYPE || worker->debts.count > 0)
        return when_ns;
    return fall_back(worker, input, now_ns);
}

bool worker_leases_are_due(const struct worker *worker, const struct worker_input *input, bool answers_awaited)
{
    if (remote_lease_arrived_count(input->lease) > 0 && !worker->held_up)
        return true;
    if (worker->debts.count > 0 && (worker->is_kept || !worker->held_up))
        return true;
    return answers_awaited &&
           (remote_lease_asked_count(input->lease) > 0 || remote_lease_unsettled_count(input->lease) > 0);
}
