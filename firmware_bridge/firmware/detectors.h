/* Detector inputs: contacts bounce, loops stick, cables break. Edges in, debounced edges and faults out, in the order
 * of their times. A debounced edge carries the time at which it was certain: its level had held for debounce_ms.
 */
#ifndef WAYSIDE_DETECTORS_H
#define WAYSIDE_DETECTORS_H

#include "ring.h"
#include "settings.h"

#define CHATTER_WINDOW_MS 30000u
#define FLOW_RISES 10u /* in a cycle without so many vehicles nobody is missed */

typedef struct {
    uint8_t level, raw; /* debounced, as seen */
    uint8_t faults;     /* enum detector_fault */
    uint8_t told;       /* the faults that were reported last */
    uint8_t rises;      /* in the chatter window */
    uint8_t quiet;      /* ends of cycles since the last edge, and at the start */
    uint32_t raw_ms;    /* since when raw holds */
    uint32_t level_ms;  /* since when level holds */
    uint32_t rise_ms;   /* last rise; from the start, when there was none */
    uint32_t window_ms; /* start of the chatter window */
} detector;

typedef struct {
    detector_limits limits;
    detector each[DETECTORS];
    uint32_t due_ms; /* nothing happens by itself before */
    uint32_t cycle_ms; /* start of this cycle */
    uint8_t flow;      /* vehicles in it, up to FLOW_RISES */
    uint8_t seen;      /* rows for which a vehicle came or went since detectors_rows was asked */
} detectors;

void detectors_start(detectors *d, const detector_limits *limits, uint32_t ms);

/* Everything that becomes certain up to ms, one at a time: false when there is nothing more. */
bool detectors_next(detectors *d, uint32_t ms, edge *out);

/* Is this edge of a watched channel? Then it was taken in, and detectors_next tells what comes of it. Call
 * detectors_next up to the edge's time first. */
bool detectors_take(detectors *d, const edge *e);

/* Rows with a vehicle now, or at any time since this was asked last, and rows with a detector that has a fault. */
void detectors_rows(detectors *d, uint8_t *present, uint8_t *faulty);

#endif
