/* power_files.h: files that forget what was not synced.
 *
 * Behind meta/raft_log.h's seam. Real files in a real folder, and a record of
 * how to undo: at a power cut each 512-byte sector written since its file's
 * last fdatasync is kept or taken back by the seed, and the changes of the
 * folder since its last sync are kept up to a point drawn by the seed.
 *
 * The faults it knows: loss of any subset of unsynced sectors, also of the
 * write that was under way; the nth call failing with EIO, once.
 *
 * Threads: one at a time.
 */
#ifndef GODWIT_TESTS_POWER_FILES_H
#define GODWIT_TESTS_POWER_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/raft_log.h"

struct power_files;

struct power_files *power_files_new(uint64_t seed);
void power_files_free(struct power_files *p);
const struct raft_log_files *power_files_ops(struct power_files *p);

/* Calls so far, but close. */
long power_files_calls(const struct power_files *p);
/* Cut the power in the call number @n from now (0: the next): it and all
 * after it fail. */
void power_files_cut_at(struct power_files *p, long n);
/* Let the call number @n from now fail with EIO, and only that one. */
void power_files_fail_at(struct power_files *p, long n);
bool power_files_is_cut(const struct power_files *p);
/* Take back what is lost and forget all. Files opened before must be closed
 * first. */
void power_files_power_on(struct power_files *p);

#endif
