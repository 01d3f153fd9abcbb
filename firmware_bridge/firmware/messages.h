/* Generated from firmware_bridge/line/messages.py by `wayside board header`. Do not edit. */
#ifndef WAYSIDE_MESSAGES_H
#define WAYSIDE_MESSAGES_H

#include <stdint.h>
#include <string.h>

#define PROTOCOL 2u
#define SCHEMA 0x37e3ff77u
#define MAX_PAYLOAD 64u
#define CRC_BYTES 4u
#define MAX_FRAME 69u /* without the delimiter */
#define BOARD_NAME_BYTES 8u
#define MAX_PHASES 16u
#define SIGNAL_PHASES 8u
#define SIGNAL_RINGS 2u
#define PART_BYTES 32u
#define SETTINGS_FORMAT 1u
#define SETTINGS_HEAD 14u
#define SETTINGS_ROW 16u
#define ACTUATED_FORMAT 2u
#define ACTUATED_HEAD 31u
#define ACTUATED_ROW 21u
#define ACTUATED_DETECTORS 40u
#define SIGNAL_OVERLAPS 4u
#define SIGNAL_PREEMPTS 2u
#define STATUS_EVERY_MS 100u
#define IDENTITY_EVERY_MS 1000u
#define HOST_SILENT_MS 2000u
#define START_FLASH_MIN 20u
#define START_RED_MIN 60u
#define YELLOW_MIN 30u
#define YELLOW_MAX 60u
#define RED_MAX 60u
#define GREEN_MIN 30u
#define GREEN_MAX 3000u
#define WALK_MIN 40u

enum event_kind {
    EVENT_KIND_DETECTOR = 1,
    EVENT_KIND_PHASE_GREEN = 2,
    EVENT_KIND_PHASE_YELLOW = 3,
    EVENT_KIND_PHASE_RED = 4,
    EVENT_KIND_INPUT = 5,
    EVENT_KIND_DETECTOR_FAULT = 6,
    EVENT_KIND_PED = 7,
    EVENT_KIND_SIGNAL_MODE = 8,
    EVENT_KIND_ANALOG = 9,
    EVENT_KIND_TERMINATION = 10,
    EVENT_KIND_CALL = 11,
    EVENT_KIND_PED_CALL = 12,
    EVENT_KIND_PREEMPT = 13,
    EVENT_KIND_OVERLAP = 14,
};

enum termination {
    TERMINATION_GAP_OUT = 1,
    TERMINATION_MAX_OUT = 2,
    TERMINATION_FORCE_OFF = 3,
    TERMINATION_FIXED = 4,
};

enum preempt_state {
    PREEMPT_STATE_OFF = 0,
    PREEMPT_STATE_CALLED = 1,
    PREEMPT_STATE_SERVED = 2,
};

enum recall {
    RECALL_NONE = 0,
    RECALL_MINIMUM = 1,
    RECALL_MAXIMUM = 2,
    RECALL_SOFT = 3,
};

enum row_option {
    ROW_OPTION_LOCKING = 4,
    ROW_OPTION_PED_RECALL = 8,
    ROW_OPTION_HOST_ONLY = 16,
};

enum detector_fault {
    DETECTOR_FAULT_STUCK_ON = 1,
    DETECTOR_FAULT_NO_HIT = 2,
    DETECTOR_FAULT_CHATTER = 4,
    DETECTOR_FAULT_DEAD = 8,
};

enum reset_cause {
    RESET_CAUSE_UNKNOWN = 0,
    RESET_CAUSE_POWER_ON = 1,
    RESET_CAUSE_WATCHDOG = 2,
    RESET_CAUSE_EXTERNAL = 3,
    RESET_CAUSE_SOFTWARE = 4,
    RESET_CAUSE_BROWN_OUT = 5,
};

enum flag {
    FLAG_HOST_ALIVE = 1,
    FLAG_FAIL_SAFE = 2,
    FLAG_HOST_PLAN = 4,
    FLAG_LINKED = 8,
    FLAG_SIGNALS = 16,
    FLAG_SIGNAL_FAULT = 32,
};

enum plan_code {
    PLAN_CODE_OK = 0,
    PLAN_CODE_UNKNOWN_PHASE = 1,
    PLAN_CODE_DUPLICATE_PHASE = 2,
    PLAN_CODE_MISSING_PHASE = 3,
    PLAN_CODE_BELOW_MIN_GREEN = 4,
    PLAN_CODE_ABOVE_MAX_GREEN = 5,
    PLAN_CODE_CYCLE_SUM = 6,
    PLAN_CODE_NO_HOST = 7,
    PLAN_CODE_NOT_RUNNING = 8,
    PLAN_CODE_NOT_GREEN = 9,
    PLAN_CODE_PEDESTRIAN = 10,
    PLAN_CODE_NO_WALK = 11,
    PLAN_CODE_CONFLICT = 12,
    PLAN_CODE_STARVES = 13,
    PLAN_CODE_UNKNOWN_ACTION = 14,
    PLAN_CODE_TABLE_CRC = 15,
    PLAN_CODE_TABLE_FORMAT = 16,
    PLAN_CODE_TABLE_RING = 17,
    PLAN_CODE_TABLE_CONFLICTS = 18,
    PLAN_CODE_TABLE_TIMES = 19,
    PLAN_CODE_TABLE_LIMITS = 20,
    PLAN_CODE_BUSY = 21,
    PLAN_CODE_STORE_FAILED = 22,
    PLAN_CODE_PREEMPTED = 23,
    PLAN_CODE_TABLE_DETECTORS = 24,
    PLAN_CODE_TABLE_OVERLAP = 25,
    PLAN_CODE_TABLE_PREEMPT = 26,
};

enum signal_mode {
    SIGNAL_MODE_FLASH = 0,
    SIGNAL_MODE_ALL_RED = 1,
    SIGNAL_MODE_RUN = 2,
    SIGNAL_MODE_CLOSING = 3,
    SIGNAL_MODE_FAULT = 4,
};

enum action {
    ACTION_PED_CALL = 1,
    ACTION_CALL = 2,
    ACTION_HOLD = 3,
    ACTION_FORCE_OFF = 4,
    ACTION_CHECK_TABLE = 5,
    ACTION_STORE_TABLE = 6,
    ACTION_RELEASE = 7,
    ACTION_OMIT = 8,
};

typedef struct {
    uint8_t phase;
    uint16_t green;
} msg_phase_green;
static inline void msg_phase_green_get(msg_phase_green *m, const uint8_t *p) {
    m->phase = p[0];
    m->green = (uint16_t)((uint32_t)p[1] | (uint32_t)p[2] << 8);
}

#define MSG_IDENTITY 0x01u
#define MSG_IDENTITY_SIZE 28u
typedef struct {
    uint8_t protocol;
    uint32_t schema;
    uint8_t major;
    uint8_t minor;
    uint8_t patch;
    char board[8];
    uint32_t boot;
    uint8_t reset_cause;
    uint16_t ring;
    uint32_t table;
} msg_identity;
static inline void msg_identity_put(uint8_t *p, const msg_identity *m) {
    p[0] = MSG_IDENTITY;
    p[1] = (uint8_t)(m->protocol);
    p[2] = (uint8_t)(m->schema);
    p[3] = (uint8_t)(m->schema >> 8);
    p[4] = (uint8_t)(m->schema >> 16);
    p[5] = (uint8_t)(m->schema >> 24);
    p[6] = (uint8_t)(m->major);
    p[7] = (uint8_t)(m->minor);
    p[8] = (uint8_t)(m->patch);
    memcpy(p + 9, m->board, 8);
    p[17] = (uint8_t)(m->boot);
    p[18] = (uint8_t)(m->boot >> 8);
    p[19] = (uint8_t)(m->boot >> 16);
    p[20] = (uint8_t)(m->boot >> 24);
    p[21] = (uint8_t)(m->reset_cause);
    p[22] = (uint8_t)(m->ring);
    p[23] = (uint8_t)(m->ring >> 8);
    p[24] = (uint8_t)(m->table);
    p[25] = (uint8_t)(m->table >> 8);
    p[26] = (uint8_t)(m->table >> 16);
    p[27] = (uint8_t)(m->table >> 24);
}

#define MSG_EVENT 0x02u
#define MSG_EVENT_SIZE 13u
typedef struct {
    uint32_t seq;
    uint32_t ms;
    uint8_t kind;
    uint8_t channel;
    uint16_t value;
} msg_event;
static inline void msg_event_put(uint8_t *p, const msg_event *m) {
    p[0] = MSG_EVENT;
    p[1] = (uint8_t)(m->seq);
    p[2] = (uint8_t)(m->seq >> 8);
    p[3] = (uint8_t)(m->seq >> 16);
    p[4] = (uint8_t)(m->seq >> 24);
    p[5] = (uint8_t)(m->ms);
    p[6] = (uint8_t)(m->ms >> 8);
    p[7] = (uint8_t)(m->ms >> 16);
    p[8] = (uint8_t)(m->ms >> 24);
    p[9] = (uint8_t)(m->kind);
    p[10] = (uint8_t)(m->channel);
    p[11] = (uint8_t)(m->value);
    p[12] = (uint8_t)(m->value >> 8);
}

#define MSG_STATUS 0x03u
#define MSG_STATUS_SIZE 30u
typedef struct {
    uint32_t ms;
    uint32_t next_seq;
    uint32_t oldest_seq;
    uint32_t sent_seq;
    uint32_t acked_seq;
    uint32_t lost;
    uint32_t rx_errors;
    uint8_t flags;
} msg_status;
static inline void msg_status_put(uint8_t *p, const msg_status *m) {
    p[0] = MSG_STATUS;
    p[1] = (uint8_t)(m->ms);
    p[2] = (uint8_t)(m->ms >> 8);
    p[3] = (uint8_t)(m->ms >> 16);
    p[4] = (uint8_t)(m->ms >> 24);
    p[5] = (uint8_t)(m->next_seq);
    p[6] = (uint8_t)(m->next_seq >> 8);
    p[7] = (uint8_t)(m->next_seq >> 16);
    p[8] = (uint8_t)(m->next_seq >> 24);
    p[9] = (uint8_t)(m->oldest_seq);
    p[10] = (uint8_t)(m->oldest_seq >> 8);
    p[11] = (uint8_t)(m->oldest_seq >> 16);
    p[12] = (uint8_t)(m->oldest_seq >> 24);
    p[13] = (uint8_t)(m->sent_seq);
    p[14] = (uint8_t)(m->sent_seq >> 8);
    p[15] = (uint8_t)(m->sent_seq >> 16);
    p[16] = (uint8_t)(m->sent_seq >> 24);
    p[17] = (uint8_t)(m->acked_seq);
    p[18] = (uint8_t)(m->acked_seq >> 8);
    p[19] = (uint8_t)(m->acked_seq >> 16);
    p[20] = (uint8_t)(m->acked_seq >> 24);
    p[21] = (uint8_t)(m->lost);
    p[22] = (uint8_t)(m->lost >> 8);
    p[23] = (uint8_t)(m->lost >> 16);
    p[24] = (uint8_t)(m->lost >> 24);
    p[25] = (uint8_t)(m->rx_errors);
    p[26] = (uint8_t)(m->rx_errors >> 8);
    p[27] = (uint8_t)(m->rx_errors >> 16);
    p[28] = (uint8_t)(m->rx_errors >> 24);
    p[29] = (uint8_t)(m->flags);
}

#define MSG_PLAN_RESULT 0x04u
#define MSG_PLAN_RESULT_SIZE 5u
typedef struct {
    uint16_t request;
    uint8_t code;
    uint8_t phase;
} msg_plan_result;
static inline void msg_plan_result_put(uint8_t *p, const msg_plan_result *m) {
    p[0] = MSG_PLAN_RESULT;
    p[1] = (uint8_t)(m->request);
    p[2] = (uint8_t)(m->request >> 8);
    p[3] = (uint8_t)(m->code);
    p[4] = (uint8_t)(m->phase);
}

#define MSG_HELLO 0x81u
#define MSG_HELLO_SIZE 9u
typedef struct {
    uint32_t boot;
    uint32_t ack_seq;
} msg_hello;
static inline void msg_hello_get(msg_hello *m, const uint8_t *p) {
    m->boot = (uint32_t)((uint32_t)p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 24);
    m->ack_seq = (uint32_t)((uint32_t)p[5] | (uint32_t)p[6] << 8 | (uint32_t)p[7] << 16 | (uint32_t)p[8] << 24);
}

#define MSG_HEARTBEAT 0x82u
#define MSG_HEARTBEAT_SIZE 9u
typedef struct {
    uint32_t boot;
    uint32_t ack_seq;
} msg_heartbeat;
static inline void msg_heartbeat_get(msg_heartbeat *m, const uint8_t *p) {
    m->boot = (uint32_t)((uint32_t)p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 24);
    m->ack_seq = (uint32_t)((uint32_t)p[5] | (uint32_t)p[6] << 8 | (uint32_t)p[7] << 16 | (uint32_t)p[8] << 24);
}

#define MSG_PHASE_TIMES 0x83u
#define MSG_PHASE_TIMES_SIZE 6u
typedef struct {
    uint16_t request;
    uint16_t cycle;
    uint8_t phase_count;
} msg_phase_times;
static inline void msg_phase_times_get(msg_phase_times *m, const uint8_t *p) {
    m->request = (uint16_t)((uint32_t)p[1] | (uint32_t)p[2] << 8);
    m->cycle = (uint16_t)((uint32_t)p[3] | (uint32_t)p[4] << 8);
    m->phase_count = p[5];
}

#define MSG_SIGNAL_REQUEST 0x84u
#define MSG_SIGNAL_REQUEST_SIZE 5u
typedef struct {
    uint16_t request;
    uint8_t action;
    uint8_t phase;
} msg_signal_request;
static inline void msg_signal_request_get(msg_signal_request *m, const uint8_t *p) {
    m->request = (uint16_t)((uint32_t)p[1] | (uint32_t)p[2] << 8);
    m->action = p[3];
    m->phase = p[4];
}

#define MSG_TABLE_PART 0x85u
#define MSG_TABLE_PART_SIZE 35u
typedef struct {
    uint16_t offset;
    uint8_t data[32];
} msg_table_part;
static inline void msg_table_part_get(msg_table_part *m, const uint8_t *p) {
    m->offset = (uint16_t)((uint32_t)p[1] | (uint32_t)p[2] << 8);
    memcpy(m->data, p + 3, 32);
}

#define MSG_TABLE_COMMIT 0x86u
#define MSG_TABLE_COMMIT_SIZE 10u
typedef struct {
    uint16_t request;
    uint8_t action;
    uint16_t size;
    uint32_t crc;
} msg_table_commit;
static inline void msg_table_commit_get(msg_table_commit *m, const uint8_t *p) {
    m->request = (uint16_t)((uint32_t)p[1] | (uint32_t)p[2] << 8);
    m->action = p[3];
    m->size = (uint16_t)((uint32_t)p[4] | (uint32_t)p[5] << 8);
    m->crc = (uint32_t)((uint32_t)p[6] | (uint32_t)p[7] << 8 | (uint32_t)p[8] << 16 | (uint32_t)p[9] << 24);
}

#endif
