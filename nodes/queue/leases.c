/*
 * Each message is one allocation, indexed by its number for the tokens, and in one heap: those that are out by
 * deadline, those that are returned by number. Both heaps always have room for all, so that a message can always move.
 */
#include "nodes/queue/leases.h"

#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "nodes/queue/sequence_map.h"

#define LEASES_MAGIC UINT32_C(0x6c656173)

enum { PLACE_COUNT = 3 };

/* The word that is remembered for a number that ended: its deliveries, and how it ended. */
#define ENDED_GIVEN_UP (UINT64_C(1) << 32)

struct leases {
    uint32_t magic;
    uint32_t epoch;
    struct sequence_map by_sequence; /* struct lease * */
    struct sequence_heap out;        /* by deadline */
    struct sequence_heap returned;   /* by number */
    struct lease *given_up_first, *given_up_last;
    uint64_t counts[PLACE_COUNT];
    uint64_t text_bytes[PLACE_COUNT];

    struct sequence_map ended;
    uint64_t *ended_ring; /* the numbers in `ended`, in order; NULL before the first */
    uint64_t ended_count; /* so many came to end; the last LEASES_ENDED_COUNT_MAX are remembered */
};

enum status leases_open(struct leases **leases, uint32_t epoch, struct error *error)
{
    struct leases *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(error, STATUS_SYSTEM, "no memory for leases");
    made->magic = LEASES_MAGIC;
    made->epoch = epoch;
    *leases = made;
    return STATUS_OK;
}

static void free_lease(struct lease *lease)
{
    free(lease->reason);
    free(lease);
}

void leases_close(struct leases **leases)
{
    struct leases *closed = *leases;
    if (closed == NULL)
        return;
    CHECK_MAGIC(closed, LEASES_MAGIC);
    for (size_t i = 0; i < closed->by_sequence.capacity; i++) {
        if (closed->by_sequence.slots[i].sequence != 0)
            free_lease(closed->by_sequence.slots[i].value.pointer);
    }
    sequence_map_free(&closed->by_sequence);
    sequence_heap_free(&closed->out);
    sequence_heap_free(&closed->returned);
    sequence_map_free(&closed->ended);
    free(closed->ended_ring);
    closed->magic = 0;
    free(closed);
    *leases = NULL;
}

/* ---- places ---- */

static void enter(struct leases *leases, struct lease *lease, enum lease_place place)
{
    lease->place = place;
    leases->counts[place]++;
    leases->text_bytes[place] += lease->length;
    switch (place) {
    case LEASE_OUT:
        sequence_heap_add(&leases->out, lease->deadline_ns, &lease->member);
        break;
    case LEASE_RETURNED:
        /* The keys are all alike: the heap then goes by the numbers. */
        sequence_heap_add(&leases->returned, 0, &lease->member);
        break;
    case LEASE_GIVEN_UP:
        lease->next = NULL;
        if (leases->given_up_last == NULL)
            leases->given_up_first = lease;
        else
            leases->given_up_last->next = lease;
        leases->given_up_last = lease;
        break;
    }
}

static void leave(struct leases *leases, struct lease *lease)
{
    leases->counts[lease->place]--;
    leases->text_bytes[lease->place] -= lease->length;
    switch (lease->place) {
    case LEASE_OUT:
        sequence_heap_remove(&leases->out, &lease->member);
        break;
    case LEASE_RETURNED:
        sequence_heap_remove(&leases->returned, &lease->member);
        break;
    case LEASE_GIVEN_UP:
        CHECK(lease == leases->given_up_first);
        leases->given_up_first = lease->next;
        if (lease->next == NULL)
            leases->given_up_last = NULL;
        break;
    }
}

/* ---- a message comes ---- */

static enum status add(struct leases *leases, const struct lease_message *message, struct lease **lease,
                       struct error *error)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    CHECK(message->sequence != 0);
    size_t count = leases->by_sequence.count + 1;
    struct lease *made = malloc(sizeof *made + message->length);
    if (made == NULL || !sequence_map_reserve(&leases->by_sequence) || !sequence_heap_reserve(&leases->out, count) ||
        !sequence_heap_reserve(&leases->returned, count)) {
        free(made);
        return error_set(error, STATUS_SYSTEM, "no memory for a lease");
    }
    *made = (struct lease){
        .member.sequence = message->sequence,
        .deliveries = message->deliveries,
        .put_ns = message->put_ns,
        .first_wall_ns = message->first_wall_ns,
        .length = message->length,
    };
    if (message->length > 0)
        memcpy(made->text, message->text, message->length);
    sequence_map_add(&leases->by_sequence, message->sequence, (union sequence_word){.pointer = made});
    *lease = made;
    return STATUS_OK;
}

enum status leases_add_out(struct leases *leases, const struct lease_message *message, int64_t deadline_ns,
                           struct lease **lease, struct error *error)
{
    CHECK(message->deliveries > 0);
    enum status status = add(leases, message, lease, error);
    if (status != STATUS_OK)
        return status;
    (*lease)->deadline_ns = deadline_ns;
    enter(leases, *lease, LEASE_OUT);
    return STATUS_OK;
}

enum status leases_add_returned(struct leases *leases, const struct lease_message *message, struct lease **lease,
                                struct error *error)
{
    enum status status = add(leases, message, lease, error);
    if (status != STATUS_OK)
        return status;
    enter(leases, *lease, LEASE_RETURNED);
    return STATUS_OK;
}

/* ---- tokens ---- */

size_t leases_write_token(const struct leases *leases, const struct lease *lease, char *text)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    const struct lease_token token = {
        .epoch = leases->epoch, .sequence = lease->member.sequence, .deliveries = lease->deliveries};
    return lease_token_write(&token, text);
}

static enum lease_find find_ended(const struct leases *leases, const struct lease_token *token)
{
    union sequence_word word;
    if (!sequence_map_find(&leases->ended, token->sequence, &word))
        return LEASE_FIND_UNKNOWN;
    uint32_t deliveries = (uint32_t)word.number;
    if (token->deliveries > deliveries)
        return LEASE_FIND_UNKNOWN;
    if (token->deliveries < deliveries)
        return LEASE_FIND_STALE;
    return (word.number & ENDED_GIVEN_UP) != 0 ? LEASE_FIND_GIVEN_UP : LEASE_FIND_ACKNOWLEDGED;
}

enum lease_find leases_find(const struct leases *leases, const void *token, size_t length, struct lease **lease)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    struct lease_token read;
    union sequence_word word;
    *lease = NULL;
    if (!lease_token_read(token, length, &read) || read.epoch != leases->epoch)
        return LEASE_FIND_UNKNOWN;
    if (!sequence_map_find(&leases->by_sequence, read.sequence, &word))
        return find_ended(leases, &read);
    struct lease *found = word.pointer;
    if (read.deliveries > found->deliveries)
        return LEASE_FIND_UNKNOWN;
    if (read.deliveries < found->deliveries)
        return LEASE_FIND_STALE;
    *lease = found;
    switch (found->place) {
    case LEASE_OUT:
        return LEASE_FIND_OUT;
    case LEASE_RETURNED:
        return LEASE_FIND_RETURNED;
    case LEASE_GIVEN_UP:
        break;
    }
    return LEASE_FIND_GIVEN_UP;
}

struct lease *leases_at(const struct leases *leases, uint64_t sequence)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    union sequence_word word;
    return sequence_map_find(&leases->by_sequence, sequence, &word) ? word.pointer : NULL;
}

/* ---- it moves ---- */

static void set_reason(struct lease *lease, const void *reason, size_t length)
{
    length = length < LEASE_REASON_BYTES_MAX ? length : LEASE_REASON_BYTES_MAX;
    char *copy = length == 0 ? NULL : malloc(length);
    free(lease->reason);
    lease->reason = copy;
    lease->reason_length = copy == NULL ? 0 : (uint32_t)length;
    if (copy != NULL)
        memcpy(copy, reason, length);
}

void leases_extend(struct leases *leases, struct lease *lease, int64_t deadline_ns)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    CHECK(lease->place == LEASE_OUT);
    leave(leases, lease);
    lease->deadline_ns = deadline_ns;
    enter(leases, lease, LEASE_OUT);
}

void leases_return(struct leases *leases, struct lease *lease, const void *reason, size_t reason_length)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    CHECK(lease->place == LEASE_OUT);
    leave(leases, lease);
    set_reason(lease, reason, reason_length);
    enter(leases, lease, LEASE_RETURNED);
}

void leases_lease_again(struct leases *leases, struct lease *lease, int64_t deadline_ns, int64_t wall_ns)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    CHECK(lease->place == LEASE_RETURNED && lease->deliveries < UINT32_MAX);
    leave(leases, lease);
    if (lease->deliveries++ == 0)
        lease->first_wall_ns = wall_ns;
    lease->deadline_ns = deadline_ns;
    enter(leases, lease, LEASE_OUT);
}

void leases_give_up(struct leases *leases, struct lease *lease, const void *reason, size_t reason_length)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    CHECK(lease->place != LEASE_GIVEN_UP);
    leave(leases, lease);
    set_reason(lease, reason, reason_length);
    enter(leases, lease, LEASE_GIVEN_UP);
}

static struct lease *first_of(const struct sequence_heap *heap, int64_t *key)
{
    struct heap_member *member = sequence_heap_first(heap, key);
    if (member == NULL)
        return NULL;
    _Static_assert(offsetof(struct lease, member) == 0, "a lease begins with its member");
    return (struct lease *)member;
}

struct lease *leases_first_expired(const struct leases *leases, int64_t now_ns)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    int64_t deadline_ns;
    struct lease *first = first_of(&leases->out, &deadline_ns);
    return first != NULL && deadline_ns <= now_ns ? first : NULL;
}

int64_t leases_next_deadline_ns(const struct leases *leases)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    int64_t deadline_ns;
    return first_of(&leases->out, &deadline_ns) == NULL ? INT64_MAX : deadline_ns;
}

struct lease *leases_first_returned(const struct leases *leases)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    int64_t key;
    return first_of(&leases->returned, &key);
}

struct lease *leases_first_given_up(const struct leases *leases)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    return leases->given_up_first;
}

/* ---- it goes ---- */

/* A number ends once, so it is never in the ring already. Without memory it is not remembered: a repeated command is
 * then answered as if it came too late. */
static void remember(struct leases *leases, uint64_t sequence, uint64_t word)
{
    if (leases->ended_ring == NULL)
        leases->ended_ring = calloc(LEASES_ENDED_COUNT_MAX, sizeof *leases->ended_ring);
    if (leases->ended_ring == NULL)
        return;
    uint64_t *place = &leases->ended_ring[leases->ended_count % LEASES_ENDED_COUNT_MAX];
    if (leases->ended_count >= LEASES_ENDED_COUNT_MAX)
        sequence_map_remove(&leases->ended, *place);
    else if (!sequence_map_reserve(&leases->ended))
        return;
    *place = sequence;
    sequence_map_add(&leases->ended, sequence, (union sequence_word){.number = word});
    leases->ended_count++;
}

void leases_end(struct leases *leases, struct lease **lease, enum lease_end how)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    struct lease *ended = *lease;
    leave(leases, ended);
    sequence_map_remove(&leases->by_sequence, ended->member.sequence);
    if (how != LEASE_END_TAKEN)
        remember(leases, ended->member.sequence, ended->deliveries | (how == LEASE_END_GIVEN_UP ? ENDED_GIVEN_UP : 0));
    free_lease(ended);
    *lease = NULL;
}

/* ---- counts ---- */

uint64_t leases_count(const struct leases *leases)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    return leases->by_sequence.count;
}

uint64_t leases_place_count(const struct leases *leases, enum lease_place place)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    return leases->counts[place];
}

uint64_t leases_text_bytes(const struct leases *leases)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    return leases->text_bytes[LEASE_OUT] + leases->text_bytes[LEASE_RETURNED] + leases->text_bytes[LEASE_GIVEN_UP];
}

uint64_t leases_place_text_bytes(const struct leases *leases, enum lease_place place)
{
    CHECK_MAGIC(leases, LEASES_MAGIC);
    return leases->text_bytes[place];
}
