#include "bench/peers/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/sockets.h"
#include "bench/support.h"

/* Where a command has its port, and its directory. */
static const char port_place[] = "PORT";
static const char directory_place[] = "DIRECTORY";

const char *const peer_redis[] = {
    "redis-server", "--port", port_place, "--bind",      "127.0.0.1", "--save",      "",  "--appendonly",
    "no",           "--dir",  "/",        "--daemonize", "no",        "--databases", "1", NULL,
};
const char *const peer_nats[] = {"nats-server", "--addr", "127.0.0.1", "--port", port_place, NULL};
const char *const peer_jetstream[] = {"nats-server", "--addr",      "127.0.0.1",     "--port", port_place,
                                      "--jetstream", "--store_dir", directory_place, NULL};

enum { ARGUMENT_COUNT_MAX = 24 };

struct peer_server {
    const char *name;
    pid_t pid;
};

static const char *word_of(const char *word, const char *port, const char *directory)
{
    return word == port_place ? port : word == directory_place ? directory : word;
}

/* False: not installed. What it says goes nowhere. */
static bool start(struct peer_server *server, const char *const *command, const char *directory,
                  const struct sockaddr_in *address)
{
    char port[8];
    char *arguments[ARGUMENT_COUNT_MAX] = {NULL};
    posix_spawn_file_actions_t actions;
    snprintf(port, sizeof port, "%u", ntohs(address->sin_port));
    for (size_t i = 0; command[i] != NULL && i + 1 < ARGUMENT_COUNT_MAX; i++)
        if ((arguments[i] = strdup(word_of(command[i], port, directory))) == NULL)
            bench_fail("no memory");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int result = posix_spawnp(&server->pid, server->name, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; arguments[i] != NULL; i++)
        free(arguments[i]);
    if (result != 0 && result != ENOENT)
        bench_fail("%s: %s", server->name, strerror(result));
    return result == 0;
}

static void wait_until_it_listens(const struct peer_server *server, const struct sockaddr_in *address)
{
    int fd;
    while ((fd = bench_socket_connect(address)) < 0) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            bench_fail("%s has ended", server->name);
        bench_wait_ns(1000000);
    }
    close(fd);
}

struct peer_server *peer_server_open(const char *const *command, struct sockaddr_in *address)
{
    return peer_server_open_in(command, "/", address);
}

struct peer_server *peer_server_open_in(const char *const *command, const char *directory, struct sockaddr_in *address)
{
    struct peer_server *server = calloc(1, sizeof *server);
    if (server == NULL || command[0] == NULL)
        bench_fail("no memory, or no command");
    server->name = command[0];
    bench_socket_free_port(SOCK_STREAM, address);
    if (!start(server, command, directory, address)) {
        free(server);
        return NULL;
    }
    wait_until_it_listens(server, address);
    return server;
}

void peer_server_close(struct peer_server *server)
{
    kill(server->pid, SIGTERM);
    waitpid(server->pid, NULL, 0);
    free(server);
}
