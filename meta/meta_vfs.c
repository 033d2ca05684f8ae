#include "meta/meta_vfs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/check.h"
#include "base/mem.h"

#define NAME "godwit"
#define FILE_HEADER 100 /* of page 1 */
#define PAGE_MIN 512
#define PAGE_MAX 65536
/* Pages of overflow and of the list of free ones begin with a page's number.
 * Below this no such number looks like the kind of a B-tree page. */
#define NUMBER_MAX 0x02000000

enum kind { INTERIOR_INDEX = 2, INTERIOR = 5, LEAF_INDEX = 10, LEAF = 13 };

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;

static size_t load_big_u16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

void meta_vfs_clear(uint8_t *page, size_t size, uint64_t number)
{
    size_t at = number == 1 ? FILE_HEADER : 0;
    uint8_t kind = page[at];
    size_t cells, start, end;

    if (number >= NUMBER_MAX || (kind != INTERIOR_INDEX && kind != INTERIOR &&
                                 kind != LEAF_INDEX && kind != LEAF)) {
        return;
    }
    cells = load_big_u16(page + at + 3);
    end = load_big_u16(page + at + 5);
    end = end == 0 ? PAGE_MAX : end;
    start = at + (kind == LEAF || kind == LEAF_INDEX ? 8 : 12) + 2 * cells;
    if (start < end && end <= size) {
        memset(page + start, 0, end - start);
    }
}

/* ---- a database file ---- */

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

static int file_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(f);
    uint8_t *page;
    int rc;

    if (n < PAGE_MIN || n > PAGE_MAX || (n & (n - 1)) != 0 || at % n != 0) {
        return real->pMethods->xWrite(real, p, n, at);
    }
    page = mem_dup(p, (size_t)n);
    meta_vfs_clear(page, (size_t)n, (uint64_t)(at / n) + 1);
    rc = real->pMethods->xWrite(real, page, n, at);
    free(page);
    return rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int file_lock(sqlite3_file *f, int how)
{
    return real_of(f)->pMethods->xLock(real_of(f), how);
}

static int file_unlock(sqlite3_file *f, int how)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), how);
}

static int file_check_lock(sqlite3_file *f, int *is)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), is);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_device(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend,
                        void volatile **out)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

/* Version 2: SQLite maps no file of it into memory, which would be written past
 * file_write. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS ---- */

static int open_file(sqlite3_vfs *v, const char *name, sqlite3_file *f,
                     int flags, int *out_flags)
{
    struct file *file = (struct file *)f;
    int rc;

    (void)v;
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0) {
        return real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
    }
    file->real = (sqlite3_file *)(file + 1);
    rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
    file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
    return rc;
}

static void begin(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    CHECK(real_vfs != NULL);
    vfs = *real_vfs;
    vfs.pNext = NULL;
    vfs.zName = NAME;
    vfs.szOsFile += (int)sizeof(struct file);
    vfs.xOpen = open_file;
    CHECK(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
}

const char *meta_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    CHECK(pthread_once(&once, begin) == 0);
    return NAME;
}
