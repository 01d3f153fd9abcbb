/* What a board is told once and keeps: its detectors' limits and its signals' plan table.
 *
 * The same bytes cross the line and lie in non-volatile memory (docs/wire.md, plan table). There are two copies; a new
 * one is written over the older, byte by byte, and counts only when its CRC is right: whenever the power goes, the copy
 * before or the new one is whole.
 */
#ifndef WAYSIDE_SETTINGS_H
#define WAYSIDE_SETTINGS_H

#include <stddef.h>

#include "signals.h"

#ifndef DETECTORS
#define DETECTORS 64u /* channels 1 to DETECTORS can be watched; others pass as they are */
#endif
#define CALLERS (DETECTORS < ACTUATED_DETECTORS ? DETECTORS : ACTUATED_DETECTORS) /* those that can call phases */

#define SETTINGS_MAX (ACTUATED_HEAD + ACTUATED_ROW * SIGNAL_PHASES + CALLERS)
#define SLOT_HEAD 6u /* generation, size */
#define SLOT_BYTES (SLOT_HEAD + SETTINGS_MAX + CRC_BYTES)
#define OLD_PLACE 152u /* of firmware 2.0's second slot */
#define SLOT_PLACE 254u /* from one slot to the next: two, and the last bytes are left for the HAL's own */

typedef struct { /* of channels 1 to count; 0 switches a limit off */
    uint8_t count, debounce_ms;
    uint8_t chatter; /* rising edges in 30 s */
    uint8_t analog_delta;
    uint16_t stuck_s, no_hit_s;
    uint8_t dead_cycles;   /* of an actuated table: so many without an edge while others flow */
    uint32_t cycle_ms;     /* of its fixed-time plan */
    uint8_t rows[CALLERS]; /* that each channel calls and extends */
} detector_limits;

typedef struct {
    detector_limits detectors;
    signal_table signals;
} settings;

/* Reads and checks n bytes. Sets the phase to which the code refers, or 0. */
enum plan_code settings_decode(settings *s, const uint8_t *bytes, size_t n, uint8_t *phase);

enum store_state { STORE_IDLE, STORE_WRITING, STORE_DONE, STORE_BROKEN };

typedef struct {
    uint8_t bytes[SLOT_BYTES]; /* a copy; while idle its middle takes the parts of a coming table */
    uint16_t length, at;
    uint8_t slot; /* to be written next */
    uint8_t state;
    uint32_t generation;
} store;

/* Finds the newest whole copy: its settings' bytes, or 0 when there is none. One that lies in an old place is on its way to
 * a new one then: STORE_WRITING. */
size_t store_load(store *s, const uint8_t **bytes);

/* Keeps the n bytes that lie in s->bytes + SLOT_HEAD. */
void store_begin(store *s, size_t n);

/* Writes at most one byte; the last step reads everything back. */
enum store_state store_step(store *s);

#endif
