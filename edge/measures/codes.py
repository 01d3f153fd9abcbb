"""From the board's events to the high-resolution codes that traffic engineers' tools read.

Source: Sturdevant et al., "Indiana Traffic Signal Hi Resolution Data Logger Enumerations", Purdue University, 2012
(doi:10.4231/K4RN35SH), and its revision of 2020. The parameter of phase events is the phase, of detector events the
detector channel.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Code(enum.IntEnum):
    GREEN_BEGINS = 1
    GAP_OUT = 4
    MAX_OUT = 5
    FORCE_OFF = 6
    GREEN_ENDS = 7
    YELLOW_BEGINS = 8
    YELLOW_ENDS = 9
    RED_CLEARANCE_BEGINS = 10
    WALK_BEGINS = 21
    PED_CLEARANCE_BEGINS = 22
    DONT_WALK_BEGINS = 23
    CALL_REGISTERED = 43
    CALL_DROPPED = 44
    PED_CALL_REGISTERED = 45
    OVERLAP_GREEN_BEGINS = 61
    OVERLAP_YELLOW_BEGINS = 63
    OVERLAP_RED_BEGINS = 64
    DETECTOR_OFF = 81
    DETECTOR_ON = 82
    DETECTOR_RESTORED = 83
    DETECTOR_FAULT_OTHER = 84
    DETECTOR_FAULT_OPEN = 86
    DETECTOR_FAULT_SHORTED = 87
    DETECTOR_FAULT_ERRATIC = 88
    PED_DETECTOR_ON = 90
    PREEMPT_INPUT_ON = 102
    PREEMPT_INPUT_OFF = 104
    PREEMPT_DWELL_BEGINS = 107
    FLASH_STATUS = 173


_TABLE: Mapping[tuple[int, int], tuple[Code, ...]] = {
    # (kind, value) of firmware_bridge.line.messages.Event, by their numbers: this room does not know the line.
    (1, 1): (Code.DETECTOR_ON,),
    (1, 0): (Code.DETECTOR_OFF,),
    (2, 1): (Code.GREEN_BEGINS,),
    (3, 1): (Code.GREEN_ENDS, Code.YELLOW_BEGINS),
    (4, 1): (Code.YELLOW_ENDS, Code.RED_CLEARANCE_BEGINS),
    (6, 0): (Code.DETECTOR_RESTORED,),
    (6, 1): (Code.DETECTOR_FAULT_SHORTED,),  # STUCK_ON: analysts read 87 as "stuck on", 86 as "stuck off"
    (6, 2): (Code.DETECTOR_FAULT_OPEN,),  # NO_HIT
    (6, 4): (Code.DETECTOR_FAULT_ERRATIC,),  # CHATTER
    (6, 8): (Code.DETECTOR_FAULT_OPEN,),  # DEAD
    (7, 1): (Code.WALK_BEGINS,),
    (7, 2): (Code.PED_CLEARANCE_BEGINS,),
    (7, 0): (Code.DONT_WALK_BEGINS,),
    (10, 1): (Code.GAP_OUT,),
    (10, 2): (Code.MAX_OUT,),
    (10, 3): (Code.FORCE_OFF,),
    (10, 4): (Code.FORCE_OFF,),  # FIXED: so a controller logs the end of a fixed split
    (11, 1): (Code.CALL_REGISTERED,),
    (11, 0): (Code.CALL_DROPPED,),
    (12, 1): (Code.PED_CALL_REGISTERED, Code.PED_DETECTOR_ON),  # the board tells of a button by its call alone
    (13, 1): (Code.PREEMPT_INPUT_ON,),
    (13, 2): (Code.PREEMPT_DWELL_BEGINS,),
    (13, 0): (Code.PREEMPT_INPUT_OFF,),
    (14, 1): (Code.OVERLAP_GREEN_BEGINS,),
    (14, 2): (Code.OVERLAP_YELLOW_BEGINS,),
    (14, 0): (Code.OVERLAP_RED_BEGINS,),
}
BOARD_CODES: Mapping[tuple[int, int], tuple[int, ...]] = {key: tuple(map(int, codes)) for key, codes in _TABLE.items()}
"""Inputs, analogue values and the signal's mode are no events of a phase, and have no row.

Plain integers: hashing a member of an enum costs a call for every event.
"""

_DETECTOR_FAULT = 6


def codes_of(kind: int, value: int) -> tuple[int, ...]:
    """Codes of a board's event, in the order in which they happen; its channel is the parameter of each."""
    codes = BOARD_CODES.get((kind, value))
    if codes is None and kind == _DETECTOR_FAULT:
        return (int(Code.DETECTOR_FAULT_OTHER),)  # several at once
    return codes or ()
