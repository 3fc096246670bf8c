/*
 * probe.h: static tracepoints (USDT) for perf, bpftrace and SystemTap: a message's way can be watched in a program that
 * runs, without a special build. A probe that nobody watches is one no-operation instruction. Without <sys/sdt.h>
 * (Debian: systemtap-sdt-dev) there are none.
 *
 *   millrace:enqueue   edge, messages      a block of messages is published
 *   millrace:dequeue   edge, messages      its consumer takes it
 *   millrace:park      idle                a thread goes to sleep
 *   millrace:wake      idle                another thread wakes it
 *   millrace:drop      node's name, cause, messages    messages end here; the cause is the counter's name
 */
#ifndef ENGINE_PROBE_H
#define ENGINE_PROBE_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#ifdef __clang__ /* its macros leave out variadic arguments, and -Wpedantic finds that where they are used */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define PROBE1(name, a)       DTRACE_PROBE1(millrace, name, a)
#define PROBE2(name, a, b)    DTRACE_PROBE2(millrace, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(millrace, name, a, b, c)
#endif
#endif

#ifndef PROBE1
#define PROBE1(name, a)       ((void)(a))
#define PROBE2(name, a, b)    ((void)(a), (void)(b))
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
