#include "bench/peers/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/sockets.h"
#include "bench/support.h"

struct redis {
    pid_t pid;
};

/* False: not installed. What it says goes nowhere. */
static bool start(struct redis *redis, const struct sockaddr_in *address)
{
    char port[8];
    char *const arguments[] = {
        "redis-server", "--port", port, "--bind",      "127.0.0.1", "--save",      "",  "--appendonly",
        "no",           "--dir",  "/",  "--daemonize", "no",        "--databases", "1", NULL};
    posix_spawn_file_actions_t actions;
    snprintf(port, sizeof port, "%u", ntohs(address->sin_port));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int result = posix_spawnp(&redis->pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result != 0 && result != ENOENT)
        bench_fail("redis-server: %s", strerror(result));
    return result == 0;
}

static void wait_until_it_listens(const struct redis *redis, const struct sockaddr_in *address)
{
    int fd;
    while ((fd = bench_socket_connect(address)) < 0) {
        if (waitpid(redis->pid, NULL, WNOHANG) != 0)
            bench_fail("redis-server has ended");
        bench_wait_ns(1000000);
    }
    close(fd);
}

struct redis *redis_open(struct sockaddr_in *address)
{
    struct redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL)
        bench_fail("no memory");
    bench_socket_free_port(SOCK_STREAM, address);
    if (!start(redis, address)) {
        free(redis);
        return NULL;
    }
    wait_until_it_listens(redis, address);
    return redis;
}

void redis_close(struct redis *redis)
{
    kill(redis->pid, SIGTERM);
    waitpid(redis->pid, NULL, 0);
    free(redis);
}
