/* meta_device.h: reads of devices, and of what each has delivered.
 *
 * Threads: any. The *_local functions see what this member has applied and wait
 * for nobody.
 */
#ifndef GODWIT_META_META_DEVICE_H
#define GODWIT_META_META_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/command.h"

struct err;
struct meta;

enum meta_device_state {                  /* kept in rows */
                         META_DEVICE_NEW, /* never enrolled */
                         META_DEVICE_ENROLLED,
                         META_DEVICE_REVOKED,
};

struct meta_device {
    char name[META_DEVICE_MAX + 1];
    uint64_t number; /* 0: never enrolled */
    enum meta_device_state state;
    uint64_t created_ms, enrolled_ms;
    uint64_t code_expires_ms; /* of a code that waits; 0: none does */
    uint8_t fingerprint[META_FINGERPRINT]; /* of its public key */
    char *policy;                          /* an IAM document; a NUL behind */
    size_t policy_len;
    char *settings; /* JSON; a NUL behind, as the next */
    size_t settings_len;
    char *report; /* NULL: it said nothing yet */
    size_t report_len;
    uint64_t seen_ms; /* when it said so; 0 */
    uint64_t floor;   /* all below was delivered, or will never come */
};

/* ERR_NOT_FOUND. */
int meta_device_get(struct meta *m, const char *name, struct meta_device *out,
                    struct err *err);
int meta_device_local(struct meta *m, uint64_t number, struct meta_device *out,
                      struct err *err);
void meta_device_free(struct meta_device *d);
/* The one that has this public key. ERR_NOT_FOUND. */
int meta_device_by_key(struct meta *m,
                       const uint8_t fingerprint[META_FINGERPRINT],
                       struct meta_device *out, struct err *err);
/* When the code with this hash ends that a device waits for. ERR_NOT_FOUND: no
 * one does, or it was used. */
int meta_device_code(struct meta *m, const uint8_t code_hash[META_CODE_HASH],
                     uint64_t *expires_ms, struct err *err);
/* Up to @max after the name @after ("": from the first), in order of their
 * names; free each, then the array. */
int meta_devices(struct meta *m, const char *after, size_t max,
                 struct meta_device **out, size_t *count, struct err *err);

/* Was it delivered? For what cannot be proposed again, as an upload that is
 * complete is gone. */
int meta_delivered(struct meta *m, uint64_t number, uint64_t sequence,
                   bool *yes, struct err *err);

#endif
