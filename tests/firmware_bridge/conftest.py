from __future__ import annotations

from pathlib import Path

import pytest

from wayside.firmware_bridge.native import compile_program

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core on a HAL of arrays, under the sanitizers."""
    return compile_program(
        tmp_path_factory.mktemp("core") / "core_test", (Path(__file__).parent / "core_test.c",), SANITIZED
    )


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library of boards in memory is built."""
    return tmp_path_factory.mktemp("library")
