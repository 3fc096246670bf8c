/*
 * The tree is the red-black tree of <bsd/sys/tree.h> (Niels Provos's, of all BSDs): it is ordered, needs no memory of
 * its own, and no order of keys from outside makes it deep.
 */
#include "nodes/worker/keyed_state.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/check.h"
#include "nodes/hash/siphash.h"

#define STATE_MAGIC UINT32_C(0x77737461)

enum { NEAR_BITS = 10, MALLOC_BYTES = 8 };

struct pair {
    RB_ENTRY(pair) link;
    const unsigned char *key; /* behind the struct, but for a key that is looked for */
    uint32_t value_length;
    uint32_t value_capacity;
    uint16_t key_length;
};

RB_HEAD(pair_tree, pair);

struct worker_state {
    uint32_t magic;
    struct worker_state_settings settings;
    struct pair_tree tree;
    uint64_t count;
    uint64_t memory_bytes;
    uint64_t change_count; /* of the tree's shape: a walk must find its place again */
    uint64_t hash_key[2];
    struct pair *near[1 << NEAR_BITS]; /* asked for last; by hash */
};

static int compare(const struct pair *a, const struct pair *b)
{
    const size_t shorter = a->key_length < b->key_length ? a->key_length : b->key_length;
    const int order = memcmp(a->key, b->key, shorter);
    return order != 0 ? order : (a->key_length > b->key_length) - (a->key_length < b->key_length);
}

/* As RB_GENERATE_STATIC, which needs a word that only the BSDs define. */
RB_GENERATE_INTERNAL(pair_tree, pair, link, compare, __attribute__((unused)) static)

static unsigned char *value_of(const struct pair *pair)
{
    return (unsigned char *)(pair + 1) + pair->key_length;
}

static uint64_t bytes_of(const struct pair *pair)
{
    return sizeof *pair + MALLOC_BYTES + pair->key_length + pair->value_capacity;
}

static bool key_fits(size_t key_length)
{
    return key_length >= 1 && key_length <= MILLRACE_STATE_KEY_BYTES_MAX;
}

/* ---- finding ---- */

static struct pair **near_place(struct worker_state *state, const void *key, size_t key_length)
{
    return &state->near[siphash(state->hash_key, key, key_length) >> (64 - NEAR_BITS)];
}

static struct pair *find(struct worker_state *state, const void *key, size_t key_length)
{
    if (!key_fits(key_length))
        return NULL;
    struct pair **place = near_place(state, key, key_length);
    const struct pair *near = *place;
    if (near != NULL && near->key_length == key_length && memcmp(near->key, key, key_length) == 0)
        return *place;
    struct pair wanted = {.key = key, .key_length = (uint16_t)key_length};
    struct pair *found = RB_FIND(pair_tree, &state->tree, &wanted);
    if (found != NULL)
        *place = found;
    return found;
}

/* The first pair whose key is not before this one, which may be empty. */
static struct pair *find_from(struct worker_state *state, const void *key, size_t key_length)
{
    struct pair wanted = {.key = key, .key_length = (uint16_t)key_length};
    return key_length > 0 ? RB_NFIND(pair_tree, &state->tree, &wanted) : RB_MIN(pair_tree, &state->tree);
}

bool worker_state_get(struct worker_state *state, const void *key, size_t key_length, const void **value,
                      size_t *value_length)
{
    CHECK_MAGIC(state, STATE_MAGIC);
    CHECK(!state->settings.loads);
    const struct pair *pair = find(state, key, key_length);
    if (pair == NULL)
        return false;
    *value = value_of(pair);
    *value_length = pair->value_length;
    return true;
}

/* ---- changing ---- */

static void drop_pair(struct worker_state *state, struct pair *pair)
{
    struct pair **place = near_place(state, pair->key, pair->key_length);
    if (*place == pair)
        *place = NULL;
    RB_REMOVE(pair_tree, &state->tree, pair);
    state->memory_bytes -= bytes_of(pair);
    state->count--;
    state->change_count++;
    free(pair);
}

static struct pair *make_pair(const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct pair *pair = malloc(sizeof *pair + key_length + value_length);
    if (pair == NULL)
        return NULL;
    unsigned char *bytes = (unsigned char *)(pair + 1);
    memcpy(bytes, key, key_length);
    if (value_length > 0)
        memcpy(bytes + key_length, value, value_length);
    *pair = (struct pair){.key = bytes,
                          .key_length = (uint16_t)key_length,
                          .value_length = (uint32_t)value_length,
                          .value_capacity = (uint32_t)value_length};
    return pair;
}

/* Adds a pair, instead of the one that its key has now (NULL: none), which may be where key and value are. */
static enum status replace(struct worker_state *state, struct pair *old, const void *key, size_t key_length,
                           const void *value, size_t value_length, const struct pair **held, struct error *error)
{
    const uint64_t old_bytes = old != NULL ? bytes_of(old) : 0;
    const uint64_t new_bytes = sizeof *old + MALLOC_BYTES + key_length + value_length;
    if (state->memory_bytes - old_bytes + new_bytes > state->settings.memory_bytes_max)
        return error_set(error, STATUS_SYSTEM, "the state is at its limit of %llu bytes (--max-state)",
                         (unsigned long long)state->settings.memory_bytes_max);
    struct pair *pair = make_pair(key, key_length, value, value_length);
    if (pair == NULL)
        return error_set(error, STATUS_SYSTEM, "no memory for a pair of the state");
    if (old != NULL)
        drop_pair(state, old);
    CHECK(RB_INSERT(pair_tree, &state->tree, pair) == NULL);
    state->memory_bytes += new_bytes;
    state->count++;
    state->change_count++;
    *held = pair;
    return STATUS_OK;
}

static enum status hold(struct worker_state *state, const void *key, size_t key_length, const void *value,
                        size_t value_length, const struct pair **held, struct error *error)
{
    struct pair *pair = find(state, key, key_length);
    if (pair == NULL || pair->value_capacity < value_length)
        return replace(state, pair, key, key_length, value, value_length, held, error);
    if (value_length > 0)
        memmove(value_of(pair), value, value_length); /* the value may be this very one, or a part of it */
    pair->value_length = (uint32_t)value_length;
    *held = pair;
    return STATUS_OK;
}

enum status worker_state_put(struct worker_state *state, const void *key, size_t key_length, const void *value,
                             size_t value_length, struct error *error)
{
    CHECK_MAGIC(state, STATE_MAGIC);
    if (!key_fits(key_length))
        return error_set(error, STATUS_INPUT, "a key of the state has %zu bytes; it must have 1 to %d", key_length,
                         MILLRACE_STATE_KEY_BYTES_MAX);
    if (value_length > MILLRACE_STATE_VALUE_BYTES_MAX)
        return error_set(error, STATUS_INPUT, "a value of the state has %zu bytes, more than %d", value_length,
                         MILLRACE_STATE_VALUE_BYTES_MAX);
    const struct worker_state_keeper *keeper = state->settings.keeper;
    if (!state->settings.loads) {
        /* The keeper gets the pair as it is now held: the caller's bytes may have been the old pair's. */
        const struct pair *pair;
        enum status status = hold(state, key, key_length, value, value_length, &pair, error);
        if (status != STATUS_OK || keeper == NULL)
            return status;
        keeper->put(keeper->context, pair->key, key_length, value_of(pair), value_length);
    } else if (keeper != NULL) {
        keeper->put(keeper->context, key, key_length, value, value_length);
    }
    return STATUS_OK;
}

bool worker_state_remove(struct worker_state *state, const void *key, size_t key_length)
{
    CHECK_MAGIC(state, STATE_MAGIC);
    const struct worker_state_keeper *keeper = state->settings.keeper;
    struct pair *pair = state->settings.loads ? NULL : find(state, key, key_length);
    bool changes = pair != NULL || (state->settings.loads && key_fits(key_length));
    if (keeper != NULL && changes)
        keeper->remove(keeper->context, key, key_length); /* first: the key may be the pair's own */
    if (pair != NULL)
        drop_pair(state, pair);
    return changes;
}

/* ---- showing ---- */

static bool begins_with(const struct pair *pair, const void *prefix, size_t prefix_length)
{
    return prefix_length == 0 || (pair->key_length >= prefix_length && memcmp(pair->key, prefix, prefix_length) == 0);
}

static void show_held(struct worker_state *state, const void *prefix, size_t prefix_length, millrace_pair_visit *visit,
                      void *context)
{
    unsigned char start[MILLRACE_STATE_KEY_BYTES_MAX]; /* the prefix may be a key that goes away meanwhile */
    unsigned char shown[MILLRACE_STATE_KEY_BYTES_MAX];
    if (prefix_length > sizeof start)
        return;
    if (prefix_length > 0)
        memcpy(start, prefix, prefix_length);
    struct pair *pair = find_from(state, start, prefix_length);
    while (pair != NULL && begins_with(pair, start, prefix_length)) {
        const uint64_t change_count = state->change_count;
        const size_t length = pair->key_length;
        memcpy(shown, pair->key, length);
        if (visit(context, pair->key, length, value_of(pair), pair->value_length) != 0)
            return;
        if (state->change_count != change_count) {
            pair = find_from(state, shown, length);
            if (pair == NULL || pair->key_length != length || memcmp(pair->key, shown, length) != 0)
                continue; /* it is gone: this is the one behind it */
        }
        pair = RB_NEXT(pair_tree, &state->tree, pair);
    }
}

/* What is kept, of one that loads. */
struct showing {
    const void *prefix;
    size_t prefix_length;
    millrace_pair_visit *visit;
    void *context;
};

static int show_kept(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    const struct showing *showing = context;
    const struct pair pair = {.key = key, .key_length = (uint16_t)key_length};
    if (!begins_with(&pair, showing->prefix, showing->prefix_length))
        return 0;
    return showing->visit(showing->context, key, key_length, value, value_length);
}

enum status worker_state_each(struct worker_state *state, const void *prefix, size_t prefix_length,
                              millrace_pair_visit *visit, void *context, struct error *error)
{
    CHECK_MAGIC(state, STATE_MAGIC);
    const struct worker_state_keeper *keeper = state->settings.keeper;
    if (!state->settings.loads) {
        show_held(state, prefix, prefix_length, visit, context);
        return STATUS_OK;
    }
    struct showing showing = {.prefix = prefix, .prefix_length = prefix_length, .visit = visit, .context = context};
    return keeper != NULL ? keeper->read(keeper->context, show_kept, &showing, error) : STATUS_OK;
}

/* ---- opening and closing ---- */

struct loading {
    struct worker_state *state;
    enum status status;
    struct error *error;
};

static int load_pair(void *context, const void *key, size_t key_length, const void *value, size_t value_length)
{
    struct loading *loading = context;
    const struct pair *pair;
    if (!key_fits(key_length) || value_length > MILLRACE_STATE_VALUE_BYTES_MAX)
        loading->status = error_set(loading->error, STATUS_CORRUPT, "a pair of %zu and %zu bytes is no state's",
                                    key_length, value_length);
    else
        loading->status = hold(loading->state, key, key_length, value, value_length, &pair, loading->error);
    return loading->status != STATUS_OK;
}

static enum status load(struct worker_state *state, struct error *error)
{
    const struct worker_state_keeper *keeper = state->settings.keeper;
    struct loading loading = {.state = state, .error = error};
    if (keeper == NULL || state->settings.loads)
        return STATUS_OK;
    enum status status = keeper->read(keeper->context, load_pair, &loading, error);
    return status != STATUS_OK ? status : loading.status;
}

enum status worker_state_open(struct worker_state **state, const struct worker_state_settings *settings,
                              struct error *error)
{
    struct worker_state *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->magic = STATE_MAGIC;
    made->settings = *settings;
    RB_INIT(&made->tree);
    enum status status = STATUS_OK;
    if (getrandom(made->hash_key, sizeof made->hash_key, 0) != (ssize_t)sizeof made->hash_key)
        status = error_set(error, STATUS_SYSTEM, "the system gives no random bytes (getrandom)");
    if (status == STATUS_OK)
        status = load(made, error);
    if (status != STATUS_OK)
        worker_state_close(&made);
    *state = made;
    return status;
}

void worker_state_close(struct worker_state **state)
{
    struct worker_state *gone = *state;
    if (gone == NULL)
        return;
    CHECK_MAGIC(gone, STATE_MAGIC);
    struct pair *next;
    for (struct pair *pair = RB_MIN(pair_tree, &gone->tree); pair != NULL; pair = next) {
        next = RB_NEXT(pair_tree, &gone->tree, pair);
        RB_REMOVE(pair_tree, &gone->tree, pair);
        free(pair);
    }
    gone->magic = 0;
    free(gone);
    *state = NULL;
}

bool worker_state_is_kept(const struct worker_state *state)
{
    return state->settings.keeper != NULL;
}

uint64_t worker_state_count(const struct worker_state *state)
{
    return state->count;
}
