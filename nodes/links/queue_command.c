#include "nodes/links/queue_command.h"

#include <ctype.h>
#include <string.h>

#include "engine/check.h"
#include "engine/clock.h"

static const char error_unknown[] = "ERR unknown command";
static const char error_full[] = "ERR queue full";
static const char error_full_disk[] = "ERR queue full: disk";
static const char error_malformed[] = "ERR malformed command";
static const char error_unknown_lease[] = "ERR unknown lease";
static const char error_lease_over[] = "ERR lease is over";
static const char error_message_of[] = "ERR message of ";
static const char needs_tcp_end[] = " bytes needs TCP";
static const char too_long_middle[] = " bytes is above the limit of ";

static bool verb_is(const char *text, size_t verb_length, const char *verb)
{
    return verb_length == strlen(verb) && memcmp(text, verb, verb_length) == 0;
}

/* A part of the text up to the next colon, and what is behind that. */
struct part {
    const char *text;
    size_t length;
    bool has_more; /* a colon ended it */
};

static struct part next_part(const char **rest, size_t *rest_length)
{
    const char *colon = *rest_length > 0 ? memchr(*rest, ':', *rest_length) : NULL;
    size_t length = colon != NULL ? (size_t)(colon - *rest) : *rest_length;
    struct part part = {.text = *rest, .length = length, .has_more = colon != NULL};
    size_t passed = length + (colon != NULL ? 1 : 0);
    *rest += passed;
    *rest_length -= passed;
    return part;
}

/* Decimal seconds, to the nanosecond (what is finer is dropped). 0: these are none, or out of bounds. */
static int64_t parse_seconds_ns(const char *text, size_t length)
{
    int64_t ns = 0;
    size_t at = 0;
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        if ((ns = ns * 10 + (text[at] - '0') * NS_PER_S) > QUEUE_LEASE_SECONDS_MAX * NS_PER_S)
            return 0;
    if (at == 0)
        return 0;
    if (at < length && text[at] == '.')
        for (int64_t unit_ns = NS_PER_S / 10; ++at < length && text[at] >= '0' && text[at] <= '9'; unit_ns /= 10)
            ns += (text[at] - '0') * unit_ns;
    return at == length && ns <= QUEUE_LEASE_SECONDS_MAX * NS_PER_S ? ns : 0;
}

/* With a name (an id, a lease) first. */
static struct queue_command parse_named(enum queue_verb verb, const char *rest, size_t rest_length)
{
    const struct queue_command malformed = {.verb = QUEUE_MALFORMED};
    struct part name = next_part(&rest, &rest_length);
    struct queue_command command = {
        .verb = verb, .message = rest, .message_length = rest_length, .name = name.text, .name_length = name.length};
    if (name.length == 0)
        return malformed;
    if (verb == QUEUE_PUTID && (!name.has_more || name.length > QUEUE_ID_BYTES_MAX))
        return malformed;
    if (verb == QUEUE_ACK && name.has_more)
        return malformed;
    if (verb == QUEUE_EXTEND && (command.time_ns = parse_seconds_ns(rest, rest_length)) == 0)
        return malformed;
    return command;
}

static struct queue_command parse_lease(const char *rest, size_t rest_length, bool has_more)
{
    struct queue_command command = {.verb = QUEUE_LEASE};
    if (has_more && (command.time_ns = parse_seconds_ns(rest, rest_length)) == 0)
        command.verb = QUEUE_MALFORMED;
    return command;
}

static bool is_hex(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return true;
}

const void *queue_next_id(struct queue_command *command, size_t *id_length)
{
    if (command->message_length == 0)
        return NULL;
    const char *id = command->message;
    const char *comma = memchr(id, ',', command->message_length);
    *id_length = comma != NULL ? (size_t)(comma - id) : command->message_length;
    size_t passed = *id_length + (comma != NULL ? 1 : 0);
    command->message = id + passed;
    command->message_length -= passed;
    return id;
}

static bool are_ids(struct queue_command command)
{
    const char *text = command.message;
    size_t length = command.message_length;
    if (length == 0 || text[length - 1] == ',' || memchr(text, ':', length) != NULL)
        return false;
    size_t id_length = 0;
    size_t count = 0;
    while (count <= QUEUE_SEEN_IDS_MAX && queue_next_id(&command, &id_length) != NULL && id_length > 0 &&
           id_length <= QUEUE_ID_BYTES_MAX)
        count++;
    return command.message_length == 0 && id_length > 0 && id_length <= QUEUE_ID_BYTES_MAX &&
           count <= QUEUE_SEEN_IDS_MAX;
}

static struct queue_command parse_seen(const char *rest, size_t rest_length)
{
    struct part nonce = next_part(&rest, &rest_length);
    struct queue_command command = {.verb = QUEUE_SEEN,
                                    .message = rest,
                                    .message_length = rest_length,
                                    .name = nonce.text,
                                    .name_length = nonce.length};
    if (nonce.length == 0 || nonce.length > QUEUE_NONCE_BYTES_MAX || !is_hex(nonce.text, nonce.length) ||
        !are_ids(command))
        command.verb = QUEUE_MALFORMED;
    return command;
}

static struct queue_command parse_others(const char *rest, size_t rest_length)
{
    static const struct {
        const char *word;
        enum queue_verb verb;
    } named[] = {{"PUTID", QUEUE_PUTID}, {"ACK", QUEUE_ACK}, {"NACK", QUEUE_NACK}, {"EXTEND", QUEUE_EXTEND}};
    struct part verb = next_part(&rest, &rest_length);
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (verb_is(verb.text, verb.length, named[i].word))
            return parse_named(named[i].verb, rest, rest_length);
    if (verb_is(verb.text, verb.length, "LEASE"))
        return parse_lease(rest, rest_length, verb.has_more);
    if (verb_is(verb.text, verb.length, "SEEN"))
        return parse_seen(rest, rest_length);
    if (verb_is(verb.text, verb.length, "PUT"))
        return (struct queue_command){.verb = QUEUE_PUT, .message = ""};
    if (verb_is(verb.text, verb.length, "GET"))
        return (struct queue_command){.verb = QUEUE_GET};
    if (verb_is(verb.text, verb.length, "SIZE"))
        return (struct queue_command){.verb = QUEUE_SIZE};
    if (verb_is(verb.text, verb.length, "STATS"))
        return (struct queue_command){.verb = QUEUE_STATS};
    return (struct queue_command){.verb = QUEUE_UNKNOWN};
}

struct queue_command queue_command_parse(const void *text, size_t length)
{
    const char *bytes = text;
    /* Nearly all commands are one of these two. */
    if (length >= 4 && memcmp(bytes, "PUT:", 4) == 0)
        return (struct queue_command){.verb = QUEUE_PUT, .message = bytes + 4, .message_length = length - 4};
    if (length == 3 && memcmp(bytes, "GET", 3) == 0)
        return (struct queue_command){.verb = QUEUE_GET};
    return parse_others(bytes, length);
}

/* Without printf: each PUT is answered, and the formatting would cost as much as all the rest of it. */
static size_t append(char *text, size_t length, const char *part)
{
    size_t part_length = strlen(part);
    CHECK(part_length <= QUEUE_ANSWER_BYTES - length);
    memcpy(text + length, part, part_length);
    return length + part_length;
}

static size_t append_number(char *text, size_t length, uint64_t number)
{
    size_t digit_count = 1;
    for (uint64_t rest = number / 10; rest > 0; rest /= 10)
        digit_count++;
    CHECK(digit_count <= QUEUE_ANSWER_BYTES - length);
    for (size_t i = digit_count; i > 0; i--) {
        text[length + i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    return length + digit_count;
}

size_t queue_answer_put(char *text, size_t message_length)
{
    return append(text, append_number(text, append(text, 0, "PUT "), message_length), " bytes");
}

size_t queue_answer_size(char *text, uint64_t message_count)
{
    return append_number(text, 0, message_count);
}

size_t queue_answer_unknown(char *text)
{
    return append(text, 0, error_unknown);
}

size_t queue_answer_full(char *text)
{
    return append(text, 0, error_full);
}

size_t queue_answer_full_disk(char *text)
{
    return append(text, 0, error_full_disk);
}

size_t queue_answer_malformed(char *text)
{
    return append(text, 0, error_malformed);
}

size_t queue_answer_ok(char *text)
{
    return append(text, 0, "OK");
}

size_t queue_answer_unknown_lease(char *text)
{
    return append(text, 0, error_unknown_lease);
}

size_t queue_answer_lease_over(char *text)
{
    return append(text, 0, error_lease_over);
}

size_t queue_answer_lease_head(char *text, const void *lease, size_t lease_length, uint32_t deliveries)
{
    CHECK(lease_length < QUEUE_ANSWER_BYTES - 16);
    memcpy(text, lease, lease_length);
    size_t length = append_number(text, append(text, lease_length, ":"), deliveries);
    return append(text, length, ":");
}

size_t queue_answer_seen(char *text, const void *nonce, size_t nonce_length, const bool *seen, size_t count)
{
    CHECK(nonce_length <= QUEUE_NONCE_BYTES_MAX && count <= QUEUE_SEEN_IDS_MAX);
    memcpy(text, nonce, nonce_length);
    size_t length = append(text, nonce_length, ":");
    for (size_t i = 0; i < count; i++)
        text[length++] = seen[i] ? '1' : '0';
    return length;
}

size_t queue_answer_too_long(char *text, size_t message_length, uint64_t limit)
{
    size_t length = append_number(text, append(text, 0, error_message_of), message_length);
    return append_number(text, append(text, length, too_long_middle), limit);
}

size_t queue_answer_needs_tcp(char *text, size_t message_length)
{
    return append(text, append_number(text, append(text, 0, error_message_of), message_length), needs_tcp_end);
}

/* Reads digits and moves *at behind them. False: there are none, or too many. */
static bool read_number(const char *text, size_t length, size_t *at, uint64_t *number)
{
    size_t start = *at;
    *number = 0;
    for (; *at < length && text[*at] >= '0' && text[*at] <= '9' && *number <= UINT64_MAX / 16; (*at)++)
        *number = *number * 10 + (uint64_t)(text[*at] - '0');
    return *at > start && (*at == length || text[*at] < '0' || text[*at] > '9');
}

static bool read_word(const char *text, size_t length, size_t *at, const char *word)
{
    size_t word_length = strlen(word);
    if (length - *at < word_length || memcmp(text + *at, word, word_length) != 0)
        return false;
    *at += word_length;
    return true;
}

bool queue_answer_read_too_long(const void *text, size_t length, uint64_t *bytes, bool *of_frame)
{
    uint64_t limit;
    size_t at = 0;
    if (!read_word(text, length, &at, error_message_of) || !read_number(text, length, &at, bytes) ||
        !read_word(text, length, &at, too_long_middle) || !read_number(text, length, &at, &limit))
        return false;
    *of_frame = read_word(text, length, &at, " bytes"); /* net/tcp_input.c's own words */
    return at == length;
}

bool queue_answer_read_seen(const void *text, size_t length, uint64_t *nonce, const char **digits, size_t *count)
{
    const char *bytes = text;
    size_t at = 0;
    *nonce = 0;
    for (; at < length && at < QUEUE_NONCE_BYTES_MAX && isxdigit((unsigned char)bytes[at]); at++)
        *nonce = *nonce << 4 | (uint64_t)(bytes[at] <= '9' ? bytes[at] - '0' : (bytes[at] | 0x20) - 'a' + 10);
    if (at == 0 || !read_word(bytes, length, &at, ":") || at == length || length - at > QUEUE_SEEN_IDS_MAX)
        return false;
    *digits = bytes + at;
    *count = length - at;
    for (size_t i = 0; i < *count; i++)
        if ((*digits)[i] != '0' && (*digits)[i] != '1')
            return false;
    return true;
}

bool queue_answer_is_unknown(const void *text, size_t length)
{
    return verb_is(text, length, error_unknown);
}

/* "ERR message of <digits>" and then exactly `end`. */
static bool is_message_error(const char *text, size_t length, const char *end)
{
    size_t start = strlen(error_message_of);
    if (length <= start || memcmp(text, error_message_of, start) != 0)
        return false;
    size_t digits = 0;
    while (start + digits < length && text[start + digits] >= '0' && text[start + digits] <= '9')
        digits++;
    size_t rest = length - start - digits;
    return digits > 0 && rest == strlen(end) && memcmp(text + start + digits, end, rest) == 0;
}

bool queue_answer_is_needs_tcp(const void *text, size_t length)
{
    return is_message_error(text, length, needs_tcp_end);
}

bool queue_answer_is_full(const void *text, size_t length)
{
    return length >= strlen(error_full) && memcmp(text, error_full, strlen(error_full)) == 0;
}

bool queue_answer_is_error(const void *text, size_t length)
{
    return verb_is(text, length, error_unknown) || verb_is(text, length, error_full) ||
           queue_answer_is_needs_tcp(text, length);
}
