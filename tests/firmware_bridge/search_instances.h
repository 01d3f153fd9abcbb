/* The intersections whose every state is visited: as small as shows the rule, times of a few steps. */
#ifndef WAYSIDE_SEARCH_INSTANCES_H
#define WAYSIDE_SEARCH_INSTANCES_H

#include "signals.h"

#define PHASES 4u /* at most, numbered as their rows from 1 on */

#define ASK(action) (1u << (action))
#define CALLS ASK(ACTION_CALL)
#define HOLDS (ASK(ACTION_HOLD) | ASK(ACTION_FORCE_OFF))
#define OMITS (ASK(ACTION_OMIT) | ASK(ACTION_RELEASE))
#define EVERY (CALLS | HOLDS | OMITS)

typedef struct {
    const char *name;
    signal_table tables[2];
    uint16_t requests; /* of the host, each for each phase at any moment: ASK bits */
    bool greens;       /* and green times, none and endless ones */
    bool change;       /* and the other table */
    uint8_t buttons;   /* rows with a push button, at any moment */
    uint8_t vehicles;  /* rows whose detectors may be on or off in any step */
    uint8_t faults;    /* rows whose detectors may have a fault in any step */
    uint8_t inputs;    /* preemption inputs that may be on or off in any step */
    bool waits;        /* measure the longest waits */
} instance;

#define ROW(p, r, c, lo, hi, g, y, rd) .phase = p, .ring = r, .conflicts = c, .min_green = lo, .max_green = hi, \
    .green = g, .yellow = y, .red = rd
#define CROSSED(p, r, c, lo, hi, g, y, rd, w, cl) {ROW(p, r, c, lo, hi, g, y, rd), .walk = w, .ped_clear = cl}
#define FIXED(...) {ROW(__VA_ARGS__)}
/* Of an actuated row: maximum in force, passage, delay, options. */
#define ACTS(m, pass, wait, how) .max_1 = m, .passage = pass, .delay = wait, .options = how

static const instance instances[] = {
    /* Fixed time. Four phases in two rings as on the street: 1, 2 in the first, 3, 4 in the second; 1 beside 3, 2 beside 4. */
    {"two", {{.count = 2, .start_flash = 1, .start_red = 1, .rows = {FIXED(1, 1, 2, 2, 4, 3, 2, 1), FIXED(2, 2, 1, 2, 5, 2, 2, 2)}}},
        .requests = CALLS | HOLDS, .greens = true, .waits = true},
    {"crossing",
        {{.count = 3, .start_flash = 1, .start_red = 1, .rows = {CROSSED(1, 1, 6, 3, 7, 4, 2, 1, 2, 3), FIXED(2, 1, 5, 2, 6, 3, 3, 2),
            CROSSED(3, 2, 3, 2, 6, 3, 2, 3, 3, 2)}}},
        .requests = CALLS | HOLDS, .greens = true, .buttons = 5, .waits = true},
    {"barriers",
        {{.count = 4, .start_flash = 2, .start_red = 2, .rows = {FIXED(1, 1, 10, 3, 7, 5, 3, 2), FIXED(2, 1, 5, 2, 6, 3, 2, 3),
            FIXED(3, 2, 10, 2, 8, 4, 3, 1), FIXED(4, 2, 5, 3, 6, 4, 2, 2)}}},
        .requests = CALLS | HOLDS, .greens = true, .waits = true},
    {"change",
        {{.count = 3, .start_flash = 2, .start_red = 2, .rows = {FIXED(1, 1, 6, 2, 5, 3, 2, 1), FIXED(2, 1, 5, 2, 6, 3, 3, 2),
            CROSSED(3, 2, 3, 3, 6, 4, 2, 3, 2, 2)}},
            {.count = 4, .start_flash = 2, .start_red = 3, .rows = {CROSSED(1, 1, 14, 2, 5, 3, 3, 2, 2, 1), FIXED(2, 2, 9, 3, 6, 4, 2, 1),
                FIXED(3, 1, 9, 2, 4, 3, 2, 3), FIXED(4, 2, 7, 2, 5, 2, 3, 1)}}},
        .requests = CALLS | HOLDS, .greens = true, .change = true, .buttons = 15},

    /* Actuated: two phases, everything that a host can ask for. */
    {"actuated",
        {{.count = 2, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 16,
            .rows = {{ROW(1, 1, 2, 1, 3, 2, 1, 1), ACTS(2, 1, 1, ROW_OPTION_LOCKING)},
                {ROW(2, 1, 1, 1, 3, 2, 2, 1), ACTS(2, 0, 0, 0)}}}},
        .requests = EVERY, .greens = true, .vehicles = 3, .waits = true},
    /* Crossings: a walk that begins while a green rests, a phase that pedestrians alone can call. */
    {"pedestrians",
        {{.count = 2, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 18,
            .rows = {{ROW(1, 1, 2, 1, 3, 2, 1, 1), .walk = 1, .ped_clear = 1, ACTS(2, 1, 0, RECALL_MINIMUM)},
                {ROW(2, 2, 1, 2, 4, 3, 1, 1), .walk = 2, .ped_clear = 1, ACTS(2, 0, 0, 0)}}}},
        .requests = ASK(ACTION_HOLD) | ASK(ACTION_OMIT), .buttons = 3, .waits = true},
    /* Two rings, a barrier. */
    {"rings",
        {{.count = 4, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 20,
            .rows = {{ROW(1, 1, 10, 1, 2, 1, 1, 1), ACTS(1, 0, 0, ROW_OPTION_LOCKING)},
                {ROW(2, 1, 5, 1, 2, 1, 1, 1), ACTS(2, 1, 0, ROW_OPTION_LOCKING)},
                {ROW(3, 2, 10, 1, 3, 2, 1, 1), ACTS(2, 1, 0, 0)},
                {ROW(4, 2, 5, 1, 2, 1, 1, 0), ACTS(2, 0, 0, ROW_OPTION_LOCKING)}}}},
        .vehicles = 15, .waits = true},
    /* Detector faults and recalls. */
    {"faults",
        {{.count = 3, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 20,
            .rows = {{ROW(1, 1, 6, 1, 3, 2, 1, 1), ACTS(2, 1, 0, RECALL_SOFT)},
                {ROW(2, 1, 5, 1, 2, 1, 1, 1), ACTS(2, 1, 1, ROW_OPTION_LOCKING)},
                {ROW(3, 2, 3, 1, 3, 2, 1, 1), ACTS(2, 1, 0, RECALL_MAXIMUM)}}}},
        .requests = ASK(ACTION_FORCE_OFF), .vehicles = 2, .faults = 3, .waits = true},
    /* An overlap of two consecutive phases, and one over both rings. */
    {"overlaps",
        {{.count = 4, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 30, .overlaps = {3, 10},
            .rows = {{ROW(1, 1, 14, 1, 2, 2, 1, 1), ACTS(2, 1, 0, RECALL_SOFT)},
                {ROW(2, 1, 5, 1, 2, 1, 2, 0), ACTS(1, 0, 0, 0)},
                {ROW(3, 1, 11, 1, 1, 1, 1, 1), ACTS(1, 0, 0, RECALL_MINIMUM)},
                {ROW(4, 2, 5, 2, 3, 2, 1, 1), ACTS(2, 1, 0, ROW_OPTION_LOCKING)}}}},
        .vehicles = 10, .waits = true},
    /* A railway and a fire brigade, from every state of a crossing. */
    {"preemption",
        {{.count = 3, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 24,
            .preempts = {{.input = 1, .track = 2, .track_s = 0, .dwell = 1, .dwell_s = 0}, {.input = 2, .dwell = 4, .dwell_s = 0}},
            .rows = {{ROW(1, 1, 2, 1, 3, 2, 1, 1), .walk = 2, .ped_clear = 1, ACTS(2, 1, 0, ROW_OPTION_LOCKING)},
                {ROW(2, 1, 5, 2, 3, 2, 1, 0), ACTS(2, 0, 0, ROW_OPTION_LOCKING)},
                {ROW(3, 2, 2, 1, 3, 2, 1, 1), ACTS(2, 0, 0, 0)}}}},
        .requests = ASK(ACTION_FORCE_OFF), .buttons = 1, .vehicles = 2, .inputs = 3, .waits = true},
    /* From a fixed-time table to an actuated one and back, with trains between. */
    {"tables",
        {{.count = 2, .start_flash = 1, .start_red = 1, .rows = {FIXED(1, 1, 2, 1, 3, 2, 1, 1), FIXED(2, 2, 1, 2, 4, 3, 2, 1)}},
            {.count = 2, .actuated = true, .start_flash = 1, .start_red = 2, .longest_red = 20, .overlaps = {1},
                .preempts = {{.input = 1, .dwell = 2, .dwell_s = 0}},
                .rows = {{ROW(1, 1, 2, 1, 3, 2, 1, 1), .walk = 1, .ped_clear = 1, ACTS(2, 1, 0, RECALL_SOFT)},
                    {ROW(2, 1, 1, 1, 4, 3, 2, 0), ACTS(2, 1, 0, ROW_OPTION_LOCKING)}}}},
        .requests = CALLS | HOLDS, .change = true, .buttons = 1, .vehicles = 2, .inputs = 1},

    /* Minutes. */
    {"large",
        {{.count = 4, .start_flash = 3, .start_red = 3, .rows = {CROSSED(1, 1, 10, 5, 14, 8, 4, 3, 4, 6), CROSSED(2, 1, 5, 4, 12, 6, 5, 2, 3, 4),
            CROSSED(3, 2, 10, 4, 15, 9, 4, 2, 5, 6), CROSSED(4, 2, 5, 5, 11, 7, 3, 4, 4, 3)}}},
        .requests = CALLS | HOLDS, .greens = true, .buttons = 15},
    {"large_actuated",
        {{.count = 2, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 22,
            .rows = {{ROW(1, 1, 2, 2, 5, 3, 1, 1), ACTS(4, 2, 1, ROW_OPTION_LOCKING)},
                {ROW(2, 1, 1, 1, 4, 2, 2, 1), ACTS(3, 1, 0, ROW_OPTION_LOCKING)}}}},
        .requests = EVERY, .greens = true, .vehicles = 3, .waits = true},
    {"large_pedestrians",
        {{.count = 2, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 24,
            .rows = {{ROW(1, 1, 2, 1, 5, 3, 1, 1), .walk = 1, .ped_clear = 2, ACTS(3, 1, 0, RECALL_MINIMUM)},
                {ROW(2, 2, 1, 2, 5, 3, 2, 1), .walk = 2, .ped_clear = 1, ACTS(3, 1, 0, 0)}}}},
        .requests = HOLDS | OMITS, .buttons = 3, .vehicles = 1, .waits = true},
    {"large_faults",
        {{.count = 3, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 24,
            .rows = {{ROW(1, 1, 6, 1, 4, 2, 1, 1), ACTS(3, 1, 0, RECALL_SOFT)},
                {ROW(2, 1, 5, 2, 3, 2, 1, 0), ACTS(2, 1, 1, ROW_OPTION_LOCKING)},
                {ROW(3, 2, 3, 1, 3, 2, 1, 1), ACTS(2, 1, 0, RECALL_MAXIMUM)}}}},
        .requests = HOLDS, .vehicles = 3, .faults = 3, .waits = true},
    {"large_rings",
        {{.count = 4, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 30, .overlaps = {3, 10},
            .rows = {{ROW(1, 1, 14, 2, 3, 2, 1, 1), ACTS(2, 1, 0, ROW_OPTION_LOCKING)},
                {ROW(2, 1, 5, 1, 2, 1, 2, 0), ACTS(1, 0, 0, ROW_OPTION_LOCKING)},
                {ROW(3, 1, 11, 1, 2, 1, 1, 1), ACTS(1, 0, 0, 0)},
                {ROW(4, 2, 5, 2, 3, 2, 1, 1), ACTS(2, 1, 0, ROW_OPTION_LOCKING)}}}},
        .requests = ASK(ACTION_HOLD), .vehicles = 15, .waits = true},
    {"large_preemption",
        {{.count = 3, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = 24,
            .preempts = {{.input = 1, .track = 2, .track_s = 0, .dwell = 1, .dwell_s = 0}, {.input = 2, .dwell = 4, .dwell_s = 0}},
            .rows = {{ROW(1, 1, 2, 1, 3, 2, 1, 0), .walk = 1, .ped_clear = 1, ACTS(2, 1, 0, ROW_OPTION_LOCKING)},
                {ROW(2, 1, 5, 2, 3, 2, 1, 1), ACTS(2, 0, 0, ROW_OPTION_LOCKING)},
                {ROW(3, 2, 2, 1, 3, 2, 1, 1), ACTS(2, 1, 0, 0)}}}},
        .requests = HOLDS, .buttons = 1, .vehicles = 3, .inputs = 3, .waits = true},
};

#endif
