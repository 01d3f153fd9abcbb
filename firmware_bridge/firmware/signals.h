/* The signals of one intersection: at most eight phases in two rings, in steps of 0.1 s.
 *
 * Each ring serves its rows of the table in order. A row turns green only when nothing that conflicts with it is green,
 * yellow or in red clearance in the other ring, and when no conflicting row there waits longer: barriers follow from
 * the conflict matrix. Minimum green, pedestrian service and maximum green come before anything that is requested;
 * yellow and red clearance cannot be requested at all. tests/firmware_bridge/signals_search.c visits every state.
 *
 * Words and ranges: NEMA TS 2 (start-up flash and all-red), NTCIP 1202 (hold, force-off, calls), MUTCD 4F.17.
 */
#ifndef WAYSIDE_SIGNALS_H
#define WAYSIDE_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"


typedef struct { /* times in 0.1 s */
    uint8_t phase;     /* its number */
    uint8_t ring;      /* 1 or 2 */
    uint8_t conflicts; /* bit i: never beside row i */
    uint8_t ped_input; /* channel of its push button; 0: none */
    uint16_t min_green, max_green;
    uint16_t green; /* of the fixed-time plan */
    uint16_t walk, ped_clear; /* both 0: nobody crosses */
    uint8_t yellow, red;
} signal_row;

typedef struct {
    uint8_t count; /* 0: this board drives no signals */
    uint16_t start_flash, start_red;
    signal_row rows[SIGNAL_PHASES];
} signal_table;

enum ring_state { RING_WAITS, RING_GREEN, RING_YELLOW, RING_CLEARS };

typedef struct {
    uint8_t row;    /* whose turn it is */
    uint8_t state;  /* enum ring_state */
    uint16_t ticks; /* of this state; 0 while it waits */
    uint8_t called; /* row to serve next, or NO_ROW */
    bool held, forced, walking;
} signal_ring;

#define NO_ROW 0xFFu

typedef struct {
    signal_table table;
    const signal_table *coming; /* to be taken when everything is red; its owner leaves it alone until then */
    uint8_t mode;               /* enum signal_mode */
    uint16_t ticks;             /* of flash and start-up red */
    uint8_t first;              /* of two waiting rings, who waited first */
    uint8_t ped_calls;          /* rows */
    uint8_t skipped;            /* rows that a call passed over since they were last served */
    uint16_t green[SIGNAL_PHASES]; /* in force */
    signal_ring rings[SIGNAL_RINGS];
} signals;

typedef struct { /* bits are rows; whatever is not named shows red and don't walk */
    uint8_t green, yellow, walk, ped_clear;
    bool flash; /* all red, flashing */
} signal_heads;

/* Whether this table can be run. Sets the phase to which the code refers, or 0. */
enum plan_code signals_check(const signal_table *t, uint8_t *phase);

/* Whether its times are allowed on a public road: yellow 3 to 6 s, red clearance up to 6 s (MUTCD 4F.17). */
enum plan_code signals_legal(const signal_table *t, uint8_t *phase);

/* Flashes; then all red, then the first row of each ring. Without a table it goes on flashing. */
void signals_start(signals *s, const signal_table *t);

/* Puts a checked table in force as soon as every green has ended in order. */
void signals_replace(signals *s, const signal_table *t);

/* Answers a request with OK or with the reason why not. */
enum plan_code signals_request(signals *s, uint8_t action, uint8_t phase);

/* Greens of the rows from now on, in 0.1 s; minimum and maximum hold whatever they are. */
void signals_greens(signals *s, const uint16_t greens[SIGNAL_PHASES]);

/* The host fell silent: back to the fixed-time plan; its holds, force-offs and calls are void. */
void signals_host_lost(signals *s);

/* Every 0.1 s. Late ticks are not caught up: every time is then longer, never shorter. */
void signals_tick(signals *s);

signal_heads signals_look(const signals *s);

#endif
