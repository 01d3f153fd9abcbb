"""Every family × format × precision × runtime: torch's answers, one at a time, with values missing, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulators.family_runs import CHOICES, examples, family_work, served, serves
from wayside.edge import golden
from wayside.edge.runtimes.load import available, load_runtime
from wayside.edge.runtimes.runtime import FORMATS, RuntimeInputError
from wayside.edge.trusted_bundle import open_bundle
from wayside.models.registry import FAMILIES

EXCLUDED: dict[str, str] = {}
"""Families without a case, with the reason."""
CASES = [(case, name, precision) for case in served() for name in FORMATS for precision in ("fp32", "int8")]


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{FORMATS[c[1]]}-{c[2]}-on-{c[1]}")
def variant(request):
    """(runtime, variant of the passport, work)."""
    case, name, precision = request.param
    if name not in available():
        pytest.skip(f"{name} is not installed here")
    work = family_work(case)
    wanted = f"{FORMATS[name]}-{precision}"
    found = next((v for v in work.passport.variants if v.name == wanted), None)
    if found is None:
        (why,) = (note for note in work.notes if note.startswith(f"{wanted} is left out"))
        pytest.skip(why)
    runtime = load_runtime(name, next(g.content for g in work.graphs if g.name == wanted))
    yield runtime, found, work
    runtime.close()


def test_every_family_has_a_case():
    have = {family for family, _ in served().values()}
    for family in set(FAMILIES) - have - set(EXCLUDED):
        reasons = "; ".join(str(serves(family, task)) for choices in CHOICES for task in choices)
        pytest.fail(f"{family} serves no task of this suite: {reasons}")


@pytest.mark.parametrize("case", served())
def test_a_bundle_of_every_family_opens_as_on_a_node(case):
    work = family_work(case)
    opened = open_bundle(work.bundle, agent_version="0.1.0")
    assert {v.name for v in opened.passport.variants} >= {"onnx-fp32", "tflite-fp32"}
    assert opened.passport.family == served()[case][0]


class TestEveryVariant:
    def test_gives_torchs_answers_missing_values_and_all(self, variant):
        runtime, found, work = variant
        assert runtime.name in found.runtimes
        assert golden.check(runtime, work.trained.golden, work.parity.golden_outputs, found.tolerance)

    def test_gives_torchs_answers_on_examples_that_no_stage_saw(self, variant):
        runtime, found, work = variant
        x, _ = examples(work.trained.task, 20, seed=7)
        torch = work.trained.answers(x, batch=len(x))
        spread = float(np.ptp(torch))
        given = golden.run_all(runtime, x)
        assert np.abs(given - torch).max() <= (1e-4 if found.precision == "fp32" else 0.2) * spread

    def test_answers_a_number_when_everything_is_missing(self, variant):
        runtime, _, work = variant
        if work.trained.task.image is not None:
            pytest.skip("a picture is there or it is not: no frame, no call")
        nothing = np.full(runtime.input_shape, np.nan, np.float32)
        assert np.isfinite(runtime.run(nothing)).all()

    def test_does_not_answer_a_constant(self, variant):
        runtime, _, work = variant
        assert np.ptp(golden.run_all(runtime, work.trained.heldout.x[:16])) > 0

    def test_takes_one_example_of_the_tasks_shape_and_nothing_else(self, variant):
        runtime, _, work = variant
        task = work.trained.task
        assert runtime.input_shape == (1, *task.input_shape)
        assert runtime.output_shape == (1, *task.output_shape)
        for wrong in ((2, *task.input_shape), task.input_shape, (1, *task.input_shape[:-1], task.input_shape[-1] + 1)):
            with pytest.raises(RuntimeInputError, match="the model takes float32"):
                runtime.run(np.zeros(wrong, np.float32))
        with pytest.raises(RuntimeInputError, match="the model takes float32"):
            runtime.run(np.zeros((1, *task.input_shape)))
