/* What the signals shall show, tick by tick, for a script of vehicles, buttons, requests and trains.
 *
 *   signal_cases           exits with 1 and shows every case that came out otherwise
 *
 * A script is words, one after another:
 *   5.          so many ticks         v3 f1 i2    vehicles at rows, faults of rows, preemption inputs from now on (hex)
 *   C2 H2 F2 O2 R2 P2                 call, hold, force-off, omit, release, pedestrian call of phase 2, granted
 *   C2!13       refused with code 13  L           the host falls silent
 *   g0 g9 gN    greens in force: none, endless, N0 ticks of every row
 *   T           the other table       ?c6         rows that are called (hex)   ?p12  states of the two preempts
 *   ?m3         the mode              ?w1=16      for how long somebody waits at row 1 (from 0 on)
 * What is expected is one letter a tick and row, row by row: r red, G green, W walk, c pedestrian clearance, Y yellow, and
 * the first yellow as its reason: g gap-out, m max-out, f force-off, x fixed. Then the overlaps in the same letters,
 * without reasons. The first tick is the one in which the start-up red ends.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signals.h"

#define LONGEST 400

static unsigned failures, cases;

static void fail(int line, const char *what, const char *detail) {
    failures++;
    printf("signal_case_list.h:%d: %s %s\n", line, what, detail);
}

typedef struct {
    signals core;
    const signal_table *table, *other;
    uint8_t vehicles, faults, inputs;
    unsigned ticks;
    bool inconsistent;
    char rows[SIGNAL_PHASES][LONGEST], overlaps[SIGNAL_OVERLAPS][LONGEST];
} stage;

/* What signals.h says of the numbers that the heads do not show. */
static bool consistent(const signals *s) {
    for (unsigned i = 0; i < SIGNAL_RINGS; i++) {
        const signal_ring *r = &s->rings[i];
        const signal_row *row = &s->table.rows[r->row == NO_ROW ? 0 : r->row];
        if (r->row == NO_ROW) continue;
        if (r->state == RING_WAITS && r->ticks != 0) return false;
        if (r->state == RING_GREEN && r->next != NO_ROW) return false;
        if (r->state == RING_GREEN && !r->walking && r->walked != 0) return false;
        if (s->table.actuated && r->ticks > row->max_green) return false;
        if (r->state == RING_GREEN && (r->walked > row->walk + row->ped_clear || r->gap > row->passage)) return false;
    }
    for (unsigned i = 0; i < s->table.count; i++)
        if (s->delay[i] > s->table.rows[i].delay || s->waits[i] > s->table.longest_red) return false;
    return true;
}

static void tick(stage *s) {
    signals_detect(&s->core, s->vehicles, s->faults);
    signals_preempt(&s->core, s->inputs);
    signals_tick(&s->core);
    s->inconsistent |= !consistent(&s->core);
    signal_heads h = signals_look(&s->core);
    const signal_table *t = &s->core.table;
    for (unsigned i = 0; i < SIGNAL_PHASES && s->ticks < LONGEST - 1; i++) {
        char was = s->ticks ? s->rows[i][s->ticks - 1] : 'r', now = 'r';
        if (h.green >> i & 1) now = h.walk >> i & 1 ? 'W' : h.ped_clear >> i & 1 ? 'c' : 'G';
        if (h.yellow >> i & 1) now = strchr("GWc", was) ? "?gmfx"[s->core.rings[t->rows[i].ring - 1].reason] : 'Y';
        if (h.flash) now = '*';
        s->rows[i][s->ticks] = now;
    }
    for (unsigned o = 0; o < SIGNAL_OVERLAPS && s->ticks < LONGEST - 1; o++)
        s->overlaps[o][s->ticks] = h.overlap_green >> o & 1 ? 'G' : h.overlap_yellow >> o & 1 ? 'Y' : 'r';
    s->ticks++;
}

static void request(stage *s, const char *word, int line) {
    static const char letters[] = "PCHF__RO";
    const char *end;
    uint8_t action = (uint8_t)(strchr(letters, word[0]) - letters + 1), phase = (uint8_t)strtoul(word + 1, (char **)&end, 10);
    unsigned wanted = *end == '!' ? (unsigned)strtoul(end + 1, NULL, 10) : PLAN_CODE_OK;
    unsigned code = signals_request(&s->core, action, phase);
    char got[16];
    snprintf(got, sizeof got, "code %u", code);
    if (code != wanted) fail(line, word, got);
}

static void ask(stage *s, const char *word, int line) {
    char got[32] = "";
    if (word[1] == 'c') snprintf(got, sizeof got, "?c%x", signals_called(&s->core));
    if (word[1] == 'p') snprintf(got, sizeof got, "?p%u%u", signals_preempted(&s->core, 0), signals_preempted(&s->core, 1));
    if (word[1] == 'm') snprintf(got, sizeof got, "?m%u", s->core.mode);
    if (word[1] == 'w') snprintf(got, sizeof got, "?w%c=%u", word[2], s->core.waits[word[2] - '0']);
    if (strcmp(got, word) != 0) fail(line, word, got);
}

static void play_on(stage *s, const char *script, int line) {
    char words[1024], *rest = words;
    snprintf(words, sizeof words, "%s", script);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        uint8_t hex = (uint8_t)strtoul(word + 1, NULL, 16);
        switch (word[0]) {
        case 'v': s->vehicles = hex; break;
        case 'f': s->faults = hex; break;
        case 'i': s->inputs = hex; break;
        case 'L': signals_host_lost(&s->core); break;
        case 'T': signals_replace(&s->core, s->other); break;
        case '?': ask(s, word, line); break;
        case 'g': {
            uint16_t greens[SIGNAL_PHASES];
            for (unsigned i = 0; i < SIGNAL_PHASES; i++) greens[i] = hex == 9 ? UINT16_MAX : hex;
            signals_greens(&s->core, greens);
            break;
        }
        default:
            if (isdigit((unsigned char)word[0]))
                for (unsigned long n = strtoul(word, NULL, 10); n > 0; n--) tick(s);
            else
                request(s, word, line);
        }
    }
}

static void play(int line, const signal_table *t, const signal_table *other, const char *script, const char *expected) {
    static stage s;
    uint8_t phase;
    cases++;
    memset(&s, 0, sizeof s);
    s.table = t;
    s.other = other;
    enum plan_code code = signals_check(t, &phase);
    if (code != PLAN_CODE_OK) {
        char text[32];
        snprintf(text, sizeof text, "%d, phase %d", code, phase);
        fail(line, "the table is refused with code", text);
        return;
    }
    signals_start(&s.core, t);
    for (unsigned i = 1; i < (unsigned)t->start_flash + t->start_red; i++) signals_tick(&s.core);
    play_on(&s, script, line);
    char got[SIGNAL_PHASES * LONGEST] = "";
    for (unsigned i = 0; i < s.core.table.count; i++) snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", s.rows[i]);
    for (unsigned o = 0; o < SIGNAL_OVERLAPS; o++)
        if (s.core.table.overlaps[o]) snprintf(got + strlen(got), sizeof got - strlen(got), " %s", s.overlaps[o]);
    if (s.inconsistent) fail(line, script, "a number is beyond its bound");
    if (strcmp(got, expected) == 0) return;
    fail(line, script, "");
    for (char *c = got; *c; c++)
        if (*c == ' ') *c = '\n';
    printf("%s\n", got);
}
#define PLAY(table, script, expected) play(__LINE__, table, NULL, script, expected)
#define CHANGE(table, other, script, expected) play(__LINE__, table, other, script, expected)

/* --- tables ------------------------------------------------------------------------------------------ */

#define ROW(p, r, c, lo, hi, g, y, rd) .phase = p, .ring = r, .conflicts = c, .min_green = lo, .max_green = hi, \
    .green = g, .yellow = y, .red = rd
#define ACTS(m, pass, wait, how) .max_1 = m, .passage = pass, .delay = wait, .options = how
#define BEGINS(n, red) .count = n, .actuated = true, .start_flash = 1, .start_red = 1, .longest_red = red

#include "signal_case_tables.h"

/* --- the conflict monitor, and what the core cannot show by itself ------------------------------------- */

#define SHOWS(answer, ...) check_heads(__LINE__, answer, (signal_heads){__VA_ARGS__})
static void check_heads(int line, bool answer, signal_heads heads) {
    cases++;
    if (signals_conflict(&laps, &heads) != answer) fail(line, "the conflict monitor takes it for", answer ? "harmless" : "a conflict");
}

static void monitor(void) {
    SHOWS(false, .green = 0);
    for (uint8_t a = 0; a < laps.count; a++)
        for (uint8_t b = 0; b < laps.count; b++) {
            uint8_t one = (uint8_t)(1u << a), two = (uint8_t)(1u << b);
            bool conflict = laps.rows[a].conflicts >> b & 1;
            SHOWS(conflict, .green = (uint8_t)(one | two));
            SHOWS(conflict, .yellow = (uint8_t)(one | two));
            SHOWS(conflict || a == b, .green = one, .yellow = two);
            SHOWS(a != b, .green = one, .walk = two);
            SHOWS(a != b, .green = one, .ped_clear = two);
        }
    SHOWS(true, .yellow = 1, .walk = 1);
    for (uint8_t row = 0; row < laps.count; row++) { /* the overlaps never beside row 3, and never beside rows 1 and 3 */
        SHOWS(row == 2, .green = (uint8_t)(1u << row), .overlap_green = 1);
        SHOWS(row == 2, .yellow = (uint8_t)(1u << row), .overlap_yellow = 1);
        SHOWS(row == 0 || row == 2, .green = (uint8_t)(1u << row), .overlap_green = 2);
        SHOWS(row == 0 || row == 2, .green = (uint8_t)(1u << row), .overlap_yellow = 2);
        SHOWS(false, .green = (uint8_t)(1u << row), .overlap_green = 12);
    }
    SHOWS(true, .overlap_green = 1, .overlap_yellow = 1);
    SHOWS(false, .overlap_green = 1, .overlap_yellow = 2);
    SHOWS(false, .green = 1, .overlap_green = 16); /* an overlap that no table has */
}

static void expect(int line, bool right, const char *what) {
    cases++;
    if (!right) fail(line, what, "");
}
#define EXPECT(is) expect(__LINE__, (is), #is)

static void start(signals *s, const signal_table *t, unsigned ticks) {
    memset(s, 0, sizeof *s);
    signals_start(s, t);
    for (unsigned i = 0; i < ticks; i++) signals_tick(s);
}

/* A flipped bit in memory, or a fault in this program: two rows that conflict are green. */
static void faults(void) {
    signals s;
    signal_heads h;
    start(&s, &dual, 3);
    EXPECT(s.mode == SIGNAL_MODE_RUN);
    s.rings[1] = (signal_ring){.row = 6, .state = RING_GREEN, .called = NO_ROW, .next = NO_ROW};
    signals_tick(&s);
    EXPECT(s.mode == SIGNAL_MODE_FAULT);
    h = signals_look(&s);
    EXPECT(h.flash && !h.green && !h.yellow && !h.overlap_green);
    for (unsigned i = 0; i < 200; i++) signals_tick(&s); /* until a person resets the board */
    EXPECT(s.mode == SIGNAL_MODE_FAULT);
    signals_replace(&s, &pair);
    EXPECT(s.mode == SIGNAL_MODE_FAULT && s.coming == NULL);
    EXPECT(signals_request(&s, ACTION_PED_CALL, 2) == PLAN_CODE_NOT_RUNNING);
    EXPECT(signals_request(&s, ACTION_CALL, 2) == PLAN_CODE_NOT_RUNNING);
    start(&s, &dual, 3); /* a mode that there is not */
    s.mode = 77;
    signals_tick(&s);
    EXPECT(s.mode == SIGNAL_MODE_FAULT);
    start(&s, &walks, 0); /* flash, then red: exactly as long as the table says, and a button is remembered */
    EXPECT(signals_look(&s).flash && s.mode == SIGNAL_MODE_FLASH);
    EXPECT(signals_request(&s, ACTION_PED_CALL, 1) == PLAN_CODE_OK);
    EXPECT(signals_request(&s, ACTION_CALL, 1) == PLAN_CODE_NOT_RUNNING);
    signal_table slow = walks;
    slow.start_flash = 3, slow.start_red = 4;
    start(&s, &slow, 2);
    EXPECT(s.mode == SIGNAL_MODE_FLASH);
    signals_tick(&s);
    EXPECT(s.mode == SIGNAL_MODE_ALL_RED && !signals_look(&s).flash && s.ticks == 0);
    for (unsigned i = 0; i < 3; i++) signals_tick(&s);
    EXPECT(s.mode == SIGNAL_MODE_ALL_RED);
    signals_tick(&s);
    EXPECT(s.mode == SIGNAL_MODE_RUN && signals_look(&s).green == 1);
    signals_replace(&s, &pair); /* nothing of the host's is left behind a change, nothing of the vehicles' either */
    EXPECT(s.mode == SIGNAL_MODE_CLOSING);
    signals_detect(&s, 0xFF, 0xFF); /* rows that there are */
    EXPECT(s.present == 3 && s.faulty == 3);
}

/* A table is taken into whatever memory there is, and of the table what it has. */
static void fresh(void) {
    signals s;
    signal_table longer = pair;
    longer.rows[2].max_1 = longer.rows[2].green = 9;
    memset(&s, 0xFF, sizeof s);
    signals_start(&s, &longer);
    EXPECT(s.mode == SIGNAL_MODE_FLASH && s.ticks == 0 && s.coming == NULL && s.first == 0);
    EXPECT(!s.ped_calls && !s.skipped && !s.calls && !s.omits && !s.preempt);
    EXPECT(s.green[0] == 8 && s.green[1] == 6);
    for (unsigned i = 0; i < SIGNAL_PHASES; i++) EXPECT(s.delay[i] == 0 && s.waits[i] == 0 && (i < 2 || s.green[i] == 0));
    for (unsigned o = 0; o < SIGNAL_OVERLAPS; o++) EXPECT(s.overlaps[o].state == OVERLAP_RED && !s.overlaps[o].ticks && !s.overlaps[o].parent);
    EXPECT(s.rings[0].row == 0 && s.rings[0].called == 0 && s.rings[0].next == NO_ROW && s.rings[0].state == RING_WAITS);
    EXPECT(s.rings[1].row == NO_ROW && s.rings[1].called == NO_ROW && s.rings[1].next == NO_ROW && s.rings[1].state == RING_WAITS);
    for (unsigned ring = 0; ring < SIGNAL_RINGS; ring++)
        EXPECT(!s.rings[ring].held && !s.rings[ring].forced && !s.rings[ring].walking && s.rings[ring].ticks == 0);
    signals_replace(&s, &walks); /* while it flashes: at once */
    EXPECT(s.coming == NULL && s.table.rows[0].walk == 3 && s.mode == SIGNAL_MODE_FLASH);
    longer.rows[2].options = RECALL_MINIMUM;
    start(&s, &longer, 3);
    EXPECT(signals_called(&s) == 0);
    signals_replace(&s, &walks);
    EXPECT(s.mode == SIGNAL_MODE_CLOSING && s.delay[0] == 0);
    longer.actuated = false; /* fixed time: nobody is called at the start */
    signals_start(&s, &longer);
    EXPECT(s.rings[0].called == NO_ROW && s.green[0] == 6 && s.green[2] == 0);
    const uint16_t greens[SIGNAL_PHASES + 1] = {11, 12, 13, 14, 15, 16, 17, 18, 19}; /* of the rows that there are */
    start(&s, &pair, 0);
    signals_greens(&s, greens);
    EXPECT(s.green[0] == 11 && s.green[1] == 12 && s.green[2] == 0);
    start(&s, &dual, 0);
    signals_greens(&s, greens);
    EXPECT(s.green[0] == 11 && s.green[7] == 18);
    signals_host_lost(&s);
    EXPECT(s.green[0] == 6 && s.green[7] == 8);
}

int main(void) {
    monitor();
    faults();
    fresh();
#include "signal_case_list.h"
    printf("%u cases, %u failed\n", cases, failures);
    return failures != 0;
}
