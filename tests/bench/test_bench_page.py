"""Each question of the page on a store of a million rows. ``python -m tests.bench.page`` asks one of fifty million."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.bench.large_store import fill, shape
from tests.bench.page import questions, timed
from tests.hub.conftest import AUTH, HubProcess

NODES = 1000
QUESTIONS = questions(NODES)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data = tmp_path_factory.mktemp("page") / "hub"
    fill(data, shape(1_000_000, NODES))
    hub = HubProcess(data).start()
    with httpx.Client(base_url=hub.url, headers=AUTH, timeout=60) as client:
        yield client
    hub.kill()


@pytest.mark.parametrize("what", QUESTIONS)
def test_bench_question_of_the_page(benchmark: object, client: httpx.Client, what: str) -> None:
    benchmark.pedantic(timed, args=(client, QUESTIONS[what]), rounds=20, warmup_rounds=1)  # type: ignore[attr-defined]
