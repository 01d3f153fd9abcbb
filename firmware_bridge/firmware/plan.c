#include "plan.h"

void plan_default(plan *p) {
    *p = (plan){.count = PLAN_PHASES};
    for (uint8_t i = 0; i < PLAN_PHASES; i++)
        p->limits[i] = (phase_limit){
            .phase = (uint8_t)(i + 1), .min_green = 50, .max_green = 1200, .min_clearance = 30, .max_clearance = 120};
}

void plan_fall_back(plan *p) {
    for (uint8_t i = 0; i < p->count; i++) p->green[i] = p->limits[i].green;
}

typedef struct {
    uint32_t low, high, phases;
} span; /* of cycle times that the greens fill */

/* Greens and clearances are rounded to 0.1 s on their way here: one unit of slack for each. */
static bool fits(const span *s, uint32_t cycle) {
    return s->low <= cycle + 2u * s->phases && cycle <= s->high + 2u * s->phases;
}

enum plan_code plan_request(plan *p, const msg_phase_times *request, const msg_phase_green *greens, uint8_t *phase) {
    bool is_free = p->actuated && request->cycle == 0;
    uint16_t wanted[PLAN_PHASES] = {0};
    bool named[PLAN_PHASES] = {false};
    span all = {0, 0, 0};
    for (uint8_t i = 0; i < request->phase_count; i++) {
        uint8_t at = 0;
        while (at < p->count && p->limits[at].phase != greens[i].phase) at++;
        *phase = greens[i].phase;
        if (at == p->count) return PLAN_CODE_UNKNOWN_PHASE;
        if (named[at]) return PLAN_CODE_DUPLICATE_PHASE;
        if (greens[i].green < p->limits[at].min_green) return PLAN_CODE_BELOW_MIN_GREEN;
        if (greens[i].green > p->limits[at].max_green) return PLAN_CODE_ABOVE_MAX_GREEN;
        named[at] = true;
        wanted[at] = greens[i].green;
    }
    span rings[3] = {all, all, all};
    for (uint8_t at = 0; at < p->count; at++) {
        const phase_limit *limit = &p->limits[at];
        *phase = limit->phase;
        if (!named[at]) {
            if (p->complete && !is_free) return PLAN_CODE_MISSING_PHASE;
            wanted[at] = is_free ? p->green[at] : 0;
            continue;
        }
        span *s = &rings[limit->ring];
        s->low += (uint32_t)wanted[at] + limit->min_clearance;
        s->high += (uint32_t)wanted[at] + limit->max_clearance;
        s->phases++;
    }
    *phase = 0;
    if (request->phase_count == 0) return PLAN_CODE_CYCLE_SUM;
    for (int ring = 1; !is_free && ring <= 2; ring++)
        if (rings[ring].phases && !fits(&rings[ring], request->cycle)) return PLAN_CODE_CYCLE_SUM;
    /* Where the rings are unknown the phases fill one ring or two. */
    if (rings[0].phases && !fits(&rings[0], request->cycle) && !fits(&rings[0], (uint32_t)request->cycle * 2u))
        return PLAN_CODE_CYCLE_SUM;
    for (uint8_t at = 0; at < p->count; at++) p->green[at] = wanted[at];
    return PLAN_CODE_OK;
}
