/* Visits every state that the compiled signal core can reach, and looks at each with its own eyes.
 *
 *   signals_search NAME    one of search_instances.h: an intersection; prints what was visited
 *
 * From each state everything that can happen is tried: a step of time with any vehicles, faults and preemption inputs;
 * between steps each request for each phase, green times, a push button, a host that falls silent or returns, another
 * table. What the heads show is judged by an observer (search_observer.h) that knows nothing of the core. A broken rule
 * prints the shortest way to it and exits with 1. Where no table changes, the search also measures the longest waits:
 * of a vehicle or pedestrian whom the table promises service, whatever the host asks and whoever else comes; of a
 * preemption from its input to its green. A wait without end is a broken rule.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search_observer.h"

/* One reachable state, every byte of it meant: what is equal here behaves equally. */
typedef struct {
    uint8_t mode, ticks, first, ped_calls, skipped, table, coming, greens;
    struct {
        uint8_t row, state, ticks, called, flags, walked, next, gap, opposed;
    } rings[SIGNAL_RINGS];
    uint8_t faulty, calls, omits, delay[PHASES], waits[PHASES];
    struct {
        uint8_t state, ticks, parent;
    } overlaps[SIGNAL_OVERLAPS];
    uint8_t preempt_inputs, preempt, preempt_stage, preempt_ticks;
    observer seen;
} state;

enum { STEP, HOST_LOST, HOST_BACK, CHANGE, GREENS, REQUEST = 16 }; /* actions */

static const signal_table *tables;
static const instance *now;

/* --- states ---------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t action, vehicles, faults, inputs;
} deed;

static uint32_t capacity, count, *table_of_states, *parent;
static state *states;
static deed *how; /* what led here */
static uint64_t transitions;

/* Where everything leads from each state: those of one state lie together. */
#define TIME 0x80000000u /* a step of time; otherwise it takes none */
#define INPUT 29u        /* two bits: the preemption inputs of a step */
static uint32_t *edges, *first_edge;
static size_t edge_count, edge_room;

static uint32_t hash(const state *s) {
    uint64_t h = 1469598103934665603u;
    const uint8_t *p = (const uint8_t *)s;
    for (size_t i = 0; i < sizeof *s; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, sizeof *s - i < 8 ? sizeof *s - i : 8);
        h = (h ^ word) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 32 ^ h);
}

static void *grown(void *of, size_t bytes) {
    void *p = realloc(of, bytes);
    if (!p) {
        fputs("signals_search: not enough memory\n", stderr);
        exit(2);
    }
    return p;
}

static void grow(void) {
    capacity = capacity ? capacity * 2 : 1u << 16;
    size_t half = (size_t)capacity / 2;
    states = grown(states, half * sizeof *states);
    parent = grown(parent, half * sizeof *parent);
    how = grown(how, half * sizeof *how);
    first_edge = grown(first_edge, (half + 1) * sizeof *first_edge);
    table_of_states = grown(table_of_states, capacity * sizeof *table_of_states);
    memset(table_of_states, 0, capacity * sizeof *table_of_states);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = hash(&states[i]) & (capacity - 1);
        while (table_of_states[at]) at = (at + 1) & (capacity - 1);
        table_of_states[at] = i + 1;
    }
}

static void visit(const state *s, uint32_t from, deed by) {
    transitions++;
    if (count >= capacity / 2) grow();
    uint32_t at = hash(s) & (capacity - 1);
    while (table_of_states[at] && memcmp(&states[table_of_states[at] - 1], s, sizeof *s) != 0)
        at = (at + 1) & (capacity - 1);
    if (!table_of_states[at]) {
        states[count] = *s;
        parent[count] = from;
        how[count] = by;
        table_of_states[at] = ++count;
    }
    uint32_t to = table_of_states[at] - 1;
    if (!now->waits || transitions == 1 || (to == from && by.action != STEP)) return;
    if (edge_count == edge_room) edges = grown(edges, (edge_room = edge_room ? edge_room * 2 : 1 << 16) * sizeof *edges);
    edges[edge_count++] = to | (by.action == STEP ? TIME : 0) | (uint32_t)by.inputs << INPUT;
}

/* Green times in force: the board's own, or none at all, or endless ones. The core must not depend on their being good. */
#define GREEN_TIMES 3u
static void greens_of(uint8_t choice, const signal_table *t, uint16_t to[SIGNAL_PHASES]) {
    for (uint8_t i = 0; i < t->count; i++)
        to[i] = choice == 1 ? 0 : choice == 2 ? UINT16_MAX : t->actuated ? t->rows[i].max_1 : t->rows[i].green;
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
            .forced = (from->rings[i].flags & 2) != 0, .walking = (from->rings[i].flags & 4) != 0,
            .walked = from->rings[i].walked, .next = from->rings[i].next, .gap = from->rings[i].gap,
            .opposed = from->rings[i].opposed};
    s->faulty = from->faulty;
    s->calls = from->calls;
    s->omits = from->omits;
    for (size_t i = 0; i < PHASES; i++) s->delay[i] = from->delay[i], s->waits[i] = from->waits[i];
    for (size_t i = 0; i < SIGNAL_OVERLAPS; i++)
        s->overlaps[i] = (signal_overlap){from->overlaps[i].state, from->overlaps[i].ticks, from->overlaps[i].parent};
    s->preempt_inputs = from->preempt_inputs;
    s->preempt = from->preempt;
    s->preempt_stage = from->preempt_stage;
    s->preempt_ticks = from->preempt_ticks;
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
        to->rings[i].walked = (uint8_t)r->walked;
        to->rings[i].next = r->next;
        to->rings[i].gap = r->gap;
        to->rings[i].opposed = (uint8_t)r->opposed;
    }
    to->faulty = s->faulty;
    to->calls = s->calls;
    to->omits = s->omits;
    for (size_t i = 0; i < PHASES; i++) to->delay[i] = s->delay[i], to->waits[i] = (uint8_t)s->waits[i];
    for (size_t i = 0; i < SIGNAL_OVERLAPS; i++) {
        to->overlaps[i].state = s->overlaps[i].state;
        to->overlaps[i].ticks = s->overlaps[i].ticks;
        to->overlaps[i].parent = s->overlaps[i].parent;
    }
    to->preempt_inputs = s->preempt_inputs;
    to->preempt = s->preempt;
    to->preempt_stage = s->preempt_stage;
    to->preempt_ticks = (uint8_t)s->preempt_ticks;
}

/* --- what is said of a broken rule ------------------------------------------------------------------- */

static void say_deed(deed by) {
    static const char *const names[] = {"a step of time", "the host falls silent", "the host is back", "another table"};
    static const char *const requests[] = {"", "pedestrian call", "call", "hold", "force-off", "", "", "release", "omit"};
    if (by.action == STEP)
        printf("  vehicles %x faults %x inputs %x", by.vehicles, by.faults, by.inputs);
    else if (by.action < GREENS)
        printf("  %s", names[by.action]);
    else if (by.action < REQUEST)
        printf("  green times no. %d", by.action - GREENS);
    else
        printf("  %s %d", requests[(by.action - REQUEST) / PHASES + 1], (by.action - REQUEST) % (int)PHASES + 1);
}

static void say_heads(const state *s) {
    static const char colours[] = "rGY", peds[] = " wc";
    printf("   -> mode %d: ", s->mode);
    for (uint8_t i = 0; i < tables[s->table].count; i++)
        printf("%c%c", colours[s->seen.heads[i].colour], peds[s->seen.heads[i].ped]);
    for (uint8_t i = 0; i < SIGNAL_OVERLAPS; i++)
        if (tables[s->table].overlaps[i]) printf(" %c", colours[s->seen.overlaps[i].colour]);
    printf("  waiting %x walkers %x\n", s->seen.waiting, s->seen.walkers);
}

static void broken(const char *rule, uint32_t from, deed by, const state *end) {
    uint32_t way[4096];
    uint32_t n = 0;
    for (uint32_t at = from; at != 0 && n < 4096; at = parent[at]) way[n++] = at;
    printf("%s: BROKEN: %s\n", now->name, rule);
    while (n-- > 0) {
        say_deed(how[way[n]]);
        say_heads(&states[way[n]]);
    }
    say_deed(by);
    say_heads(end);
    exit(1);
}

/* --- the search ------------------------------------------------------------------------------------ */

/* The observer of another table knows nothing of the phases before. */
static void look_anew(state *s) {
    uint8_t host = s->seen.host;
    memset(&s->seen, 0, sizeof s->seen);
    s->seen.host = host;
    s->seen.unknown = (uint8_t)(row_bit(tables[s->table].count) - 1u);
    s->greens = 0;
    for (uint8_t i = 0; i < PHASES; i++) s->seen.heads[i].dark = tables[s->table].rows[i].red;
    for (uint8_t n = 0; n < SIGNAL_OVERLAPS; n++) s->seen.overlaps[n].dark = LONG;
}

static void step(uint32_t from, deed by) {
    state s = states[from];
    signals core;
    unpack(&s, &core);
    const signal_table *coming = core.coming;
    bool closing = coming != NULL;
    signals_detect(&core, by.vehicles, by.faults);
    signals_preempt(&core, by.inputs);
    signals_tick(&core);
    if (coming && !core.coming) {
        s.table = (uint8_t)(coming - tables);
        look_anew(&s);
    }
    pack(&core, &s);
    if (s.mode == SIGNAL_MODE_FAULT) broken("the conflict monitor tripped", from, by, &s);
    const signal_table *t = &tables[s.table];
    signal_heads h = signals_look(&core);
    events e = {.vehicles = by.vehicles, .faults = by.faults, .inputs = by.inputs, .closing = closing};
    for (uint8_t k = 0; k < SIGNAL_PREEMPTS; k++) e.preempted |= signals_preempted(&core, k) != PREEMPT_STATE_OFF;
    if (core.mode != SIGNAL_MODE_RUN && core.mode != SIGNAL_MODE_CLOSING) e.vehicles = e.faults = e.inputs = 0;
    const char *rule = judge(&s.seen, t, &h, &e);
    if (rule) broken(rule, from, by, &s);
    visit(&s, from, by);
}

static void ask(state *s, signals *core, uint8_t action, uint8_t row) {
    uint8_t one = row_bit(row), code = (uint8_t)signals_request(core, action, (uint8_t)(row + 1));
    observer *o = &s->seen;
    if (code != PLAN_CODE_OK) return;
    switch (action) {
    case ACTION_PED_CALL:
        if (o->heads[row].ped != WALK) o->walkers |= one;
        break;
    case ACTION_OMIT: o->omitted |= one; break;
    case ACTION_RELEASE:
    case ACTION_CALL: o->omitted &= (uint8_t)~one; break;
    case ACTION_FORCE_OFF: o->forced |= one; break;
    default: break;
    }
}

static void act(uint32_t from, uint8_t action) {
    state s = states[from];
    signals core;
    unpack(&s, &core);
    if (action == HOST_LOST) {
        signals_host_lost(&core);
        s.seen.host = s.seen.omitted = s.seen.forced = 0;
        s.greens = 0;
    } else if (action == HOST_BACK) {
        s.seen.host = 1;
    } else if (action == CHANGE) {
        signals_replace(&core, &tables[1 - s.table]);
        if (core.mode == SIGNAL_MODE_FLASH) s.table = 1 - s.table, look_anew(&s);
    } else if (action >= REQUEST) {
        ask(&s, &core, (uint8_t)((action - REQUEST) / PHASES + 1), (uint8_t)((action - REQUEST) % PHASES));
    } else {
        s.greens = (uint8_t)(action - GREENS);
    }
    pack(&core, &s);
    visit(&s, from, (deed){.action = action});
}

/* The next larger part of a set, 0 after the last. */
static uint8_t next_part(uint8_t part, uint8_t of) { return (uint8_t)((part - of) & of); }

static void try_everything(uint32_t at) {
    const signal_table *t = &tables[states[at].table];
    uint8_t v = 0, f = 0, i = 0;
    do do do step(at, (deed){.action = STEP, .vehicles = v, .faults = f, .inputs = i});
            while ((v = next_part(v, now->vehicles)) != 0);
        while ((f = next_part(f, now->faults)) != 0);
    while ((i = next_part(i, now->inputs)) != 0);
    for (uint8_t p = 0; p < t->count; p++) /* a push button needs no host */
        if (now->buttons >> p & 1) act(at, (uint8_t)(REQUEST + p));
    if (!now->requests) return;
    bool host = states[at].seen.host;
    act(at, host ? HOST_LOST : HOST_BACK);
    if (!host) return;
    for (uint8_t action = ACTION_CALL; action <= ACTION_OMIT; action++)
        for (uint8_t p = 0; now->requests >> action & 1 && p < t->count; p++)
            act(at, (uint8_t)(REQUEST + (action - 1) * PHASES + p));
    if (now->greens && !states[at].coming)
        for (uint8_t g = 1; g < GREEN_TIMES; g++) act(at, (uint8_t)(GREENS + g));
    if (now->change && !states[at].coming) act(at, CHANGE);
}

static void search(const instance *one) {
    now = one;
    tables = one->tables;
    for (unsigned i = 0; i < 1u + one->change; i++) {
        uint8_t phase;
        enum plan_code code = signals_check(&tables[i], &phase);
        if (code != PLAN_CODE_OK) {
            printf("%s: table %u is refused with code %d, phase %d\n", one->name, i, code, phase);
            exit(3);
        }
    }
    signals core;
    state start;
    memset(&start, 0, sizeof start);
    memset(&core, 0, sizeof core);
    signals_start(&core, &tables[0]);
    look_anew(&start);
    pack(&core, &start);
    start.seen.host = one->requests != 0;
    visit(&start, 0, (deed){.action = STEP});
    for (uint32_t at = 0; at < count; at++) {
        first_edge[at] = (uint32_t)edge_count;
        try_everything(at);
    }
    first_edge[count] = (uint32_t)edge_count;
}

/* --- waits ------------------------------------------------------------------------------------------- */

#define WALKERS PHASES        /* bits of who waits: vehicles, */
#define TRAINS (2u * PHASES)  /* pedestrians, preempts */
#define KINDS (TRAINS + SIGNAL_PREEMPTS)

static uint16_t who_waits(const state *s) {
    if (s->mode != SIGNAL_MODE_RUN) return 0;
    return (uint16_t)(s->seen.waiting | (unsigned)s->seen.walkers << WALKERS | (unsigned)s->seen.inputs << TRAINS);
}

/* While a preemption is called nobody else can be promised anything, and the first comes before the second. */
static uint16_t may_go_on(uint32_t edge) {
    uint16_t inputs = (uint16_t)(edge >> INPUT & 3u), everybody = (1u << TRAINS) - 1u;
    if (!(edge & TIME)) return UINT16_MAX;
    return inputs == 0 ? everybody : (uint16_t)((inputs & 1 ? 1u : 2u) << TRAINS);
}

/* The most steps of each that can pass from a call to its service. A state is in `kept` when the next n steps may pass
 * without it; the set shrinks with n to nothing, or there is a wait without end. */
static void measure(unsigned longest[KINDS]) {
    uint16_t *kept = grown(NULL, count * sizeof *kept), *next = grown(NULL, count * sizeof *next);
    uint16_t some = 0;
    memset(longest, 0, KINDS * sizeof *longest);
    for (uint32_t i = 0; i < count; i++) some |= kept[i] = who_waits(&states[i]);
    for (unsigned n = 0; some; n++) {
        for (unsigned k = 0; k < KINDS; k++)
            if (some >> k & 1) longest[k] = n;
        bool more = true, same = true;
        for (uint32_t i = 0; i < count; i++) {
            uint16_t can = 0;
            for (uint32_t e = first_edge[i]; kept[i] && e < first_edge[i + 1]; e++)
                if (edges[e] & TIME) can |= kept[edges[e] & ((1u << INPUT) - 1u)] & may_go_on(edges[e]);
            next[i] = kept[i] & can;
        }
        while (more) { /* what can be asked for before the step counts, too */
            more = false;
            for (uint32_t i = count; i-- > 0;) {
                uint16_t can = next[i];
                if (can == kept[i]) continue;
                for (uint32_t e = first_edge[i]; e < first_edge[i + 1]; e++)
                    if (!(edges[e] & TIME)) can |= next[edges[e] & ((1u << INPUT) - 1u)];
                can &= kept[i];
                if (can != next[i]) next[i] = can, more = true;
            }
        }
        some = 0;
        for (uint32_t i = 0; i < count; i++) some |= next[i], same &= next[i] == kept[i];
        uint16_t *was = kept;
        kept = next;
        next = was;
        if (!some || !same) continue;
        const char *what = some & ((1u << WALKERS) - 1u) ? "a phase can be kept from green for ever"
            : some & ((1u << TRAINS) - 1u)               ? "a pedestrian can be kept from walking for ever"
                                                         : "a preemption can be kept from its green for ever";
        uint32_t at = 0;
        while (!kept[at]) at++;
        broken(what, at, (deed){.action = STEP}, &states[at]);
    }
    free(kept);
    free(next);
}

static unsigned most(const unsigned *of, unsigned n) {
    unsigned best = 0;
    for (unsigned i = 0; i < n; i++)
        if (of[i] > best) best = of[i];
    return best;
}

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof instances / sizeof *instances; i++) {
        if (strcmp(argv[1], instances[i].name) != 0) continue;
        search(&instances[i]);
        unsigned longest[KINDS] = {0};
        if (now->waits) measure(longest);
        if (now->waits && tables[0].actuated && most(longest, TRAINS) > tables[0].longest_red) {
            printf("%s: BROKEN: somebody waits %u steps, longer than the longest red\n", now->name, most(longest, TRAINS));
            return 1;
        }
        printf("%s: %u states, %llu transitions, no rule broken", now->name, count, (unsigned long long)transitions);
        if (now->waits) printf(", longest wait %u steps", most(longest, WALKERS));
        if (now->waits && now->buttons) printf(", of a pedestrian %u", most(longest + WALKERS, PHASES));
        if (now->waits && now->inputs) printf(", of a preemption %u", most(longest + TRAINS, SIGNAL_PREEMPTS));
        putchar('\n');
        return 0;
    }
    fputs("usage: signals_search NAME\n", stderr);
    return 4;
}
