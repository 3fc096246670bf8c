/*
 * The launch's side of control_request.h: a server at the store's socket, on the durable thread.
 *
 * Requests are done one after the other. One is begun when all that was done when its turn came is in the store's file
 * and on the disk: what the one before did, so that the file knows of it; and each letter that whoever asks can have
 * seen, so that it may leave. What the launch's queues have done with a letter meanwhile, their memory knows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"
#include "engine/control.h"
#include "engine/idle.h"
#include "engine/log.h"
#include "engine/node.h"
#include "engine/store/journal.h"
#include "net/local_socket.h"
#include "net/tcp.h"
#include "nodes/control/control_request.h"
#include "nodes/node_types.h"
#include "nodes/queue/dead_letter.h"
#include "nodes/queue/letters.h"

enum {
    CONNECTION_COUNT_MAX = 8,
    /* One each, and one whose process has gone after it was begun. */
    ASKER_COUNT_MAX = CONNECTION_COUNT_MAX + 1,
    UNSENT_BYTES_MAX = 64 << 10,
    READ_BYTES_MAX = 1 << 20,
    /* Letters that are further apart are looked for anew. */
    NEAR_COUNT = 256,
};

/* A request, and then its answer. */
struct asker {
    struct tcp_stream *stream; /* NULL: it is gone */
    char *text;
    size_t length;
};

/* A queue in the store. */
struct stored_queue {
    uint32_t number;
    struct node *node; /* NULL: none of the launch's queues */
    bool is_taken;     /* ... but a link's of the launch */
    uint64_t next_sequence;
    char name[STORE_NAME_BYTES_MAX + 1];
};

/* How far the first asker is. */
enum phase {
    PHASE_NONE,     /* its turn has come, or there is none */
    PHASE_BEGUN,    /* it waits for `ticket`, for what was there before it */
    PHASE_ANSWERED, /* its text is its answer, which waits for `ticket`, for what it did */
};

struct control {
    struct control_site site;
    struct tcp_server *server;
    struct asker askers[ASKER_COUNT_MAX]; /* in the order in which they came */
    size_t asker_count;
    enum phase phase;
    uint64_t ticket; /* 0: nothing is waited for */

    /* While a request is done. */
    struct store *reader;
    struct stored_queue *queues;
    size_t queue_count;
};

/* What a request comes to. */
struct moving {
    struct control *control;
    enum control_verb verb;
    const struct control_letter *letters;
    size_t count;
    size_t index; /* the next */
    char *outcomes;
    size_t moved_count;
};

/* ---- the queues ---- */

static struct node *node_of(const struct control *control, uint32_t number)
{
    for (size_t i = 0; i < control->site.node_count; i++)
        if (queue_stored_number(control->site.nodes[i]) == number)
            return control->site.nodes[i];
    return NULL;
}

static bool add_queue(void *context, const char *name, uint32_t number)
{
    struct control *control = context;
    struct stored_queue *queues = reallocarray(control->queues, control->queue_count + 1, sizeof *queues);
    CHECK(queues != NULL);
    control->queues = queues;
    struct stored_queue *queue = &queues[control->queue_count++];
    struct store_queue counts;
    store_count_queue(control->reader, number, &counts);
    *queue = (struct stored_queue){
        .number = number, .node = node_of(control, number), .next_sequence = counts.next_sequence};
    queue->is_taken = queue->node == NULL && journal_has_found(control->site.journal, number);
    (void)snprintf(queue->name, sizeof queue->name, "%s", name);
    return true;
}

static struct stored_queue *queue_numbered(const struct control *control, uint32_t number)
{
    for (size_t i = 0; i < control->queue_count; i++)
        if (control->queues[i].number == number)
            return &control->queues[i];
    return NULL;
}

static struct stored_queue *queue_named(const struct control *control, const char *name)
{
    for (size_t i = 0; i < control->queue_count; i++)
        if (strcmp(control->queues[i].name, name) == 0)
            return &control->queues[i];
    return NULL;
}

/* ---- a letter ---- */

static bool has_room(const struct control *control, const struct stored_queue *queue, uint32_t length)
{
    return queue->node != NULL ? queue_has_room(queue->node, length) : journal_has_room(control->site.journal);
}

static bool withdraw(const struct moving *moving, const struct stored_queue *queue, const struct store_message *message)
{
    if (queue->node != NULL)
        return queue_withdraw(queue->node, message->sequence, message->length, moving->verb == CONTROL_REPLAY);
    journal_settle(moving->control->site.journal, queue->number, message->sequence, 1);
    return true;
}

static void put_back(const struct control *control, struct stored_queue *queue, const void *text, uint32_t length)
{
    if (queue->node != NULL)
        queue_put_back(queue->node, text, length);
    else
        journal_append(control->site.journal, queue->number, queue->next_sequence++, text, length);
}

static enum control_outcome move(struct moving *moving, const struct store_message *message)
{
    const struct control *control = moving->control;
    const struct stored_queue *queue = queue_numbered(control, moving->letters[moving->index].queue);
    struct stored_queue *source = NULL;
    struct dead_letter head;
    const void *body;
    if (!dead_letter_read(message->text, message->length, &head, &body))
        return CONTROL_NO_LETTER;
    if (moving->verb == CONTROL_REPLAY) {
        source = queue_named(control, head.source);
        if (source == NULL || source->is_taken)
            return CONTROL_NO_WAY;
        if (!has_room(control, source, (uint32_t)head.message_bytes))
            return CONTROL_FULL;
    }
    if (!withdraw(moving, queue, message))
        return CONTROL_NOT_FREE;
    if (source != NULL)
        put_back(control, source, body, (uint32_t)head.message_bytes);
    moving->moved_count++;
    return CONTROL_MOVED;
}

/* ---- a request ---- */

static const struct control_letter *next_in(const struct moving *moving, uint32_t queue)
{
    bool is_in = moving->index < moving->count && moving->letters[moving->index].queue == queue;
    return is_in ? &moving->letters[moving->index] : NULL;
}

static void set_outcome(struct moving *moving, enum control_outcome outcome)
{
    moving->outcomes[moving->index++] = (char)outcome;
}

static bool look_at(void *context, const struct store_message *message)
{
    struct moving *moving = context;
    uint32_t queue = moving->letters[moving->index].queue;
    const struct control_letter *next;
    while ((next = next_in(moving, queue)) != NULL && next->sequence <= message->sequence)
        set_outcome(moving, next->sequence == message->sequence ? move(moving, message) : CONTROL_NOT_FREE);
    return next != NULL && next->sequence - message->sequence < NEAR_COUNT;
}

static enum status move_all(struct moving *moving, struct error *error)
{
    struct control *control = moving->control;
    while (moving->index < moving->count) {
        const struct control_letter *letter = &moving->letters[moving->index];
        const struct stored_queue *queue = queue_numbered(control, letter->queue);
        size_t before = moving->index;
        if (queue != NULL && !queue->is_taken && letter->sequence < queue->next_sequence) {
            enum status status = store_read_messages(control->reader, letter->queue, letter->sequence, READ_BYTES_MAX,
                                                     look_at, moving, error);
            if (status != STATUS_OK)
                return status;
        }
        if (moving->index == before)
            set_outcome(moving, CONTROL_NOT_FREE);
    }
    return STATUS_OK;
}

/* The file as it is now, from the first letter to the last. */
static enum status read_and_move(struct moving *moving, struct error *error)
{
    struct control *control = moving->control;
    enum status status = journal_reader(control->site.journal, &control->reader, error);
    if (status == STATUS_OK)
        status = store_begin_snapshot(control->reader, error);
    if (status != STATUS_OK)
        return status;
    status = store_list_queues(control->reader, add_queue, control, error);
    if (status == STATUS_OK)
        status = move_all(moving, error);
    store_end_snapshot(control->reader);
    free(control->queues);
    control->queues = NULL;
    control->queue_count = 0;
    return status;
}

static void set_text(struct asker *asker, const char *head, const char *rest, size_t rest_length)
{
    size_t head_length = strlen(head);
    char *text = malloc(head_length + rest_length + 1);
    CHECK(text != NULL);
    memcpy(text, head, head_length);
    memcpy(text + head_length, rest, rest_length);
    free(asker->text);
    asker->text = text;
    asker->length = head_length + rest_length;
}

/* What cannot be read is no more than that for the letters behind it; those before it have moved. */
static void do_request(struct control *control, struct asker *asker, struct moving *moving)
{
    struct error error = {0};
    memset(moving->outcomes, CONTROL_UNREAD, moving->count);
    enum status status = read_and_move(moving, &error);
    if (moving->moved_count > 0)
        control->ticket = journal_ticket(control->site.journal);
    if (status != STATUS_OK && moving->moved_count == 0)
        set_text(asker, "ERR ", error.text, strlen(error.text));
    else
        set_text(asker, "OK:", moving->outcomes, moving->count);
}

/* The first asker's text becomes the answer. */
static void answer_first(struct control *control)
{
    static const char malformed[] = "this is no request";
    static const char ending[] = "it is ending; when it has ended, ask again";
    struct asker *asker = &control->askers[0];
    struct control_letter *letters = malloc(CONTROL_LETTER_COUNT_MAX * sizeof *letters);
    char *outcomes = malloc(CONTROL_LETTER_COUNT_MAX);
    CHECK(letters != NULL && outcomes != NULL);
    struct moving moving = {.control = control, .letters = letters, .outcomes = outcomes};
    control->phase = PHASE_ANSWERED;
    control->ticket = 0;
    if (!control_request_read(asker->text, asker->length, &moving.verb, letters, &moving.count))
        set_text(asker, "ERR ", malformed, strlen(malformed));
    else if (node_stop_phase(control->site.nodes[0]) != STOP_NOT)
        set_text(asker, "ERR ", ending, strlen(ending));
    else
        do_request(control, asker, &moving);
    free(outcomes);
    free(letters);
}

/* ---- askers ---- */

static void remove_asker(struct control *control, size_t index)
{
    free(control->askers[index].text);
    control->asker_count--;
    memmove(&control->askers[index], &control->askers[index + 1],
            (control->asker_count - index) * sizeof control->askers[0]);
}

/* Whatever was done by now, but for what is in the open batch. */
static void begin_first(struct control *control)
{
    control->phase = PHASE_BEGUN;
    control->ticket = journal_ticket(control->site.journal) - 1;
    journal_want_written(control->site.journal);
}

static void send_first(struct control *control)
{
    struct asker *asker = &control->askers[0];
    if (asker->stream != NULL)
        tcp_send(asker->stream, asker->text, asker->length, NULL, 0);
    control->phase = PHASE_NONE;
    remove_asker(control, 0);
}

static bool has_ticket(const struct control *control)
{
    const struct journal *journal = control->site.journal;
    return journal_synced_ticket(journal) >= control->ticket &&
           (control->phase == PHASE_ANSWERED || journal_written_ticket(journal) >= control->ticket);
}

static struct asker *asker_of(struct control *control, const struct tcp_stream *stream)
{
    for (size_t i = 0; i < control->asker_count; i++)
        if (control->askers[i].stream == stream)
            return &control->askers[i];
    return NULL;
}

static void take_frame(void *context, struct tcp_stream *stream, const void *text, size_t length)
{
    struct control *control = context;
    static const char impatient[] = "ERR one request at a time";
    if (asker_of(control, stream) != NULL) {
        tcp_send(stream, impatient, strlen(impatient), NULL, 0);
        tcp_shut(stream);
        return;
    }
    CHECK(control->asker_count < ASKER_COUNT_MAX);
    struct asker *asker = &control->askers[control->asker_count++];
    *asker = (struct asker){.stream = stream};
    set_text(asker, "", text, length);
}

/* What nobody waits for is not begun. */
static void stream_closed(void *context, struct tcp_stream *stream, enum tcp_end end, const char *why)
{
    struct control *control = context;
    struct asker *asker = asker_of(control, stream);
    (void)end, (void)why;
    if (asker == NULL)
        return;
    size_t index = (size_t)(asker - control->askers);
    if (index == 0 && control->phase == PHASE_ANSWERED) {
        asker->stream = NULL;
        return;
    }
    if (index == 0)
        control->phase = PHASE_NONE;
    remove_asker(control, index);
}

/* ---- the control ---- */

static enum status listen_at(struct control *control, struct error *error)
{
    const struct tcp_limits limits = {.frame_bytes_max = CONTROL_REQUEST_BYTES_MAX,
                                      .unsent_bytes_max = UNSENT_BYTES_MAX,
                                      .connection_count_max = CONNECTION_COUNT_MAX};
    const struct tcp_handlers handlers = {.frame = take_frame, .closed = stream_closed, .context = control};
    struct poller *poller = NULL;
    enum status status = idle_poller(control->site.idle, &poller, error);
    if (status != STATUS_OK)
        return status;
    int file = local_socket_listen(control->site.directory, CONTROL_SOCKET_NAME);
    if (file < 0)
        return error_set_errno(error, errno, "%s", CONTROL_SOCKET_NAME);
    return tcp_server_open_at(&control->server, file, CONTROL_SOCKET_NAME, poller, &limits, &handlers, error);
}

static struct control *control_open(const struct control_site *site)
{
    struct control *control = calloc(1, sizeof *control);
    CHECK(control != NULL);
    struct error error = {0};
    control->site = *site;
    if (listen_at(control, &error) == STATUS_OK)
        return control;
    log_line(site->log, LOG_WARN,
             "--store %s: dead-letters replay and drop will work when this launch has ended only: %s", site->directory,
             error.text);
    free(control);
    return NULL;
}

static size_t control_step(struct control *control)
{
    size_t work = 0;
    while (control->asker_count > 0) {
        if (control->phase == PHASE_NONE)
            begin_first(control);
        if (!has_ticket(control)) {
            journal_want_sync(control->site.journal);
            break;
        }
        if (control->phase == PHASE_BEGUN)
            answer_first(control);
        else
            send_first(control);
        work++;
    }
    if (work > 0)
        tcp_server_flush(control->server);
    return work;
}

/* What was done is on the disk by now, and who asked for it is told. The name goes while the store is still locked: the
 * next launch's would be taken else. */
static void control_close(struct control **control_pointer)
{
    struct control *control = *control_pointer;
    if (control == NULL)
        return;
    local_socket_remove(control->site.directory, CONTROL_SOCKET_NAME);
    if (control->phase == PHASE_ANSWERED && has_ticket(control))
        send_first(control);
    tcp_server_close(&control->server);
    while (control->asker_count > 0)
        remove_asker(control, 0);
    free(control);
    *control_pointer = NULL;
}

const struct control_type store_control_type = {
    .open = control_open,
    .step = control_step,
    .close = control_close,
};
