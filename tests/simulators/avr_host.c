/* An AVR board in simavr, in real time: its UART is a pty, its pins and resets are driven by lines on standard input.
 *
 *   avr_host MCU ELF LINK EEPROM [BOOTLOADER.hex FLASH]    prints "READY pty"; then takes
 *   pin PORT BIT 0|1                  a contact (0: closed); answers "ok"
 *   adc CHANNEL MILLIVOLT             the analogue input
 *   reset extrf|wdrf|borf|porf        a reset of that cause
 *   heads                             the five head registers, as the SPI pins shifted them: "green yellow red walk dont"
 *   worst                             times at which conflicting heads (0x0A against 0x05) were lit, and latches seen
 *   stack FROM                        bytes of memory above FROM that the stack never reached
 *   lit                               1 when the registers' outputs are enabled, else 0: every head is dark
 *   hang ADDRESS                      the processor stays there when it comes by, until it is reset
 *   set ADDRESS VALUE                 four bytes of memory or registers
 *   keep                              nothing more: every order writes the EEPROM and FLASH
 *
 * With a bootloader the program memory is the file FLASH, and opening the pty pulls the reset line, as DTR does on an
 * Arduino; ELF then only names the clock. A pty has no modem lines: inotify(7) tells who opened it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_adc.h>
#include <simavr/avr_eeprom.h>
#include <simavr/avr_ioport.h>
#include <simavr/avr_spi.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_hex.h>

static avr_t *avr;
#define BEYOND 64u

static int line, room = 1, hung_up, modem, enable;
static uint8_t heads[5];
static unsigned long latches, conflicts;

static void sent(avr_irq_t *irq, uint32_t value, void *param) {
    uint8_t byte = (uint8_t)value;
    (void)irq, (void)param;
    if (!hung_up) (void)!write(line, &byte, 1); /* nobody reads: the byte is lost, as on a wire */
}

static void can_receive(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)value;
    room = param != NULL;
}

static void shifted(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)param;
    memmove(heads + 1, heads, 4);
    heads[0] = (uint8_t)value;
}

static void latched(avr_irq_t *irq, uint32_t value, void *param) {
    (void)irq, (void)param;
    if (!value) return;
    uint8_t go = heads[0] | heads[1];
    latches++;
    conflicts += (go & 0x0A) && (go & 0x05);
}

static const char PORTS[] = "ACD";
static uint8_t levels[3][8]; /* of ports A, C and D; contacts are open: the pull-ups hold them high */

static void set_pin(char port, int bit, uint8_t level) {
    avr_irq_t *pin = avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ(port), bit);
    if (pin) avr_raise_irq(pin, level);
}

/* simavr's reset, also the watchdog's, forgets the levels of the inputs, and passes on only what changes. */
static void (*reset_of_core)(struct avr_t *);
static int pins_due;

static uint32_t hung_at; /* 0: nowhere */
static uint8_t hung_over[2];

static void was_reset(struct avr_t *of) {
    if (reset_of_core) reset_of_core(of);
    pins_due = 1;
    if (hung_at) memcpy(avr->flash + hung_at, hung_over, sizeof hung_over), hung_at = 0;
}

static void drive_pins(void) {
    pins_due = 0;
    for (int port = 0; port < 3; port++)
        for (int bit = 0; bit < 8; bit++) {
            set_pin(PORTS[port], bit, !levels[port][bit]);
            set_pin(PORTS[port], bit, levels[port][bit]);
        }
}

static void reset(const char *why) {
    avr_reset(avr);
    avr_regbit_set(avr, !strcmp(why, "wdrf") ? avr->reset_flags.wdrf
                        : !strcmp(why, "borf") ? avr->reset_flags.borf
                        : !strcmp(why, "porf") ? avr->reset_flags.porf
                                               : avr->reset_flags.extrf);
    room = 1;
}

static void keep_eeprom(const char *path, int load) {
    avr_eeprom_desc_t all = {.size = avr->e2end + 1u};
    FILE *f = fopen(path, load ? "rb" : "wb");
    avr_ioctl(avr, AVR_IOCTL_EEPROM_GET, &all); /* sets all.ee to the memory itself */
    if (f && all.ee && (load ? fread(all.ee, 1, all.size, f) : fwrite(all.ee, 1, all.size, f)) != all.size)
        fputs("avr_host: the EEPROM's file is not whole\n", stderr);
    if (f) fclose(f);
}

static void keep_flash(const char *path, int load) {
    FILE *f = path ? fopen(path, load ? "rb" : "wb") : NULL;
    size_t size = avr->flashend + 1u;
    if (f && (load ? fread(avr->flash, 1, size, f) : fwrite(avr->flash, 1, size, f)) != size)
        fputs("avr_host: the flash's file is not whole\n", stderr);
    if (f) fclose(f);
}

/* Over whatever is there; the processor starts there from now on (the fuse BOOTRST). Debian's compiler makes the 328P's
 * Optiboot 20 bytes longer than the flash: here the chip is as much longer, a real one would not start it. */
static int put_bootloader(const char *path) {
    ihex_chunk_p chunks = NULL;
    int count = read_ihex_chunks(path, &chunks);
    avr->reset_pc = avr->flashend + 1u;
    avr->flash = realloc(avr->flash, avr->flashend + 1u + BEYOND);
    for (int i = 0; i < count; i++) {
        if (chunks[i].size == 0 || chunks[i].baseaddr + chunks[i].size > avr->flashend + 1u + BEYOND) continue;
        memcpy(avr->flash + chunks[i].baseaddr, chunks[i].data, chunks[i].size);
        if (chunks[i].baseaddr < avr->reset_pc) avr->reset_pc = chunks[i].baseaddr;
    }
    avr->codeend = avr->flashend + BEYOND;
    return avr->reset_pc <= avr->flashend;
}

static int obey(char *text, const char *eeprom, const char *flash) {
    char port, why[8];
    int bit;
    unsigned value;
    if (sscanf(text, "pin %c %d %u", &port, &bit, &value) == 3) {
        levels[strchr(PORTS, port) - PORTS][bit & 7] = (uint8_t)value;
        set_pin(port, bit, (uint8_t)value);
    } else if (sscanf(text, "adc %d %u", &bit, &value) == 2)
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0 + bit), value);
    else if (sscanf(text, "reset %7s", why) == 1)
        reset(why);
    else if (!strncmp(text, "heads", 5))
        printf("%d %d %d %d %d ", heads[0], heads[1], heads[2], heads[3], heads[4]);
    else if (!strncmp(text, "worst", 5))
        printf("%lu %lu ", conflicts, latches);
    else if (sscanf(text, "stack %u", &value) == 1) {
        unsigned free_bytes = 0;
        while (value + free_bytes <= avr->ramend && avr->data[value + free_bytes] == 0xA5) free_bytes++;
        printf("%u ", free_bytes);
    } else if (!strncmp(text, "lit", 3)) {
        avr_ioport_state_t b;
        avr_ioctl(avr, AVR_IOCTL_IOPORT_GETSTATE('B'), &b);
        printf("%d ", (b.ddr & ~b.port) >> enable & 1);
    } else if (sscanf(text, "hang %u", &hung_at) == 1) {
        memcpy(hung_over, avr->flash + hung_at, sizeof hung_over);
        memcpy(avr->flash + hung_at, "\xFF\xCF", 2); /* RJMP .-2 */
    } else if (sscanf(text, "set %d %u", &bit, &value) == 2) {
        while (!avr->sreg[S_I]) avr_run(avr); /* not between an interrupt's reading and its writing */
        for (int i = 0; i < 4; i++) avr->data[bit + i] = (uint8_t)(value >> 8 * i);
    } else if (strncmp(text, "keep", 4))
        return 0;
    keep_eeprom(eeprom, 0); /* before the answer: then we may be killed */
    keep_flash(flash, 0);
    puts("ok");
    fflush(stdout);
    return 1;
}

/* Who opens the pty pulls the reset line, unless somebody had it open. inotify(7) tells of each opening in order; to look
 * now and then would miss one that follows a closing at once. */
static void watch_modem_line(void) {
    static int openers;
    char events[4096] __attribute__((aligned(8)));
    ssize_t n = read(modem, events, sizeof events);
    for (char *at = events; n > 0 && at < events + n; at += sizeof(struct inotify_event)) {
        uint32_t what = ((struct inotify_event *)(void *)at)->mask;
        if (what & IN_OPEN && openers++ == 0) reset("extrf");
        if (what & IN_CLOSE && openers > 0) openers--;
    }
    struct pollfd closed = {.fd = line};
    poll(&closed, 1, 0);
    hung_up = (closed.revents & POLLHUP) != 0;
    if (hung_up && n <= 0) openers = 0; /* two openings in a row may be told as one */
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    elf_firmware_t firmware = {0};
    char name[64], text[128];
    int slave, latch;
    struct termios raw;
    uint32_t flags = 0;
    const char *flash = argc == 7 ? argv[6] : NULL;
    if ((argc != 5 && argc != 7) || elf_read_firmware(argv[2], &firmware) != 0) return 2;
    avr = avr_make_mcu_by_name(argv[1]);
    if (!avr) return 2;
    avr_init(avr);
    firmware.frequency = 16000000;
    avr_load_firmware(avr, &firmware);
    avr->frequency = 16000000;
    avr->log = 0;
    avr->vcc = avr->avcc = avr->aref = 5000;
    memset(avr->data + 0x100, 0xA5, avr->ramend - 0x100 + 1u);
    keep_eeprom(argv[4], 1);
    if (flash) {
        memset(avr->flash, 0xFF, avr->flashend + 1u);
        keep_flash(flash, 1);
        if (!put_bootloader(argv[5])) return 2;
    }
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    flags &= ~(uint32_t)(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_t *in = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), sent, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), can_receive, &room);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), can_receive, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_SPI_GETIRQ(0), SPI_IRQ_OUTPUT), shifted, NULL);
    latch = strstr(argv[1], "2560") ? 0 : 2;
    enable = strstr(argv[1], "2560") ? 4 : 0;
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), latch), latched, NULL);
    memset(levels, 1, sizeof levels);
    if (openpty(&line, &slave, name, NULL, NULL) != 0) return 2;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    fcntl(line, F_SETFL, O_NONBLOCK);
    fcntl(0, F_SETFL, O_NONBLOCK);
    unlink(argv[3]);
    if (symlink(name, argv[3]) != 0) return 2;
    reset_of_core = avr->reset;
    avr->reset = was_reset;
    reset("porf");
    if (flash) {
        close(slave), hung_up = 1; /* until somebody opens it */
        modem = inotify_init1(IN_NONBLOCK);
        if (inotify_add_watch(modem, name, IN_OPEN | IN_CLOSE) < 0) return 2;
    }
    printf("READY %s\n", name);
    fflush(stdout);
    uint8_t bytes[256];
    ssize_t have = 0, at = 0;
    int64_t start = now_ns();
    uint64_t cycles = 0;
    for (;;) {
        if (pins_due) drive_pins();
        for (uint64_t slice = 0; slice < 3200;) { /* 0.2 ms */
            uint64_t before = avr->cycle;
            int state = avr_run(avr);
            if (state == cpu_Crashed || state == cpu_Done) {
                if (!flash) return 3;
                break; /* an empty or half-written program runs wild; it waits for the reset line */
            }
            slice += avr->cycle > before ? avr->cycle - before : 1;
        }
        cycles += 3200;
        if (flash) watch_modem_line();
        if (at == have) at = 0, have = read(line, bytes, sizeof bytes);
        if (have < 0) have = 0;
        while (at < have && room) avr_raise_irq(in, bytes[at++]);
        ssize_t n = read(0, text, sizeof text - 1);
        if (n == 0) return 0; /* the test has gone */
        if (n > 0) {
            text[n] = 0;
            for (char *save = NULL, *one = strtok_r(text, "\n", &save); one; one = strtok_r(NULL, "\n", &save))
                obey(one, argv[4], flash);
        }
        int64_t ahead = start + (int64_t)cycles * 1000 / 16 - now_ns();
        if (ahead > 50000) nanosleep(&(struct timespec){.tv_nsec = ahead > 900000000 ? 900000000 : ahead}, NULL);
        if (ahead < -200000000) start = now_ns() - (int64_t)cycles * 1000 / 16; /* a busy machine: later, not faster */
    }
}
