#include "detectors.h"

static const uint32_t NEVER = 0x7FFFFFFFu; /* ms from now: further away than any limit */
static const uint32_t SECOND = 1000u; /* 32 bits: on an AVR the product of two ints has 16 */

void detectors_start(detectors *d, const detector_limits *limits, uint32_t ms) {
    d->limits = *limits;
    if (d->limits.count > DETECTORS) d->limits.count = DETECTORS;
    for (uint8_t i = 0; i < d->limits.count; i++)
        d->each[i] = (detector){.raw_ms = ms, .level_ms = ms, .rise_ms = ms, .window_ms = ms, .quiet = 1};
    d->due_ms = d->cycle_ms = ms;
    d->flow = d->seen = 0;
}

/* The next timed change of one detector: ms from `from` on, NEVER when it waits for an edge. */
enum act { NOTHING, SETTLE, STICK, MISS, WINDOW };

static uint32_t sooner(uint32_t ms, uint32_t from, uint32_t best) {
    uint32_t in = ms - from;
    if (in >= 0x80000000u) in = 0; /* overdue */
    return in < best ? in : best;
}

static enum act next_act(const detectors *d, const detector *x, uint32_t from, uint32_t *in) {
    const detector_limits *l = &d->limits;
    enum act act = NOTHING;
    uint32_t best = NEVER, at;
    if (x->raw != x->level) best = sooner(x->raw_ms + l->debounce_ms, from, best), act = SETTLE;
    if (l->stuck_s && x->level && !(x->faults & DETECTOR_FAULT_STUCK_ON) &&
        (at = sooner(x->level_ms + l->stuck_s * SECOND, from, best)) < best)
        best = at, act = STICK;
    if (l->no_hit_s && !(x->faults & DETECTOR_FAULT_NO_HIT) &&
        (at = sooner(x->rise_ms + l->no_hit_s * SECOND, from, best)) < best)
        best = at, act = MISS;
    if ((x->rises || (x->faults & DETECTOR_FAULT_CHATTER)) &&
        (at = sooner(x->window_ms + CHATTER_WINDOW_MS, from, best)) < best)
        best = at, act = WINDOW;
    *in = best;
    return act;
}

static uint8_t rows_of(const detectors *d, uint8_t channel) {
    return channel <= CALLERS ? d->limits.rows[channel - 1u] : 0;
}

static void settle(detectors *d, detector *x, uint32_t ms, edge *out, uint8_t channel) {
    *out = (edge){.ms = ms, .kind = EVENT_KIND_DETECTOR, .channel = channel, .value = x->raw};
    x->level = x->raw;
    x->level_ms = ms;
    uint8_t gone = x->level ? DETECTOR_FAULT_NO_HIT : DETECTOR_FAULT_STUCK_ON;
    x->faults &= (uint8_t)~(gone | DETECTOR_FAULT_DEAD);
    x->quiet = 0;
    d->seen |= rows_of(d, channel);
    if (!x->level) return;
    if (d->flow < FLOW_RISES) d->flow++;
    x->rise_ms = ms;
    if (x->rises == 0 && !(x->faults & DETECTOR_FAULT_CHATTER)) x->window_ms = ms;
    if (x->rises < 255) x->rises++;
    if (d->limits.chatter && x->rises > d->limits.chatter) x->faults |= DETECTOR_FAULT_CHATTER;
}

/* A cycle of the fixed-time plan is over, or, where few came, longer: who saw none of them? */
static void count_cycle(detectors *d, uint32_t ms) {
    const detector_limits *l = &d->limits;
    if (l->dead_cycles == 0 || d->flow < FLOW_RISES || ms - d->cycle_ms < l->cycle_ms) return;
    d->cycle_ms = ms;
    d->flow = 0;
    for (uint8_t i = 0; i < l->count; i++) {
        detector *x = &d->each[i];
        if (x->level || rows_of(d, (uint8_t)(i + 1u)) == 0) continue; /* a vehicle stands there */
        if (x->quiet <= l->dead_cycles && x->quiet++ == l->dead_cycles) x->faults |= DETECTOR_FAULT_DEAD;
    }
}

bool detectors_next(detectors *d, uint32_t ms, edge *out) {
    /* A fault that an edge or the end of a window changed is reported at once, before anything later. */
    while (ms - d->due_ms < 0x80000000u) {
        uint32_t from = d->due_ms, soonest = NEVER, in;
        uint8_t who = 0;
        for (uint8_t i = 0; i < d->limits.count; i++) {
            if (d->each[i].told != d->each[i].faults) {
                d->each[i].told = d->each[i].faults;
                *out = (edge){.ms = from, .kind = EVENT_KIND_DETECTOR_FAULT, .channel = (uint8_t)(i + 1u),
                    .value = d->each[i].faults};
                return true;
            }
            (void)next_act(d, &d->each[i], from, &in);
            if (in < soonest) soonest = in, who = i;
        }
        d->due_ms = from + soonest;
        if (soonest == NEVER || ms - d->due_ms >= 0x80000000u) return false;
        detector *x = &d->each[who];
        switch (next_act(d, x, d->due_ms, &in)) {
        case SETTLE:
            settle(d, x, d->due_ms, out, (uint8_t)(who + 1u));
            count_cycle(d, d->due_ms); /* in time enough: a cycle without edges is none to count */
            return true;
        case STICK: x->faults |= DETECTOR_FAULT_STUCK_ON; break;
        case MISS: x->faults |= DETECTOR_FAULT_NO_HIT; break;
        default: /* the window ends */
            if (d->limits.chatter == 0 || x->rises <= d->limits.chatter)
                x->faults &= (uint8_t)~DETECTOR_FAULT_CHATTER;
            x->window_ms = d->due_ms;
            x->rises = 0;
            break;
        }
    }
    return false;
}

bool detectors_take(detectors *d, const edge *e) {
    if (e->kind != EVENT_KIND_DETECTOR || e->channel < 1 || e->channel > d->limits.count) return false;
    detector *x = &d->each[e->channel - 1u];
    uint8_t raw = e->value != 0;
    if (raw != x->raw) {
        x->raw = raw;
        x->raw_ms = e->ms;
    }
    d->due_ms = e->ms;
    return true;
}

void detectors_rows(detectors *d, uint8_t *present, uint8_t *faulty) {
    *present = d->seen;
    *faulty = d->seen = 0;
    for (uint8_t i = 0; i < d->limits.count && i < CALLERS; i++) {
        const detector *x = &d->each[i];
        if (x->level) *present |= d->limits.rows[i];
        if (x->faults) *faulty |= d->limits.rows[i];
    }
}
