"""What some tests of this folder need."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

sumo = pytest.mark.skipif(
    importlib.util.find_spec("libsumo") is None, reason='SUMO is not installed here: pip install "wayside[sim]"'
)
compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here")
