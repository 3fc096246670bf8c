/*
 * Two steps: a scan lists where the separators are (fix_scan.c), then each field's tag is looked up in a table that
 * gives every wanted tag a place of its own. The one question for a field is whether it is wanted, and a stream of few
 * layouts lets the processor guess the answer: dropping unwanted ones without a question costs a quarter more.
 */
#include "nodes/functions/fix.h"

enum { TAG_WORD_BYTES = 4, TAG_TABLE_BITS = 5 };

/*
 * A tag as the first bytes of its field with the '=' that ends it, as a number (the first byte lowest): 55 is "55=".
 * The longest wanted tag has three digits, so four bytes tell whether a field is a wanted one.
 */
#define TAG1(a)       ((uint32_t)(a) | (uint32_t)'=' << 8)
#define TAG2(a, b)    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)'=' << 16)
#define TAG3(a, b, c) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)'=' << 24)

/*
 * A field's place in the table of tags, by what tells the wanted tags apart: the low halves of its first two bytes and
 * the lowest bit of the third (of 132 and 133). The multiplier was found by trying: it gives each of them a place of
 * its own. A tag that is added and falls on another one does not compile (an initialiser is overridden).
 */
#define TAG_PLACE(word) ((uint32_t)(((word)&UINT32_C(0x00010f0f)) * UINT32_C(0x2265b1f5)) >> (32 - TAG_TABLE_BITS))

/* Each wanted tag, how many of its bytes (with the '=') are compared, and the field it carries. Behind a tag of one
 * digit the third byte may be any, so it has two places. */
#define WANTED_TAGS(ROW)                                                                                               \
    ROW(TAG1('1'), TAG1('1'), 2, FIX_ACCOUNT)                                                                          \
    ROW(TAG1('1') | 1 << 16, TAG1('1'), 2, FIX_ACCOUNT)                                                                \
    ROW(TAG2('1', '1'), TAG2('1', '1'), 3, FIX_ORDER_ID)                                                               \
    ROW(TAG2('3', '7'), TAG2('3', '7'), 3, FIX_ORDER_ID)                                                               \
    ROW(TAG2('3', '5'), TAG2('3', '5'), 3, FIX_TYPE)                                                                   \
    ROW(TAG2('3', '8'), TAG2('3', '8'), 3, FIX_ORDER_QUANTITY)                                                         \
    ROW(TAG2('5', '5'), TAG2('5', '5'), 3, FIX_SYMBOL)                                                                 \
    ROW(TAG2('6', '0'), TAG2('6', '0'), 3, FIX_TRANSACT_TIME)                                                          \
    ROW(TAG3('1', '3', '2'), TAG3('1', '3', '2'), 4, FIX_BID)                                                          \
    ROW(TAG3('1', '3', '3'), TAG3('1', '3', '3'), 4, FIX_OFFER)                                                        \
    ROW(TAG3('9', '9', '9'), TAG3('9', '9', '9'), 4, FIX_FEED_EPOCH)

/* The tables have no row for other tags: an empty one (of no bits) is always found, and is field FIX_OTHER. Two tables,
 * so that the one that every field asks has rows of eight bytes, which are addressed without arithmetic. */
struct tag {
    uint32_t mask; /* the bits of a field's first word that are the tag and its '=' */
    uint32_t tag;
};

struct tag_field {
    uint8_t bytes; /* of the tag and its '=' */
    uint8_t field; /* enum fix_field */
};

#define TAG_ROW(word, value, length, name)       [TAG_PLACE(word)] = {UINT32_MAX >> (32 - 8 * (length)), value},
#define TAG_FIELD_ROW(word, value, length, name) [TAG_PLACE(word)] = {length, name},
static const struct tag tags[1 << TAG_TABLE_BITS] = {WANTED_TAGS(TAG_ROW)};
static const struct tag_field tag_fields[1 << TAG_TABLE_BITS] = {WANTED_TAGS(TAG_FIELD_ROW)};

/* The field from `at` to `stop`, of which `word` holds the first four bytes. A tag that is found holds no separator and
 * no quote, so it lies inside the field. */
static inline void read_field(struct fix_message *message, uint32_t word, const char *at, const char *stop)
{
    const uint32_t place = TAG_PLACE(word);
    if ((word & tags[place].mask) != tags[place].tag)
        return;
    const char *value = at + tag_fields[place].bytes;
    message->fields[tag_fields[place].field] = (struct fix_view){.data = value, .length = (size_t)(stop - value)};
}

static inline uint32_t load_word(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* As load_word near the end of the text; what lies behind it is 0, which is part of no tag. */
static uint32_t load_last_word(const char *at, const char *end)
{
    uint32_t word = 0;
    size_t length = (size_t)(end - at);
    memcpy(&word, at, length < sizeof word ? length : sizeof word);
    return word;
}

/* Reads the fields that end at `places` of `part`, the first of which starts at `field`; returns where the next one
 * starts. */
static const char *read_fields(struct fix_message *message, const char *field, const char *part, const uint16_t *places,
                               size_t count)
{
    /* Of those fields whose first word lies inside the text; nearly always all. */
    size_t far_count = count;
    while (far_count > 1 && message->end - (part + places[far_count - 2] + 1) < TAG_WORD_BYTES)
        far_count--;
    if (far_count == 1 && message->end - field < TAG_WORD_BYTES)
        far_count = 0;
    size_t i = 0;
    for (; i < far_count; i++) {
        const char *stop = part + places[i];
        read_field(message, load_word(field), field, stop);
        field = stop + 1;
    }
    for (; i < count; i++) {
        const char *stop = part + places[i];
        read_field(message, load_last_word(field, message->end), field, stop);
        field = stop + 1;
    }
    return field;
}

static void clear_fields(struct fix_message *message)
{
    for (size_t i = 0; i < FIX_FIELD_COUNT; i += 2)
        memset(&message->fields[i], 0, 2 * sizeof message->fields[i]);
}

void fix_read_by(fix_scan *scan, const char *text, size_t length, struct fix_message *message)
{
    uint16_t places[FIX_SCAN_BYTES_MAX + FIX_SCAN_SPARE];
    char padded[FIX_SCAN_BLOCK_BYTES];
    message->end = text + length;
    clear_fields(message);
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
        length--;
    const char *field = text;
    for (size_t done = 0; done < length;) {
        const char *part = text + done;
        size_t part_length = length - done < FIX_SCAN_BYTES_MAX ? length - done : FIX_SCAN_BYTES_MAX;
        size_t count;
        if (__builtin_expect(part_length < sizeof padded, 0)) {
            memset(padded, 0, sizeof padded);
            memcpy(padded, part, part_length);
            count = scan(padded, sizeof padded, places);
        } else {
            count = scan(part, part_length, places);
        }
        field = read_fields(message, field, part, places, count);
        done += part_length;
    }
    if (field < text + length)
        read_field(message, load_last_word(field, message->end), field, text + length);
}

void fix_read(const char *text, size_t length, struct fix_message *message)
{
    fix_read_by(fix_scan_best(), text, length, message);
}
