#include "bench/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/support.h"

void scratch_open(char path[SCRATCH_PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(path, SCRATCH_PATH_BYTES, "%s/millrace-bench-XXXXXX", parent != NULL ? parent : "/var/tmp");
    if (length >= SCRATCH_PATH_BYTES || mkdtemp(path) == NULL)
        bench_fail("no directory under %s", parent != NULL ? parent : "/var/tmp");
}

static int take_away(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

void scratch_close(const char *path)
{
    nftw(path, take_away, 8, FTW_DEPTH | FTW_PHYS);
}
