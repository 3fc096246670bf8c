/* fix_scan.c: every way to scan that this processor has, against a plain one, up to both edges of readable memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/random.h"
#include "nodes/functions/fix.h"
#include "nodes/functions/fix_scan.h"

enum { TEXT_BYTES_MAX = 1400 };

/* Readable memory between two pages that are not. */
struct fenced {
    char *all;
    char *start;
    char *end;
    size_t page_bytes;
};

static void fence(struct fenced *fenced)
{
    fenced->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = 3 * fenced->page_bytes;
    fenced->all = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(fenced->all != MAP_FAILED);
    fenced->start = fenced->all + fenced->page_bytes;
    fenced->end = fenced->start + fenced->page_bytes;
    assert_int_equal(mprotect(fenced->start, fenced->page_bytes, PROT_READ | PROT_WRITE), 0);
}

static void unfence(struct fenced *fenced)
{
    assert_int_equal(munmap(fenced->all, 3 * fenced->page_bytes), 0);
}

static void fill(struct random_state *random, char *text, size_t length)
{
    static const char few[] = "xyz0123456789=====\001";
    static const char tags[] = "\001\001\001\"==113355778869029. ";
    switch (random_below(random, 4)) {
    case 0: /* any bytes */
        for (size_t i = 0; i < length; i++)
            text[i] = (char)random_next(random);
        break;
    case 1: /* near misses of the separator, and no end of it */
        for (size_t i = 0; i < length; i++)
            text[i] = "\000\001\002\201\001\001\001\001"[random_below(random, 8)];
        break;
    case 2:
        for (size_t i = 0; i < length; i++)
            text[i] = few[random_below(random, sizeof few - 1)];
        break;
    default:
        for (size_t i = 0; i < length; i++)
            text[i] = tags[random_below(random, sizeof tags - 1)];
        break;
    }
}

static void assert_scans(const struct fix_scanner *scanner, const char *text, size_t length)
{
    uint16_t places[FIX_SCAN_BYTES_MAX + FIX_SCAN_SPARE + 1];
    const uint16_t canary = 0xdead;
    places[length + FIX_SCAN_SPARE] = canary;
    const size_t count = scanner->scan(text, length, places);
    size_t expected = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] != 1)
            continue;
        if (expected >= count || places[expected] != i)
            fail_msg("%s of %zu bytes: place %zu is not %zu", scanner->name, length, expected, i);
        expected++;
    }
    if (count != expected)
        fail_msg("%s of %zu bytes: %zu places, not %zu", scanner->name, length, count, expected);
    assert_int_equal(places[length + FIX_SCAN_SPARE], canary);
}

static void test_every_scan_at_every_length_and_alignment(void **state)
{
    (void)state;
    struct fenced fenced;
    struct random_state random;
    random_seed(&random, 11);
    fence(&fenced);
    for (size_t s = 0; s < fix_scanner_count; s++) {
        if (!fix_scanners[s].is_supported())
            continue;
        for (size_t length = FIX_SCAN_BLOCK_BYTES; length <= FIX_SCAN_BYTES_MAX; length++) {
            for (size_t shift = 0; shift < 64; shift += 1 + (size_t)random_below(&random, 8)) {
                fill(&random, fenced.start + shift, length);
                assert_scans(&fix_scanners[s], fenced.start + shift, length);
            }
            fill(&random, fenced.start, length);
            assert_scans(&fix_scanners[s], fenced.start, length);
            fill(&random, fenced.end - length, length);
            assert_scans(&fix_scanners[s], fenced.end - length, length);
        }
    }
    unfence(&fenced);
}

/* A whole number without leading zeros; 0 for anything else. */
static unsigned tag_of(const char *at, const char *equals)
{
    if (equals == at || equals - at > 3 || *at == '0')
        return 0;
    unsigned tag = 0;
    for (; at < equals; at++) {
        if (*at < '0' || *at > '9')
            return 0;
        tag = tag * 10 + (unsigned)(*at - '0');
    }
    return tag;
}

static enum fix_field field_of(unsigned tag)
{
    static const struct {
        unsigned tag;
        enum fix_field field;
    } rows[] = {
        {1, FIX_ACCOUNT}, {11, FIX_ORDER_ID},      {37, FIX_ORDER_ID}, {35, FIX_TYPE},   {38, FIX_ORDER_QUANTITY},
        {55, FIX_SYMBOL}, {60, FIX_TRANSACT_TIME}, {132, FIX_BID},     {133, FIX_OFFER}, {999, FIX_FEED_EPOCH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].tag == tag)
            return rows[i].field;
    return FIX_OTHER;
}

/* What fix_read should do, a byte at a time. */
static void read_plainly(const char *text, size_t length, struct fix_message *message)
{
    *message = (struct fix_message){.end = text + length};
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
        length--;
    const char *end = text + length;
    for (const char *at = text; at < end;) {
        const char *stop = at;
        while (stop < end && *stop != 1)
            stop++;
        const char *equals = at;
        while (equals < stop && *equals != '=')
            equals++;
        if (equals < stop) {
            struct fix_view view = {.data = equals + 1, .length = (size_t)(stop - equals - 1)};
            message->fields[field_of(tag_of(at, equals))] = view;
        }
        at = stop + 1;
    }
}

static void assert_reads(const char *text, size_t length)
{
    struct fix_message expected;
    read_plainly(text, length, &expected);
    for (size_t s = 0; s <= fix_scanner_count; s++) {
        struct fix_message message;
        memset(&message, 0xff, sizeof message);
        if (s == fix_scanner_count)
            fix_read(text, length, &message);
        else if (fix_scanners[s].is_supported())
            fix_read_by(fix_scanners[s].scan, text, length, &message);
        else
            continue;
        assert_ptr_equal(message.end, expected.end);
        for (size_t i = FIX_OTHER + 1; i < FIX_FIELD_COUNT; i++) {
            if (message.fields[i].data != expected.fields[i].data ||
                message.fields[i].length != expected.fields[i].length)
                fail_msg("%s of %zu bytes: field %zu is at %td with %zu bytes",
                         s < fix_scanner_count ? fix_scanners[s].name : "fix_read", length, i,
                         message.fields[i].data != NULL ? message.fields[i].data - text : -1, message.fields[i].length);
        }
    }
}

static void test_every_reader_at_both_edges(void **state)
{
    (void)state;
    struct fenced fenced;
    struct random_state random;
    random_seed(&random, 12);
    fence(&fenced);
    for (size_t length = 0; length <= 300; length++) {
        for (int round = 0; round < 40; round++) {
            char *at_end = fenced.end - length;
            fill(&random, at_end, length);
            if (round % 2 == 0 && length >= 2)
                at_end[0] = at_end[length - 1] = '"';
            assert_reads(at_end, length);
            memmove(fenced.start, at_end, length);
            assert_reads(fenced.start, length);
        }
    }
    unfence(&fenced);
}

/* Whole messages of fields, among them wanted ones, over the ends of blocks and of the reader's parts. */
static void test_fields_anywhere(void **state)
{
    (void)state;
    static const char *const tags[] = {"1=",   "11=",  "37=",  "35=", "38=",  "55=", "60=", "132=",  "133=", "999=",
                                       "131=", "134=", "998=", "8=",  "10=",  "1",   "=",   "0055=", "12=",  "552=",
                                       "",     "39=",  "36=",  "5=",  "1321", "99=", "61=", "2=",    "54=",  "1 ="};
    struct random_state random;
    random_seed(&random, 13);
    for (int round = 0; round < 20000; round++) {
        char text[TEXT_BYTES_MAX];
        size_t length = 0;
        const size_t limit = (size_t)random_below(&random, TEXT_BYTES_MAX - 64);
        if (random_below(&random, 2) == 0)
            text[length++] = '"';
        while (length < limit) {
            const char *tag = tags[random_below(&random, sizeof tags / sizeof tags[0])];
            memcpy(text + length, tag, strlen(tag));
            length += strlen(tag);
            const size_t value_length = (size_t)random_below(&random, 24);
            fill(&random, text + length, value_length);
            for (size_t i = 0; i < value_length; i++)
                text[length + i] = text[length + i] == 1 && random_below(&random, 8) > 0 ? '1' : text[length + i];
            length += value_length;
            text[length++] = 1;
        }
        if (random_below(&random, 2) == 0)
            text[length++] = '"';
        /* A copy of exactly that size, so that a sanitizer sees a read beyond it. */
        char *copy = malloc(length > 0 ? length : 1);
        assert_non_null(copy);
        memcpy(copy, text, length);
        assert_reads(copy, length);
        free(copy);
    }
}

static void test_the_list(void **state)
{
    (void)state;
    size_t best = 0;
    while (!fix_scanners[best].is_supported())
        best++;
    assert_true(fix_scanners[best].scan == fix_scan_best());
    assert_string_equal(fix_scanners[fix_scanner_count - 1].name, "scalar");
    assert_true(fix_scanners[fix_scanner_count - 1].is_supported());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scan_at_every_length_and_alignment),
        cmocka_unit_test(test_every_reader_at_both_edges),
        cmocka_unit_test(test_fields_anywhere),
        cmocka_unit_test(test_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
