/* meta_vfs.h: database files without the leavings of what was in them.
 *
 * SQLite overwrites what it deletes (PRAGMA secure_delete), but not what it
 * moves: when pages split or join, a row's old bytes stay in the unused middle
 * of the page that it left. So a page is written to a database file with that
 * middle as zeros. All else is the default VFS's.
 *
 * Source: SQLite, "Database File Format", 1.6 B-tree Pages.
 * Threads: any.
 */
#ifndef GODWIT_META_META_VFS_H
#define GODWIT_META_META_VFS_H

#include <stddef.h>
#include <stdint.h>

/* The name for sqlite3_open_v2; registers it at the first call. */
const char *meta_vfs(void);

/* Zero the unused middle of page @number of a database, if it is a B-tree page;
 * other pages, and what is none, are left alone. */
void meta_vfs_clear(uint8_t *page, size_t size, uint64_t number);

#endif
