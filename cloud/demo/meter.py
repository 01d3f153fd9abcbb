"""A Modbus TCP meter: pymodbus's own server, whose input registers play a series back and whose one coil is a relay.

``python -m wayside.cloud.demo.meter --port 5020 --csv load.csv --speed 600 --anchor 1780000000 --start 1386000000``:
device 1 has each column of the CSV beside ``unix_s`` as a float32 in two input registers, from address 0 on, in the
order of the file; an empty cell is NaN. What is written to coil 0 is kept.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from wayside.cloud.demo.scaled import Playback, options

DEVICE = 1
READ_INPUT = 4  # function code


def words(row: dict[str, str], columns: list[str]) -> list[int]:
    """Two registers for each column, the high word first."""
    values = [float(row[name]) if row[name] else float("nan") for name in columns]
    return list(struct.unpack(f">{2 * len(values)}H", struct.pack(f">{len(values)}f", *values)))


async def serve(port: int, playback: Playback) -> None:
    """Until cancelled."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    columns = [name for name in playback.rows[0] if name != "unix_s"]

    async def act(  # noqa: PLR0917  (pymodbus calls it so)
        function: int, start: int, address: int, count: int, current: list[int], new: Any
    ) -> None:
        if function == READ_INPUT:
            row = playback.rows[max(0, playback.passed() - 1)]
            current[: 2 * len(columns)] = words(row, columns)

    coils, inputs = (SimData(0, values=[False] * 16, datatype=DataType.BITS) for _ in range(2))
    holding, readings = (SimData(0, count=2 * len(columns), datatype=DataType.REGISTERS) for _ in range(2))
    device = SimDevice(DEVICE, simdata=([coils], [inputs], [holding], [readings]), action=act)
    await ModbusTcpServer(device, address=("127.0.0.1", port)).serve_forever()


def main() -> None:
    chosen, playback = options("A Modbus TCP meter that plays a series back.", "--port")
    asyncio.run(serve(int(chosen.port), playback))


if __name__ == "__main__":
    main()
