#include "board.h"

#include "hal.h"

static const size_t EDGES_PER_SLICE = 128; /* between two looks at the line */

uint32_t board_rx_errors(const board *b) { return b->rx.errors + b->rx_refused; }

static bool put_byte_run(board *b, const uint8_t *from, size_t n) {
    if (TX_BYTES - b->tx_length < n) return false;
    for (size_t i = 0; i < n; i++) b->tx[(b->tx_head + b->tx_length + i) % TX_BYTES] = from[i];
    b->tx_length += n;
    return true;
}

static bool send(board *b, const uint8_t *payload, size_t n) {
    uint8_t frame[FRAME_BYTES];
    bool sent = put_byte_run(b, frame, frame_encode(payload, n, frame));
    b->frames_sent += sent;
    return sent;
}

static void drain(board *b) {
    while (b->tx_length > 0) {
        size_t run = TX_BYTES - b->tx_head < b->tx_length ? TX_BYTES - b->tx_head : b->tx_length;
        size_t taken = hal_write(b->tx + b->tx_head, run);
        b->tx_head = (b->tx_head + taken) % TX_BYTES;
        b->tx_length -= taken;
        if (taken < run) return;
    }
}

void board_line_down(board *b) {
    static const uint8_t delimiter = 0;
    b->linked = b->alive = b->result_due = false;
    b->tx_head = b->tx_length = 0;
    b->rx.length = 0;
    b->identity_due = false; /* a host that says HELLO at once shall hear one IDENTITY, its answer */
    b->identity_ms = hal_uptime_ms() + IDENTITY_EVERY_MS;
    (void)put_byte_run(b, &delimiter, 1); /* ends whatever half frame the other side may hold */
}

void board_start(board *b) {
    b->events.capacity = b->identity.ring;
    b->events.oldest = b->events.next = 1;
    b->identity.protocol = PROTOCOL;
    b->identity.schema = SCHEMA;
    b->identity.major = FIRMWARE_MAJOR;
    b->identity.minor = FIRMWARE_MINOR;
    b->identity.patch = FIRMWARE_PATCH;
    b->status_ms = hal_uptime_ms();
    plan_fall_back(&b->plan);
    board_line_down(b);
}

/* --- from the host -------------------------------------------------------------------------------- */

static void acknowledge(board *b, uint32_t ack) {
    if (ack >= b->events.next) {
        b->rx_refused++; /* nobody can have what was never made */
    } else if (ack > b->acked) {
        b->acked = ack;
        ring_release(&b->events, ack);
        if (b->sent < ack) b->sent = ack;
    }
}

static void on_hello(board *b, const msg_hello *m) {
    uint32_t from = b->acked; /* of a host that does not know this boot */
    if (m->boot == b->identity.boot && m->ack_seq < b->events.next) {
        acknowledge(b, m->ack_seq);
        from = m->ack_seq;
    }
    b->linked = true;
    b->sent = from;
    b->identity_due = true;
    b->status_ms = 0;
}

static void on_heartbeat(board *b, const msg_heartbeat *m) {
    if (!b->linked || (m->boot != 0 && m->boot != b->identity.boot))
        b->identity_due = true;
    else if (m->boot != 0)
        acknowledge(b, m->ack_seq);
}

static void on_phase_times(board *b, const uint8_t *payload, size_t n) {
    msg_phase_times m;
    msg_phase_green greens[MAX_PHASES];
    msg_phase_times_get(&m, payload);
    if (m.phase_count > MAX_PHASES || n != MSG_PHASE_TIMES_SIZE + 3u * m.phase_count) {
        b->rx_refused++;
        return;
    }
    for (size_t i = 0; i < m.phase_count; i++) msg_phase_green_get(&greens[i], payload + MSG_PHASE_TIMES_SIZE + 3u * i);
    uint8_t phase = 0;
    enum plan_code code = b->linked ? plan_request(&b->plan, &m, greens, &phase) : PLAN_CODE_NO_HOST;
    if (code == PLAN_CODE_OK) {
        b->plans_accepted++;
        b->host_plan = true;
    } else {
        b->plans_refused++;
    }
    b->result = (msg_plan_result){.request = m.request, .code = (uint8_t)code, .phase = phase};
    b->result_due = true;
}

static void on_payload(board *b, const uint8_t *payload, size_t n) {
    if (payload[0] == MSG_HELLO && n == MSG_HELLO_SIZE) {
        msg_hello m;
        msg_hello_get(&m, payload);
        on_hello(b, &m);
    } else if (payload[0] == MSG_HEARTBEAT && n == MSG_HEARTBEAT_SIZE) {
        msg_heartbeat m;
        msg_heartbeat_get(&m, payload);
        on_heartbeat(b, &m);
    } else if (payload[0] == MSG_PHASE_TIMES && n >= MSG_PHASE_TIMES_SIZE) {
        on_phase_times(b, payload, n);
    } else {
        b->rx_refused++;
        return; /* noise that happens to be a frame is not a sign of life */
    }
    b->heard_ms = hal_uptime_ms();
    b->alive = b->linked;
}

static void receive(board *b) {
    uint8_t bytes[256], payload[MAX_FRAME];
    size_t n = hal_read(bytes, sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        size_t length = frame_feed(&b->rx, bytes[i], payload);
        if (length > 0) on_payload(b, payload, length);
    }
    if (b->alive && hal_uptime_ms() - b->heard_ms > HOST_SILENT_MS) b->alive = false;
    if (!b->alive && b->host_plan) {
        b->host_plan = false;
        plan_fall_back(&b->plan);
    }
}

/* --- to the host ---------------------------------------------------------------------------------- */

static bool send_identity(board *b) {
    uint8_t payload[MSG_IDENTITY_SIZE];
    msg_identity_put(payload, &b->identity);
    return send(b, payload, sizeof payload);
}

static bool send_status(board *b, uint64_t clock_ms) {
    uint8_t payload[MSG_STATUS_SIZE];
    msg_status_put(payload, &(msg_status){
        .ms = (uint32_t)clock_ms,
        .next_seq = b->events.next,
        .oldest_seq = b->events.oldest,
        .sent_seq = b->sent,
        .acked_seq = b->acked,
        .lost = b->lost,
        .rx_errors = board_rx_errors(b),
        .flags = (uint8_t)((b->alive ? FLAG_HOST_ALIVE : FLAG_FAIL_SAFE) | (b->host_plan ? FLAG_HOST_PLAN : 0) |
                           (b->linked ? FLAG_LINKED : 0)),
    });
    return send(b, payload, sizeof payload);
}

static bool send_event(board *b) {
    uint8_t payload[MSG_EVENT_SIZE];
    const edge *e = ring_at(&b->events, b->sent + 1u);
    msg_event_put(payload, &(msg_event){
        .seq = b->sent + 1u, .ms = e->ms, .kind = e->kind, .channel = e->channel, .value = e->value});
    if (!send(b, payload, sizeof payload)) return false;
    b->sent++;
    b->events_sent++;
    return true;
}

/* Order matters: after HELLO the host needs IDENTITY, then STATUS, then events. */
static void transmit(board *b, uint64_t clock_ms) {
    uint64_t now = hal_uptime_ms();
    drain(b);
    if (!b->linked && now >= b->identity_ms) b->identity_due = true;
    if (b->identity_due) {
        if (!send_identity(b)) return;
        b->identity_due = false;
        b->identity_ms = now + IDENTITY_EVERY_MS;
    }
    if (b->linked && b->alive && b->sent + 1u < b->events.oldest) {
        /* The ring no longer has what comes next: say so before going on. */
        b->lost += b->events.oldest - (b->sent + 1u);
        b->sent = b->events.oldest - 1u;
        b->status_ms = 0;
    }
    if (now >= b->status_ms) {
        if (!send_status(b, clock_ms)) return;
        b->status_ms = now + STATUS_EVERY_MS;
    }
    if (b->result_due) {
        uint8_t payload[MSG_PLAN_RESULT_SIZE];
        msg_plan_result_put(payload, &b->result);
        if (!send(b, payload, sizeof payload)) return;
        b->result_due = false;
    }
    if (b->linked && b->alive)
        while (b->sent + 1u < b->events.next && send_event(b)) drain(b);
    drain(b);
}

void board_step(board *b) {
    receive(b);
    uint64_t clock_ms = hal_clock_ms();
    bool more = true;
    while (more) {
        uint64_t seen_ms = 0;
        edge e;
        size_t taken = 0;
        while (taken < EDGES_PER_SLICE && (more = hal_next_edge(clock_ms, &e))) {
            ring_push(&b->events, &e);
            seen_ms = e.ms ? e.ms - 1u : 0u; /* more of the same millisecond may follow */
            taken++;
        }
        /* Between slices STATUS must not promise more than what was taken. */
        transmit(b, more ? seen_ms : clock_ms);
    }
}
