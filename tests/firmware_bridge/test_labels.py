"""Labels say whose card it is, and nothing secret."""

from __future__ import annotations

import io
import re
import zlib

import pytest
import segno
from PIL import Image

from wayside.firmware_bridge.image.build import ImageManifest
from wayside.firmware_bridge.provision.labels import label_png, label_text, sheet_pdf

DIGEST = "0123456789abcdef" * 4


def manifest(node: str = "main-5th", site: str | None = "Main & 5th") -> ImageManifest:
    return ImageManifest(
        image=f"{node}.img",
        size=1,
        sha256=DIGEST,
        bmap_sha256=DIGEST,
        base="base.img",
        base_sha256=DIGEST,
        node=node,
        site=site,
        hub="https://hub.example.city",
        instance="wayside-876d7abc3578d929",
        python="3.11",
        wayside="0.1.0",
        files=(),
    )


def test_the_code_holds_node_site_hub_and_image() -> None:
    assert label_text(manifest()) == (
        "wayside\nnode: main-5th\nsite: Main & 5th\nhub: https://hub.example.city\nimage: 0123456789abcdef"
    )


def test_the_picture_is_that_code_module_by_module() -> None:
    picture = Image.open(io.BytesIO(label_png(manifest()))).convert("1")
    modules = picture.width // 8
    seen = [
        [picture.getpixel((x * 8 + 4, y * 8 + 4)) == 0 for x in range(4, modules - 4)] for y in range(4, modules - 4)
    ]
    code = segno.make(label_text(manifest()), error="m", micro=False, boost_error=False)
    assert seen == [[bool(module) for module in row] for row in code.matrix]


def text_of(pdf: bytes) -> bytes:
    return b"".join(
        zlib.decompress(part) for part in re.findall(rb"/FlateDecode.*?stream\n(.*?)\nendstream", pdf, re.DOTALL)
    )


@pytest.mark.parametrize("letter", ["W", "i", "W "])
def test_the_longest_names_stay_inside_their_label(letter: str) -> None:
    node, site = ("W" * 64), (letter * 64)[:64]
    streams = text_of(sheet_pdf([manifest(node, site)]))
    places = [(float(x), float(y)) for x, y in re.findall(rb"BT ([\d.]+) ([\d.]+) Td", streams)]
    left, bottom, right, top = (mm * 72 / 25.4 for mm in (10, 297 - 10 - 46, 10 + 95, 297 - 10))
    assert len(places) >= 5
    assert all(left < x < right and bottom < y < top for x, y in places)


def test_the_sheet_has_a_page_for_every_twelve_and_says_what_people_read() -> None:
    pdf = sheet_pdf([manifest(f"node-{n}") for n in range(13)])
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 2
    streams = text_of(pdf)
    assert b"node-12" in streams
    assert b"0123456789abcdef" in streams


def test_a_site_in_any_script_has_a_label() -> None:
    assert "site: Łódź 東京" in label_text(manifest(site="Łódź 東京"))
    assert sheet_pdf([manifest(site="Łódź 東京")]).startswith(b"%PDF")


def test_the_same_labels_are_the_same_bytes() -> None:
    assert sheet_pdf([manifest()]) == sheet_pdf([manifest()])
    assert label_png(manifest()) == label_png(manifest())
