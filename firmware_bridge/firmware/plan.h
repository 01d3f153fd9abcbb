/* Phase times: what the board accepts from its host, and what holds without one. */
#ifndef WAYSIDE_PLAN_H
#define WAYSIDE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

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

typedef struct {
    phase_limit limits[PLAN_PHASES];
    uint8_t count;
    bool complete;              /* a request must name every phase */
    bool actuated;              /* greens are maxima: with cycle 0 no sum binds them, and who is not named keeps his */
    uint16_t green[PLAN_PHASES]; /* in force */
} plan;

/* Phases 1 to PLAN_PHASES, 5 to 120 s of green, 3 to 12 s of clearance (MUTCD 4F.17: yellow 3 to 6 s, red up to 6 s). */
void plan_default(plan *p);

void plan_fall_back(plan *p);

/* Checks a request and, when it is good, puts it in force. Sets the phase that the code is about, or 0. */
enum plan_code plan_request(plan *p, const msg_phase_times *request, const msg_phase_green *greens, uint8_t *phase);

#endif
