#include "frame.h"

static const uint32_t RESIDUE = 0x2144DF1Cu; /* CRC over anything and its CRC */

uint32_t crc32_add(uint32_t crc, uint8_t byte) {
    static const uint32_t table[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u,
        0xA00AE278u, 0xBDBDF21Cu};
    crc = ~crc ^ byte;
    crc = crc >> 4 ^ table[crc & 15u];
    return ~(crc >> 4 ^ table[crc & 15u]);
}

uint32_t crc32_of(const uint8_t *data, size_t n) {
    uint32_t crc = 0;
    for (size_t i = 0; i < n; i++) crc = crc32_add(crc, data[i]);
    return crc;
}

size_t frame_encode_into(const uint8_t *payload, size_t n, uint8_t *ring, size_t size, size_t at) {
    uint32_t crc = crc32_of(payload, n);
    size_t code_at = at;
    uint8_t code = 1; /* no run reaches 254: a frame has at most MAX_FRAME bytes */
    for (size_t i = 0; i <= n + CRC_BYTES; i++) {
        uint8_t byte = (uint8_t)(i < n ? payload[i] : i < n + CRC_BYTES ? crc >> (8u * (i - n)) : 0u);
        at = at + 1u < size ? at + 1u : 0;
        if (byte != 0) {
            ring[at] = byte;
            code++;
        } else {
            ring[code_at] = code;
            code_at = at;
            code = 1;
        }
    }
    ring[at] = 0;
    return n + FRAME_MORE;
}

size_t frame_encode(const uint8_t *payload, size_t n, uint8_t *out) {
    return frame_encode_into(payload, n, out, FRAME_BYTES, 0);
}

/* In place: what comes out is never longer than what went in. */
static size_t unstuff(uint8_t *bytes, size_t n) {
    size_t length = 0;
    for (size_t i = 0; i < n;) {
        size_t code = bytes[i++];
        if (code - 1 > n - i) return 0;
        for (size_t k = 1; k < code; k++) bytes[length++] = bytes[i++];
        if (i < n) bytes[length++] = 0; /* code 255 cannot occur in MAX_FRAME bytes */
    }
    return length;
}

size_t frame_feed(frame_decoder *d, uint8_t byte) {
    if (byte != 0) {
        if (d->length < MAX_FRAME) d->buffer[d->length] = byte;
        if (d->length <= MAX_FRAME) d->length++;
        return 0;
    }
    size_t n = d->length;
    d->length = 0;
    if (n == 0) return 0;
    if (n <= MAX_FRAME) {
        size_t length = unstuff(d->buffer, n);
        if (length > CRC_BYTES && crc32_of(d->buffer, length) == RESIDUE) {
            d->frames++;
            return length - CRC_BYTES;
        }
    }
    d->errors++;
    return 0;
}
