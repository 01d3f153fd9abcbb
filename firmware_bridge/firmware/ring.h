/* Events that the host has not acknowledged. Full: the oldest goes. */
#ifndef WAYSIDE_RING_H
#define WAYSIDE_RING_H

#include <stdint.h>

#ifndef RING_MAX
#define RING_MAX 8192u
#endif

typedef struct {
    uint32_t ms;
    uint8_t kind, channel;
    uint16_t value;
} edge;

typedef struct {
    edge slots[RING_MAX];
    uint32_t capacity; /* 1 to RING_MAX */
    uint32_t oldest;   /* seq of the oldest event held; next when there is none */
    uint32_t next;     /* seq of the next event */
} ring;

static inline void ring_push(ring *r, const edge *e) {
    if (r->next - r->oldest == r->capacity) r->oldest++;
    r->slots[r->next++ % r->capacity] = *e;
}

static inline const edge *ring_at(const ring *r, uint32_t seq) { return &r->slots[seq % r->capacity]; }

static inline void ring_release(ring *r, uint32_t upto) { /* upto < next */
    if (upto >= r->oldest) r->oldest = upto + 1u;
}

#endif
