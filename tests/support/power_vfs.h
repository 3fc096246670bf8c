/*
 * power_vfs.h: SQLite's files under a power supply that can be cut, and on a disk that can be full.
 *
 * A VFS for SQLite that, registered as the default one, passes everything on to the real one and remembers beside it
 * what each file held when it was synced last, and the writes since. When the power is cut nothing is written any more;
 * when it comes back each file holds what was synced, and of each later write all, nothing, or some of its 512-byte
 * sectors, by a seed: as disks and file systems may do. A file that was removed may be there again.
 *
 * One thread. One supply at a time in a process.
 */
#ifndef TESTS_SUPPORT_POWER_VFS_H
#define TESTS_SUPPORT_POWER_VFS_H

#include <stdbool.h>
#include <stdint.h>

struct power_supply;

struct power_supply *power_supply_new(void);
/* All files must be closed. */
void power_supply_free(struct power_supply *supply);

/* After so many more writes, cuts and syncs of files the power is cut: these fail from then on. */
void power_supply_cut_after(struct power_supply *supply, uint64_t operation_count);
/* Puts on the disk what a cut leaves of the files, which must be closed; they can be used again. */
void power_supply_restore(struct power_supply *supply, uint64_t seed);

/* Files may not grow beyond so many bytes, taken together: no space left. UINT64_MAX: no limit. */
void power_supply_limit(struct power_supply *supply, uint64_t bytes_max);
uint64_t power_supply_used_bytes(const struct power_supply *supply);

#endif
