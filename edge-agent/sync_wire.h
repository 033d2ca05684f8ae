/* sync_wire.h: a batch as it travels, and the answer to it.
 *
 * Little-endian. Objects of one segment of the spool share its seal header:
 *
 *     0  4  "GWBR"
 *     4  1  version, 1;  1 byte 0
 *     6  2  count of seal headers
 *     8  4  count of objects, at most 1,000
 *    12  8  floor: below it nothing comes any more
 *    20     seal headers: u16 length, bytes
 *           objects: u64 sequence, u64 time (ms since 1970, by the device),
 *             u8 kind (1 object, 3 delete), u8 flags (1: a whole envelope),
 *             u8 flags of the seal, u8 0, u32 link, u16 number of the seal
 *             header, u16 bytes of the key, u16 of the metadata, u32 of the
 *             payload; key "BUCKET/KEY", metadata, payload
 *           u32 CRC32C of all before
 *
 *     answer: "GWBA", u32 count, for each object u64 sequence, u8 status; u32
 *     CRC32C of all before
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_SYNC_WIRE_H
#define GODWIT_EDGE_SYNC_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct err;
struct spool_object;

#define SYNC_WIRE_OBJECT_MAX (256U * 1024)
#define SYNC_WIRE_MAX (1024U * 1024)

enum sync_wire_status {
    SYNC_WIRE_STORED = 1,
    SYNC_WIRE_REPEATED,
    SYNC_WIRE_DENIED,
    SYNC_WIRE_BAD,
    SYNC_WIRE_RETRY,
};

struct sync_wire {
    uint64_t floor;
    uint32_t count;
    uint16_t header_count;
    uint64_t segment; /* of the last header */
    size_t size;
    struct buf headers, objects;
};

void sync_wire_begin(struct sync_wire *w, uint64_t floor);
/* @header is that of @segment; not looked at for deletes and envelopes.
 * ERR_LIMIT: it would be over SYNC_WIRE_MAX. */
int sync_wire_add(struct sync_wire *w, const struct spool_object *o,
                  uint64_t segment, const struct buf *header,
                  const struct buf *payload, struct err *err);
void sync_wire_end(struct sync_wire *w, struct buf *out); /* and free */
void sync_wire_free(struct sync_wire *w);

/* Give the statuses (free()) of @count objects, which must be answered in the
 * order sent. ERR_BAD_INPUT: this is no answer to that batch. */
int sync_wire_answer(const void *p, size_t len, const uint64_t *ids,
                     size_t count, uint8_t **statuses, struct err *err);

#endif
