#include "nodes/queue/queue_config.h"

#include "engine/guarantee.h"

const char *queue_stored_name(const struct node *queue)
{
    const struct queue_config *config = queue->config;
    for (size_t i = 0; i < config->address.count; i++)
        if (config->address.items[i].scheme == ADDRESS_NAME)
            return config->address.items[i].text;
    return queue->common->vuid != NULL ? queue->vuid : config->address.items[0].text;
}

const char *queue_letter_name(const struct node *queue)
{
    const struct queue_config *config = queue->config;
    bool is_kept = queue->journal != NULL && config->durability != DURABILITY_MEMORY;
    return is_kept ? queue_stored_name(queue) : config->address.items[0].text;
}
