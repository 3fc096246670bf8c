/* The framing: every row of the protocol's table, what is malformed, and all lengths around each power of 16. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/lhhttt.h"

enum { UNTOUCHED = 0x5a5a };

static void check_frame(const char *frame, size_t frame_length, const char *text, size_t text_length)
{
    const void *found = NULL;
    size_t found_length = UNTOUCHED;
    assert_int_equal(lhhttt_read_datagram(frame, frame_length, &found, &found_length), STATUS_OK);
    assert_int_equal(found_length, text_length);
    assert_memory_equal(found, text, text_length);
}

/* The text gives exactly this frame, and back. */
static void check_row(const char *text, size_t text_length, const char *frame)
{
    char made[256];
    size_t header_length = lhhttt_write_header(text_length, made);
    memcpy(made + header_length, text, text_length);
    assert_int_equal(header_length + text_length, strlen(frame));
    assert_memory_equal(made, frame, strlen(frame));
    check_frame(frame, strlen(frame), text, text_length);
}

static void test_table(void **state)
{
    (void)state;
    static const char bold[] = "\xf0\x9d\x90\x87\xf0\x9d\x90\x9e\xf0\x9d\x90\xa5\xf0\x9d\x90\xa5\xf0\x9d\x90\xa8 "
                               "\xf0\x9d\x90\xb0\xf0\x9d\x90\xa8\xf0\x9d\x90\xab\xf0\x9d\x90\xa5\xf0\x9d\x90\x9d";
    assert_int_equal(strlen(bold), 41);
    char bold_frame[64] = "229";
    memcpy(bold_frame + 3, bold, sizeof bold);
    check_row("Hello World", 11, "1bHello World");
    check_row("abcdefghijklmnopqrstuvwxyz", 26, "21aabcdefghijklmnopqrstuvwxyz");
    check_row(bold, 41, bold_frame);
    check_row("", 0, "10");
    check_row("GET", 3, "13GET");
    check_row("SIZE", 4, "14SIZE");
    check_row("PUT:ping", 8, "18PUT:ping");
}

static void test_any_bytes(void **state)
{
    (void)state;
    check_frame("15\0\xff\x80\0\n", 7, "\0\xff\x80\0\n", 5);
}

static void test_upper_case_and_leading_zeros(void **state)
{
    (void)state;
    check_frame("1BHello World", 13, "Hello World", 11);
    check_frame("21Aabcdefghijklmnopqrstuvwxyz", 29, "abcdefghijklmnopqrstuvwxyz", 26);
    check_frame("3005hello", 9, "hello", 5);
    check_frame("f000000000000005hello", 21, "hello", 5);
    check_frame("F00000000000000bHello World", 27, "Hello World", 11);
    check_frame("200", 3, "", 0);
}

static void malformed_header(const char *data, size_t length)
{
    size_t header_length = UNTOUCHED;
    uint64_t text_length = UNTOUCHED;
    assert_int_equal(lhhttt_read_header(data, length, &header_length, &text_length), STATUS_INPUT);
    assert_int_equal(header_length, UNTOUCHED);
    assert_int_equal(text_length, UNTOUCHED);
}

static void malformed_datagram(const char *data, size_t length)
{
    const void *text = NULL;
    size_t text_length = UNTOUCHED;
    assert_int_equal(lhhttt_read_datagram(data, length, &text, &text_length), STATUS_INPUT);
    assert_null(text);
    assert_int_equal(text_length, UNTOUCHED);
}

static void test_malformed_headers(void **state)
{
    (void)state;
    malformed_header("0", 1);
    malformed_header("0hello", 6);
    malformed_header("g", 1);
    malformed_header("GET", 3);
    malformed_header("\0", 1);
    malformed_header("\xff", 1);
    malformed_header(" 15hello", 8);
    malformed_header("1g", 2);
    malformed_header("2x", 2); /* wrong already, though not complete */
    malformed_header("21x", 3);
    malformed_header("2-1", 3);
    malformed_header("3 05", 4);
    malformed_header("30\0", 3);
}

static void test_every_first_byte_and_digit(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char frame[2] = {(char)byte, '0'};
        size_t header_length;
        uint64_t text_length;
        const char *digits = "0123456789abcdefABCDEF";
        bool is_digit = byte != 0 && strchr(digits, byte) != NULL;
        enum status as_first = lhhttt_read_header(frame, 1, &header_length, &text_length);
        assert_int_equal(as_first, is_digit && byte != '0' ? STATUS_AGAIN : STATUS_INPUT);
        frame[0] = '1';
        frame[1] = (char)byte;
        enum status as_digit = lhhttt_read_header(frame, 2, &header_length, &text_length);
        assert_int_equal(as_digit, is_digit ? STATUS_OK : STATUS_INPUT);
        if (is_digit) {
            char text[2] = {(char)byte, '\0'};
            assert_int_equal(text_length, strtoul(text, NULL, 16));
        }
    }
}

static void test_malformed_datagrams(void **state)
{
    (void)state;
    malformed_datagram("", 0);
    malformed_datagram("1", 1);
    malformed_datagram("15", 2);
    malformed_datagram("15hell", 6);
    malformed_datagram("15hello!", 8);
    malformed_datagram("100", 3);
    malformed_datagram("0", 1);
    malformed_datagram("hello", 5);
    malformed_datagram("ffffffffffffffff", 16);
    malformed_datagram("ffffffffffffffffx", 17);
    malformed_datagram("f00000000000000", 15);
}

/* Each beginning of a header is the beginning of one; the whole is one, whatever follows. */
static void test_truncated_headers(void **state)
{
    (void)state;
    static const char frame[] = "f00000000000000bHello World";
    for (size_t length = 0; length < sizeof frame; length++) {
        size_t header_length = 0;
        uint64_t text_length = 0;
        enum status status = lhhttt_read_header(frame, length, &header_length, &text_length);
        assert_int_equal(status, length < LHHTTT_HEADER_BYTES_MAX ? STATUS_AGAIN : STATUS_OK);
        assert_int_equal(header_length, length < LHHTTT_HEADER_BYTES_MAX ? 0 : LHHTTT_HEADER_BYTES_MAX);
        assert_int_equal(text_length, length < LHHTTT_HEADER_BYTES_MAX ? 0 : 11);
    }
}

static void check_length(uint64_t length)
{
    char header[LHHTTT_HEADER_BYTES_MAX];
    char expected[32];
    char digits[24];
    int digit_count = snprintf(digits, sizeof digits, "%" PRIx64, length);
    int expected_length = snprintf(expected, sizeof expected, "%x%s", (unsigned)digit_count, digits);
    size_t header_length = lhhttt_write_header(length, header);
    assert_int_equal(header_length, expected_length);
    assert_memory_equal(header, expected, header_length);
    size_t read_header_length;
    uint64_t read_length;
    assert_int_equal(lhhttt_read_header(header, header_length, &read_header_length, &read_length), STATUS_OK);
    assert_int_equal(read_header_length, header_length);
    assert_true(read_length == length);
}

static void test_lengths(void **state)
{
    (void)state;
    const uint64_t end = UINT64_C(1) << 60;
    for (uint64_t length = 0; length < 5000; length++)
        check_length(length);
    for (unsigned power = 4; power <= 60; power += 4) {
        uint64_t middle = UINT64_C(1) << power;
        for (uint64_t length = middle < 300 ? 0 : middle - 300; length < middle + 300 && length < end; length++)
            check_length(length);
    }
    check_length(end - 1);
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

static void test_random_bytes(void **state)
{
    (void)state;
    uint64_t seed = 20160408;
    for (int round = 0; round < 200000; round++) {
        size_t length = next_random(&seed) % 24;
        /* Exactly as large as it is: a read beyond the end is caught by the address sanitizer. */
        unsigned char *data = malloc(length > 0 ? length : 1);
        assert_non_null(data);
        for (size_t i = 0; i < length; i++) {
            uint64_t random = next_random(&seed);
            char digit = "0123456789abcdefABCDEF"[(random & 0xff) % 22];
            data[i] = (random & 0x300) != 0 ? (unsigned char)digit : (unsigned char)random;
        }
        size_t header_length = 0;
        uint64_t text_length = 0;
        const void *text = NULL;
        size_t datagram_length = 0;
        enum status status = lhhttt_read_header(data, length, &header_length, &text_length);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN || status == STATUS_INPUT);
        if (status == STATUS_OK) {
            assert_in_range(header_length, 2, LHHTTT_HEADER_BYTES_MAX);
            assert_true(text_length >> 60 == 0);
        }
        bool whole = status == STATUS_OK && header_length + text_length == length;
        status = lhhttt_read_datagram(data, length, &text, &datagram_length);
        assert_int_equal(status, whole ? STATUS_OK : STATUS_INPUT);
        if (whole)
            assert_ptr_equal((const unsigned char *)text + datagram_length, data + length);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_upper_case_and_leading_zeros),
        cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_every_first_byte_and_digit),
        cmocka_unit_test(test_malformed_datagrams),
        cmocka_unit_test(test_truncated_headers),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
