#include "bench/limits/group_commit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/scratch.h"
#include "bench/support.h"

static int open_file(const char *directory)
{
    char path[SCRATCH_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/log", directory);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        bench_fail("%s cannot be made", path);
    return fd;
}

double group_commit_rate(size_t count, size_t message_bytes, double seconds)
{
    char directory[SCRATCH_PATH_BYTES];
    scratch_open(directory);
    int fd = open_file(directory);
    size_t bytes = count * message_bytes;
    char *batch = calloc(1, bytes);
    if (batch == NULL)
        bench_fail("no memory");
    int64_t start_ns = bench_now_ns();
    int64_t now_ns = start_ns;
    size_t batch_count = 0;
    while ((double)(now_ns - start_ns) < seconds * 1e9) {
        if (write(fd, batch, bytes) != (ssize_t)bytes || fdatasync(fd) != 0)
            bench_fail("the batch could not be written");
        batch_count++;
        now_ns = bench_now_ns();
    }
    free(batch);
    close(fd);
    scratch_close(directory);
    return (double)(batch_count * count) / ((double)(now_ns - start_ns) / 1e9);
}
