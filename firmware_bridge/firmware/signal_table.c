#include "rows.h"

static enum plan_code check_row(const signal_table *t, uint8_t i) {
    const signal_row *r = &t->rows[i];
    if (r->phase == 0) return PLAN_CODE_TABLE_FORMAT;
    if (r->ring < 1 || r->ring > SIGNAL_RINGS) return PLAN_CODE_TABLE_RING;
    for (uint8_t k = 0; k < t->count; k++) {
        if (k == i) continue;
        if (t->rows[k].phase == r->phase) return PLAN_CODE_DUPLICATE_PHASE;
        if (conflict(t, i, k) != conflict(t, k, i)) return PLAN_CODE_TABLE_CONFLICTS;
        if (t->rows[k].ring == r->ring && !conflict(t, i, k)) return PLAN_CODE_TABLE_CONFLICTS;
    }
    if (conflict(t, i, i) || (r->conflicts >> t->count) != 0) return PLAN_CODE_TABLE_CONFLICTS;
    if (r->min_green < 1 || r->yellow < 1) return PLAN_CODE_TABLE_TIMES;
    if (r->min_green > r->green || r->green > r->max_green) return PLAN_CODE_TABLE_TIMES;
    if ((r->walk == 0) != (r->ped_clear == 0)) return PLAN_CODE_TABLE_TIMES;
    if ((uint32_t)r->walk + r->ped_clear > r->max_green) return PLAN_CODE_TABLE_TIMES;
    if (r->ped_input != 0 && r->walk == 0) return PLAN_CODE_NO_WALK;
    if (!t->actuated) return PLAN_CODE_OK;
    if (r->max_1 < r->min_green || r->max_1 > r->max_green) return PLAN_CODE_TABLE_TIMES;
    if (r->options > (RECALL_SOFT | ROW_OPTION_LOCKING | ROW_OPTION_PED_RECALL | ROW_OPTION_HOST_ONLY)) return PLAN_CODE_TABLE_FORMAT;
    if ((r->options & ROW_OPTION_PED_RECALL) && r->walk == 0) return PLAN_CODE_NO_WALK;
    return PLAN_CODE_OK;
}

static bool conflict_within(const signal_table *t, uint8_t rows) {
    for (uint8_t i = 0; i < t->count; i++)
        if ((rows & bit(i)) && (rows & t->rows[i].conflicts)) return true;
    return false;
}

static enum plan_code check_preempts(const signal_table *t) {
    for (uint8_t k = 0; k < SIGNAL_PREEMPTS; k++) {
        const signal_preempt *p = &t->preempts[k];
        if (p->input == 0) continue;
        if (p->input > PREEMPT_INPUTS || p->dwell == 0 || (p->dwell | p->track) >> t->count != 0) return PLAN_CODE_TABLE_PREEMPT;
        if (conflict_within(t, p->dwell) || conflict_within(t, p->track)) return PLAN_CODE_TABLE_PREEMPT;
        for (uint8_t i = 0; i < t->count; i++)
            if (t->rows[i].ped_input == p->input) return PLAN_CODE_TABLE_PREEMPT;
        for (uint8_t other = 0; other < k; other++)
            if (t->preempts[other].input == p->input) return PLAN_CODE_TABLE_PREEMPT;
    }
    return PLAN_CODE_OK;
}

/* Greens at their maxima have to fit between two greens of a row, or the longest red would cut them short. */
static bool leaves_room(const signal_table *t) {
    uint32_t ring[SIGNAL_RINGS] = {0};
    for (uint8_t i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        uint32_t most = (uint32_t)r->walk + r->ped_clear;
        if (r->max_1 > most) most = r->max_1;
        ring[r->ring - 1u] += most + r->yellow + (r->red ? r->red : 1u);
    }
    return t->longest_red >= shortest_services(t) + (ring[0] > ring[1] ? ring[0] : ring[1]);
}

enum plan_code signals_check(const signal_table *t, uint8_t *phase) {
    enum plan_code code = PLAN_CODE_OK;
    *phase = 0;
    if (t->count > SIGNAL_PHASES) return PLAN_CODE_TABLE_FORMAT;
    for (uint8_t i = 0; i < t->count; i++) {
        *phase = t->rows[i].phase;
        code = check_row(t, i);
        if (code != PLAN_CODE_OK) return code;
    }
    *phase = 0;
    if (!t->actuated) return PLAN_CODE_OK;
    for (uint8_t o = 0; o < SIGNAL_OVERLAPS; o++)
        if (t->overlaps[o] >> t->count != 0) return PLAN_CODE_TABLE_OVERLAP;
    code = check_preempts(t);
    if (code == PLAN_CODE_OK && !leaves_room(t)) code = PLAN_CODE_TABLE_TIMES;
    return code;
}

enum plan_code signals_legal(const signal_table *t, uint8_t *phase) {
    *phase = 0;
    if (t->count && (t->start_flash < START_FLASH_MIN || t->start_red < START_RED_MIN)) return PLAN_CODE_TABLE_LIMITS;
    for (uint8_t i = 0; i < t->count; i++) {
        const signal_row *r = &t->rows[i];
        *phase = r->phase;
        if (r->yellow < YELLOW_MIN || r->yellow > YELLOW_MAX || r->red > RED_MAX) return PLAN_CODE_TABLE_LIMITS;
        if (r->min_green < GREEN_MIN || r->max_green > GREEN_MAX) return PLAN_CODE_TABLE_LIMITS;
        if (r->walk != 0 && r->walk < WALK_MIN) return PLAN_CODE_TABLE_LIMITS;
    }
    *phase = 0;
    return PLAN_CODE_OK;
}
