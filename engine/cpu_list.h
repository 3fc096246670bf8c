/*
 * cpu_list.h: "0,2-5": processors, as taskset writes them.
 */
#ifndef ENGINE_CPU_LIST_H
#define ENGINE_CPU_LIST_H

#include <pthread.h>

#include "engine/status.h"

/* The processor at `index` modulo the length of the list. STATUS_USAGE: no list, or a processor that this process may
 * not use. Pure but for asking the system which it may. */
enum status cpu_list_pick(const char *text, unsigned index, int *cpu, struct error *error) MUST_USE;

/* How many processors this process may use. */
unsigned cpu_usable_count(void);

/* Binds a thread to one processor. */
enum status cpu_bind(pthread_t thread, int cpu, struct error *error) MUST_USE;

#endif
