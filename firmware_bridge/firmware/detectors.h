/* Detector inputs: contacts bounce, loops stick, cables break. Edges in, debounced edges and faults out, in the order
 * of their times. A debounced edge carries the time at which it was certain: its level had held for debounce_ms.
 */
#ifndef WAYSIDE_DETECTORS_H
#define WAYSIDE_DETECTORS_H

#include "ring.h"
#include "settings.h"

#ifndef DETECTORS
#define DETECTORS 64u /* channels 1 to DETECTORS can be watched; others pass as they are */
#endif
#define CHATTER_WINDOW_MS 30000u

typedef struct {
    uint8_t level, raw; /* debounced, as seen */
    uint8_t faults;     /* enum detector_fault */
    uint8_t told;       /* the faults that were reported last */
    uint8_t rises;      /* in the chatter window */
    uint32_t raw_ms;    /* since when raw holds */
    uint32_t level_ms;  /* since when level holds */
    uint32_t rise_ms;   /* last rise; from the start, when there was none */
    uint32_t window_ms; /* start of the chatter window */
} detector;

typedef struct {
    detector_limits limits;
    detector each[DETECTORS];
    uint32_t due_ms; /* nothing happens by itself before */
} detectors;

void detectors_start(detectors *d, const detector_limits *limits, uint32_t ms);

/* Everything that becomes certain up to ms, one at a time: false when there is nothing more. */
bool detectors_next(detectors *d, uint32_t ms, edge *out);

/* Is this edge of a watched channel? Then it was taken in, and detectors_next tells what comes of it. Call
 * detectors_next up to the edge's time first. */
bool detectors_take(detectors *d, const edge *e);

#endif
