/* Rows of a plan table as bits, and what the parts of the signal core ask each other. Nobody else includes this. */
#ifndef WAYSIDE_ROWS_H
#define WAYSIDE_ROWS_H

#include "signals.h"

static inline uint8_t bit(uint8_t row) { return (uint8_t)(1u << row); }

static inline bool conflict(const signal_table *t, uint8_t a, uint8_t b) {
    return (t->rows[a].conflicts & bit(b)) != 0;
}

static inline bool has(const signal_row *r, uint8_t option) { return (r->options & option) != 0; }

static inline uint8_t recall_of(const signal_row *r) { return r->options & RECALL_SOFT; }

/* Whether somebody is on the crossing of this green. */
static inline bool crossing(const signals *s, const signal_ring *r) {
    const signal_row *row = &s->table.rows[r->row];
    return r->walking && r->walked < row->walk + row->ped_clear;
}

/* --- signals.c --------------------------------------------------------------------------------------- */

/* Rows that are green. */
uint8_t green_rows(const signals *s);

/* --- actuation.c ------------------------------------------------------------------------------------- */

/* The time of every row's shortest service, one after another, and of an overlap that ends late. */
uint32_t shortest_services(const signal_table *t);

/* 0.1 s have passed: calls, waits, gaps, and walks that begin while a green rests. */
void actuation_observe(signals *s);

/* Rows that want service, are not green, and may be served now. */
uint8_t actuation_wanted(const signals *s);

/* Rows that wait for so long that nothing but them counts. */
uint8_t actuation_overdue(const signals *s);

/* The row that a ring serves next, NO_ROW when nobody wants one. */
uint8_t actuation_next(const signals *s, uint8_t ring);

/* The same of a ring that waits: what an overlap counts on holds, unless another row is overdue. */
uint8_t actuation_choice(const signals *s, uint8_t ring);

/* Why a ring's green ends now (enum termination), 0: it goes on. */
uint8_t actuation_ends(const signals *s, uint8_t ring);

/* Of two rings that both wait with rows that are in each other's way: which one goes first. */
uint8_t actuation_first(const signals *s);

/* A ring that waits has crossed the barrier together with the other one, which turns green. */
void actuation_cross(signals *s, uint8_t ring);

/* --- overlaps.c -------------------------------------------------------------------------------------- */

/* Rows that are never beside an overlap: those that conflict with every parent of it. */
uint8_t overlap_conflicts(const signal_table *t, uint8_t overlap);

/* Whether an overlap has stayed green because this ring goes from one parent of it to the next. */
bool overlaps_carried(const signals *s, const signal_ring *r);

/* 0.1 s of yellow and red clearance have passed; before rows turn green. */
void overlaps_time(signals *s);

/* Begins what a parent lights and ends what none carries any longer; after rows have turned green. */
void overlaps_follow(signals *s);

/* Whether an overlap that is not red yet keeps this row from green. */
bool overlaps_block(const signals *s, uint8_t row);

/* --- preemption.c ------------------------------------------------------------------------------------ */

/* Rows that the preemption in force serves. */
uint8_t preemption_rows(const signals *s);

/* 0.1 s have passed. */
void preemption_step(signals *s);

#endif
