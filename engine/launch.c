#include "engine/launch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/log.h"
#include "engine/stats_report.h"

struct launch {
    const struct topology_spec *spec;
    struct topology *topology;
    struct stats_table *table;
    int signal_fd;
    int64_t next_table_ns;    /* CLOCK_NEVER_NS: no table */
    int64_t next_drain_ns;    /* CLOCK_NEVER_NS: does not end by itself */
    int64_t stop_deadline_ns; /* CLOCK_NEVER_NS: not stopping */
    bool abandoned;
    bool failed; /* the store, or a node that could not give away what it had: said already */
};

/* How often --exit-when-drained looks. */
static const int64_t drain_look_interval_ns = 10 * NS_PER_MS;
/* How long a node has to end after it was told to leave everything. */
static const int64_t abandon_grace_ns = 2 * NS_PER_S;

static void change_signals(int how, sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    pthread_sigmask(how, signals, NULL);
}

static int open_signals(void)
{
    sigset_t signals;
    change_signals(SIG_BLOCK, &signals);
    signal(SIGPIPE, SIG_IGN); /* a reader of stdout or stderr that went away is an error of a write, not our death */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file at the limit of its size: the store takes it for a full disk */
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void exit_well(int number)
{
    (void)number;
    _exit(0);
}

static void exit_badly(int number)
{
    (void)number;
    _exit(1);
}

/* When all has ended: the next signal ends the process at once, also where the summary finds no reader, but with the
 * status that it would have had. Those that have come up to now have nothing left to end. */
static void let_signals_exit(const struct launch *launch, bool well)
{
    struct signalfd_siginfo information;
    while (read(launch->signal_fd, &information, sizeof information) == (ssize_t)sizeof information)
        continue;
    signal(SIGINT, well ? exit_well : exit_badly);
    signal(SIGTERM, well ? exit_well : exit_badly);
    sigset_t signals;
    change_signals(SIG_UNBLOCK, &signals);
}

static void begin_drain(struct launch *launch, int64_t now_ns)
{
    if (topology_stop_phase(launch->topology) != STOP_NOT)
        return;
    launch->stop_deadline_ns = now_ns + launch->spec->launch.drain_timeout_ns;
    launch->next_drain_ns = CLOCK_NEVER_NS;
    topology_stop(launch->topology, STOP_DRAIN);
}

static void abandon(struct launch *launch, int64_t now_ns)
{
    launch->abandoned = true;
    launch->stop_deadline_ns = now_ns + abandon_grace_ns;
    topology_stop(launch->topology, STOP_ABANDON);
}

static void take_signals(struct launch *launch, int64_t now_ns)
{
    struct signalfd_siginfo information;
    while (read(launch->signal_fd, &information, sizeof information) == (ssize_t)sizeof information) {
        if (topology_stop_phase(launch->topology) == STOP_NOT)
            begin_drain(launch, now_ns);
        else
            abandon(launch, now_ns);
    }
}

/* Whether what is printed there now is taken at once. A reader that has stopped (a full pipe) must not stop this
 * thread, which is the one that takes signals. */
static bool has_reader(FILE *out)
{
    struct pollfd descriptor = {.fd = fileno(out), .events = POLLOUT};
    return poll(&descriptor, 1, 0) > 0 && (descriptor.revents & POLLOUT) != 0;
}

/* Nothing that the nodes do is kept any more: they are ending, and so does the program. */
static void take_failure(struct launch *launch, int64_t now_ns)
{
    struct error error = {0};
    if (launch->failed || topology_failure(launch->topology, &error) == STATUS_OK)
        return;
    launch->failed = true;
    if (has_reader(stderr))
        error_print(&error);
    abandon(launch, now_ns);
}

/* A node that does not come back even now (a function that hangs) must not keep the program. */
static void leave_behind(const struct launch *launch, int64_t now_ns)
{
    size_t count;
    struct node *const *nodes = topology_nodes(launch->topology, &count);
    if (!has_reader(stderr))
        _exit(1);
    for (size_t i = 0; i < count; i++)
        if (!atomic_load_explicit(&nodes[i]->ended, memory_order_acquire))
            fprintf(stderr, "millrace: %s did not end; left behind\n", nodes[i]->name);
    stats_print_summary(launch->topology, stderr, now_ns);
    _exit(1);
}

static void take_time(struct launch *launch, int64_t now_ns)
{
    if (now_ns >= launch->next_table_ns) {
        if (has_reader(stdout))
            stats_table_print(launch->table, stdout, now_ns);
        launch->next_table_ns += NS_PER_S;
    }
    if (now_ns >= launch->next_drain_ns) {
        launch->next_drain_ns = now_ns + drain_look_interval_ns;
        if (topology_has_drained(launch->topology, now_ns))
            begin_drain(launch, now_ns);
    }
    if (now_ns >= launch->stop_deadline_ns) {
        if (launch->abandoned)
            leave_behind(launch, now_ns);
        if (has_reader(stderr))
            fprintf(stderr, "millrace: not drained within %.3f s; ending now\n",
                    (double)launch->spec->launch.drain_timeout_ns / (double)NS_PER_S);
        abandon(launch, now_ns);
    }
}

static int64_t earliest(const struct launch *launch)
{
    int64_t when = launch->next_table_ns;
    when = launch->next_drain_ns < when ? launch->next_drain_ns : when;
    return launch->stop_deadline_ns < when ? launch->stop_deadline_ns : when;
}

static void wait_for_something(struct launch *launch)
{
    struct pollfd descriptors[] = {
        {.fd = launch->signal_fd, .events = POLLIN},
        {.fd = topology_event_fd(launch->topology), .events = POLLIN},
    };
    int64_t when_ns = earliest(launch);
    int64_t left_ns = when_ns == CLOCK_NEVER_NS ? -1 : when_ns - clock_monotonic_ns();
    struct timespec timeout = {.tv_sec = left_ns / NS_PER_S, .tv_nsec = (long)(left_ns % NS_PER_S)};
    if (when_ns != CLOCK_NEVER_NS && left_ns <= 0)
        timeout = (struct timespec){0};
    ppoll(descriptors, 2, when_ns == CLOCK_NEVER_NS ? NULL : &timeout, NULL);
}

static void run(struct launch *launch)
{
    int64_t start_ns = topology_start_ns(launch->topology);
    launch->next_table_ns = launch->spec->launch.table ? start_ns + NS_PER_S : CLOCK_NEVER_NS;
    launch->next_drain_ns = launch->spec->launch.exit_when_drained ? start_ns : CLOCK_NEVER_NS;
    launch->stop_deadline_ns = CLOCK_NEVER_NS;
    launch->table = stats_table_new(launch->topology);
    while (!topology_all_ended(launch->topology)) {
        wait_for_something(launch);
        int64_t now_ns = clock_monotonic_ns();
        take_signals(launch, now_ns);
        take_failure(launch, now_ns);
        take_time(launch, now_ns);
    }
    struct error error = {0};
    if (topology_finish(launch->topology, &error) != STATUS_OK && !launch->failed) {
        launch->failed = true;
        if (has_reader(stderr))
            error_print(&error);
    }
    launch->failed = launch->failed || topology_left_over_count(launch->topology) > 0;
    let_signals_exit(launch, !launch->abandoned && !launch->failed);
    stats_print_summary(launch->topology, stderr, clock_monotonic_ns());
    stats_table_free(&launch->table);
}

int launch_run(const struct topology_spec *spec, const struct catalog *catalog)
{
    struct error error = {0};
    struct launch launch = {.spec = spec, .signal_fd = open_signals()};
    enum status status = launch.signal_fd >= 0 ? topology_open(&launch.topology, spec, catalog, false, &error)
                                               : error_set_errno(&error, errno, "cannot watch for signals");
    if (status != STATUS_OK) {
        /* Found before anything started: what the user gave cannot be launched, whoever refused it. */
        error_print(&error);
        if (launch.signal_fd >= 0)
            close(launch.signal_fd);
        return 2;
    }
    status = topology_start(launch.topology, &error);
    if (status == STATUS_OK)
        run(&launch);
    else
        error_print(&error);
    topology_close(&launch.topology);
    close(launch.signal_fd);
    return status == STATUS_OK && !launch.abandoned && !launch.failed ? 0 : 1;
}
