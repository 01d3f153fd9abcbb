/* Visits every state that the compiled signal core can reach, and looks at each with its own eyes.
 *
 *   signals_search NAME    two, crossing, barriers, change, large: an intersection; prints what was visited
 *
 * From each state every action is tried: a step of time, each request for each phase, green times, a push button, a
 * host that falls silent or returns at any moment, another table. What the heads show is judged by an observer that
 * knows the table's limits and nothing of the core: ages of colours, nothing else. Its memory is part of the state.
 * A broken rule prints the shortest way to it and exits with 1. Where no table changes, the search also
 * measures how long a phase can be kept waiting, and refuses a wait without end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signals.h"

#define PHASES 4u
#define LONG 250u

typedef struct {
    const char *name;
    signal_table tables[2];
    bool calls, holds, peds, greens, change, waits;
} instance;

/* What the observer remembers of each head; ages in steps, no older than it needs to know. */
typedef struct {
    uint8_t colour, age; /* since the colour began */
    uint8_t ped, ped_age;
    uint8_t dark; /* since the yellow ended, up to the red clearance */
} watched;
enum { RED, GREEN, YELLOW };
enum { DONT, WALK, CLEARANCE };

/* One reachable state, every byte of it meant: what is equal here behaves equally. */
typedef struct {
    uint8_t mode, ticks, first, ped_calls, skipped, table, coming, host, greens;
    struct {
        uint8_t row, state, ticks, called, flags;
    } rings[SIGNAL_RINGS];
    watched seen[PHASES];
} state;

enum { STEP, HOST_LOST, HOST_BACK, CHANGE, GREENS, REQUEST = 16 }; /* actions */

static const signal_table *tables;
static const instance *now;

/* --- the instances --------------------------------------------------------------------------------- */

/* Four phases in two rings as on the street: 1, 2 in the first, 3, 4 in the second; 1 beside 3, 2 beside 4. */
#define ROW(p, r, c, lo, hi, g, y, rd) {.phase = p, .ring = r, .conflicts = c, .min_green = lo, .max_green = hi, \
    .green = g, .yellow = y, .red = rd}
#define CROSSED(p, r, c, lo, hi, g, y, rd, w, cl) {.phase = p, .ring = r, .conflicts = c, .min_green = lo, \
    .max_green = hi, .green = g, .yellow = y, .red = rd, .walk = w, .ped_clear = cl}

static const instance instances[] = {
    {"two", {{.count = 2, .start_flash = 1, .start_red = 1, .rows = {ROW(1, 1, 2, 2, 4, 3, 2, 1), ROW(2, 2, 1, 2, 5, 2, 2, 2)}}}, true, true, false, true, false, true},
    {"crossing",
        {{.count = 3, .start_flash = 1, .start_red = 1, .rows = {CROSSED(1, 1, 6, 3, 7, 4, 2, 1, 2, 3), ROW(2, 1, 5, 2, 6, 3, 3, 2),
            CROSSED(3, 2, 3, 2, 6, 3, 2, 3, 3, 2)}}},
        true, true, true, true, false, true},
    {"barriers",
        {{.count = 4, .start_flash = 2, .start_red = 2, .rows = {ROW(1, 1, 10, 3, 7, 5, 3, 2), ROW(2, 1, 5, 2, 6, 3, 2, 3), ROW(3, 2, 10, 2, 8, 4, 3, 1),
            ROW(4, 2, 5, 3, 6, 4, 2, 2)}}},
        true, true, false, true, false, true},
    {"change",
        {{.count = 3, .start_flash = 2, .start_red = 2, .rows = {ROW(1, 1, 6, 2, 5, 3, 2, 1), ROW(2, 1, 5, 2, 6, 3, 3, 2), CROSSED(3, 2, 3, 3, 6, 4, 2, 3, 2, 2)}},
            {.count = 4, .start_flash = 2, .start_red = 3, .rows = {CROSSED(1, 1, 14, 2, 5, 3, 3, 2, 2, 1), ROW(2, 2, 9, 3, 6, 4, 2, 1),
                ROW(3, 1, 9, 2, 4, 3, 2, 3), ROW(4, 2, 7, 2, 5, 2, 3, 1)}}},
        true, true, true, true, true, false},
    {"large",
        {{.count = 4, .start_flash = 3, .start_red = 3, .rows = {CROSSED(1, 1, 10, 5, 14, 8, 4, 3, 4, 6), CROSSED(2, 1, 5, 4, 12, 6, 5, 2, 3, 4),
            CROSSED(3, 2, 10, 4, 15, 9, 4, 2, 5, 6), CROSSED(4, 2, 5, 5, 11, 7, 3, 4, 4, 3)}}},
        true, true, true, true, false, false},
};

/* --- states ---------------------------------------------------------------------------------------- */

static uint32_t capacity, count, *table_of_states, *parent;
static state *states;
static uint8_t *how; /* the action that led here */
static uint64_t transitions;

/* Where time and where anything else leads from each state, to look for waits without end. */
static struct {
    uint32_t *step, *from, *to;
    size_t count, room;
} edges;

static uint32_t hash(const state *s) {
    uint64_t h = 1469598103934665603u;
    const uint8_t *p = (const uint8_t *)s;
    for (size_t i = 0; i < sizeof *s; i++) h = (h ^ p[i]) * 1099511628211u;
    return (uint32_t)(h >> 32 ^ h);
}

static void grow(void) {
    capacity = capacity ? capacity * 2 : 1u << 16;
    states = realloc(states, (size_t)capacity / 2 * sizeof *states);
    parent = realloc(parent, (size_t)capacity / 2 * sizeof *parent);
    how = realloc(how, capacity / 2);
    free(table_of_states);
    table_of_states = calloc(capacity, sizeof *table_of_states);
    if (!states || !parent || !how || !table_of_states) {
        fputs("signals_search: not enough memory\n", stderr);
        exit(2);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = hash(&states[i]) & (capacity - 1);
        while (table_of_states[at]) at = (at + 1) & (capacity - 1);
        table_of_states[at] = i + 1;
    }
}

static void remember(uint32_t from, uint8_t action, uint32_t to) {
    if (!now->waits || action == CHANGE) return; /* who changes tables without end keeps everybody waiting */
    if (action == STEP) {
        edges.step = realloc(edges.step, ((size_t)from + 1) * sizeof *edges.step);
        edges.step[from] = to;
        return;
    }
    if (edges.count == edges.room) {
        edges.room = edges.room ? edges.room * 2 : 1024;
        edges.from = realloc(edges.from, edges.room * sizeof *edges.from);
        edges.to = realloc(edges.to, edges.room * sizeof *edges.to);
    }
    edges.from[edges.count] = from;
    edges.to[edges.count++] = to;
}

static void visit(const state *s, uint32_t from, uint8_t action) {
    transitions++;
    if (count >= capacity / 2) grow();
    uint32_t at = hash(s) & (capacity - 1);
    while (table_of_states[at] && memcmp(&states[table_of_states[at] - 1], s, sizeof *s) != 0)
        at = (at + 1) & (capacity - 1);
    if (!table_of_states[at]) {
        states[count] = *s;
        parent[count] = from;
        how[count] = action;
        table_of_states[at] = ++count;
    }
    if (transitions > 1) remember(from, action, table_of_states[at] - 1);
}

/* Green times in force: the fixed ones, or none at all, or endless ones. The core must not depend on their being good. */
#define GREEN_TIMES 3u
static void greens_of(uint8_t choice, const signal_table *t, uint16_t to[SIGNAL_PHASES]) {
    for (uint8_t i = 0; i < t->count; i++) to[i] = choice == 0 ? t->rows[i].green : choice == 1 ? 0 : UINT16_MAX;
}

static void unpack(const state *from, signals *s) {
    memset(s, 0, sizeof *s);
    s->table = tables[from->table];
    s->coming = from->coming ? &tables[from->coming - 1] : NULL;
    s->mode = from->mode;
    s->ticks = from->ticks;
    s->first = from->first;
    s->ped_calls = from->ped_calls;
    s->skipped = from->skipped;
    greens_of(from->greens, &s->table, s->green);
    for (size_t i = 0; i < SIGNAL_RINGS; i++)
        s->rings[i] = (signal_ring){.row = from->rings[i].row, .state = from->rings[i].state,
            .ticks = from->rings[i].ticks, .called = from->rings[i].called, .held = from->rings[i].flags & 1,
            .forced = (from->rings[i].flags & 2) != 0, .walking = (from->rings[i].flags & 4) != 0, .walked = from->rings[i].ticks, .next = NO_ROW};
}

static void pack(const signals *s, state *to) {
    to->mode = s->mode;
    to->ticks = (uint8_t)s->ticks;
    to->first = s->first;
    to->ped_calls = s->ped_calls;
    to->skipped = s->skipped;
    to->coming = s->coming ? (uint8_t)(s->coming - tables + 1) : 0;
    for (size_t i = 0; i < SIGNAL_RINGS; i++) {
        const signal_ring *r = &s->rings[i];
        to->rings[i].row = r->row;
        to->rings[i].state = r->state;
        to->rings[i].ticks = (uint8_t)r->ticks;
        to->rings[i].called = r->called;
        to->rings[i].flags = (uint8_t)(r->held | r->forced << 1 | r->walking << 2);
    }
}

/* --- the observer ---------------------------------------------------------------------------------- */

static const char *const COLOURS[] = {"red", "green", "yellow"};

static uint8_t older(uint8_t age) { return age < LONG ? (uint8_t)(age + 1) : age; }

/* One step of time has passed and the heads show h. Returns the rule that was broken, or NULL. */
static const char *judge(state *s, const signal_table *t, const signal_heads *h) {
    if (h->flash && (h->green | h->yellow | h->walk | h->ped_clear)) return "a head is lit while everything flashes";
    for (uint8_t i = 0; i < t->count; i++) {
        watched *w = &s->seen[i];
        const signal_row *row = &t->rows[i];
        bool green = h->green >> i & 1, yellow = h->yellow >> i & 1;
        if (green && yellow) return "a head is green and yellow";
        uint8_t colour = green ? GREEN : yellow ? YELLOW : RED, ped = h->walk >> i & 1 ? WALK
            : h->ped_clear >> i & 1                                            ? CLEARANCE
                                                                               : DONT;
        w->age = older(w->age);
        w->ped_age = older(w->ped_age);
        w->dark = older(w->dark);
        if (colour != w->colour) {
            if (w->colour == GREEN && colour != YELLOW) return "a green ended without yellow";
            if (w->colour == GREEN && w->age < row->min_green) return "a green was shorter than the minimum";
            if (w->colour == YELLOW && colour != RED) return "after a yellow came no red";
            if (w->colour == YELLOW && w->age != row->yellow) return "a yellow was short or long";
            if (w->colour == RED && colour != GREEN) return "a yellow came from red";
            if (w->colour == YELLOW) w->dark = 0;
            w->colour = colour;
            w->age = 0;
        }
        if (colour == GREEN && w->age >= row->max_green) return "a green did not end at its maximum";
        if (colour == GREEN && ped == DONT && !s->host && w->age >= row->green)
            return "without a host a green outlasted the fixed-time plan";
        if (ped != w->ped) {
            if (w->ped == WALK && (ped != CLEARANCE || w->ped_age != row->walk)) return "a walk was cut short";
            if (w->ped == CLEARANCE && (ped != DONT || w->ped_age != row->ped_clear))
                return "a pedestrian clearance was cut short";
            w->ped = ped;
            w->ped_age = 0;
        }
        if (ped != DONT && colour != GREEN) return "somebody crosses without a green";
        /* Forget what no rule asks for, or there would be no end of states. */
        if (w->colour == RED) w->age = 0;
        if (w->ped == DONT) w->ped_age = 0;
        if (w->colour != RED || w->dark > row->red) w->dark = row->red;
    }
    for (uint8_t i = 0; i < t->count; i++)
        for (uint8_t k = 0; k < t->count; k++) {
            const watched *a = &s->seen[i], *b = &s->seen[k];
            if (i == k || !(t->rows[i].conflicts >> k & 1)) continue;
            if (a->colour != RED && b->colour != RED) return "two conflicting heads are not red";
            if (a->colour == GREEN && a->age == 0 && b->dark < t->rows[k].red)
                return "a green began within a red clearance";
        }
    return NULL;
}

/* --- the search ------------------------------------------------------------------------------------ */

static void say_action(uint8_t action) {
    static const char *const names[] = {"a step of time", "the host falls silent", "the host is back", "another table"};
    static const char *const requests[] = {"", "pedestrian call", "call", "hold", "force-off"};
    if (action < GREENS)
        printf("  %s", names[action]);
    else if (action < REQUEST)
        printf("  green times no. %d", action - GREENS);
    else
        printf("  %s %d", requests[(action - REQUEST) / PHASES + 1], (action - REQUEST) % (int)PHASES + 1);
}

static void say_heads(const state *s) {
    printf("   -> mode %d:", s->mode);
    for (uint8_t i = 0; i < tables[s->table].count; i++) printf(" %s", COLOURS[s->seen[i].colour]);
    putchar('\n');
}

static void broken(const char *rule, uint32_t from, uint8_t action, const state *end) {
    uint32_t way[4096];
    uint32_t n = 0;
    for (uint32_t at = from; at != 0 && n < 4096; at = parent[at]) way[n++] = at;
    printf("%s: BROKEN: %s\n", now->name, rule);
    while (n-- > 0) {
        say_action(how[way[n]]);
        say_heads(&states[way[n]]);
    }
    say_action(action);
    say_heads(end);
    exit(1);
}

static void step(uint32_t from) {
    state s = states[from];
    signals core;
    unpack(&s, &core);
    const signal_table *coming = core.coming;
    signals_tick(&core);
    bool changed = coming && !core.coming;
    if (changed) {
        s.table = (uint8_t)(coming - tables);
        s.greens = 0;
    }
    pack(&core, &s);
    if (s.mode == SIGNAL_MODE_FAULT) broken("the conflict monitor tripped", from, STEP, &s);
    signal_heads h = signals_look(&core);
    const char *rule = judge(&s, &tables[s.table], &h);
    if (rule) broken(rule, from, STEP, &s);
    visit(&s, from, STEP);
}

static void act(uint32_t from, uint8_t action) {
    state s = states[from];
    signals core;
    unpack(&s, &core);
    if (action == HOST_LOST) {
        signals_host_lost(&core);
        s.host = 0;
        s.greens = 0;
    } else if (action == HOST_BACK) {
        s.host = 1;
    } else if (action == CHANGE) {
        signals_replace(&core, &tables[1 - s.table]);
        if (core.mode == SIGNAL_MODE_FLASH) s.table = 1 - s.table, s.greens = 0;
    } else if (action >= REQUEST) {
        uint8_t request = (uint8_t)((action - REQUEST) / PHASES + 1), phase = (uint8_t)((action - REQUEST) % PHASES + 1);
        (void)signals_request(&core, request, phase);
    } else {
        s.greens = (uint8_t)(action - GREENS);
    }
    pack(&core, &s);
    visit(&s, from, action);
}

static void search(const instance *one) {
    now = one;
    tables = one->tables;
    for (unsigned i = 0; i < 1u + one->change; i++) {
        uint8_t phase;
        enum plan_code code = signals_check(&tables[i], &phase);
        if (code != PLAN_CODE_OK) {
            printf("%s: table %u is refused with code %d, phase %d\n", one->name, i, code, phase);
            exit(2);
        }
    }
    signals core;
    state first;
    memset(&first, 0, sizeof first);
    memset(&core, 0, sizeof core);
    signals_start(&core, &tables[0]);
    pack(&core, &first);
    first.host = 1;
    for (uint8_t i = 0; i < PHASES; i++) first.seen[i].dark = tables[0].rows[i].red;
    visit(&first, 0, STEP);
    for (uint32_t at = 0; at < count; at++) {
        bool host = states[at].host;
        step(at);
        if (one->peds) /* a push button needs no host */
            for (uint8_t p = 0; p < tables[0].count; p++) act(at, (uint8_t)(REQUEST + p));
        act(at, host ? HOST_LOST : HOST_BACK);
        if (!host) continue;
        for (uint8_t p = 0; p < tables[0].count; p++) {
            if (one->calls) act(at, (uint8_t)(REQUEST + (ACTION_CALL - 1) * PHASES + p));
            if (one->holds) {
                act(at, (uint8_t)(REQUEST + (ACTION_HOLD - 1) * PHASES + p));
                act(at, (uint8_t)(REQUEST + (ACTION_FORCE_OFF - 1) * PHASES + p));
            }
        }
        if (one->greens && !states[at].coming)
            for (uint8_t g = 1; g < GREEN_TIMES; g++) act(at, (uint8_t)(GREENS + g));
        if (one->change && !states[at].coming) act(at, CHANGE);
    }
}

/* The most steps that a phase can be kept from green, whoever asks for whatever. A state is in `kept` when the next n
 * steps may pass without green; the set shrinks with n to nothing, or there is a wait without end. */
static unsigned longest_wait(uint8_t row) {
    uint8_t *kept = malloc(count), *next = malloc(count);
    unsigned n = 0;
    for (uint32_t i = 0; i < count; i++)
        kept[i] = states[i].mode == SIGNAL_MODE_RUN && states[i].seen[row].colour != GREEN;
    for (bool some = true; some; n++) {
        some = false;
        for (uint32_t i = 0; i < count; i++) some |= next[i] = kept[i] && kept[edges.step[i]];
        for (uint8_t more = 1; more;) { /* what can be asked for before the step counts, too */
            more = 0;
            for (size_t e = edges.count; e-- > 0;)
                if (!next[edges.from[e]] && kept[edges.from[e]] && next[edges.to[e]])
                    next[edges.from[e]] = more = 1;
        }
        bool same = memcmp(kept, next, count) == 0;
        memcpy(kept, next, count);
        if (some && same) {
            printf("%s: BROKEN: phase %d can be kept from green for ever\n", now->name, tables[0].rows[row].phase);
            exit(1);
        }
    }
    free(kept);
    free(next);
    return n;
}

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof instances / sizeof *instances; i++) {
        if (strcmp(argv[1], instances[i].name) != 0) continue;
        search(&instances[i]);
        unsigned longest = 0;
        for (uint8_t row = 0; now->waits && row < tables[0].count; row++) {
            unsigned wait = longest_wait(row);
            if (wait > longest) longest = wait;
        }
        printf("%s: %u states, %llu transitions, no rule broken", now->name, count, (unsigned long long)transitions);
        if (longest) printf(", longest red %u steps", longest);
        putchar('\n');
        return 0;
    }
    return 2;
}
