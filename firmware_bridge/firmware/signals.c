#include "rows.h"

uint8_t green_rows(const signals *s) {
    uint8_t rows = 0;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++)
        if (s->rings[ring].state == RING_GREEN) rows |= bit(s->rings[ring].row);
    return rows;
}

/* --- start and change ------------------------------------------------------------------------------ */

static void release(signal_ring *r) {
    r->held = r->forced = false;
    r->called = NO_ROW;
}

/* The ring's first row from `row` on, in the order of the table; NO_ROW when the ring has none. */
static uint8_t row_from(const signals *s, uint8_t ring, uint8_t row) {
    for (uint8_t n = 0; n < s->table.count; n++) {
        uint8_t at = (uint8_t)((row + n) % s->table.count);
        if (s->table.rows[at].ring == ring + 1u) return at;
    }
    return NO_ROW;
}

/* Those of the table: nobody asked for others. */
static void own_greens(signals *s) {
    for (uint8_t i = 0; i < SIGNAL_PHASES; i++) {
        const signal_row *r = &s->table.rows[i];
        s->green[i] = i >= s->table.count ? 0 : s->table.actuated ? r->max_1 : r->green;
    }
}

static void take_table(signals *s, const signal_table *t) {
    s->table = *t;
    s->coming = 0;
    s->ticks = 0;
    s->first = s->ped_calls = s->skipped = s->calls = s->omits = s->preempt = 0;
    for (uint8_t i = 0; i < SIGNAL_PHASES; i++) s->delay[i] = 0, s->waits[i] = 0;
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) s->overlaps[o] = (signal_overlap){.state = OVERLAP_RED};
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        uint8_t first = row_from(s, ring, 0);
        s->rings[ring] = (signal_ring){.row = first, .state = RING_WAITS, .called = NO_ROW, .next = NO_ROW};
        if (t->actuated) s->rings[ring].called = first; /* one green shows, whether somebody waits or not */
    }
    own_greens(s);
}

void signals_start(signals *s, const signal_table *t) {
    s->mode = SIGNAL_MODE_FLASH;
    take_table(s, t);
}

void signals_replace(signals *s, const signal_table *t) {
    if (s->mode == SIGNAL_MODE_FAULT) return; /* a person has to look first */
    if (s->mode == SIGNAL_MODE_FLASH) {
        signals_start(s, t);
        return;
    }
    s->coming = t;
    if (s->mode == SIGNAL_MODE_RUN) s->mode = SIGNAL_MODE_CLOSING;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) release(&s->rings[ring]);
}

void signals_greens(signals *s, const uint16_t greens[SIGNAL_PHASES]) {
    for (uint8_t i = 0; i < s->table.count; i++) s->green[i] = greens[i];
}

void signals_detect(signals *s, uint8_t present, uint8_t faulty) {
    uint8_t rows = (uint8_t)((1u << s->table.count) - 1u);
    s->present = present & rows;
    s->faulty = faulty & rows;
}

void signals_preempt(signals *s, uint8_t inputs) { s->preempt_inputs = inputs; }

void signals_host_lost(signals *s) {
    own_greens(s);
    s->omits = 0;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) release(&s->rings[ring]);
}

/* --- requests -------------------------------------------------------------------------------------- */

/* A call passes over the rows between; no row that wants service is passed over twice in succession. */
static enum plan_code call(signals *s, uint8_t ring, uint8_t row) {
    signal_ring *r = &s->rings[ring];
    const signal_ring *other = &s->rings[1u - ring];
    uint8_t want = s->table.actuated ? actuation_wanted(s) : 0xFF;
    if (other->called != NO_ROW && conflict(&s->table, row, other->called)) return PLAN_CODE_CONFLICT;
    for (uint8_t at = row_from(s, ring, (uint8_t)(r->row + 1u)); at != row;
         at = row_from(s, ring, (uint8_t)(at + 1u)))
        if (s->skipped & want & bit(at)) return PLAN_CODE_STARVES;
    if (s->table.actuated && (actuation_overdue(s) & s->table.rows[row].conflicts)) return PLAN_CODE_STARVES;
    s->omits &= (uint8_t)~bit(row);
    if (!s->table.actuated || !(green_rows(s) & bit(row))) r->called = row;
    return PLAN_CODE_OK;
}

/* Of an actuated table: what was asked for this row is void, or it is to be passed over. */
static enum plan_code release_row(signals *s, uint8_t ring, uint8_t row, bool omit) {
    signal_ring *r = &s->rings[ring];
    if (!s->table.actuated) return PLAN_CODE_UNKNOWN_ACTION;
    if (omit && (actuation_overdue(s) & bit(row))) return PLAN_CODE_STARVES;
    if (r->called == row) r->called = NO_ROW;
    s->omits &= (uint8_t)~bit(row);
    if (omit)
        s->omits |= bit(row);
    else if (r->row == row)
        r->held = false;
    return PLAN_CODE_OK;
}

enum plan_code signals_request(signals *s, uint8_t action, uint8_t phase) {
    uint8_t row = 0;
    if (s->mode != SIGNAL_MODE_RUN && (action != ACTION_PED_CALL || s->mode == SIGNAL_MODE_FAULT))
        return PLAN_CODE_NOT_RUNNING; /* a push button is remembered while the signals start */
    while (row < s->table.count && s->table.rows[row].phase != phase) row++;
    if (row == s->table.count) return PLAN_CODE_UNKNOWN_PHASE;
    const signal_row *limits = &s->table.rows[row];
    uint8_t ring = (uint8_t)(limits->ring - 1u);
    signal_ring *r = &s->rings[ring];
    bool green = r->row == row && r->state == RING_GREEN;
    if (s->preempt && action != ACTION_PED_CALL) return PLAN_CODE_PREEMPTED;
    switch (action) {
    case ACTION_PED_CALL:
        if (limits->walk == 0) return PLAN_CODE_NO_WALK;
        if (!(green && r->walking && r->walked < limits->walk)) s->ped_calls |= bit(row); /* none while walk shows */
        return PLAN_CODE_OK;
    case ACTION_CALL: return call(s, ring, row);
    case ACTION_RELEASE: return release_row(s, ring, row, false);
    case ACTION_OMIT: return release_row(s, ring, row, true);
    case ACTION_HOLD:
        if (!green || r->forced) return PLAN_CODE_NOT_GREEN;
        r->held = true;
        return PLAN_CODE_OK;
    case ACTION_FORCE_OFF:
        if (!green) return PLAN_CODE_NOT_GREEN;
        if (r->ticks < limits->min_green) return PLAN_CODE_BELOW_MIN_GREEN;
        if (crossing(s, r)) return PLAN_CODE_PEDESTRIAN;
        r->held = false;
        r->forced = true;
        return PLAN_CODE_OK;
    default: return PLAN_CODE_UNKNOWN_ACTION;
    }
}

/* --- time ------------------------------------------------------------------------------------------ */

static bool green_ends(const signals *s, const signal_ring *r) {
    const signal_row *row = &s->table.rows[r->row];
    if (r->ticks >= row->max_green) return true;
    if (r->ticks < row->min_green || crossing(s, r)) return false;
    return r->forced || s->mode == SIGNAL_MODE_CLOSING || (!r->held && r->ticks >= s->green[r->row]);
}

/* Red clearance is over: choose the next row. */
static void turn(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring];
    uint8_t at = row_from(s, ring, (uint8_t)(r->row + 1u)), next = r->called == NO_ROW ? at : r->called;
    if (!s->table.actuated && next == r->row && r->ticks == 0) return; /* after yellow comes red, if it comes again */
    r->state = RING_WAITS;
    r->ticks = 0;
    if (s->table.actuated) return; /* when it can begin */
    for (; at != next; at = row_from(s, ring, (uint8_t)(at + 1u))) s->skipped |= bit(at);
    r->row = at;
    r->called = NO_ROW;
    if (s->rings[1u - ring].state != RING_WAITS) s->first = ring;
}

static void pass_time(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring];
    const signal_row *row = &s->table.rows[r->row];
    if (r->state == RING_WAITS) return;
    if (!s->table.actuated || r->ticks < row->max_green) r->ticks++; /* an actuated green may rest for days */
    if (r->walking && r->walked < row->walk + row->ped_clear) r->walked++;
}

static void end_green(signals *s, uint8_t ring, uint8_t reason) {
    signal_ring *r = &s->rings[ring];
    const signal_row *row = &s->table.rows[r->row];
    if (s->table.actuated) {
        r->next = actuation_next(s, ring);
        if (has(row, ROW_OPTION_LOCKING) && r->gap < row->passage) s->calls |= bit(r->row); /* they were cut off */
    }
    r->reason = reason;
    r->state = RING_YELLOW;
    r->ticks = 0;
    r->held = r->forced = r->walking = false;
}

static void change(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring];
    const signal_row *row = &s->table.rows[r->row];
    if (r->state == RING_GREEN) {
        uint8_t reason = s->table.actuated ? actuation_ends(s, ring) : green_ends(s, r) ? TERMINATION_FIXED : 0;
        if (reason) end_green(s, ring, reason);
    }
    if (r->state == RING_YELLOW && r->ticks >= row->yellow) {
        r->state = RING_CLEARS;
        r->ticks = 0;
    }
    if (s->table.actuated && r->state == RING_CLEARS && r->ticks == 0) return; /* after yellow comes red, if it comes again */
    if (r->state == RING_CLEARS && r->ticks >= row->red) turn(s, ring);
}

/* Whether nothing keeps this row of a ring from green. */
static bool clear(const signals *s, uint8_t ring, uint8_t row) {
    const signal_ring *other = &s->rings[1u - ring];
    if (row == NO_ROW || s->rings[ring].state != RING_WAITS) return false;
    return other->row == NO_ROW || other->state == RING_WAITS || !conflict(&s->table, row, other->row);
}

static void begin_green(signals *s, uint8_t ring, uint8_t row) {
    signal_ring *r = &s->rings[ring];
    r->row = row;
    r->state = RING_GREEN;
    r->ticks = r->walked = r->opposed = 0;
    r->gap = 0;
    r->walking = !s->preempt && (s->ped_calls & bit(row));
    if (r->walking) s->ped_calls &= (uint8_t)~bit(row);
    s->skipped &= (uint8_t)~bit(row);
}

static void start_green(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring];
    const signal_ring *other = &s->rings[1u - ring];
    if (!clear(s, ring, r->row)) return;
    begin_green(s, ring, r->row);
    s->first = other->row != NO_ROW && other->state == RING_WAITS ? (uint8_t)(1u - ring) : 0u;
}

static void start_actuated(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring], *other = &s->rings[1u - ring];
    uint8_t row = r->next;
    if (!clear(s, ring, row) || overlaps_block(s, row)) return;
    if (r->called == row) {
        uint8_t wanted = actuation_wanted(s);
        for (uint8_t at = row_from(s, ring, (uint8_t)(r->row + 1u)); at != row;
             at = row_from(s, ring, (uint8_t)(at + 1u)))
            s->skipped = (uint8_t)(s->skipped | (wanted & bit(at)));
        r->called = NO_ROW;
    }
    begin_green(s, ring, row);
    r->next = NO_ROW;
    r->walking |= !s->preempt && has(&s->table.rows[row], ROW_OPTION_PED_RECALL);
    if (other->row != NO_ROW && other->state == RING_WAITS && conflict(&s->table, row, other->row))
        actuation_cross(s, (uint8_t)(1u - ring));
}

/* Rings that wait choose anew until they can begin. */
static void serve_actuated(signals *s) {
    bool both = true;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        signal_ring *r = &s->rings[ring];
        bool open = s->mode == SIGNAL_MODE_RUN && r->row != NO_ROW;
        if (r->state == RING_WAITS) r->next = open ? actuation_choice(s, ring) : NO_ROW;
        both &= r->state == RING_WAITS && r->next != NO_ROW;
    }
    overlaps_time(s);
    if (both && conflict(&s->table, s->rings[0].next, s->rings[1].next)) {
        start_actuated(s, actuation_first(s));
    } else {
        start_actuated(s, 0);
        start_actuated(s, 1);
    }
    overlaps_follow(s);
}

static void run(signals *s) {
    bool open = false;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++)
        if (s->rings[ring].row != NO_ROW) pass_time(s, ring);
    if (s->table.actuated) {
        preemption_step(s);
        if (s->coming) s->mode = s->preempt ? SIGNAL_MODE_RUN : SIGNAL_MODE_CLOSING; /* a table waits for the train */
        actuation_observe(s);
    }
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++)
        if (s->rings[ring].row != NO_ROW) change(s, ring);
    if (s->table.actuated) {
        serve_actuated(s);
    } else if (s->mode == SIGNAL_MODE_RUN) {
        uint8_t first = s->first; /* of two conflicting rows, the one that waits longer */
        start_green(s, first);
        start_green(s, (uint8_t)(1u - first));
    }
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) open |= s->rings[ring].state != RING_WAITS;
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) open |= s->overlaps[o].state != OVERLAP_RED;
    if (s->mode == SIGNAL_MODE_CLOSING && !open) {
        s->mode = SIGNAL_MODE_ALL_RED;
        s->ticks = 0;
    }
}

bool signals_conflict(const signal_table *t, const signal_heads *h) {
    uint8_t go = h->green | h->yellow, laps = h->overlap_green | h->overlap_yellow;
    for (uint8_t i = 0; i < t->count; i++)
        if ((go & bit(i)) && (go & t->rows[i].conflicts)) return true;
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++)
        if ((laps & bit(o)) && (go & overlap_conflicts(t, o))) return true;
    if ((h->overlap_green & h->overlap_yellow) || (h->green & h->yellow)) return true;
    return ((h->walk | h->ped_clear) & (uint8_t)~h->green) != 0;
}

void signals_tick(signals *s) {
    switch (s->mode) {
    case SIGNAL_MODE_FLASH:
        if (s->table.count == 0 || ++s->ticks < s->table.start_flash) return;
        s->mode = SIGNAL_MODE_ALL_RED;
        s->ticks = 0;
        return;
    case SIGNAL_MODE_ALL_RED:
        if (s->coming) take_table(s, s->coming);
        if (s->table.count == 0) s->mode = SIGNAL_MODE_FLASH;
        if (s->table.count == 0 || ++s->ticks < s->table.start_red) return;
        s->mode = SIGNAL_MODE_RUN;
        s->ticks = 0;
        run(s);
        break;
    case SIGNAL_MODE_RUN:
    case SIGNAL_MODE_CLOSING: run(s); break;
    default: s->mode = SIGNAL_MODE_FAULT; return;
    }
    signal_heads heads = signals_look(s);
    if (signals_conflict(&s->table, &heads)) s->mode = SIGNAL_MODE_FAULT;
}

signal_heads signals_look(const signals *s) {
    signal_heads h = {.flash = s->mode == SIGNAL_MODE_FLASH || s->mode == SIGNAL_MODE_FAULT};
    if (s->mode != SIGNAL_MODE_RUN && s->mode != SIGNAL_MODE_CLOSING) return h;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        const signal_ring *r = &s->rings[ring];
        if (r->row == NO_ROW) continue;
        const signal_row *row = &s->table.rows[r->row];
        if (r->state == RING_GREEN) h.green |= bit(r->row);
        if (r->state == RING_YELLOW) h.yellow |= bit(r->row);
        if (r->state == RING_GREEN && crossing(s, r)) {
            if (r->walked < row->walk)
                h.walk |= bit(r->row);
            else
                h.ped_clear |= bit(r->row);
        }
    }
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) {
        if (s->overlaps[o].state == OVERLAP_GREEN) h.overlap_green |= bit(o);
        if (s->overlaps[o].state == OVERLAP_YELLOW) h.overlap_yellow |= bit(o);
    }
    return h;
}
