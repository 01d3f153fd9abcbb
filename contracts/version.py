"""The version of this software, as `wayside --version`, a node and a bundle's passport say it."""

from __future__ import annotations

VERSION = "0.1.0"  # pyproject.toml's: tests/test_front_door.py holds them equal
