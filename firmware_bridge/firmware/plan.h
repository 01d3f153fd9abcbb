/* Phase times: what the board accepts from its host, and what holds without one. */
#ifndef WAYSIDE_PLAN_H
#define WAYSIDE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "signals.h"

#ifndef PLAN_PHASES
#define PLAN_PHASES MAX_PHASES /* a small board may know fewer than a request can name */
#endif

typedef struct { /* times in 0.1 s */
    uint8_t phase;
    uint8_t ring; /* 0: unknown */
    uint16_t min_green, max_green;
    uint16_t min_clearance, max_clearance; /* yellow + red */
    uint16_t green;                        /* of the fixed-time plan; 0: this board has none */
} phase_limit;

typedef struct { /* whose limits hold: those of the table where it has rows, else the board's own, else the default */
    const signal_table *table;
    const phase_limit *own; /* a request must name all of them; 0: there are none */
    uint8_t own_count;
    uint16_t green[PLAN_PHASES]; /* in force */
} plan;

/* The fixed-time plan's greens, or of an actuated table the maxima that hold without a host. */
void plan_fall_back(plan *p);

/* Checks a request and, when it is good, puts it in force. `greens` are its phase_count greens as they came. Sets the
 * phase that the code is about, or 0. */
enum plan_code plan_request(plan *p, const msg_phase_times *request, const uint8_t *greens, uint8_t *phase);

#endif
