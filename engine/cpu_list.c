#include "engine/cpu_list.h"

#include <ctype.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

static bool read_number(const char **text, int *number)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    long value = strtol(*text, &end, 10);
    if (value >= CPU_SETSIZE)
        return false;
    *text = end;
    *number = (int)value;
    return true;
}

enum status cpu_list_pick(const char *text, unsigned index, int *cpu, struct error *error)
{
    int cpus[CPU_SETSIZE];
    unsigned count = 0;
    cpu_set_t usable;
    CPU_ZERO(&usable);
    sched_getaffinity(0, sizeof usable, &usable);
    const char *at = text;
    do {
        int first;
        int last;
        if (!read_number(&at, &first))
            return error_set(error, STATUS_USAGE, "--cpu-list: '%s' is no list of processors such as 0,1 or 0-3", text);
        last = first;
        if (*at == '-') {
            at++;
            if (!read_number(&at, &last) || last < first)
                return error_set(error, STATUS_USAGE, "--cpu-list: '%s' is no list of processors such as 0,1 or 0-3",
                                 text);
        }
        for (int each = first; each <= last && count < CPU_SETSIZE; each++) {
            if (!CPU_ISSET((size_t)each, &usable))
                return error_set(error, STATUS_USAGE,
                                 "--cpu-list: processor %d is not there for this process (it has %u)", each,
                                 cpu_usable_count());
            cpus[count++] = each;
        }
    } while (*at++ == ',');
    if (at[-1] != '\0')
        return error_set(error, STATUS_USAGE, "--cpu-list: '%s' is no list of processors such as 0,1 or 0-3", text);
    *cpu = cpus[index % count];
    return STATUS_OK;
}

unsigned cpu_usable_count(void)
{
    cpu_set_t usable;
    CPU_ZERO(&usable);
    if (sched_getaffinity(0, sizeof usable, &usable) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&usable);
}

enum status cpu_bind(pthread_t thread, int cpu, struct error *error)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    int result = pthread_setaffinity_np(thread, sizeof one, &one);
    if (result != 0)
        return error_set_errno(error, result, "cannot bind a thread to processor %d", cpu);
    return STATUS_OK;
}
