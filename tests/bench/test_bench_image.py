"""From a stock image to one node's, beside a plain ``cp`` of the same image, in one run.

The base is as large as a small stock image: 2 GB with 600 MB in it; the wheels are 55 MB, as the agent's are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.base_image import NODE_TOML, ROOT_JSON, TOKEN, make_base, make_wheels, needs_tools
from wayside.firmware_bridge.image import build as images
from wayside.firmware_bridge.image import card
from wayside.firmware_bridge.image.disk import Entry, read_disk
from wayside.firmware_bridge.image.files import personality

GOAL_S = 60.0  # excluding the copy
pytestmark = needs_tools


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    path = make_base(folder / "base.img", root_mb=1900)
    blob = folder / "blob"
    blob.write_bytes(os.urandom(100 << 20))
    read_disk(path).ext4.write([Entry(f"/opt/stock-{n}", source=blob) for n in range(6)])
    blob.unlink()
    make_wheels(folder / "wheels", bulk=55 << 20)
    return path


def test_from_a_stock_image_to_a_nodes_image(benchmark: Any, base: Path) -> None:
    folder = base.parent
    started = time.perf_counter()
    subprocess.run(["cp", "--sparse=never", base, folder / "copy.img"], check=True)
    copy_s = time.perf_counter() - started
    (folder / "copy.img").unlink()
    part = folder / "clone.img"
    part.touch()
    started = time.perf_counter()
    images.copy_base(base, part, lambda _what, _done, _all: None)
    own_copy_s = time.perf_counter() - started
    part.unlink()
    who = personality(NODE_TOML, ROOT_JSON, token=TOKEN)

    def build() -> images.Built:
        return images.build(base, folder / "out" / "node.img", who, folder / "wheels")

    benchmark.pedantic(build, rounds=3, warmup_rounds=0)
    in_all = benchmark.stats.stats.median
    rest = in_all - own_copy_s
    benchmark.extra_info |= {"cp_s": copy_s, "own_copy_s": own_copy_s, "excluding_the_copy_s": rest}
    print(
        f"\nimage of {base.stat().st_size / 1e9:.1f} GB: built in {in_all:.1f} s, of which copying and hashing the "
        f"base {own_copy_s:.1f} s (plain cp {copy_s:.1f} s); excluding the copy {rest:.1f} s, goal {GOAL_S:.0f} s"
    )


def test_from_a_nodes_image_to_a_card_read_back(benchmark: Any, base: Path) -> None:
    folder = base.parent
    who = personality(NODE_TOML, ROOT_JSON, token=TOKEN)
    made = images.build(base, folder / "out" / "node.img", who, folder / "wheels")
    manifest, bmap = images.load_built(made.image)
    target = folder / "card"
    started = time.perf_counter()
    subprocess.run(["cp", "--sparse=never", made.image, target], check=True)
    copy_s = time.perf_counter() - started

    def write() -> None:
        card.write(made.image, card.look_at(target), manifest, bmap, lambda _what, _done, _all: None)

    benchmark.pedantic(write, rounds=3, warmup_rounds=0)
    print(
        f"\ncard: {bmap.mapped_bytes / 1e6:.0f} MB of {bmap.image_size / 1e6:.0f} MB written and read back in "
        f"{benchmark.stats.stats.median:.1f} s; plain cp of all of it {copy_s:.1f} s"
    )
    shutil.rmtree(folder / "out")
