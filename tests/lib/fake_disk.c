#include "tests/lib/fake_disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define SECTOR 512
#define BLOCK 4096
#define NAME_MAX_LEN 32
#define FILES_MAX 256

struct inode {
    unsigned refs; /* handles, and names now and safe */
    unsigned links;
    uint8_t *now;
    uint8_t *safe;
    uint8_t *dirty; /* by sector */
    uint64_t now_len, safe_len, cap;
    bool locked;
};

struct drive_file {
    struct inode *inode;
    unsigned flags;
    unsigned life; /* the disk's, when it was opened */
    bool lock;
};

struct name {
    char text[NAME_MAX_LEN];
    struct inode *inode;
};

struct folder {
    struct name names[FILES_MAX];
    unsigned count;
};

/* The folder as it was after a change that is not synced. */
struct change {
    struct folder folder;
    struct change *next;
};

struct fake_disk {
    struct drive_ops ops;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t random;
    struct folder now, safe;
    struct change *changes; /* oldest first */
    unsigned change_count;
    bool present;
    uint64_t size;
    long calls;
    long fail_at, cut_at; /* -1: never */
    int fail_code;
    bool fail_sticky;
    bool off;
    unsigned life;
    char bad_name[NAME_MAX_LEN];
    uint64_t bad_offset;
    bool hung;
    unsigned hanging;
};

static uint64_t draw(struct fake_disk *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return d->random;
}

static void unref(struct inode *n)
{
    if (--n->refs == 0) {
        free(n->now);
        free(n->safe);
        free(n->dirty);
        free(n);
    }
}

static void folder_copy(struct folder *to, const struct folder *from)
{
    for (unsigned i = 0; i < from->count; i++) {
        from->names[i].inode->refs++;
    }
    for (unsigned i = 0; i < to->count; i++) {
        unref(to->names[i].inode);
    }
    to->count = from->count;
    memcpy(to->names, from->names, from->count * sizeof from->names[0]);
}

static void folder_clear(struct folder *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        unref(f->names[i].inode);
    }
    f->count = 0;
}

static struct name *find(struct folder *f, const char *text)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (strcmp(f->names[i].text, text) == 0) {
            return &f->names[i];
        }
    }
    return NULL;
}

static void add_name(struct folder *f, const char *text, struct inode *n)
{
    CHECK(f->count < FILES_MAX && strlen(text) < NAME_MAX_LEN);
    strcpy(f->names[f->count].text, text);
    f->names[f->count].inode = n;
    f->count++;
    n->refs++;
    n->links++;
}

static void remove_name(struct folder *f, struct name *name)
{
    name->inode->links--;
    unref(name->inode);
    *name = f->names[--f->count];
}

static void drop_changes(struct fake_disk *d)
{
    while (d->changes != NULL) {
        struct change *c = d->changes;
        d->changes = c->next;
        folder_clear(&c->folder);
        free(c);
    }
    d->change_count = 0;
}

static void changed(struct fake_disk *d)
{
    struct change *c = mem_alloc(sizeof *c);
    struct change **end = &d->changes;

    folder_copy(&c->folder, &d->now);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = c;
    d->change_count++;
}

/* Count the call; 0, or the fault that is due. Lock held. */
static int enter(struct fake_disk *d, bool may_hang, struct err *err)
{
    long n = d->calls++;

    while (may_hang && d->hung) {
        d->hanging++;
        pthread_cond_wait(&d->cond, &d->mutex);
        d->hanging--;
    }
    if (d->cut_at >= 0 && n >= d->cut_at) {
        d->off = true;
    }
    if (d->off) {
        return err_set(err, ERR_IO, "the power is off");
    }
    if (d->fail_at >= 0 &&
        (n == d->fail_at || (d->fail_sticky && n > d->fail_at))) {
        return err_set(err, d->fail_code, "fault of call %ld", n);
    }
    return 0;
}

static int enter_path(struct fake_disk *d, struct err *err)
{
    int status = enter(d, false, err);

    if (status == 0 && !d->present) {
        status = err_set(err, ERR_NOT_FOUND, "no such folder");
    }
    return status;
}

static int enter_file(struct fake_disk *d, const struct drive_file *f,
                      bool may_hang, struct err *err)
{
    int status = enter(d, may_hang, err);

    if (status == 0 && f->life != d->life) {
        status = err_set(err, ERR_IO, "the power was off meanwhile");
    }
    return status;
}

static int leave(struct fake_disk *d, int status)
{
    pthread_mutex_unlock(&d->mutex);
    return status;
}

static int fake_make_dir(void *data, const char *dir, struct err *err)
{
    struct fake_disk *d = data;
    int status;

    (void)dir;
    pthread_mutex_lock(&d->mutex);
    status = enter(d, false, err);
    if (status == 0) {
        d->present = true;
    }
    return leave(d, status);
}

static int fake_list(void *data, const char *dir,
                     void (*fn)(void *arg, const char *name), void *arg,
                     struct err *err)
{
    struct fake_disk *d = data;
    int status;

    (void)dir;
    pthread_mutex_lock(&d->mutex);
    status = enter_path(d, err);
    for (unsigned i = 0; status == 0 && i < d->now.count; i++) {
        fn(arg, d->now.names[i].text);
    }
    return leave(d, status);
}

static int fake_sync_dir(void *data, const char *dir, struct err *err)
{
    struct fake_disk *d = data;
    int status;

    (void)dir;
    pthread_mutex_lock(&d->mutex);
    status = enter_path(d, err);
    if (status == 0) {
        folder_copy(&d->safe, &d->now);
        drop_changes(d);
    }
    return leave(d, status);
}

static uint64_t used(const struct fake_disk *d)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < d->now.count; i++) {
        sum += d->now.names[i].inode->now_len;
    }
    return sum;
}

static int fake_space(void *data, const char *dir, uint64_t *free_bytes,
                      uint64_t *size_bytes, struct err *err)
{
    struct fake_disk *d = data;
    uint64_t sum;

    (void)dir;
    (void)err;
    pthread_mutex_lock(&d->mutex);
    sum = used(d);
    *size_bytes = d->size;
    *free_bytes = d->size > sum ? d->size - sum : 0;
    return leave(d, 0);
}

static int fake_rename(void *data, const char *dir, const char *from,
                       const char *to, struct err *err)
{
    struct fake_disk *d = data;
    struct name *source;
    struct name *old;
    int status;

    (void)dir;
    pthread_mutex_lock(&d->mutex);
    status = enter_path(d, err);
    if (status == 0 && find(&d->now, from) == NULL) {
        status = err_set(err, ERR_NOT_FOUND, "rename %s: no such file", from);
    }
    if (status == 0) {
        old = find(&d->now, to);
        if (old != NULL) {
            remove_name(&d->now, old);
        }
        source = find(&d->now, from);
        strcpy(source->text, to);
        changed(d);
    }
    return leave(d, status);
}

static int fake_unlink(void *data, const char *dir, const char *name,
                       struct err *err)
{
    struct fake_disk *d = data;
    int status;

    (void)dir;
    pthread_mutex_lock(&d->mutex);
    status = enter_path(d, err);
    if (status == 0 && find(&d->now, name) == NULL) {
        status = err_set(err, ERR_NOT_FOUND, "remove %s: no such file", name);
    }
    if (status == 0) {
        remove_name(&d->now, find(&d->now, name));
        changed(d);
    }
    return leave(d, status);
}

static int open_locked(struct fake_disk *d, const char *name, unsigned flags,
                       struct drive_file **out, struct err *err)
{
    struct name *n = find(&d->now, name);
    struct drive_file *f;

    if (n == NULL && !(flags & DRIVE_CREATE)) {
        return err_set(err, ERR_NOT_FOUND, "open %s: no such file", name);
    }
    if (n == NULL) {
        add_name(&d->now, name, mem_alloc(sizeof(struct inode)));
        changed(d);
        n = find(&d->now, name);
    }
    if ((flags & DRIVE_LOCK) && n->inode->locked) {
        return err_set(err, ERR_LOCKED, "%s is in use", name);
    }
    f = mem_alloc(sizeof *f);
    f->inode = n->inode;
    f->flags = flags | ((flags & DRIVE_CREATE) ? DRIVE_WRITE : 0);
    f->life = d->life;
    f->lock = (flags & DRIVE_LOCK) != 0;
    f->inode->locked |= f->lock;
    f->inode->refs++;
    *out = f;
    return 0;
}

static int fake_open(void *data, const char *dir, const char *name,
                     unsigned flags, struct drive_file **out, struct err *err)
{
    struct fake_disk *d = data;
    int status;

    (void)dir;
    pthread_mutex_lock(&d->mutex);
    status = enter_path(d, err);
    if (status == 0) {
        status = open_locked(d, name, flags, out, err);
    }
    return leave(d, status);
}

static void fake_close(void *data, struct drive_file *f)
{
    struct fake_disk *d = data;

    if (f == NULL) {
        return;
    }
    pthread_mutex_lock(&d->mutex);
    if (f->lock && f->life == d->life) {
        f->inode->locked = false;
    }
    unref(f->inode);
    free(f);
    pthread_mutex_unlock(&d->mutex);
}

static int fake_size(void *data, struct drive_file *f, uint64_t *bytes,
                     struct err *err)
{
    struct fake_disk *d = data;
    int status;

    pthread_mutex_lock(&d->mutex);
    status = enter_file(d, f, false, err);
    if (status == 0) {
        *bytes = f->inode->now_len;
    }
    return leave(d, status);
}

static void reserve(struct inode *n, uint64_t len)
{
    uint64_t cap = n->cap == 0 ? BLOCK : n->cap;

    while (cap < len) {
        cap *= 2;
    }
    if (cap == n->cap) {
        return;
    }
    n->now = mem_realloc(n->now, cap);
    n->safe = mem_realloc(n->safe, cap);
    n->dirty = mem_realloc(n->dirty, cap / SECTOR);
    memset(n->now + n->cap, 0, cap - n->cap);
    memset(n->safe + n->cap, 0, cap - n->cap);
    memset(n->dirty + n->cap / SECTOR, 0, (cap - n->cap) / SECTOR);
    n->cap = cap;
}

static void check_direct(const struct drive_file *f, const struct iovec *iov,
                         int count, uint64_t offset)
{
    if (!(f->flags & DRIVE_DIRECT)) {
        return;
    }
    CHECK(offset % BLOCK == 0);
    for (int i = 0; i < count; i++) {
        CHECK((uintptr_t)iov[i].iov_base % BLOCK == 0);
        CHECK(iov[i].iov_len % BLOCK == 0);
    }
}

static int write_locked(struct fake_disk *d, struct drive_file *f,
                        const struct iovec *iov, int count, uint64_t offset,
                        struct err *err)
{
    struct inode *n = f->inode;
    uint64_t end = offset;

    for (int i = 0; i < count; i++) {
        end += iov[i].iov_len;
    }
    if (end > n->now_len && used(d) + (end - n->now_len) > d->size) {
        return err_set(err, ERR_FULL, "write: no space left");
    }
    reserve(n, end);
    for (int i = 0; i < count; i++) {
        memcpy(n->now + offset, iov[i].iov_base, iov[i].iov_len);
        offset += iov[i].iov_len;
    }
    end = offset;
    for (int i = 0; i < count; i++) {
        offset -= iov[i].iov_len;
    }
    memset(n->dirty + offset / SECTOR, 1,
           (end + SECTOR - 1) / SECTOR - offset / SECTOR);
    n->now_len = end > n->now_len ? end : n->now_len;
    return 0;
}

static int fake_write(void *data, struct drive_file *f, const struct iovec *iov,
                      int count, uint64_t offset, struct err *err)
{
    struct fake_disk *d = data;
    bool was_off;
    int status;

    CHECK(f->flags & DRIVE_WRITE);
    CHECK(count > 0 && count <= DRIVE_IOV_MAX);
    check_direct(f, iov, count, offset);
    pthread_mutex_lock(&d->mutex);
    was_off = d->off;
    status = enter_file(d, f, true, err);
    if (status == 0) {
        status = write_locked(d, f, iov, count, offset, err);
    } else if (!was_off && f->life == d->life) {
        write_locked(d, f, iov, count, offset, NULL); /* parts may be there */
    }
    return leave(d, status);
}

static bool touches_bad(const struct fake_disk *d, struct folder *folder,
                        const struct inode *n, uint64_t offset, uint64_t end)
{
    const struct name *bad =
        d->bad_name[0] == '\0' ? NULL : find(folder, d->bad_name);

    return bad != NULL && bad->inode == n && offset <= d->bad_offset &&
           d->bad_offset < end;
}

static int fake_read(void *data, struct drive_file *f, const struct iovec *iov,
                     int count, uint64_t offset, size_t *got, struct err *err)
{
    struct fake_disk *d = data;
    const struct inode *n = f->inode;
    uint64_t at = offset;
    int status;

    check_direct(f, iov, count, offset);
    pthread_mutex_lock(&d->mutex);
    status = enter_file(d, f, false, err);
    for (int i = 0; status == 0 && i < count; i++) {
        uint64_t len = at < n->now_len ? n->now_len - at : 0;
        len = len > iov[i].iov_len ? iov[i].iov_len : len;
        if (touches_bad(d, &d->now, n, at, at + len)) {
            status = err_set(err, ERR_IO, "read: a bad place");
        } else if (len > 0) {
            memcpy(iov[i].iov_base, n->now + at, len);
        }
        at += len;
    }
    if (status == 0) {
        *got = at - offset;
    }
    return leave(d, status);
}

static void make_safe(struct inode *n)
{
    for (uint64_t i = 0; i < n->cap / SECTOR; i++) {
        if (n->dirty[i]) {
            memcpy(n->safe + i * SECTOR, n->now + i * SECTOR, SECTOR);
            n->dirty[i] = 0;
        }
    }
    n->safe_len = n->now_len;
}

static int fake_sync(void *data, struct drive_file *f, struct err *err)
{
    struct fake_disk *d = data;
    int status;

    pthread_mutex_lock(&d->mutex);
    status = enter_file(d, f, true, err);
    if (status == 0 && f->inode->links == 0) {
        status = err_set(err, ERR_IO, "the file was removed from its folder");
    }
    if (status == 0) {
        make_safe(f->inode);
    }
    return leave(d, status);
}

static int fake_allocate(void *data, struct drive_file *f, uint64_t offset,
                         uint64_t bytes, struct err *err)
{
    struct iovec zeros = {mem_pages(bytes), bytes};
    int status;

    CHECK(zeros.iov_base != NULL);
    memset(zeros.iov_base, 0, bytes);
    status = fake_write(data, f, &zeros, 1, offset, err);
    mem_pages_free(zeros.iov_base, bytes);
    return status;
}

static int fake_truncate(void *data, struct drive_file *f, uint64_t bytes,
                         struct err *err)
{
    struct fake_disk *d = data;
    struct inode *n = f->inode;
    int status;

    CHECK(bytes % SECTOR == 0);
    pthread_mutex_lock(&d->mutex);
    status = enter_file(d, f, false, err);
    if (status == 0) {
        reserve(n, bytes);
        for (uint64_t i = bytes; i < n->now_len; i += SECTOR) {
            memset(n->now + i, 0, SECTOR);
            n->dirty[i / SECTOR] = 1;
        }
        n->now_len = bytes;
    }
    return leave(d, status);
}

struct fake_disk *fake_disk_new(uint64_t seed)
{
    struct fake_disk *d = mem_alloc(sizeof *d);

    d->random = seed * 0x9e3779b97f4a7c15u + 0x1234567u;
    d->present = true;
    d->size = (uint64_t)1 << 40;
    d->fail_at = d->cut_at = -1;
    CHECK(pthread_mutex_init(&d->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&d->cond, NULL) == 0);
    d->ops = (struct drive_ops){
        .data = d,
        .make_dir = fake_make_dir,
        .list = fake_list,
        .sync_dir = fake_sync_dir,
        .space = fake_space,
        .rename = fake_rename,
        .unlink = fake_unlink,
        .open = fake_open,
        .close = fake_close,
        .size = fake_size,
        .write = fake_write,
        .read = fake_read,
        .sync = fake_sync,
        .allocate = fake_allocate,
        .truncate = fake_truncate,
    };
    return d;
}

void fake_disk_free(struct fake_disk *d)
{
    drop_changes(d);
    folder_clear(&d->now);
    folder_clear(&d->safe);
    pthread_cond_destroy(&d->cond);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

const struct drive_ops *fake_disk_ops(struct fake_disk *d)
{
    return &d->ops;
}

long fake_disk_calls(struct fake_disk *d)
{
    long calls;

    pthread_mutex_lock(&d->mutex);
    calls = d->calls;
    pthread_mutex_unlock(&d->mutex);
    return calls;
}

void fake_disk_fail(struct fake_disk *d, long n, int code, bool sticky)
{
    pthread_mutex_lock(&d->mutex);
    d->fail_at = n < 0 ? -1 : d->calls + n;
    d->fail_code = code;
    d->fail_sticky = sticky;
    pthread_mutex_unlock(&d->mutex);
}

void fake_disk_cut_at(struct fake_disk *d, long n)
{
    pthread_mutex_lock(&d->mutex);
    d->cut_at = n < 0 ? -1 : d->calls + n;
    pthread_mutex_unlock(&d->mutex);
}

/* What is left of a file: block by block all, nothing, or some sectors of what
 * was not synced. */
static void cut_file(struct fake_disk *d, struct inode *n)
{
    uint64_t len = draw(d) % 2 == 0 ? n->safe_len : n->now_len;

    for (uint64_t block = 0; block < n->cap / BLOCK; block++) {
        uint64_t how = draw(d) % 3;
        for (uint64_t i = block * (BLOCK / SECTOR);
             i < (block + 1) * (BLOCK / SECTOR); i++) {
            bool keep = how == 0 || (how == 1 && draw(d) % 2 == 0);
            if (n->dirty[i] && keep) {
                memcpy(n->safe + i * SECTOR, n->now + i * SECTOR, SECTOR);
            }
            n->dirty[i] = 0;
        }
    }
    if (len < n->cap) {
        memset(n->safe + len, 0, n->cap - len);
    }
    if (n->cap > 0) {
        memcpy(n->now, n->safe, n->cap);
    }
    n->safe_len = n->now_len = len;
    n->locked = false;
}

static void relink(struct folder *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        f->names[i].inode->links = 0;
    }
    for (unsigned i = 0; i < f->count; i++) {
        f->names[i].inode->links++;
    }
}

void fake_disk_power_on(struct fake_disk *d)
{
    unsigned keep;

    pthread_mutex_lock(&d->mutex);
    keep = (unsigned)(draw(d) % (d->change_count + 1));
    for (struct change *c = d->changes; keep > 0; c = c->next, keep--) {
        folder_copy(&d->safe, &c->folder);
    }
    drop_changes(d);
    folder_copy(&d->now, &d->safe);
    relink(&d->now);
    for (unsigned i = 0; i < d->now.count; i++) {
        cut_file(d, d->now.names[i].inode);
    }
    d->off = false;
    d->cut_at = -1;
    d->life++;
    pthread_mutex_unlock(&d->mutex);
}

void fake_disk_process_end(struct fake_disk *d)
{
    pthread_mutex_lock(&d->mutex);
    for (unsigned i = 0; i < d->now.count; i++) {
        d->now.names[i].inode->locked = false;
    }
    d->off = false;
    d->cut_at = -1;
    d->life++;
    pthread_mutex_unlock(&d->mutex);
}

void fake_disk_set_size(struct fake_disk *d, uint64_t bytes)
{
    pthread_mutex_lock(&d->mutex);
    d->size = bytes;
    pthread_mutex_unlock(&d->mutex);
}

uint64_t fake_disk_used(struct fake_disk *d)
{
    uint64_t sum;

    pthread_mutex_lock(&d->mutex);
    sum = used(d);
    pthread_mutex_unlock(&d->mutex);
    return sum;
}

void fake_disk_set_present(struct fake_disk *d, bool present)
{
    pthread_mutex_lock(&d->mutex);
    d->present = present;
    pthread_mutex_unlock(&d->mutex);
}

void fake_disk_wipe(struct fake_disk *d)
{
    pthread_mutex_lock(&d->mutex);
    while (d->now.count > 0) {
        remove_name(&d->now, &d->now.names[0]);
    }
    folder_copy(&d->safe, &d->now);
    drop_changes(d);
    pthread_mutex_unlock(&d->mutex);
}

bool fake_disk_flip(struct fake_disk *d, const char *name, uint64_t offset)
{
    struct name *n;
    bool there;

    pthread_mutex_lock(&d->mutex);
    n = find(&d->now, name);
    there = n != NULL && offset < n->inode->now_len;
    if (there) {
        n->inode->now[offset] ^= 0x40;
        n->inode->safe[offset] ^= 0x40;
    }
    pthread_mutex_unlock(&d->mutex);
    return there;
}

uint8_t *fake_disk_bytes(struct fake_disk *d, const char *name, uint64_t *len)
{
    struct name *n;
    uint8_t *bytes = NULL;

    pthread_mutex_lock(&d->mutex);
    n = find(&d->now, name);
    if (n != NULL) {
        *len = n->inode->now_len;
        bytes = mem_dup(n->inode->now, *len);
    }
    pthread_mutex_unlock(&d->mutex);
    return bytes;
}

void fake_disk_bad_place(struct fake_disk *d, const char *name, uint64_t offset)
{
    pthread_mutex_lock(&d->mutex);
    d->bad_name[0] = '\0';
    if (name != NULL) {
        CHECK(strlen(name) < NAME_MAX_LEN);
        strcpy(d->bad_name, name);
    }
    d->bad_offset = offset;
    pthread_mutex_unlock(&d->mutex);
}

void fake_disk_hang(struct fake_disk *d, bool hung)
{
    pthread_mutex_lock(&d->mutex);
    d->hung = hung;
    pthread_cond_broadcast(&d->cond);
    pthread_mutex_unlock(&d->mutex);
}

unsigned fake_disk_hanging(struct fake_disk *d)
{
    unsigned hanging;

    pthread_mutex_lock(&d->mutex);
    hanging = d->hanging;
    pthread_mutex_unlock(&d->mutex);
    return hanging;
}
