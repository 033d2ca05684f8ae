/* drive_identity.h: the file that says which drive a folder is.
 *
 * The file "drive" in the folder, 64 bytes (docs/DISK.md), written once. It is
 * held open and locked while the drive is in use, so that no two processes
 * serve one folder.
 *
 * Threads: none of its own.
 */
#ifndef GODWIT_NODE_DRIVE_IDENTITY_H
#define GODWIT_NODE_DRIVE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "node/drive.h"

#define DRIVE_IDENTITY_BYTES 64
#define DRIVE_IDENTITY_NAME "drive"

struct drive_identity {
    uint16_t drive;
    uint8_t cluster[16];
    uint64_t created_ms; /* wall clock, for people */
};

void drive_identity_encode(const struct drive_identity *id,
                           uint8_t out[DRIVE_IDENTITY_BYTES]);
/* ERR_CORRUPT, ERR_VERSION. */
int drive_identity_decode(const uint8_t in[DRIVE_IDENTITY_BYTES],
                          struct drive_identity *out, struct err *err);

/* Open and lock the identity of @dir, which must be @drive of @cluster; an
 * empty folder is made that drive (*@made). Gives *@lock, closed by the caller.
 * ERR_MISMATCH: another drive's, or the folder holds other files and no
 * identity. ERR_CORRUPT, ERR_VERSION, ERR_LOCKED, ERR_NOT_FOUND (no folder),
 * ERR_IO, ERR_FULL. */
int drive_identity_open(const struct drive_ops *ops, const char *dir,
                        uint16_t drive, const uint8_t cluster[16],
                        struct drive_file **lock, bool *made, struct err *err);

/* The folder still has the identity: 0, or as drive_identity_open. */
int drive_identity_check(const struct drive_ops *ops, const char *dir,
                         uint16_t drive, const uint8_t cluster[16],
                         struct err *err);

/* Write, sync and remove a small file: the folder takes writes. A full disk
 * is no error here. */
int drive_write_test(const struct drive_ops *ops, const char *dir,
                     struct err *err);

#endif
