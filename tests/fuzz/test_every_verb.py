"""Whatever is wrong with a file, every verb that reads it says so in a sentence, or does as with the whole file.

Here a sample: a reader of each option of a quick room meets one damage, drawn by its name. The whole matrix is
``python -m tests.fuzz``, and marked ``slow``.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fuzz.damage import DAMAGE, TABLES, Damage
from tests.fuzz.parameters import parameters
from tests.fuzz.play import Stage
from tests.fuzz.readers import NOT_READ, READERS, Reader

QUICK_S = 0.5  # a good run of a reader that is in the sample
SAMPLED = (
    "folder", "pipe", "empty", "null device", "nul block", "kind json", "kind html", "kind noise", "kind zip",
    "deep brackets", "long line", "bom", "utf-16", "utf-16-be without mark", "ansi", "column twice", "ragged row",
)  # fmt: skip
EVERY: tuple[Damage, ...] = (*DAMAGE, *TABLES)
ROOMS = tuple(dict.fromkeys(reader.room for reader in READERS))
QUICK = ("node", "release", "hub")  # whose good files are made in seconds


def test_every_parameter_that_may_name_a_file_is_fuzzed_or_its_reason_is_given() -> None:
    there = {each.name: each for each in parameters()}
    covered = {reader.covers for reader in READERS}
    assert not covered & NOT_READ.keys()
    assert not {name for name in (*covered, *NOT_READ) if name not in there}, "no verb has these any more"
    missing = [name for name, each in there.items() if each.may_name_a_file and name not in covered | NOT_READ.keys()]
    assert not missing, "add each to tests/fuzz/readers.py: with a good file, or to NOT_READ with what it is"


def test_a_sample_of_damage_is_told_or_does_no_harm(tmp_path: Path) -> None:
    assert _wrong(QUICK, tmp_path, _sample) == []


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS)
def test_every_damage_is_told_or_does_no_harm(room: str, tmp_path: Path) -> None:
    assert _wrong((room,), tmp_path, lambda _stage, _reader: iter(EVERY)) == []


def _sample(stage: Stage, reader: Reader) -> Iterator[Damage]:
    quick = [each for each in READERS if each.covers == reader.covers and each.seconds <= QUICK_S]
    if reader not in quick[:1]:
        return
    fitting = [each for each in EVERY if each.name in SAMPLED and stage.suits(reader, each, 0)]
    yield random.Random(zlib.crc32(reader.name.encode())).choice(fitting)


def _wrong(rooms: Sequence[str], place: Path, damages) -> list[str]:  # type: ignore[no-untyped-def]
    with Stage(place) as stage:
        return [
            f"{reader.name} | {damage.name} | {complaint.fault}: {complaint.text}"
            for reader in READERS
            if reader.room in rooms
            for damage in damages(stage, reader)
            if stage.suits(reader, damage, 0)
            for complaint in stage.play(reader, damage, 0)
        ]
