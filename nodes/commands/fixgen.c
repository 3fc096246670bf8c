/* The command that generates the demo's data. */
#include <inttypes.h>
#include <stdio.h>

#include "nodes/commands/arguments.h"
#include "nodes/fixgen.h"
#include "nodes/node_types.h"

#define SETTING(member) offsetof(struct fixgen_settings, member)

static const struct option fixgen_options[] = {
    {"symbols", OPTION_COUNT, SETTING(symbol_count), "100", 1, (double)FIXGEN_SYMBOL_COUNT_MAX, .value_name = "COUNT",
     .help = "how many symbols are traded"},
    {"orders", OPTION_COUNT, SETTING(order_count), "100000", 0, (double)FIXGEN_MESSAGE_COUNT_MAX, .value_name = "COUNT",
     .help = "how many lines trades.msg gets"},
    {"quotes", OPTION_COUNT, SETTING(quote_count), "100000", 0, (double)FIXGEN_MESSAGE_COUNT_MAX, .value_name = "COUNT",
     .help = "how many lines nbbo.msg gets"},
    {"seed", OPTION_COUNT, SETTING(seed), "1", 0, 18446744073709551615.0, .value_name = "NUMBER",
     .help = "the same seed gives the same bytes"},
    {"out", OPTION_TEXT, SETTING(out_dir), .value_name = "DIR",
     .help = "where nbbo.msg and trades.msg are written, over what is there", .required = true},
    {0},
};

static int run(int count, char **arguments)
{
    struct fixgen_settings settings = {0};
    struct error error = {0};
    int used;
    enum status status = command_arguments_parse(fixgen_options, &settings, count, arguments, &used, &error);
    if (status == STATUS_OK && used < count)
        status = error_set(&error, STATUS_USAGE, "'%s' stands where a flag (--NAME) is expected", arguments[used]);
    if (status == STATUS_OK)
        status = fixgen_write(&settings, &error);
    if (status != STATUS_OK) {
        fprintf(stderr, "millrace: fixgen: %s\n", error.text);
        return status == STATUS_USAGE ? 2 : 1;
    }
    printf("%s/nbbo.msg: %" PRIu64 " messages\n%s/trades.msg: %" PRIu64 " messages\n", settings.out_dir,
           settings.quote_count, settings.out_dir, settings.order_count);
    return 0;
}

const struct command fixgen_command = {
    .name = "fixgen",
    .usage = "FLAGS",
    .summary = "generate the market spread demo's quotes and orders",
    .options = fixgen_options,
    .run = run,
};
