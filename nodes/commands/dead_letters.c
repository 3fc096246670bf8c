/* The command that shows a store's dead letters, puts them back, or drops them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/log.h"
#include "engine/store/recovery.h"
#include "engine/store/store.h"
#include "nodes/commands/arguments.h"
#include "nodes/control/control_client.h"
#include "nodes/node_types.h"
#include "nodes/queue/dead_letter.h"

static const char usage_line[] =
    "usage: millrace dead-letters ls|show|replay|drop DIRECTORY [NUMBER...] [--queue NAME] [--all]";

struct letters_config {
    const char *queue; /* NULL: all */
    bool all;
    int64_t timeout_ns;
};

#define SETTING(member) offsetof(struct letters_config, member)

static const struct option letters_options[] = {
    {"queue", OPTION_TEXT, SETTING(queue), .value_name = "NAME", .help = "only the letters in this queue"},
    {"all", OPTION_FLAG, SETTING(all), .help = "replay, drop: all letters, instead of those with a NUMBER"},
    {"timeout", OPTION_SECONDS, SETTING(timeout_ns), "30", 0.001, 86400, .value_name = "SECONDS",
     .help = "replay, drop: how long a launch that has the store may take to answer"},
    {0},
};

/* So much text is held at once while letters are moved, here or in the launch. */
static const uint64_t held_bytes_max = 16 << 20;

enum { LENGTH_BYTES = 4 };

struct stored_queue {
    uint32_t number;
    char name[STORE_NAME_BYTES_MAX + 1];
};

/* A letter that is to be moved. */
struct held_letter {
    uint64_t sequence;
    char source[DEAD_LETTER_SOURCE_BYTES];
    size_t record_bytes;
    char *record; /* its message, as store_append takes it */
};

/* A letter that a launch is to move. */
struct asked_letter {
    struct control_letter letter;
    uint64_t text_bytes;
};

struct letters {
    struct store *store;
    const struct verb *verb;
    struct letters_config config;
    struct stored_queue *queues; /* all of the store */
    size_t queue_count;

    /* While messages are read. */
    const struct stored_queue *queue;
    uint64_t wanted;        /* the number of the one that is wanted; 0: all */
    uint64_t next_sequence; /* behind the last that was shown */
    uint64_t found_count;

    struct held_letter *held;
    size_t held_count, held_capacity;
    struct asked_letter *asked; /* of a launch that has the store */
    size_t asked_count, asked_capacity;
    uint64_t moved_count, refused_count;
};

struct found_letter {
    uint64_t sequence;
    const void *text; /* the letter as it is kept */
    size_t length;
    const void *message; /* within it */
    struct dead_letter head;
};

struct verb {
    const char *name;
    void (*visit)(struct letters *letters, const struct found_letter *found);
    /* Of what is held: does with one letter what is to be done, in the open transaction. NULL: nothing is held. */
    enum status (*move)(struct letters *letters, const struct held_letter *held, struct error *error);
    const struct verb *beside; /* what takes its place beside a launch that has the store; NULL: itself */
    enum control_verb control; /* ... and what it asks of it */
    const char *done;          /* of the line at the end */
    bool needs_numbers;
};

/* ---- finding ---- */

static bool add_queue(void *context, const char *name, uint32_t number)
{
    struct letters *letters = context;
    struct stored_queue *queues = reallocarray(letters->queues, letters->queue_count + 1, sizeof *queues);
    CHECK(queues != NULL);
    letters->queues = queues;
    struct stored_queue *queue = &queues[letters->queue_count++];
    queue->number = number;
    (void)snprintf(queue->name, sizeof queue->name, "%s", name);
    return true;
}

static const struct stored_queue *queue_named(const struct letters *letters, const char *name)
{
    for (size_t i = 0; i < letters->queue_count; i++)
        if (strcmp(letters->queues[i].name, name) == 0)
            return &letters->queues[i];
    return NULL;
}

/* What a launch is asked for is in the store until it has done it all. */
static bool is_asked(const struct letters *letters, uint64_t sequence)
{
    for (size_t i = 0; i < letters->asked_count; i++)
        if (letters->asked[i].letter.queue == letters->queue->number && letters->asked[i].letter.sequence == sequence)
            return true;
    return false;
}

static bool look_at(void *context, const struct store_message *message)
{
    struct letters *letters = context;
    struct found_letter found = {.sequence = message->sequence, .text = message->text, .length = message->length};
    letters->next_sequence = message->sequence + 1;
    if (letters->wanted != 0 && (message->sequence != letters->wanted || is_asked(letters, message->sequence)))
        return false;
    if (dead_letter_read(message->text, message->length, &found.head, &found.message)) {
        letters->found_count++;
        if (letters->verb != NULL)
            letters->verb->visit(letters, &found);
    }
    return letters->wanted == 0;
}

static enum status move_held(struct letters *letters, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < letters->held_count; i++) {
        if (status == STATUS_OK)
            status = letters->verb->move(letters, &letters->held[i], error);
        free(letters->held[i].record);
    }
    letters->held_count = 0;
    return status;
}

/* All letters of the queue, or the wanted one; those that moving puts behind them are not looked at. */
static enum status visit_queue(struct letters *letters, const struct stored_queue *queue, struct error *error)
{
    struct store_queue counts;
    store_count_queue(letters->store, queue->number, &counts);
    letters->queue = queue;
    uint64_t from = letters->wanted != 0 ? letters->wanted : counts.settled_below;
    enum status status = STATUS_OK;
    while (from < counts.next_sequence && status == STATUS_OK) {
        letters->next_sequence = counts.next_sequence;
        status = store_read_messages(letters->store, queue->number, from, held_bytes_max, look_at, letters, error);
        if (status == STATUS_OK)
            status = move_held(letters, error);
        from = letters->wanted != 0 ? counts.next_sequence : letters->next_sequence;
    }
    return status;
}

static enum status visit_queues(struct letters *letters, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < letters->queue_count && status == STATUS_OK; i++)
        if (letters->config.queue == NULL || strcmp(letters->queues[i].name, letters->config.queue) == 0)
            status = visit_queue(letters, &letters->queues[i], error);
    return status;
}

/* The letter with this number; it must be one of all. */
static enum status visit_number(struct letters *letters, uint64_t number, struct error *error)
{
    const struct verb *verb = letters->verb;
    letters->wanted = number;
    letters->found_count = 0;
    letters->verb = NULL;
    enum status status = visit_queues(letters, error);
    letters->verb = verb;
    if (status == STATUS_OK && letters->found_count == 0)
        return error_set(error, STATUS_USAGE, "there is no dead letter %" PRIu64, number);
    if (status == STATUS_OK && letters->found_count > 1)
        return error_set(error, STATUS_USAGE,
                         "%" PRIu64 " queues have a dead letter %" PRIu64 "; say which: --queue NAME",
                         letters->found_count, number);
    return status == STATUS_OK ? visit_queues(letters, error) : status;
}

/* ---- ls, show ---- */

static void print_row(struct letters *letters, const struct found_letter *found)
{
    char first[CLOCK_TEXT_BYTES];
    char last[CLOCK_TEXT_BYTES];
    char source[4 * DEAD_LETTER_SOURCE_BYTES];
    char reason[4 * DEAD_LETTER_REASON_BYTES];
    const struct dead_letter *head = &found->head;
    if (letters->found_count == 1)
        printf("%-8s %-16s %-16s %10s  %-26s  %-26s  %8s  %s\n", "NUMBER", "QUEUE", "SOURCE", "DELIVERIES",
               "FIRST (UTC)", "LAST (UTC)", "BYTES", "REASON");
    clock_format_utc(head->first_wall_ns, first);
    clock_format_utc(head->last_wall_ns, last);
    printf("%-8" PRIu64 " %-16s %-16s %10" PRIu64 "  %s  %s  %8" PRIu64 "  %s\n", found->sequence, letters->queue->name,
           log_quote(head->source, strlen(head->source), source, sizeof source), head->deliveries, first, last,
           head->message_bytes, log_quote(head->reason, strlen(head->reason), reason, sizeof reason));
}

static void print_whole(struct letters *letters, const struct found_letter *found)
{
    (void)letters;
    (void)fwrite(found->text, 1, found->length, stdout);
    putchar('\n');
}

/* ---- replay, drop ---- */

static void hold(struct letters *letters, const struct found_letter *found)
{
    if (letters->held_count == letters->held_capacity) {
        letters->held_capacity = letters->held_capacity == 0 ? 64 : 2 * letters->held_capacity;
        letters->held = reallocarray(letters->held, letters->held_capacity, sizeof *letters->held);
        CHECK(letters->held != NULL);
    }
    struct held_letter *held = &letters->held[letters->held_count++];
    uint32_t length = (uint32_t)found->head.message_bytes;
    *held = (struct held_letter){.sequence = found->sequence, .record_bytes = LENGTH_BYTES + (size_t)length};
    (void)snprintf(held->source, sizeof held->source, "%s", found->head.source);
    held->record = malloc(held->record_bytes);
    CHECK(held->record != NULL);
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        held->record[i] = (char)(length >> (8 * i) & 0xff);
    memcpy(held->record + LENGTH_BYTES, found->message, length);
}

static enum status drop(struct letters *letters, const struct held_letter *held, struct error *error)
{
    letters->moved_count++;
    return store_settle(letters->store, letters->queue->number, held->sequence, 1, error);
}

static void refuse_source(struct letters *letters, uint64_t sequence, const char *source)
{
    char name[4 * DEAD_LETTER_SOURCE_BYTES];
    fprintf(stderr, "millrace: dead-letters: %" PRIu64 " stays: its queue '%s' is not in this store\n", sequence,
            log_quote(source, strlen(source), name, sizeof name));
    letters->refused_count++;
}

/* To the tail of its queue, as a new message: it has not been delivered yet. */
static enum status replay(struct letters *letters, const struct held_letter *held, struct error *error)
{
    const struct stored_queue *source = queue_named(letters, held->source);
    if (source == NULL) {
        refuse_source(letters, held->sequence, held->source);
        return STATUS_OK;
    }
    struct store_queue counts;
    store_count_queue(letters->store, source->number, &counts);
    enum status status = store_append(letters->store, source->number, counts.next_sequence, 1, held->record,
                                      held->record_bytes, clock_wall_ns(), error);
    return status == STATUS_OK ? drop(letters, held, error) : status;
}

/* ---- beside a launch ---- */

static void ask_for(struct letters *letters, const struct found_letter *found)
{
    if (letters->verb->control == CONTROL_REPLAY && queue_named(letters, found->head.source) == NULL) {
        refuse_source(letters, found->sequence, found->head.source);
        return;
    }
    if (letters->asked_count == letters->asked_capacity) {
        letters->asked_capacity = letters->asked_capacity == 0 ? 64 : 2 * letters->asked_capacity;
        letters->asked = reallocarray(letters->asked, letters->asked_capacity, sizeof *letters->asked);
        CHECK(letters->asked != NULL);
    }
    letters->asked[letters->asked_count++] =
        (struct asked_letter){.letter = {.queue = letters->queue->number, .sequence = found->sequence},
                              .text_bytes = found->head.message_bytes};
}

static void take_outcome(struct letters *letters, uint64_t sequence, enum control_outcome outcome)
{
    static const char *const reasons[] = {
        [CONTROL_NOT_FREE] = "it is on a lease, or somebody has taken it",
        [CONTROL_FULL] = "its queue is full",
        [CONTROL_NO_WAY] = "its queue is none of the launch",
        [CONTROL_NO_LETTER] = "it is no dead letter",
        [CONTROL_UNREAD] = "the launch could not read it; see millrace store check",
    };
    if (outcome == CONTROL_MOVED) {
        letters->moved_count++;
        return;
    }
    bool is_known = (size_t)outcome < sizeof reasons / sizeof reasons[0] && reasons[outcome] != NULL;
    fprintf(stderr, "millrace: dead-letters: %" PRIu64 " stays: %s\n", sequence,
            is_known ? reasons[outcome] : "the launch does not say why");
    letters->refused_count++;
}

/* As the launch wants them: by queue, then by number. */
static int compare_asked(const void *one, const void *other)
{
    const struct control_letter *left = &((const struct asked_letter *)one)->letter;
    const struct control_letter *right = &((const struct asked_letter *)other)->letter;
    if (left->queue != right->queue)
        return left->queue < right->queue ? -1 : 1;
    return left->sequence < right->sequence ? -1 : 1;
}

/* The letters from `first` on that one request may move, one at least. Returns how many. */
static size_t fill_request(const struct letters *letters, size_t first, struct control_letter *request)
{
    size_t count = 0;
    uint64_t bytes = 0;
    while (first + count < letters->asked_count && count < CONTROL_LETTER_COUNT_MAX) {
        const struct asked_letter *asked = &letters->asked[first + count];
        bytes += asked->text_bytes;
        if (count > 0 && bytes > held_bytes_max)
            break;
        request[count++] = asked->letter;
    }
    return count;
}

static enum status ask_all(struct letters *letters, int connection, struct error *error)
{
    struct control_letter *request = calloc(CONTROL_LETTER_COUNT_MAX, sizeof *request);
    enum control_outcome *outcomes = calloc(CONTROL_LETTER_COUNT_MAX, sizeof *outcomes);
    CHECK(request != NULL && outcomes != NULL);
    if (letters->asked_count > 0)
        qsort(letters->asked, letters->asked_count, sizeof *letters->asked, compare_asked);
    enum status status = STATUS_OK;
    size_t count;
    for (size_t first = 0; first < letters->asked_count && status == STATUS_OK; first += count) {
        count = fill_request(letters, first, request);
        status = control_ask(connection, letters->verb->control, request, count, outcomes, error);
        for (size_t i = 0; i < count && status == STATUS_OK; i++)
            take_outcome(letters, request[i].sequence, outcomes[i]);
    }
    free(outcomes);
    free(request);
    return status;
}

/* ---- the command ---- */

static const struct verb replay_beside = {.visit = ask_for, .control = CONTROL_REPLAY, .done = "put back"};
static const struct verb drop_beside = {.visit = ask_for, .control = CONTROL_DROP, .done = "dropped"};

static const struct verb verbs[] = {
    {.name = "ls", .visit = print_row},
    {.name = "show", .visit = print_whole, .needs_numbers = true},
    {.name = "replay",
     .visit = hold,
     .move = replay,
     .beside = &replay_beside,
     .done = "put back",
     .needs_numbers = true},
    {.name = "drop", .visit = hold, .move = drop, .beside = &drop_beside, .done = "dropped", .needs_numbers = true},
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

static enum status read_number(const char *text, uint64_t *number, struct error *error)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || errno != 0)
        return error_set(error, STATUS_USAGE, "'%s' is no number of a letter", text);
    *number = value;
    return STATUS_OK;
}

static enum status visit_all(struct letters *letters, int number_count, char **numbers, struct error *error)
{
    if (letters->config.queue != NULL && queue_named(letters, letters->config.queue) == NULL)
        return error_set(error, STATUS_USAGE, "the store has no queue '%s'", letters->config.queue);
    if (number_count == 0)
        return visit_queues(letters, error);
    enum status status = STATUS_OK;
    for (int i = 0; i < number_count && status == STATUS_OK; i++) {
        uint64_t number;
        status = read_number(numbers[i], &number, error);
        if (status == STATUS_OK)
            status = visit_number(letters, number, error);
    }
    return status;
}

/* Reads beside whoever uses the store. A letter may be among what is missing, or have gone since. */
static enum status run_reader(struct letters *letters, const char *directory, int number_count, char **numbers,
                              struct error *error)
{
    struct error missing;
    enum status status = recovery_open_reader(&letters->store, directory, &missing, error);
    if (status == STATUS_OK && missing.text[0] != '\0')
        fprintf(stderr, "millrace: dead-letters: %s\n", missing.text);
    if (status == STATUS_OK)
        status = store_begin_snapshot(letters->store, error);
    if (status != STATUS_OK)
        return status;
    status = store_list_queues(letters->store, add_queue, letters, error);
    if (status == STATUS_OK)
        status = visit_all(letters, number_count, numbers, error);
    store_end_snapshot(letters->store);
    return status;
}

static void print_done(const struct letters *letters)
{
    printf("%" PRIu64 " dead letters %s\n", letters->moved_count, letters->verb->done);
}

/* Finds all, then asks the launch that has the store to move them. */
static enum status run_asker(struct letters *letters, int connection, const char *directory, int number_count,
                             char **numbers, struct error *error)
{
    letters->verb = letters->verb->beside;
    enum status status = run_reader(letters, directory, number_count, numbers, error);
    if (status == STATUS_OK)
        status = ask_all(letters, connection, error);
    if (status == STATUS_OK || letters->moved_count > 0)
        print_done(letters);
    close(connection);
    return status;
}

/* All in one transaction: whatever fails, nothing was moved. */
static enum status run_alone(struct letters *letters, const char *directory, int number_count, char **numbers,
                             struct error *error)
{
    enum status status = recovery_open_store(&letters->store, directory, error);
    if (status == STATUS_OK)
        status = store_list_queues(letters->store, add_queue, letters, error);
    if (status == STATUS_OK)
        status = store_begin(letters->store, error);
    if (status == STATUS_OK)
        status = visit_all(letters, number_count, numbers, error);
    if (status == STATUS_OK)
        status = store_commit(letters->store, true, error);
    if (status == STATUS_OK)
        print_done(letters);
    return status;
}

static enum status run_writer(struct letters *letters, const char *directory, int number_count, char **numbers,
                              struct error *error)
{
    int connection;
    struct error ignored; /* said again when it is opened for writing */
    /* First as a reader, which makes no new store. */
    enum status status = recovery_open_reader(&letters->store, directory, &ignored, error);
    store_close(&letters->store);
    if (status != STATUS_OK)
        return status;
    status = control_connect(&connection, directory, letters->config.timeout_ns, error);
    if (status == STATUS_OK)
        return run_asker(letters, connection, directory, number_count, numbers, error);
    return status == STATUS_CLOSED ? run_alone(letters, directory, number_count, numbers, error) : status;
}

static void close_letters(struct letters *letters)
{
    store_close(&letters->store);
    for (size_t i = 0; i < letters->held_count; i++)
        free(letters->held[i].record);
    free(letters->held);
    free(letters->asked);
    free(letters->queues);
    options_free(letters_options, &letters->config);
}

static enum status run_letters(struct letters *letters, int count, char **arguments, struct error *error)
{
    int used;
    command_arguments_sort(letters_options, count, arguments);
    enum status status = command_arguments_parse(letters_options, &letters->config, count, arguments, &used, error);
    if (status != STATUS_OK)
        return status;
    count -= used;
    arguments += used;
    for (size_t i = 0; i < VERB_COUNT && count > 0; i++)
        if (strcmp(verbs[i].name, arguments[0]) == 0)
            letters->verb = &verbs[i];
    const struct verb *verb = letters->verb;
    if (verb == NULL || count < 2)
        return error_set(error, STATUS_USAGE, "needs one of four words and a directory; %s", usage_line);
    int number_count = count - 2;
    if (verb->move == NULL && letters->config.all)
        return error_set(error, STATUS_USAGE, "--all is for replay and drop");
    if (verb->needs_numbers == (number_count == 0 && !letters->config.all) || (number_count > 0 && letters->config.all))
        return error_set(error, STATUS_USAGE,
                         verb->needs_numbers ? "%s needs the numbers of letters%s" : "%s takes no numbers%s",
                         verb->name, verb->move != NULL ? ", or --all" : "");
    return (verb->move != NULL ? run_writer : run_reader)(letters, arguments[1], number_count, arguments + 2, error);
}

static int run(int count, char **arguments)
{
    struct letters letters = {0};
    struct error error = {0};
    enum status status = run_letters(&letters, count, arguments, &error);
    bool refused = letters.refused_count > 0;
    close_letters(&letters);
    if (status == STATUS_OK && fflush(stdout) != 0)
        status = error_set_errno(&error, errno, "the output cannot be written");
    if (status == STATUS_OK)
        return refused ? 1 : 0;
    fprintf(stderr, "millrace: dead-letters: %s\n", status == STATUS_AGAIN ? "the disk is full" : error.text);
    return status == STATUS_USAGE ? 2 : 1;
}

const struct command dead_letters_command = {
    .name = "dead-letters",
    .usage = "ls|show|replay|drop DIRECTORY [NUMBER...] [FLAGS]",
    .summary = "list a store's dead letters, put them back, drop them",
    .options = letters_options,
    .run = run,
    .details = "  ls        a line a letter: number, queue, source, deliveries, times, bytes, reason\n"
               "  show      the letters with these numbers, whole\n"
               "  replay    puts their messages at the tails of the queues that they come from, and drops the letters\n"
               "  drop      drops them\n\n"
               "All four work on a store at rest and beside a launch that uses it, whose queues then know of it at "
               "once. replay and\n"
               "drop do all or nothing at rest; a launch does it in transactions of up to 16384 letters and 16 MiB, "
               "each whole,\n"
               "and leaves a letter that is on a lease, or whose queue is full. What is said to be done is on the "
               "disk. What a\n"
               "killed launch has left in the store's redo log is brought in first; ls and show say so where it "
               "cannot be.\n",
};
