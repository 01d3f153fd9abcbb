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

static plan two_rings(void) {
    return (plan){.complete = true, .count = 4,
        .limits = {{.phase = 2, .ring = 1, .min_green = 50, .max_green = 300, .min_clearance = 40, .max_clearance = 40, .green = 100},
            {.phase = 4, .ring = 1, .min_green = 40, .max_green = 200, .min_clearance = 50, .max_clearance = 50, .green = 90},
            {.phase = 6, .ring = 2, .min_green = 50, .max_green = 300, .min_clearance = 45, .max_clearance = 45, .green = 110},
            {.phase = 8, .ring = 2, .min_green = 40, .max_green = 200, .min_clearance = 45, .max_clearance = 45, .green = 80}}};
}

static uint8_t about; /* the phase that the last answer named */

static enum plan_code ask(plan *p, uint16_t cycle, unsigned n, const msg_phase_green *greens) {
    msg_phase_times m = {.request = 1, .cycle = cycle, .phase_count = (uint8_t)n};
    about = 99;
    return plan_request(p, &m, greens, &about);
}
#define ASK(p, cycle, ...) ask(p, cycle, sizeof((msg_phase_green[]){__VA_ARGS__}) / sizeof(msg_phase_green), \
    (msg_phase_green[]){__VA_ARGS__})

static void plans(void) {
    plan p = two_rings();
    plan_fall_back(&p);
    CHECK(p.green[0] == 100 && p.green[1] == 90 && p.green[2] == 110 && p.green[3] == 80 && p.green[4] == 0);
    p.count = 3;
    p.green[3] = 7;
    plan_fall_back(&p);
    CHECK(p.green[3] == 7);

    p = two_rings();
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
    CHECK(p.green[0] == 300 && p.green[1] == 200); /* what is refused changes nothing */
    CHECK(ask(&p, 300, 0, NULL) == PLAN_CODE_MISSING_PHASE && about == 2);

    /* One ring alone; a ring that is not there is not summed. */
    p.count = 2;
    CHECK(ASK(&p, 300, {2, 150}, {4, 60}) == PLAN_CODE_OK);
    p = two_rings();
    p.limits[0].ring = p.limits[1].ring = 2;
    p.count = 2;
    CHECK(ASK(&p, 300, {2, 150}, {4, 60}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 310, {2, 150}, {4, 60}) == PLAN_CODE_CYCLE_SUM);

    /* Not complete: phases may be left out, but not all of them. */
    p = two_rings();
    p.complete = false;
    p.green[1] = p.green[3] = 77;
    CHECK(ASK(&p, 200, {2, 160}) == PLAN_CODE_OK && p.green[0] == 160);
    CHECK(p.green[1] == 0 && p.green[3] == 0);
    CHECK(ASK(&p, 200, {4, 150}) == PLAN_CODE_OK && p.green[0] == 0 && p.green[1] == 150);
    p.count = 3;
    p.green[3] = 77;
    CHECK(ASK(&p, 200, {4, 150}) == PLAN_CODE_OK && p.green[2] == 0 && p.green[3] == 77);
    p.count = 4;
    CHECK(ask(&p, 0, 0, NULL) == PLAN_CODE_CYCLE_SUM && about == 0);

    /* Preset limits: phases 1 to 16, ring unknown, so that they fill one ring or two, and clearances between bounds. */
    plan_default(&p);
    CHECK(p.count == PLAN_PHASES && !p.complete);
    for (unsigned i = 0; i < PLAN_PHASES; i++) {
        const phase_limit *l = &p.limits[i];
        CHECK(l->phase == i + 1 && l->ring == 0 && l->min_green == 50 && l->max_green == 1200);
        CHECK(l->min_clearance == 30 && l->max_clearance == 120 && l->green == 0);
    }
    CHECK(ASK(&p, 260, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 256, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 255, {1, 100}, {2, 100}) == PLAN_CODE_CYCLE_SUM); /* neither does 510 */
    CHECK(ASK(&p, 444, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 445, {1, 100}, {2, 100}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 128, {1, 100}, {2, 100}) == PLAN_CODE_OK);
    CHECK(ASK(&p, 127, {1, 100}, {2, 100}) == PLAN_CODE_CYCLE_SUM);
    CHECK(ASK(&p, 260, {17, 100}) == PLAN_CODE_UNKNOWN_PHASE && about == 17);
    CHECK(ASK(&p, 96, {16, 66}) == PLAN_CODE_OK && p.green[15] == 66);
    plan_fall_back(&p);
    CHECK(p.green[15] == 0);
    CHECK(ASK(&p, 65535, {1, 50}) == PLAN_CODE_CYCLE_SUM); /* twice the cycle has 32 bits: 131070 is not 65534 */
    p.limits[0].max_green = p.limits[1].max_green = 65535;
    CHECK(ASK(&p, 74, {1, 65500}, {2, 50}) == PLAN_CODE_CYCLE_SUM); /* nor is 65610 the same as 74 */
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

int main(void) {
    plans();
    detecting();
    storing();
    printf("%u cases, %u failed\n", cases, failures);
    return failures != 0;
}
