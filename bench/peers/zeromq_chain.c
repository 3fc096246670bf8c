#include "bench/peers/peers.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "bench/support.h"

struct chain {
    const struct peer_chain *settings;
    void *context;
    struct bench_tally tally; /* the last stage's */
};

struct stage {
    struct chain *chain;
    void *in;  /* NULL: the first */
    void *out; /* NULL: the last */
};

static void must(bool well)
{
    if (!well)
        bench_fail("ZeroMQ: %s", zmq_strerror(zmq_errno()));
}

/* A message passed on as it is: ZeroMQ moves it without a copy. False: the context ends. */
static bool pass_one(struct stage *stage, zmq_msg_t *message)
{
    if (zmq_msg_recv(message, stage->in, 0) < 0)
        return false;
    if (stage->out == NULL) {
        _Atomic uint64_t *count = &stage->chain->tally.count;
        atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
        return true;
    }
    return zmq_msg_send(message, stage->out, 0) >= 0;
}

static void close_sockets(const struct stage *stage)
{
    if (stage->in != NULL)
        zmq_close(stage->in);
    if (stage->out != NULL)
        zmq_close(stage->out);
}

static void *run_first(void *argument)
{
    struct stage *stage = argument;
    const size_t bytes = stage->chain->settings->bytes;
    char text[1024] = {0};
    uint64_t number = 0;
    do {
        memcpy(text, &number, sizeof number);
        number++;
    } while (zmq_send(stage->out, text, bytes, 0) >= 0);
    close_sockets(stage);
    return NULL;
}

static void *run_other(void *argument)
{
    struct stage *stage = argument;
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (pass_one(stage, &message))
        continue;
    zmq_msg_close(&message);
    close_sockets(stage);
    return NULL;
}

static void *open_socket(struct chain *chain, int type, unsigned link)
{
    char address[32];
    int linger_ms = 0;
    void *socket = zmq_socket(chain->context, type);
    must(socket != NULL);
    must(zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) == 0);
    snprintf(address, sizeof address, "inproc://link-%u", link);
    must((type == ZMQ_PULL ? zmq_bind(socket, address) : zmq_connect(socket, address)) == 0);
    return socket;
}

bool zeromq_chain_run(void *context, double seconds, double *figures)
{
    struct chain chain = {.settings = context, .context = zmq_ctx_new()};
    struct stage stages[PEER_STAGE_MAX];
    pthread_t threads[PEER_STAGE_MAX];
    const unsigned count = chain.settings->stage_count;
    must(chain.context != NULL);
    for (unsigned i = 0; i < count; i++) {
        stages[i] = (struct stage){.chain = &chain};
        if (i > 0) {
            stages[i].in = open_socket(&chain, ZMQ_PULL, i);
            stages[i - 1].out = open_socket(&chain, ZMQ_PUSH, i);
        }
    }
    /* Sockets go to their threads with the threads' starts. */
    for (unsigned i = 0; i < count; i++)
        threads[i] = bench_thread(i == 0 ? run_first : run_other, &stages[i]);
    figures[0] = bench_tally_rate(&chain.tally, seconds);
    must(zmq_ctx_shutdown(chain.context) == 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    zmq_ctx_term(chain.context);
    return true;
}
