/* What a board must give the core. None of these blocks. */
#ifndef WAYSIDE_HAL_H
#define WAYSIDE_HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

uint64_t hal_clock_ms(void);  /* event clock: what STATUS and events carry, low 32 bits */
uint64_t hal_uptime_ms(void); /* real time, for the line's timers */

size_t hal_read(uint8_t *to, size_t n);         /* bytes waiting, up to n */
size_t hal_write(const uint8_t *from, size_t n); /* bytes taken, perhaps fewer than n */

/* Takes the next input edge that happened at or before clock_ms. */
bool hal_next_edge(uint64_t clock_ms, edge *e);

#endif
