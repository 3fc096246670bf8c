/*
 * report_schedule.h: when a node's counts are looked at, and which second and period they belong to. Pure.
 *
 * Counts are looked at at each whole second of the wall clock and at the end of each period; the time between two looks
 * is a slice. Slices are bounded by where they should end, not by when somebody came to look, so there is no drift:
 * whoever comes late gets the missed slices one after the other, and puts what was counted into the first.
 *
 * A period of whole seconds ends on a whole second; so the first one is shorter. Periods are contiguous.
 *
 * A clock that is set back (by more than a second; less is waited for) or forward (by more than a minute; less may have
 * been a thread that could not run) ends the period where it should have been looked at next, and the next period
 * begins at the new time.
 */
#ifndef NODES_METRICS_REPORT_SCHEDULE_H
#define NODES_METRICS_REPORT_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* Times are nanoseconds since the epoch. */
struct report_schedule {
    int64_t period_ns;
    int64_t t0_ns;     /* where the current period began */
    int64_t end_ns;    /* where it should end */
    int64_t looked_ns; /* where the current slice began */
    bool fresh;        /* the current slice is the first since the start */
};

struct report_slice {
    int64_t second; /* of the epoch; the slice lies within it */
    /* The second is the period's, so it is listed though nothing was counted: it begins with this slice, or what was
     * before the start is nobody's. */
    bool owned;
    bool ends_period;
    int64_t t0_ns, t1_ns; /* ends_period: the period */
};

/* `period_ns` is positive. */
void report_schedule_start(struct report_schedule *schedule, int64_t period_ns, int64_t wall_ns);

/* When to look next. */
int64_t report_schedule_due_ns(const struct report_schedule *schedule);

/* Ends the current slice if it is time. To be called until it says false. */
bool report_schedule_take(struct report_schedule *schedule, int64_t wall_ns, struct report_slice *slice);

/* Ends the current slice and with it the last period, after report_schedule_take. */
void report_schedule_finish(struct report_schedule *schedule, int64_t wall_ns, struct report_slice *slice);

#endif
