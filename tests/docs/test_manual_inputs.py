"""The examples of docs/manual-inputs.md: the file is valid, the lines for a hospital's system work at a real port."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.edge.test_manual_http import serving
from wayside.contracts.manual_config import ManualConfig
from wayside.contracts.node_config import load_node_config
from wayside.edge.sensors import manual, manual_http
from wayside.edge.sources import manual as source

PAGE = (Path(__file__).parents[2] / "docs" / "manual-inputs.md").read_text()
SECRET = "change-me-1234567890"


def block(language: str) -> str:
    shown = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert shown
    return shown[1]


def test_the_file_is_valid() -> None:
    config = load_node_config('node = "forecourt"\nstate_dir = "state"\n' + block("toml"))
    assert isinstance(config.manual, ManualConfig)
    assert config.manual.secret == SECRET


async def test_the_line_for_curl_tells_what_the_page_says() -> None:
    async with serving(secret=SECRET) as port:
        line = block("sh").replace(":8040", f":{port.port}")
        process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        assert json.loads(out) == json.loads(block("json"))
        assert port.desk.total() == 1


async def test_the_ten_lines_repeat_until_it_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual_http, "DURABLE_S", 0.2)
    async with serving(secret=SECRET) as port:
        port.desk.commits = False
        program = block("python").replace(":8040", f":{port.port}").replace("sleep(10)", "sleep(0.1)")
        names: dict[str, object] = {}
        exec(program, names)
        telling = asyncio.create_task(asyncio.to_thread(names["tell"], "ed/arrivals", 3))  # type: ignore[arg-type]
        await asyncio.sleep(0.8)
        assert not telling.done()
        port.desk.commits = True
        assert (await telling)["repeated"] == 1
        assert port.desk.total() == 3
        with pytest.raises(RuntimeError, match="no datastream"):
            await asyncio.to_thread(names["tell"], "ed/arrival", 3)  # type: ignore[arg-type]


def test_the_ten_lines_are_about_ten() -> None:
    assert len(block("python").split("def tell")[1].strip().splitlines()) <= 13


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        (r"list of at most (\d+),", manual_http.MAX_ENTRIES),
        (r"the last (\d+) entries", source.MAX_KEYS),
        (r"last (\d+) rows", source.MAX_KEYS),
        (r"at most (\d+) KiB", manual_http.BODY_BYTES / 1024),
        (r"has (\d+) s to arrive", manual_http.REQUEST_S),
        (r"more than (\d+) connections", manual_http.MAX_CONNECTIONS),
        (r"looked at every (\d+) s", manual.FILE_POLL_S),
    ],
)
def test_the_numbers_are_those_of_the_code(sentence: str, number: float) -> None:
    stated = re.findall(sentence, " ".join(PAGE.split()))
    assert stated and {float(text) for text in stated} == {number}
