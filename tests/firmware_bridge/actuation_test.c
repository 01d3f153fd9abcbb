/* The actuated signal core under the sanitizers: random intersections, vehicles, hosts and trains, judged by an observer
 * that sees heads and who waits.
 *
 *   actuation_test SEED TABLES TICKS    so many steps on each of so many tables; prints what was seen
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signals.h"

static uint64_t random_state;

static uint32_t r(uint32_t below) { /* xorshift64* */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717u >> 32) % below);
}

static signals s;
static signal_table table;
static uint64_t tick;
static unsigned greens, gap_outs, max_outs, walks, served, changes, carried, closest = 1000, unserved;

static struct {
    uint8_t colour; /* 0 red, 1 green, 2 yellow */
    unsigned age, ped_age, dark, waits, rivals;
    uint8_t ped;
} seen[SIGNAL_PHASES];
static struct {
    uint8_t colour;
    unsigned age;
    uint8_t parent;
} lit[SIGNAL_OVERLAPS];
static bool quiet; /* since the start of this table: no preemption, no other table */

static void broken(const char *rule, unsigned who) {
    printf("tick %llu: %s, row or overlap %u of:\n", (unsigned long long)tick, rule, who);
    for (unsigned i = 0; i < table.count; i++) {
        const signal_row *w = &table.rows[i];
        printf("  phase %u ring %u conflicts %02x min %u max %u max_1 %u green %u walk %u clear %u yellow %u red %u "
               "passage %u delay %u options %u: colour %u age %u waits %u core %u\n",
            w->phase, w->ring, w->conflicts, w->min_green, w->max_green, w->max_1, w->green, w->walk, w->ped_clear,
            w->yellow, w->red, w->passage, w->delay, w->options, seen[i].colour, seen[i].age, seen[i].waits, s.waits[i]);
    }
    for (unsigned i = 0; i < SIGNAL_RINGS; i++)
        printf("  ring %u: row %u state %u ticks %u next %u called %u opposed %u gap %u\n", i, s.rings[i].row,
            s.rings[i].state, s.rings[i].ticks, s.rings[i].next, s.rings[i].called, s.rings[i].opposed, s.rings[i].gap);
    printf("  longest red %u, calls %02x ped %02x faulty %02x omits %02x preempt %u\n", table.longest_red, s.calls,
        s.ped_calls, s.faulty, s.omits, s.preempt);
    exit(1);
}

/* One ring, or two with one to three barriers. */
static void make_table(void) {
    memset(&table, 0, sizeof table);
    bool dual = r(3) != 0;
    unsigned group[SIGNAL_PHASES], groups = 1 + r(3);
    table.actuated = true;
    table.count = (uint8_t)(2 + r(SIGNAL_PHASES - 1));
    table.start_flash = table.start_red = 2;
    for (unsigned i = 0; i < table.count; i++) group[i] = dual ? i * groups / table.count : i;
    unsigned all = 0, rings[2] = {0, 0}, late = 0;
    for (unsigned i = 0; i < table.count; i++) {
        signal_row *w = &table.rows[i];
        w->phase = (uint8_t)(i + 1);
        w->ring = dual ? (uint8_t)(1 + r(2)) : 1;
        w->min_green = (uint16_t)(1 + r(4));
        w->green = (uint16_t)(w->min_green + r(6));
        w->max_green = (uint16_t)(w->green + 4 + r(8));
        w->max_1 = (uint16_t)(w->min_green + r(w->max_green - w->min_green + 1u));
        w->yellow = (uint8_t)(1 + r(3));
        w->red = (uint8_t)r(4);
        w->passage = (uint8_t)r(4);
        w->delay = (uint8_t)(r(3) ? 0 : r(4));
        w->options = (uint8_t)(r(3) ? 0 : r(4));
        if (r(2)) w->options |= ROW_OPTION_LOCKING;
        if (r(3) == 0) {
            w->walk = (uint16_t)(1 + r(3));
            w->ped_clear = (uint16_t)(1 + r(3));
            if (w->walk + w->ped_clear > w->max_green) w->max_green = (uint16_t)(w->walk + w->ped_clear);
            if (r(4) == 0) w->options |= ROW_OPTION_PED_RECALL;
        }
        unsigned ped = w->walk + w->ped_clear, clears = w->yellow + (w->red ? w->red : 1u);
        all += (ped > w->min_green ? ped : w->min_green) + clears;
        rings[w->ring - 1] += (ped > w->max_1 ? ped : w->max_1) + clears;
        if (clears > late) late = clears;
    }
    for (unsigned i = 0; i < table.count; i++)
        for (unsigned k = 0; k < table.count; k++)
            if (i != k && (table.rows[i].ring == table.rows[k].ring || group[i] != group[k]))
                table.rows[i].conflicts |= (uint8_t)(1u << k);
    table.longest_red = (uint16_t)(all + late + (rings[0] > rings[1] ? rings[0] : rings[1]) + r(20));
    for (unsigned o = 0; o < SIGNAL_OVERLAPS; o++)
        if (r(3) == 0) table.overlaps[o] = (uint8_t)(1 + r((1u << table.count) - 1u));
    for (unsigned k = 0; k < SIGNAL_PREEMPTS; k++) {
        if (r(2)) continue;
        signal_preempt *p = &table.preempts[k];
        unsigned row = r(table.count);
        p->input = (uint8_t)(k + 1);
        p->dwell = (uint8_t)(1u << row);
        row = r(table.count);
        if (r(2)) p->track = (uint8_t)(1u << row), p->track_s = (uint8_t)r(3);
        p->dwell_s = (uint8_t)r(3);
    }
}

static uint8_t others_of(unsigned overlap) {
    uint8_t rows = 0xFF;
    for (unsigned i = 0; i < table.count; i++)
        if (table.overlaps[overlap] >> i & 1) rows &= table.rows[i].conflicts;
    return table.overlaps[overlap] ? rows : 0;
}

static void judge_row(unsigned i, const signal_heads *h, uint8_t waiting, uint8_t was_called) {
    const signal_row *w = &table.rows[i];
    uint8_t colour = h->green >> i & 1 ? 1 : h->yellow >> i & 1 ? 2 : 0;
    uint8_t ped = h->walk >> i & 1 ? 1 : h->ped_clear >> i & 1 ? 2 : 0;
    const signal_ring *ring = &s.rings[w->ring - 1];
    if (colour != seen[i].colour) {
        if (seen[i].colour == 1 && colour != 2) broken("a green ended without yellow", i);
        if (seen[i].colour == 1 && seen[i].age < w->min_green) broken("a green was shorter than the minimum", i);
        if (seen[i].colour == 2 && (colour != 0 || seen[i].age != w->yellow)) broken("a yellow was short or long", i);
        if (seen[i].colour == 0 && colour != 1) broken("a yellow came from red", i);
        if (seen[i].colour == 2) seen[i].dark = 0;
        if (colour == 1) {
            greens++;
            if (quiet && !(was_called >> i & 1)) broken("a green for nobody", i);
            for (unsigned k = 0; k < table.count; k++)
                if ((w->conflicts >> k & 1) && (seen[k].colour != 0 || seen[k].dark < table.rows[k].red))
                    broken("a green began within a red clearance", i);
        }
        if (seen[i].colour == 1) {
            gap_outs += ring->reason == TERMINATION_GAP_OUT;
            max_outs += ring->reason == TERMINATION_MAX_OUT;
            if (quiet && !(was_called & w->conflicts) && ring->reason != TERMINATION_FORCE_OFF) broken("a green ended for nobody", i);
        }
        seen[i].colour = colour;
        seen[i].age = 0;
    }
    if (ped != seen[i].ped) {
        if (seen[i].ped == 1 && (ped != 2 || (seen[i].ped_age != w->walk && quiet))) broken("a walk was cut", i);
        if (seen[i].ped == 2 && (ped == 0 || ped == 1) && seen[i].ped_age != w->ped_clear)
            broken("a pedestrian clearance was cut", i);
        if (seen[i].ped == 0 && ped != 1) broken("a clearance without walk", i);
        walks += ped == 1;
        seen[i].ped = ped;
        seen[i].ped_age = 0;
    }
    if (ped && colour != 1) broken("somebody crosses without a green", i);
    /* who waits */
    if (colour != 1 && (waiting >> i & 1) && quiet)
        seen[i].waits++;
    else
        seen[i].waits = 0;
    if (seen[i].waits > table.longest_red) broken("a caller waits longer than the longest red", i);
    if (table.longest_red - seen[i].waits < closest) closest = table.longest_red - seen[i].waits;
}

static void judge(uint8_t waiting, uint8_t was_called) {
    signal_heads h = signals_look(&s);
    if (s.mode == SIGNAL_MODE_FAULT) broken("the conflict monitor tripped", 0);
    for (unsigned i = 0; i < table.count; i++) seen[i].age++, seen[i].ped_age++, seen[i].dark++;
    for (unsigned i = 0; i < table.count; i++) judge_row(i, &h, waiting, was_called);
    for (unsigned i = 0; i < table.count; i++) {
        uint8_t go = h.green | h.yellow;
        if ((go >> i & 1) && (go & table.rows[i].conflicts)) broken("two conflicting heads are not red", i);
        uint8_t rivals = waiting & (uint8_t)~s.omits & table.rows[i].conflicts;
        seen[i].rivals = seen[i].colour == 1 && rivals ? seen[i].rivals + 1 : 0;
        unsigned bound = table.rows[i].max_green + table.rows[i].walk + table.rows[i].ped_clear + 1u;
        if (quiet && seen[i].rivals > bound) broken("a green did not end at its maximum", i);
    }
    for (unsigned o = 0; o < SIGNAL_OVERLAPS; o++) {
        uint8_t colour = h.overlap_green >> o & 1 ? 1 : h.overlap_yellow >> o & 1 ? 2 : 0, parents = table.overlaps[o];
        lit[o].age++;
        if (colour && ((h.green | h.yellow) & others_of(o))) broken("an overlap beside a row in its way", o);
        if (h.green & parents && colour == 0 && lit[o].colour == 0) broken("an overlap is red beside its parent's green", o);
        if (colour != lit[o].colour) {
            if (lit[o].colour == 1 && colour != 2) broken("an overlap ended without yellow", o);
            if (lit[o].colour == 2 && (colour == 2 || lit[o].age < table.rows[lit[o].parent].yellow))
                broken("an overlap's yellow was short", o);
            if (lit[o].colour == 0 && colour != 1) broken("an overlap's yellow came from red", o);
            lit[o].colour = colour;
            lit[o].age = 0;
        }
        if (colour == 1 && !(h.green & parents)) carried++;
        for (uint8_t i = 0; colour == 1 && i < table.count; i++)
            if (h.green & parents & (1u << i)) { lit[o].parent = i; break; }
    }
}

/* A railway gets its greens as soon as what is green has ended in order, and its track before its dwell. */
static void judge_preemption(void) {
    static uint8_t was, before;
    uint8_t state = s.preempt ? signals_preempted(&s, (uint8_t)(s.preempt - 1)) : PREEMPT_STATE_OFF;
    served += state == PREEMPT_STATE_SERVED && before != state;
    before = state;
    if (s.preempt == 0 || s.mode != SIGNAL_MODE_RUN) {
        unserved = was = 0;
        return;
    }
    const signal_preempt *p = &table.preempts[s.preempt - 1];
    uint8_t rows = s.preempt_stage == 0 && p->track ? p->track : p->dwell, now = (uint8_t)(s.preempt << 1 | (rows == p->track));
    unsigned longest = 0;
    for (unsigned i = 0; i < table.count; i++) {
        const signal_row *w = &table.rows[i];
        unsigned most = (w->min_green > w->walk + w->ped_clear ? w->min_green : w->walk + w->ped_clear) + w->yellow + w->red;
        if (most + 2u > longest) longest = most + 2u;
    }
    bool green = (signals_look(&s).green & rows) == rows;
    unserved = green || now != was ? 0 : unserved + 1;
    was = now;
    if (unserved > 2 * longest) broken("a preemption is not served", s.preempt);
}

static uint8_t called_rows(void) {
    uint8_t rows = signals_called(&s) | s.ped_calls;
    for (unsigned i = 0; i < table.count; i++)
        if ((table.rows[i].options & ROW_OPTION_PED_RECALL) || (table.rows[i].options & 3) == RECALL_SOFT)
            rows |= (uint8_t)(1u << i);
    return rows;
}

static void run_table(unsigned ticks) {
    uint8_t phase, present = 0, faulty = 0, inputs = 0, committed = 0;
    make_table();
    enum plan_code code = signals_check(&table, &phase);
    if (code != PLAN_CODE_OK) {
        printf("refused with %d, phase %u\n", code, phase);
        exit(1);
    }
    memset(&s, 0, sizeof s);
    memset(seen, 0, sizeof seen);
    memset(lit, 0, sizeof lit);
    for (unsigned i = 0; i < SIGNAL_PHASES; i++) seen[i].dark = 1000;
    unsigned busy = 2 + r(12), nasty = r(3), trains = r(3) == 0 ? 60 + r(400) : 0, faults = r(4) == 0;
    quiet = trains == 0;
    signals_start(&s, &table);
    for (tick = 0; tick < ticks; tick++) {
        for (unsigned i = 0; i < table.count; i++)
            if (r(busy) == 0) present ^= (uint8_t)(1u << i);
        if (faults && r(80) == 0) faulty ^= (uint8_t)(1u << r(table.count));
        if (trains && r(trains) == 0) inputs ^= (uint8_t)(1u << r(2));
        if (r(30) == 0) (void)signals_request(&s, ACTION_PED_CALL, (uint8_t)(1 + r(table.count)));
        static const uint8_t asks[] = {ACTION_CALL, ACTION_HOLD, ACTION_FORCE_OFF, ACTION_RELEASE, ACTION_OMIT};
        for (unsigned n = nasty; n > 0; n--)
            (void)signals_request(&s, asks[r(5)], (uint8_t)(1 + r(table.count)));
        if (nasty && r(20) == 0) {
            uint16_t to[SIGNAL_PHASES] = {0};
            for (unsigned i = 0; i < table.count; i++)
                to[i] = (uint16_t)(table.rows[i].min_green + r(table.rows[i].max_green - table.rows[i].min_green + 1u));
            signals_greens(&s, to);
        }
        if (nasty && r(100) == 0) signals_host_lost(&s);
        if (r(3000) == 0) {
            changes++;
            quiet = false;
            signals_replace(&s, &table);
        }
        signals_detect(&s, present, faulty);
        signals_preempt(&s, inputs);
        uint8_t before = called_rows();
        signals_tick(&s);
        uint8_t now = called_rows(), waiting = 0, host = 0;
        for (unsigned i = 0; i < SIGNAL_RINGS; i++) {
            if (s.rings[i].called != NO_ROW) host |= (uint8_t)(1u << s.rings[i].called);
            if (s.rings[i].next != NO_ROW) committed |= (uint8_t)(1u << s.rings[i].next);
        }
        waiting = (uint8_t)((signals_called(&s) & ~host) | s.ped_calls | (now & host & s.calls));
        if (s.mode == SIGNAL_MODE_RUN || s.mode == SIGNAL_MODE_CLOSING) judge(waiting, before | now | committed | present);
        judge_preemption();
        committed = 0;
        for (unsigned i = 0; i < SIGNAL_RINGS; i++)
            if (s.rings[i].next != NO_ROW) committed |= (uint8_t)(1u << s.rings[i].next);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    random_state = 88172645463325252u + (uint64_t)atoll(argv[1]) * 7919u;
    for (unsigned n = 0; n < 20; n++) (void)r(2);
    for (int n = atoi(argv[2]); n > 0; n--) run_table((unsigned)atoi(argv[3]));
    printf("%u greens, %u gap-outs, %u max-outs, %u walks, %u steps of overlaps carried, %u preemptions served, %u other "
           "tables, longest red but for %u steps\n", greens, gap_outs, max_outs, walks, carried, served, changes, closest);
    return 0;
}
