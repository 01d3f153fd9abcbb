"""The page of signals shows the numbers that were measured, and no others."""

from __future__ import annotations

import msgspec

from tests.bench import signals


def test_the_tables_of_the_page_are_those_of_the_numbers() -> None:
    numbers = msgspec.json.decode(signals.NUMBERS.read_bytes(), type=signals.Numbers)
    text = signals.PAGE.read_text(encoding="utf-8")
    assert signals.page(text, numbers) == text, "run `python -m tests.bench.signals page`"
