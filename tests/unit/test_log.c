/* Logs: lines and levels, files and their rotation, writes that fail, quoting. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/log.h"

/* A test's directory of its own, and stderr, kept while a test has it go to a file. */
static char folder[64];
static int home_fd = -1;
static int stderr_fd = -1;

static int open_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/millrace-log-XXXXXX");
    home_fd = open(".", O_RDONLY | O_DIRECTORY);
    return home_fd >= 0 && mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static void remove_all(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

static int close_folder(void **state)
{
    (void)state;
    int result = fchdir(home_fd);
    close(home_fd);
    char logs[80];
    snprintf(logs, sizeof logs, "%s/logs", folder);
    remove_all(logs);
    remove_all(folder);
    return result;
}

static void stderr_to(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    assert_true(fd >= 0);
    fflush(stderr);
    stderr_fd = dup(STDERR_FILENO);
    assert_true(stderr_fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

static void stderr_back(void)
{
    fflush(stderr);
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
}

/* The whole of a file; the caller frees it. */
static char *contents(const char *path, size_t *length)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t got = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    if (length != NULL)
        *length = got;
    return text;
}

static size_t line_count(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* The paths in logs/, sorted: a log and, behind it, its predecessor. */
static size_t find_logs(char paths[][300], size_t paths_max)
{
    struct dirent **entries = NULL;
    size_t count = 0;
    int found = scandir("logs", &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        if (entries[i]->d_name[0] != '.' && count < paths_max)
            snprintf(paths[count++], 300, "logs/%s", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return count;
}

static struct log *open_log(bool console, bool file, enum log_level level, uint64_t file_bytes_max)
{
    struct log *log = NULL;
    struct error error = {0};
    struct log_settings settings = {.node_name = "worker NODE_2",
                                    .address = "tcp://127.0.0.1:10000",
                                    .console = console,
                                    .file = file,
                                    .level = level,
                                    .file_bytes_max = file_bytes_max};
    if (log_open(&log, &settings, &error) != STATUS_OK)
        fail_msg("%s", error.text);
    assert_non_null(log);
    return log;
}

/* "2016-04-08 14:30:00.123456 " and the rest of the line. */
static void expect_line(const char *line, const char *rest)
{
    static const char form[] = "dddd-dd-dd dd:dd:dd.dddddd ";
    for (size_t i = 0; form[i] != '\0'; i++) {
        bool fits = form[i] == 'd' ? line[i] >= '0' && line[i] <= '9' : line[i] == form[i];
        if (!fits)
            fail_msg("no time: '%.40s'", line);
    }
    const char *text = line + sizeof form - 1;
    if (strncmp(text, rest, strlen(rest)) != 0)
        fail_msg("'%.100s' is not '%s'", text, rest);
}

static void test_console(void **state)
{
    (void)state;
    stderr_to("stderr");
    struct log *log = open_log(true, false, LOG_INFO, 4096);
    log_line(log, LOG_DEBUG, "not this");
    log_line(log, LOG_INFO, "%d of %s", 3, "these");
    log_text(log, LOG_INFO, "bytes and more", 5);
    log_line(log, LOG_WARN, "w");
    log_line(log, LOG_ERROR, "e");
    log_close(&log);
    stderr_back();
    assert_null(log);
    log_close(&log);
    char *text = contents("stderr", NULL);
    assert_int_equal(line_count(text), 4);
    expect_line(text, "worker NODE_2 INFO: 3 of these\n");
    char *next = strchr(text, '\n') + 1;
    expect_line(next, "worker NODE_2 INFO: bytes\n");
    next = strchr(next, '\n') + 1;
    expect_line(next, "worker NODE_2 WARNING: w\n");
    next = strchr(next, '\n') + 1;
    expect_line(next, "worker NODE_2 ERROR: e\n");
    free(text);
}

/* What a log of these settings writes to stderr, of one line of each level: "DIWE" or less. */
static void expect_levels(bool console, bool file, enum log_level level, const char *expected)
{
    static const char *const names[] = {"D", "I", "W", "E"};
    char seen[8] = "";
    stderr_to("stderr");
    struct log *log = open_log(console, file, level, 1 << 20);
    for (int each = LOG_DEBUG; each <= LOG_ERROR; each++) {
        bool to_file = file && each >= (int)level;
        assert_true(log_wants(log, (enum log_level)each) == (strstr(expected, names[each]) != NULL || to_file));
        log_line(log, (enum log_level)each, "%s", names[each]);
    }
    log_close(&log);
    stderr_back();
    char *text = contents("stderr", NULL);
    for (const char *at = text; (at = strstr(at, ": ")) != NULL; at += 2)
        seen[strlen(seen)] = at[2];
    assert_string_equal(seen, expected);
    free(text);
}

static void test_levels(void **state)
{
    (void)state;
    expect_levels(true, false, LOG_DEBUG, "DIWE");
    expect_levels(true, false, LOG_INFO, "IWE");
    expect_levels(true, false, LOG_WARN, "WE");
    expect_levels(true, false, LOG_ERROR, "E");
    expect_levels(false, false, LOG_DEBUG, "WE"); /* with neither, only warnings and errors */
    expect_levels(false, false, LOG_INFO, "WE");
    expect_levels(false, false, LOG_ERROR, "E");
    expect_levels(false, true, LOG_DEBUG, "");
    expect_levels(true, true, LOG_WARN, "WE");
}

static void test_lines_are_gathered(void **state)
{
    (void)state;
    struct stat information;
    stderr_to("stderr");
    struct log *log = open_log(true, false, LOG_DEBUG, 4096);
    log_line(log, LOG_INFO, "one");
    assert_int_equal(stat("stderr", &information), 0);
    assert_int_equal(information.st_size, 0);
    log_flush(log);
    assert_int_equal(stat("stderr", &information), 0);
    assert_true(information.st_size > 0);
    off_t size = information.st_size;
    log_flush(log); /* nothing more */
    assert_int_equal(stat("stderr", &information), 0);
    assert_int_equal(information.st_size, size);
    for (int i = 0; i < 5000; i++) /* more than a buffer holds */
        log_line(log, LOG_INFO, "line %d", i);
    assert_int_equal(stat("stderr", &information), 0);
    assert_true(information.st_size > size);
    log_close(&log);
    stderr_back();
    char *text = contents("stderr", NULL);
    assert_int_equal(line_count(text), 5001);
    assert_non_null(strstr(text, ": line 4999\n"));
    free(text);
}

static void test_file(void **state)
{
    (void)state;
    char paths[4][300];
    struct log *log = open_log(false, true, LOG_INFO, 1 << 20);
    struct log *another = open_log(false, true, LOG_INFO, 1 << 20);
    log_line(log, LOG_INFO, "hello");
    log_line(another, LOG_INFO, "hello");
    log_close(&log);
    log_close(&another);
    assert_int_equal(find_logs(paths, 4), 2); /* one a node: never the same */
    static const char start[] = "logs/worker NODE_2.tcp:__127.0.0.1:10000.";
    assert_memory_equal(paths[0], start, sizeof start - 1);
    assert_int_equal(strlen(paths[0]), sizeof start - 1 + 36 + strlen(".log"));
    assert_string_equal(paths[0] + sizeof start - 1 + 36, ".log");
    char *text = contents(paths[0], NULL);
    expect_line(text, "worker NODE_2 INFO: hello\n");
    assert_int_equal(line_count(text), 1);
    free(text);
}

static void test_no_folder_for_files(void **state)
{
    (void)state;
    int fd = open("logs", O_WRONLY | O_CREAT, 0600); /* a file has the name */
    assert_true(fd >= 0);
    close(fd);
    struct log *log = NULL;
    struct error error = {0};
    struct log_settings settings = {.node_name = "mq", .address = "", .file = true, .file_bytes_max = 4096};
    assert_int_equal(log_open(&log, &settings, &error), STATUS_SYSTEM);
    assert_non_null(strstr(error.text, "logs/mq.."));
    log_close(&log);
}

static void test_rotation(void **state)
{
    (void)state;
    char paths[4][300];
    struct log *log = open_log(false, true, LOG_INFO, 4096);
    for (int i = 0; i < 1000; i++)
        log_line(log, LOG_INFO, "line %04d, which is of some length", i);
    log_close(&log);
    assert_int_equal(find_logs(paths, 4), 2);
    assert_memory_equal(paths[1], paths[0], strlen(paths[0]));
    assert_string_equal(paths[1] + strlen(paths[0]), ".1");
    size_t lengths[2];
    char *now = contents(paths[0], &lengths[0]);
    char *before = contents(paths[1], &lengths[1]);
    assert_in_range(lengths[0], 1, 4096);
    assert_in_range(lengths[1], 2048, 4096);
    assert_non_null(strstr(now, "line 0999"));
    /* Whole lines, one behind the other across both. */
    int number = 1000 - (int)line_count(now) - (int)line_count(before);
    char line[40];
    snprintf(line, sizeof line, "line %04d,", number);
    assert_ptr_equal(strstr(before, "line "), strstr(before, line));
    snprintf(line, sizeof line, "line %04d,", 1000 - (int)line_count(now));
    assert_ptr_equal(strstr(now, "line "), strstr(now, line));
    free(now);
    free(before);
}

static void test_rotation_of_flushed_lines(void **state)
{
    (void)state;
    char paths[4][300];
    char filler[1000];
    memset(filler, 'x', sizeof filler);
    struct log *log = open_log(false, true, LOG_INFO, 4096);
    for (int i = 0; i < 3; i++) {
        log_text(log, LOG_INFO, filler, sizeof filler);
        log_flush(log);
    }
    assert_int_equal(find_logs(paths, 4), 1); /* 3 lines of somewhat over 1000 bytes fit */
    log_text(log, LOG_INFO, filler, sizeof filler);
    log_flush(log);
    assert_int_equal(find_logs(paths, 4), 2);
    char *before = contents(paths[1], NULL);
    assert_int_equal(line_count(before), 3);
    free(before);
    log_close(&log);
}

static void test_long_lines(void **state)
{
    (void)state;
    size_t length;
    char *line = malloc(100001);
    assert_non_null(line);
    memset(line, 'y', 100000);
    line[100000] = '\0';
    stderr_to("stderr");
    struct log *log = open_log(true, true, LOG_INFO, 4096);
    log_text(log, LOG_INFO, line, 100000);
    log_line(log, LOG_INFO, "%.*s", 5000, line);
    log_line(log, LOG_INFO, "%s", line);
    log_text(log, LOG_INFO, "", 0);
    log_close(&log);
    stderr_back();
    char *text = contents("stderr", &length);
    static const size_t expected[] = {65536, 5000, 65536, 0};
    char *at = text;
    for (size_t i = 0; i < 4; i++) {
        char *start = strstr(at, ": ") + 2;
        at = strchr(start, '\n');
        assert_non_null(at);
        assert_int_equal((size_t)(at - start), expected[i]);
    }
    free(text);
    free(line);
}

static void test_console_that_fails(void **state)
{
    (void)state;
    struct log *log = open_log(true, false, LOG_INFO, 4096);
    assert_int_equal(log_lost_line_count(log), 0);
    stderr_to("/dev/full");
    log_line(log, LOG_INFO, "one");
    log_line(log, LOG_INFO, "two");
    assert_int_equal(log_lost_line_count(log), 0);
    log_flush(log);
    assert_int_equal(log_lost_line_count(log), 2);
    log_line(log, LOG_ERROR, "three"); /* goes at once */
    stderr_back();
    assert_int_equal(log_lost_line_count(log), 3);
    stderr_to("stderr");
    log_line(log, LOG_INFO, "four");
    log_close(&log);
    stderr_back();
    char *text = contents("stderr", NULL);
    assert_int_equal(line_count(text), 1); /* tries again: what comes later is not lost */
    assert_non_null(strstr(text, ": four\n"));
    free(text);
}

/* A limit on the size of files stands for a full disk. */
static void test_file_that_fails(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    struct log *log = open_log(false, true, LOG_INFO, 1 << 20);
    stderr_to("stderr");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 20; j++)
            log_line(log, LOG_INFO, "a line of some forty bytes, round %d, %d", i, j);
        log_flush(log);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    stderr_back();
    assert_int_equal(log_lost_line_count(log), 100);
    char *text = contents("stderr", NULL);
    assert_int_equal(line_count(text), 1); /* once, not for each */
    assert_non_null(strstr(text, "cannot write the log file logs/worker NODE_2."));
    free(text);
    log_line(log, LOG_INFO, "the disk has room again");
    log_close(&log);
    char paths[4][300];
    assert_int_equal(find_logs(paths, 4), 1);
    text = contents(paths[0], NULL);
    assert_non_null(strstr(text, "the disk has room again\n"));
    free(text);
}

static void test_rotation_that_fails(void **state)
{
    (void)state;
    stderr_to("stderr");
    struct log *log = open_log(false, true, LOG_INFO, 4096);
    log_line(log, LOG_INFO, "first");
    log_flush(log);
    char paths[4][300];
    assert_int_equal(find_logs(paths, 4), 1);
    char old[310];
    snprintf(old, sizeof old, "%s.1", paths[0]);
    assert_int_equal(mkdir(old, 0700), 0); /* a file cannot be renamed to it */
    for (int i = 0; i < 100; i++)
        log_line(log, LOG_INFO, "line %04d, which is of some length", i);
    log_close(&log);
    stderr_back();
    char *text = contents(paths[0], NULL);
    assert_non_null(strstr(text, "first"));
    assert_non_null(strstr(text, "line 0099")); /* nothing is lost for it */
    free(text);
    text = contents("stderr", NULL);
    assert_non_null(strstr(text, "cannot write the log file"));
    free(text);
    rmdir(old);
}

/* ---- quoting ---- */

static void expect_quoted(const void *data, size_t length, const char *expected)
{
    char text[256];
    assert_ptr_equal(log_quote(data, length, text, sizeof text), text);
    assert_string_equal(text, expected);
}

#define QUOTED(bytes, expected) expect_quoted(bytes, sizeof(bytes) - 1, expected)

static void test_quote(void **state)
{
    (void)state;
    QUOTED("", "");
    QUOTED("plain ~ text", "plain ~ text");
    QUOTED("a\0b", "a\\x00b");
    QUOTED("\x01\n\r\t\x1f\x7f", "\\x01\\x0a\\x0d\\x09\\x1f\\x7f");
    QUOTED("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
    QUOTED("\xe2\x82\xac \xf0\x9d\x90\x87", "\xe2\x82\xac \xf0\x9d\x90\x87");
    QUOTED("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"); /* the last there is */
}

static void test_quote_of_bad_utf8(void **state)
{
    (void)state;
    QUOTED("\x80", "\\x80");
    QUOTED("\xff\xfe", "\\xff\\xfe");
    QUOTED("\xc0\xaf", "\\xc0\\xaf"); /* overlong, 2 bytes */
    QUOTED("\xc1\xbf", "\\xc1\\xbf");
    QUOTED("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf");          /* 3 */
    QUOTED("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"); /* 4 */
    QUOTED("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    QUOTED("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond U+10FFFF */
    QUOTED("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
    QUOTED("\xc3", "\\xc3"); /* cut off */
    QUOTED("\xe2\x82", "\\xe2\\x82");
    QUOTED("\xf0\x9d\x90", "\\xf0\\x9d\\x90");
    QUOTED("\xc3x", "\\xc3x");
    QUOTED("\xe2\x82x", "\\xe2\\x82x");
    QUOTED("\xc3\xc3\xbc", "\\xc3\xc3\xbc"); /* goes on with the next that is sound */
    expect_quoted("\xc3\xbc", 1, "\\xc3");   /* looks no further than it may */
}

static void test_quote_cuts(void **state)
{
    (void)state;
    static const char long_text[] = "0123456789012345678901234567890123456789";
    for (size_t text_bytes = 4; text_bytes < 40; text_bytes++) {
        char *text = malloc(text_bytes); /* to the byte: the sanitizer watches its end */
        assert_non_null(text);
        log_quote(long_text, sizeof long_text - 1, text, text_bytes);
        size_t length = strlen(text);
        assert_true(length < text_bytes);
        assert_string_equal(text + length - 3, "...");
        assert_memory_equal(text, long_text, length - 3);
        assert_int_equal(length, text_bytes - 1);
        /* Neither an escape nor a sequence is cut in two. */
        log_quote("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", 10, text, text_bytes);
        assert_int_equal((strlen(text) - 3) % 4, 0);
        log_quote("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
                  "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc",
                  40, text, text_bytes);
        assert_int_equal((strlen(text) - 3) % 2, 0);
        free(text);
    }
}

/* The text is cut when there is not enough room, and only then. */
static void test_quote_fits_exactly(void **state)
{
    (void)state;
    char text[8];
    assert_string_equal(log_quote("1234567", 7, text, 8), "1234567");
    assert_string_equal(log_quote("12345678", 8, text, 8), "1234...");
    assert_string_equal(log_quote("abc\x01", 4, text, 8), "abc\\x01");
    assert_string_equal(log_quote("", 0, text, 1), "");
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, open_folder, close_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_console),
        LOG_TEST(test_levels),
        LOG_TEST(test_lines_are_gathered),
        LOG_TEST(test_file),
        LOG_TEST(test_no_folder_for_files),
        LOG_TEST(test_rotation),
        LOG_TEST(test_rotation_of_flushed_lines),
        LOG_TEST(test_long_lines),
        LOG_TEST(test_console_that_fails),
        LOG_TEST(test_file_that_fails),
        LOG_TEST(test_rotation_that_fails),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_quote_of_bad_utf8),
        cmocka_unit_test(test_quote_cuts),
        cmocka_unit_test(test_quote_fits_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
