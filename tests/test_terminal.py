"""Progress where nobody watches a terminal: lines in the order of the work."""

from __future__ import annotations

import pytest

from wayside.terminal import Bars, Screen


def test_stages_are_told_when_they_end_and_short_ones_not_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("wayside.terminal.time.monotonic", lambda: now)
    with Bars(screen=Screen(stderr=True)) as bars:
        short = bars.add_task("asking", total=1)
        now += 0.1
        bars.update(short, completed=1)
        long = bars.add_task("writing", total=1)
        for part in (0.5, 1):
            now += 3
            bars.update(long, completed=part)
            bars.update(short, completed=1)  # again, as of a stage that is over
        bars.update(long, completed=1)
    assert capsys.readouterr().err.splitlines() == ["writing 50 %", "writing 100 %"]
