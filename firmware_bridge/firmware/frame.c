#include "frame.h"

uint16_t frame_crc(const uint8_t *data, size_t n) {
    uint32_t crc = 0xFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint32_t)data[i] << 8;
        for (int bit = 0; bit < 8; bit++) crc = (crc & 0x8000u) ? (crc << 1) ^ 0x1021u : crc << 1;
    }
    return (uint16_t)(crc & 0xFFFFu);
}

size_t frame_encode(const uint8_t *payload, size_t n, uint8_t *out) {
    uint16_t crc = frame_crc(payload, n);
    size_t code_at = 0, end = 1;
    for (size_t i = 0; i < n + 2; i++) {
        uint8_t byte = i < n ? payload[i] : (uint8_t)(i == n ? crc >> 8 : crc & 0xFFu);
        if (byte != 0) {
            out[end++] = byte; /* no run reaches 254: the frame is at most 66 bytes */
        } else {
            out[code_at] = (uint8_t)(end - code_at);
            code_at = end++;
        }
    }
    out[code_at] = (uint8_t)(end - code_at);
    out[end++] = 0;
    return end;
}

static size_t unstuff(const uint8_t *in, size_t n, uint8_t *out) {
    size_t length = 0;
    for (size_t i = 0; i < n;) {
        size_t code = in[i++];
        if (code - 1 > n - i) return 0;
        for (size_t k = 1; k < code; k++) out[length++] = in[i++];
        if (i < n) out[length++] = 0; /* code 255 cannot occur in MAX_FRAME bytes */
    }
    return length;
}

size_t frame_feed(frame_decoder *d, uint8_t byte, uint8_t payload[MAX_FRAME]) {
    if (byte != 0) {
        if (d->length < MAX_FRAME) d->buffer[d->length] = byte;
        if (d->length <= MAX_FRAME) d->length++;
        return 0;
    }
    size_t n = d->length;
    d->length = 0;
    if (n == 0) return 0;
    if (n <= MAX_FRAME) {
        size_t length = unstuff(d->buffer, n, payload);
        if (length > 2 && frame_crc(payload, length) == 0) {
            d->frames++;
            return length - 2;
        }
    }
    d->errors++;
    return 0;
}
