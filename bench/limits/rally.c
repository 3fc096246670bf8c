#include "bench/limits/rally.h"

#include <string.h>

#include "bench/limits/spsc.h"
#include "bench/support.h"

enum { BATCH = 256, RING_COUNT = 4096 };

struct table {
    struct spsc rings[2];
    struct bench_tally tally; /* the second player's: one for each return */
    char (*balls)[64];        /* a line each */
};

struct player {
    struct table *table;
    unsigned side;
};

static void hit(char *ball)
{
    memcpy(ball, memcmp(ball, "ping", 4) == 0 ? "pong" : "ping", 4);
}

static void *play(void *argument)
{
    struct player *player = argument;
    struct table *table = player->table;
    void *balls[BATCH];
    uint64_t rally_count = 0;
    bench_bind(player->side);
    while (!atomic_load_explicit(&table->tally.stop, memory_order_relaxed)) {
        uint32_t count = spsc_take(&table->rings[player->side], balls, BATCH);
        for (uint32_t i = 0; i < count; i++)
            hit(balls[i]);
        spsc_put(&table->rings[1 - player->side], balls, count); /* has room for all there are */
        rally_count += count;
        if (player->side == 1 && count > 0)
            atomic_store_explicit(&table->tally.count, rally_count, memory_order_relaxed);
    }
    return NULL;
}

bool rally_run(void *context, double seconds, double *figures)
{
    const unsigned ball_count = *(unsigned *)context;
    struct table *table = aligned_alloc(SPSC_LINE_BYTES, sizeof *table);
    if (table == NULL)
        bench_fail("no memory");
    *table = (struct table){.balls = aligned_alloc(SPSC_LINE_BYTES, ball_count * sizeof *table->balls)};
    if (table->balls == NULL)
        bench_fail("no memory");
    spsc_open(&table->rings[0], RING_COUNT);
    spsc_open(&table->rings[1], RING_COUNT);
    for (unsigned i = 0; i < ball_count; i++) {
        void *ball = memcpy(table->balls[i], "ping", 4);
        spsc_put(&table->rings[0], &ball, 1);
    }
    struct player players[] = {{table, 0}, {table, 1}};
    pthread_t threads[] = {bench_thread(play, &players[0]), bench_thread(play, &players[1])};
    figures[0] = bench_tally_rate(&table->tally, seconds);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    spsc_close(&table->rings[0]);
    spsc_close(&table->rings[1]);
    free(table->balls);
    free(table);
    return true;
}
