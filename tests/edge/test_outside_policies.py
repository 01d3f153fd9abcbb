"""Policies of other distributions: found where they are installed, named in every row, refused if they want more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.edge.test_decisions import HEAT, HEATER, Scene
from tests.simulators.verb import typed
from wayside.contracts.action import Setpoint
from wayside.contracts.summary import Kind
from wayside.contracts.why import sentence
from wayside.edge.decisions import PolicyError
from wayside.edge.policies import policy as policies

POLICY = """
from __future__ import annotations
import math
from collections.abc import Mapping
from typing import Annotated, Any
import msgspec
from wayside.contracts.action import Answers, Setpoint
from wayside.contracts.policy_settings import PolicySettings
{imports}
ACTION = Setpoint

class Settings(PolicySettings, frozen=True, kw_only=True):
    lux: Annotated[float, msgspec.Meta(ge=0, le=1e5)] = 30.0

def read(answers: Answers, settings: Settings) -> float | None:
    values = [a.forecast[0] for a in answers.sites.values() if a.forecast]
    return min(values) if values else None

def propose(seen: float, settings: Settings, limits: Any, in_force: Any) -> Setpoint:
    return Setpoint(1.0 if seen < settings.lux else 0.0)

def soften(action: Setpoint, limits: Any) -> None:
    return None

def explain(seen: float, settings: Settings, limits: Any, action: Setpoint) -> Mapping[str, str | float]:
    because = "{{expected_lux}} lux are expected, dark is under {{lux}}"
    return {{"expected_lux": seen, "lux": settings.lux, "because": because}}
"""
LAMPS = msgspec.structs.replace(HEAT, policy="street_lamps", settings={"lux": 40.0})
Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a test imports of a distribution is forgotten at its end."""
    yield
    for module in [m for m in sys.modules if m.startswith("town_lamps")]:
        del sys.modules[module]
    policies.from_outside.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution on the path as an installer leaves it."""

    def put(
        files: dict[str, str],
        point: str = "street_lamps = town_lamps.policy",
        name: str = "town-lamps",
        at: str = "site",
    ) -> Path:
        site = tmp_path / at
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        info = site / f"{name.replace('-', '_')}-1.2.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.0\n")
        (info / "entry_points.txt").write_text(f"[wayside.policies]\n{point}\n")
        monkeypatch.syspath_prepend(str(site))
        policies.from_outside.cache_clear()
        return site

    return put


def package(imports: str = "", **more: str) -> dict[str, str]:
    files = {"town_lamps/__init__.py": "", "town_lamps/policy.py": POLICY.format(imports=imports)}
    return files | {f"town_lamps/{name}.py": text for name, text in more.items()}


def why_refused() -> str:
    (one,) = policies.refused()
    return one


def test_a_policy_that_pip_installed_decides_and_its_rows_name_it_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    for path, text in package("from town_lamps import dusk", dusk="import math\n").items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "town-lamps"\nversion = "1.2.0"\n'
        '[project.entry-points."wayside.policies"]\nstreet_lamps = "town_lamps.policy"\n'
        '[tool.setuptools]\npackages = ["town_lamps"]\n'
    )
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True)
    monkeypatch.syspath_prepend(str(site))
    policies.from_outside.cache_clear()
    assert policies.refused() == []
    scene = Scene(LAMPS, HEATER)
    scene.forecast(12.0, 90.0)
    assert scene.carried == [Setpoint(1.0)]
    (row,) = [r for r in scene.ledger.rows if r.kind is Kind.DECISION]
    assert (row.detail["policy"], row.detail["policy_from"]) == ("street_lamps", "town-lamps 1.2.0")
    assert sentence(row) == (
        "heater was switched on (set to 1), because 12 lux are expected, dark is under 40; the guard allowed it within "
        "its limits: 0 to 1, 600 s between changes, 4 changes a day "
        "(rule street_lamps, of town-lamps 1.2.0, model b 1.0.0)."
    )


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (package("import os"), "town_lamps.policy, line 9, imports os: a policy may import wayside.contracts alone"),
        (package("import wayside.edge.node"), "imports wayside.edge.node"),
        (package("from wayside import edge"), "imports wayside.edge"),
        (package("from wayside.edge.guard import check"), "imports wayside.edge.guard"),
        (
            package("from . import hidden", hidden="from urllib import request"),
            "town_lamps.hidden, line 1, imports urllib",
        ),
        (
            package("from town_lamps.hidden import x", hidden="import socket; x = 1"),
            "town_lamps.hidden, line 1, imports",
        ),
        (package() | {"town_lamps/__init__.py": "import subprocess"}, "town_lamps, line 1, imports subprocess"),
        (package('x = __import__("os")'), "uses __import__: a policy may not"),
        (package('exec("import os")'), "uses exec"),
        (package("def late():\n    import os"), "imports os"),
        (package("from importlib import import_module"), "imports importlib"),
        (package("def broken(:"), "cannot be imported: SyntaxError"),
        (package("raise RuntimeError('no')"), "cannot be imported: RuntimeError('no')"),
        (package("from town_lamps import nothing"), "cannot be imported: ImportError"),
        ({"town_lamps/__init__.py": ""}, "there is no module town_lamps.policy"),
        ({"town_lamps/__init__.py": "", "town_lamps/policy.py": "ACTION = 3"}, "has no Settings"),
        (
            package("def nothing(): ...\n") | {"town_lamps/policy.py": POLICY.format(imports="") + "\ndel soften\n"},
            "soften",
        ),
    ],
    ids=lambda v: v[-40:] if isinstance(v, str) else "",
)
def test_a_policy_that_wants_more_than_contracts_or_is_none_is_refused_with_the_reason(
    install: Install, files: dict[str, str], says: str
) -> None:
    install(files)
    assert says in why_refused()
    assert "the policy 'street_lamps' is refused: town-lamps 1.2.0: " in why_refused()
    with pytest.raises(PolicyError, match="the policy 'street_lamps' is refused"):
        Scene(LAMPS, HEATER)


def test_nothing_of_a_refused_policy_is_run(install: Install, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    files = package("import os") | {"town_lamps/__init__.py": f"from pathlib import Path\nPath({str(trace)!r}).touch()"}
    install(files)
    assert policies.refused()
    assert not trace.exists()
    assert "town_lamps" not in sys.modules


def test_a_name_that_is_shipped_or_taken_twice_is_refused(install: Install) -> None:
    install(package(), point="abatement = town_lamps.policy")
    assert "wayside ships a policy of that name: town-lamps 1.2.0 has to rename its own" in why_refused()
    install({"more.py": POLICY.format(imports="")}, point="street_lamps = more", name="one-lamp", at="a")
    install({"else.py": POLICY.format(imports="")}, point="street_lamps = more", name="two-lamps", at="b")
    assert any("both bring it: uninstall one of them" in told for told in policies.refused())


def test_a_module_that_says_it_is_ours_is_refused(install: Install) -> None:
    install({}, point="street_lamps = wayside.edge.policies.abatement")
    assert "says that it is a part of wayside" in why_refused()


def test_node_check_knows_policies_from_outside_and_why_one_is_refused(install: Install, tmp_path: Path) -> None:
    from tests.edge.test_setpoints import Cable, node_toml

    path = tmp_path / "node.toml"
    install(package())
    with Cable(tmp_path) as cable:
        text = node_toml(cable).replace('"setpoint_threshold"', '"street_lamps"')
    path.write_text(text.replace("on_at = 100.0, off_at = 50.0", "lux = 20.0"))
    assert typed("node", "check", path).status == 0
    path.write_text(text.replace("on_at = 100.0, off_at = 50.0", "lux = -1.0"))
    assert "lux: Expected `float` >= 0.0" in typed("node", "check", path).words
    (tmp_path / "site/town_lamps/policy.py").write_text("import os")
    policies.from_outside.cache_clear()
    done = typed("node", "check", path)
    assert done.status == 1
    assert "imports os: a policy may import wayside.contracts alone" in done.words
