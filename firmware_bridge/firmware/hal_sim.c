/* Boards in memory, as a shared library for a simulation: bytes in, bytes out, edges in, heads out; their clock goes as
 * far as it is told and no further, so that the same calls give the same bytes.
 *
 * A process may have as many boards as it wants. `board` is the core's own state, one in each of them; the HAL serves
 * the one whose function was called last, and none is called by two threads at once.
 */
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "hal.h"

#define LINE_BYTES 65536u
#define EDGES 4096u
#define NV_BYTES 512u

typedef struct {
    uint8_t bytes[LINE_BYTES];
    size_t length;
} line;

typedef struct {
    board core;
    uint64_t ms;
    line in, out;
    edge edges[EDGES];
    size_t edge_at, edge_count;
    uint8_t nv[NV_BYTES];
    signal_heads heads;
} sim;

static sim *now;

/* --- the core's side ------------------------------------------------------------------------------- */

uint64_t hal_clock_ms(void) { return now->ms; }

uint64_t hal_uptime_ms(void) { return now->ms; }

static size_t put(line *l, const uint8_t *from, size_t n) {
    size_t taken = LINE_BYTES - l->length < n ? LINE_BYTES - l->length : n;
    memcpy(l->bytes + l->length, from, taken);
    l->length += taken;
    return taken;
}

static size_t get(line *l, uint8_t *to, size_t n) {
    size_t got = l->length < n ? l->length : n;
    memcpy(to, l->bytes, got);
    memmove(l->bytes, l->bytes + got, l->length - got);
    l->length -= got;
    return got;
}

size_t hal_read(uint8_t *to, size_t n) { return get(&now->in, to, n); }

size_t hal_write(const uint8_t *from, size_t n) { return put(&now->out, from, n); }

bool hal_next_edge(uint64_t clock_ms, edge *e) {
    if (now->edge_at == now->edge_count || now->edges[now->edge_at].ms > clock_ms) return false;
    *e = now->edges[now->edge_at++];
    if (now->edge_at == now->edge_count) now->edge_at = now->edge_count = 0;
    return true;
}

uint8_t hal_nv_read(uint16_t at) { return now->nv[at]; }

bool hal_nv_ready(void) { return true; }

void hal_nv_write(uint16_t at, uint8_t byte) { now->nv[at] = byte; }

bool hal_nv_flush(void) { return true; }

void hal_heads(const signal_heads *heads) { now->heads = *heads; }

/* --- the simulation's side -------------------------------------------------------------------------- */

sim *sim_new(void);
void sim_free(sim *s);
void sim_start(sim *s, const char *name, uint32_t boot, uint8_t reset_cause);
size_t sim_write(sim *s, const uint8_t *from, size_t n);
size_t sim_read(sim *s, uint8_t *to, size_t n);
bool sim_edge(sim *s, uint64_t ms, uint8_t kind, uint8_t channel, uint16_t value);
void sim_run(sim *s, uint64_t to_ms);
void sim_line_down(sim *s);
void sim_heads(const sim *s, uint8_t *to);
uint8_t *sim_nv(sim *s);

/* A board without power and with an empty memory; NULL: there is no memory for it. */
sim *sim_new(void) {
    sim *s = calloc(1, sizeof *s);
    if (s) memset(s->nv, 0xFF, sizeof s->nv);
    return s;
}

void sim_free(sim *s) { free(s); }

/* The power comes, or comes again: the clock begins at 0, what was kept is there. `boot` is not 0. */
void sim_start(sim *s, const char *name, uint32_t boot, uint8_t reset_cause) {
    now = s;
    memset(&s->core, 0, sizeof s->core);
    s->ms = 0;
    s->in.length = s->out.length = s->edge_at = s->edge_count = 0;
    msg_identity *me = &s->core.identity;
    for (size_t i = 0; i < sizeof me->board && name[i]; i++) me->board[i] = name[i];
    me->ring = RING_MAX;
    me->boot = boot;
    me->reset_cause = reset_cause;
    board_start(&s->core);
}

/* Bytes of the host; fewer than n are taken when the board has more than LINE_BYTES to read. */
size_t sim_write(sim *s, const uint8_t *from, size_t n) { return put(&s->in, from, n); }

/* Bytes of the board, up to n. */
size_t sim_read(sim *s, uint8_t *to, size_t n) { return get(&s->out, to, n); }

/* An input changes at ms, which is not before the one above nor before the clock; false: too many wait, or it is. */
bool sim_edge(sim *s, uint64_t ms, uint8_t kind, uint8_t channel, uint16_t value) {
    if (s->edge_count == EDGES || ms < s->ms) return false;
    if (s->edge_count > s->edge_at && ms < s->edges[s->edge_count - 1u].ms) return false;
    s->edges[s->edge_count++] = (edge){.ms = (uint32_t)ms, .kind = kind, .channel = channel, .value = value};
    return true;
}

static uint64_t next_ms(const sim *s) {
    uint64_t due = board_due_ms(&s->core);
    if (s->core.status_ms < due) due = s->core.status_ms;
    if (s->edge_at < s->edge_count && s->edges[s->edge_at].ms < due) due = s->edges[s->edge_at].ms;
    return due > s->ms ? due : s->ms + 1u;
}

/* Time passes up to to_ms: the board takes what waits, and does all that falls due. */
void sim_run(sim *s, uint64_t to_ms) {
    now = s;
    board_step(&s->core);
    for (uint64_t next; (next = next_ms(s)) <= to_ms;) {
        s->ms = next;
        board_step(&s->core);
    }
    if (s->ms < to_ms) s->ms = to_ms;
}

void sim_line_down(sim *s) {
    now = s;
    board_line_down(&s->core);
}

/* Ten bytes, bits are rows of the plan table: green, yellow, walk, pedestrian clearance, 1 while all flashes; then of
 * overlaps: green, yellow. */
void sim_heads(const sim *s, uint8_t *to) {
    const signal_heads *h = &s->heads;
    const uint8_t shown[10] = {h->green, h->yellow, h->walk, h->ped_clear, h->flash,
        h->overlap_green, h->overlap_yellow};
    memcpy(to, shown, sizeof shown);
}

/* Its NV_BYTES bytes of non-volatile memory. */
uint8_t *sim_nv(sim *s) { return s->nv; }
