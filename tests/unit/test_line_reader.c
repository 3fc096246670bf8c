/* line_reader.c: lines as they are in a file, whatever its end, and lines that are too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nodes/line_reader.h"

/* What one read takes in; lines that end or begin there are the interesting ones. */
enum { BUFFER_BYTES = 256 * 1024 };

struct fixture {
    char directory[64];
    char path[128];
};

static int make_directory(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/test_line_reader.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/lines", fixture->directory);
    *state = fixture;
    return 0;
}

static int remove_directory(void **state)
{
    struct fixture *fixture = *state;
    (void)unlink(fixture->path);
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

static struct line_reader *open_with(const struct fixture *fixture, const void *contents, size_t length,
                                     size_t line_bytes_max)
{
    FILE *file = fopen(fixture->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(contents, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    struct line_reader *reader = NULL;
    struct error error = {0};
    assert_int_equal(line_reader_open(&reader, fixture->path, line_bytes_max, &error), STATUS_OK);
    return reader;
}

static void expect_line(struct line_reader *reader, const void *expected, size_t length)
{
    const char *line = NULL;
    size_t line_length = 0;
    struct error error = {0};
    assert_int_equal(line_reader_next(reader, &line, &line_length, &error), STATUS_OK);
    assert_int_equal(line_length, length);
    assert_memory_equal(line, expected, length);
}

/* The end, and again the end. */
static void expect_end(struct line_reader **reader, uint64_t too_long_count)
{
    const char *line = NULL;
    size_t length = 0;
    struct error error = {0};
    assert_int_equal(line_reader_next(*reader, &line, &length, &error), STATUS_CLOSED);
    assert_int_equal(line_reader_next(*reader, &line, &length, &error), STATUS_CLOSED);
    assert_int_equal(line_reader_too_long_count(*reader), too_long_count);
    line_reader_close(reader);
    assert_null(*reader);
    line_reader_close(reader);
}

/* `lines`: those expected, ended by NULL. */
static void expect_lines(const struct fixture *fixture, const char *contents, const char *const *lines)
{
    struct line_reader *reader = open_with(fixture, contents, strlen(contents), 100);
    for (; *lines != NULL; lines++)
        expect_line(reader, *lines, strlen(*lines));
    expect_end(&reader, 0);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__ NULL})

static void test_ends_of_lines_and_files(void **state)
{
    const struct fixture *fixture = *state;
    expect_lines(fixture, "", LINES());
    expect_lines(fixture, "a\nb\n", LINES("a", "b", ));
    expect_lines(fixture, "a\nb", LINES("a", "b", ));
    expect_lines(fixture, "\n", LINES("", ));
    expect_lines(fixture, "\n\n\n", LINES("", "", "", ));
    expect_lines(fixture, "a\n\nb\n\n", LINES("a", "", "b", "", ));
    expect_lines(fixture, "a", LINES("a", ));
    /* Only a newline ends a line; what else is at its end is the caller's to strip. */
    expect_lines(fixture, "a\r\nb\r\n", LINES("a\r", "b\r", ));
    expect_lines(fixture, "a\rb\n", LINES("a\rb", ));
}

static void test_any_bytes(void **state)
{
    static const char contents[] = "a\0b\n\0\n\xff\xfe\x80\n\0";
    struct line_reader *reader = open_with(*state, contents, sizeof contents - 1, 100);
    expect_line(reader, "a\0b", 3);
    expect_line(reader, "\0", 1);
    expect_line(reader, "\xff\xfe\x80", 3);
    expect_line(reader, "\0", 1);
    expect_end(&reader, 0);
}

static void test_the_longest_line(void **state)
{
    struct line_reader *reader = open_with(*state, "123456789\n12345678\n1234567\n12345678", 35, 8);
    expect_line(reader, "12345678", 8);
    expect_line(reader, "1234567", 7);
    expect_line(reader, "12345678", 8);
    expect_end(&reader, 1);
}

static void test_too_long_at_the_end_of_the_file(void **state)
{
    struct line_reader *reader = open_with(*state, "a\n123456789", 11, 8);
    expect_line(reader, "a", 1);
    expect_end(&reader, 1);
    reader = open_with(*state, "a\n123456789\n", 12, 8);
    expect_line(reader, "a", 1);
    expect_end(&reader, 1);
    reader = open_with(*state, "123456789\n123456789", 19, 8);
    expect_end(&reader, 2);
}

/* A line of `length` bytes between short ones, beginning at `start`; `ended`: something follows. */
static void expect_at(const struct fixture *fixture, size_t start, size_t length, size_t line_bytes_max, bool ended)
{
    size_t total = start + length + (ended ? 5 : 0);
    char *contents = malloc(total > 0 ? total : 1);
    assert_non_null(contents);
    memset(contents, '.', total);
    if (start > 0)
        contents[start - 1] = '\n';
    memset(contents + start, 'x', length);
    if (ended)
        memcpy(contents + start + length, "\nend\n", 5);
    struct line_reader *reader = open_with(fixture, contents, total, line_bytes_max);
    bool first_fits = start > 0 && start - 1 <= line_bytes_max;
    bool fits = length <= line_bytes_max;
    if (first_fits)
        expect_line(reader, contents, start - 1);
    if (fits && (length > 0 || ended))
        expect_line(reader, contents + start, length);
    if (ended)
        expect_line(reader, "end", 3);
    expect_end(&reader, (start > 0 && !first_fits ? 1u : 0u) + (fits ? 0u : 1u));
    free(contents);
}

/* Lines whose ends fall on the borders of what is read at once, at the limit and beyond it. */
static void test_at_the_borders_of_the_buffer(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t start = 0; start <= 1; start++) {
        for (size_t length = BUFFER_BYTES - 2; length <= BUFFER_BYTES + 1; length++) {
            for (int ended = 0; ended <= 1; ended++) {
                expect_at(fixture, start, length, BUFFER_BYTES * 4, ended != 0);
                expect_at(fixture, start, length, BUFFER_BYTES, ended != 0);
                expect_at(fixture, start, length, length, ended != 0);
                expect_at(fixture, start, length, length - 1, ended != 0);
                expect_at(fixture, start, length, 10, ended != 0);
            }
        }
    }
}

static void test_lines_across_the_border(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t start = BUFFER_BYTES - 3; start <= BUFFER_BYTES + 1; start++) {
        expect_at(fixture, start, 0, 100, true);
        expect_at(fixture, start, 1, 100, true);
        expect_at(fixture, start, 1, 1, false);
        expect_at(fixture, start, 5, 5, true);
        expect_at(fixture, start, 5, 4, true);
        expect_at(fixture, start, 5, BUFFER_BYTES * 2, true);
        expect_at(fixture, start, 5, 4, false);
    }
}

/* Far longer than the buffer: counted once, and what follows is there. */
static void test_a_line_of_many_buffers(void **state)
{
    const struct fixture *fixture = *state;
    expect_at(fixture, 3, 5 * BUFFER_BYTES + 1, 10, true);
    expect_at(fixture, 3, 5 * BUFFER_BYTES, 10, false);
    expect_at(fixture, 3, 5 * BUFFER_BYTES + 1, 8 * BUFFER_BYTES, true);
    expect_at(fixture, 3, 4 * BUFFER_BYTES, 4 * BUFFER_BYTES - 1, true);
}

static void test_many_short_lines(void **state)
{
    size_t capacity = 4 * BUFFER_BYTES;
    char *contents = malloc(capacity);
    assert_non_null(contents);
    size_t length = 0;
    unsigned count = 0;
    while (length + 32 < capacity)
        length += (size_t)snprintf(contents + length, capacity - length, "line %u\n", count++);
    struct line_reader *reader = open_with(*state, contents, length, 100);
    for (unsigned i = 0; i < count; i++) {
        char expected[32];
        int expected_length = snprintf(expected, sizeof expected, "line %u", i);
        expect_line(reader, expected, (size_t)expected_length);
    }
    expect_end(&reader, 0);
    free(contents);
}

static enum status read_on(struct line_reader *reader, uint64_t *again_count, size_t *length)
{
    const char *line = NULL;
    struct error error = {0};
    enum status status;
    for (*again_count = 0; (status = line_reader_next(reader, &line, length, &error)) == STATUS_AGAIN;)
        assert_true(*length == 1 && ++*again_count < 100000);
    return status;
}

/* Its caller gets a turn in between, to hear of a stop. */
static void test_much_that_is_too_long(void **state)
{
    size_t length = 8 << 20;
    char *contents = malloc(length);
    assert_non_null(contents);
    for (int many = 0; many <= 1; many++) {
        memset(contents, 'x', length);
        for (size_t i = 16; many && i < length; i += 16)
            contents[i] = '\n';
        struct line_reader *reader = open_with(*state, contents, length, 10);
        uint64_t again_count;
        size_t line_length;
        assert_int_equal(read_on(reader, &again_count, &line_length), STATUS_CLOSED);
        assert_true(again_count > 0);
        expect_end(&reader, many ? length / 16 : 1);
    }
    free(contents);
}

/* ---- what cannot be read ---- */

static void expect_refusal(const char *path, const char *reason)
{
    struct line_reader *reader = NULL;
    struct error error = {0};
    assert_int_equal(line_reader_open(&reader, path, 100, &error), STATUS_SYSTEM);
    assert_null(reader);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, reason));
}

static void test_not_there(void **state)
{
    const struct fixture *fixture = *state;
    expect_refusal(fixture->path, "No such file");
    expect_refusal("", "No such file");
}

static void test_a_directory(void **state)
{
    const struct fixture *fixture = *state;
    expect_refusal(fixture->directory, "directory");
}

int main(void)
{
#define LINE_TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        LINE_TEST(test_ends_of_lines_and_files),
        LINE_TEST(test_any_bytes),
        LINE_TEST(test_the_longest_line),
        LINE_TEST(test_too_long_at_the_end_of_the_file),
        LINE_TEST(test_at_the_borders_of_the_buffer),
        LINE_TEST(test_lines_across_the_border),
        LINE_TEST(test_a_line_of_many_buffers),
        LINE_TEST(test_many_short_lines),
        LINE_TEST(test_much_that_is_too_long),
        LINE_TEST(test_not_there),
        LINE_TEST(test_a_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
