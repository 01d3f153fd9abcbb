/* What a bystander sees who knows the plan table, the buttons, detectors and requests, and nothing of the core: ages of
 * colours, who waits. Its memory is part of each state that is searched. */
#ifndef WAYSIDE_SEARCH_OBSERVER_H
#define WAYSIDE_SEARCH_OBSERVER_H

#include <stddef.h>

#include "search_instances.h"

#define LONG 250u

/* Ages in steps, no older than a rule asks. */
typedef struct {
    uint8_t colour, age; /* since the colour began */
    uint8_t ped, ped_age;
    uint8_t dark;  /* since the yellow ended, up to the red clearance */
    uint8_t stood; /* how long a vehicle stands there, up to the row's delay */
    uint8_t opposed; /* for how many whole steps this green keeps somebody waiting, up to the maximum */
} watched;

typedef struct {
    uint8_t colour, age, dark;
    uint8_t parent; /* row that lit it last */
    uint8_t lit;    /* how long it is green, up to the shortest minimum of its parents */
} watched_overlap;

typedef struct {
    watched heads[PHASES];
    watched_overlap overlaps[SIGNAL_OVERLAPS];
    uint8_t locked;   /* rows that a vehicle called, and that were not green since */
    uint8_t waiting;  /* rows that must be served for whatever reason, and are not green */
    uint8_t walkers;  /* rows whose button was pressed, and no walk since */
    uint8_t omitted;  /* rows that the host may keep from service */
    uint8_t forced;   /* rows that the host may end */
    uint8_t host;     /* it is there */
    uint8_t inputs;   /* preempts whose input is on, and which have not been served since it came */
    uint8_t unknown;  /* rows where somebody may wait: from the start, or left over by a green or a preemption */
} observer;

enum { RED, GREEN, YELLOW };
enum { DONT, WALK, CLEARANCE };

/* What the world did in a step. */
typedef struct {
    uint8_t vehicles, faults, inputs;
    bool preempted; /* as the core tells: a preemption is in force or called */
    bool closing;   /* every green ends for another table */
} events;

static uint8_t older(uint8_t age) { return age < LONG ? (uint8_t)(age + 1) : age; }

static uint8_t row_bit(uint8_t i) { return (uint8_t)(1u << i); }

static bool opposite(const signal_table *t, uint8_t i, uint8_t k) { return t->rows[i].conflicts >> k & 1; }

/* Rows beside which an overlap cannot be: those that conflict with each of its parents. */
static uint8_t never_beside(const signal_table *t, uint8_t overlap) {
    uint8_t rows = 0;
    for (uint8_t k = 0; k < t->count; k++) {
        bool every = t->overlaps[overlap] != 0;
        for (uint8_t i = 0; i < t->count; i++)
            if (t->overlaps[overlap] >> i & 1 && !opposite(t, i, k)) every = false;
        if (every) rows |= row_bit(k);
    }
    return rows;
}

/* Who has to be served: a fixed-time table serves everybody, an actuated one whom it says. */
static void call_rows(observer *o, const signal_table *t, const events *e) {
    uint8_t always = 0;
    for (uint8_t i = 0; i < t->count; i++) {
        watched *w = &o->heads[i];
        const signal_row *row = &t->rows[i];
        bool there = e->vehicles >> i & 1, green = w->colour == GREEN;
        if (green || !there || !t->actuated) w->stood = 0;
        bool calls = !green && there && w->stood >= row->delay;
        if (!green && there && t->actuated && w->stood < row->delay) w->stood++;
        if (calls)
            o->locked |= row_bit(i);
        else if (!(row->options & ROW_OPTION_LOCKING))
            o->locked &= (uint8_t)~row_bit(i);
        uint8_t recall = row->options & RECALL_SOFT;
        if (!t->actuated || recall == RECALL_MINIMUM || recall == RECALL_MAXIMUM || row->options & ROW_OPTION_PED_RECALL)
            always |= row_bit(i);
    }
    o->waiting = o->locked | o->walkers | e->faults | always;
}

static const char *judge_row(observer *o, const signal_table *t, const signal_heads *h, const events *e, uint8_t i,
    uint8_t waited) {
    watched *w = &o->heads[i];
    const signal_row *row = &t->rows[i];
    bool green = h->green >> i & 1, yellow = h->yellow >> i & 1;
    if (green && yellow) return "a head is green and yellow";
    uint8_t colour = green ? GREEN : yellow ? YELLOW : RED;
    uint8_t ped = h->walk >> i & 1 ? WALK : h->ped_clear >> i & 1 ? CLEARANCE : DONT;
    w->age = older(w->age);
    w->ped_age = older(w->ped_age);
    w->dark = older(w->dark);
    if (colour != w->colour) {
        if (w->colour == GREEN && colour != YELLOW) return "a green ended without yellow";
        if (w->colour == GREEN && w->age < row->min_green) return "a green was shorter than the minimum";
        if (w->colour == YELLOW && colour != RED) return "after a yellow came no red";
        if (w->colour == YELLOW && w->age != row->yellow) return "a yellow was short or long";
        if (w->colour == RED && colour != GREEN) return "a yellow came from red";
        if (w->colour == GREEN && t->actuated && !e->preempted && !e->closing && !(o->forced >> i & 1) && !waited)
            return "a green ended though nobody waited";
        if (w->colour == YELLOW) w->dark = 0;
        if (w->colour == GREEN) o->unknown |= row_bit(i);
        w->colour = colour;
        w->age = 0;
        o->forced &= (uint8_t)~row_bit(i);
    }
    if (ped != w->ped) {
        if (w->ped == WALK && (ped != CLEARANCE || w->ped_age != row->walk) && !(e->preempted && ped == CLEARANCE))
            return "a walk was cut short";
        if (w->ped == CLEARANCE && w->ped_age != row->ped_clear) /* another walk may follow */
            return "a pedestrian clearance was cut short";
        if (ped == CLEARANCE && w->ped != WALK) return "a pedestrian clearance came without a walk";
        w->ped = ped;
        w->ped_age = 0;
    }
    if (ped != DONT && colour != GREEN) return "somebody crosses without a green";
    if (colour == GREEN) {
        o->locked &= (uint8_t)~row_bit(i);
        o->waiting &= (uint8_t)~row_bit(i);
        o->unknown &= (uint8_t)~row_bit(i);
    }
    if (ped == WALK) o->walkers &= (uint8_t)~row_bit(i);
    if (!t->actuated) {
        if (colour == GREEN && w->age >= row->max_green) return "a green did not end at its maximum";
        if (colour == GREEN && ped == DONT && !o->host && w->age >= row->green)
            return "without a host a green outlasted the fixed-time plan";
    }
    return NULL;
}

static const char *judge_overlap(observer *o, const signal_table *t, const signal_heads *h, uint8_t n) {
    watched_overlap *w = &o->overlaps[n];
    bool green = h->overlap_green >> n & 1, yellow = h->overlap_yellow >> n & 1;
    if (green && yellow) return "an overlap is green and yellow";
    uint8_t colour = green ? GREEN : yellow ? YELLOW : RED, lit = h->green & t->overlaps[n];
    uint8_t shortest = LONG;
    for (uint8_t i = 0; i < t->count; i++)
        if (t->overlaps[n] >> i & 1 && t->rows[i].min_green < shortest) shortest = (uint8_t)t->rows[i].min_green;
    w->age = older(w->age);
    w->dark = older(w->dark);
    if (w->lit < shortest) w->lit = older(w->lit);
    if (colour != w->colour) {
        if (w->colour == GREEN && colour != YELLOW) return "an overlap's green ended without yellow";
        if (w->colour == GREEN && w->lit < shortest) return "an overlap's green was shorter than its parents' minimum";
        if (w->colour == YELLOW && colour != RED) return "after an overlap's yellow came no red";
        if (w->colour == YELLOW && w->age != t->rows[w->parent].yellow) return "an overlap's yellow was short or long";
        if (w->colour == RED && (colour != GREEN || !lit)) return "an overlap's green began without a parent";
        if (w->colour == YELLOW) w->dark = 0;
        w->colour = colour;
        w->age = w->lit = 0;
    }
    if (colour == GREEN && lit) {
        for (w->parent = 0; !(lit >> w->parent & 1);) w->parent++;
    }
    return NULL;
}

/* Forgets what no rule asks for, or there would be no end of states. */
static void forget(observer *o, const signal_table *t) {
    for (uint8_t i = 0; i < t->count; i++) {
        watched *w = &o->heads[i];
        const signal_row *row = &t->rows[i];
        if (w->colour == RED) w->age = 0;
        if (w->colour == GREEN && t->actuated && w->age > row->min_green) w->age = (uint8_t)row->min_green;
        if (w->ped == DONT) w->ped_age = 0;
        if (w->colour != RED || w->dark > row->red) w->dark = row->red;
        if (w->colour != GREEN) w->opposed = 0;
    }
    for (uint8_t n = 0; n < SIGNAL_OVERLAPS; n++) {
        watched_overlap *w = &o->overlaps[n];
        uint8_t red = t->rows[w->parent].red;
        if (w->colour != YELLOW) w->age = 0;
        if (w->colour != GREEN) w->lit = 0;
        if (w->colour != RED || w->dark > red) w->dark = red;
        if (w->colour == RED && w->dark == red) w->parent = 0, w->dark = LONG;
    }
}

/* A step of time has passed and the heads show h. Returns the rule that was broken, or NULL. */
static const char *judge(observer *o, const signal_table *t, const signal_heads *h, const events *e) {
    if (h->flash && (h->green | h->yellow | h->walk | h->ped_clear | h->overlap_green | h->overlap_yellow))
        return "a head is lit while everything flashes";
    uint8_t was = o->waiting;
    call_rows(o, t, e);
    if (e->preempted) o->unknown = (uint8_t)(row_bit(t->count) - 1u);
    uint8_t waiting = o->waiting | o->unknown, before[SIGNAL_OVERLAPS];
    for (uint8_t i = 0; i < t->count; i++) {
        bool soft = false;
        for (uint8_t k = 0; k < t->count; k++)
            if (opposite(t, i, k) && (t->rows[k].options & RECALL_SOFT) == RECALL_SOFT) soft = true;
        const char *rule = judge_row(o, t, h, e, i, (waiting & t->rows[i].conflicts) || soft || o->host);
        if (rule) return rule;
    }
    for (uint8_t n = 0; n < SIGNAL_OVERLAPS; n++) {
        before[n] = o->overlaps[n].colour;
        const char *rule = judge_overlap(o, t, h, n);
        if (rule) return rule;
    }
    for (uint8_t i = 0; i < t->count; i++) {
        const watched *a = &o->heads[i];
        for (uint8_t k = 0; k < t->count; k++) {
            const watched *b = &o->heads[k];
            if (i == k || !opposite(t, i, k)) continue;
            if (a->colour != RED && b->colour != RED) return "two conflicting heads are not red";
            if (a->colour == GREEN && a->age == 0 && b->dark < t->rows[k].red)
                return "a green began within a red clearance";
        }
        for (uint8_t n = 0; n < SIGNAL_OVERLAPS; n++) {
            const watched_overlap *b = &o->overlaps[n];
            if (!(never_beside(t, n) >> i & 1)) continue;
            if (a->colour != RED && b->colour != RED) return "a head and an overlap that conflict are not red";
            if (a->colour == GREEN && a->age == 0 && b->dark < t->rows[b->parent].red)
                return "a green began within an overlap's red clearance";
            if (b->colour == GREEN && before[n] == RED && a->dark < t->rows[i].red)
                return "an overlap's green began within a red clearance";
        }
    }
    for (uint8_t i = 0; i < t->count; i++) {
        watched *w = &o->heads[i];
        bool keeps = (was & o->waiting & (uint8_t)~o->omitted & t->rows[i].conflicts) != 0;
        w->opposed = keeps && w->colour == GREEN && w->age > 0 && !e->preempted ? older(w->opposed) : 0;
        if (t->actuated && w->opposed >= t->rows[i].max_green) return "a green did not end at its maximum while somebody waited";
    }
    for (uint8_t k = 0; k < SIGNAL_PREEMPTS; k++) {
        uint8_t dwell = t->preempts[k].dwell;
        if (!(e->inputs >> k & 1) || (h->green & dwell) == dwell)
            o->inputs &= (uint8_t)~row_bit(k);
        else
            o->inputs |= row_bit(k);
    }
    forget(o, t);
    return NULL;
}

#endif
