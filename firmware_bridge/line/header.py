"""The C header of the message table; ``wayside board header`` writes it, a test says it is current."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from wayside.contracts.sensor_config import BOARD_NAME_BYTES
from wayside.firmware_bridge.line import frames, messages
from wayside.firmware_bridge.line.messages import FROM_BOARD, FROM_HOST, LAYOUTS, Field, PhaseGreen, fields

HEADER = Path(__file__).parents[1] / "firmware" / "messages.h"


def _size(f: Field) -> int:
    return struct.calcsize("<" + f.code)


def _is_array(f: Field) -> bool:
    return f.code.endswith("s")


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def header() -> str:
    """The text of ``messages.h``."""
    out = [
        "/* Generated from firmware_bridge/line/messages.py by `wayside board header`. Do not edit. */",
        "#ifndef WAYSIDE_MESSAGES_H",
        "#define WAYSIDE_MESSAGES_H",
        "",
        "#include <stdint.h>",
        "#include <string.h>",
        "",
        f"#define PROTOCOL {messages.PROTOCOL}u",
        f"#define SCHEMA 0x{messages.SCHEMA:08x}u",
        f"#define MAX_PAYLOAD {frames.MAX_PAYLOAD}u",
        f"#define CRC_BYTES {frames.CRC_BYTES}u",
        f"#define MAX_FRAME {frames.MAX_FRAME}u /* without the delimiter */",
        f"#define BOARD_NAME_BYTES {BOARD_NAME_BYTES}u",
        f"#define MAX_PHASES {messages.MAX_PHASES}u",
        f"#define SIGNAL_PHASES {messages.SIGNAL_PHASES}u",
        f"#define SIGNAL_RINGS {messages.SIGNAL_RINGS}u",
        f"#define PART_BYTES {messages.PART_BYTES}u",
        f"#define SETTINGS_FORMAT {messages.TABLE_FORMAT}u",
        f"#define SETTINGS_HEAD {messages.TABLE_HEAD.size}u",
        f"#define SETTINGS_ROW {messages.TABLE_ROW.size}u",
        f"#define ACTUATED_FORMAT {messages.ACTUATED_FORMAT}u",
        f"#define ACTUATED_HEAD {messages.ACTUATED_HEAD.size}u",
        f"#define ACTUATED_ROW {messages.ACTUATED_ROW.size}u",
        f"#define ACTUATED_DETECTORS {messages.ACTUATED_DETECTORS}u",
        f"#define SIGNAL_OVERLAPS {messages.OVERLAPS}u",
        f"#define SIGNAL_PREEMPTS {messages.PREEMPTS}u",
        *(f"#define {name}_MS {ms}u" for name, ms in messages.TIMINGS_MS.items()),
        *(f"#define {name} {tenths}u" for name, tenths in messages.SIGNAL_LIMITS.items()),
    ]
    for codes in messages.CODES:
        rows = (f"    {snake(codes.__name__).upper()}_{code.name} = {code.value}," for code in codes)
        out += ["", f"enum {snake(codes.__name__)} {{", *rows, "};"]
    out += ["", *_struct(PhaseGreen), *_get(PhaseGreen, 0)]
    for table, body in ((FROM_BOARD, _put), (FROM_HOST, _get)):
        for id_, kind in table.items():
            name = snake(kind.__name__).upper()
            out += ["", f"#define MSG_{name} 0x{id_:02x}u", f"#define MSG_{name}_SIZE {LAYOUTS[kind].size}u"]
            out += [*_struct(kind), *body(kind, 1)]
    return "\n".join([*out, "", "#endif", ""])


def _struct(kind: type) -> list[str]:
    rows = (f"    {f.c_type} {f.name}{f'[{_size(f)}]' if _is_array(f) else ''};" for f in fields(kind))
    return ["typedef struct {", *rows, f"}} msg_{snake(kind.__name__)};"]


def _put(kind: type, offset: int) -> list[str]:
    name = snake(kind.__name__)
    out = [f"static inline void msg_{name}_put(uint8_t *p, const msg_{name} *m) {{", f"    p[0] = MSG_{name.upper()};"]
    for f in fields(kind):
        if _is_array(f):
            out.append(f"    memcpy(p + {offset}, m->{f.name}, {_size(f)});")
        else:
            out += [f"    p[{offset + i}] = (uint8_t)({_shifted(f, i)});" for i in range(_size(f))]
        offset += _size(f)
    return [*out, "}"]


def _shifted(f: Field, i: int) -> str:
    return f"m->{f.name} >> {8 * i}" if i else f"m->{f.name}"


def _get(kind: type, offset: int) -> list[str]:
    name = snake(kind.__name__)
    out = [f"static inline void msg_{name}_get(msg_{name} *m, const uint8_t *p) {{"]
    for f in fields(kind):
        n = _size(f)
        if _is_array(f):
            out.append(f"    memcpy(m->{f.name}, p + {offset}, {n});")
            offset += n
            continue
        terms = " | ".join(f"(uint32_t)p[{offset + i}] << {8 * i}" if i else f"(uint32_t)p[{offset}]" for i in range(n))
        out.append(f"    m->{f.name} = ({f.c_type})({terms});" if n > 1 else f"    m->{f.name} = p[{offset}];")
        offset += n
    return [*out, "}"]
