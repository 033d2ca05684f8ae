/* fake_disk.h: a drive in memory that can lose power, fail, fill up and hang.
 *
 * Behind node/drive.h. It keeps what was written apart from what was synced:
 * at a power cut each 512-byte sector that was written and not synced is kept
 * or lost by the seed, a file's new length likewise, and the changes of the
 * folder since its last sync are kept up to a point drawn by the seed. It
 * CHECKs the alignment of direct I/O.
 *
 * The faults it knows, which the shard store must survive: loss of any subset
 * of unsynced sectors; the nth call failing with ERR_IO or ERR_FULL, once or
 * from then on; bytes that change by themselves; a folder that goes away and
 * comes back, perhaps empty; calls that do not return until released.
 *
 * Threads: any.
 */
#ifndef GODWIT_TESTS_FAKE_DISK_H
#define GODWIT_TESTS_FAKE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "node/drive.h"

struct fake_disk;

struct fake_disk *fake_disk_new(uint64_t seed);
void fake_disk_free(struct fake_disk *d);
const struct drive_ops *fake_disk_ops(struct fake_disk *d);

/* Calls so far that fake_disk_fail counts: all but close and space. */
long fake_disk_calls(struct fake_disk *d);
/* Let the call number @n (0: the next one) fail with @code, and with @sticky
 * all after it. @n < 0: no more faults. */
void fake_disk_fail(struct fake_disk *d, long n, int code, bool sticky);
/* Cut the power before the call number @n: it and all after it fail until
 * fake_disk_power_on. */
void fake_disk_cut_at(struct fake_disk *d, long n);
/* Cut now, if it was not, and decide what is left. Open files are of no use
 * any more but must still be closed. */
void fake_disk_power_on(struct fake_disk *d);

/* As if only the process had ended: nothing is lost, but what was not synced
 * may be at the next power cut. */
void fake_disk_process_end(struct fake_disk *d);

/* Size of the disk; 1 TiB at start. */
void fake_disk_set_size(struct fake_disk *d, uint64_t bytes);
uint64_t fake_disk_used(struct fake_disk *d);
/* Without its folder every path is ERR_NOT_FOUND; open files still work. */
void fake_disk_set_present(struct fake_disk *d, bool present);
/* Remove all files from the folder. */
void fake_disk_wipe(struct fake_disk *d);
/* Change a byte of a file; false when there is none there. */
bool fake_disk_flip(struct fake_disk *d, const char *name, uint64_t offset);
/* Give the bytes of a file (free()); NULL when there is none. */
uint8_t *fake_disk_bytes(struct fake_disk *d, const char *name, uint64_t *len);
/* Reads that touch this byte of the file give ERR_IO; NULL: none. */
void fake_disk_bad_place(struct fake_disk *d, const char *name,
                         uint64_t offset);
/* Writes and syncs wait while @hung. */
void fake_disk_hang(struct fake_disk *d, bool hung);
/* Calls that hang now. */
unsigned fake_disk_hanging(struct fake_disk *d);

#endif
