/* agent.h: the settings of godwit-edge, and the daemon that runs.
 *
 * One thread, one loop: requests and watched folders put objects into the
 * intake; before the loop waits, all that came is made durable by one write and
 * acknowledged. docs/EDGE.md tells the whole.
 *
 * DATA: lock (while an agent runs), socket, spool/, and when it is enrolled,
 * identity/ (edge-agent/device_id.h) and sync.json.
 */
#ifndef GODWIT_EDGE_AGENT_H
#define GODWIT_EDGE_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct err;

struct agent_config {
    char *data;
    struct config_list listen;
    char *socket;
    struct config_list watch;
    struct config_list recipient;
    char *cipher;
    char *format;
    uint64_t max_bytes;
    uint64_t max_objects;
    char *when_full;
    bool local_read;
    bool zstd;
    char *token_file;
    char *bucket;
    char *prefix;
    char *gateway;
    char *s3_endpoint;
    char *access_key_file;
    char *region;
    char *s3_ca;
    bool snowball;
    char *code;
    bool insecure;
    bool newest_first;
    uint64_t rate;
    char *hours;
    uint64_t answer_timeout;
    char *config;
    char *log_level;
};

extern const struct config_row agent_table[];

/* Run until SIGTERM or SIGINT. */
int agent_run(const struct agent_config *c, struct err *err);

/* DATA/NAME; the caller frees. */
char *agent_path(const char *data, const char *name);

#endif
