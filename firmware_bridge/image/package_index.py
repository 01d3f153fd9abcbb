"""Where packages come from: pip's own configuration, and the same for uv, which does not read it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple


class UvSources(NamedTuple):
    """What makes uv look where pip looks; empty where pip has no setting, for then uv's own configuration stands."""

    options: list[str]  # of every uv command that chooses or installs packages
    environment: dict[str, str]


def pip_config() -> dict[str, str]:
    """pip's settings by their last name (``index-url``); the environment's win, as for pip."""
    shown = _pip("config", "list")
    settings: dict[str, str] = {}
    for line in sorted(shown.splitlines(), key=lambda line: (line.startswith(":env:"), line.startswith("install."))):
        name, _, value = line.partition("=")
        try:
            settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    return settings


def uv_sources(pip: Mapping[str, str] | None = None) -> UvSources:
    """pip's indexes, folders, constraints and certificate, in uv's words.

    Args:
        pip: pip's settings; asked for unless given.
    """
    pip = pip_config() if pip is None else pip
    options: list[str] = []
    indexes = pip.get("extra-index-url", "").split()
    if main := pip.get("index-url") or (indexes and _pips_default()):
        # pip takes all places as one; uv takes a file from the first that has its version, maybe a mirror's for other
        # machines, and asks the default index last. So the main one stands in both places.
        options += ["--default-index", main, "--index", main, "--index-strategy", "unsafe-best-match"]
        for value in indexes:
            options += ["--index", value]
    for value in pip.get("find-links", "").split():
        options += ["--find-links", value]
    for value in pip.get("constraint", "").split():
        options += ["--constraints", value]
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        options += ["--no-index"]
    # What the environment says already stays.
    cert = {"SSL_CERT_FILE": pip["cert"]} if "cert" in pip and "SSL_CERT_FILE" not in os.environ else {}
    return UvSources(options, cert)


def _pips_default() -> str | None:
    """The index that pip asks when nobody names one; its help says which."""
    line = re.search(r"--index-url <url>.*?\(default\s+(\S+?)\)", _pip("install", "--help"), re.DOTALL)
    return line and line[1]


def _pip(*words: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    wide = os.environ | {"COLUMNS": "200"}  # an address is not broken across lines
    return subprocess.run(command, capture_output=True, text=True, env=wide, check=False).stdout
