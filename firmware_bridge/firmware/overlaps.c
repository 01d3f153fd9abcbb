#include "rows.h"

uint8_t overlap_conflicts(const signal_table *t, uint8_t overlap) {
    uint8_t rows = 0xFF;
    if (t->overlaps[overlap] == 0) return 0;
    for (uint8_t i = 0; i < t->count; i++)
        if (t->overlaps[overlap] & bit(i)) rows &= t->rows[i].conflicts;
    return rows;
}

static bool between(const signal_ring *r, uint8_t parents) {
    if (r->next == NO_ROW) return false; /* a green has no next one yet, a ring without rows never */
    return (parents & bit(r->row)) && (parents & bit(r->next));
}

bool overlaps_carried(const signals *s, const signal_ring *r) {
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++)
        if (s->overlaps[o].state == OVERLAP_GREEN && between(r, s->table.overlaps[o])) return true;
    return false;
}

void overlaps_time(signals *s) {
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) {
        signal_overlap *x = &s->overlaps[o];
        const signal_row *parent = &s->table.rows[x->parent];
        if (x->state != OVERLAP_YELLOW && x->state != OVERLAP_CLEARS) continue;
        x->ticks++;
        if (x->state == OVERLAP_YELLOW && x->ticks >= parent->yellow) {
            x->state = OVERLAP_CLEARS;
            x->ticks = 0;
        }
        if (x->state == OVERLAP_CLEARS && x->ticks >= (parent->red ? parent->red : 1u)) x->state = OVERLAP_RED;
    }
}

/* Carried: a ring is on its way from one parent to the next. It is not when the next one has to wait. */
void overlaps_follow(signals *s) {
    bool carry = s->mode == SIGNAL_MODE_RUN && actuation_overdue(s) == 0;
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) {
        signal_overlap *x = &s->overlaps[o];
        uint8_t parents = s->table.overlaps[o], lit = green_rows(s) & parents;
        bool carried = false;
        for (uint8_t ring = 0; carry && ring < SIGNAL_RINGS; ring++)
            carried |= s->rings[ring].state != RING_WAITS && between(&s->rings[ring], parents);
        bool ended = x->state == OVERLAP_YELLOW || (x->state == OVERLAP_CLEARS && x->ticks == 0); /* red comes first */
        if (lit && !ended) {
            x->state = OVERLAP_GREEN;
            for (x->parent = 0; !(lit & bit(x->parent));) x->parent++;
        } else if (x->state == OVERLAP_GREEN && !carried) {
            x->state = OVERLAP_YELLOW;
            x->ticks = 0;
        }
    }
}

bool overlaps_block(const signals *s, uint8_t row) {
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++)
        if (s->overlaps[o].state != OVERLAP_RED && (overlap_conflicts(&s->table, o) & bit(row))) return true;
    return false;
}
