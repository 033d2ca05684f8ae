/* frame.h: what travels on a connection between servers.
 *
 *     offset  size  field
 *          0     4  magic "GWNF" (0x464e5747)
 *          4     1  version, 1
 *          5     1  kind: 1 request, 2 reply, 3 message, 4 ping, 5 pong
 *          6     1  service
 *          7     1  type
 *          8     8  id: of the request that a reply answers
 *         16     4  time left for the answer in ms; of a reply its status
 *         20     4  length of the head, at most NET_HEAD_MAX
 *         24     4  length of the body, at most NET_BODY_MAX
 *         28     4  CRC32C of the head
 *         32     4  CRC32C of the body
 *         36     4  CRC32C of the bytes 0 to 35
 *         40        the head, then the body
 *
 * Little-endian. Pure functions. Threads: any.
 */
#ifndef GODWIT_NET_FRAME_H
#define GODWIT_NET_FRAME_H

#include <stdint.h>

struct err;

#define FRAME_BYTES 40

enum frame_kind {
    FRAME_REQUEST = 1,
    FRAME_REPLY = 2,
    FRAME_MESSAGE = 3,
    FRAME_PING = 4,
    FRAME_PONG = 5,
};

struct frame {
    enum frame_kind kind;
    uint8_t service, type;
    uint64_t id;
    uint32_t value; /* timeout or status */
    uint32_t head_len, body_len;
    uint32_t head_crc, body_crc;
};

void frame_encode(const struct frame *f, uint8_t out[FRAME_BYTES]);
/* ERR_CORRUPT: no frame, or damaged; ERR_VERSION; ERR_LIMIT: too long. */
int frame_decode(const uint8_t in[FRAME_BYTES], struct frame *out,
                 struct err *err);

#endif
