#include "meta/meta_db.h"
#include "meta/meta_vfs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define APPLICATION_ID 0x47445754 /* "GDWT" */
#define WRITER_CACHE_KIB 4096
#define READER_CACHE_KIB 512
#define WAL_LIMIT_BYTES (64 << 20)
#define BUSY_TIMEOUT_MS 10000

/* The tables of a new database are made format by format, as those of an old
 * one are brought up to date: the statements of steps[n] lead from format n to
 * n + 1. */
static const char *const tables =
    "CREATE TABLE state ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " applied INTEGER NOT NULL,"
    " buckets INTEGER NOT NULL, objects INTEGER NOT NULL,"
    " uploads INTEGER NOT NULL, garbage INTEGER NOT NULL) STRICT;"
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, 0);"

    "CREATE TABLE bucket ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " owner TEXT NOT NULL, created INTEGER NOT NULL) STRICT;"

    "CREATE TABLE version ("
    " bucket INTEGER NOT NULL, key BLOB NOT NULL,"
    " version INTEGER NOT NULL, size INTEGER NOT NULL,"
    " etag TEXT NOT NULL, modified INTEGER NOT NULL,"
    " body INTEGER NOT NULL, attrs BLOB NOT NULL,"
    " PRIMARY KEY (bucket, key, version)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE body ("
    " id INTEGER PRIMARY KEY, refs INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, parts INTEGER NOT NULL,"
    " content BLOB NOT NULL) STRICT;"

    "CREATE TABLE part ("
    " body INTEGER NOT NULL, number INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, size INTEGER NOT NULL,"
    " etag TEXT NOT NULL, modified INTEGER NOT NULL,"
    " checksum TEXT, kind INTEGER NOT NULL, content BLOB NOT NULL,"
    " PRIMARY KEY (body, number)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE upload ("
    " id BLOB PRIMARY KEY, bucket INTEGER NOT NULL, key BLOB NOT NULL,"
    " created INTEGER NOT NULL, body INTEGER NOT NULL,"
    " attrs BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX upload_by_key ON upload (bucket, key, created, id);"
    "CREATE INDEX upload_by_age ON upload (created, id);"

    "CREATE TABLE run ("
    " hi INTEGER NOT NULL, lo INTEGER NOT NULL,"
    " refs INTEGER NOT NULL, garbage INTEGER NOT NULL,"
    " PRIMARY KEY (hi, lo)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE garbage ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, since INTEGER NOT NULL,"
    " manifest BLOB NOT NULL) STRICT;"
    "CREATE INDEX garbage_by_age ON garbage (since, id);"

    "CREATE TABLE layout ("
    " epoch INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;";

/* Format 2. State 2 is removed: a name or address may then be used again. */
static const char *const registry =
    "CREATE TABLE cluster ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL,"
    " created INTEGER NOT NULL, revision INTEGER NOT NULL,"
    " next_server INTEGER NOT NULL, next_drive INTEGER NOT NULL,"
    " next_zone INTEGER NOT NULL) STRICT;"

    "CREATE TABLE zone ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"

    "CREATE TABLE server ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " address TEXT NOT NULL, endpoint TEXT NOT NULL,"
    " zone INTEGER NOT NULL, roles INTEGER NOT NULL,"
    " state INTEGER NOT NULL, joined INTEGER NOT NULL,"
    " fingerprint BLOB NOT NULL UNIQUE, token BLOB NOT NULL,"
    " format INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX server_by_name ON server (name)"
    " WHERE state <> 2;"
    "CREATE UNIQUE INDEX server_by_address ON server (address)"
    " WHERE state <> 2;"

    "CREATE TABLE drive ("
    " id INTEGER PRIMARY KEY, server INTEGER NOT NULL,"
    " weight INTEGER NOT NULL, state INTEGER NOT NULL,"
    " uuid BLOB NOT NULL UNIQUE, added INTEGER NOT NULL) STRICT;"
    "CREATE INDEX drive_by_server ON drive (server, id);"

    "CREATE TABLE token ("
    " hash BLOB PRIMARY KEY, created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, uses INTEGER NOT NULL,"
    " note TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/* Format 3. */
static const char *const bucket_config =
    "CREATE TABLE bucket_config ("
    " bucket INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " value BLOB NOT NULL, PRIMARY KEY (bucket, kind))"
    " STRICT, WITHOUT ROWID;";

/* Table version has the current version of each key, unless that is a delete
 * marker; all others stand in history, newest first, so that what comes after
 * the newest is one seek. Flags: VERSION_* in meta_core.h. */
static const char *const versions =
    "ALTER TABLE bucket ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;"

    "ALTER TABLE version ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE version ADD COLUMN flags INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE version ADD COLUMN lock INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE version ADD COLUMN retain INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE version ADD COLUMN tags BLOB NOT NULL DEFAULT x'';"

    "CREATE TABLE history ("
    " bucket INTEGER NOT NULL, key BLOB NOT NULL,"
    " seq INTEGER NOT NULL, size INTEGER NOT NULL,"
    " etag TEXT NOT NULL, modified INTEGER NOT NULL,"
    " body INTEGER NOT NULL, attrs BLOB NOT NULL,"
    " flags INTEGER NOT NULL, lock INTEGER NOT NULL,"
    " retain INTEGER NOT NULL, tags BLOB NOT NULL,"
    " PRIMARY KEY (bucket, key, seq DESC)) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX history_null ON history (bucket, key)"
    " WHERE (flags & 1) <> 0;"

    "ALTER TABLE upload ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE upload ADD COLUMN lock INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE upload ADD COLUMN retain INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE upload ADD COLUMN tags BLOB NOT NULL DEFAULT x'';";

static const char *const clock_table =
    "CREATE TABLE clock ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), ms INTEGER NOT NULL) STRICT;";

static const char *const users =
    "CREATE TABLE user ("
    " name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
    " policy BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE access_key ("
    " id TEXT PRIMARY KEY, user TEXT NOT NULL, secret TEXT NOT NULL,"
    " created INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX access_key_by_user ON access_key (user, id);"
    "CREATE INDEX bucket_by_owner ON bucket (owner, name);";

/* Wrapped by a key that is not here. Disabled is of a name: all its rows say
 * the same. */
static const char *const master_keys =
    "CREATE TABLE master_key ("
    " name TEXT NOT NULL, number INTEGER NOT NULL, created INTEGER NOT NULL,"
    " disabled INTEGER NOT NULL, wrapped BLOB NOT NULL,"
    " PRIMARY KEY (name, number)) STRICT, WITHOUT ROWID;";

/* What changes with each delivery stands apart from what seldom does. State:
 * enum meta_device_state; number 0: never enrolled. */
static const char *const devices =
    "CREATE TABLE device ("
    " name TEXT PRIMARY KEY, number INTEGER NOT NULL,"
    " state INTEGER NOT NULL, created INTEGER NOT NULL,"
    " enrolled INTEGER NOT NULL, policy BLOB NOT NULL,"
    " settings BLOB NOT NULL, code BLOB, expires INTEGER NOT NULL,"
    " fingerprint BLOB) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX device_by_number ON device (number)"
    " WHERE number <> 0;"
    "CREATE UNIQUE INDEX device_by_code ON device (code)"
    " WHERE code IS NOT NULL;"
    "CREATE UNIQUE INDEX device_by_key ON device (fingerprint)"
    " WHERE fingerprint IS NOT NULL;"
    "CREATE TABLE device_floor ("
    " number INTEGER PRIMARY KEY, floor INTEGER NOT NULL) STRICT;"
    "CREATE TABLE device_report ("
    " number INTEGER PRIMARY KEY, seen INTEGER NOT NULL,"
    " report BLOB NOT NULL) STRICT;"
    "CREATE TABLE delivered ("
    " device INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " PRIMARY KEY (device, sequence)) STRICT, WITHOUT ROWID;";

/* Requests, what each has erased (up to META_ERASE_LISTED_MAX versions), and up
 * to which index of the log each server has no trace left. State: enum
 * meta_erase_state; entry: that of the last pass that erased something. */
static const char *const erasures =
    "CREATE TABLE erasure ("
    " id INTEGER PRIMARY KEY, bucket TEXT NOT NULL,"
    " selector INTEGER NOT NULL, key BLOB NOT NULL,"
    " version INTEGER NOT NULL, field TEXT NOT NULL,"
    " value TEXT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL,"
    " created INTEGER NOT NULL, state INTEGER NOT NULL,"
    " versions INTEGER NOT NULL, keys INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, held INTEGER NOT NULL,"
    " retained INTEGER NOT NULL, until INTEGER NOT NULL,"
    " digest BLOB NOT NULL, done INTEGER NOT NULL,"
    " entry INTEGER NOT NULL) STRICT;"
    "CREATE TABLE erased ("
    " request INTEGER NOT NULL, n INTEGER NOT NULL, key BLOB NOT NULL,"
    " version INTEGER NOT NULL, size INTEGER NOT NULL,"
    " etag TEXT NOT NULL, how INTEGER NOT NULL,"
    " PRIMARY KEY (request, n)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE erase_clean ("
    " server INTEGER PRIMARY KEY, upto INTEGER NOT NULL) STRICT;";

/* Level: enum audit_level; base: up to which entry all were removed. */
static const char *const audit =
    "CREATE TABLE audit ("
    " number INTEGER PRIMARY KEY, hash BLOB NOT NULL,"
    " content BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_checkpoint ("
    " number INTEGER PRIMARY KEY, clock INTEGER NOT NULL,"
    " server INTEGER NOT NULL, hash BLOB NOT NULL, key BLOB NOT NULL,"
    " signature BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_state ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL,"
    " hash BLOB NOT NULL, base INTEGER NOT NULL, level INTEGER NOT NULL,"
    " hash_keys INTEGER NOT NULL, keep INTEGER NOT NULL) STRICT;"
    "INSERT INTO audit_state VALUES (1, 0, zeroblob(32), 0, 1, 0,"
    " 31536000000);";

#define STEP_MAX 16
static const char *const *const steps[META_FORMAT][STEP_MAX] = {
    {&tables},
    {&registry},
    {&bucket_config, &versions, &clock_table, &users, &master_keys, &devices,
     &erasures, &audit}};

#define ERASURE_SELECT                                                 \
    "SELECT id, bucket, selector, key, version, field, value, reason," \
    " who, created, state, versions, keys, bytes, held, retained,"     \
    " until, digest, done, entry FROM erasure"

#define DEVICE_SELECT                                                    \
    "SELECT d.name, d.number, d.state, d.created, d.enrolled, d.policy," \
    " d.settings, d.expires, d.fingerprint, f.floor, r.seen, r.report"   \
    " FROM device d LEFT JOIN device_floor f USING (number)"             \
    " LEFT JOIN device_report r USING (number)"

/* Of a version, in both tables: what moves between them. */
#define VERSION_COLUMNS                             \
    "bucket, key, seq, size, etag, modified, body," \
    " attrs, flags, lock, retain, tags"
#define VERSION_GET                                         \
    "SELECT size, etag, modified, body, attrs, seq, flags," \
    " lock, retain, tags FROM "

#define SERVER_COLUMNS                                            \
    "SELECT s.id, s.name, s.address, s.endpoint, z.name, s.zone," \
    " s.roles, s.state, s.joined, s.fingerprint, s.format"        \
    " FROM server s JOIN zone z ON z.id = s.zone"

/* Column version of table version is 0: of the time before history. */
static const char *const sql[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_READ] = "BEGIN",
    [STMT_STATE_GET] =
        "SELECT applied, buckets, objects, uploads, garbage"
        " FROM state",
    [STMT_STATE_SET] =
        "UPDATE state SET applied = ?1, buckets = ?2,"
        " objects = ?3, uploads = ?4, garbage = ?5",
    [STMT_BUCKET_ID] = "SELECT id, flags FROM bucket WHERE name = ?1",
    [STMT_BUCKET_FLAGS] = "UPDATE bucket SET flags = ?2 WHERE id = ?1",
    [STMT_BUCKET_HAS_HISTORY] =
        "SELECT 1 FROM history WHERE bucket = ?1"
        " LIMIT 1",
    [STMT_BUCKET_GET] =
        "SELECT name, owner, created, id FROM bucket"
        " WHERE name = ?1",
    [STMT_BUCKET_LIST] =
        "SELECT name, owner, created FROM bucket"
        " WHERE name > ?1 ORDER BY name LIMIT ?2",
    [STMT_BUCKET_INSERT] =
        "INSERT INTO bucket (id, name, owner, created, flags)"
        " VALUES (?1, ?2, ?3, ?4, ?5)",
    [STMT_BUCKET_REMOVE] = "DELETE FROM bucket WHERE id = ?1",
    [STMT_BUCKET_HAS_VERSION] =
        "SELECT 1 FROM version WHERE bucket = ?1"
        " LIMIT 1",
    [STMT_BUCKET_HAS_UPLOAD] =
        "SELECT 1 FROM upload WHERE bucket = ?1"
        " LIMIT 1",
    [STMT_CONFIG_LIST] =
        "SELECT kind, value FROM bucket_config"
        " WHERE bucket = ?1 AND kind >= ?2 AND kind <= ?3",
    [STMT_CONFIG_GET] =
        "SELECT value FROM bucket_config WHERE bucket = ?1 AND kind = ?2",
    [STMT_CONFIG_PUT] =
        "INSERT OR REPLACE INTO bucket_config VALUES (?1, ?2, ?3)",
    [STMT_CONFIG_REMOVE] =
        "DELETE FROM bucket_config WHERE bucket = ?1 AND kind = ?2",
    [STMT_CONFIG_CLEAR] = "DELETE FROM bucket_config WHERE bucket = ?1",
    [STMT_HISTORY_GET] =
        VERSION_GET "history WHERE bucket = ?1 AND key = ?2 AND seq = ?3",
    [STMT_HISTORY_GET_NULL] = VERSION_GET
    "history WHERE bucket = ?1 AND key = ?2"
    " AND (flags & 1) <> 0",
    [STMT_HISTORY_NEWEST] = VERSION_GET
    "history WHERE bucket = ?1 AND key = ?2"
    " ORDER BY seq DESC LIMIT 1",
    [STMT_HISTORY_PUT] = "INSERT INTO history (" VERSION_COLUMNS
                         ") VALUES (?1, ?2, ?3, 0, '', ?4, 0, x'', ?5, 0, 0,"
                         " x'')",
    /* From version to history, and back. */
    [STMT_HISTORY_TAKE] =
        "INSERT INTO history (" VERSION_COLUMNS ") SELECT " VERSION_COLUMNS
        " FROM version WHERE bucket = ?1 AND key = ?2 AND version = 0",
    [STMT_HISTORY_GIVE] =
        "INSERT INTO version (version, " VERSION_COLUMNS
        ") SELECT 0, " VERSION_COLUMNS
        " FROM history WHERE bucket = ?1 AND key = ?2 AND seq = ?3",
    [STMT_HISTORY_REMOVE] =
        "DELETE FROM history"
        " WHERE bucket = ?1 AND key = ?2 AND seq = ?3",
    [STMT_HISTORY_SET] =
        "UPDATE history SET flags = ?4, lock = ?5, retain = ?6,"
        " tags = ifnull(?7, tags)"
        " WHERE bucket = ?1 AND key = ?2 AND seq = ?3",
    [STMT_HISTORY_ATTRS] =
        "UPDATE history SET attrs = ?5"
        " WHERE bucket = ?1 AND key = ?2 AND seq = ?3 AND attrs = ?4"
        " RETURNING 1",
    [STMT_HISTORY_NAMES] =
        "SELECT h.bucket, b.name, h.key, h.body, h.seq"
        " FROM history h JOIN bucket b ON b.id = h.bucket"
        " WHERE (h.bucket, h.key) >= (?1, ?2)"
        " AND ((h.bucket, h.key) > (?1, ?2) OR h.seq < ?3)"
        " ORDER BY h.bucket, h.key, h.seq DESC LIMIT ?4",
    [STMT_HISTORY_FROM] =
        "SELECT key, size, modified, etag, attrs, seq, flags"
        " FROM history WHERE bucket = ?1 AND key >= ?2"
        " ORDER BY key, seq DESC",
    [STMT_HISTORY_OF] =
        "SELECT key, size, modified, etag, attrs, seq, flags"
        " FROM history WHERE bucket = ?1 AND key = ?2 AND seq < ?3"
        " ORDER BY seq DESC",
    [STMT_VERSION_SET] =
        "UPDATE version SET flags = ?4, lock = ?5, retain = ?6,"
        " tags = ifnull(?7, tags)"
        " WHERE bucket = ?1 AND key = ?2 AND version = 0 AND seq = ?3",
    [STMT_VERSION_ATTRS] =
        "UPDATE version SET attrs = ?5"
        " WHERE bucket = ?1 AND key = ?2 AND version = 0 AND seq = ?3"
        " AND attrs = ?4 RETURNING 1",
    [STMT_VERSION_GET] = VERSION_GET
    "version"
    " WHERE bucket = ?1 AND key = ?2 AND version = 0",
    [STMT_VERSION_PUT] =
        "INSERT OR REPLACE INTO version (version, " VERSION_COLUMNS
        ") VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [STMT_VERSION_REMOVE] =
        "DELETE FROM version"
        " WHERE bucket = ?1 AND key = ?2 AND version = 0",
    [STMT_VERSION_FROM] =
        "SELECT key, size, modified, etag, attrs, seq, flags"
        " FROM version WHERE bucket = ?1 AND key >= ?2"
        " ORDER BY key, version",
    [STMT_VERSION_NAMES] =
        "SELECT v.bucket, b.name, v.key, v.body"
        " FROM version v JOIN bucket b ON b.id = v.bucket"
        " WHERE (v.bucket, v.key) > (?1, ?2)"
        " ORDER BY v.bucket, v.key LIMIT ?3",
    [STMT_BODY_GET] = "SELECT kind, parts, content FROM body WHERE id = ?1",
    [STMT_BODY_HEAD] = "SELECT kind, parts, refs FROM body WHERE id = ?1",
    [STMT_BODY_INSERT] = "INSERT INTO body VALUES (?1, 1, ?2, ?3, ?4)",
    [STMT_BODY_REFS] = "UPDATE body SET refs = refs + ?2 WHERE id = ?1",
    [STMT_BODY_REMOVE] = "DELETE FROM body WHERE id = ?1",
    [STMT_PART_HEAD] =
        "SELECT offset, size, etag FROM part"
        " WHERE body = ?1 AND number = ?2",
    [STMT_PART_GET] =
        "SELECT number, offset, size, modified, etag, checksum,"
        " kind, content FROM part"
        " WHERE body = ?1 AND number = ?2",
    [STMT_PART_PUT] =
        "INSERT INTO part"
        " VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8)",
    [STMT_PART_PLACE] =
        "UPDATE part SET number = ?3, offset = ?4"
        " WHERE body = ?1 AND number = ?2",
    [STMT_PART_RUNS] =
        "SELECT kind, content, number FROM part"
        " WHERE body = ?1 AND number > ?2 ORDER BY number"
        " LIMIT ?3",
    [STMT_BODY_CONTENT] = "UPDATE body SET content = ?2 WHERE id = ?1",
    [STMT_PART_CONTENT] =
        "UPDATE part SET content = ?3 WHERE body = ?1 AND number = ?2",
    [STMT_BUCKETS_TOLD] =
        "SELECT name, owner, created FROM bucket"
        " WHERE name > ?1 AND id IN (SELECT bucket FROM bucket_config"
        " WHERE kind IN (13, 14, 16)) ORDER BY name LIMIT ?2",
    [STMT_PART_REMOVE] = "DELETE FROM part WHERE body = ?1 AND number = ?2",
    [STMT_PARTS_REMOVE] = "DELETE FROM part WHERE body = ?1",
    [STMT_PART_LIST] =
        "SELECT number, offset, size, modified, etag, checksum,"
        " kind, content FROM part"
        " WHERE body = ?1 AND number > ?2 ORDER BY number"
        " LIMIT ?3",
    [STMT_PART_LIST_HEADS] =
        "SELECT number, offset, size, modified, etag,"
        " checksum FROM part"
        " WHERE body = ?1 AND number > ?2 ORDER BY number"
        " LIMIT ?3",
    [STMT_UPLOAD_HEAD] =
        "SELECT bucket, key, body, created, flags, lock, retain, tags"
        " FROM upload"
        " WHERE id = ?1",
    [STMT_UPLOAD_GET] =
        "SELECT u.id, b.name, u.key, u.created, u.attrs"
        " FROM upload u JOIN bucket b ON b.id = u.bucket"
        " WHERE u.id = ?1",
    [STMT_UPLOAD_INSERT] =
        "INSERT INTO upload (id, bucket, key, created, body, attrs,"
        " flags, lock, retain, tags)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [STMT_UPLOAD_REMOVE] = "DELETE FROM upload WHERE id = ?1",
    [STMT_UPLOAD_FROM] =
        "SELECT key, created, id, attrs FROM upload"
        " WHERE bucket = ?1 AND key >= ?2"
        " ORDER BY key, created, id",
    [STMT_UPLOAD_AFTER] =
        "SELECT key, created, id, attrs FROM upload"
        " WHERE bucket = ?1"
        " AND (key, created, id) > (?2, ?3, ?4)"
        " ORDER BY key, created, id",
    [STMT_UPLOAD_OLDER] =
        "SELECT u.id, b.name, u.key, u.created, u.attrs"
        " FROM upload u JOIN bucket b ON b.id = u.bucket"
        " WHERE u.created < ?1"
        " ORDER BY u.created, u.id LIMIT ?2",
    [STMT_UPLOAD_BODIES] =
        "SELECT u.id, b.name, u.key, u.body"
        " FROM upload u JOIN bucket b ON b.id = u.bucket"
        " WHERE u.id > ?1 ORDER BY u.id LIMIT ?2",
    [STMT_RUN_GET] = "SELECT refs, garbage FROM run WHERE hi = ?1 AND lo = ?2",
    [STMT_RUN_INSERT] = "INSERT INTO run VALUES (?1, ?2, 1, 0)",
    [STMT_RUN_REFS] =
        "UPDATE run SET refs = ?3, garbage = ?4"
        " WHERE hi = ?1 AND lo = ?2",
    [STMT_RUN_REMOVE] = "DELETE FROM run WHERE hi = ?1 AND lo = ?2",
    [STMT_GARBAGE_INSERT] =
        "INSERT INTO garbage (since, manifest)"
        " VALUES (?1, ?2)",
    [STMT_GARBAGE_GET] = "SELECT manifest FROM garbage WHERE id = ?1",
    [STMT_GARBAGE_REMOVE] = "DELETE FROM garbage WHERE id = ?1",
    [STMT_GARBAGE_LIST] =
        "SELECT id, manifest FROM garbage"
        " WHERE since < ?1 ORDER BY since, id LIMIT ?2",
    [STMT_LAYOUT_GET] =
        "SELECT epoch, content FROM layout"
        " ORDER BY epoch DESC LIMIT 1",
    [STMT_LAYOUT_CLEAR] = "DELETE FROM layout",
    [STMT_LAYOUT_INSERT] = "INSERT INTO layout VALUES (?1, ?2)",
    [STMT_CLUSTER_GET] =
        "SELECT id, created, revision, next_server, next_drive,"
        " next_zone FROM cluster",
    [STMT_CLUSTER_INSERT] =
        "INSERT INTO cluster VALUES (1, ?1, ?2, 0, 1, 0, 1)",
    [STMT_CLUSTER_SET] =
        "UPDATE cluster SET revision = ?1, next_server = ?2,"
        " next_drive = ?3, next_zone = ?4",
    [STMT_ZONE_ID] = "SELECT id FROM zone WHERE name = ?1",
    [STMT_ZONE_INSERT] = "INSERT INTO zone VALUES (?1, ?2)",
    [STMT_SERVER_GET] = SERVER_COLUMNS " WHERE s.id = ?1",
    [STMT_SERVER_LIST] = SERVER_COLUMNS " ORDER BY s.id",
    [STMT_SERVER_HEAD] = "SELECT state, roles FROM server WHERE id = ?1",
    [STMT_SERVER_BY_KEY] =
        "SELECT id, state, token FROM server WHERE fingerprint = ?1",
    [STMT_SERVER_BY_NAME] =
        "SELECT id FROM server WHERE name = ?1 AND state <> 2",
    [STMT_SERVER_BY_ADDRESS] =
        "SELECT id FROM server WHERE address = ?1 AND state <> 2",
    [STMT_SERVER_COUNT] = "SELECT count(*) FROM server WHERE state <> 2",
    [STMT_SERVER_META_COUNT] =
        "SELECT count(*) FROM server WHERE state <> 2 AND (roles & 4) <> 0",
    [STMT_USER_GET] = "SELECT name, created, policy FROM user WHERE name = ?1",
    [STMT_USER_LIST] = "SELECT name, created, policy FROM user ORDER BY name",
    [STMT_USER_PUT] =
        "INSERT INTO user VALUES (?1, ?2, ?3)"
        " ON CONFLICT (name) DO UPDATE SET policy = ?3",
    [STMT_USER_REMOVE] = "DELETE FROM user WHERE name = ?1",
    [STMT_BUCKET_OWNED] = "SELECT 1 FROM bucket WHERE owner = ?1 LIMIT 1",
    [STMT_KEY_GET] =
        "SELECT id, user, secret, created FROM access_key WHERE id = ?1",
    [STMT_KEY_LIST] =
        "SELECT id, user, secret, created FROM access_key"
        " WHERE user = ?1 ORDER BY id",
    [STMT_KEY_PUT] = "INSERT INTO access_key VALUES (?1, ?2, ?3, ?4)",
    [STMT_KEY_REMOVE] = "DELETE FROM access_key WHERE id = ?1",
    [STMT_KEYS_REMOVE] = "DELETE FROM access_key WHERE user = ?1",
    [STMT_MASTER_KEY_LIST] =
        "SELECT name, number, created, disabled, wrapped FROM master_key"
        " ORDER BY name, number",
    [STMT_MASTER_KEY_NEWEST] =
        "SELECT number, disabled FROM master_key WHERE name = ?1"
        " ORDER BY number DESC LIMIT 1",
    [STMT_MASTER_KEY_COUNT] = "SELECT count(*) FROM master_key",
    [STMT_MASTER_KEY_PUT] = "INSERT INTO master_key VALUES (?1, ?2, ?3, 0, ?4)",
    [STMT_MASTER_KEY_STATE] =
        "UPDATE master_key SET disabled = ?2 WHERE name = ?1",

    [STMT_ERASURE_GET] = ERASURE_SELECT " WHERE id = ?1",
    [STMT_ERASURE_LIST] = ERASURE_SELECT " WHERE id > ?1 ORDER BY id LIMIT ?2",
    [STMT_ERASURE_OPEN] = "SELECT count(*) FROM erasure WHERE state IN (1, 2)",
    [STMT_ERASURE_PENDING] =
        ERASURE_SELECT " WHERE state IN (1, 2) ORDER BY id LIMIT ?2",
    [STMT_ERASURE_INSERT] =
        "INSERT INTO erasure (id, bucket, selector, key, version, field,"
        " value, reason, who, created, state, versions, keys, bytes, held,"
        " retained, until, digest, done, entry) VALUES ("
        " (SELECT ifnull(max(id), 0) + 1 FROM erasure), ?1, ?2, ?3, ?4, ?5,"
        " ?6, ?7, ?8, ?9, 1, 0, 0, 0, 0, 0, 0, ?10, 0, 0) RETURNING id",
    [STMT_ERASURE_SET] =
        "UPDATE erasure SET state = ?2, versions = ?3, keys = ?4, bytes = ?5,"
        " held = ?6, retained = ?7, until = ?8, digest = ?9, done = ?10,"
        " entry = ?11 WHERE id = ?1",
    [STMT_ERASURE_LAST] = "SELECT ifnull(max(entry), 0) FROM erasure",
    [STMT_ERASED_INSERT] =
        "INSERT INTO erased VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [STMT_ERASED_LIST] =
        "SELECT key, version, size, etag, how FROM erased"
        " WHERE request = ?1 ORDER BY n",
    [STMT_ERASE_CLEAN_SET] =
        "INSERT INTO erase_clean VALUES (?1, ?2) ON CONFLICT (server)"
        " DO UPDATE SET upto = max(upto, excluded.upto)",
    [STMT_ERASE_CLEAN_LIST] = "SELECT server, upto FROM erase_clean",

    [STMT_DEVICE_GET] = DEVICE_SELECT " WHERE d.name = ?1",
    [STMT_DEVICE_BY_NUMBER] = DEVICE_SELECT
    " WHERE d.number = ?1"
    " AND d.number <> 0",
    [STMT_DEVICE_LIST] = DEVICE_SELECT
    " WHERE d.name > ?1"
    " ORDER BY d.name LIMIT ?2",
    [STMT_DEVICE_BY_CODE] =
        "SELECT name, number, expires FROM device"
        " WHERE code = ?1 AND code IS NOT NULL",
    [STMT_DEVICE_BY_KEY] =
        "SELECT name FROM device"
        " WHERE fingerprint = ?1 AND fingerprint IS NOT NULL",
    [STMT_DEVICE_INSERT] =
        "INSERT INTO device VALUES (?1, 0, 0, ?2, 0, ?3, ?4, ?5, ?6, NULL)",
    [STMT_DEVICE_SET] =
        "UPDATE device SET policy = ?2, settings = ?3 WHERE name = ?1",
    [STMT_DEVICE_CODE] =
        "UPDATE device SET code = ?2, expires = ?3 WHERE name = ?1",
    [STMT_DEVICE_ENROLL] =
        "UPDATE device SET number = ?2, state = ?3, enrolled = ?4,"
        " fingerprint = ?5, code = NULL, expires = 0 WHERE name = ?1",
    [STMT_DEVICE_KEY] =
        "UPDATE device SET fingerprint = ?2 WHERE number = ?1"
        " AND number <> 0",
    [STMT_DEVICE_REVOKE] =
        "UPDATE device SET state = ?2, code = NULL,"
        " expires = 0 WHERE name = ?1",
    [STMT_DEVICE_REMOVE] = "DELETE FROM device WHERE name = ?1",
    [STMT_DEVICE_STATE] =
        "SELECT d.state, f.floor FROM device d"
        " LEFT JOIN device_floor f USING (number)"
        " WHERE d.number = ?1 AND d.number <> 0",
    [STMT_FLOOR_SET] =
        "INSERT INTO device_floor VALUES (?1, ?2)"
        " ON CONFLICT (number) DO UPDATE SET floor = ?2",
    [STMT_FLOOR_REMOVE] = "DELETE FROM device_floor WHERE number = ?1",
    [STMT_REPORT_SET] =
        "INSERT INTO device_report VALUES (?1, ?2, ?3)"
        " ON CONFLICT (number) DO UPDATE SET seen = ?2, report = ?3",
    [STMT_REPORT_REMOVE] = "DELETE FROM device_report WHERE number = ?1",
    [STMT_DELIVERED_GET] =
        "SELECT 1 FROM delivered WHERE device = ?1 AND sequence = ?2",
    [STMT_DELIVERED_INSERT] = "INSERT INTO delivered VALUES (?1, ?2)",
    [STMT_DELIVERED_BELOW] =
        "DELETE FROM delivered WHERE device = ?1 AND sequence < ?2",
    [STMT_CLOCK_GET] = "SELECT ms FROM clock",
    [STMT_CLOCK_SET] = "INSERT OR REPLACE INTO clock VALUES (1, ?1)",
    [STMT_SERVER_OTHER_META] =
        "SELECT id FROM server WHERE id <> ?1 AND state <> 2"
        " AND (roles & 4) <> 0 LIMIT 1",
    [STMT_SERVER_INSERT] =
        "INSERT INTO server"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10)",
    [STMT_SERVER_UPDATE] =
        "UPDATE server SET address = ifnull(?2, address),"
        " endpoint = ifnull(?3, endpoint), zone = ifnull(?4, zone),"
        " roles = ifnull(?5, roles), format = ifnull(?6, format)"
        " WHERE id = ?1",
    [STMT_SERVER_STATE] = "UPDATE server SET state = ?2 WHERE id = ?1",
    [STMT_DRIVE_LIST] =
        "SELECT d.id, d.server, d.weight, d.state, d.uuid, d.added,"
        " s.state, s.zone FROM drive d JOIN server s ON s.id = d.server"
        " ORDER BY d.id",
    [STMT_DRIVE_HEAD] = "SELECT state, weight FROM drive WHERE id = ?1",
    [STMT_DRIVE_BY_UUID] =
        "SELECT id, server, state FROM drive WHERE uuid = ?1",
    [STMT_DRIVE_COUNT] = "SELECT count(*) FROM drive WHERE state <> 2",
    [STMT_DRIVE_COUNT_OF] =
        "SELECT count(*) FROM drive WHERE server = ?1 AND state <> 2",
    [STMT_DRIVE_INSERT] = "INSERT INTO drive VALUES (?1, ?2, ?3, 0, ?4, ?5)",
    [STMT_DRIVE_STATE] = "UPDATE drive SET state = ?2 WHERE id = ?1",
    [STMT_DRIVE_WEIGHT] = "UPDATE drive SET weight = ?2 WHERE id = ?1",
    [STMT_DRIVES_REMOVE] =
        "UPDATE drive SET state = 2 WHERE server = ?1 AND state <> 2",
    [STMT_TOKEN_GET] = "SELECT expires, uses FROM token WHERE hash = ?1",
    [STMT_TOKEN_LIST] =
        "SELECT hash, created, expires, uses, note FROM token"
        " ORDER BY created, hash",
    [STMT_TOKEN_COUNT] = "SELECT count(*) FROM token",
    [STMT_TOKEN_INSERT] = "INSERT INTO token VALUES (?1, ?2, ?3, ?4, ?5)",
    [STMT_TOKEN_USE] = "UPDATE token SET uses = uses - 1 WHERE hash = ?1",
    [STMT_TOKEN_REMOVE] = "DELETE FROM token WHERE hash = ?1",
    [STMT_TOKEN_SWEEP] = "DELETE FROM token WHERE expires < ?1 OR uses = 0",

    [STMT_AUDIT_STATE_GET] =
        "SELECT number, hash, base, level, hash_keys, keep FROM audit_state",
    [STMT_AUDIT_STATE_SET] =
        "UPDATE audit_state SET number = ?1, hash = ?2, base = ?3",
    [STMT_AUDIT_SETTINGS] =
        "UPDATE audit_state SET level = ?1, hash_keys = ?2, keep = ?3",
    [STMT_AUDIT_INSERT] = "INSERT INTO audit VALUES (?1, ?2, ?3)",
    [STMT_AUDIT_HASH_OF] = "SELECT hash FROM audit WHERE number = ?1",
    [STMT_AUDIT_LIST] =
        "SELECT hash, content FROM audit WHERE number > ?1"
        " ORDER BY number LIMIT ?2",
    [STMT_AUDIT_CUT] = "DELETE FROM audit WHERE number <= ?1",
    [STMT_AUDIT_POINT_PUT] =
        "INSERT OR REPLACE INTO audit_checkpoint"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_AUDIT_POINT_LIST] =
        "SELECT number, clock, server, hash, key, signature"
        " FROM audit_checkpoint WHERE number >= ?1 ORDER BY number LIMIT ?2",
    [STMT_AUDIT_POINT_DUE] =
        "SELECT number FROM audit_checkpoint"
        " WHERE number > ?1 AND clock <= ?2 ORDER BY number LIMIT ?3",
    [STMT_AUDIT_POINT_CUT] = "DELETE FROM audit_checkpoint WHERE number < ?1",
    [STMT_AUDIT_POINT_LAST] =
        "SELECT number, clock, server, hash, key, signature"
        " FROM audit_checkpoint ORDER BY number DESC LIMIT 1",
    [STMT_AUDIT_SINCE] =
        "SELECT number FROM audit_checkpoint WHERE clock < ?1"
        " ORDER BY number DESC LIMIT 1",
};

static void configure_once(void)
{
    /* Connections are handed from thread to thread, never shared; counting
     * memory would be a lock that all of them take. */
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    CHECK(sqlite3_initialize() == SQLITE_OK);
}

int meta_db_error(struct meta_db *db, const char *what, struct err *err)
{
    int code;

    switch (sqlite3_errcode(db->sqlite) & 0xff) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            code = ERR_CORRUPT;
            break;
        case SQLITE_FULL:
            code = ERR_FULL;
            break;
        case SQLITE_NOMEM:
            code = ERR_NOMEM;
            break;
        default:
            code = ERR_IO;
    }
    return err_set(err, code, "%s: sqlite: %s", what,
                   sqlite3_errmsg(db->sqlite));
}

int meta_db_exec(struct meta_db *db, const char *text, struct err *err)
{
    if (sqlite3_exec(db->sqlite, text, NULL, NULL, NULL) != SQLITE_OK) {
        return meta_db_error(db, "statement", err);
    }
    return 0;
}

static int pragma_number(struct meta_db *db, const char *text, int64_t *out,
                         struct err *err)
{
    sqlite3_stmt *s;
    int rc = 0;

    if (sqlite3_prepare_v2(db->sqlite, text, -1, &s, NULL) != SQLITE_OK) {
        return meta_db_error(db, text, err);
    }
    if (sqlite3_step(s) == SQLITE_ROW) {
        *out = sqlite3_column_int64(s, 0);
    } else {
        rc = meta_db_error(db, text, err);
    }
    sqlite3_finalize(s);
    return rc;
}

/* From format @from (0: an empty file) to ours, in the transaction under way.
 */
static int take_steps(struct meta_db *db, int from, struct err *err)
{
    char text[128];
    int rc = 0;

    for (int i = from; i < META_FORMAT; i++) {
        for (int j = 0; j < STEP_MAX && steps[i][j] != NULL && rc == 0; j++) {
            rc = meta_db_exec(db, *steps[i][j], err);
        }
    }
    if (rc == 0) {
        snprintf(text, sizeof text,
                 "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 APPLICATION_ID, META_FORMAT);
        rc = meta_db_exec(db, text, err);
    }
    return rc == 0 ? meta_db_exec(db, "COMMIT", err) : rc;
}

/* See that the tables are of our format, or make them so. */
static int check_format(struct meta_db *db, const char *path, struct err *err)
{
    int64_t format, id;
    int rc = pragma_number(db, "PRAGMA user_version", &format, err);

    if (rc == 0) {
        rc = pragma_number(db, "PRAGMA application_id", &id, err);
    }
    if (rc != 0) {
        return err_wrap(err, rc, "%s", path);
    }
    if (format < 0 || format > META_FORMAT ||
        id != (format != 0 ? APPLICATION_ID : 0)) {
        return err_set(err, ERR_VERSION,
                       "%s: format %lld is not known (this program writes %d)",
                       path, (long long)format, META_FORMAT);
    }
    if (format == META_FORMAT) {
        return 0;
    }
    rc = meta_db_exec(db, "BEGIN IMMEDIATE", err);
    if (rc == 0) {
        rc = take_steps(db, (int)format, err);
    }
    /* On failure the connection is closed, which rolls back. */
    return rc == 0 ? 0
                   : err_wrap(err, rc, "%s: from format %lld to %d", path,
                              (long long)format, META_FORMAT);
}

void meta_db_close(struct meta_db *db)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    if (db->sqlite != NULL) {
        CHECK(sqlite3_close(db->sqlite) == SQLITE_OK);
        db->sqlite = NULL;
    }
}

static int prepare_all(struct meta_db *db, const char *path, struct err *err)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        if (sqlite3_prepare_v3(db->sqlite, sql[i], -1,
                               SQLITE_PREPARE_PERSISTENT, &db->statements[i],
                               NULL) != SQLITE_OK) {
            return meta_db_error(db, path, err);
        }
    }
    return 0;
}

int meta_db_open(struct meta_db *db, const char *path, enum meta_db_role role,
                 struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                (role == META_DB_WRITER ? SQLITE_OPEN_CREATE : 0);
    char text[400];
    int rc;

    pthread_once(&once, configure_once);
    memset(db, 0, sizeof *db);
    if (sqlite3_open_v2(path, &db->sqlite, flags, meta_vfs()) != SQLITE_OK) {
        rc = meta_db_error(db, path, err);
        goto err_after_open;
    }
    sqlite3_extended_result_codes(db->sqlite, 1);
    sqlite3_busy_timeout(db->sqlite, BUSY_TIMEOUT_MS);
    snprintf(text, sizeof text,
             "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;"
             "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
             "PRAGMA journal_size_limit = %d; PRAGMA secure_delete = ON;"
             "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -%d;"
             "PRAGMA trusted_schema = OFF;",
             WAL_LIMIT_BYTES,
             role == META_DB_WRITER ? WRITER_CACHE_KIB : READER_CACHE_KIB);
    rc = meta_db_exec(db, text, err);
    if (rc != 0) {
        rc = err_wrap(err, rc, "%s", path);
        goto err_after_open;
    }
    if (role == META_DB_WRITER) {
        rc = check_format(db, path, err);
    } else {
        rc = meta_db_exec(db, "PRAGMA query_only = ON", err);
    }
    if (rc == 0) {
        rc = prepare_all(db, path, err);
    }
    if (rc != 0) {
        goto err_after_open;
    }
    return 0;

err_after_open:
    meta_db_close(db);
    return rc;
}

sqlite3_stmt *meta_db_stmt(struct meta_db *db, enum meta_statement s)
{
    sqlite3_reset(db->statements[s]);
    sqlite3_clear_bindings(db->statements[s]);
    return db->statements[s];
}

void meta_db_done(struct meta_db *db, enum meta_statement s)
{
    sqlite3_reset(db->statements[s]);
}

void bind_u64(sqlite3_stmt *s, int at, uint64_t v)
{
    CHECK(sqlite3_bind_int64(s, at, (sqlite3_int64)v) == SQLITE_OK);
}

void bind_bytes(sqlite3_stmt *s, int at, const void *p, size_t len)
{
    /* A NULL pointer would be SQL's NULL, not an empty run of bytes. */
    CHECK(sqlite3_bind_blob64(s, at, p != NULL ? p : "", len, SQLITE_STATIC) ==
          SQLITE_OK);
}

void bind_text(sqlite3_stmt *s, int at, const void *p, size_t len)
{
    CHECK(sqlite3_bind_text64(s, at, p != NULL ? p : "", len, SQLITE_STATIC,
                              SQLITE_UTF8) == SQLITE_OK);
}

uint64_t column_u64(sqlite3_stmt *s, int at)
{
    return (uint64_t)sqlite3_column_int64(s, at);
}

int meta_state_get(struct meta_db *db, struct meta_state *out, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_STATE_GET);

    if (sqlite3_step(s) != SQLITE_ROW) {
        return meta_db_error(db, "state", err);
    }
    out->applied = column_u64(s, 0);
    out->buckets = column_u64(s, 1);
    out->objects = column_u64(s, 2);
    out->uploads = column_u64(s, 3);
    out->garbage = column_u64(s, 4);
    meta_db_done(db, STMT_STATE_GET);
    s = meta_db_stmt(db, STMT_CLOCK_GET);
    out->clock_ms = sqlite3_step(s) == SQLITE_ROW ? column_u64(s, 0) : 0;
    meta_db_done(db, STMT_CLOCK_GET);
    return 0;
}
