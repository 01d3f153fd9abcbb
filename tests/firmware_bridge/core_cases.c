/* What the board's plan, detectors and settings shall do, case by case: exact, quick, without a line or a clock.
 *
 *   core_cases             exits with 1 and names every case that failed
 *
 * Mutants of these files and their MC/DC are measured with this program (mutation.py, mcdc.py).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detectors.h"
#include "frame.h"
#include "hal.h"
#include "plan.h"
#include "settings.h"

static unsigned failures, cases;

static void check(bool right, const char *what, int line) {
    cases++;
    if (right) return;
    failures++;
    printf("core_cases.c:%d: %s\n", line, what);
}
#define CHECK(is) check((is), #is, __LINE__)

/* --- plan ------------------------------------------------------------------------------------------ */

static const phase_limit RINGS[] = {
    {.phase = 2, .ring = 1, .min_green = 50, .max_green = 300, .min_clearance = 40, .max_clearance = 40, .green = 100},
    {.phase = 4, .ring = 1, .min_green = 40, .max_green = 200, .min_clearance = 50, .max_clearance = 50, .green = 90},
    {.phase = 6, .ring = 2, .min_green = 50, .max_green = 300, .min_clearance = 45, .max_clearance = 45, .green = 110},
    {.phase = 8, .ring = 2, .min_green = 40, .max_green = 200, .min_clearance = 45, .max_clearance = 45, .green = 80}};

static uint8_t about; /* the phase that the last answer named */

static enum plan_code ask(plan *p, uint16_t cycle, unsigned n, const uint16_t (*greens)[2]) {
    msg_phase_times m = {.request = 1, .cycle = cycle, .phase_count = (uint8_t)n};
    uint8_t bytes[3 * MAX_PHASES] = {0};
    for (unsigned i = 0; i < n; i++) {
        bytes[3 * i] = (uint8_t)greens[i][0];
        bytes[3 * i + 1] = (uint8_t)greens[i][1];
        bytes[3 * i + 2] = (uint8_t)(greens[i][1] >> 8);
    }
    about = 99;
    return plan_request(p, &m, bytes, &about);
}
#define ASK(p, cycle, ...) ask(p, cycle, sizeof((const uint16_t[][2]){__VA_ARGS__}) / 4u, (const uint16_t[][2]){__VA_ARGS__})

static void own_limits(void) {
    plan p = {.own = RINGS, .own_count = 4};
    plan_fall_back(&p);
    CHECK(p.green[0] == 100 && p.green[1] == 90 && p.green[2] == 110 && p.green[3] == 80 && p.green[4] == 0);
    p.own_count = 3;
    p.green[3] = 7;
    plan_fall_back(&p);
    CHECK(p.green[3] == 7);

    p = (plan){.own = RINGS, .own_count = 4};
    CHECK(ASK(&p, 300, {2, 150}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_OK && about == 0);
    CHECK(p.green[0] == 150 && p.green[1] == 60 && p.green[2] == 140 && p.green[3] == 70);
    CHECK(ASK(&p, 300, {8, 70}, {6, 140}, {4, 60}, {2, 150}) == PLAN_CODE_OK); /* in any order */
    CHECK(p.green[0] == 150 && p.green[3] == 70);
    CHECK(ASK(&p, 304, {2, 150}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_OK); /* 0.2 s of slack a phase */
    CHECK(ASK(&p, 305, {2, 150}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_CYCLE_SUM && about == 0);
    CHECK(ASK(&p, 296, {2, 150}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 295, {2, 150}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 300, {2, 150}, {4, 60}, {6, 145}, {8, 70}) == PLAN_CODE_CYCLE_SUM); /* the second ring alone */
    CHECK(ASK(&p, 300, {2, 155}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_CYCLE_SUM); /* the first */
    CHECK(ASK(&p, 180, {2, 50}, {4, 40}, {6, 50}, {8, 40}) == PLAN_CODE_OK);          /* minima */
    CHECK(p.green[0] == 50 && p.green[1] == 40);
    CHECK(ASK(&p, 180, {2, 49}, {4, 40}, {6, 50}, {8, 40}) == PLAN_CODE_BELOW_MIN_GREEN && about == 2);
    CHECK(ASK(&p, 590, {2, 300}, {4, 200}, {6, 300}, {8, 200}) == PLAN_CODE_OK); /* maxima */
    CHECK(ASK(&p, 590, {2, 300}, {4, 201}, {6, 300}, {8, 200}) == PLAN_CODE_ABOVE_MAX_GREEN && about == 4);
    CHECK(ASK(&p, 300, {2, 150}, {5, 60}, {6, 140}, {8, 70}) == PLAN_CODE_UNKNOWN_PHASE && about == 5);
    CHECK(ASK(&p, 300, {2, 150}, {4, 60}, {2, 140}, {8, 70}) == PLAN_CODE_DUPLICATE_PHASE && about == 2);
    CHECK(ASK(&p, 300, {2, 150}, {6, 140}, {8, 70}) == PLAN_CODE_MISSING_PHASE && about == 4);
    CHECK(ASK(&p, 0, {2, 150}, {6, 140}, {8, 70}) == PLAN_CODE_MISSING_PHASE); /* cycle 0 is for actuated tables */
    CHECK(ASK(&p, 0, {2, 150}, {4, 60}, {6, 140}, {8, 70}) == PLAN_CODE_CYCLE_SUM);
    CHECK(p.green[0] == 300 && p.green[1] == 200); /* what is refused changes nothing */
    CHECK(ask(&p, 300, 0, NULL) == PLAN_CODE_MISSING_PHASE && about == 2);

    /* One ring alone; a ring that is not there is not summed. */
    p.own_count = 2;
    p.green[2] = 77;
    CHECK(ASK(&p, 300, {2, 150}, {4, 60}) == PLAN_CODE_OK && p.green[2] == 77);
    p = (plan){.own = RINGS + 2, .own_count = 2};
    CHECK(ASK(&p, 300, {6, 140}, {8, 70}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 310, {6, 140}, {8, 70}) == PLAN_CODE_CYCLE_SUM);
    static const phase_limit zero = {.phase = 1, .ring = 1, .max_green = 9, .max_clearance = 90};
    p = (plan){.own = &zero, .own_count = 1};
    CHECK(ASK(&p, 10, {1, 0}) == PLAN_CODE_BELOW_MIN_GREEN);
    CHECK(ASK(&p, 10, {1, 1}) == PLAN_CODE_OK);
    p.own_count = 0;
    CHECK(ask(&p, 0, 0, NULL) == PLAN_CODE_CYCLE_SUM && about == 0);
}

/* No limits but the preset ones: phases 1 to 16, any of them, ring unknown, clearances between bounds. */
static void no_limits(void) {
    static const signal_table none;
    plan p = {.table = &none};
    CHECK(ASK(&p, 260, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    p.green[1] = 77;
    CHECK(ASK(&p, 130, {1, 100}) == PLAN_CODE_OK && p.green[0] == 100 && p.green[1] == 0);
    CHECK(ASK(&p, 256, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 255, {1, 100}, {2, 100}) == PLAN_CODE_CYCLE_SUM); /* neither does 510 */
    CHECK(ASK(&p, 444, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 445, {1, 100}, {2, 100}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 128, {1, 100}, {2, 100}) == PLAN_CODE_OK); /* two rings */
    CHECK(ASK(&p, 127, {1, 100}, {2, 100}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 0, {1, 100}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 260, {17, 100}) == PLAN_CODE_UNKNOWN_PHASE && about == 17);
    CHECK(ASK(&p, 260, {0, 100}) == PLAN_CODE_UNKNOWN_PHASE);
    CHECK(ASK(&p, 96, {16, 66}) == PLAN_CODE_OK && p.green[15] == 66);
    CHECK(ASK(&p, 90, {3, 49}) == PLAN_CODE_BELOW_MIN_GREEN && ASK(&p, 90, {3, 50}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 1250, {3, 1201}) == PLAN_CODE_ABOVE_MAX_GREEN && ASK(&p, 1250, {3, 1200}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 39, {3, 50}) == PLAN_CODE_OK && ASK(&p, 38, {3, 50}) == PLAN_CODE_CYCLE_SUM); /* 3 s */
    CHECK(ASK(&p, 172, {3, 50}) == PLAN_CODE_OK && ASK(&p, 173, {3, 50}) == PLAN_CODE_CYCLE_SUM); /* 12 s */
    p.green[15] = 1;
    plan_fall_back(&p);
    CHECK(p.green[15] == 0 && p.green[2] == 0);
    p.table = NULL;
    CHECK(ASK(&p, 65535, {1, 50}) == PLAN_CODE_CYCLE_SUM); /* twice the cycle has 32 bits: 131070 is not 65534 */
    static const phase_limit wide[] = {{.phase = 1, .max_green = 65535, .min_clearance = 30, .max_clearance = 120},
        {.phase = 2, .max_green = 65535, .min_clearance = 30, .max_clearance = 120}};
    p = (plan){.own = wide, .own_count = 2};
    CHECK(ASK(&p, 74, {1, 65500}, {2, 50}) == PLAN_CODE_CYCLE_SUM); /* nor is 65610 the same as 74 */
}

static void tables_limits(void) {
    signal_table t = {.count = 2,
        .rows = {{.phase = 3, .ring = 1, .min_green = 40, .max_green = 90, .green = 60, .max_1 = 80, .yellow = 30, .red = 10},
            {.phase = 5, .ring = 1, .min_green = 40, .max_green = 90, .green = 50, .max_1 = 70, .yellow = 30, .red = 20}}};
    plan p = {.table = &t, .own = RINGS, .own_count = 4};
    plan_fall_back(&p);
    CHECK(p.green[0] == 60 && p.green[1] == 50 && p.green[2] == 0);
    CHECK(ASK(&p, 210, {3, 50}, {5, 70}) == PLAN_CODE_OK && p.green[0] == 50 && p.green[1] == 70);
    CHECK(ASK(&p, 214, {3, 50}, {5, 70}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 215, {3, 50}, {5, 70}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 205, {3, 50}, {5, 70}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 210, {2, 50}, {5, 70}) == PLAN_CODE_UNKNOWN_PHASE);
    CHECK(ASK(&p, 210, {5, 70}) == PLAN_CODE_MISSING_PHASE && about == 3);
    CHECK(ASK(&p, 0, {3, 50}, {5, 70}) == PLAN_CODE_CYCLE_SUM);
    t.actuated = true; /* greens are maxima: a sum binds them with a cycle alone */
    plan_fall_back(&p);
    CHECK(p.green[0] == 80 && p.green[1] == 70);
    CHECK(ASK(&p, 210, {3, 50}, {5, 71}) == PLAN_CODE_OK && p.green[0] == 50 && p.green[1] == 71);
    CHECK(ASK(&p, 300, {3, 50}, {5, 71}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 210, {5, 70}) == PLAN_CODE_MISSING_PHASE);
    CHECK(ASK(&p, 0, {5, 66}) == PLAN_CODE_OK && p.green[0] == 50 && p.green[1] == 66);
    CHECK(ASK(&p, 0, {3, 39}) == PLAN_CODE_BELOW_MIN_GREEN && ASK(&p, 0, {3, 91}) == PLAN_CODE_ABOVE_MAX_GREEN);
    CHECK(ask(&p, 0, 0, NULL) == PLAN_CODE_CYCLE_SUM && about == 0);
    t.rows[0].ring = t.rows[1].ring = 2;
    CHECK(ASK(&p, 0, {3, 90}) == PLAN_CODE_OK && p.green[0] == 90);
    CHECK(ASK(&p, 300, {3, 50}, {5, 71}) == PLAN_CODE_CYCLE_SUM);
}

/* --- tables ------------------------------------------------------------------------------------------ */

/* Phases 2 and 4 in the first ring, 6 in the second, beside 2. */
static signal_table good(bool actuated) {
    return (signal_table){.count = 3, .actuated = actuated, .start_flash = START_FLASH_MIN, .start_red = START_RED_MIN,
        .longest_red = 800, .overlaps = {3, 0, 4, 0},
        .preempts = {{.input = 1, .track = 2, .dwell = 5}, {.input = 2, .dwell = 2}},
        .rows = {{.phase = 2, .ring = 1, .conflicts = 2, .min_green = 40, .max_green = 100, .green = 50, .max_1 = 80,
                     .walk = 40, .ped_clear = 50, .yellow = 30, .red = 10, .ped_input = 9, .options = ROW_OPTION_PED_RECALL},
            {.phase = 4, .ring = 1, .conflicts = 5, .min_green = 40, .max_green = 100, .green = 50, .max_1 = 60, .yellow = 60, .red = 0},
            {.phase = 6, .ring = 2, .conflicts = 2, .min_green = 30, .max_green = 3000, .green = 50, .max_1 = 70, .yellow = 40,
                .red = 60, .options = RECALL_SOFT | ROW_OPTION_LOCKING}}};
}

static enum plan_code judged(const signal_table *t) {
    about = 99;
    enum plan_code code = signals_check(t, &about);
    return code == PLAN_CODE_OK ? signals_legal(t, &about) : code;
}

#define REFUSED(change, code, phase) \
    do { \
        signal_table t = good(true); \
        change; \
        CHECK(judged(&t) == (code) && about == (phase)); \
    } while (0)
#define TAKEN(change) REFUSED(change, PLAN_CODE_OK, 0)

static void check_tables(void) {
    TAKEN((void)t);
    TAKEN(t.actuated = false);
    TAKEN((t.count = 0, memset(t.overlaps, 0, sizeof t.overlaps), memset(t.preempts, 0, sizeof t.preempts)));
    TAKEN((t = (signal_table){.count = 0}));
    REFUSED(t.count = SIGNAL_PHASES + 1, PLAN_CODE_TABLE_FORMAT, 0);
    REFUSED(t.rows[1].phase = 0, PLAN_CODE_TABLE_FORMAT, 0);
    REFUSED(t.rows[1].ring = 0, PLAN_CODE_TABLE_RING, 4);
    REFUSED(t.rows[1].ring = SIGNAL_RINGS + 1, PLAN_CODE_TABLE_RING, 4);
    REFUSED(t.rows[2].phase = 2, PLAN_CODE_DUPLICATE_PHASE, 2);
    REFUSED(t.rows[0].conflicts = 6, PLAN_CODE_TABLE_CONFLICTS, 2);
    REFUSED(t.rows[2].conflicts = 0, PLAN_CODE_TABLE_CONFLICTS, 4);
    REFUSED((t.rows[0].conflicts = 0, t.rows[1].conflicts = 4), PLAN_CODE_TABLE_CONFLICTS, 2);
    REFUSED(t.rows[2].conflicts = 6, PLAN_CODE_TABLE_CONFLICTS, 6);
    REFUSED(t.rows[2].conflicts = 10, PLAN_CODE_TABLE_CONFLICTS, 6);
    REFUSED((t.rows[0].min_green = 0, t.rows[0].max_1 = 80), PLAN_CODE_TABLE_TIMES, 2);
    REFUSED(t.rows[1].yellow = 0, PLAN_CODE_TABLE_TIMES, 4);
    REFUSED(t.rows[1].min_green = 51, PLAN_CODE_TABLE_TIMES, 4);
    TAKEN(t.rows[1].min_green = 50);
    REFUSED(t.rows[1].green = 101, PLAN_CODE_TABLE_TIMES, 4);
    TAKEN(t.rows[1].green = 100);
    REFUSED((t.rows[0].walk = 0, t.rows[0].options = 0, t.rows[0].ped_input = 0), PLAN_CODE_TABLE_TIMES, 2);
    REFUSED(t.rows[0].ped_clear = 0, PLAN_CODE_TABLE_TIMES, 2);
    TAKEN(t.rows[0].ped_clear = 60);
    REFUSED(t.rows[0].ped_clear = 61, PLAN_CODE_TABLE_TIMES, 2);
    REFUSED((t.rows[0].walk = 65535, t.rows[0].ped_clear = 65535), PLAN_CODE_TABLE_TIMES, 2);
    REFUSED(t.rows[1].ped_input = 3, PLAN_CODE_NO_WALK, 4);
    REFUSED(t.rows[1].options = ROW_OPTION_PED_RECALL, PLAN_CODE_NO_WALK, 4);
    REFUSED(t.rows[1].max_1 = 39, PLAN_CODE_TABLE_TIMES, 4);
    TAKEN(t.rows[1].max_1 = 40);
    REFUSED(t.rows[1].max_1 = 101, PLAN_CODE_TABLE_TIMES, 4);
    TAKEN(t.rows[1].max_1 = 100);
    REFUSED(t.rows[0].options = 32, PLAN_CODE_TABLE_FORMAT, 2);
    TAKEN(t.rows[0].options = 15);
    TAKEN(t.rows[0].options = 31);
    TAKEN(t.rows[3].ped_input = 1); /* behind the rows */
    REFUSED((t.rows[2].walk = t.rows[2].ped_clear = 40, t.rows[2].ped_input = 2), PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED(t.overlaps[0] = 8, PLAN_CODE_TABLE_OVERLAP, 0);
    /* what format 1 has not is not looked at there */
    REFUSED((t.rows[0].options = 32, t.rows[1].max_1 = 0, t.actuated = false, t.overlaps[0] = 8, t.longest_red = 0), PLAN_CODE_OK, 0);
    REFUSED(t.overlaps[1] = 8, PLAN_CODE_TABLE_OVERLAP, 0);
    REFUSED(t.overlaps[3] = 128, PLAN_CODE_TABLE_OVERLAP, 0);
    TAKEN(t.overlaps[1] = 7);
    TAKEN((t.preempts[0].input = 0, t.preempts[0].dwell = 255));
    REFUSED(t.preempts[0].dwell = 0, PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED(t.preempts[0].dwell = 8, PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED(t.preempts[1].track = 8, PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED(t.preempts[0].dwell = 3, PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED(t.preempts[1].track = 6, PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED(t.preempts[1].input = 9, PLAN_CODE_TABLE_PREEMPT, 0);
    REFUSED((t.preempts[1].input = 1), PLAN_CODE_TABLE_PREEMPT, 0);
    TAKEN(t.preempts[0].input = PREEMPT_INPUTS);
    REFUSED(t.preempts[0].input = PREEMPT_INPUTS + 1, PLAN_CODE_TABLE_PREEMPT, 0);
    /* shortest services 90 + 40, 40 + 61, 30 + 100 and the longest clearance of an overlap's parent, 100; then the
     * longer ring: 90 + 40 and 60 + 61 */
    TAKEN(t.longest_red = 712);
    REFUSED(t.longest_red = 711, PLAN_CODE_TABLE_TIMES, 0);
    TAKEN((t.rows[2].max_1 = 152, t.longest_red = 713));
    REFUSED((t.rows[2].max_1 = 152, t.longest_red = 712), PLAN_CODE_TABLE_TIMES, 0);
    /* a public road */
    REFUSED(t.start_flash = START_FLASH_MIN - 1, PLAN_CODE_TABLE_LIMITS, 0);
    REFUSED(t.start_red = START_RED_MIN - 1, PLAN_CODE_TABLE_LIMITS, 0);
    REFUSED(t.rows[1].yellow = YELLOW_MIN - 1, PLAN_CODE_TABLE_LIMITS, 4);
    REFUSED(t.rows[1].yellow = YELLOW_MAX + 1, PLAN_CODE_TABLE_LIMITS, 4);
    REFUSED(t.rows[2].red = RED_MAX + 1, PLAN_CODE_TABLE_LIMITS, 6);
    REFUSED(t.rows[2].min_green = GREEN_MIN - 1, PLAN_CODE_TABLE_LIMITS, 6);
    REFUSED(t.rows[2].max_green = GREEN_MAX + 1, PLAN_CODE_TABLE_LIMITS, 6);
    REFUSED(t.rows[0].walk = WALK_MIN - 1, PLAN_CODE_TABLE_LIMITS, 2);
    signal_table short_flash = good(true);
    short_flash.start_flash = START_FLASH_MIN - 1;
    about = 99;
    CHECK(signals_legal(&short_flash, &about) == PLAN_CODE_TABLE_LIMITS && about == 0);
    for (unsigned n = 1; n <= SIGNAL_PHASES; n++) { /* as many as there can be */
        signal_table t = {.count = (uint8_t)n, .start_flash = START_FLASH_MIN, .start_red = START_RED_MIN};
        for (unsigned i = 0; i < n; i++)
            t.rows[i] = (signal_row){.phase = (uint8_t)(i + 1), .ring = 1, .conflicts = (uint8_t)(((1u << n) - 1u) & ~(1u << i)),
                .min_green = 40, .max_green = 40, .green = 40, .yellow = 30};
        CHECK(judged(&t) == PLAN_CODE_OK);
        t.rows[n - 1].conflicts ^= 0x80;
        CHECK(judged(&t) == PLAN_CODE_TABLE_CONFLICTS && about == n);
    }
}

/* Bytes as they come over the line. */
static size_t encoded(const signal_table *t, const detector_limits *d, uint8_t *b) {
    size_t n = 0;
#define U8(x) b[n++] = (uint8_t)(x)
#define U16(x) (U8(x), U8((x) >> 8))
    U8(t->actuated ? ACTUATED_FORMAT : SETTINGS_FORMAT), U8(t->count), U16(t->start_flash), U16(t->start_red);
    U8(d->count), U8(d->debounce_ms), U8(d->chatter), U8(d->analog_delta), U16(d->stuck_s), U16(d->no_hit_s);
    if (t->actuated) {
        U16(t->longest_red), U8(d->dead_cycles);
        for (unsigned o = 0; o < SIGNAL_OVERLAPS; o++) U8(t->overlaps[o]);
        for (unsigned k = 0; k < SIGNAL_PREEMPTS; k++) {
            const signal_preempt *p = &t->preempts[k];
            U8(p->input), U8(p->track), U8(p->track_s), U8(p->dwell), U8(p->dwell_s);
        }
    }
    for (unsigned i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        U8(r->phase), U8(r->ring), U8(r->conflicts), U8(r->ped_input), U16(r->min_green), U16(r->max_green), U16(r->green);
        U16(r->walk), U16(r->ped_clear), U8(r->yellow), U8(r->red);
        if (t->actuated) U16(r->max_1), U8(r->passage), U8(r->delay), U8(r->options);
    }
    if (t->actuated)
        for (unsigned i = 0; i < d->count && i < CALLERS; i++) U8(d->rows[i]);
    return n;
}

static const detector_limits CALLING = {.count = 3, .debounce_ms = 21, .chatter = 39, .analog_delta = 17, .stuck_s = 0x1234,
    .no_hit_s = 0x2345, .dead_cycles = 5, .rows = {1, 6, 0}};

static enum plan_code decoded(settings *s, const signal_table *t, const detector_limits *d, int more) {
    uint8_t bytes[1024];
    memset(s, 0x55, sizeof *s);
    about = 99;
    return settings_decode(s, bytes, (size_t)((int)encoded(t, d, bytes) + more), &about);
}

static bool rows_equal(const signal_row *a, const signal_row *b, bool actuated) {
    bool same = a->phase == b->phase && a->ring == b->ring && a->conflicts == b->conflicts && a->ped_input == b->ped_input &&
        a->min_green == b->min_green && a->max_green == b->max_green && a->green == b->green && a->walk == b->walk &&
        a->ped_clear == b->ped_clear && a->yellow == b->yellow && a->red == b->red;
    if (!actuated) return same && a->max_1 == 0 && a->passage == 0 && a->delay == 0 && a->options == 0;
    return same && a->max_1 == b->max_1 && a->passage == b->passage && a->delay == b->delay && a->options == b->options;
}

static void decoding(void) {
    settings s;
    detector_limits d = CALLING;
    for (int actuated = 0; actuated < 2; actuated++) {
        signal_table t = good(actuated);
        t.start_flash = 0x0102, t.start_red = 0x0203, t.longest_red = 0x0304;
        t.rows[2].passage = 33, t.rows[2].delay = 44;
        t.rows[2].max_green = 0x0305, t.rows[2].green = 0x0206, t.rows[2].min_green = 0x0107, t.rows[2].max_1 = 0x0208;
        t.rows[2].walk = 0x0109, t.rows[2].ped_clear = 0x010A;
        t.preempts[0].track_s = 11, t.preempts[0].dwell_s = 22, t.preempts[1].track_s = 33, t.preempts[1].dwell_s = 44;
        t.longest_red = 3000;
        CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK && about == 0);
        CHECK(s.signals.count == 3 && s.signals.actuated == actuated);
        CHECK(s.signals.start_flash == 0x0102 && s.signals.start_red == 0x0203);
        for (unsigned i = 0; i < 3; i++) CHECK(rows_equal(&s.signals.rows[i], &t.rows[i], actuated));
        CHECK(s.detectors.count == 3 && s.detectors.debounce_ms == 21 && s.detectors.chatter == 39);
        CHECK(s.detectors.analog_delta == 17 && s.detectors.stuck_s == 0x1234 && s.detectors.no_hit_s == 0x2345);
        CHECK(s.signals.longest_red == (actuated ? 3000 : 0) && s.detectors.dead_cycles == (actuated ? 5 : 0));
        for (unsigned o = 0; o < SIGNAL_OVERLAPS; o++) CHECK(s.signals.overlaps[o] == (actuated ? t.overlaps[o] : 0));
        for (unsigned k = 0; actuated && k < SIGNAL_PREEMPTS; k++)
            CHECK(memcmp(&s.signals.preempts[k], &t.preempts[k], sizeof t.preempts[k]) == 0);
        CHECK(s.detectors.rows[0] == actuated && s.detectors.rows[1] == 6 * actuated && s.detectors.rows[2] == 0);
        /* the longer ring's fixed-time cycle: 50 + 40 and 50 + 60, or 0x206 + 100 */
        CHECK(s.detectors.cycle_ms == (actuated ? (0x206u + 100u) * 100u : 0u));
        t.rows[2].green = t.rows[2].min_green;
        CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK && s.detectors.cycle_ms == (actuated ? (0x107u + 100u) * 100u : 0u));
        t = good(actuated);
        t.longest_red = 3000;
        CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK && s.detectors.cycle_ms == (actuated ? 20000u : 0u));
        CHECK(decoded(&s, &t, &d, -1) == PLAN_CODE_TABLE_FORMAT && about == 0);
        CHECK(decoded(&s, &t, &d, 1) == PLAN_CODE_TABLE_FORMAT);
        t.rows[1].yellow = YELLOW_MAX + 1;
        CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_LIMITS && about == 4);
        t.rows[1].ring = 3;
        CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_RING && about == 4);
    }
    signal_table t = good(true);
    t.longest_red = 3000;
    /* a row that nobody can call; a detector that calls a row that is not there */
    d.rows[1] = 4;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_DETECTORS && about == 4);
    t.rows[1].options = RECALL_MINIMUM;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK);
    t.rows[1].options = RECALL_MAXIMUM;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK);
    t.rows[1].options = RECALL_SOFT;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK);
    t.rows[1].options = ROW_OPTION_LOCKING;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_DETECTORS);
    t.rows[1].walk = t.rows[1].ped_clear = 40;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_DETECTORS);
    t.rows[1].ped_input = 7;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK);
    t.rows[1].ped_input = 0, t.rows[1].options = ROW_OPTION_PED_RECALL;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK);
    d.rows[2] = 8;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_DETECTORS && about == 0);
    d = CALLING;
    d.debounce_ms = 255, d.rows[0] = 0;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK);
    t.rows[0].options = t.rows[0].ped_input = 0; /* nobody calls the first row */
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_TABLE_DETECTORS && about == 2);
    d = CALLING;
    t.preempts[1].input |= 128; /* a contact that opens */
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK && s.signals.preempts[1].opens && s.signals.preempts[1].input == 2);
    CHECK(!s.signals.preempts[0].opens && s.signals.preempts[0].input == 1);
    signal_table eight = {.count = 8, .start_flash = START_FLASH_MIN, .start_red = START_RED_MIN};
    for (unsigned i = 0; i < 8; i++)
        eight.rows[i] = (signal_row){.phase = (uint8_t)(i + 1), .ring = 1, .conflicts = (uint8_t)~(1u << i), .min_green = 40,
            .max_green = 40, .green = 40, .yellow = 30};
    CHECK(decoded(&s, &eight, &d, 0) == PLAN_CODE_OK && s.signals.rows[7].phase == 8);
    d.count = CALLERS;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK && s.detectors.count == CALLERS);
    d.count = CALLERS + 1;
    CHECK(decoded(&s, &t, &d, 1) == PLAN_CODE_TABLE_DETECTORS);
    t.actuated = false;
    d.count = 255;
    CHECK(decoded(&s, &t, &d, 0) == PLAN_CODE_OK && s.detectors.count == 255);
    /* heads alone */
    uint8_t bytes[1024] = {SETTINGS_FORMAT};
    CHECK(settings_decode(&s, bytes, SETTINGS_HEAD, &about) == PLAN_CODE_OK && s.signals.count == 0);
    CHECK(settings_decode(&s, bytes, SETTINGS_HEAD - 1, &about) == PLAN_CODE_TABLE_FORMAT);
    bytes[0] = 0;
    CHECK(settings_decode(&s, bytes, SETTINGS_HEAD, &about) == PLAN_CODE_TABLE_FORMAT);
    bytes[0] = 3;
    CHECK(settings_decode(&s, bytes, SETTINGS_HEAD, &about) == PLAN_CODE_TABLE_FORMAT);
    bytes[0] = ACTUATED_FORMAT;
    CHECK(settings_decode(&s, bytes, SETTINGS_HEAD, &about) == PLAN_CODE_TABLE_FORMAT);
    CHECK(settings_decode(&s, bytes, ACTUATED_HEAD, &about) == PLAN_CODE_OK);
    bytes[0] = SETTINGS_FORMAT, bytes[1] = SIGNAL_PHASES + 1;
    CHECK(settings_decode(&s, bytes, SETTINGS_HEAD + (SIGNAL_PHASES + 1) * SETTINGS_ROW, &about) == PLAN_CODE_TABLE_FORMAT);
}

/* --- detectors ------------------------------------------------------------------------------------- */

/* Feeds edges such as "100+1 103-1" (ms, up or down, channel) and compares what comes of them: an edge in the same
 * words, a fault as "6000!1:1" (ms, channel, faults), an unwatched edge with '~' before it. */
static void detect(int line, uint32_t start, detector_limits limits, const char *edges, uint32_t end,
    const char *expected) {
    static detectors d;
    char out[4096] = "";
    size_t n = 0;
    edge e;
    detectors_start(&d, &limits, start);
    for (bool more = true; more;) {
        unsigned long ms = end;
        unsigned channel = 0;
        char sign = 0;
        int used = 0;
        more = sscanf(edges, " %lu%c%u%n", &ms, &sign, &channel, &used) == 3;
        edges += used;
        for (int pass = 0; pass < 2; pass++) {
            while (detectors_next(&d, start + (uint32_t)ms, &e) && n < 4000) {
                bool fault = e.kind == EVENT_KIND_DETECTOR_FAULT;
                n += (size_t)snprintf(out + n, sizeof out - n, "%s%" PRIu32 "%c%u", n ? " " : "", e.ms - start,
                    fault ? '!' : e.value ? '+' : '-', e.channel);
                if (fault) n += (size_t)snprintf(out + n, sizeof out - n, ":%u", e.value);
            }
            if (!more) break;
            e = (edge){.ms = start + (uint32_t)ms, .kind = EVENT_KIND_DETECTOR, .channel = (uint8_t)channel,
                .value = sign == '+' ? 5 : 0};
            if (pass == 0 && !detectors_take(&d, &e)) n += (size_t)snprintf(out + n, sizeof out - n, "%s~%lu", n ? " " : "", ms);
        }
    }
    bool same = strcmp(out, expected) == 0;
    check(same, same ? "" : out, line);
}
#define DETECT(...) detect(__LINE__, 0, __VA_ARGS__); detect(__LINE__, 0xFFFFF000u, __VA_ARGS__); detect(__LINE__, 123456789u, __VA_ARGS__)
#define LIMITS(...) (detector_limits){__VA_ARGS__}

static void detecting(void) {
    DETECT(LIMITS(.count = 2), "100+1 103-1 200+2", 300, "100+1 103-1 200+2");
    DETECT(LIMITS(.count = 2), "100+3 103+0", 300, "~100 ~103"); /* nobody watches these */
    DETECT(LIMITS(.count = 2, .debounce_ms = 20), "100+1 103-1 105+1 500-1 504+1 507-1", 1000, "125+1 527-1");
    DETECT(LIMITS(.count = 2, .debounce_ms = 20), "100+2 119-2", 1000, "");
    DETECT(LIMITS(.count = 2, .debounce_ms = 20), "100+2 120-2", 1000, "120+2 140-2");
    DETECT(LIMITS(.count = 1, .debounce_ms = 20), "100+1 110+1", 1000, "120+1"); /* the same level again */
    DETECT(LIMITS(.count = 2, .debounce_ms = 20), "100+2 101+1", 119, "");
    DETECT(LIMITS(.count = 2, .debounce_ms = 20), "100+2 101+1", 120, "120+2");
    DETECT(LIMITS(.count = 2, .debounce_ms = 20), "100+2 101+1", 121, "120+2 121+1");
    /* stuck */
    DETECT(LIMITS(.count = 1, .stuck_s = 5), "1000+1 5999-1", 20000, "1000+1 5999-1");
    DETECT(LIMITS(.count = 1, .stuck_s = 5), "1000+1", 5999, "1000+1");
    DETECT(LIMITS(.count = 1, .stuck_s = 5), "1000+1 9000-1", 30000, "1000+1 6000!1:1 9000-1 9000!1:0");
    DETECT(LIMITS(.count = 1, .stuck_s = 5), "1000+1 9000-1 10000+1", 30000,
        "1000+1 6000!1:1 9000-1 9000!1:0 10000+1 15000!1:1");
    DETECT(LIMITS(.count = 1, .debounce_ms = 100, .stuck_s = 5), "1000+1 6050-1", 6120, "1100+1 6100!1:1");
    /* no hit */
    DETECT(LIMITS(.count = 1, .no_hit_s = 10), "25000+1", 30000, "10000!1:2 25000+1 25000!1:0");
    DETECT(LIMITS(.count = 1, .no_hit_s = 10), "9999+1", 19998, "9999+1");
    DETECT(LIMITS(.count = 1, .no_hit_s = 10), "9999+1 12000-1", 40000, "9999+1 12000-1 19999!1:2");
    DETECT(LIMITS(.count = 1, .no_hit_s = 10), "", 9999, "");
    DETECT(LIMITS(.count = 2, .no_hit_s = 10), "", 50000, "10000!1:2 10000!2:2");
    DETECT(LIMITS(.count = 1, .no_hit_s = 10, .stuck_s = 4), "100+1", 20000, "100+1 4100!1:1 10100!1:3");
    /* chatter: more than three rising edges in 30 s; well again after a window with no more than three */
    DETECT(LIMITS(.count = 1, .chatter = 3), "1+1 2-1 3+1 4-1 5+1 6-1 7+1 8-1", 70000,
        "1+1 2-1 3+1 4-1 5+1 6-1 7+1 7!1:4 8-1 60001!1:0");
    DETECT(LIMITS(.count = 1, .chatter = 3), "1+1 2-1 3+1 4-1 5+1 6-1", 90000, "1+1 2-1 3+1 4-1 5+1 6-1");
    DETECT(LIMITS(.count = 1, .chatter = 1), "1+1 2-1 30000+1 30002-1", 99000, "1+1 2-1 30000+1 30000!1:4 30002-1 60001!1:0");
    DETECT(LIMITS(.count = 1, .chatter = 1), "1+1 2-1 30002+1 30003-1", 99000, "1+1 2-1 30002+1 30003-1");
    DETECT(LIMITS(.count = 1, .chatter = 1), "1+1 2-1 3+1 4-1 30005+1 30006-1 30007+1 30008-1 60100+1 60101-1", 130000,
        "1+1 2-1 3+1 3!1:4 4-1 30005+1 30006-1 30007+1 30008-1 60100+1 60101-1 90001!1:0");
    DETECT(LIMITS(.count = 1, .chatter = 0), "1+1 2-1 3+1 4-1 5+1 6-1", 90000, "1+1 2-1 3+1 4-1 5+1 6-1");
    /* the clock is read late: everything still comes at its own time, in order, of every channel */
    DETECT(LIMITS(.count = 3, .debounce_ms = 30, .stuck_s = 1, .no_hit_s = 3), "10+3 20+1", 5000,
        "40+3 50+1 1040!3:1 1050!1:1 3000!2:2 3040!3:3 3050!1:3");
    /* 255 rises are counted, then no more: a count that began again would forgive */
    {
        static detectors d;
        edge e;
        unsigned rises = 0;
        detectors_start(&d, &LIMITS(.count = 1, .chatter = 254), 0);
        for (uint32_t i = 0; i < 600; i++) {
            e = (edge){.ms = 10 + i * 2, .kind = EVENT_KIND_DETECTOR, .channel = 1, .value = (uint16_t)(1 - i % 2)};
            while (detectors_next(&d, 10 + i * 2, &e)) continue;
            e = (edge){.ms = 10 + i * 2, .kind = EVENT_KIND_DETECTOR, .channel = 1, .value = (uint16_t)(1 - i % 2)};
            CHECK(detectors_take(&d, &e));
            while (detectors_next(&d, 10 + i * 2, &e)) rises += e.kind == EVENT_KIND_DETECTOR && e.value;
        }
        CHECK(rises == 300 && d.each[0].rises == 255 && d.each[0].faults == DETECTOR_FAULT_CHATTER);
        while (detectors_next(&d, 59000, &e)) continue;
        CHECK(d.each[0].faults == DETECTOR_FAULT_CHATTER);
    }
    /* two edges before anybody asked: what was due between them comes at the second's time, both ways round */
    for (uint32_t start = 0; start < 2; start++) {
        static detectors d;
        edge e;
        uint32_t ms = start ? 0xFFFFFF80u : 0;
        detectors_start(&d, &LIMITS(.count = 2, .debounce_ms = 20), ms);
        CHECK(detectors_take(&d, &(edge){.ms = ms + 100, .kind = EVENT_KIND_DETECTOR, .channel = 1, .value = 1}));
        CHECK(detectors_take(&d, &(edge){.ms = ms + 500, .kind = EVENT_KIND_DETECTOR, .channel = 2, .value = 1}));
        CHECK(detectors_next(&d, ms + 600, &e) && e.channel == 1 && e.ms == ms + 500);
        CHECK(detectors_next(&d, ms + 600, &e) && e.channel == 2 && e.ms == ms + 520);
        CHECK(!detectors_next(&d, ms + 600, &e));
    }
    /* a table may name more channels than this board has memory for */
    {
        static detectors d;
        detectors_start(&d, &LIMITS(.count = DETECTORS + 1), 0);
        CHECK(d.limits.count == DETECTORS);
        detectors_start(&d, &LIMITS(.count = DETECTORS), 0);
        CHECK(d.limits.count == DETECTORS);
    }
    {
        static detectors d;
        detectors_start(&d, &LIMITS(.count = 4), 0);
        CHECK(!detectors_take(&d, &(edge){.kind = EVENT_KIND_INPUT, .channel = 1, .value = 1}));
        CHECK(!detectors_take(&d, &(edge){.kind = EVENT_KIND_DETECTOR, .channel = 0, .value = 1}));
        CHECK(!detectors_take(&d, &(edge){.kind = EVENT_KIND_DETECTOR, .channel = 5, .value = 1}));
        CHECK(detectors_take(&d, &(edge){.kind = EVENT_KIND_DETECTOR, .channel = 4, .value = 1}));
    }
}

/* --- who is missed, and which rows the detectors speak of ----------------------------------------------- */

static detectors watched;

/* So many vehicles at a channel, one every 100 ms from ms on; returns when the last has left. */
static uint32_t flow(uint8_t channel, unsigned vehicles, uint32_t ms) {
    edge e;
    for (unsigned i = 0; i < 2 * vehicles; i++, ms += 50) {
        while (detectors_next(&watched, ms, &e)) continue;
        (void)detectors_take(&watched, &(edge){.ms = ms, .kind = EVENT_KIND_DETECTOR, .channel = channel, .value = (uint16_t)(1 - i % 2)});
        while (detectors_next(&watched, ms, &e)) continue;
    }
    return ms;
}

#define DEAD(channel) (watched.each[(channel) - 1].faults == DETECTOR_FAULT_DEAD)

static void missing(void) {
    const detector_limits limits = {.count = 4, .dead_cycles = 2, .cycle_ms = 5000, .rows = {1, 2, 0, 4}};
    detectors_start(&watched, &limits, 0);
    uint32_t ms = 1000;
    /* three cycles with ten vehicles each at channel 1: the third is the first in which the others are missed for two whole ones */
    for (unsigned cycle = 1; cycle <= 4; cycle++) {
        CHECK(DEAD(2) == (cycle > 2) && DEAD(4) == (cycle > 2));
        CHECK(watched.each[0].faults == 0 && watched.each[2].faults == 0); /* one flows; the other calls nobody */
        (void)flow(1, 10, ms);
        ms += 5000;
        (void)flow(1, 1, ms); /* a vehicle of the next cycle ends this one */
    }
    (void)flow(2, 1, ms + 600); /* well again with its first edge */
    CHECK(watched.each[1].faults == 0 && DEAD(4));
    /* an edge begins the count anew, and one in every cycle is enough */
    detectors_start(&watched, &limits, 0);
    (void)flow(2, 1, 500);
    ms = 1000;
    for (unsigned cycle = 1; cycle <= 4; cycle++, ms += 5000) {
        CHECK(DEAD(2) == (cycle > 3) && DEAD(4) == (cycle > 2));
        (void)flow(1, 10, ms);
        (void)flow(1, 1, ms + 5000);
    }
    detectors_start(&watched, &limits, 0);
    for (ms = 1000; ms < 60000; ms += 6000) {
        (void)flow(2, 1, ms);
        (void)flow(1, 11, ms + 200);
        CHECK(watched.each[1].faults == 0);
    }
    CHECK(DEAD(4));
    /* in a quiet hour nobody is missed: nine vehicles are too few, however long it takes */
    detectors_start(&watched, &limits, 0);
    for (unsigned hour = 0; hour < 9; hour++) (void)flow(1, 1, 3600000u * hour + 1000);
    CHECK(watched.each[1].faults == 0 && watched.flow == 9);
    /* nor before the cycle is over, however many come */
    detectors_start(&watched, &limits, 0);
    (void)flow(1, 49, 99); /* the last rise at 4899 ms */
    CHECK(watched.cycle_ms == 0 && watched.each[1].quiet == 1 && watched.flow == FLOW_RISES);
    (void)flow(1, 1, 4940);
    CHECK(watched.each[1].quiet == 1);
    (void)flow(1, 1, 5100);
    CHECK(watched.each[1].quiet == 2 && watched.each[0].quiet <= 1 && watched.cycle_ms >= 5000 && watched.flow <= 1);
    detectors_start(&watched, &limits, 0);
    (void)flow(1, 10, 3990); /* its last rise at 4890, its fall at 4940 */
    (void)flow(1, 1, 4950);  /* fall exactly at 5000 */
    CHECK(watched.each[1].quiet == 2 && watched.cycle_ms == 5000);
    /* a vehicle that stands there is no dead cable */
    detectors_start(&watched, &limits, 0);
    edge e;
    (void)detectors_take(&watched, &(edge){.ms = 1, .kind = EVENT_KIND_DETECTOR, .channel = 2, .value = 1});
    while (detectors_next(&watched, 1, &e)) continue;
    for (unsigned cycle = 0; cycle < 6; cycle++) (void)flow(1, 11, 1000 + 6000 * cycle);
    CHECK(watched.each[1].faults == 0 && DEAD(4));
    /* switched off */
    detector_limits off = limits;
    off.dead_cycles = 0;
    detectors_start(&watched, &off, 0);
    for (unsigned cycle = 0; cycle < 6; cycle++) (void)flow(1, 11, 1000 + 6000 * cycle);
    CHECK(watched.each[1].faults == 0 && watched.each[1].quiet == 1);
    /* quiet cycles stop being counted: 256 of them are not none */
    off.dead_cycles = 255;
    detectors_start(&watched, &off, 0);
    for (unsigned cycle = 0; cycle < 253; cycle++) (void)flow(1, 11, 1000 + 6000 * cycle);
    CHECK(watched.each[1].faults == 0);
    /* another table: nothing is carried over */
    (void)flow(1, 3, 6000000);
    detectors_start(&watched, &limits, 7000000);
    CHECK(watched.flow == 0 && watched.cycle_ms == 7000000 && watched.each[1].quiet == 1);
}

static void speaking(void) {
    uint8_t present, faulty;
    edge e;
    detector_limits limits = {.count = 4, .stuck_s = 2, .rows = {1, 6, 0, 8}};
    detectors_start(&watched, &limits, 0);
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 0 && faulty == 0);
    (void)flow(2, 1, 100); /* came and went since the last time */
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 6 && faulty == 0);
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 0);
    (void)detectors_take(&watched, &(edge){.ms = 300, .kind = EVENT_KIND_DETECTOR, .channel = 4, .value = 1});
    while (detectors_next(&watched, 300, &e)) continue;
    for (int i = 0; i < 3; i++) detectors_rows(&watched, &present, &faulty);
    CHECK(present == 8 && faulty == 0); /* it stands there */
    (void)detectors_take(&watched, &(edge){.ms = 400, .kind = EVENT_KIND_DETECTOR, .channel = 1, .value = 1});
    while (detectors_next(&watched, 2300, &e)) continue;
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 9 && faulty == 8);
    while (detectors_next(&watched, 2400, &e)) continue;
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 9 && faulty == 9);
    (void)detectors_take(&watched, &(edge){.ms = 2500, .kind = EVENT_KIND_DETECTOR, .channel = 4, .value = 0});
    while (detectors_next(&watched, 2500, &e)) continue;
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 9 && faulty == 1); /* until just now */
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 1 && faulty == 1);
    /* channels beyond those that can call are watched all the same */
    limits.count = CALLERS + 1;
    limits.rows[CALLERS - 1] = 16;
    detectors_start(&watched, &limits, 0);
    (void)flow(CALLERS + 1, 1, 100);
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 0);
    (void)flow(CALLERS, 1, 300);
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 16);
    watched.each[CALLERS].level = watched.each[CALLERS].faults = 1;
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 0 && faulty == 0);
    watched.each[CALLERS - 1].level = watched.each[CALLERS - 1].faults = 1;
    detectors_rows(&watched, &present, &faulty);
    CHECK(present == 16 && faulty == 16);
}

/* --- two copies in non-volatile memory -------------------------------------------------------------- */

static uint8_t memory[512];
static uint16_t first_bad = 0xFFFF; /* a byte that does not take what is written */
static bool busy, flushes = true;

uint8_t hal_nv_read(uint16_t at) { return at < sizeof memory ? memory[at] : 0; }
bool hal_nv_ready(void) { return !busy; }
void hal_nv_write(uint16_t at, uint8_t byte) { memory[at] = at == first_bad ? (uint8_t)~byte : byte; }
bool hal_nv_flush(void) { return flushes; }

static enum store_state keep(store *s, size_t n, uint8_t fill) {
    enum store_state state = STORE_WRITING;
    for (size_t i = 0; i < n; i++) s->bytes[SLOT_HEAD + i] = (uint8_t)(fill + i);
    store_begin(s, n);
    unsigned steps = 0;
    while ((state = store_step(s)) == STORE_WRITING && steps < 4 * SLOT_BYTES) steps++;
    CHECK(steps == SLOT_HEAD + n + CRC_BYTES);
    return state;
}

static bool kept(size_t n, uint8_t fill) {
    store s;
    const uint8_t *bytes;
    if (store_load(&s, &bytes) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != (uint8_t)(fill + i)) return false;
    return true;
}

static void storing(void) {
    store s;
    const uint8_t *bytes;
    memset(memory, 0xFF, sizeof memory);
    CHECK(store_load(&s, &bytes) == 0 && s.slot == 0 && s.generation == 0 && s.state == STORE_IDLE);
    CHECK(bytes == s.bytes + SLOT_HEAD);
    CHECK(store_step(&s) == STORE_IDLE);
    CHECK(keep(&s, SETTINGS_HEAD, 1) == STORE_DONE && kept(SETTINGS_HEAD, 1));
    CHECK(s.slot == 1 && s.generation == 1);
    CHECK(memory[SLOT_PLACE] == 0xFF && memory[0] == 1 && memory[4] == SETTINGS_HEAD);
    CHECK(keep(&s, SETTINGS_MAX, 2) == STORE_DONE && kept(SETTINGS_MAX, 2)); /* the largest */
    CHECK(s.slot == 0 && s.generation == 2);
    CHECK(keep(&s, SETTINGS_HEAD + 1, 3) == STORE_DONE && kept(SETTINGS_HEAD + 1, 3));
    CHECK(store_load(&s, &bytes) == SETTINGS_HEAD + 1 && s.slot == 1 && s.generation == 3);
    /* the newer copy is damaged: the one before */
    memory[SLOT_HEAD + 3] ^= 1;
    CHECK(kept(SETTINGS_MAX, 2));
    CHECK(store_load(&s, &bytes) == SETTINGS_MAX && s.slot == 0 && s.generation == 2);
    memory[SLOT_HEAD + 3] ^= 1;
    memory[SLOT_PLACE + SLOT_HEAD + 3] ^= 1; /* and the other way round */
    CHECK(kept(SETTINGS_HEAD + 1, 3));
    CHECK(store_load(&s, &bytes) == SETTINGS_HEAD + 1 && s.slot == 1 && s.generation == 3);
    memory[SLOT_HEAD + 3] ^= 1; /* both */
    CHECK(store_load(&s, &bytes) == 0 && s.slot == 0 && s.generation == 0);
    /* sizes that no table has */
    memset(memory, 0xFF, sizeof memory);
    (void)store_load(&s, &bytes);
    CHECK(keep(&s, SETTINGS_HEAD - 1, 4) == STORE_DONE && !kept(SETTINGS_HEAD - 1, 4));
    /* generations begin again behind 2^32 - 1 */
    memset(memory, 0xFF, sizeof memory);
    (void)store_load(&s, &bytes);
    s.generation = 0xFFFFFFFEu;
    CHECK(keep(&s, SETTINGS_HEAD, 5) == STORE_DONE && keep(&s, SETTINGS_HEAD, 6) == STORE_DONE);
    CHECK(s.generation == 0 && kept(SETTINGS_HEAD, 6));
    CHECK(keep(&s, SETTINGS_HEAD, 7) == STORE_DONE && kept(SETTINGS_HEAD, 7));
    CHECK(keep(&s, SETTINGS_HEAD, 8) == STORE_DONE && kept(SETTINGS_HEAD, 8));
    /* every byte of the head and of the CRC counts */
    CHECK(memory[SLOT_PLACE] == 2 && memory[SLOT_PLACE + 3] == 0);
    for (uint16_t at = 0; at < SLOT_HEAD + SETTINGS_HEAD + CRC_BYTES; at++) {
        memory[SLOT_PLACE + at] ^= 0x80;
        CHECK(kept(SETTINGS_HEAD, 7));
        memory[SLOT_PLACE + at] ^= 0x80;
    }
    /* a memory that wears out, or does not answer */
    (void)store_load(&s, &bytes);
    uint16_t start = (uint16_t)(s.slot * SLOT_PLACE), end = (uint16_t)(start + SLOT_HEAD + SETTINGS_HEAD + CRC_BYTES);
    for (first_bad = start; first_bad < end; first_bad++) {
        CHECK(keep(&s, SETTINGS_HEAD, 9) == STORE_BROKEN && kept(SETTINGS_HEAD, 8));
        CHECK(store_step(&s) == STORE_BROKEN && s.slot * SLOT_PLACE == start && s.generation == 2);
    }
    first_bad = 0xFFFF;
    flushes = false;
    CHECK(keep(&s, SETTINGS_HEAD, 9) == STORE_BROKEN);
    flushes = true;
    store_begin(&s, SETTINGS_HEAD);
    busy = true;
    CHECK(store_step(&s) == STORE_WRITING && s.at == 0);
    busy = false;
    CHECK(store_step(&s) == STORE_WRITING && s.at == 1);
}

/* A whole copy where firmware 2.0 had its second one. */
static void put_old(uint32_t generation, size_t n, uint8_t fill) {
    uint8_t copy[SLOT_BYTES] = {(uint8_t)generation, (uint8_t)(generation >> 8), (uint8_t)(generation >> 16),
        (uint8_t)(generation >> 24), (uint8_t)n, (uint8_t)(n >> 8)};
    for (size_t i = 0; i < n; i++) copy[SLOT_HEAD + i] = (uint8_t)(fill + i);
    uint32_t crc = crc32_of(copy, SLOT_HEAD + n);
    for (unsigned i = 0; i < CRC_BYTES; i++) copy[SLOT_HEAD + n + i] = (uint8_t)(crc >> (8 * i));
    memcpy(memory + OLD_PLACE, copy, SLOT_HEAD + n + CRC_BYTES);
}

#define OLD_MOST (SETTINGS_HEAD + SIGNAL_PHASES * SETTINGS_ROW) /* the largest table of firmware 2.0 */

static void old_place(void) {
    store s;
    const uint8_t *bytes;
    /* alone, of any size that 2.0 knew; written into the first place, whole at every moment */
    for (size_t n = SETTINGS_HEAD; n <= OLD_MOST; n += SETTINGS_ROW)
        for (size_t cut = 0; cut <= SLOT_HEAD + n + CRC_BYTES + 1; cut++) {
            memset(memory, 0xFF, sizeof memory);
            put_old(7, n, 40);
            CHECK(store_load(&s, &bytes) == n && bytes == s.bytes + SLOT_HEAD && bytes[0] == 40 && bytes[n - 1] == (uint8_t)(39 + n));
            CHECK(s.state == STORE_WRITING && s.slot == 0 && s.generation == 7);
            for (size_t i = 0; i < cut; i++) CHECK(store_step(&s) == (i < SLOT_HEAD + n + CRC_BYTES ? STORE_WRITING : STORE_DONE));
            CHECK(kept(n, 40));
        }
    CHECK(store_load(&s, &bytes) == OLD_MOST && s.state == STORE_IDLE && s.slot == 1 && s.generation == 8);
    /* sizes that it did not know, a copy that is not whole */
    memset(memory, 0xFF, sizeof memory);
    put_old(7, OLD_MOST + 1, 40);
    CHECK(store_load(&s, &bytes) == 0 && s.state == STORE_IDLE && s.slot == 0 && s.generation == 0);
    put_old(7, SETTINGS_HEAD, 40);
    memory[OLD_PLACE + SLOT_HEAD] ^= 1;
    CHECK(store_load(&s, &bytes) == 0 && s.state == STORE_IDLE);
    /* beside the first copy the newer one counts, over the end of the generations too */
    static const struct { uint32_t first, old; bool old_counts; } ages[] = {{5, 6, true}, {6, 5, false}, {0xFFFFFFFF, 0, true},
        {0, 0xFFFFFFFF, false}, {5, 0x80000004, true}, {5, 0x80000005, false}};
    for (unsigned i = 0; i < sizeof ages / sizeof *ages; i++) {
        memset(memory, 0xFF, sizeof memory);
        (void)store_load(&s, &bytes);
        s.generation = ages[i].first - 1u;
        CHECK(keep(&s, SETTINGS_HEAD, 10) == STORE_DONE && s.generation == ages[i].first);
        put_old(ages[i].old, SETTINGS_HEAD + SETTINGS_ROW, 60);
        bool old = store_load(&s, &bytes) == SETTINGS_HEAD + SETTINGS_ROW && bytes[0] == 60;
        CHECK(old == ages[i].old_counts);
        CHECK(s.state == (old ? STORE_WRITING : STORE_IDLE) && s.slot == !old);
        CHECK(s.generation == (old ? ages[i].old : ages[i].first) && (old || kept(SETTINGS_HEAD, 10)));
    }
    /* a second copy in the place of today was written later */
    memset(memory, 0xFF, sizeof memory);
    (void)store_load(&s, &bytes);
    CHECK(keep(&s, SETTINGS_HEAD, 10) == STORE_DONE && keep(&s, SETTINGS_HEAD, 20) == STORE_DONE);
    put_old(9, SETTINGS_HEAD, 60);
    CHECK(kept(SETTINGS_HEAD, 20));
}

int main(void) {
    own_limits();
    no_limits();
    tables_limits();
    check_tables();
    decoding();
    detecting();
    missing();
    speaking();
    storing();
    old_place();
    printf("%u cases, %u failed\n", cases, failures);
    return failures != 0;
}
