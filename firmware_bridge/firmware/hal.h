/* What the core needs from each machine. None of these functions blocks. */
#ifndef WAYSIDE_HAL_H
#define WAYSIDE_HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"
#include "signals.h"

uint64_t hal_clock_ms(void);  /* event clock: what STATUS and events carry, low 32 bits */
uint64_t hal_uptime_ms(void); /* real time, for the line's timers */

size_t hal_read(uint8_t *to, size_t n);         /* bytes waiting, up to n */
size_t hal_write(const uint8_t *from, size_t n); /* bytes taken, perhaps fewer than n */

/* Takes the next input edge that happened at or before clock_ms. */
bool hal_next_edge(uint64_t clock_ms, edge *e);

/* Non-volatile memory, 512 bytes. A write may take until hal_nv_ready says so. */
uint8_t hal_nv_read(uint16_t at);
bool hal_nv_ready(void);
void hal_nv_write(uint16_t at, uint8_t byte);
bool hal_nv_flush(void); /* what was written survives a power cut from here on */

/* Lights the signal heads, at least every 0.1 s. What is not named is red and don't walk. */
void hal_heads(const signal_heads *heads);

#endif
