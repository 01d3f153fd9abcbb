#include "rows.h"

/* --- who wants service ------------------------------------------------------------------------------- */

static uint16_t clearance(const signal_row *r) { return (uint16_t)(r->yellow + (r->red ? r->red : 1u)); }

uint32_t shortest_services(const signal_table *t) {
    uint32_t all = 0;
    uint16_t late = 0;
    for (uint8_t i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        uint32_t ped = (uint32_t)r->walk + r->ped_clear;
        all += (ped > r->min_green ? ped : r->min_green) + clearance(r);
        for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++)
            if ((t->overlaps[o] & bit(i)) && clearance(r) > late) late = clearance(r);
    }
    return all + late;
}

/* Rows for which somebody waits, whatever the host wants. */
static uint8_t callers(const signals *s) {
    uint8_t rows = (uint8_t)(s->calls | s->ped_calls | s->faulty);
    for (uint8_t i = 0; i < s->table.count; i++) {
        const signal_row *r = &s->table.rows[i];
        if (recall_of(r) == RECALL_MINIMUM || recall_of(r) == RECALL_MAXIMUM || has(r, ROW_OPTION_PED_RECALL))
            rows |= bit(i);
    }
    return (uint8_t)(rows & ~green_rows(s));
}

uint8_t actuation_overdue(const signals *s) {
    uint8_t rows = 0;
    uint16_t from = (uint16_t)(s->table.longest_red - shortest_services(&s->table));
    for (uint8_t i = 0; i < s->table.count; i++)
        if (s->waits[i] >= from) rows |= bit(i);
    return rows;
}

uint8_t actuation_wanted(const signals *s) {
    uint8_t green = green_rows(s), rows, soft = 0;
    if (s->preempt) return (uint8_t)(preemption_rows(s) & ~green);
    uint8_t open = (uint8_t)~(s->omits & ~actuation_overdue(s));
    rows = (uint8_t)(callers(s) & open);
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++)
        if (s->rings[ring].called != NO_ROW) rows |= bit(s->rings[ring].called);
    rows &= (uint8_t)~green;
    for (uint8_t i = 0; i < s->table.count; i++)
        if (recall_of(&s->table.rows[i]) == RECALL_SOFT) soft |= bit(i);
    return rows ? rows : (uint8_t)(soft & open & ~green);
}

uint8_t signals_called(const signals *s) {
    uint8_t rows = s->calls | s->faulty;
    for (uint8_t i = 0; i < s->table.count; i++) {
        uint8_t recall = recall_of(&s->table.rows[i]);
        if (recall == RECALL_MINIMUM || recall == RECALL_MAXIMUM) rows |= bit(i);
    }
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++)
        if (s->rings[ring].called != NO_ROW) rows |= bit(s->rings[ring].called);
    return s->table.actuated ? (uint8_t)(rows & ~green_rows(s)) : 0;
}

/* --- time -------------------------------------------------------------------------------------------- */

static void observe_row(signals *s, uint8_t i, bool green) {
    const signal_row *r = &s->table.rows[i];
    bool present = (s->present & bit(i)) != 0;
    if (green) {
        s->calls &= (uint8_t)~bit(i);
        s->delay[i] = 0;
        return;
    }
    if (present && s->delay[i] >= r->delay)
        s->calls |= bit(i);
    else if (!has(r, ROW_OPTION_LOCKING))
        s->calls &= (uint8_t)~bit(i);
    if (!present)
        s->delay[i] = 0;
    else if (s->delay[i] < r->delay)
        s->delay[i]++;
}

void actuation_observe(signals *s) {
    uint8_t green = green_rows(s), before = actuation_wanted(s);
    for (uint8_t i = 0; i < s->table.count; i++) observe_row(s, i, (green & bit(i)) != 0);
    uint8_t waiting = callers(s);
    for (uint8_t i = 0; i < s->table.count; i++) {
        if (!(waiting & bit(i)))
            s->waits[i] = 0;
        else if (!s->preempt && s->waits[i] < s->table.longest_red)
            s->waits[i]++;
    }
    uint8_t wanted = actuation_wanted(s);
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        signal_ring *r = &s->rings[ring];
        if (r->state != RING_GREEN) continue;
        const signal_row *row = &s->table.rows[r->row];
        if (s->present & bit(r->row))
            r->gap = 0;
        else if (r->gap < row->passage)
            r->gap++;
        if (!(wanted & row->conflicts))
            r->opposed = 0;
        else if (before & row->conflicts) /* no green goes on behind its maximum */
            r->opposed++;
        if ((s->ped_calls & bit(r->row)) && !(wanted & row->conflicts) && !s->preempt && !crossing(s, r)) {
            r->walking = true;
            r->walked = 0;
            s->ped_calls &= (uint8_t)~bit(r->row);
        }
    }
}

/* --- what comes next --------------------------------------------------------------------------------- */

uint8_t actuation_next(const signals *s, uint8_t ring) {
    const signal_ring *r = &s->rings[ring];
    uint8_t wanted = actuation_wanted(s), late = s->preempt ? 0 : (uint8_t)(actuation_overdue(s) & wanted);
    uint8_t best = NO_ROW;
    for (uint8_t n = 1; n <= s->table.count; n++) {
        uint8_t at = (uint8_t)((r->row + n) % s->table.count);
        if (s->table.rows[at].ring != ring + 1u || !(wanted & bit(at))) continue;
        if (best == NO_ROW || ((late & bit(at)) && s->waits[at] > s->waits[best])) best = at;
    }
    if (best != NO_ROW && !(late & bit(best)) && r->called != NO_ROW) best = r->called;
    return best;
}

uint8_t actuation_choice(const signals *s, uint8_t ring) {
    const signal_ring *r = &s->rings[ring];
    uint8_t next = actuation_next(s, ring);
    if (next != NO_ROW && (actuation_overdue(s) & bit(next))) return next;
    return overlaps_carried(s, r) ? r->next : next;
}

/* Whether a ring reaches this row of it before a barrier: rows on one side of it conflict with the same rows of the
 * other ring. */
static bool on_this_side(const signals *s, uint8_t ring, uint8_t to) {
    const signal_table *t = &s->table;
    uint8_t from = s->rings[ring].row, others = 0;
    bool all = true;
    for (uint8_t i = 0; i < t->count; i++)
        if (t->rows[i].ring != ring + 1u) others |= bit(i);
    uint8_t side = t->rows[from].conflicts & others;
    for (uint8_t i = 0; i < t->count; i++)
        if (t->rows[i].ring == ring + 1u && (t->rows[i].conflicts & others) != side) all = false;
    for (uint8_t n = 1; n <= t->count; n++) {
        uint8_t at = (uint8_t)((from + n) % t->count);
        if (t->rows[at].ring != ring + 1u) continue;
        if ((t->rows[at].conflicts & others) != side) return false;
        if (at == to) return !all || at > from;
    }
    return false;
}

static uint16_t maximum(const signals *s, uint8_t row) {
    const signal_row *r = &s->table.rows[row];
    if (s->faulty & bit(row)) return r->green;
    uint16_t most = s->green[row] < r->max_green ? s->green[row] : r->max_green;
    return s->faulty && r->green < most ? r->green : most; /* nobody gets more of a cycle than the fixed-time plan gives */
}

/* Why a green may end, 0: it may not yet. */
static uint8_t ready(const signals *s, uint8_t ring) {
    const signal_ring *r = &s->rings[ring];
    const signal_row *row = &s->table.rows[r->row];
    uint8_t rivals = (uint8_t)(actuation_wanted(s) & row->conflicts);
    if (r->ticks < row->min_green || crossing(s, r)) return 0;
    if (s->mode == SIGNAL_MODE_CLOSING || r->forced) return TERMINATION_FORCE_OFF;
    if (s->preempt) return preemption_rows(s) & bit(r->row) ? 0 : TERMINATION_FORCE_OFF;
    if (!rivals) return 0;
    if (rivals & actuation_overdue(s)) return TERMINATION_FORCE_OFF;
    bool faulty = (s->faulty & bit(r->row)) != 0, goes_on = faulty || recall_of(row) == RECALL_MAXIMUM;
    if (!goes_on && !r->held && r->gap >= row->passage && !(s->present & bit(r->row))) return TERMINATION_GAP_OUT;
    if (r->opposed >= (r->held ? row->max_green : maximum(s, r->row)))
        return faulty ? TERMINATION_FIXED : TERMINATION_MAX_OUT;
    return 0;
}

/* Both rings cross a barrier together: the one that is ready first stays green until the other one is. */
uint8_t actuation_ends(const signals *s, uint8_t ring) {
    const signal_ring *r = &s->rings[ring], *other = &s->rings[1u - ring];
    uint8_t reason = ready(s, ring), theirs = (uint8_t)(1u - ring);
    if (reason == 0 || reason == TERMINATION_FORCE_OFF || other->row == NO_ROW) return reason;
    if (r->opposed >= s->table.rows[r->row].max_green) return reason;
    uint8_t next = actuation_next(s, ring);
    if (next != NO_ROW && other->state != RING_WAITS && !conflict(&s->table, next, other->row)) return reason;
    if (other->state == RING_GREEN && !ready(s, theirs)) return 0;
    uint8_t follows = other->state == RING_YELLOW || other->state == RING_CLEARS ? other->next : actuation_next(s, theirs);
    if (follows == NO_ROW || conflict(&s->table, follows, r->row)) return reason; /* it waits for this very green */
    return on_this_side(s, theirs, follows) ? 0 : reason;
}

uint8_t actuation_first(const signals *s) {
    uint8_t a = s->rings[0].next, b = s->rings[1].next, late = actuation_overdue(s);
    if (((late & bit(a)) != 0) != ((late & bit(b)) != 0)) return late & bit(a) ? 0 : 1;
    if (!(late & bit(a))) {
        bool near_a = on_this_side(s, 0, a), near_b = on_this_side(s, 1, b);
        if (near_a != near_b) return near_a ? 0 : 1;
    }
    return s->waits[b] > s->waits[a] ? 1 : 0;
}

void actuation_cross(signals *s, uint8_t ring) {
    const signal_table *t = &s->table;
    signal_ring *r = &s->rings[ring];
    uint8_t green = s->rings[1u - ring].row, passed = r->row;
    for (uint8_t n = 1; n <= t->count; n++) {
        uint8_t at = (uint8_t)((r->row + n) % t->count);
        if (t->rows[at].ring != ring + 1u) continue;
        if (!conflict(t, at, green)) break;
        passed = at;
    }
    r->row = passed;
}
