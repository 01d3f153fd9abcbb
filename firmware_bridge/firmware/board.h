/* The board: events in, frames out, the host's requests answered. No heap, no blocking, one instance. */
#ifndef WAYSIDE_BOARD_H
#define WAYSIDE_BOARD_H

#include "detectors.h"
#include "frame.h"
#include "plan.h"
#include "ring.h"
#include "settings.h"
#include "signals.h"

#ifndef FIRMWARE_MAJOR
#define FIRMWARE_MAJOR 2u
#define FIRMWARE_MINOR 1u
#define FIRMWARE_PATCH 0u
#endif
#ifndef TX_BYTES
#define TX_BYTES 4096u
#endif
#ifndef READ_BYTES
#define READ_BYTES 256u
#endif
#define ANSWERS 4u
#define TICK_MS 100u

typedef struct {
    msg_identity identity;
    ring events;
    plan plan;
    frame_decoder rx;
    uint8_t tx[TX_BYTES]; /* frames on their way to the line */
    size_t tx_head, tx_length;

    bool linked;    /* a HELLO came since the start or since the line went down */
    bool alive;     /* something came from the host within HOST_SILENT_MS */
    bool host_plan; /* accepted green times are in force */
    bool heeded;    /* something that the host asked for may be in force */
    bool identity_due;
    uint32_t sent;  /* last seq put on the line */
    uint32_t acked; /* last seq that is durable at the host */
    uint64_t heard_ms, status_ms, identity_ms; /* uptime: last heard, next due, next due */
    msg_plan_result answers[ANSWERS]; /* waiting to be sent */
    uint8_t answer_count;

    settings settings; /* where a table is decoded: detectors and signals have copies of what is in force */
    store store;
    msg_table_commit commit; /* being stored */
    detectors detectors;
    signals signals;
    signal_heads shown;
    uint8_t shown_mode;
    uint8_t told_calls, told_peds, told_preempts[SIGNAL_PREEMPTS];
    uint16_t inputs; /* bits: inputs 1 to PREEMPT_INPUTS that are on */
    uint64_t tick_ms; /* event clock: next step of the signals */

    uint32_t lost, rx_refused; /* rx_refused: good frames that are no request of ours */
    uint32_t events_sent, frames_sent, plans_accepted, plans_refused;
} board;

/* Set identity.boot, identity.board, identity.ring and identity.reset_cause first; settings.detectors, too, where
 * a board without a stored table shall watch its detectors. */
void board_start(board *b);

/* Event clock at which the board has something to do by itself, UINT64_MAX when it has not. */
uint64_t board_due_ms(const board *b);

/* One turn: read, take edges, answer, send. Call it when bytes wait, an edge is due or a timer ends. */
void board_step(board *b);

/* The line hung up: what was on its way is void, a new host must say HELLO. */
void board_line_down(board *b);

uint32_t board_rx_errors(const board *b);

#endif
