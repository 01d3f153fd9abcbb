/* The intersections of signal_cases.c. */

/* Phases 1 and 2 in one ring: 1 locks, has a delay and rests; 2 neither. */
static const signal_table pair = {BEGINS(2, 60),
    .rows = {{ROW(1, 1, 2, 3, 10, 6, 2, 1), ACTS(8, 2, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 1, 2, 8, 4, 1, 2), ACTS(6, 3, 2, 0)}}};

/* Three phases in one ring, and one of the other ring beside phase 3 alone. */
static const signal_table three = {BEGINS(3, 70),
    .rows = {{ROW(1, 1, 6, 2, 10, 5, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 5, 2, 10, 4, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(3, 1, 3, 2, 10, 4, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}}};

/* The street's dual ring: 1, 2 | 3, 4 in the first; 5, 6 | 7, 8 in the second. */
static const signal_table dual = {BEGINS(8, 72),
    .rows = {{ROW(1, 1, 0xCE, 2, 12, 6, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 0xCD, 2, 12, 6, 1, 1), ACTS(8, 2, 0, ROW_OPTION_LOCKING)},
        {ROW(3, 1, 0x3B, 2, 12, 6, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}, {ROW(4, 1, 0x37, 2, 12, 6, 1, 1), ACTS(8, 2, 0, ROW_OPTION_LOCKING)},
        {ROW(5, 2, 0xEC, 2, 12, 6, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}, {ROW(6, 2, 0xDC, 2, 12, 6, 1, 1), ACTS(8, 2, 0, ROW_OPTION_LOCKING)},
        {ROW(7, 2, 0xB3, 2, 12, 6, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}, {ROW(8, 2, 0x73, 2, 12, 6, 1, 1), ACTS(8, 2, 0, ROW_OPTION_LOCKING)}}};

/* A crossing on each of two streets. */
static const signal_table walks = {BEGINS(2, 60),
    .rows = {{ROW(1, 1, 2, 2, 12, 6, 1, 1), .walk = 3, .ped_clear = 2, ACTS(6, 1, 0, 0)}, {ROW(2, 1, 1, 2, 12, 6, 1, 1), .walk = 2, .ped_clear = 3, ACTS(6, 1, 0, 0)}}};

/* Recalls: minimum, maximum, soft, pedestrian. */
static const signal_table recalls = {BEGINS(4, 100),
    .rows = {{ROW(1, 1, 14, 2, 8, 4, 1, 1), ACTS(5, 1, 0, RECALL_MINIMUM)}, {ROW(2, 1, 13, 2, 8, 4, 1, 1), ACTS(5, 1, 0, RECALL_MAXIMUM)},
        {ROW(3, 1, 11, 2, 8, 4, 1, 1), ACTS(5, 1, 0, RECALL_SOFT)}, {ROW(4, 1, 7, 2, 8, 4, 1, 1), .walk = 2, .ped_clear = 1, ACTS(5, 1, 0, ROW_OPTION_PED_RECALL)}}};
static const signal_table soft = {BEGINS(2, 60),
    .rows = {{ROW(1, 1, 2, 2, 8, 4, 1, 1), ACTS(5, 1, 0, RECALL_SOFT)}, {ROW(2, 1, 1, 2, 8, 4, 1, 1), ACTS(5, 1, 0, 0)}}};

/* Overlaps: of the consecutive 1 and 2, and of 2 and 4, which are in both rings. */
static const signal_table laps = {BEGINS(4, 90), .overlaps = {3, 10},
    .rows = {{ROW(1, 1, 14, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 5, 2, 8, 4, 2, 0), ACTS(5, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(3, 1, 11, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(4, 2, 5, 2, 8, 4, 1, 2), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}}};

/* A railway: the track is cleared by phase 2, then phase 1 dwells; the fire brigade: phase 3. */
static const signal_table trains = {BEGINS(3, 80),
    .preempts = {{.input = 1, .track = 2, .track_s = 1, .dwell = 1, .dwell_s = 1}, {.input = 2, .dwell = 4, .dwell_s = 1}},
    .rows = {{ROW(1, 1, 2, 3, 10, 6, 1, 1), .walk = 3, .ped_clear = 2, ACTS(6, 1, 0, 0)}, {ROW(2, 1, 5, 2, 10, 6, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(3, 2, 2, 2, 10, 6, 1, 1), ACTS(6, 1, 0, ROW_OPTION_LOCKING)}}};

/* Fixed time: two rings, a crossing. */
static const signal_table fixed = {.count = 3, .start_flash = 1, .start_red = 1,
    .rows = {{ROW(1, 1, 6, 2, 8, 5, 2, 1), .walk = 2, .ped_clear = 3}, {ROW(2, 1, 5, 2, 8, 4, 1, 2)}, {ROW(3, 2, 3, 2, 8, 3, 1, 1)}}};
static const signal_table alone = {.count = 2, .start_flash = 1, .start_red = 1,
    .rows = {{ROW(1, 1, 2, 2, 8, 3, 1, 1)}, {ROW(2, 1, 1, 2, 8, 3, 1, 1)}}};

/* An overlap in a ring that is alone; a fire brigade that dwells where people walk. */
static const signal_table lap = {BEGINS(3, 80), .overlaps = {3}, .preempts = {{.input = 0, .dwell = 2}, {.input = 2, .dwell = 1, .dwell_s = 1}},
    .rows = {{ROW(1, 1, 6, 2, 8, 4, 1, 1), .walk = 3, .ped_clear = 2, ACTS(5, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(2, 1, 5, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(3, 1, 3, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}}};
static const signal_table empty = {.count = 0};

/* A ring that is alone in time, two of them that share a barrier on one side only. */
static const signal_table onesided = {BEGINS(4, 90),
    .rows = {{ROW(1, 1, 10, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 5, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(3, 2, 10, 2, 8, 4, 1, 1), .walk = 2, .ped_clear = 2, ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(4, 2, 5, 2, 8, 4, 1, 3), ACTS(5, 2, 0, ROW_OPTION_LOCKING)}}};

/* Fixed time: 1 beside 3 and 4 of the other ring, 2 beside 4 alone. */
static const signal_table beside = {.count = 4, .start_flash = 1, .start_red = 1,
    .rows = {{ROW(1, 1, 2, 2, 8, 5, 1, 1)}, {ROW(2, 1, 5, 2, 8, 4, 1, 1)}, {ROW(3, 2, 10, 2, 8, 3, 1, 1)}, {ROW(4, 2, 4, 2, 8, 3, 1, 1)}}};

/* A passage time of nothing. */
static const signal_table brief = {BEGINS(2, 60),
    .rows = {{ROW(1, 1, 2, 2, 8, 4, 1, 1), ACTS(5, 0, 0, 0)}, {ROW(2, 1, 1, 2, 8, 4, 1, 1), ACTS(5, 0, 0, 0)}}};

/* Two rings of which one alone is ever green. */
static const signal_table stages = {BEGINS(4, 90),
    .rows = {{ROW(1, 1, 14, 2, 20, 5, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 13, 2, 20, 5, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(3, 2, 11, 2, 20, 5, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(4, 2, 7, 2, 20, 5, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}}};

/* Fixed time without red clearance: one row, two. */
static const signal_table single = {.count = 1, .start_flash = 1, .start_red = 1, .rows = {{ROW(1, 1, 0, 2, 8, 3, 1, 0)}}};
static const signal_table unclear = {.count = 2, .start_flash = 1, .start_red = 1,
    .rows = {{ROW(1, 1, 2, 2, 8, 3, 1, 0)}, {ROW(2, 1, 1, 2, 8, 3, 1, 0)}}};

/* A preemption without a dwell time, on a street that is short of time. */
static const signal_table pulses = {BEGINS(2, 16), .preempts = {{.input = 1, .dwell = 1}},
    .rows = {{ROW(1, 1, 2, 1, 4, 2, 1, 1), ACTS(2, 1, 0, ROW_OPTION_LOCKING)}, {ROW(2, 1, 1, 1, 4, 2, 1, 1), ACTS(2, 1, 0, ROW_OPTION_LOCKING)}}};

static const signal_table second = {BEGINS(3, 80), .overlaps = {0, 0, 0, 3}, .preempts = {{.input = 0, .dwell = 2}, {.input = 2, .dwell = 1, .dwell_s = 1}},
    .rows = {{ROW(1, 2, 6, 2, 8, 4, 1, 1), .walk = 3, .ped_clear = 2, ACTS(5, 1, 0, ROW_OPTION_LOCKING)},
        {ROW(2, 2, 5, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}, {ROW(3, 2, 3, 2, 8, 4, 1, 1), ACTS(5, 1, 0, ROW_OPTION_LOCKING)}}};
static const signal_table beyond = {BEGINS(2, 60),
    .rows = {{ROW(1, 1, 2, 2, 8, 4, 1, 1), ACTS(5, 1, 0, RECALL_SOFT)}, {ROW(2, 1, 1, 2, 8, 4, 1, 1), ACTS(5, 1, 0, 0)}, {.options = RECALL_MINIMUM, .ped_input = 1}}};
static const signal_table rests = {BEGINS(2, 60),
    .rows = {{ROW(1, 1, 2, 2, 8, 4, 1, 1), ACTS(5, 1, 0, 0)}, {ROW(2, 1, 1, 2, 8, 4, 1, 1), ACTS(5, 1, 0, RECALL_SOFT)}}};

/* Fixed time: three rows in a ring; 1 beside 3 of the other ring, and all else in each other's way. */
static const signal_table trio = {.count = 3, .start_flash = 1, .start_red = 1,
    .rows = {{ROW(1, 1, 6, 2, 8, 3, 1, 1)}, {ROW(2, 1, 5, 2, 8, 3, 1, 1)}, {ROW(3, 1, 3, 2, 8, 3, 1, 1)}}};
static const signal_table contend = {.count = 4, .start_flash = 1, .start_red = 1,
    .rows = {{ROW(1, 1, 10, 2, 8, 5, 1, 1)}, {ROW(2, 1, 13, 2, 8, 4, 1, 1)}, {ROW(3, 2, 10, 2, 8, 3, 1, 1)}, {ROW(4, 2, 7, 2, 8, 3, 1, 1)}}};
