/* The board on an ATmega328P (Arduino Uno) or an ATmega2560 (Arduino Mega), 16 MHz, 115,200 baud on UART0.
 *
 * Inputs are contacts to ground: closed is 1. Signal heads hang on 74HC595 behind the SPI pins, in the order green,
 * yellow, red, walk, don't walk, one bit for each row of the plan table. Two more, at the far end of the chain, are for
 * overlaps 1 to 4: green in bits 0 to 3 and yellow in bits 4 to 7 of the first, red in bits 0 to 3 of the second. A
 * board without overlaps needs only five.
 *
 *               detectors                              inputs (buttons, preemption, door)   analogue   latch   data, clock   enable
 *   328P        1 … 6 PD2 … PD7                        1 … 4 PC0 … PC3                      ADC5       PB2     PB3, PB5      PB0
 *   2560        1 … 8 PA0 … PA7, 9 … 16 PL0 … PL7,     1 … 8 PC0 … PC7                      ADC0       PB0     PB2, PB1      PB4
 *               17 … 24 PK0 … PK7
 *
 * The watchdog resets a board whose loop or whose clock stands still for half a second. "Enable" is the registers' OE,
 * with a pull-up: while no firmware runs, in a reset, a bootloader, half a flash, it lets go of the outputs. What was
 * lit last would stay lit otherwise. Pull-downs darken the heads then, and the cabinet's conflict monitor sees it.
 */
#include <avr/eeprom.h>
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/wdt.h>

#include "board.h"
#include "hal.h"

#define BAUD 115200UL
#ifndef BOARD_NAME
#define BOARD_NAME "wayside"
#endif
#if defined(__AVR_ATmega2560__)
#define DETECTOR_PORTS 3u
#define INPUTS 8u
#define ANALOG_INPUT 0
#define LATCH 0
#define DATA 2
#define CLOCK 1
#define ENABLE 4
#define RECEIVED USART0_RX_vect
#define SENT USART0_UDRE_vect
#else
#define DETECTOR_PORTS 1u
#define INPUTS 4u
#define ANALOG_INPUT 5
#define LATCH 2
#define DATA 3
#define CLOCK 5
#define ENABLE 0
#define RECEIVED USART_RX_vect
#define SENT USART_UDRE_vect
#endif
#define INPUT_MASK ((1u << INPUTS) - 1u)
#define BOOT_COUNTER 508u /* last bytes of the 512 */

/* The label by which a flash identifies the image, and into which it writes the board's name (docs/wire.md 1.11). The
 * builder fills in length and CRC-32. */
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
static const struct __attribute__((packed)) {
    uint8_t magic[8];
    uint8_t protocol;
    uint32_t schema;
    uint8_t major, minor, patch;
    char chip[12], board[BOARD_NAME_BYTES];
    uint8_t seal[4];
    uint32_t length, crc;
} label PROGMEM = {{0x89, 'W', 'A', 'Y', 'S', 'I', 'D', 'E'}, PROTOCOL, SCHEMA, FIRMWARE_MAJOR, FIRMWARE_MINOR,
    FIRMWARE_PATCH, TEXT(__AVR_DEVICE_NAME__), BOARD_NAME, {'S', 'E', 'A', 'L'}, 0, 0};

static board the_board;
static volatile uint32_t ms;
static uint8_t reset_flags __attribute__((section(".noinit")));
static uint32_t bitten __attribute__((section(".noinit"))); /* outlives the watchdog's reset, which it announces */
#define BITTEN 0x57445246u
static volatile uint8_t unfed_ms; /* since the loop fed the watchdog, up to BITE_MS; 0: the clock stands still */
#define BITE_MS 250u

/* Before anything else: save the reset cause and stop the watchdog. A bootloader may have cleared the flags. */
void keep_reset_flags(void) __attribute__((naked, used, section(".init3")));
void keep_reset_flags(void) {
    reset_flags = MCUSR;
    MCUSR = 0;
    wdt_disable();
}

static uint8_t reset_cause(void) {
    if (reset_flags & _BV(PORF)) return RESET_CAUSE_POWER_ON; /* with the brown-out flag: the supply came up slowly */
    if (reset_flags & _BV(BORF)) return RESET_CAUSE_BROWN_OUT;
    if (reset_flags & _BV(WDRF)) return RESET_CAUSE_WATCHDOG;
    if (reset_flags & _BV(EXTRF)) return RESET_CAUSE_EXTERNAL;
    return bitten == BITTEN ? RESET_CAUSE_WATCHDOG : RESET_CAUSE_UNKNOWN; /* a bootloader has cleared the flags */
}

/* --- byte queues between interrupts and the loop --------------------------------------------------- */

#define QUEUE 64u /* a power of two: 5 ms of bytes that come */
typedef struct {
    volatile uint8_t head, tail;
    uint8_t bytes[QUEUE];
} queue;
static queue rx, tx;

ISR(RECEIVED) {
    uint8_t byte = UDR0, next = (uint8_t)((rx.head + 1u) % QUEUE);
    if (next == rx.tail) return; /* full: the frame's CRC will tell */
    rx.bytes[rx.head] = byte;
    rx.head = next;
}

ISR(SENT) {
    if (tx.tail == tx.head) {
        UCSR0B &= (uint8_t)~_BV(UDRIE0);
        return;
    }
    UDR0 = tx.bytes[tx.tail];
    tx.tail = (uint8_t)((tx.tail + 1u) % QUEUE);
}

size_t hal_read(uint8_t *to, size_t n) {
    size_t got = 0;
    for (; got < n && rx.tail != rx.head; got++) {
        to[got] = rx.bytes[rx.tail];
        rx.tail = (uint8_t)((rx.tail + 1u) % QUEUE);
    }
    return got;
}

size_t hal_write(const uint8_t *from, size_t n) {
    size_t taken = 0;
    for (; taken < n; taken++) {
        uint8_t next = (uint8_t)((tx.head + 1u) % QUEUE);
        if (next == tx.tail) break;
        tx.bytes[tx.head] = from[taken];
        tx.head = next;
    }
    if (taken) UCSR0B |= _BV(UDRIE0);
    return taken;
}

/* --- time and inputs: once a millisecond ------------------------------------------------------------ */

#define EDGES (DETECTORS > 8u ? 48u : 12u)
static edge edges[EDGES];
static volatile uint8_t edge_head, edge_tail;
static uint8_t detector_levels[DETECTOR_PORTS], input_levels;
static uint16_t analog_value = UINT16_MAX; /* none was told yet */

/* False: faster than the loop takes them. */
static bool see(uint8_t kind, uint8_t channel, uint16_t value) {
    uint8_t next = (uint8_t)((edge_head + 1u) % EDGES);
    if (next == edge_tail) return false;
    edges[edge_head] = (edge){.ms = ms, .kind = kind, .channel = channel, .value = value};
    edge_head = next;
    return true;
}

static void see_changes(uint8_t kind, uint8_t first, uint8_t *was, uint8_t now) {
    uint8_t changed = *was ^ now;
    for (uint8_t i = 0; changed >> i; i++) {
        uint8_t one = (uint8_t)(1u << i);
        if ((changed & one) && see(kind, (uint8_t)(first + i), (now & one) != 0)) *was ^= one; /* else in a millisecond */
    }
}

static void see_detectors(void) {
#if defined(__AVR_ATmega2560__)
    see_changes(EVENT_KIND_DETECTOR, 1, &detector_levels[0], (uint8_t)~PINA);
    see_changes(EVENT_KIND_DETECTOR, 9, &detector_levels[1], (uint8_t)~PINL);
    see_changes(EVENT_KIND_DETECTOR, 17, &detector_levels[2], (uint8_t)~PINK);
#else
    see_changes(EVENT_KIND_DETECTOR, 1, &detector_levels[0], (uint8_t)~PIND >> 2);
#endif
}

ISR(TIMER0_COMPA_vect) {
    ms++;
    if (unfed_ms < BITE_MS && ++unfed_ms == BITE_MS) bitten = BITTEN;
    see_detectors();
    see_changes(EVENT_KIND_INPUT, 1, &input_levels, (uint8_t)~PINC & INPUT_MASK);
    if (ms % 100u) return;
    uint16_t value = ADC, delta = value > analog_value ? value - analog_value : analog_value - value;
    ADCSRA |= _BV(ADSC); /* the next one is ready long before it is looked at */
    uint8_t least = the_board.detectors.limits.analog_delta;
    if (least == 0 || delta < least) return;
    if (see(EVENT_KIND_ANALOG, 0, value)) analog_value = value;
}

uint64_t hal_uptime_ms(void) {
    static uint32_t last, wraps; /* one in 49.7 days; the loop looks every few milliseconds */
    uint8_t interrupts = SREG;
    cli(); /* four bytes are read one by one */
    uint32_t now = ms;
    SREG = interrupts;
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
}

uint64_t hal_clock_ms(void) { return hal_uptime_ms(); }

bool hal_next_edge(uint64_t clock_ms, edge *e) {
    if (edge_tail == edge_head || (uint32_t)clock_ms - edges[edge_tail].ms >= 0x80000000u) return false;
    *e = edges[edge_tail];
    edge_tail = (uint8_t)((edge_tail + 1u) % EDGES);
    return true;
}

/* --- memory and heads ------------------------------------------------------------------------------- */

static uint8_t *eeprom(uint16_t at) { return (uint8_t *)(uintptr_t)at; }

uint8_t hal_nv_read(uint16_t at) { return eeprom_read_byte(eeprom(at)); }

bool hal_nv_ready(void) { return eeprom_is_ready(); }

void hal_nv_write(uint16_t at, uint8_t byte) { eeprom_update_byte(eeprom(at), byte); }

bool hal_nv_flush(void) {
    eeprom_busy_wait();
    return true;
}

static void shift_out(uint8_t byte) {
    SPDR = byte;
    while (!(SPSR & _BV(SPIF))) continue;
}

void hal_heads(const signal_heads *h) {
    bool lit = hal_uptime_ms() % 1000u < 500u;
    uint8_t red = h->flash ? (lit ? 0xFF : 0) : (uint8_t)~(h->green | h->yellow);
    uint8_t dont = h->flash ? 0 : (uint8_t)~(h->walk | (lit ? 0 : h->ped_clear));
    uint8_t overlaps = h->overlap_green | h->overlap_yellow;
    shift_out(h->flash ? (lit ? 0x0F : 0) : (uint8_t)~overlaps & 0x0F); /* the last register of the chain first */
    shift_out((uint8_t)(h->overlap_green | h->overlap_yellow << 4));
    shift_out(dont);
    shift_out(h->walk);
    shift_out(red);
    shift_out(h->yellow);
    shift_out(h->green);
    PORTB |= _BV(LATCH);
    PORTB &= (uint8_t)~_BV(LATCH);
    DDRB |= _BV(ENABLE); /* low once the registers hold a state that was written to them */
}

/* --- the board -------------------------------------------------------------------------------------- */

/* New at every start: a counter that outlives the power, made to look random. */
static uint32_t boot_number(void) {
    uint32_t starts = eeprom_read_dword((uint32_t *)(uintptr_t)BOOT_COUNTER) + 1u;
    eeprom_update_dword((uint32_t *)(uintptr_t)BOOT_COUNTER, starts);
    uint32_t boot = crc32_of((const uint8_t *)&starts, sizeof starts);
    return boot ? boot : 1u;
}

static void start_hardware(void) {
#if defined(__AVR_ATmega2560__)
    PORTA = PORTL = PORTK = 0xFF;
#else
    PORTD = 0xFC;
#endif
    PORTC = INPUT_MASK;
    DDRB = _BV(LATCH) | _BV(DATA) | _BV(CLOCK); /* the latch is SS: an output, or SPI would be a slave */
    SPCR = _BV(SPE) | _BV(MSTR);
    SPSR = _BV(SPI2X);
    ADMUX = _BV(REFS0) | ANALOG_INPUT;
    ADCSRA = _BV(ADEN) | _BV(ADSC) | 7;
    UCSR0A = _BV(U2X0);
    UBRR0 = (F_CPU / 4u / BAUD - 1u) / 2u;
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
    TCCR0A = _BV(WGM01);
    TCCR0B = _BV(CS01) | _BV(CS00);
    OCR0A = F_CPU / 64u / 1000u - 1u;
    TIMSK0 = _BV(OCIE0A);
}

int main(void) {
    msg_identity *me = &the_board.identity;
    memcpy_P(me->board, label.board, sizeof me->board);
    me->ring = RING_MAX;
    me->reset_cause = reset_cause();
    me->boot = boot_number();
    the_board.settings.detectors = (detector_limits){.count = DETECTORS, .debounce_ms = 20};
    start_hardware();
    wdt_enable(WDTO_500MS);
    sei();
    board_start(&the_board);
    for (;;) {
        board_step(&the_board);
        if (unfed_ms == 0) continue; /* a loop without a clock would never end a green */
        unfed_ms = 0;
        bitten = 0;
        wdt_reset();
    }
}
