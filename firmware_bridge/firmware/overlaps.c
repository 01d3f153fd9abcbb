#include "rows.h"

uint8_t overlap_conflicts(const signal_table *t, uint8_t overlap) {
    uint8_t rows = 0xFF;
    if (t->overlaps[overlap] == 0) return 0;
    for (uint8_t i = 0; i < t->count; i++)
        if (t->overlaps[overlap] & bit(i)) rows &= t->rows[i].conflicts;
    return rows;
}

/* Whether a parent's green has ended and the next one comes in its ring. */
static bool carried(const signals *s, uint8_t parents) {
    for (uint8_t ring = 0; ring < SIGNAL_RINGS; ring++) {
        const signal_ring *r = &s->rings[ring];
        if (r->row == NO_ROW || r->next == NO_ROW) continue;
        if (r->state != RING_GREEN && (parents & bit(r->row)) && (parents & bit(r->next))) return true;
    }
    return false;
}

void overlaps_end(signals *s) {
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) {
        signal_overlap *x = &s->overlaps[o];
        uint8_t parents = s->table.overlaps[o];
        if (x->state == OVERLAP_RED) continue;
        const signal_row *parent = &s->table.rows[x->parent];
        if (x->state != OVERLAP_GREEN) x->ticks++;
        if (x->state == OVERLAP_GREEN && !(green_rows(s) & parents) &&
            !(s->mode == SIGNAL_MODE_RUN && carried(s, parents))) {
            x->state = OVERLAP_YELLOW;
            x->ticks = 0;
        }
        if (x->state == OVERLAP_YELLOW && x->ticks >= parent->yellow) {
            x->state = OVERLAP_CLEARS;
            x->ticks = 0;
        }
        if (x->state == OVERLAP_CLEARS && x->ticks >= parent->red) {
            x->state = OVERLAP_RED;
            x->ticks = 0;
        }
    }
}

void overlaps_begin(signals *s) {
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) {
        signal_overlap *x = &s->overlaps[o];
        if (x->state == OVERLAP_YELLOW) continue;
        uint8_t lit = green_rows(s) & s->table.overlaps[o];
        if (lit == 0) continue;
        x->state = OVERLAP_GREEN;
        x->ticks = 0;
        for (x->parent = 0; !(lit & bit(x->parent));) x->parent++;
    }
}

bool overlaps_block(const signals *s, uint8_t row) {
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++)
        if (s->overlaps[o].state != OVERLAP_RED && (overlap_conflicts(&s->table, o) & bit(row))) return true;
    return false;
}
