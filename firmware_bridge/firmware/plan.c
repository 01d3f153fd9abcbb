#include "plan.h"

static bool has_table(const plan *p) { return p->table && p->table->count; }

static uint8_t count_of(const plan *p) { return has_table(p) ? p->table->count : p->own ? p->own_count : PLAN_PHASES; }

/* Without any limits: 5 to 120 s of green, 3 to 12 s of clearance (MUTCD 4F.17: yellow 3 to 6 s, red up to 6 s). */
static phase_limit limit_of(const plan *p, uint8_t at) {
    if (!has_table(p)) {
        if (p->own) return p->own[at];
        return (phase_limit){.phase = (uint8_t)(at + 1), .min_green = 50, .max_green = 1200, .min_clearance = 30,
            .max_clearance = 120};
    }
    const signal_row *r = &p->table->rows[at];
    uint16_t clearance = (uint16_t)(r->yellow + r->red);
    return (phase_limit){.phase = r->phase, .ring = r->ring, .min_green = r->min_green, .max_green = r->max_green,
        .min_clearance = clearance, .max_clearance = clearance, .green = p->table->actuated ? r->max_1 : r->green};
}

void plan_fall_back(plan *p) {
    for (uint8_t i = 0; i < count_of(p); i++) p->green[i] = limit_of(p, i).green;
}

/* Whether a ring's greens and clearances fill the cycle, or the cycle `times` times. They are rounded to 0.1 s on their way
 * here: one unit of slack for each. A ring without phases fills any. */
static bool fills(const plan *p, const uint16_t greens[PLAN_PHASES], uint8_t ring, uint32_t cycle) {
    uint32_t low = 0, high = 0;
    uint8_t phases = 0;
    for (uint8_t at = 0; at < count_of(p); at++) {
        phase_limit limit = limit_of(p, at);
        if (limit.ring != ring || !greens[at]) continue;
        low += (uint32_t)greens[at] + limit.min_clearance;
        high += (uint32_t)greens[at] + limit.max_clearance;
        phases++;
    }
    return phases == 0 || (low <= cycle + 2u * phases && cycle <= high + 2u * phases);
}

/* An actuated table's greens are maxima: with cycle 0 no sum binds them, and a phase that is not named keeps its own. */
enum plan_code plan_request(plan *p, const msg_phase_times *request, const uint8_t *greens, uint8_t *phase) {
    bool is_free = has_table(p) && p->table->actuated && request->cycle == 0;
    uint16_t wanted[PLAN_PHASES] = {0}; /* 0: not named; no limit allows it */
    for (uint8_t i = 0; i < request->phase_count; i++) {
        msg_phase_green asked;
        msg_phase_green_get(&asked, greens + 3u * i);
        uint8_t at = 0;
        while (at < count_of(p) && limit_of(p, at).phase != asked.phase) at++;
        *phase = asked.phase;
        if (at == count_of(p)) return PLAN_CODE_UNKNOWN_PHASE;
        if (wanted[at]) return PLAN_CODE_DUPLICATE_PHASE;
        phase_limit limit = limit_of(p, at);
        if (asked.green < limit.min_green || asked.green == 0) return PLAN_CODE_BELOW_MIN_GREEN;
        if (asked.green > limit.max_green) return PLAN_CODE_ABOVE_MAX_GREEN;
        wanted[at] = asked.green;
    }
    for (uint8_t at = 0; at < count_of(p); at++) {
        *phase = limit_of(p, at).phase;
        if (wanted[at]) continue;
        if ((has_table(p) || p->own) && !is_free) return PLAN_CODE_MISSING_PHASE;
        if (is_free) wanted[at] = p->green[at];
    }
    *phase = 0;
    if (request->phase_count == 0) return PLAN_CODE_CYCLE_SUM;
    for (uint8_t ring = 1; !is_free && ring <= 2; ring++)
        if (!fills(p, wanted, ring, request->cycle)) return PLAN_CODE_CYCLE_SUM;
    /* Where the rings are unknown the phases fill one ring or two. */
    if (!fills(p, wanted, 0, request->cycle) && !fills(p, wanted, 0, (uint32_t)request->cycle * 2u))
        return PLAN_CODE_CYCLE_SUM;
    for (uint8_t at = 0; at < count_of(p); at++) p->green[at] = wanted[at];
    return PLAN_CODE_OK;
}
