#include "nodes/metrics/report_schedule.h"

#include "engine/check.h"
#include "engine/clock.h"

static const int64_t set_back_min_ns = NS_PER_S;
static const int64_t set_forward_min_ns = 60 * NS_PER_S;

static int64_t next_second_ns(int64_t wall_ns)
{
    return (wall_ns / NS_PER_S + 1) * NS_PER_S;
}

void report_schedule_start(struct report_schedule *schedule, int64_t period_ns, int64_t wall_ns)
{
    CHECK(period_ns > 0);
    *schedule = (struct report_schedule){
        .period_ns = period_ns,
        .t0_ns = wall_ns,
        .end_ns = period_ns % NS_PER_S == 0 ? next_second_ns(wall_ns) : wall_ns + period_ns,
        .looked_ns = wall_ns,
        .fresh = true,
    };
}

int64_t report_schedule_due_ns(const struct report_schedule *schedule)
{
    int64_t second_ns = next_second_ns(schedule->looked_ns);
    return second_ns < schedule->end_ns ? second_ns : schedule->end_ns;
}

static struct report_slice current_slice(const struct report_schedule *schedule)
{
    return (struct report_slice){
        .second = schedule->looked_ns / NS_PER_S,
        .owned = schedule->fresh || schedule->looked_ns % NS_PER_S == 0,
        .t0_ns = schedule->t0_ns,
    };
}

bool report_schedule_take(struct report_schedule *schedule, int64_t wall_ns, struct report_slice *slice)
{
    int64_t due_ns = report_schedule_due_ns(schedule);
    bool was_set = wall_ns < schedule->looked_ns - set_back_min_ns || wall_ns > due_ns + set_forward_min_ns;
    if (wall_ns < due_ns && !was_set)
        return false;
    *slice = current_slice(schedule);
    slice->ends_period = was_set || due_ns == schedule->end_ns;
    slice->t1_ns = due_ns;
    schedule->looked_ns = due_ns;
    schedule->fresh = false;
    if (was_set) {
        report_schedule_start(schedule, schedule->period_ns, wall_ns);
    } else if (slice->ends_period) {
        schedule->t0_ns = due_ns;
        schedule->end_ns = due_ns + schedule->period_ns;
    }
    return true;
}

void report_schedule_finish(struct report_schedule *schedule, int64_t wall_ns, struct report_slice *slice)
{
    int64_t due_ns = report_schedule_due_ns(schedule);
    *slice = current_slice(schedule);
    slice->ends_period = true;
    slice->t1_ns = wall_ns < schedule->looked_ns ? schedule->looked_ns : wall_ns > due_ns ? due_ns : wall_ns;
    schedule->looked_ns = slice->t1_ns;
    schedule->t0_ns = slice->t1_ns;
    schedule->fresh = false;
}
