#include "nodes/worker/kept_state.h"

#include <stdio.h>
#include <string.h>

#include "engine/check.h"
#include "engine/topology_spec.h"
#include "nodes/node_types.h"
#include "nodes/worker/worker_config.h"

/* ---- the name ---- */

enum { NAME_BYTES = STORE_NAME_BYTES_MAX + 1 };

/* FUNCTION@INPUT,INPUT; false: too long. */
static bool describe(const struct worker_config *config, char *text)
{
    int length = snprintf(text, NAME_BYTES, "%s@", config->function);
    for (size_t i = 0; i < config->input_address.count && length < NAME_BYTES; i++)
        length += snprintf(text + length, (size_t)(NAME_BYTES - length), "%s%s", i > 0 ? "," : "",
                           config->input_address.items[i].text);
    return length < NAME_BYTES;
}

enum status worker_kept_state_name(const struct node *node, char *name, struct error *error)
{
    if (node->common->vuid != NULL) {
        snprintf(name, NAME_BYTES, "%s", node->vuid);
        return STATUS_OK;
    }
    char other[NAME_BYTES];
    unsigned ordinal = 1;
    bool fits = describe(node->config, name);
    const struct topology_spec *spec = node->spec;
    for (size_t i = 0; i < spec->node_count && spec->nodes[i].config != node->config && fits; i++)
        ordinal += spec->nodes[i].type == &worker_type && spec->nodes[i].common.vuid == NULL &&
                   describe(spec->nodes[i].config, other) && strcmp(other, name) == 0;
    const size_t length = fits ? strlen(name) : 0;
    if (!fits || snprintf(name + length, NAME_BYTES - length, "#%u", ordinal) >= (int)(NAME_BYTES - length))
        return error_set(error, STATUS_USAGE,
                         "its state cannot be named by its inputs, they are too long: give it a "
                         "--vuid");
    return STATUS_OK;
}

/* ---- the keeper ---- */

struct reading {
    millrace_pair_visit *visit;
    void *context;
};

static bool show(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    const struct reading *reading = context;
    return reading->visit(reading->context, key, key_length, value, value_length) == 0;
}

static enum status read_pairs(void *context, millrace_pair_visit *visit, void *visit_context, struct error *error)
{
    const struct worker_kept_state *kept = context;
    struct reading reading = {.visit = visit, .context = visit_context};
    return store_read_state(journal_store(kept->journal), kept->number, show, &reading, error);
}

static void put(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    const struct worker_kept_state *kept = context;
    journal_put(kept->journal, kept->number, key, key_length, value, value_length);
}

static void take_away(void *context, const void *key, size_t key_length)
{
    const struct worker_kept_state *kept = context;
    journal_delete(kept->journal, kept->number, key, key_length);
}

enum status worker_kept_state_open(struct worker_kept_state *kept, struct journal *journal, const char *name,
                                   struct worker_state_keeper *keeper, struct error *error)
{
    kept->journal = journal;
    *keeper = (struct worker_state_keeper){.read = read_pairs, .put = put, .remove = take_away, .context = kept};
    return journal_find_state(journal, name, &kept->number, error);
}
