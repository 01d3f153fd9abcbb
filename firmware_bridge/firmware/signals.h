/* The signals of one intersection: at most eight phases in two rings, in steps of 0.1 s.
 *
 * With a fixed-time table (format 1) each ring serves its rows in order. With an actuated one (format 2) it serves the
 * rows that somebody waits for, and a green lasts as long as vehicles come, up to its maximum. In both a row turns green
 * only when nothing that conflicts with it is green, yellow or in red clearance: barriers follow from the conflict
 * matrix. Minimum green, pedestrian service and maximum green come before anything that is requested; yellow and red
 * clearance cannot be requested at all. tests/firmware_bridge/signals_search.c visits every state.
 *
 * signals.c has time, requests and the conflict monitor; signal_table.c what a table may be; actuation.c who is served
 * next and when a green ends; overlaps.c and preemption.c what their names say.
 *
 * Words and ranges: NEMA TS 2 (start-up flash and all-red), NTCIP 1202 (hold, force-off, calls, recalls, maxima), MUTCD
 * 4F.17 and 4F.18.
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
    /* of an actuated table */
    uint16_t max_1;  /* the maximum in force without a host; max_green is the most that one may ask for */
    uint8_t passage; /* the gap after which a green ends */
    uint8_t delay;   /* so long a vehicle waits before it calls */
    uint8_t options; /* enum recall, enum row_option */
} signal_row;

#define PREEMPT_INPUTS 16u

typedef struct {
    uint8_t input;   /* 1 to PREEMPT_INPUTS; 0: there is none */
    bool opens;      /* a contact that opens, as a railway's does when in doubt, and when its wire breaks */
    uint8_t track; /* rows that are green first, to clear the tracks; 0: none */
    uint8_t track_s;
    uint8_t dwell; /* rows that are green from then on */
    uint8_t dwell_s; /* at least */
} signal_preempt;

typedef struct {
    uint8_t count; /* 0: this board drives no signals */
    bool actuated;
    uint16_t start_flash, start_red;
    uint16_t longest_red;             /* of a row that somebody waits for */
    uint8_t overlaps[SIGNAL_OVERLAPS]; /* parent rows; 0: there is none */
    signal_preempt preempts[SIGNAL_PREEMPTS]; /* the first before the second */
    signal_row rows[SIGNAL_PHASES];
} signal_table;

enum ring_state { RING_WAITS, RING_GREEN, RING_YELLOW, RING_CLEARS };

typedef struct {
    uint8_t row;    /* whose turn it is; actuated and waiting: who was served last */
    uint8_t state;  /* enum ring_state */
    uint16_t ticks; /* of this state; 0 while it waits; actuated: no more than the row's maximum green */
    uint8_t called; /* row that the host wants to be served next, or NO_ROW */
    bool held, forced, walking;
    uint16_t walked; /* since the walk began, up to the end of its clearance */
    /* actuated */
    uint8_t next;     /* row to be served next, settled when yellow begins, or NO_ROW */
    uint8_t reason;   /* enum termination, of the last green */
    uint8_t gap;      /* since a vehicle was there, up to the passage time */
    uint16_t opposed; /* since a conflicting row waits */
} signal_ring;

#define NO_ROW 0xFFu

enum overlap_state { OVERLAP_RED, OVERLAP_GREEN, OVERLAP_YELLOW, OVERLAP_CLEARS };

typedef struct {
    uint8_t state; /* enum overlap_state */
    uint8_t ticks; /* of yellow and red clearance */
    uint8_t parent; /* row that was green last: its yellow and red clearance hold */
} signal_overlap;

typedef struct {
    signal_table table;
    const signal_table *coming; /* to be taken when everything is red; its owner leaves it alone until then */
    uint8_t mode;               /* enum signal_mode */
    uint16_t ticks;             /* of flash and start-up red */
    uint8_t first;              /* fixed-time: of two waiting rings, who waited first */
    uint8_t ped_calls;          /* rows */
    uint8_t skipped;            /* rows that a call of the host passed over since they were last served */
    uint16_t green[SIGNAL_PHASES]; /* in force: greens, or of an actuated table maximum greens */
    signal_ring rings[SIGNAL_RINGS];
    /* actuated; bits are rows */
    uint8_t present; /* a vehicle is there, or was since the last step */
    uint8_t faulty;  /* a detector is not to be believed: the fixed-time plan's green, at every turn */
    uint8_t calls;   /* a vehicle waits */
    uint8_t omits;   /* the host wants it passed over */
    uint8_t delay[SIGNAL_PHASES];  /* for how long a vehicle is there, up to the row's delay */
    uint16_t waits[SIGNAL_PHASES]; /* for how long somebody waits, up to the longest red */
    signal_overlap overlaps[SIGNAL_OVERLAPS];
    uint8_t preempt_inputs; /* bits are preempts */
    uint8_t preempt;        /* 1 + the one in force; 0: none */
    uint8_t preempt_stage;  /* enum preempt_stage */
    uint16_t preempt_ticks; /* since the rows of this stage are green */
} signals;

typedef struct { /* bits are rows; whatever is not named shows red and don't walk */
    uint8_t green, yellow, walk, ped_clear;
    bool flash; /* all red, flashing */
    uint8_t overlap_green, overlap_yellow; /* bits are overlaps */
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

/* What the detectors say, for the next step: rows with a vehicle, rows with a detector that is not to be believed. */
void signals_detect(signals *s, uint8_t present, uint8_t faulty);

/* Which preemption inputs are on; bits are the table's preempts. */
void signals_preempt(signals *s, uint8_t inputs);

/* The host fell silent: its holds, force-offs, calls, omits and green times are void. */
void signals_host_lost(signals *s);

/* Every 0.1 s. Late ticks are not caught up: every time is then longer, never shorter. */
void signals_tick(signals *s);

signal_heads signals_look(const signals *s);

/* The conflict monitor: whether heads show what they never may. It judges them as they are shown, whatever the code before
 * it thinks of them. */
bool signals_conflict(const signal_table *t, const signal_heads *heads);

/* Rows that want service and are not green: calls of vehicles and of the host, recalls. */
uint8_t signals_called(const signals *s);

/* Of a preempt, from 0 on: what events tell of it. */
enum preempt_state signals_preempted(const signals *s, uint8_t preempt);

#endif
