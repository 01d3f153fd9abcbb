/* The board as a process: its UART is a pty, its inputs are a file of edges.
 *
 * Board clock: max(0, (unix now - anchor) * speed) ms. With --anchor, edges from before the start are skipped: a board
 * that was off did not see them. Without it the clock starts at 0. With --end the clock stands still from there on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "hal.h"

static struct {
    const char *pty_link, *feed, *stats, *plan, *store;
    double speed, anchor_s, end_ms;
    bool anchored;
} options = {.speed = 1.0, .end_ms = 1e15};

static board the_board;
static int line = -1;
static bool line_up;
static char pty_name[64];
static FILE *feed;
static unsigned long feed_line;
static uint64_t last_edge_ms, pending_ms, produced, skipped, started_clock_ms;
static edge pending;
static bool has_pending;
static volatile sig_atomic_t stopped;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("board: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

/* --- clocks --------------------------------------------------------------------------------------- */

static double unix_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t hal_clock_ms(void) {
    static uint64_t last; /* the wall may step back, the board's clock does not */
    double ms = (unix_s() - options.anchor_s) * options.speed * 1000.0;
    if (ms > options.end_ms) ms = options.end_ms;
    if (ms > (double)last) last = (uint64_t)ms;
    return last;
}

uint64_t hal_uptime_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* --- the line ------------------------------------------------------------------------------------- */

size_t hal_read(uint8_t *to, size_t n) {
    ssize_t got = line_up ? read(line, to, n) : -1;
    return got > 0 ? (size_t)got : 0;
}

size_t hal_write(const uint8_t *from, size_t n) {
    ssize_t taken = line_up ? write(line, from, n) : -1;
    return taken > 0 ? (size_t)taken : 0;
}

static void open_line(void) {
    int slave;
    struct termios raw;
    if (openpty(&line, &slave, pty_name, NULL, NULL) != 0) die("no pty: %s", strerror(errno));
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    close(slave); /* so that a host's open and close show as hang-ups on the master */
    fcntl(line, F_SETFL, O_NONBLOCK);
    fcntl(line, F_SETFD, FD_CLOEXEC);
    if (options.pty_link) {
        char beside[4096];
        if ((size_t)snprintf(beside, sizeof beside, "%s.%ld", options.pty_link, (long)getpid()) >= sizeof beside)
            die("--pty-link is too long");
        unlink(beside);
        if (symlink(pty_name, beside) != 0 || rename(beside, options.pty_link) != 0) {
            int error = errno;
            unlink(beside);
            die("cannot make the link %s: %s", options.pty_link, strerror(error));
        }
    }
}

static void close_line(void) {
    char target[sizeof pty_name];
    ssize_t n = options.pty_link ? readlink(options.pty_link, target, sizeof target) : -1;
    if (n == (ssize_t)strlen(pty_name) && memcmp(target, pty_name, (size_t)n) == 0) unlink(options.pty_link);
}

/* --- files ---------------------------------------------------------------------------------------- */

/* Reads count unsigned decimals separated by commas and nothing else. */
static bool numbers(char *text, uint64_t *to, int count) {
    text[strcspn(text, "\r\n")] = 0;
    for (int i = 0; i < count; i++) {
        char *end;
        if (*text < '0' || *text > '9') return false;
        errno = 0;
        to[i] = strtoull(text, &end, 10);
        if (errno || *end != (i + 1 < count ? ',' : 0)) return false;
        text = end + 1;
    }
    return true;
}

/* The file, behind the byte order mark that some editors put at its begin. */
static FILE *open_text(const char *path) {
    FILE *f = fopen(path, "re");
    unsigned char mark[3];
    if (f && (fread(mark, 1, sizeof mark, f) != sizeof mark || memcmp(mark, "\xEF\xBB\xBF", sizeof mark) != 0)) rewind(f);
    return f;
}

/* Whether a line is this header. */
static bool is_header(const char *text, const char *header) {
    size_t length = strlen(header);
    return strncmp(text, header, length) == 0 && text[length + strspn(text + length, "\r\n")] == 0;
}

static long feed_begin;

static bool read_edge(void) {
    char text[64];
    uint64_t v[4];
    has_pending = false;
    if (!feed || !fgets(text, sizeof text, feed)) return false;
    if (++feed_line == 1 && is_header(text, "ms,kind,channel,value")) return read_edge();
    if (!numbers(text, v, 4) || v[1] < 1 || v[1] > EVENT_KIND_ANALOG || v[2] > 255 || v[3] > UINT16_MAX)
        die("%s, line %lu: expected ms,kind,channel,value with kind 1 to %d, channel to 255 and value to 65535",
            options.feed, feed_line, EVENT_KIND_ANALOG);
    if (v[0] < last_edge_ms) die("%s, line %lu: %" PRIu64 " ms is before the line above", options.feed, feed_line, v[0]);
    last_edge_ms = pending_ms = v[0];
    pending = (edge){.ms = (uint32_t)v[0], .kind = (uint8_t)v[1], .channel = (uint8_t)v[2], .value = (uint16_t)v[3]};
    return has_pending = true;
}

static void open_feed(void) {
    if (!options.feed) return;
    feed = open_text(options.feed);
    if (!feed) die("cannot read the feed %s: %s", options.feed, strerror(errno));
    feed_begin = ftell(feed);
    while (read_edge()) continue; /* check the whole file before the start */
    if (ferror(feed)) die("cannot read the feed %s: %s", options.feed, strerror(errno));
    (void)fseek(feed, feed_begin, SEEK_SET);
    feed_line = 0;
    last_edge_ms = 0;
    (void)read_edge();
    for (; has_pending && options.anchored && pending_ms < started_clock_ms; skipped++) (void)read_edge();
}

bool hal_next_edge(uint64_t clock_ms, edge *e) {
    if (!has_pending || pending_ms > clock_ms) return false;
    if (clock_ms == 0 && unix_s() < options.anchor_s) return false; /* edges at 0 wait for the anchor, too */
    *e = pending;
    produced++;
    (void)read_edge();
    return true;
}

static phase_limit own_limits[MAX_PHASES];

static void open_plan(plan *p) {
    char text[128];
    uint64_t v[6];
    unsigned long at = 0;
    if (!options.plan) return;
    FILE *f = open_text(options.plan);
    if (!f) die("cannot read the plan %s: %s", options.plan, strerror(errno));
    p->own = own_limits;
    while (fgets(text, sizeof text, f)) {
        if (++at == 1 && is_header(text, "phase,ring,min_green,max_green,clearance,green")) continue;
        if (p->own_count == MAX_PHASES || !numbers(text, v, 6) || v[0] < 1 || v[0] > 255 || v[1] < 1 || v[1] > 2 ||
            v[2] > v[5] || v[5] > v[3] || v[3] > UINT16_MAX || v[4] < 30 || v[4] > 120)
            die("%s, line %lu: expected phase,ring,min_green,max_green,clearance,green in 0.1 s, "
                "min_green <= green <= max_green, clearance 30 to 120, at most %u lines",
                options.plan, at, MAX_PHASES);
        own_limits[p->own_count++] = (phase_limit){.phase = (uint8_t)v[0], .ring = (uint8_t)v[1],
            .min_green = (uint16_t)v[2], .max_green = (uint16_t)v[3], .min_clearance = (uint16_t)v[4],
            .max_clearance = (uint16_t)v[4], .green = (uint16_t)v[5]};
    }
    fclose(f);
    if (p->own_count == 0) die("%s has no phase", options.plan);
}

/* --- non-volatile memory: a file, or nothing that lasts ---------------------------------------------- */

static uint8_t memory[512];
static int memory_file = -1;

static void open_memory(void) {
    memset(memory, 0xFF, sizeof memory);
    if (!options.store) return;
    memory_file = open(options.store, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (memory_file < 0 || pread(memory_file, memory, sizeof memory, 0) < 0)
        die("cannot use %s as the board's memory: %s", options.store, strerror(errno));
}

uint8_t hal_nv_read(uint16_t at) { return memory[at]; }

bool hal_nv_ready(void) { return true; }

void hal_nv_write(uint16_t at, uint8_t byte) {
    memory[at] = byte;
    if (memory_file >= 0 && pwrite(memory_file, &byte, 1, at) != 1) memory[at] = (uint8_t)~byte; /* read-back tells */
}

bool hal_nv_flush(void) { return memory_file < 0 || fdatasync(memory_file) == 0; }

void hal_heads(const signal_heads *heads) { (void)heads; /* events tell what is shown */ }

static bool write_stats(void) {
    if (!options.stats) return true;
    char beside[4096];
    const board *b = &the_board;
    if ((size_t)snprintf(beside, sizeof beside, "%s.%ld", options.stats, (long)getpid()) >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *f = fopen(beside, "we");
    if (!f) return false;
    fprintf(f,
        "{\"boot\": %" PRIu32 ", \"pty\": \"%s\", \"clock_ms\": %" PRIu64 ", \"feed_done\": %s, \"produced\": %" PRIu64
        ", \"skipped\": %" PRIu64 ", \"sent\": %" PRIu32 ", \"lost\": %" PRIu32 ", \"acked\": %" PRIu32
        ", \"next_seq\": %" PRIu32 ", \"oldest_seq\": %" PRIu32 ", \"frames_tx\": %" PRIu32 ", \"frames_rx\": %" PRIu32
        ", \"rx_errors\": %" PRIu32 ", \"plans_accepted\": %" PRIu32 ", \"plans_refused\": %" PRIu32
        ", \"signal_mode\": %u, \"host_alive\": %s}\n",
        b->identity.boot, pty_name, hal_clock_ms(), has_pending ? "false" : "true", produced, skipped, b->events_sent,
        b->lost, b->acked, b->events.next, b->events.oldest, b->frames_sent, b->rx.frames, board_rx_errors(b),
        b->plans_accepted, b->plans_refused, b->signals.mode, b->alive ? "true" : "false");
    if (fclose(f) == 0 && rename(beside, options.stats) == 0) return true;
    int error = errno;
    unlink(beside);
    errno = error;
    return false;
}

/* --- the process ---------------------------------------------------------------------------------- */

static int wait_ms(void) {
    uint64_t now = hal_uptime_ms(), due = now + STATUS_EVERY_MS;
    bool full = TX_BYTES - the_board.tx_length < FRAME_BYTES; /* nothing can be sent: POLLOUT will tell */
    if (!full && the_board.status_ms < due) due = the_board.status_ms;
    double ms = due > now ? (double)(due - now) : 0.0;
    uint64_t next_ms = board_due_ms(&the_board);
    if (has_pending && pending_ms < next_ms) next_ms = pending_ms;
    if ((double)next_ms <= options.end_ms) {
        double in_ms = (options.anchor_s - unix_s()) * 1000.0 + (double)next_ms / options.speed;
        if (in_ms < ms) ms = in_ms;
    }
    if (!line_up && ms > 20.0) ms = 20.0; /* a hang-up cannot be waited for, only looked at */
    return ms > 0.0 ? (int)ceil(ms) : 0;
}

static void wait_for_work(void) {
    short wanted = (short)(POLLIN | (the_board.tx_length ? POLLOUT : 0));
    struct pollfd look = {.fd = line, .events = 0};
    if (line_up) {
        look.events = wanted;
        (void)poll(&look, 1, wait_ms());
    } else {
        struct timespec nap = {.tv_nsec = wait_ms() * 1000000L};
        nanosleep(&nap, NULL);
        (void)poll(&look, 1, 0);
    }
    bool up = !(look.revents & POLLHUP);
    if (up != line_up) board_line_down(&the_board);
    line_up = up;
}

static double number(const char *name, const char *text, double low, double high) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= low && value <= high))
        die("--%s is a number from %g to %g, not '%s'", name, low, high, text);
    return value;
}

static void parse(int argc, char **argv) {
    static const struct option known[] = {{"pty-link", 1, NULL, 'l'}, {"feed", 1, NULL, 'f'}, {"speed", 1, NULL, 's'},
        {"anchor", 1, NULL, 'a'}, {"id", 1, NULL, 'i'}, {"ring", 1, NULL, 'r'}, {"stats", 1, NULL, 't'},
        {"plan", 1, NULL, 'p'}, {"end", 1, NULL, 'e'}, {"store", 1, NULL, 'n'}, {"reset", 1, NULL, 'c'}, {NULL, 0, NULL, 0}};
    msg_identity *me = &the_board.identity;
    memcpy(me->board, "wayside", 8);
    me->ring = RING_MAX;
    me->reset_cause = RESET_CAUSE_POWER_ON;
    options.anchor_s = unix_s();
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        size_t length = optarg ? strlen(optarg) : 0;
        switch (c) {
        case 'l': options.pty_link = optarg; break;
        case 'f': options.feed = optarg; break;
        case 't': options.stats = optarg; break;
        case 'p': options.plan = optarg; break;
        case 'n': options.store = optarg; break;
        case 'c': me->reset_cause = (uint8_t)number("reset", optarg, 0, RESET_CAUSE_BROWN_OUT); break;
        case 's': options.speed = number("speed", optarg, 1e-3, 1e4); break;
        case 'a': options.anchor_s = number("anchor", optarg, 0, 1e11); options.anchored = true; break;
        case 'e': options.end_ms = number("end", optarg, 0, 1e15); break;
        case 'r': me->ring = (uint16_t)number("ring", optarg, 1, RING_MAX); break;
        case 'i':
            if (length < 1 || length > BOARD_NAME_BYTES) die("--id has 1 to %u characters", BOARD_NAME_BYTES);
            for (size_t i = 0; i < length; i++)
                if (optarg[i] <= ' ' || optarg[i] > '~') die("--id is printable ASCII without spaces");
            memset(me->board, 0, sizeof me->board);
            memcpy(me->board, optarg, length);
            break;
        default:
            fputs("usage: board [--pty-link PATH] [--feed FILE] [--speed S] [--anchor UNIX_S] [--id ID] [--ring N]\n"
                  "             [--stats FILE] [--plan FILE] [--end MS] [--store FILE] [--reset CAUSE]\n", stderr);
            exit(2);
        }
    }
    if (optind != argc) die("what is '%s'?", argv[optind]);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    while (the_board.identity.boot == 0)
        if (getrandom(&the_board.identity.boot, sizeof the_board.identity.boot, 0) < 0) die("no random numbers");
    started_clock_ms = hal_clock_ms();
    open_plan(&the_board.plan);
    open_memory();
    open_feed();
    struct sigaction stop = {.sa_handler = on_signal};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    open_line();
    atexit(close_line);
    board_start(&the_board);
    if (!write_stats()) die("cannot write the counters %s: %s", options.stats, strerror(errno));
    printf("READY %s\n", pty_name);
    fflush(stdout);
    for (uint64_t stats_ms = 0; !stopped; wait_for_work()) {
        board_step(&the_board);
        if (hal_uptime_ms() >= stats_ms) {
            write_stats(); /* the disk is full: the board goes on */
            stats_ms = hal_uptime_ms() + 1000;
        }
    }
    write_stats();
    return 0;
}
