#include "rows.h"

enum preempt_stage { STAGE_TRACK, STAGE_DWELL };

uint8_t preemption_rows(const signals *s) {
    const signal_preempt *p = &s->table.preempts[s->preempt - 1u];
    return s->preempt_stage == STAGE_TRACK ? p->track : p->dwell;
}

static bool served(const signals *s) {
    uint8_t rows = preemption_rows(s);
    return (green_rows(s) & rows) == rows;
}

enum preempt_state signals_preempted(const signals *s, uint8_t preempt) {
    if (s->preempt == preempt + 1u)
        return s->preempt_stage == STAGE_DWELL && served(s) ? PREEMPT_STATE_SERVED : PREEMPT_STATE_CALLED;
    return s->preempt_inputs & bit(preempt) ? PREEMPT_STATE_CALLED : PREEMPT_STATE_OFF;
}

static void begin(signals *s, uint8_t preempt) {
    s->preempt = (uint8_t)(preempt + 1u);
    s->preempt_stage = s->table.preempts[preempt].track ? STAGE_TRACK : STAGE_DWELL;
    s->preempt_ticks = 0;
    s->omits = 0;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        signal_ring *r = &s->rings[ring];
        r->held = r->forced = false;
        r->called = r->next = NO_ROW;
    }
}

static void go_on(signals *s) {
    const signal_preempt *p = &s->table.preempts[s->preempt - 1u];
    bool track = s->preempt_stage == STAGE_TRACK;
    uint16_t least = (uint16_t)((track ? p->track_s : p->dwell_s) * 10u);
    if (!served(s)) return;
    if (s->preempt_ticks < least) {
        s->preempt_ticks++;
    } else if (track) {
        s->preempt_stage = STAGE_DWELL;
        s->preempt_ticks = 0;
    } else if (!(s->preempt_inputs & bit((uint8_t)(s->preempt - 1u)))) {
        s->preempt = 0;
        s->calls = (uint8_t)((1u << s->table.count) - 1u); /* nobody knows who came meanwhile; a call without locking lasts as long as its vehicle */
    }
}

/* MUTCD 4F.18 lets a preemption cut walk and pedestrian clearance. This one cuts walk alone. */
static void cut_walks(signals *s) {
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        signal_ring *r = &s->rings[ring];
        if (r->state != RING_GREEN || !r->walking || (preemption_rows(s) & bit(r->row))) continue;
        if (r->walked < s->table.rows[r->row].walk) r->walked = s->table.rows[r->row].walk;
    }
}

void preemption_step(signals *s) {
    uint8_t first = 0;
    while (first < SIGNAL_PREEMPTS && (!(s->preempt_inputs & bit(first)) || s->table.preempts[first].input == 0)) first++;
    if (s->preempt) go_on(s);
    if (first < SIGNAL_PREEMPTS && (s->preempt == 0 || first + 1u < s->preempt)) begin(s, first);
    if (s->preempt) cut_walks(s);
}
