/*
 * embed.c: a program with a topology inside: two queues joined by a worker that applies a function of the program's
 * own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/millrace.h>

static void apply_twice(void *state, const struct millrace_host *host, struct millrace_call *call, const void *data,
                        size_t length)
{
    (void)state;
    host->emit(call, 0, data, length);
    host->emit(call, 0, data, length);
}

static const struct millrace_function twice = {
    .abi_version = MILLRACE_FUNCTION_ABI,
    .struct_bytes = sizeof twice,
    .name = "twice",
    .title = "Twice",
    .summary = "each message two times",
    .apply = apply_twice,
};

static const char *const flags[] = {
    "--mq",     "--address",       "in",                                                    /* a queue */
    "--worker", "--input-address", "in",  "--output-address", "out", "--function", "twice", /* what the program does */
    "--mq",     "--address",       "out",                                                   /* another queue */
};

static void must(enum millrace_result result, const struct millrace_error *error)
{
    if (result == MILLRACE_OK)
        return;
    fprintf(stderr, "embed: %s\n", error->text);
    exit(EXIT_FAILURE);
}

int main(void)
{
    struct millrace_error error = {""};
    millrace_launch *launch;
    millrace_producer *producer;
    millrace_consumer *consumer;
    must(millrace_launch_open(&launch, sizeof flags / sizeof flags[0], flags, &error), &error);
    must(millrace_launch_add_function(launch, &twice, &error), &error);
    must(millrace_producer_open(launch, "in", &producer, &error), &error);
    must(millrace_consumer_open(launch, "out", &consumer, &error), &error);
    must(millrace_launch_start(launch, &error), &error);

    must(millrace_put(producer, "hello", strlen("hello")), &error);
    must(millrace_flush(producer), &error);
    for (int i = 0; i < 2; i++) {
        struct millrace_message message;
        must(millrace_take_wait(consumer, &message, INT64_C(10000000000)), &error);
        printf("%.*s\n", (int)message.length, (const char *)message.data);
    }
    millrace_launch_close(&launch);
    printf("function %s, ABI %u\n", twice.name, (unsigned)twice.abi_version);
    return EXIT_SUCCESS;
}
