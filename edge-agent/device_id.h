/* device_id.h: who a device is, in DATA/identity/.
 *
 *     key.pem        its key (mode 0600); never leaves the device
 *     cert.pem       its certificate, renewed at 2/3 of its life
 *     ca.pem         the cluster's CA: the only authority it believes
 *     settings.json  what the cluster said it is for
 *     device.json    {"gateway":URL,"device":NAME,"number":N}
 *
 * The folder comes whole or not at all: it is made as identity.new and renamed.
 * identity.new/key.pem stays when an enrolment fails half-way, so that the next
 * one asks with the same key.
 *
 * DATA/sync.json (struct sync_memory) is what the agent keeps of the cluster
 * between starts; without it delivery works, too.
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_DEVICE_ID_H
#define GODWIT_EDGE_DEVICE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/config.h"

struct err;

#define DEVICE_ID_JSON_MAX (64U * 1024)
#define DEVICE_ID_CA_PIN 32
#define DEVICE_ID_SECRET_TEXT 22

struct device_id {
    struct buf key, cert, ca; /* PEM */
    struct buf settings;      /* JSON; a NUL follows */
    char *gateway;
    char *device; /* its name */
    uint64_t number;
};

/* ERR_NOT_FOUND: the device is not enrolled. ERR_CORRUPT: a file is none of
 * these, or key and certificate do not fit. */
int device_id_load(const char *data, struct device_id *out, struct err *err);
void device_id_free(struct device_id *id); /* wipes */

/* The key to enrol with: made when there is none from an earlier try. */
int device_id_new_key(const char *data, struct buf *key, struct err *err);
/* Replace all. */
int device_id_save(const char *data, const struct device_id *id,
                   struct err *err);
int device_id_save_cert(const char *data, const struct buf *cert,
                        struct err *err);
int device_id_save_settings(const char *data, const struct buf *settings,
                            struct err *err);

/* What settings.json says; what it does not say is NULL or empty. */
struct device_id_settings {
    char *bucket, *prefix, *cipher, *format, *when_full;
    struct config_list recipients;
};
/* ERR_BAD_INPUT: no bucket. */
int device_id_settings_read(const struct buf *json,
                            struct device_id_settings *out, struct err *err);
void device_id_settings_free(struct device_id_settings *s);

/* "gwe1.<CA's SHA-256>.<secret>": gives the secret as it travels. ERR_BAD_INPUT
 * says what is wrong; never repeats the code. */
int device_id_code_parse(const char *code, uint8_t ca[DEVICE_ID_CA_PIN],
                         char secret[DEVICE_ID_SECRET_TEXT + 1],
                         struct err *err);

/* ---- memory of the cluster ---- */

struct sync_memory {
    uint64_t number;   /* the device's; of another one nothing counts */
    int64_t skew_ms;   /* cluster's time - the system's clock */
    uint64_t seen_ms;  /* the cluster's time, when last heard */
    uint64_t sequence; /* at least this one was used */
    uint64_t refused;  /* objects that the cluster refused for good */
};
void sync_memory_load(const char *data, struct sync_memory *out); /* or zeros */
int sync_memory_save(const char *data, const struct sync_memory *m,
                     struct err *err);

#endif
