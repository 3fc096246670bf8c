"""Ways to break the product on purpose, and the test that must notice each.

`old` stands in the file exactly once and becomes `new`. A test is a C program (unit.NAME) or a script (scenario.NAME,
and perhaps arguments: the cases to run).
"""

import collections

Mutation = collections.namedtuple("Mutation", "name file old new test")

MUTATIONS = [
    # ---- leases ----
    Mutation("a lease that comes back goes behind those that came back before", "nodes/queue/leases.c",
             "sequence_heap_add(&leases->returned, 0, &lease->member);",
             "sequence_heap_add(&leases->returned, (int64_t)leases->counts[place], &lease->member);",
             "unit.leases"),
    Mutation("an old lease is taken for the one that is out", "nodes/queue/leases.c",
             "    if (read.deliveries < found->deliveries)\n        return LEASE_FIND_STALE;",
             "", "unit.leases"),
    Mutation("a lease of an earlier life is taken for one of this", "nodes/queue/leases.c",
             " || read.epoch != leases->epoch", "", "unit.leases"),
    Mutation("a repeated ACK is not known", "nodes/queue/leases.c",
             "    if (how != LEASE_END_TAKEN)\n        remember", "    if (how == LEASE_END_GIVEN_UP)\n        remember",
             "unit.leases"),
    Mutation("a lease ends a tick late", "nodes/queue/leases.c",
             "first != NULL && deadline_ns <= now_ns", "first != NULL && deadline_ns < now_ns", "unit.leases"),
    Mutation("of two dead letters that wait the first is lost", "nodes/queue/leases.c",
             "        leases->given_up_first = lease->next;", "        leases->given_up_first = NULL;", "unit.leases"),
    # ---- ids ----
    Mutation("an id is forgotten before its time", "nodes/queue/recent_ids.c",
             "if (++ids->count > ids->count_max)", "if (++ids->count >= ids->count_max)", "unit.recent_ids"),
    Mutation("ids of one length are one id", "nodes/queue/recent_ids.c",
             "    uint64_t hash = siphash(ids->hash_key, id, length);\n    const struct record *record = *bucket_of(ids, hash);\n"
             "    while (record != NULL && (record->hash != hash || record->length != length || "
             "memcmp(record->id, id, length) != 0))",
             "    uint64_t hash = siphash(ids->hash_key, id, length);\n    const struct record *record = *bucket_of(ids, hash);\n"
             "    while (record != NULL && record->length != length)", "unit.recent_ids"),
    Mutation("an id that is too old still counts", "nodes/queue/recent_ids.c",
             "record == NULL || is_old(ids, record, now_ns)", "record == NULL", "unit.recent_ids"),
    # ---- what was dispatched ----
    Mutation("more is settled than was released", "nodes/queue/sequence_ranges.c",
             "    range->first += count;\n    range->count -= count;\n    ranges->count -= count;\n"
             "    if (range->count == 0) {",
             "    range->first += count;\n    range->count -= count;\n    ranges->count -= count;\n    {",
             "unit.sequence_ranges"),
    # ---- the store ----
    Mutation("the watermark is off by one", "engine/store_settle.c",
             "row->counts.settled_below = settling->whole.end;",
             "row->counts.settled_below = settling->whole.end - 1;", "unit.store"),
    Mutation("recovery skips the last chunk", "engine/store_queue.c",
             "    store_bind(*statement, 2, store_row_id(queue, STORE_SEQUENCE_MAX));",
             "    store_bind(*statement, 2, store_row_id(queue, store_queue_row(store, queue)->counts.next_sequence - 2));",
             "unit.store"),
    Mutation("what is missing at the end is not missed", "engine/store_queue.c",
             "    if (status == STATUS_OK && !reading->is_stopped && "
             "reading->position < reading->row->counts.next_sequence)\n        status = lost",
             "    if (false)\n        status = lost", "unit.store_corrupt"),
    Mutation("a flipped byte of a message is served", "engine/store_queue.c",
             "store_column(statement, 3) != hash_chunk(queue, chunk) || ", "", "unit.store_corrupt"),
    Mutation("what is settled out of order comes back", "engine/store_queue.c",
             "    if (status == STATUS_OK && found && range.end > *unsettled)\n        *unsettled = range.end;", "",
             "unit.store"),
    Mutation("a younger id goes instead of the oldest", "engine/store_ids.c",
             "            store_bind(statement, 1, store_row_id(queue, first));",
             "            store_bind(statement, 1, store_row_id(queue, first + 1));", "unit.store"),
    Mutation("a lost pair of the state is not missed", "engine/store_state.c",
             "(count != row->pair_count || sum != row->pair_sum)", "(false)", "unit.store_corrupt"),
    # ---- a worker's ledger, and what its function refuses ----
    Mutation("what a refused message emitted is not in the ledger", "nodes/worker_call.c",
             "        worker->multiplied_count += results;", "", "unit.worker_call"),
    Mutation("a result without an output is none", "nodes/worker_call.c",
             "    return worker->emitted_count + worker->no_output_count;", "    return worker->emitted_count;",
             "unit.worker_call"),
    Mutation("a call that emitted before it failed is made again", "nodes/worker_call.c",
             "        worker->call.changed |= results > 0;", "", "unit.worker_call"),
    Mutation("a call that changed the state before it failed is made again", "nodes/worker_call.c",
             "        call->changed = true;", "", "unit.worker_call"),
    Mutation("a message is tried once more than it may be", "nodes/worker_refusal.c",
             "refused.deliveries < input->deliveries_max", "refused.deliveries <= input->deliveries_max", "unit.worker_call"),
    Mutation("a worker that promises nothing tries again", "nodes/worker_refusal.c",
             "input->deliveries_max = !promises ? 1 :", "input->deliveries_max =", "unit.worker_call"),
    Mutation("a queue's dead letter has no story", "nodes/worker_refusal.c",
             "            input->letter_of = input->dead_letter != NULL ? peer : NULL;", "", "unit.worker_call"),
    Mutation("all dead letters go to the first queue's", "nodes/worker_refusal.c",
             "            return worker->outlets[worker->output_count + i];",
             "            return worker->outlets[worker->output_count];", "unit.worker_call"),
    Mutation("a kept queue's dead letter is only on its way", "nodes/queue/queue.c",
             "    bool boxed = node->journal != NULL &&", "    bool boxed = false && node->journal != NULL &&",
             "scenario.queue_durable -k dead_letter"),
    # ---- state ----
    Mutation("a change of the state is not kept", "nodes/worker_state.c",
             "        keeper->put(keeper->context, pair->key, key_length, value_of(pair), value_length);", "        (void)pair;",
             "unit.worker_state"),
    Mutation("what the state forgets is kept", "nodes/worker_state.c",
             "        keeper->remove(keeper->context, key, key_length); /* first: the key may be the pair's own */",
             "        (void)keeper;", "unit.worker_state"),
    Mutation("a symbol's stop is forgotten by a restart", "nodes/functions/market_state.c",
             "const char value = stopped ? 1 : 0;", "const char value = 0;", "unit.market_state"),
    # ---- the whole, under kill -9 ----
    Mutation("a PUT is acknowledged before it is on the disk", "nodes/queue/kept.c",
             "    return journal_synced_ticket(queue->kept.journal) >= ticket;", "    return ticket > 0;",
             "scenario.crash -f CrashTest"),
    Mutation("an id is not kept", "nodes/queue/kept.c",
             "    journal_remember_id(kept->journal, kept->queue, id, id_length, message_bytes);", "    (void)id_length;"
             " (void)message_bytes;", "scenario.crash -f CrashTest"),
    Mutation("the state is not in the batch", "nodes/worker_kept_state.c",
             "    journal_put(kept->journal, kept->number, key, key_length, value, value_length);",
             "    (void)kept; (void)key; (void)key_length; (void)value; (void)value_length;", "scenario.crash -f CrashTest"),
    Mutation("inputs are settled before the worker released them", "nodes/queue/kept.c",
             "    uint64_t left = released - kept->handed_released[target];\n"
             "    kept->handed_released[target] = released;",
             "    uint64_t left = kept->handed[target].count;\n    (void)released;", "unit.queue_handed"),
    Mutation("an acknowledged lease is not settled", "nodes/queue/kept.c",
             "    if (queue->kept.persists && count > 0)", "    if (queue->kept.persists && count > 1)",
             "scenario.crash -f CrashTest"),
    Mutation("a cut does not wait for what is between the nodes", "nodes/worker_durable.c",
             "edge_in_flight(node->outputs[i].edge) > 0)\n            return false;",
             "edge_in_flight(node->outputs[i].edge) > 0)\n            return true;", "scenario.crash -f CrashTest"),
    Mutation("what was handed to a worker is not in the ledger", "nodes/queue/contents.c",
             "place_count(queue, LEASE_GIVEN_UP) + queue->kept.handed_count;", "place_count(queue, LEASE_GIVEN_UP);",
             "scenario.crash -f CrashTest"),
]
