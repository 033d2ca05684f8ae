#include "node/drive_identity.h"

#include <string.h>

#include "base/clock.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define MAGIC 0x56445747u /* "GWDV" */
#define FORMAT_VERSION 1
#define CRC_AT 60
#define NEW_NAME "drive.new"
#define TEST_NAME "drive.test"

void drive_identity_encode(const struct drive_identity *id,
                           uint8_t out[DRIVE_IDENTITY_BYTES])
{
    memset(out, 0, DRIVE_IDENTITY_BYTES);
    store_u32(out, MAGIC);
    store_u16(out + 4, FORMAT_VERSION);
    store_u16(out + 6, id->drive);
    memcpy(out + 8, id->cluster, 16);
    store_u64(out + 24, id->created_ms);
    store_u32(out + CRC_AT, crc32c(0, out, CRC_AT));
}

int drive_identity_decode(const uint8_t in[DRIVE_IDENTITY_BYTES],
                          struct drive_identity *out, struct err *err)
{
    if (load_u32(in) != MAGIC ||
        load_u32(in + CRC_AT) != crc32c(0, in, CRC_AT)) {
        return err_set(err, ERR_CORRUPT,
                       "the file \"drive\" is damaged (wrong checksum)");
    }
    if (load_u16(in + 4) != FORMAT_VERSION) {
        return err_set(err, ERR_VERSION,
                       "drive format %u, written by another godwit version",
                       (unsigned)load_u16(in + 4));
    }
    memset(out, 0, sizeof *out);
    out->drive = load_u16(in + 6);
    memcpy(out->cluster, in + 8, 16);
    out->created_ms = load_u64(in + 24);
    return 0;
}

static int check_file(const struct drive_ops *ops, struct drive_file *file,
                      uint16_t drive, const uint8_t cluster[16],
                      struct err *err)
{
    uint8_t bytes[DRIVE_IDENTITY_BYTES] = {0};
    struct iovec iov = {bytes, sizeof bytes};
    struct drive_identity id;
    size_t got;
    int status = ops->read(ops->data, file, &iov, 1, 0, &got, err);

    if (status != 0) {
        return status;
    }
    status = drive_identity_decode(bytes, &id, err);
    if (status != 0) {
        return status;
    }
    if (memcmp(id.cluster, cluster, 16) != 0) {
        return err_set(err, ERR_MISMATCH, "is a drive of another cluster");
    }
    if (id.drive != drive) {
        return err_set(err, ERR_MISMATCH, "is drive %u, not drive %u",
                       (unsigned)id.drive, (unsigned)drive);
    }
    return 0;
}

static int write_small(const struct drive_ops *ops, const char *dir,
                       const char *name, const void *p, size_t len,
                       struct err *err)
{
    struct iovec iov = {(void *)p, len};
    struct drive_file *file;
    int status = ops->open(ops->data, dir, name, DRIVE_CREATE, &file, err);

    if (status != 0) {
        return status;
    }
    status = ops->write(ops->data, file, &iov, 1, 0, err);
    if (status == 0) {
        status = ops->sync(ops->data, file, err);
    }
    ops->close(ops->data, file);
    return status;
}

/* What a new file system or a torn first start leaves is as good as empty. */
static void find_other(void *arg, const char *name)
{
    if (strcmp(name, "lost+found") != 0 && strcmp(name, NEW_NAME) != 0 &&
        strcmp(name, TEST_NAME) != 0) {
        *(bool *)arg = true;
    }
}

static int make(const struct drive_ops *ops, const char *dir, uint16_t drive,
                const uint8_t cluster[16], struct err *err)
{
    struct drive_identity id = {.drive = drive, .created_ms = clock_real_ms()};
    uint8_t bytes[DRIVE_IDENTITY_BYTES];
    bool other = false;
    int status = ops->list(ops->data, dir, find_other, &other, err);

    if (status != 0) {
        return status;
    }
    if (other) {
        return err_set(err, ERR_MISMATCH,
                       "holds files but no drive of this store");
    }
    memcpy(id.cluster, cluster, 16);
    drive_identity_encode(&id, bytes);
    status = write_small(ops, dir, NEW_NAME, bytes, sizeof bytes, err);
    if (status == 0) {
        status =
            ops->rename(ops->data, dir, NEW_NAME, DRIVE_IDENTITY_NAME, err);
    }
    if (status == 0) {
        status = ops->sync_dir(ops->data, dir, err);
    }
    return status;
}

int drive_identity_open(const struct drive_ops *ops, const char *dir,
                        uint16_t drive, const uint8_t cluster[16],
                        struct drive_file **lock, bool *made, struct err *err)
{
    const unsigned flags = DRIVE_LOCK | DRIVE_FRESH;
    struct drive_file *file;
    int status =
        ops->open(ops->data, dir, DRIVE_IDENTITY_NAME, flags, &file, err);

    *made = false;
    if (status == ERR_NOT_FOUND) {
        status = make(ops, dir, drive, cluster, err);
        if (status != 0) {
            return status;
        }
        *made = true;
        status =
            ops->open(ops->data, dir, DRIVE_IDENTITY_NAME, flags, &file, err);
    }
    if (status != 0) {
        return status;
    }
    status = check_file(ops, file, drive, cluster, err);
    if (status != 0) {
        ops->close(ops->data, file);
        return status;
    }
    *lock = file;
    return 0;
}

int drive_identity_check(const struct drive_ops *ops, const char *dir,
                         uint16_t drive, const uint8_t cluster[16],
                         struct err *err)
{
    struct drive_file *file;
    int status = ops->open(ops->data, dir, DRIVE_IDENTITY_NAME, 0, &file, err);

    if (status != 0) {
        return status;
    }
    status = check_file(ops, file, drive, cluster, err);
    ops->close(ops->data, file);
    return status;
}

int drive_write_test(const struct drive_ops *ops, const char *dir,
                     struct err *err)
{
    static const char text[] = "godwit tests here that the drive can write\n";
    int status = write_small(ops, dir, TEST_NAME, text, sizeof text - 1, err);

    if (status == ERR_FULL) {
        status = 0;
    }
    if (status == 0) {
        status = ops->unlink(ops->data, dir, TEST_NAME, err);
    }
    return status == ERR_NOT_FOUND ? 0 : status;
}
