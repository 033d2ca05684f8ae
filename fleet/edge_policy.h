/* edge_policy.h: what a device is to do, as its operator says.
 *
 * The operator writes a JSON object of at most EDGE_POLICY_MAX bytes;
 * docs/EDGE.md says what may stand in it. What it does not say stays as the
 * device has it. What is not known is refused, with the field's name, for a
 * device that leaves out half of what it is told does what nobody wants.
 *
 * It travels in a document that the cluster's CA has signed:
 *
 *     {"device":NAME,"version":N,"policy":{...}}
 *     signature: ECDSA by the CA's key (P-256, SHA-256, in DER) of
 *                PKI_POLICY_DOMAIN (crypto/pki.h) and the document's bytes
 *
 * So it is for that device, and a higher version than any before it.
 *
 * Threads: any; a policy belongs to its caller.
 */
#ifndef GODWIT_FLEET_EDGE_POLICY_H
#define GODWIT_FLEET_EDGE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"

struct buf;
struct err;
struct json_node;

#define EDGE_POLICY_MAX (3U * 1024) /* with its document in the settings */
#define EDGE_POLICY_DOCUMENT_MAX (EDGE_POLICY_MAX + 256U)
#define EDGE_CLASSES 10
#define EDGE_RESERVED_MAX 90 /* percent of the spool, all classes together */
#define EDGE_REDACT_MAX 32   /* names of each kind */
#define EDGE_REDACT_NAME_MAX 128
#define EDGE_PATH_MAX 255

enum edge_full {
    EDGE_FULL_UNSAID,
    EDGE_FULL_REFUSE,
    EDGE_FULL_OLDEST,
    EDGE_FULL_CLASS,
};

enum edge_order { EDGE_ORDER_UNSAID, EDGE_ORDER_OLDEST, EDGE_ORDER_NEWEST };

struct edge_policy_class {
    uint8_t priority; /* the class's own number unless said */
    uint8_t reserved; /* percent of the spool that is for it alone */
    enum edge_order order;
    uint64_t deadline_ms; /* 0: none */
};

/* Zero, or NULL, is what was not said, but for priorities. */
struct edge_policy {
    enum edge_full when_full;
    uint64_t max_bytes, max_objects;
    bool rate_said;
    uint64_t rate; /* bytes a second; 0: no bound */
    char *hours;   /* "22-6"; "": at any */
    bool zstd_said, zstd;
    uint64_t flash_budget; /* bytes a day */
    char *metered_file;    /* says whether the link is metered */
    uint8_t metered_class; /* what goes then: of this priority or more */
    struct config_list drop_metadata, drop_json;
    struct edge_policy_class classes[EDGE_CLASSES];
};

/* What says nothing. */
void edge_policy_init(struct edge_policy *p);
void edge_policy_free(struct edge_policy *p);

/* The operator's part. ERR_BAD_INPUT: "classes.3.deadline: ..."; ERR_LIMIT:
 * over a bound. */
int edge_policy_read(const void *json, size_t len, struct edge_policy *out,
                     struct err *err);

/* Append the document of @policy, which edge_policy_read takes. */
void edge_policy_document(const char *device, uint64_t version,
                          const void *policy, size_t policy_len,
                          struct buf *out);
/* All of a document, whose signature was checked. *@version is also set when
 * it is the policy that is refused; 0 when there is none. ERR_DENIED: it is for
 * another device. */
int edge_policy_open(const void *document, size_t len, const char *device,
                     uint64_t *version, struct edge_policy *out,
                     struct err *err);

/* "22-6", hours of the day; false: it is none. */
bool edge_hours(const char *text, unsigned *from, unsigned *to);

#endif
