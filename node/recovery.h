/* recovery.h: from what is on a disk to a volume.
 *
 * Segments are read in the order of their sequences: by their footer, or,
 * when they have none, record by record. What is found without a footer is
 * synced before it is trusted: a crash of the process may have left it in the
 * system's cache only. Such a segment is never appended to again.
 *
 * Threads: none of its own.
 */
#ifndef GODWIT_NODE_RECOVERY_H
#define GODWIT_NODE_RECOVERY_H

#include "node/volume.h"

/* Read the drive in @dir: identity, segments, index; an empty folder becomes
 * a new drive (*@made). With @tolerate, parts that give read errors are
 * skipped; without, they are ERR_IO, as another try may read them. Errors:
 * those of drive_identity_open, ERR_VERSION, ERR_IO, ERR_NOMEM. */
int recovery_open(const struct drive_ops *ops, const char *dir, uint16_t drive,
                  const uint8_t cluster[16], bool tolerate, struct volume **out,
                  bool *made, struct err *err);

/* What is known of the records of a segment that has ended. */
struct segment_contents {
    struct segment_entry *entries; /* free() */
    uint32_t count;
    uint64_t tail;
};

/* The footer of a file open for DRIVE_DIRECT; ERR_CORRUPT when it has none of
 * this @header, ERR_IO, ERR_NOMEM. */
int recovery_read_footer(const struct drive_ops *ops, struct drive_file *file,
                         const struct segment_header *header,
                         uint64_t file_bytes, struct segment_contents *out,
                         struct err *err);

/* All records, by reading the file; *@errors counts reads that failed.
 * ERR_NOMEM. */
int recovery_scan(const struct drive_ops *ops, struct drive_file *file,
                  const struct segment_header *header, uint64_t file_bytes,
                  struct segment_contents *out, unsigned *errors,
                  struct err *err);

#endif
