#include "gateway/gateway.h"

#include <stddef.h>

#define ROW(key, type, field, deflt, min, max, arg, help)                  \
    {                                                                      \
        key, CONFIG_##type, offsetof(struct server_options, field), deflt, \
            min, max, arg, help                                            \
    }

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define SECOND ((uint64_t)1000)
#define DAY (86400 * SECOND)

const struct config_row server_table[] = {
    ROW("data", STRING, data, NULL, 0, 0, "DIR",
        "Folder of the store; made when missing. Required."),
    ROW("listen", STRING, listen, "127.0.0.1:9000", 0, 0, "ADDR:PORT",
        "Address to serve S3 on; port 0 takes a free one."),
    ROW("drives", UINT, drives, "6", 1, 64, "N",
        "Drives to keep under DIR/drives when no --drive is given."),
    ROW("drive", LIST, drive, NULL, 0, 0, "PATH",
        "A folder on a drive of its own; repeat for each, in the same order "
        "at every start."),
    ROW("ec", STRING, ec, NULL, 0, 0, "K+M",
        "Data and parity shards of each chunk, K 1-16 and M 0-6, such as 4+2, "
        "or 1+2 for three copies; or K+L+G, such as 6+2+2: L groups with a "
        "parity each and G 1-2 for all, so that a lost shard is rebuilt from "
        "K/L others. Chosen at the first start, 4+2 when nothing is said."),
    ROW("cluster", STRING, cluster, NULL, 0, 0, "ADDR:PORT",
        "Be a server of a cluster, and talk to the others on this address, "
        "which they must reach. The first start makes a cluster, or joins one "
        "(--join)."),
    ROW("advertise", STRING, advertise, NULL, 0, 0, "ADDR:PORT",
        "The address at which the others reach this server's cluster port, "
        "when it is not the one of --cluster: behind NAT, or with "
        "--cluster 0.0.0.0:PORT."),
    ROW("join", STRING, join, NULL, 0, 0, "ADDR:PORT",
        "At the first start: join the cluster of the server whose --cluster "
        "address this is."),
    ROW("token", STRING, token, NULL, 0, 0, "TOKEN",
        "What `godwit token create` printed, for --join."),
    ROW("zone", STRING, zone, "default", 0, 0, "NAME",
        "What fails together with this server: a room, a rack, a site. The "
        "shards of a chunk are spread over zones."),
    ROW("name", STRING, name, NULL, 0, 0, "NAME",
        "Name of this server in the cluster; the host's and four digits when "
        "nothing is said."),
    ROW("roles", STRING, roles, "gateway,node,meta", 0, 0, "LIST",
        "What this server does in a cluster: take requests (gateway), keep "
        "shards (node), vote on the catalogue (meta)."),
    ROW("repair-after", DURATION, repair_after_ms, "10m", 1000, 365 * DAY,
        "TIME",
        "How long a drive may be gone before its shards are rebuilt on "
        "others."),
    ROW("repair-rate", UINT, repair_rate_mib, "0", 0, 1000000, "MIB",
        "Rebuild and move at most so many MiB of shards a second, each server "
        "by itself; 0: as fast as the drives go."),
    ROW("recode-rate", UINT, recode_rate_mib, "64", 1, 1000000, "MIB",
        "Store anew at most so many MiB of objects a second, when a bucket was "
        "told another erasure code or compression."),
    ROW("region", STRING, region, "us-east-1", 0, 0, "NAME",
        "Region that signatures must name."),
    ROW("domain", STRING, domain, "", 0, 0, "NAME",
        "Serve virtual-host style too: BUCKET.NAME."),
    ROW("tls", STRING, tls, "off", 0, 0, "off|auto",
        "auto: serve https only, with a certificate that the cluster's own CA "
        "makes and renews; clients trust DIR/identity/ca.crt."),
    ROW("tls-name", LIST, tls_name, NULL, 0, 0, "NAME",
        "One more name or address that the certificate of --tls auto is for; "
        "repeat for each."),
    ROW("tls-cert", STRING, tls_cert, NULL, 0, 0, "FILE",
        "Certificate chain (PEM); with --tls-key serves https only."),
    ROW("tls-key", STRING, tls_key, NULL, 0, 0, "FILE",
        "Private key of --tls-cert (PEM)."),
    ROW("master-key", STRING, master_key, NULL, 0, 0, "FILE",
        "The key that wraps the keys of encryption (64 hex digits); "
        "DIR/master.key, made at the first start, when nothing is said. "
        "Without it what is encrypted cannot be read: keep a copy, apart "
        "from backups."),
    ROW("log-level", STRING, log_level, "info", 0, 0, "LEVEL",
        "error, warn, info or debug (debug logs every request)."),
    ROW("memory", SIZE, memory_bytes, "128MiB", 32 * MIB, 1024 * GIB, "BYTES",
        "Budget for bodies in flight; at it uploads wait."),
    ROW("io-threads", UINT, io_threads, "0", 0, 64, "N",
        "I/O loops; 0: one for each core."),
    ROW("workers", UINT, workers, "32", 2, 1024, "N",
        "Threads for requests that wait for drives."),
    ROW("connections", UINT, connections, "10000", 1, 1000000, "N",
        "Connections at once; more are refused."),
    ROW("connections-per-ip", UINT, connections_per_ip, "0", 0, 1000000, "N",
        "Connections at once from one address; 0: no bound of its own."),
    ROW("segment-bytes", SIZE, segment_bytes, "0", 0, 4 * GIB, "BYTES",
        "Size of a drive's segment files, at least 1 MiB; 0: by the size of "
        "the disk."),
    ROW("reserve", SIZE, reserve_bytes, "256MiB", 0, 1024 * GIB, "BYTES",
        "Free space of a disk below which writes are refused."),
    ROW("header-timeout", DURATION, header_timeout_ms, "30s", 100, DAY, "TIME",
        "Time for a client to send its headers, and of an idle connection."),
    ROW("body-timeout", DURATION, body_timeout_ms, "30s", 100, DAY, "TIME",
        "Time over which a body must keep up --body-rate."),
    ROW("body-rate", SIZE, body_rate_bytes, "1KiB", 0, GIB, "BYTES",
        "Slowest rate of a body, in bytes a second."),
    ROW("gc-interval", DURATION, gc_interval_ms, "5s", 50, DAY, "TIME",
        "How often garbage is collected."),
    ROW("gc-delay", DURATION, gc_delay_ms, "60s", 0, 7 * DAY, "TIME",
        "How long replaced bytes are kept for reads that still use them."),
    ROW("orphan-age", DURATION, orphan_age_ms, "1h", 0, 365 * DAY, "TIME",
        "Age at which shards that nothing names are collected."),
    ROW("upload-expiry", DURATION, upload_expiry_ms, "7d", 100, 3650 * DAY,
        "TIME", "Age at which unfinished multipart uploads are aborted."),
    ROW("lifecycle-interval", DURATION, lifecycle_interval_ms, "1h", 100, DAY,
        "TIME", "How often buckets are gone through by their lifecycle rules."),
    ROW("log-interval", DURATION, log_interval_ms, "5m", 100, DAY, "TIME",
        "How often access logs of buckets are put into their target buckets."),
    ROW("scrub-interval", DURATION, scrub_interval_ms, "30d", 0, 3650 * DAY,
        "TIME", "Time in which every shard is read and checked; 0: never."),
    ROW("hedge", DURATION, hedge_ms, "50ms", 1, 60 * SECOND, "TIME",
        "How long a read waits for a drive before it asks one more."),
    ROW("put-timeout", DURATION, put_timeout_ms, "30s", 100, DAY, "TIME",
        "Time for drives to make a chunk durable."),
    ROW("part-min", SIZE, part_min_bytes, "5MiB", 1, 5 * GIB, "BYTES",
        "Smallest part of a multipart upload but the last."),
    {NULL, CONFIG_BOOL, 0, NULL, 0, 0, NULL, NULL},
};
