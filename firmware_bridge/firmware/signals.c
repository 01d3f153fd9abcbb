#include "signals.h"

static uint8_t bit(uint8_t row) { return (uint8_t)(1u << row); }

static bool conflict(const signal_table *t, uint8_t a, uint8_t b) { return (t->rows[a].conflicts & bit(b)) != 0; }

/* --- the table ------------------------------------------------------------------------------------ */

enum plan_code signals_check(const signal_table *t, uint8_t *phase) {
    *phase = 0;
    if (t->count > SIGNAL_PHASES) return PLAN_CODE_TABLE_FORMAT;
    for (uint8_t i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        *phase = r->phase;
        if (r->phase == 0) return PLAN_CODE_TABLE_FORMAT;
        if (r->ring < 1 || r->ring > SIGNAL_RINGS) return PLAN_CODE_TABLE_RING;
        for (uint8_t k = 0; k < t->count; k++) {
            if (k == i) continue;
            if (t->rows[k].phase == r->phase) return PLAN_CODE_DUPLICATE_PHASE;
            if (conflict(t, i, k) != conflict(t, k, i)) return PLAN_CODE_TABLE_CONFLICTS;
            if (t->rows[k].ring == r->ring && !conflict(t, i, k)) return PLAN_CODE_TABLE_CONFLICTS;
        }
        if (conflict(t, i, i) || (r->conflicts >> t->count) != 0) return PLAN_CODE_TABLE_CONFLICTS;
        if (r->min_green < 1 || r->yellow < 1) return PLAN_CODE_TABLE_TIMES;
        if (r->min_green > r->green || r->green > r->max_green) return PLAN_CODE_TABLE_TIMES;
        if ((r->walk == 0) != (r->ped_clear == 0)) return PLAN_CODE_TABLE_TIMES;
        if ((uint32_t)r->walk + r->ped_clear > r->max_green) return PLAN_CODE_TABLE_TIMES;
        if (r->ped_input != 0 && r->walk == 0) return PLAN_CODE_NO_WALK;
    }
    *phase = 0;
    return PLAN_CODE_OK;
}

enum plan_code signals_legal(const signal_table *t, uint8_t *phase) {
    *phase = 0;
    if (t->count && (t->start_flash < START_FLASH_MIN || t->start_red < START_RED_MIN)) return PLAN_CODE_TABLE_LIMITS;
    for (uint8_t i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        *phase = r->phase;
        if (r->yellow < YELLOW_MIN || r->yellow > YELLOW_MAX || r->red > RED_MAX) return PLAN_CODE_TABLE_LIMITS;
        if (r->min_green < GREEN_MIN || r->max_green > GREEN_MAX) return PLAN_CODE_TABLE_LIMITS;
        if (r->walk != 0 && r->walk < WALK_MIN) return PLAN_CODE_TABLE_LIMITS;
    }
    *phase = 0;
    return PLAN_CODE_OK;
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

static void take_table(signals *s, const signal_table *t) {
    s->table = *t;
    s->coming = 0;
    s->ticks = 0;
    s->first = s->ped_calls = s->skipped = 0;
    for (uint8_t i = 0; i < SIGNAL_PHASES; i++) s->green[i] = i < t->count ? t->rows[i].green : 0;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        s->rings[ring] = (signal_ring){.row = row_from(s, ring, 0), .state = RING_WAITS, .called = NO_ROW};
    }
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

void signals_host_lost(signals *s) {
    for (uint8_t i = 0; i < s->table.count; i++) s->green[i] = s->table.rows[i].green;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) release(&s->rings[ring]);
}

/* --- requests -------------------------------------------------------------------------------------- */

static bool crossing(const signals *s, const signal_ring *r) {
    const signal_row *row = &s->table.rows[r->row];
    return r->walking && r->ticks < row->walk + row->ped_clear;
}

/* A call passes over the rows between; no row is passed over twice in succession. */
static enum plan_code call(signals *s, uint8_t ring, uint8_t row) {
    signal_ring *r = &s->rings[ring];
    const signal_ring *other = &s->rings[1u - ring];
    if (other->called != NO_ROW && conflict(&s->table, row, other->called)) return PLAN_CODE_CONFLICT;
    for (uint8_t at = row_from(s, ring, (uint8_t)(r->row + 1u)); at != row;
         at = row_from(s, ring, (uint8_t)(at + 1u)))
        if (s->skipped & bit(at)) return PLAN_CODE_STARVES;
    r->called = row;
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
    switch (action) {
    case ACTION_PED_CALL:
        if (limits->walk == 0) return PLAN_CODE_NO_WALK;
        if (!(green && r->walking && r->ticks < limits->walk)) s->ped_calls |= bit(row); /* none while walk shows */
        return PLAN_CODE_OK;
    case ACTION_CALL: return call(s, ring, row);
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
    uint8_t next = r->called;
    uint8_t at = row_from(s, ring, (uint8_t)(r->row + 1u));
    for (; next != NO_ROW && at != next; at = row_from(s, ring, (uint8_t)(at + 1u))) s->skipped |= bit(at);
    r->row = at;
    r->state = RING_WAITS;
    r->ticks = 0;
    r->called = NO_ROW;
    if (s->rings[1u - ring].state != RING_WAITS) s->first = ring;
}

static void pass_time(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring];
    const signal_row *row = &s->table.rows[r->row];
    if (r->state == RING_WAITS) return;
    r->ticks++;
    if (r->state == RING_GREEN && green_ends(s, r)) {
        r->state = RING_YELLOW;
        r->ticks = 0;
        r->held = r->forced = r->walking = false;
    }
    if (r->state == RING_YELLOW && r->ticks >= row->yellow) {
        r->state = RING_CLEARS;
        r->ticks = 0;
    }
    if (r->state == RING_CLEARS && r->ticks >= row->red) turn(s, ring);
}

static void start_green(signals *s, uint8_t ring) {
    signal_ring *r = &s->rings[ring];
    const signal_ring *other = &s->rings[1u - ring];
    if (r->row == NO_ROW || r->state != RING_WAITS) return;
    if (other->row != NO_ROW && other->state != RING_WAITS && conflict(&s->table, r->row, other->row)) return;
    r->state = RING_GREEN;
    r->ticks = 0;
    r->walking = (s->ped_calls & bit(r->row)) != 0;
    s->ped_calls &= (uint8_t)~bit(r->row);
    s->skipped &= (uint8_t)~bit(r->row);
    s->first = other->row != NO_ROW && other->state == RING_WAITS ? (uint8_t)(1u - ring) : 0u;
}

static void run(signals *s) {
    bool open = false;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++)
        if (s->rings[ring].row != NO_ROW) pass_time(s, ring);
    if (s->mode == SIGNAL_MODE_RUN) {
        uint8_t first = s->first; /* of two conflicting rows, the one that waits longer */
        start_green(s, first);
        start_green(s, (uint8_t)(1u - first));
    }
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) open |= s->rings[ring].state != RING_WAITS;
    if (s->mode == SIGNAL_MODE_CLOSING && !open) {
        s->mode = SIGNAL_MODE_ALL_RED;
        s->ticks = 0;
    }
}

/* The conflict monitor judges the heads as they are shown, independently of the code above. */
static bool heads_conflict(const signals *s) {
    signal_heads h = signals_look(s);
    uint8_t go = h.green | h.yellow;
    for (uint8_t i = 0; i < s->table.count; i++)
        if ((go & bit(i)) && (go & s->table.rows[i].conflicts)) return true;
    return (h.green & h.yellow) != 0 || ((h.walk | h.ped_clear) & (uint8_t)~h.green) != 0;
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
    if (heads_conflict(s)) s->mode = SIGNAL_MODE_FAULT;
}

signal_heads signals_look(const signals *s) {
    signal_heads h = {0, 0, 0, 0, s->mode == SIGNAL_MODE_FLASH || s->mode == SIGNAL_MODE_FAULT};
    if (s->mode != SIGNAL_MODE_RUN && s->mode != SIGNAL_MODE_CLOSING) return h;
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        const signal_ring *r = &s->rings[ring];
        if (r->row == NO_ROW) continue;
        const signal_row *row = &s->table.rows[r->row];
        if (r->state == RING_GREEN) h.green |= bit(r->row);
        if (r->state == RING_YELLOW) h.yellow |= bit(r->row);
        if (r->state == RING_GREEN && r->walking && r->ticks < row->walk + row->ped_clear) {
            if (r->ticks < row->walk)
                h.walk |= bit(r->row);
            else
                h.ped_clear |= bit(r->row);
        }
    }
    return h;
}
