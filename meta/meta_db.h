/* meta_db.h: one SQLite connection with its prepared statements.
 *
 * Every statement of the catalogue stands in one table in meta_db.c and is
 * prepared when a connection opens. There is one writer (the
 * apply thread's) and a few readers, all in one process, in WAL mode with
 * synchronous=NORMAL: a power cut may lose the last commits, which the Raft log
 * replays. docs/DISK.md gives the schema.
 *
 * Threads: a connection belongs to one thread at a time.
 */
#ifndef GODWIT_META_META_DB_H
#define GODWIT_META_META_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define META_FORMAT 3

/* Names of the statements in meta_db.c. */
#define META_STATEMENTS(X) \
    X(BEGIN)               \
    X(COMMIT)              \
    X(ROLLBACK)            \
    X(READ)                \
    X(STATE_GET)           \
    X(STATE_SET)           \
    X(BUCKET_ID)           \
    X(BUCKET_GET)          \
    X(BUCKET_LIST)         \
    X(BUCKET_INSERT)       \
    X(BUCKET_REMOVE)       \
    X(BUCKET_HAS_VERSION)  \
    X(BUCKET_HAS_UPLOAD)   \
    X(CONFIG_LIST)         \
    X(CONFIG_PUT)          \
    X(CONFIG_REMOVE)       \
    X(CONFIG_CLEAR)        \
    X(BUCKET_FLAGS)        \
    X(BUCKET_HAS_HISTORY)  \
    X(CONFIG_GET)          \
    X(HISTORY_GET)         \
    X(HISTORY_GET_NULL)    \
    X(HISTORY_NEWEST)      \
    X(HISTORY_PUT)         \
    X(HISTORY_TAKE)        \
    X(HISTORY_GIVE)        \
    X(HISTORY_REMOVE)      \
    X(HISTORY_SET)         \
    X(HISTORY_ATTRS)       \
    X(HISTORY_NAMES)       \
    X(HISTORY_FROM)        \
    X(HISTORY_OF)          \
    X(VERSION_SET)         \
    X(VERSION_ATTRS)       \
    X(VERSION_GET)         \
    X(VERSION_PUT)         \
    X(VERSION_REMOVE)      \
    X(VERSION_FROM)        \
    X(VERSION_NAMES)       \
    X(BODY_GET)            \
    X(BODY_HEAD)           \
    X(BODY_INSERT)         \
    X(BODY_REFS)           \
    X(BODY_REMOVE)         \
    X(PART_HEAD)           \
    X(PART_GET)            \
    X(PART_PUT)            \
    X(PART_PLACE)          \
    X(PART_RUNS)           \
    X(BODY_CONTENT)        \
    X(PART_CONTENT)        \
    X(BUCKETS_TOLD)        \
    X(PART_REMOVE)         \
    X(PARTS_REMOVE)        \
    X(PART_LIST)           \
    X(PART_LIST_HEADS)     \
    X(UPLOAD_HEAD)         \
    X(UPLOAD_GET)          \
    X(UPLOAD_INSERT)       \
    X(UPLOAD_REMOVE)       \
    X(UPLOAD_FROM)         \
    X(UPLOAD_AFTER)        \
    X(UPLOAD_OLDER)        \
    X(UPLOAD_BODIES)       \
    X(RUN_GET)             \
    X(RUN_INSERT)          \
    X(RUN_REFS)            \
    X(RUN_REMOVE)          \
    X(GARBAGE_INSERT)      \
    X(GARBAGE_GET)         \
    X(GARBAGE_REMOVE)      \
    X(GARBAGE_LIST)        \
    X(LAYOUT_GET)          \
    X(LAYOUT_CLEAR)        \
    X(LAYOUT_INSERT)       \
    X(CLUSTER_GET)         \
    X(CLUSTER_INSERT)      \
    X(CLUSTER_SET)         \
    X(ZONE_ID)             \
    X(ZONE_INSERT)         \
    X(SERVER_GET)          \
    X(SERVER_LIST)         \
    X(SERVER_HEAD)         \
    X(SERVER_BY_KEY)       \
    X(SERVER_BY_NAME)      \
    X(SERVER_BY_ADDRESS)   \
    X(SERVER_COUNT)        \
    X(SERVER_META_COUNT)   \
    X(USER_GET)            \
    X(USER_LIST)           \
    X(USER_PUT)            \
    X(USER_REMOVE)         \
    X(BUCKET_OWNED)        \
    X(KEY_GET)             \
    X(KEY_LIST)            \
    X(KEY_PUT)             \
    X(KEY_REMOVE)          \
    X(KEYS_REMOVE)         \
    X(MASTER_KEY_LIST)     \
    X(MASTER_KEY_NEWEST)   \
    X(MASTER_KEY_COUNT)    \
    X(MASTER_KEY_PUT)      \
    X(MASTER_KEY_STATE)    \
    X(ERASURE_GET)         \
    X(ERASURE_LIST)        \
    X(ERASURE_OPEN)        \
    X(ERASURE_PENDING)     \
    X(ERASURE_INSERT)      \
    X(ERASURE_SET)         \
    X(ERASURE_LAST)        \
    X(ERASED_INSERT)       \
    X(ERASED_LIST)         \
    X(ERASE_CLEAN_SET)     \
    X(ERASE_CLEAN_LIST)    \
    X(DEVICE_GET)          \
    X(DEVICE_BY_NUMBER)    \
    X(DEVICE_LIST)         \
    X(DEVICE_BY_CODE)      \
    X(DEVICE_BY_KEY)       \
    X(DEVICE_INSERT)       \
    X(DEVICE_SET)          \
    X(DEVICE_CODE)         \
    X(DEVICE_ENROLL)       \
    X(DEVICE_KEY)          \
    X(DEVICE_REVOKE)       \
    X(DEVICE_REMOVE)       \
    X(DEVICE_STATE)        \
    X(FLOOR_SET)           \
    X(FLOOR_REMOVE)        \
    X(REPORT_SET)          \
    X(REPORT_REMOVE)       \
    X(DELIVERED_GET)       \
    X(DELIVERED_INSERT)    \
    X(DELIVERED_BELOW)     \
    X(CLOCK_GET)           \
    X(CLOCK_SET)           \
    X(SERVER_OTHER_META)   \
    X(SERVER_INSERT)       \
    X(SERVER_UPDATE)       \
    X(SERVER_STATE)        \
    X(DRIVE_LIST)          \
    X(DRIVE_HEAD)          \
    X(DRIVE_BY_UUID)       \
    X(DRIVE_COUNT)         \
    X(DRIVE_COUNT_OF)      \
    X(DRIVE_INSERT)        \
    X(DRIVE_STATE)         \
    X(DRIVE_WEIGHT)        \
    X(DRIVES_REMOVE)       \
    X(TOKEN_GET)           \
    X(TOKEN_LIST)          \
    X(TOKEN_COUNT)         \
    X(TOKEN_INSERT)        \
    X(TOKEN_USE)           \
    X(TOKEN_REMOVE)        \
    X(TOKEN_SWEEP)         \
    X(AUDIT_STATE_GET)     \
    X(AUDIT_STATE_SET)     \
    X(AUDIT_SETTINGS)      \
    X(AUDIT_INSERT)        \
    X(AUDIT_HASH_OF)       \
    X(AUDIT_LIST)          \
    X(AUDIT_CUT)           \
    X(AUDIT_POINT_PUT)     \
    X(AUDIT_POINT_LIST)    \
    X(AUDIT_POINT_DUE)     \
    X(AUDIT_POINT_CUT)     \
    X(AUDIT_POINT_LAST)    \
    X(AUDIT_SINCE)

enum meta_statement {
#define X(name) STMT_##name,
    META_STATEMENTS(X)
#undef X
        STMT_COUNT
};

/* Of column flags of version and history. */
enum {
    VERSION_IS_NULL = 1, /* in the text of a partial index, too */
    VERSION_IS_MARKER = 2,
    VERSION_HELD = 4,
    VERSION_HOLD_SAID = 8, /* that it is held, or that it is not */
};

/* Of column flags of bucket; none of the first two: never kept versions. */
enum {
    BUCKET_VERSIONED = 1,
    BUCKET_SUSPENDED = 2,
    BUCKET_LOCKED = 4,
};

/* Columns that VERSION_GET and HISTORY_GET* give. */
enum {
    VERSION_COLUMN_SIZE,
    VERSION_COLUMN_ETAG,
    VERSION_COLUMN_MODIFIED,
    VERSION_COLUMN_BODY,
    VERSION_COLUMN_ATTRS,
    VERSION_COLUMN_SEQ,
    VERSION_COLUMN_FLAGS,
    VERSION_COLUMN_LOCK,
    VERSION_COLUMN_RETAIN,
    VERSION_COLUMN_TAGS,
};

struct meta_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STMT_COUNT];
    bool reading;        /* of a pool: in a read transaction */
    uint64_t generation; /* of a pool: when that began */
};

enum meta_db_role { META_DB_WRITER, META_DB_READER };

/* Open the database at @path. The writer makes it when missing, checks its
 * format and brings an older one up to ours, whole or not at all. ERR_VERSION,
 * ERR_CORRUPT, ERR_IO. */
int meta_db_open(struct meta_db *db, const char *path, enum meta_db_role role,
                 struct err *err);
void meta_db_close(struct meta_db *db); /* nothing when never opened */

/* The statement, ready to be bound: reset, all parameters NULL. */
sqlite3_stmt *meta_db_stmt(struct meta_db *db, enum meta_statement s);
/* Let go of what a SELECT holds. */
void meta_db_done(struct meta_db *db, enum meta_statement s);

/* "<what>: <SQLite's message>"; ERR_CORRUPT, ERR_FULL, ERR_NOMEM or ERR_IO. */
int meta_db_error(struct meta_db *db, const char *what, struct err *err);

/* Run @sql, any number of statements. */
int meta_db_exec(struct meta_db *db, const char *sql, struct err *err);

/* Binding, by position. */
void bind_u64(sqlite3_stmt *s, int at, uint64_t v);
void bind_bytes(sqlite3_stmt *s, int at, const void *p, size_t len);
void bind_text(sqlite3_stmt *s, int at, const void *p, size_t len);
uint64_t column_u64(sqlite3_stmt *s, int at);

/* The single rows of tables state and clock. */
struct meta_state {
    uint64_t applied; /* Raft index of the last entry applied */
    uint64_t buckets, objects, uploads, garbage; /* rows */
    uint64_t clock_ms; /* of table clock; 0: it was never told */
};
int meta_state_get(struct meta_db *db, struct meta_state *out, struct err *err);

#endif
