/* The firmware's core under the address and undefined-behaviour sanitizers, on a HAL of arrays.
 *
 *   core_test decode          stdin bytes -> one line of hexadecimal for each good payload, then "frames errors"
 *   core_test fuzz SEED TURNS random line, random host, random edges; checks what must always hold
 *   core_test signals SEED TURNS as fuzz, on a board with a plan table that is sent again and again; looks at the heads
 *   core_test cuts SEED TABLES cuts the power at every write of the plan table's two copies
 *   core_test detect COUNT DEBOUNCE CHATTER STUCK NO_HIT END   stdin "ms channel value" lines -> events
 *   core_test frames SEED COUNT damages frames in every way that a line can; none may be taken for a good one
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "hal.h"

static uint64_t clock_ms, uptime_ms;
static uint8_t to_board[4096];
static size_t to_board_n;
static uint32_t edges_due, edges_made, line_room;
static frame_decoder host;
static uint32_t host_next = 1, host_gaps, host_oldest, host_boot;
static board b;
static bool driving; /* signals: their events are among those of the edges */
static unsigned refusals[PLAN_CODE_TABLE_PREEMPT + 1];

uint64_t hal_clock_ms(void) { return clock_ms; }
uint64_t hal_uptime_ms(void) { return uptime_ms; }

size_t hal_read(uint8_t *to, size_t n) {
    size_t got = to_board_n < n ? to_board_n : n;
    memcpy(to, to_board, got);
    memmove(to_board, to_board + got, to_board_n - got);
    to_board_n -= got;
    return got;
}

static uint32_t u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void host_hears(const uint8_t *p, size_t n) {
    if (p[0] == MSG_IDENTITY) {
        assert(n == MSG_IDENTITY_SIZE);
        host_boot = u32(p + 17);
    } else if (p[0] == MSG_STATUS) {
        assert(n == MSG_STATUS_SIZE);
        uint32_t next = u32(p + 5), oldest = u32(p + 9), sent = u32(p + 13), acked = u32(p + 17);
        assert(1 <= oldest && oldest <= next && next - oldest <= b.events.capacity && sent < next && acked < next);
        host_oldest = oldest;
        if (sent + 1 >= oldest && oldest > host_next) { /* a perfect line: only the board can lose */
            host_gaps += oldest - host_next;
            host_next = oldest;
        }
    } else if (p[0] == MSG_EVENT) {
        assert(n == MSG_EVENT_SIZE);
        uint32_t seq = u32(p + 1), ms = u32(p + 5);
        assert(driving || seq <= host_next); /* resent or next, never beyond */
        assert(driving || ms == seq * 3u);
        if (seq == host_next) host_next++;
    } else {
        assert(p[0] == MSG_PLAN_RESULT && n == MSG_PLAN_RESULT_SIZE && p[3] <= PLAN_CODE_TABLE_PREEMPT);
        refusals[p[3]]++;
    }
}

size_t hal_write(const uint8_t *from, size_t n) {
    size_t taken = n < line_room ? n : line_room;
    line_room -= (uint32_t)taken;
    for (size_t i = 0; i < taken; i++) {
        size_t length = frame_feed(&host, from[i]);
        if (length) host_hears(host.buffer, length);
    }
    return taken;
}

static unsigned r(unsigned below) { return (unsigned)rand() % below; }

bool hal_next_edge(uint64_t now, edge *e) {
    if (edges_due == 0) return false;
    edges_due--;
    if (driving) { /* three detectors, a button and a railway's contact */
        uint8_t kind = r(4) ? EVENT_KIND_DETECTOR : EVENT_KIND_INPUT;
        *e = (edge){.ms = (uint32_t)now, .kind = kind, .channel = (uint8_t)(kind == EVENT_KIND_INPUT ? 5 + r(3) : 1 + r(4)),
            .value = (uint16_t)(r(3) == 0)};
        return true;
    }
    edges_made++;
    *e = (edge){.ms = edges_made * 3u, .kind = 1, .channel = 2, .value = 1};
    return true;
}

static uint8_t memory[512];
uint8_t hal_nv_read(uint16_t at) { return memory[at]; }
bool hal_nv_ready(void) { return true; }
static unsigned writes_left = UINT32_MAX, torn;
void hal_nv_write(uint16_t at, uint8_t byte) {
    if (writes_left == 0) return; /* the power is gone */
    if (--writes_left == 0 && torn) byte = torn == 1 ? 0xFF : (uint8_t)rand(); /* erased, or half programmed */
    memory[at] = byte;
}
bool hal_nv_flush(void) { return true; }

static uint8_t lit_phases, crossings;
void hal_heads(const signal_heads *h) {
    uint8_t go = h->green | h->yellow;
    assert(!(go & 0x3) || !(go & 0xC)); /* rows 0 and 1 against rows 2 and 3, and each ring by itself */
    assert((go & 0x5) != 0x5 && (go & 0xA) != 0xA);
    assert(!h->flash || !(go | h->walk | h->ped_clear));
    lit_phases |= h->green;
    crossings |= h->walk;
}

static void say(const uint8_t *payload, size_t n) {
    if (to_board_n + FRAME_BYTES > sizeof to_board) return;
    to_board_n += frame_encode(payload, n, to_board + to_board_n);
}

static void say_ack(uint8_t id, uint32_t boot, uint32_t ack) {
    uint8_t p[9] = {id};
    for (unsigned i = 0; i < 4; i++) {
        p[1 + i] = (uint8_t)(boot >> (8 * i));
        p[5 + i] = (uint8_t)(ack >> (8 * i));
    }
    say(p, sizeof p);
}

static void fuzz(unsigned turns) {
    b.identity.boot = 77;
    b.identity.ring = 64;
    board_start(&b);
    for (unsigned turn = 0; turn < turns; turn++) {
        uint8_t noise[64];
        unsigned n = r(sizeof noise) + 1;
        for (unsigned i = 0; i < n; i++) noise[i] = (uint8_t)r(256);
        switch (r(8)) {
        case 0: say_ack(MSG_HELLO, host_boot, host_next - 1); break;
        case 1: say_ack(MSG_HELLO, r(2) ? 77 : (unsigned)rand(), r(2) ? (unsigned)rand() : 0); break;
        case 2:
            if (to_board_n + n < sizeof to_board) {
                memcpy(to_board + to_board_n, noise, n);
                to_board_n += n;
            }
            break;
        case 3: noise[0] = (uint8_t)(0x80 + r(8)); say(noise, n); break;
        case 4: noise[0] = MSG_PHASE_TIMES; noise[5] = (uint8_t)r(20); say(noise, 6u + 3u * (noise[5] % 18u)); break;
        case 5: edges_due = r(300); break;
        default: say_ack(MSG_HEARTBEAT, 77, host_next - 1); break;
        }
        uptime_ms += r(20) == 0 ? 3000 : r(60);
        clock_ms += r(100);
        line_room = r(4) ? r(2000) : 0;
        board_step(&b);
        assert(b.tx_length <= TX_BYTES && b.acked < b.events.next && b.events.next == edges_made + 1);
        for (unsigned i = 0; i < PLAN_PHASES; i++)
            assert(b.plan.green[i] == 0 || (b.plan.green[i] >= 50 && b.plan.green[i] <= 1200));
        assert(b.alive || !b.host_plan);
    }
    for (int i = 0; i < 50; i++) { /* a calm end: everything that was made is received or known to be lost */
        if (i == 0) say_ack(MSG_HEARTBEAT, 0, 0), say_ack(MSG_HELLO, 77, host_next - 1);
        uptime_ms += 100;
        line_room = 100000;
        board_step(&b);
        say_ack(MSG_HEARTBEAT, 77, host_next - 1);
    }
    assert(host_next == edges_made + 1);
    printf("%u made, %u lost, %u plans accepted, %u refused frames\n", edges_made, host_gaps, b.plans_accepted,
        board_rx_errors(&b));
}

/* Rows 0 and 2 are ring 1, rows 1 and 3 ring 2; 0 runs beside 1, 2 beside 3. Of format 1, or actuated. */
static void say_table(unsigned request, bool lossy) {
    bool actuated = r(2);
    uint8_t head = actuated ? ACTUATED_HEAD : SETTINGS_HEAD, row = actuated ? ACTUATED_ROW : SETTINGS_ROW;
    uint8_t size = (uint8_t)(head + 4 * row + (actuated ? 3 : 0));
    uint8_t t[ACTUATED_HEAD + 4 * ACTUATED_ROW + 3] = {SETTINGS_FORMAT, 4, 20, 0, 60, 0, 3, 20, 10};
    if (actuated) { /* longest red 70 s; an overlap of row 0, one of rows 0 and 2; input 5 a railway's */
        uint8_t more[ACTUATED_HEAD - SETTINGS_HEAD] = {700 & 0xFF, 700 >> 8, 2, 1, 0, 0, 5, 5, 4, 1, 3, 1};
        t[0] = ACTUATED_FORMAT;
        memcpy(t + SETTINGS_HEAD, more, sizeof more);
        for (uint8_t i = 0; i < 3; i++) t[head + 4 * row + i] = (uint8_t)(1u << i | 8u * (i == 2));
    }
    for (uint8_t i = 0; i < 4; i++) {
        uint8_t fill[ACTUATED_ROW] = {(uint8_t)(2 * i + 2), (uint8_t)(i % 2 + 1), i < 2 ? 0xC : 0x3, i == 0 ? 7 : 0, 40, 0,
            120, 0, 60, 0, i == 0 ? 40 : 0, 0, i == 0 ? 50 : 0, 0, 30, (uint8_t)(10 + i), 60, 0, 20, (uint8_t)r(5),
            (uint8_t)(r(4) | (r(2) ? ROW_OPTION_LOCKING : 0))};
        memcpy(t + head + i * row, fill, row);
    }
    for (unsigned at = 0; at < size; at += PART_BYTES) {
        uint8_t p[MSG_TABLE_PART_SIZE] = {MSG_TABLE_PART, (uint8_t)at};
        for (unsigned i = 0; i < PART_BYTES && at + i < size; i++) p[3 + i] = t[at + i];
        if (!lossy || r(4)) say(p, sizeof p);
    }
    uint32_t crc = crc32_of(t, size);
    uint8_t c[MSG_TABLE_COMMIT_SIZE] = {MSG_TABLE_COMMIT, (uint8_t)request, 0, r(3) ? ACTION_STORE_TABLE : ACTION_CHECK_TABLE,
        size, 0, (uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)};
    say(c, sizeof c);
}

static void signals_fuzz(unsigned turns) {
    unsigned stored = 0;
    driving = true;
    b.identity.boot = 77;
    b.identity.ring = 64;
    memset(memory, 0xFF, sizeof memory);
    board_start(&b);
    for (unsigned turn = 0; turn < turns; turn++) {
        switch (r(12)) {
        case 0: say_ack(MSG_HELLO, 77, 0); break;
        case 1: if (r(20) == 0) say_table(turn, false); break;
        case 2: if (r(20) == 0) say_table(turn, true); break;
        case 3: case 4: case 5: case 6: {
            uint8_t p[MSG_SIGNAL_REQUEST_SIZE] = {MSG_SIGNAL_REQUEST, (uint8_t)turn, 0, (uint8_t)r(10), (uint8_t)r(10)};
            say(p, sizeof p);
            break;
        }
        case 7: {
            uint8_t p[MSG_PHASE_TIMES_SIZE + 12] = {MSG_PHASE_TIMES, (uint8_t)turn, 0, 0, 0, 4};
            unsigned first = 40 + r(80), cycle = first + 40 + 40 + 40 + 20; /* clearances are near enough */
            for (uint8_t i = 0; i < 4; i++) {
                p[6 + 3 * i] = (uint8_t)(2 * i + 2);
                p[7 + 3 * i] = (uint8_t)(i < 2 ? first : 60);
            }
            p[3] = r(3) ? (uint8_t)cycle : 0; /* free, where the table is actuated */
            say(p, sizeof p);
            break;
        }
        case 8: if (r(50) == 0) board_line_down(&b); break;
        default: say_ack(MSG_HEARTBEAT, 77, b.events.next - 1); break;
        }
        if (r(2000) == 0) { /* a power cut: the table is still there */
            bool had = b.identity.table != 0;
            board fresh = {.identity = {.boot = 77, .ring = 64}};
            b = fresh;
            board_start(&b);
            assert(!had || b.identity.table != 0);
        }
        uptime_ms += r(300) == 0 ? 3000 : r(60);
        clock_ms += r(250);
        line_room = 100000;
        host.length = 0;
        edges_due = r(5) ? 0 : r(4);
        board_step(&b);
        stored += b.commit.crc != 0 && b.identity.table == b.commit.crc;
        assert(b.signals.mode != SIGNAL_MODE_FAULT);
    }
    assert(stored > 0 && lit_phases == 0xF && crossings == 0x1);
    assert(refusals[PLAN_CODE_PREEMPTED] > 0 && refusals[PLAN_CODE_CYCLE_SUM] > 0);
    printf("every phase was green, %u plans accepted, %u refused\n", b.plans_accepted, b.plans_refused);
}

/* --- power cuts while a table is kept -------------------------------------------------------------- */

static void cuts(unsigned tables) {
    uint8_t old[SETTINGS_MAX], new[SETTINGS_MAX], before[sizeof memory];
    size_t old_n = 0, tried = 0;
    store s;
    const uint8_t *kept;
    memset(memory, 0xFF, sizeof memory);
    assert(store_load(&s, &kept) == 0);
    for (unsigned table = 0; table < tables; table++) {
        size_t new_n = SETTINGS_HEAD + r(SIGNAL_PHASES + 1) * SETTINGS_ROW;
        unsigned writes = (unsigned)(SLOT_HEAD + new_n + CRC_BYTES);
        for (size_t i = 0; i < new_n; i++) new[i] = (uint8_t)r(256);
        memcpy(before, memory, sizeof memory);
        for (unsigned cut = 0; cut <= writes; cut++) {
            for (torn = 0; torn < 4; torn++, tried++) {
                memcpy(memory, before, sizeof memory);
                assert(store_load(&s, &kept) == old_n && memcmp(kept, old, old_n) == 0);
                memcpy(s.bytes + SLOT_HEAD, new, new_n);
                writes_left = cut;
                store_begin(&s, new_n);
                while (store_step(&s) == STORE_WRITING && writes_left > 0) continue;
                bool promised = store_step(&s) == STORE_DONE;
                writes_left = UINT32_MAX;
                size_t n = store_load(&s, &kept); /* the power is back */
                bool is_old = n == old_n && memcmp(kept, old, n) == 0, is_new = n == new_n && memcmp(kept, new, n) == 0;
                assert(is_old || is_new);
                assert(is_new || !promised);
                memcpy(s.bytes + SLOT_HEAD, new, new_n); /* and the same can be done again, to its end */
                store_begin(&s, new_n);
                while (store_step(&s) == STORE_WRITING) continue;
                assert(s.state == STORE_DONE && store_load(&s, &kept) == new_n && memcmp(kept, new, new_n) == 0);
            }
        }
        memcpy(old, new, new_n);
        old_n = new_n;
    }
    printf("%zu cuts\n", tried);
}

/* --- damaged frames -------------------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t fast(uint32_t below) { /* xorshift64*: ten million frames in seconds */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 2685821657736338717u >> 32) % below);
}

static size_t random_frame(uint8_t *payload, size_t *n, uint8_t *frame) {
    *n = fast(MAX_PAYLOAD) + 1u;
    uint32_t zeros = fast(4); /* many zeros make many codes, and those are where it hurts */
    for (size_t i = 0; i < *n; i++) payload[i] = fast(4) < zeros ? 0 : (uint8_t)fast(256);
    return frame_encode(payload, *n, frame);
}

static size_t damage(uint8_t *f, size_t n) {
    size_t at = fast((uint32_t)n);
    switch (fast(7)) {
    case 0: /* flipped bits */
        for (uint32_t flips = fast(8) + 1u; flips > 0; flips--) f[fast((uint32_t)n)] ^= (uint8_t)(1u << fast(8));
        return n;
    case 1: /* a burst */
        for (size_t i = at; i < n && i < at + 8; i++) f[i] = (uint8_t)fast(256);
        return n;
    case 2: /* lost bytes: an overrun */
        memmove(f + at, f + at + 1, n - at - 1);
        return n - 1;
    case 3: /* doubled bytes */
        memmove(f + at + 1, f + at, n - at);
        return n + 1;
    case 4: return at; /* cut off: what follows grows onto it */
    case 5: /* nothing but noise */
        for (size_t i = 0; i < n; i++) f[i] = (uint8_t)fast(256);
        return n;
    default: /* a flip in one of the codes only */
        f[0] ^= (uint8_t)(1u << fast(8));
        return n;
    }
}

static void frames(unsigned long count) {
    frame_decoder d = {.length = 0};
    uint8_t payload[MAX_PAYLOAD], good[2][MAX_PAYLOAD], line[4 * FRAME_BYTES];
    size_t payload_n, good_n[2];
    unsigned long corrupt = 0, unchanged = 0, late = 0;
    for (unsigned long i = 0; i < count; i++) {
        size_t n = random_frame(payload, &payload_n, line);
        n = damage(line, n);
        size_t noise_end = n;
        for (int k = 0; k < 2; k++) n += random_frame(good[k], &good_n[k], line + n);
        bool heard[2] = {false, false};
        for (size_t at = 0; at < n; at++) {
            size_t length = frame_feed(&d, line[at]);
            const uint8_t *out = d.buffer;
            if (length == 0) continue;
            bool known = false;
            for (int k = 0; k < 2; k++)
                if (at >= noise_end && length == good_n[k] && memcmp(out, good[k], length) == 0) known = heard[k] = true;
            if (!known && length == payload_n && memcmp(out, payload, length) == 0) known = true, unchanged++;
            corrupt += !known;
        }
        late += !heard[1];
    }
    printf("%lu damaged, %lu corrupt accepted, %lu unchanged, %lu late\n", count, corrupt, unchanged, late);
    if (corrupt || late) exit(1);
}

/* --- detectors ------------------------------------------------------------------------------------- */

static void detect(char **limits) {
    static detectors d;
    unsigned ms, channel, value;
    edge e;
    detectors_start(&d, &(detector_limits){.count = (uint8_t)atoi(limits[0]), .debounce_ms = (uint8_t)atoi(limits[1]),
        .chatter = (uint8_t)atoi(limits[2]), .stuck_s = (uint16_t)atoi(limits[3]), .no_hit_s = (uint16_t)atoi(limits[4])},
        0);
    for (bool more = true; more;) {
        more = scanf("%u %u %u", &ms, &channel, &value) == 3;
        if (!more) ms = (unsigned)atoi(limits[5]);
        while (detectors_next(&d, ms, &e)) printf("%u %u %u %u\n", e.ms, e.kind, e.channel, e.value);
        e = (edge){.ms = ms, .kind = EVENT_KIND_DETECTOR, .channel = (uint8_t)channel, .value = (uint16_t)value};
        if (!more) return;
        if (!detectors_take(&d, &e)) printf("%u %u %u %u\n", e.ms, e.kind, e.channel, e.value);
        while (detectors_next(&d, ms, &e)) printf("%u %u %u %u\n", e.ms, e.kind, e.channel, e.value);
    }
}

int main(int argc, char **argv) {
    if (argc == 2) {
        frame_decoder d = {.length = 0};
        for (int c; (c = getchar()) != EOF;) {
            size_t n = frame_feed(&d, (uint8_t)c);
            for (size_t i = 0; i < n; i++) printf("%02x", d.buffer[i]);
            if (n) putchar('\n');
        }
        printf("%u %u\n", d.frames, d.errors);
        return 0;
    }
    if (argc == 8) {
        detect(argv + 2);
        return 0;
    }
    if (argc != 4) return 2;
    srand((unsigned)atoi(argv[2]));
    random_state = 88172645463325252u + (uint64_t)atoi(argv[2]);
    switch (argv[1][0]) {
    case 's': signals_fuzz((unsigned)atoi(argv[3])); break;
    case 'c': cuts((unsigned)atoi(argv[3])); break;
    case 'f': argv[1][1] == 'r' ? frames((unsigned long)atol(argv[3])) : fuzz((unsigned)atoi(argv[3])); break;
    default: return 2;
    }
    return 0;
}
