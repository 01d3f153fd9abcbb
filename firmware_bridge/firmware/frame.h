/* Frames: COBS + CRC-32 + 0x00, as in firmware_bridge/line/frames.py. */
#ifndef WAYSIDE_FRAME_H
#define WAYSIDE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "messages.h"

#define FRAME_BYTES (MAX_FRAME + 1u) /* with the delimiter */

typedef struct {
    uint8_t buffer[MAX_FRAME];
    size_t length;   /* MAX_FRAME + 1: too long, wait for the delimiter */
    uint32_t frames;
    uint32_t errors; /* frames dropped: too short, too long, bad COBS, bad CRC */
} frame_decoder;

/* CRC-32/ISO-HDLC, zlib's: of nothing it is 0, and bytes can be added one by one. */
uint32_t crc32_add(uint32_t crc, uint8_t byte);
uint32_t crc32_of(const uint8_t *data, size_t n);

/* A payload of 1 to MAX_PAYLOAD bytes is FRAME_MORE longer as a frame, always. */
#define FRAME_MORE (CRC_BYTES + 2u)

/* Writes one frame to out. Returns its length. */
size_t frame_encode(const uint8_t *payload, size_t n, uint8_t *out);

/* The same into a ring of `size` bytes, from `at` on. */
size_t frame_encode_into(const uint8_t *payload, size_t n, uint8_t *ring, size_t size, size_t at);

/* Takes one byte. Returns the payload's length when that byte completes a good frame, otherwise 0. The payload lies in
 * d->buffer until the next byte. */
size_t frame_feed(frame_decoder *d, uint8_t byte);

#endif
