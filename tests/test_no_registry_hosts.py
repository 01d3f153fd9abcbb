"""Where packages come from is the configuration of pip, uv and apt: no file of ours names such a host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# In parts, so that this file names none either.
NAMES = (
    ("pypi", "org"), ("pythonhosted", "org"), ("piwheels", "org"), ("anaconda", "org"), ("pytorch", "org"),
    ("debian", "org"), ("ubuntu", "com"), ("raspberrypi", "com"), ("raspberrypi", "org"), ("npmjs", "org"),
    ("npmjs", "com"), ("yarnpkg", "com"), ("docker", "io"), ("docker", "com"), ("ghcr", "io"), ("quay", "io"),
    ("gcr", "io"), ("crates", "io"), ("unpkg", "com"), ("jsdelivr", "net"),
)  # fmt: skip
HOST = re.compile(r"(?<![\w-])(?:[\w-]+\.)*(?:" + "|".join(rf"{a}\.{b}" for a, b in NAMES) + r")(?![\w-])")


def named(text: str) -> list[str]:
    return HOST.findall(text)


def test_no_file_names_the_host_of_a_package_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {}
    for name in listed.split("\0"):
        path = ROOT / name
        if name and path.is_file() and "vendor" not in path.parts and path.suffix not in (".svg", ".png"):
            hosts = named(path.read_text(encoding="utf-8", errors="replace"))
            if hosts:
                found[name] = hosts
    assert not found


@pytest.mark.parametrize(("first", "last"), NAMES)
def test_a_host_is_found(first: str, last: str) -> None:
    assert named(f"MIRROR = 'https://mirror.{first}.{last}/simple'")
    assert named(f"{first}.{last}")
    assert not named(f"{first}-{last}")
