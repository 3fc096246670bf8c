/*
 * scratch.h: a directory for a run that keeps something, on the disk and not in memory: TMPDIR, else /var/tmp.
 */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

enum { SCRATCH_PATH_BYTES = 256 };

/* Makes one of its own and writes its path. Ends the program if it cannot. */
void scratch_open(char path[SCRATCH_PATH_BYTES]);
/* Takes it away with all that is in it. */
void scratch_close(const char *path);

#endif
