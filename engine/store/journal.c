/* The durable thread's side: the open batch, the cut, the end. */
#include "engine/store/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/log.h"
#include "engine/store/journal_private.h"
#include "engine/store/recovery.h"

enum { MAGIC = 0x4a524e4c };

/* The open batch grows so far while the logger is busy, or the store behind; then producers are told to wait. At what a
 * disk writes a second this is a good part of a second's worth. */
enum { OPEN_BYTES_MAX = 64 << 20, BEHIND_BYTES = 4 << 20 };

/* So large a batch the durable thread logs itself, on a disk so quick: it saves two wake-ups. Of larger ones the next
 * should fill meanwhile; on a slow disk others would wait too long. */
enum { LOGGED_HERE_BYTES_MAX = 32 << 10 };
static const int64_t quick_flush_ns = NS_PER_MS;

/* What nobody waits for is sealed when it is so much, or so old, and before so large a part of the interval is over. */
enum { UNHURRIED_BYTES = 128 << 10, UNHURRIED_PARTS = 8 };
static const int64_t unhurried_ns = NS_PER_MS;

/* Who waited for it often comes again as soon as it is woken: that takes some 50 us, and a sleep longer. */
static const int64_t answer_expected_ns = 100 * NS_PER_US;

/* ---- open and start ---- */

enum status journal_rehearse(const char *directory, struct error *error)
{
    struct stat found;
    if (stat(directory, &found) == 0) {
        if (!S_ISDIR(found.st_mode))
            return error_set(error, STATUS_USAGE, "--store %s: not a directory", directory);
        if (access(directory, R_OK | W_OK | X_OK) != 0)
            return error_set_errno(error, errno, "--store %s", directory);
        return STATUS_OK;
    }
    if (errno != ENOENT)
        return error_set_errno(error, errno, "--store %s", directory);
    /* It will be made: in the nearest one above that is there. */
    char *parent = strdup(directory);
    CHECK(parent != NULL);
    enum status status = STATUS_OK;
    for (;;) {
        char *slash = strrchr(parent, '/');
        if (slash == NULL)
            memcpy(parent, ".", 2);
        else if (slash == parent)
            parent[1] = '\0';
        else
            *slash = '\0';
        bool is_last = slash == NULL || slash == parent;
        if (access(parent, W_OK | X_OK) == 0)
            break;
        if (errno != ENOENT || is_last) {
            status = error_set_errno(error, errno, "--store %s: cannot be made in %s", directory, parent);
            break;
        }
    }
    free(parent);
    return status;
}

static void open_batch(struct journal *journal, uint64_t ticket)
{
    journal->open = journal_batch_of(journal, ticket);
    journal->open->ticket = ticket;
}

enum status journal_open(struct journal **journal_pointer, const struct journal_settings *settings, struct idle *idle,
                         struct error *error)
{
    struct journal *journal = aligned_alloc(CACHE_LINE_BYTES, sizeof *journal);
    CHECK(journal != NULL);
    memset(journal, 0, sizeof *journal);
    journal->magic = MAGIC;
    journal->directory = strdup(settings->directory);
    CHECK(journal->directory != NULL);
    journal->sync_interval_ns = settings->sync_interval_ns;
    journal->log = settings->log;
    journal->failed = settings->failed;
    journal->failed_context = settings->context;
    journal->durable_idle = idle;
    journal->unsynced_since_ns = CLOCK_NEVER_NS;
    int result = pthread_mutex_init(&journal->logging, NULL);
    CHECK(result == 0);
    open_batch(journal, 1);
    result = pthread_mutex_init(&journal->telling, NULL);
    CHECK(result == 0);
    idle_open(&journal->logger.idle, idle->crowd);
    idle_open(&journal->writer.idle, idle->crowd);
    journal->writer.idle.impatient = true; /* nobody waits for it */
    *journal_pointer = journal;
    enum status status = recovery_open(&journal->store, &journal->redo, settings->directory, error);
    if (status != STATUS_OK)
        journal_close(journal_pointer);
    return status;
}

/* ---- who has what in the store ---- */

static bool is_found(const struct journal_finds *finds, uint32_t number)
{
    for (size_t i = 0; i < finds->count; i++)
        if (finds->numbers[i] == number)
            return true;
    return false;
}

/* Two nodes that wrote to one place would each count without the other. */
static enum status add_find(struct journal *journal, struct journal_finds *finds, uint32_t number, const char *name,
                            struct error *error)
{
    if (is_found(finds, number))
        return error_set(error, STATUS_USAGE,
                         "--store %s: another node of this launch is kept as '%s' too: give each a --vuid of its own",
                         journal->directory, name);
    finds->numbers = realloc(finds->numbers, (finds->count + 1) * sizeof *finds->numbers);
    CHECK(finds->numbers != NULL);
    finds->numbers[finds->count++] = number;
    return STATUS_OK;
}

enum status journal_find_queue(struct journal *journal, const char *name, struct store_queue *found,
                               struct error *error)
{
    enum status status = store_find_queue(journal_store(journal), name, found, error);
    return status == STATUS_OK ? add_find(journal, &journal->queues, found->queue, name, error) : status;
}

enum status journal_find_state(struct journal *journal, const char *name, uint32_t *state, struct error *error)
{
    enum status status = store_find_state(journal_store(journal), name, state, error);
    return status == STATUS_OK ? add_find(journal, &journal->states, *state, name, error) : status;
}

enum status journal_find_box(struct journal *journal, const char *what, const char *address, const char *owner,
                             struct store_queue *found, struct error *error)
{
    char name[STORE_NAME_BYTES_MAX + 1];
    for (unsigned nth = 1;; nth++) {
        char suffix[16] = "";
        if (nth > 1)
            snprintf(suffix, sizeof suffix, " #%u", nth);
        if (snprintf(name, sizeof name, "%s %s of %s%s", what, address, owner, suffix) >= (int)sizeof name)
            return error_set(error, STATUS_USAGE,
                             "--store %s: '%s %s of %s' is too long a name; give the node a short "
                             "--vuid",
                             journal->directory, what, address, owner);
        enum status status = store_find_queue(journal_store(journal), name, found, error);
        if (status != STATUS_OK)
            return status;
        if (!is_found(&journal->queues, found->queue))
            return add_find(journal, &journal->queues, found->queue, name, error);
    }
}

bool journal_has_found(const struct journal *journal, uint32_t queue)
{
    CHECK_MAGIC(journal, MAGIC);
    return is_found(&journal->queues, queue);
}

/* A queue that was renamed or taken out of the launch leaves its messages behind, which somebody may miss. */
static bool tell_left_behind(void *context, const char *name, uint32_t number)
{
    const struct journal *journal = context;
    struct store_queue counts;
    store_count_queue(journal->store, number, &counts);
    if (counts.message_count > 0 && !is_found(&journal->queues, number))
        log_line(journal->log, LOG_WARN,
                 "--store %s: it has %llu messages of the queue '%s', which is not in this launch: they stay there",
                 journal->directory, (unsigned long long)counts.message_count, name);
    return true;
}

static void end_hand(struct journal_hand *hand)
{
    /* Release, pairs with the acquire in journal_run(). */
    atomic_store_explicit(&hand->is_ending, true, memory_order_release);
    idle_wake(&hand->idle);
    pthread_join(hand->thread, NULL);
}

enum status journal_start(struct journal *journal, struct error *error)
{
    CHECK_MAGIC(journal, MAGIC);
    enum status status =
        journal->log != NULL ? store_list_queues(journal->store, tell_left_behind, journal, error) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    int result = pthread_create(&journal->logger.thread, NULL, journal_run_logger, journal);
    if (result == 0 && (result = pthread_create(&journal->writer.thread, NULL, journal_run_writer, journal)) != 0)
        end_hand(&journal->logger);
    if (result != 0)
        return error_set_errno(error, result, "cannot start a thread of the store");
    journal->started = true;
    return STATUS_OK;
}

void journal_join(struct journal *journal, const struct journal_member *member)
{
    CHECK_MAGIC(journal, MAGIC);
    journal->members = realloc(journal->members, (journal->member_count + 1) * sizeof *journal->members);
    CHECK(journal->members != NULL);
    journal->members[journal->member_count++] = *member;
}

struct store *journal_store(struct journal *journal)
{
    CHECK_MAGIC(journal, MAGIC);
    CHECK(!journal->started);
    return journal->store;
}

/* ---- the open batch ---- */

/* What is put in next goes here. The first thing gives the batch its time: one look at the clocks a batch. */
static inline struct journal_batch *put_in(struct journal *journal)
{
    struct journal_batch *batch = journal->open;
    if (__builtin_expect(batch_is_empty(batch), 0)) {
        batch->wall_ns = clock_wall_ns();
        batch->monotonic_ns = clock_monotonic_ns();
    }
    return batch;
}

void journal_append(struct journal *journal, uint32_t queue, uint64_t sequence, const void *text, uint32_t length)
{
    batch_append(put_in(journal), queue, sequence, text, length);
}

void journal_settle(struct journal *journal, uint32_t queue, uint64_t first, uint64_t count)
{
    batch_settle(put_in(journal), queue, first, count);
}

void journal_count_delivery(struct journal *journal, uint32_t queue, uint64_t sequence, uint32_t deliveries)
{
    batch_count_delivery(put_in(journal), queue, sequence, deliveries);
}

void journal_remember_id(struct journal *journal, uint32_t queue, const void *id, size_t id_length,
                         uint32_t message_bytes)
{
    batch_remember_id(put_in(journal), queue, id, id_length, message_bytes);
}

void journal_trim_ids(struct journal *journal, uint32_t queue, uint64_t count_max, int64_t oldest_wall_ns)
{
    batch_trim_ids(put_in(journal), queue, count_max, oldest_wall_ns);
}

void journal_put(struct journal *journal, uint32_t state, const void *key, size_t key_length, const void *value,
                 size_t value_length)
{
    batch_put(put_in(journal), state, key, key_length, value, value_length);
}

void journal_delete(struct journal *journal, uint32_t state, const void *key, size_t key_length)
{
    batch_delete(put_in(journal), state, key, key_length);
}

uint64_t journal_ticket(const struct journal *journal)
{
    return journal->open->ticket;
}

/* Acquire, pairs with the release in publish_logged(): whoever sees the ticket sees the batch, and its place. */
uint64_t journal_logged_ticket(const struct journal *journal)
{
    return atomic_load_explicit(&journal->logged_ticket, memory_order_acquire);
}

void journal_want_written(struct journal *journal)
{
    atomic_store_explicit(&journal->wants_written, true, memory_order_relaxed);
    idle_wake(&journal->writer.idle);
}

/* Acquire, pairs with the release in publish_written(): whoever sees the ticket sees in the store what is in it. */
uint64_t journal_written_ticket(const struct journal *journal)
{
    return atomic_load_explicit(&journal->written_ticket, memory_order_acquire);
}

/* Acquire: as above. */
uint64_t journal_synced_ticket(const struct journal *journal)
{
    return atomic_load_explicit(&journal->synced_ticket, memory_order_acquire);
}

void journal_want_sync(struct journal *journal)
{
    journal->open->wants_sync = true;
}

/* Relaxed: hints. That the disk is full may be seen late, and then the open batch takes a little more. */
bool journal_has_room(const struct journal *journal)
{
    return journal->open->bytes < OPEN_BYTES_MAX &&
           !atomic_load_explicit(&journal->logger.is_refused, memory_order_relaxed) &&
           !atomic_load_explicit(&journal->writer.is_refused, memory_order_relaxed) &&
           !atomic_load_explicit(&journal->has_failed, memory_order_relaxed);
}

bool journal_is_behind(const struct journal *journal)
{
    return journal->open->bytes >= BEHIND_BYTES;
}

bool journal_is_cutting(const struct journal *journal)
{
    return journal->cutting;
}

/* ---- the cut ---- */

static bool all_clean(const struct journal *journal)
{
    for (size_t i = 0; i < journal->member_count; i++) {
        const struct journal_member *member = &journal->members[i];
        if (member->is_clean != NULL && !member->is_clean(member->context))
            return false;
    }
    return true;
}

/* Everything is clean. Seals the open batch, and returns it if there is something to be kept. */
static struct journal_batch *seal(struct journal *journal)
{
    for (size_t i = 0; i < journal->member_count; i++)
        if (journal->members[i].cut != NULL)
            journal->members[i].cut(journal->members[i].context);
    struct journal_batch *batch = journal->open;
    return batch_is_empty(batch) && !batch->wants_sync ? NULL : batch;
}

/* If the batch is not logged here, the logger does it, who also knows what to do when the disk is full. */
static void log_here(struct journal *journal, struct journal_batch *batch)
{
    if (!batch->wants_sync || batch->bytes > LOGGED_HERE_BYTES_MAX || pthread_mutex_trylock(&journal->logging) != 0)
        return;
    struct error error = {0};
    enum status status = STATUS_AGAIN;
    bool is_next = atomic_load_explicit(&journal->logged_ticket, memory_order_relaxed) + 1 == batch->ticket;
    if (is_next && journal->last_flush_ns < quick_flush_ns) {
        status = journal_log(journal, batch, &error);
        if (status != STATUS_OK && status != STATUS_AGAIN)
            journal_fail(journal, status, &error);
    }
    pthread_mutex_unlock(&journal->logging);
    if (status == STATUS_OK)
        idle_expect(journal->durable_idle, clock_monotonic_ns() + answer_expected_ns);
}

/* Whether a small batch that somebody waits for should be let be for one more turn, for more is coming: what is sent in
 * one piece arrives in several. */
static bool is_growing(struct journal *journal)
{
    size_t bytes = journal->open->bytes;
    bool has_grown = bytes > journal->seen_bytes;
    journal->seen_bytes = bytes;
    return has_grown && bytes <= LOGGED_HERE_BYTES_MAX && journal->open->wants_sync;
}

/* While the logger is busy, the open batch grows; so it does while there is no other. */
static bool may_seal(const struct journal *journal)
{
    uint64_t sealed = atomic_load_explicit(&journal->sealed_ticket, memory_order_relaxed);
    /* Acquire, pairs with the release in take_next(): the batch that is open next is empty, and no more touched. */
    uint64_t taken = atomic_load_explicit(&journal->taken_ticket, memory_order_acquire);
    return sealed - taken < JOURNAL_BATCH_COUNT - 1 && journal_logged_ticket(journal) == sealed;
}

/* Whether there was something to seal. */
static bool cut(struct journal *journal)
{
    struct journal_batch *batch = seal(journal);
    if (batch == NULL)
        return false;
    uint64_t ticket = batch->ticket;
    open_batch(journal, ticket + 1);
    journal->seen_bytes = 0;
    log_here(journal, batch);
    /* Release, pairs with the acquire in journal_run(): the logger sees all that was put into the batch. */
    atomic_store_explicit(&journal->sealed_ticket, ticket, memory_order_release);
    if (journal_logged_ticket(journal) != ticket)
        idle_wake(&journal->logger.idle);
    return true;
}

/* Whether a ticket went up since the last call. */
static bool notices_kept(struct journal *journal)
{
    uint64_t written = journal_written_ticket(journal);
    uint64_t synced = journal_synced_ticket(journal);
    bool went_up = written != journal->seen_written_ticket || synced != journal->seen_synced_ticket;
    journal->seen_written_ticket = written;
    journal->seen_synced_ticket = synced;
    return went_up;
}

/* When what nobody waits for is to be sealed, if it does not become much. */
static int64_t unhurried_due_ns(const struct journal *journal)
{
    const struct journal_batch *open = journal->open;
    if (open->wants_sync || batch_is_empty(open) || open->bytes >= UNHURRIED_BYTES)
        return INT64_MIN;
    int64_t part_ns = journal->sync_interval_ns / UNHURRIED_PARTS;
    return open->monotonic_ns + (part_ns < unhurried_ns ? part_ns : unhurried_ns);
}

size_t journal_end_turn(struct journal *journal, int64_t now_ns, int64_t *deadline_ns)
{
    size_t work = notices_kept(journal);
    if (!may_seal(journal) || journal_has_failed(journal))
        return work;
    int64_t due_ns = unhurried_due_ns(journal);
    if (now_ns < due_ns) {
        *deadline_ns = due_ns < *deadline_ns ? due_ns : *deadline_ns;
        return work;
    }
    if (!all_clean(journal)) {
        /* That a cut is wanted is something for all nodes to look at, once: what makes a member clean later is a step
         * that did something, or an answer from outside, and either brings a turn. */
        work += !journal->cutting;
        journal->cutting = true;
        return work;
    }
    work += journal->cutting;
    journal->cutting = false;
    if (is_growing(journal))
        return work + 1;
    return work + (cut(journal) ? 1 : 0);
}

/* ---- the end ---- */

static enum status last_cut(struct journal *journal, struct error *error)
{
    if (all_clean(journal)) {
        const struct journal_batch *batch = seal(journal);
        if (batch != NULL) /* release: as in cut() */
            atomic_store_explicit(&journal->sealed_ticket, batch->ticket, memory_order_release);
        return STATUS_OK;
    }
    /* What was put in since is half of something: it must not be kept without the rest. */
    return error_set(error, STATUS_SYSTEM, "--store %s: ended in the middle of work, which is as it was before it",
                     journal->directory);
}

/* The durable thread has ended, so this one is in its place; its end is what orders the two. */
enum status journal_finish(struct journal *journal, struct error *error)
{
    CHECK_MAGIC(journal, MAGIC);
    if (!journal->started || journal->finished)
        return STATUS_OK;
    journal->finished = true;
    enum status status = last_cut(journal, error);
    end_hand(&journal->logger);
    end_hand(&journal->writer);
    struct error failure = {0};
    if (journal_failure(journal, &failure) == STATUS_OK)
        return status;
    *error = failure;
    return journal->failure_status;
}

void journal_close(struct journal **journal_pointer)
{
    struct journal *journal = *journal_pointer;
    if (journal == NULL)
        return;
    CHECK_MAGIC(journal, MAGIC);
    struct error ignored = {0};
    (void)!journal_finish(journal, &ignored);
    store_close(&journal->reader);
    redo_close(&journal->redo);
    store_close(&journal->store);
    pthread_mutex_destroy(&journal->logging);
    pthread_mutex_destroy(&journal->telling);
    idle_close(&journal->logger.idle);
    idle_close(&journal->writer.idle);
    for (size_t i = 0; i < JOURNAL_BATCH_COUNT; i++)
        batch_free(&journal->batches[i]);
    batch_free(&journal->all);
    free(journal->record.bytes);
    free(journal->members);
    free(journal->queues.numbers);
    free(journal->states.numbers);
    free(journal->directory);
    journal->magic = 0;
    free(journal);
    *journal_pointer = NULL;
}

/* ---- for looking at ---- */

enum status journal_failure(const struct journal *journal, struct error *error)
{
    if (!journal_has_failed(journal))
        return STATUS_OK;
    *error = journal->failure;
    return journal->failure_status;
}

enum status journal_reader(struct journal *journal, struct store **reader, struct error *error)
{
    CHECK_MAGIC(journal, MAGIC);
    enum status status = STATUS_OK;
    if (journal->reader == NULL)
        status = store_open_reader(&journal->reader, journal->directory, error);
    *reader = journal->reader;
    return status;
}

enum status journal_read(struct journal *journal, uint32_t queue, uint64_t first_sequence, uint64_t bytes_max,
                         store_message_visit *visit, void *context, struct error *error)
{
    struct store *reader = NULL;
    enum status status = journal_reader(journal, &reader, error);
    if (status == STATUS_OK)
        status = store_read_messages(reader, queue, first_sequence, bytes_max, visit, context, error);
    return status;
}

struct journal_counts journal_counts(const struct journal *journal)
{
    return (struct journal_counts){
        .batch_count = atomic_load_explicit(&journal->batch_count, memory_order_relaxed),
        .sync_count = atomic_load_explicit(&journal->sync_count, memory_order_relaxed),
        .retry_count = atomic_load_explicit(&journal->retry_count, memory_order_relaxed),
        .stored_bytes = store_file_bytes(journal->store),
    };
}
