/*
 * local_socket.h: Unix-domain stream sockets that are found by a name in a directory, for processes of one user.
 *
 * The directory's path may be longer than the 107 bytes that a socket's address holds. Any thread.
 */
#ifndef NET_LOCAL_SOCKET_H
#define NET_LOCAL_SOCKET_H

#include <stdint.h>

/* Listens, not blocking; only this user may connect. A socket that a killed process has left under this name is
 * replaced: the caller knows that nobody listens there. Returns the descriptor, or -1 with errno set (EEXIST: what has
 * the name is no socket). */
int local_socket_listen(const char *directory, const char *name);

/* Takes the name away. */
void local_socket_remove(const char *directory, const char *name);

/* Connects; the descriptor blocks, each call for `timeout_ns` at most, and then fails with EAGAIN. Returns it, or -1
 * with errno set (ENOENT, ECONNREFUSED: nobody listens). */
int local_socket_connect(const char *directory, const char *name, int64_t timeout_ns);

#endif
