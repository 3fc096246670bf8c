#include "net/local_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/clock.h"

enum { BACKLOG_COUNT = 16 };

/* The directory, for its entries only; -1 with errno set. */
static int open_directory(const char *directory)
{
    return open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Where the path is too long for an address, the way goes by the open directory (proc(5), /proc/self/fd). */
static struct sockaddr_un address_in(const char *directory, int directory_file, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        (void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory_file, name);
    return address;
}

static void close_quietly(int file)
{
    int error_number = errno;
    if (file >= 0)
        close(file);
    errno = error_number;
}

/* False with errno set. */
static bool remove_left_behind(int directory_file, const char *name)
{
    struct stat about;
    if (fstatat(directory_file, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    if (S_ISSOCK(about.st_mode))
        return unlinkat(directory_file, name, 0) == 0;
    errno = EEXIST;
    return false;
}

int local_socket_listen(const char *directory, const char *name)
{
    int directory_file = open_directory(directory);
    if (directory_file < 0)
        return -1;
    struct sockaddr_un address = address_in(directory, directory_file, name);
    int file = -1;
    if (remove_left_behind(directory_file, name))
        file = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode that a socket has when it is bound is that of its name (less the umask): nobody else gets in between. */
    if (file >= 0 &&
        (fchmod(file, S_IRUSR | S_IWUSR) != 0 || bind(file, (const struct sockaddr *)&address, sizeof address) != 0 ||
         listen(file, BACKLOG_COUNT) != 0)) {
        close_quietly(file);
        file = -1;
    }
    close_quietly(directory_file);
    return file;
}

void local_socket_remove(const char *directory, const char *name)
{
    int directory_file = open_directory(directory);
    if (directory_file >= 0)
        (void)remove_left_behind(directory_file, name);
    close_quietly(directory_file);
}

int local_socket_connect(const char *directory, const char *name, int64_t timeout_ns)
{
    int directory_file = open_directory(directory);
    if (directory_file < 0)
        return -1;
    struct sockaddr_un address = address_in(directory, directory_file, name);
    struct timeval timeout = {.tv_sec = timeout_ns / NS_PER_S, .tv_usec = timeout_ns % NS_PER_S / NS_PER_US};
    int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file >= 0 && (setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
                      setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
                      connect(file, (const struct sockaddr *)&address, sizeof address) != 0)) {
        close_quietly(file);
        file = -1;
    }
    close_quietly(directory_file);
    return file;
}
