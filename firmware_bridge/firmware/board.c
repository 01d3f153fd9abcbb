#include "board.h"

#include "hal.h"

static const size_t EDGES_PER_SLICE = 128; /* between two looks at the line */

uint32_t board_rx_errors(const board *b) { return b->rx.errors + b->rx_refused; }

static bool send(board *b, const uint8_t *payload, size_t n) {
    if (TX_BYTES - b->tx_length < n + FRAME_MORE) return false;
    b->tx_length += frame_encode_into(payload, n, b->tx, TX_BYTES, (b->tx_head + b->tx_length) % TX_BYTES);
    b->frames_sent++;
    return true;
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
    b->linked = b->alive = false;
    b->answer_count = 0;
    b->tx[0] = 0; /* ends half a frame that the other side may hold */
    b->tx_head = 0;
    b->tx_length = 1;
    b->rx.length = 0;
    b->identity_due = false; /* a host that says HELLO at once shall hear one IDENTITY, its answer */
    b->identity_ms = hal_uptime_ms() + IDENTITY_EVERY_MS;
}

/* Another table is in force: nobody has asked for green times of it yet. */
static void forget_plan(board *b) {
    b->host_plan = false;
    plan_fall_back(&b->plan);
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

    const uint8_t *kept;
    uint8_t phase;
    detector_limits preset = b->settings.detectors;
    size_t n = store_load(&b->store, &kept);
    if (n > 0 && settings_decode(&b->settings, kept, n, &phase) == PLAN_CODE_OK) {
        b->identity.table = crc32_of(kept, n);
    } else { /* no table, or one that this firmware refuses: signals flash until a table comes */
        b->settings = (settings){.detectors = preset};
    }
    uint64_t clock_ms = hal_clock_ms();
    detectors_start(&b->detectors, &b->settings.detectors, (uint32_t)clock_ms);
    signals_start(&b->signals, &b->settings.signals);
    b->plan.table = &b->signals.table;
    plan_fall_back(&b->plan);
    b->shown = signals_look(&b->signals);
    b->shown_mode = b->signals.mode;
    hal_heads(&b->shown);
    b->tick_ms = clock_ms + TICK_MS;
    board_line_down(b);
}

/* --- from the host -------------------------------------------------------------------------------- */

static void acknowledge(board *b, uint32_t ack) {
    if (ack >= b->events.next) {
        b->rx_refused++; /* an acknowledgement of events that were never made */
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

static void answer(board *b, uint16_t request, enum plan_code code, uint8_t phase) {
    b->answers[b->answer_count++] = (msg_plan_result){.request = request, .code = (uint8_t)code, .phase = phase};
}

static void on_phase_times(board *b, const uint8_t *payload, size_t n) {
    msg_phase_times m;
    msg_phase_times_get(&m, payload);
    if (m.phase_count > MAX_PHASES || n != MSG_PHASE_TIMES_SIZE + 3u * m.phase_count) {
        b->rx_refused++;
        return;
    }
    uint8_t phase = 0;
    enum plan_code code = PLAN_CODE_NO_HOST;
    if (b->linked && b->signals.coming)
        code = PLAN_CODE_BUSY;
    else if (b->linked)
        code = plan_request(&b->plan, &m, payload + MSG_PHASE_TIMES_SIZE, &phase);
    if (code == PLAN_CODE_OK) {
        b->plans_accepted++;
        b->host_plan = true;
        signals_greens(&b->signals, b->plan.green); /* rows and limits are in the same order */
    } else {
        b->plans_refused++;
    }
    answer(b, m.request, code, phase);
}

static void on_signal_request(board *b, const msg_signal_request *m) {
    enum plan_code code = b->linked ? signals_request(&b->signals, m->action, m->phase) : PLAN_CODE_NO_HOST;
    answer(b, m->request, code, m->phase);
}

static void on_table_part(board *b, const uint8_t *payload) {
    msg_table_part m;
    msg_table_part_get(&m, payload);
    if (b->store.state == STORE_WRITING || m.offset >= SETTINGS_MAX) {
        b->rx_refused++;
        return;
    }
    for (size_t i = 0; i < PART_BYTES && m.offset + i < SETTINGS_MAX; i++)
        b->store.bytes[SLOT_HEAD + m.offset + i] = m.data[i];
}

/* A dry run is answered at once, a table to keep when it is in memory and was read back. */
static void on_table_commit(board *b, const msg_table_commit *m) {
    uint8_t phase = 0;
    enum plan_code code = PLAN_CODE_OK;
    const uint8_t *bytes = b->store.bytes + SLOT_HEAD;
    bool again = m->action == ACTION_STORE_TABLE && m->crc == b->identity.table && b->identity.table != 0;
    if (!b->linked)
        code = PLAN_CODE_NO_HOST;
    else if (m->action != ACTION_CHECK_TABLE && m->action != ACTION_STORE_TABLE)
        code = PLAN_CODE_UNKNOWN_ACTION;
    else if (again && b->store.state != STORE_WRITING)
        code = PLAN_CODE_OK; /* the answer was lost: the signals need not close a second time */
    else if (b->store.state == STORE_WRITING || b->signals.coming)
        code = PLAN_CODE_BUSY;
    else if (m->size > SETTINGS_MAX)
        code = PLAN_CODE_TABLE_FORMAT;
    else if (crc32_of(bytes, m->size) != m->crc)
        code = PLAN_CODE_TABLE_CRC;
    else
        code = settings_decode(&b->settings, bytes, m->size, &phase); /* not BUSY: nobody else needs it now */
    if (code == PLAN_CODE_OK && m->action == ACTION_STORE_TABLE && !again) {
        b->commit = *m;
        store_begin(&b->store, m->size);
    } else {
        answer(b, m->request, code, phase);
    }
}

static void keep_table(board *b) {
    uint8_t phase = 0;
    if (b->store.state != STORE_WRITING || b->answer_count == ANSWERS) return;
    while (b->store.state == STORE_WRITING && hal_nv_ready()) (void)store_step(&b->store);
    if (b->store.state == STORE_WRITING) return;
    if (b->commit.size == 0) { /* nobody asked: it went to another place */
        b->store.state = STORE_IDLE;
        return;
    }
    if (b->store.state == STORE_DONE) {
        (void)settings_decode(&b->settings, b->store.bytes + SLOT_HEAD, b->commit.size, &phase); /* checked before */
        b->identity.table = b->commit.crc;
        b->identity_due = true;
        detectors_start(&b->detectors, &b->settings.detectors, (uint32_t)hal_clock_ms());
        signals_replace(&b->signals, &b->settings.signals);
        forget_plan(b);
        answer(b, b->commit.request, PLAN_CODE_OK, 0);
    } else {
        answer(b, b->commit.request, PLAN_CODE_STORE_FAILED, 0);
    }
    b->store.state = STORE_IDLE;
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
    } else if (b->answer_count == ANSWERS) {
        b->rx_refused++; /* a host that sends more than it reads: it asks again when no answer comes */
        return;
    } else if (payload[0] == MSG_PHASE_TIMES && n >= MSG_PHASE_TIMES_SIZE) {
        on_phase_times(b, payload, n);
    } else if (payload[0] == MSG_SIGNAL_REQUEST && n == MSG_SIGNAL_REQUEST_SIZE) {
        msg_signal_request m;
        msg_signal_request_get(&m, payload);
        on_signal_request(b, &m);
    } else if (payload[0] == MSG_TABLE_PART && n == MSG_TABLE_PART_SIZE) {
        on_table_part(b, payload);
    } else if (payload[0] == MSG_TABLE_COMMIT && n == MSG_TABLE_COMMIT_SIZE) {
        msg_table_commit m;
        msg_table_commit_get(&m, payload);
        on_table_commit(b, &m);
    } else {
        b->rx_refused++;
        return; /* noise that happens to be a frame is not a sign of life */
    }
    b->heard_ms = hal_uptime_ms();
    b->alive = b->linked;
    b->heeded |= b->alive;
}

static void receive(board *b) {
    uint8_t bytes[READ_BYTES];
    size_t n = hal_read(bytes, sizeof bytes);
    for (size_t i = 0; i < n; i++) {
        size_t length = frame_feed(&b->rx, bytes[i]);
        if (length > 0) on_payload(b, b->rx.buffer, length);
    }
    if (b->alive && hal_uptime_ms() - b->heard_ms > HOST_SILENT_MS) b->alive = false;
    if (!b->alive && b->heeded) {
        b->heeded = b->host_plan = false;
        plan_fall_back(&b->plan);
        signals_host_lost(&b->signals);
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
                           (b->linked ? FLAG_LINKED : 0) |
                           (b->signals.mode == SIGNAL_MODE_RUN ? FLAG_SIGNALS : 0) |
                           (b->signals.mode == SIGNAL_MODE_FAULT ? FLAG_SIGNAL_FAULT : 0)),
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
        /* The ring no longer has the next event: send STATUS before going on. */
        b->lost += b->events.oldest - (b->sent + 1u);
        b->sent = b->events.oldest - 1u;
        b->status_ms = 0;
    }
    if (now >= b->status_ms) {
        if (!send_status(b, clock_ms)) return;
        b->status_ms = now + STATUS_EVERY_MS;
    }
    while (b->answer_count > 0) {
        uint8_t payload[MSG_PLAN_RESULT_SIZE];
        msg_plan_result_put(payload, &b->answers[0]);
        if (!send(b, payload, sizeof payload)) return;
        b->answer_count--;
        for (uint8_t i = 0; i < b->answer_count; i++) b->answers[i] = b->answers[i + 1u];
    }
    if (b->linked && b->alive)
        while (b->sent + 1u < b->events.next && send_event(b)) drain(b);
    drain(b);
}

/* --- inputs and signals ---------------------------------------------------------------------------- */

static void note(board *b, uint64_t ms, uint8_t kind, uint8_t channel, uint16_t value) {
    ring_push(&b->events, &(edge){.ms = (uint32_t)ms, .kind = kind, .channel = channel, .value = value});
}

static void watch_detectors(board *b, uint32_t ms) {
    edge e;
    while (detectors_next(&b->detectors, ms, &e)) ring_push(&b->events, &e);
}

static void take(board *b, const edge *e) {
    watch_detectors(b, e->ms);
    if (detectors_take(&b->detectors, e))
        watch_detectors(b, e->ms);
    else
        ring_push(&b->events, e);
    if (e->kind != EVENT_KIND_INPUT || e->channel == 0) return;
    const signal_table *t = &b->signals.table;
    if (e->channel <= PREEMPT_INPUTS) {
        uint16_t one = (uint16_t)(1u << (e->channel - 1u));
        b->inputs = e->value ? b->inputs | one : b->inputs & (uint16_t)~one;
    }
    if (e->value == 0) return;
    for (uint8_t i = 0; i < t->count; i++)
        if (t->rows[i].ped_input == e->channel) (void)signals_request(&b->signals, ACTION_PED_CALL, t->rows[i].phase);
}

static uint8_t colour(uint8_t green, uint8_t yellow, uint8_t one) { return green & one ? 1 : yellow & one ? 2 : 0; }

static void tell_row(board *b, uint64_t ms, uint8_t i, const signal_heads *was, const signal_heads *now) {
    static const uint8_t kinds[] = {EVENT_KIND_PHASE_RED, EVENT_KIND_PHASE_GREEN, EVENT_KIND_PHASE_YELLOW};
    uint8_t row = (uint8_t)(1u << i), phase = b->signals.table.rows[i].phase;
    uint8_t before = colour(was->green, was->yellow, row), shows = colour(now->green, now->yellow, row);
    if (b->signals.table.actuated && before == 1 && shows == 2)
        note(b, ms, EVENT_KIND_TERMINATION, phase, b->signals.rings[b->signals.table.rows[i].ring - 1u].reason);
    if (before != shows) note(b, ms, kinds[shows], phase, 1);
    before = colour(was->walk, was->ped_clear, row);
    shows = colour(now->walk, now->ped_clear, row);
    if (before != shows) note(b, ms, EVENT_KIND_PED, phase, shows);
}

/* Who waits, and what a railway or the fire brigade has asked for. */
static void tell_calls(board *b, uint64_t ms) {
    const signals *s = &b->signals;
    uint8_t calls = signals_called(s), peds = s->table.actuated ? s->ped_calls : 0;
    for (uint8_t i = 0; i < SIGNAL_PHASES; i++) {
        uint8_t row = (uint8_t)(1u << i), phase = s->table.rows[i].phase;
        if ((calls ^ b->told_calls) & row) note(b, ms, EVENT_KIND_CALL, phase, (calls & row) != 0);
        if ((peds ^ b->told_peds) & row) note(b, ms, EVENT_KIND_PED_CALL, phase, (peds & row) != 0);
    }
    b->told_calls = calls;
    b->told_peds = peds;
    for (uint8_t k = 0; k < SIGNAL_PREEMPTS; k++) {
        uint8_t state = (uint8_t)signals_preempted(s, k), input = s->table.preempts[k].input;
        if (b->told_preempts[k] == PREEMPT_STATE_OFF && state == PREEMPT_STATE_SERVED) /* its phases were green */
            note(b, ms, EVENT_KIND_PREEMPT, input, PREEMPT_STATE_CALLED);
        if (state != b->told_preempts[k]) note(b, ms, EVENT_KIND_PREEMPT, input, state);
        b->told_preempts[k] = state;
    }
}

static void tell(board *b, uint64_t ms) {
    signal_heads was = b->shown, now = signals_look(&b->signals);
    b->shown = now;
    if (b->signals.mode != b->shown_mode) note(b, ms, EVENT_KIND_SIGNAL_MODE, 0, b->signals.mode);
    b->shown_mode = b->signals.mode;
    for (uint8_t i = 0; i < SIGNAL_PHASES; i++) tell_row(b, ms, i, &was, &now);
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++) {
        uint8_t one = (uint8_t)(1u << o), shows = colour(now.overlap_green, now.overlap_yellow, one);
        if (colour(was.overlap_green, was.overlap_yellow, one) != shows)
            note(b, ms, EVENT_KIND_OVERLAP, (uint8_t)(o + 1u), shows);
    }
    tell_calls(b, ms);
}

static uint8_t preempts_on(const board *b) {
    uint8_t on = 0;
    for (uint8_t k = 0; k < SIGNAL_PREEMPTS; k++) {
        const signal_preempt *p = &b->signals.table.preempts[k];
        bool closed = p->input && (b->inputs >> (p->input - 1u) & 1u);
        if (p->input && closed != p->opens) on = (uint8_t)(on | 1u << k);
    }
    return on;
}

static void step_signals(board *b, uint64_t clock_ms) {
    if (clock_ms < b->tick_ms) return;
    b->tick_ms = clock_ms + TICK_MS; /* from now: a late step makes every time longer, never shorter */
    uint8_t present, faulty;
    detectors_rows(&b->detectors, &present, &faulty);
    signals_detect(&b->signals, present, faulty);
    signals_preempt(&b->signals, preempts_on(b));
    bool waits = b->signals.coming != 0;
    signals_tick(&b->signals);
    if (waits && !b->signals.coming) forget_plan(b);
    tell(b, clock_ms);
    hal_heads(&b->shown);
}

uint64_t board_due_ms(const board *b) {
    uint64_t due = UINT64_MAX, now = hal_clock_ms();
    if (b->signals.table.count || b->signals.coming) due = b->tick_ms;
    if (b->detectors.limits.count) {
        uint32_t in = b->detectors.due_ms - (uint32_t)now;
        uint64_t at = in < 0x80000000u ? now + in : now;
        if (at < due) due = at;
    }
    return due;
}

void board_step(board *b) {
    receive(b);
    keep_table(b);
    uint64_t clock_ms = hal_clock_ms();
    bool more = true;
    while (more) {
        uint64_t seen_ms = 0;
        edge e;
        size_t taken = 0;
        while (taken < EDGES_PER_SLICE && (more = hal_next_edge(clock_ms, &e))) {
            take(b, &e);
            seen_ms = e.ms ? e.ms - 1u : 0u; /* more of the same millisecond may follow */
            taken++;
        }
        if (!more) {
            watch_detectors(b, (uint32_t)clock_ms);
            step_signals(b, clock_ms);
        }
        /* Between slices STATUS must not cover edges that have not been taken yet. */
        transmit(b, more ? seen_ms : clock_ms);
    }
}
