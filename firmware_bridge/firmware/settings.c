#include "settings.h"

#include "frame.h"
#include "hal.h"

static uint16_t u16(const uint8_t *p) { return (uint16_t)(p[0] | (uint16_t)p[1] << 8); }

static uint32_t u32(const uint8_t *p) { return (uint32_t)u16(p) | (uint32_t)u16(p + 2) << 16; }

static void put_u32(uint8_t *p, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(value >> (8u * i));
}

static void decode_row(signal_row *to, const uint8_t *r, bool actuated) {
    *to = (signal_row){.phase = r[0], .ring = r[1], .conflicts = r[2], .ped_input = r[3], .min_green = u16(r + 4),
        .max_green = u16(r + 6), .green = u16(r + 8), .walk = u16(r + 10), .ped_clear = u16(r + 12), .yellow = r[14],
        .red = r[15]};
    if (!actuated) return;
    to->max_1 = u16(r + 16);
    to->passage = r[18];
    to->delay = r[19];
    to->options = r[20];
}

static void decode_actuation(settings *s, const uint8_t *b) {
    signal_table *t = &s->signals;
    t->actuated = true;
    t->longest_red = u16(b + 14);
    s->detectors.dead_cycles = b[16];
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) t->overlaps[o] = b[17u + o];
    for (uint8_t k = 0; k < SIGNAL_PREEMPTS; k++) {
        const uint8_t *p = b + 17u + SIGNAL_OVERLAPS + 5u * k;
        t->preempts[k] = (signal_preempt){.input = p[0] & 0x7Fu, .opens = (p[0] & 0x80u) != 0, .track = p[1],
            .track_s = p[2], .dwell = p[3], .dwell_s = p[4]};
    }
}

/* Every row has somebody who can call it, and every detector calls rows that there are. */
static enum plan_code check_callers(settings *s, const uint8_t *rows, uint8_t *phase) {
    const signal_table *t = &s->signals;
    uint8_t called = 0;
    uint32_t cycles[SIGNAL_RINGS] = {0};
    for (uint8_t i = 0; i < s->detectors.count; i++) {
        if (rows[i] >> t->count != 0) return PLAN_CODE_TABLE_DETECTORS;
        s->detectors.rows[i] = rows[i];
        called |= rows[i];
    }
    for (uint8_t i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        *phase = r->phase;
        uint8_t calling = RECALL_SOFT | ROW_OPTION_PED_RECALL | ROW_OPTION_HOST_ONLY;
        if (!(called >> i & 1) && !(r->options & calling) && !r->ped_input)
            return PLAN_CODE_TABLE_DETECTORS;
        cycles[r->ring - 1u] += (uint32_t)r->green + r->yellow + r->red;
    }
    *phase = 0;
    s->detectors.cycle_ms = (cycles[0] > cycles[1] ? cycles[0] : cycles[1]) * 100u;
    return PLAN_CODE_OK;
}

enum plan_code settings_decode(settings *s, const uint8_t *b, size_t n, uint8_t *phase) {
    *phase = 0;
    if (n < SETTINGS_HEAD || b[1] > SIGNAL_PHASES) return PLAN_CODE_TABLE_FORMAT;
    bool actuated = b[0] == ACTUATED_FORMAT;
    size_t head = actuated ? ACTUATED_HEAD : SETTINGS_HEAD, row = actuated ? ACTUATED_ROW : SETTINGS_ROW;
    size_t rows_end = head + b[1] * row;
    if (actuated && b[6] > CALLERS) return PLAN_CODE_TABLE_DETECTORS;
    if ((!actuated && b[0] != SETTINGS_FORMAT) || n != rows_end + (actuated ? b[6] : 0u)) return PLAN_CODE_TABLE_FORMAT;
    *s = (settings){
        .signals = {.count = b[1], .start_flash = u16(b + 2), .start_red = u16(b + 4)},
        .detectors = {.count = b[6], .debounce_ms = b[7], .chatter = b[8], .analog_delta = b[9],
                      .stuck_s = u16(b + 10), .no_hit_s = u16(b + 12)},
    };
    for (uint8_t i = 0; i < b[1]; i++) decode_row(&s->signals.rows[i], b + head + i * row, actuated);
    if (actuated) decode_actuation(s, b);
    enum plan_code code = signals_check(&s->signals, phase);
    if (code == PLAN_CODE_OK && actuated) code = check_callers(s, b + rows_end, phase);
    return code == PLAN_CODE_OK ? signals_legal(&s->signals, phase) : code;
}

/* --- two copies ------------------------------------------------------------------------------------ */

static uint16_t place(uint8_t slot) { return (uint16_t)(slot * SLOT_PLACE); }

/* Reads a copy into s->bytes. Returns the size of its settings, 0 when it is not whole. */
static uint16_t read_copy(store *s, uint16_t from) {
    for (uint16_t i = 0; i < SLOT_BYTES; i++) s->bytes[i] = hal_nv_read((uint16_t)(from + i));
    uint16_t size = u16(s->bytes + 4);
    if (size < SETTINGS_HEAD || size > SETTINGS_MAX) return 0;
    uint16_t end = (uint16_t)(SLOT_HEAD + size);
    return crc32_of(s->bytes, end) == u32(s->bytes + end) ? size : 0;
}

/* Firmware 2.0 had its second copy where the first one now ends. Is it the newest? Then it is written again into the first
 * slot, which before byte OLD_PLACE has room for all that 2.0 knew; it is whole until that is done. */
static uint16_t load_old(store *s, uint32_t generation, bool first, const uint8_t **bytes) {
    uint16_t size = read_copy(s, OLD_PLACE);
    if (!size || size > OLD_PLACE - SLOT_HEAD - CRC_BYTES) return 0;
    if (first && u32(s->bytes) - generation >= 0x80000000u) return 0;
    s->slot = 0;
    s->generation = u32(s->bytes);
    store_begin(s, size);
    *bytes = s->bytes + SLOT_HEAD;
    return size;
}

size_t store_load(store *s, const uint8_t **bytes) {
    uint16_t size[2];
    uint32_t generation[2];
    for (uint8_t slot = 0; slot < 2; slot++) {
        size[slot] = read_copy(s, place(slot));
        generation[slot] = u32(s->bytes);
    }
    uint16_t old = size[1] ? 0 : load_old(s, generation[0], size[0] != 0, bytes);
    if (old) return old;
    uint8_t newest = size[1] && (!size[0] || generation[1] - generation[0] < 0x80000000u);
    s->state = STORE_IDLE;
    s->slot = size[newest] ? (uint8_t)(1u - newest) : 0;
    s->generation = size[newest] ? generation[newest] : 0;
    *bytes = s->bytes + SLOT_HEAD;
    return size[newest] ? read_copy(s, place(newest)) : 0;
}

void store_begin(store *s, size_t n) {
    put_u32(s->bytes, s->generation + 1u);
    s->bytes[4] = (uint8_t)n;
    s->bytes[5] = (uint8_t)(n >> 8);
    size_t end = SLOT_HEAD + n;
    put_u32(s->bytes + end, crc32_of(s->bytes, end));
    s->length = (uint16_t)(end + CRC_BYTES);
    s->at = 0;
    s->state = STORE_WRITING;
}

enum store_state store_step(store *s) {
    if (s->state != STORE_WRITING || !hal_nv_ready()) return s->state;
    if (s->at < s->length) {
        hal_nv_write((uint16_t)(place(s->slot) + s->at), s->bytes[s->at]);
        s->at++;
        return STORE_WRITING;
    }
    s->state = hal_nv_flush() ? STORE_DONE : STORE_BROKEN;
    for (uint16_t i = 0; i < s->length; i++)
        if (hal_nv_read((uint16_t)(place(s->slot) + i)) != s->bytes[i]) s->state = STORE_BROKEN;
    if (s->state == STORE_DONE) {
        s->generation++;
        s->slot = (uint8_t)(1u - s->slot);
    }
    return s->state;
}
