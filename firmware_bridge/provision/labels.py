"""Labels for cards and cabinets: what is printed, and a QR code (ISO/IEC 18004) that says the same without a network.

A label never holds the token: it hangs in a cabinet for years.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import fpdf
import segno

from wayside.firmware_bridge.image.build import ImageManifest
from wayside.firmware_bridge.image.disk import EPOCH

MAX_LABEL_BYTES = 1200  # that a phone still reads; the largest code of level M holds 2331
COLUMNS, ROWS = 2, 6  # on a sheet of A4
_WIDTH_MM, _HEIGHT_MM, _MARGIN_MM, _QR_MM = 95.0, 46.0, 10.0, 38.0


def label_text(manifest: ImageManifest) -> str:
    """What the QR code holds: plain lines, so that any phone shows them."""
    return label_text_of(manifest.node, manifest.site, manifest.hub, manifest.sha256[:16])


def label_text_of(node: str, site: str | None, hub: str, image: str = "0" * 16) -> str:
    rows = {"node": node, "site": site or "", "hub": hub, "image": image}
    return "\n".join(["wayside", *(f"{name}: {value}" for name, value in rows.items() if value)])


def _code(manifest: ImageManifest) -> segno.QRCode:
    # Level M: a scratch of 15 % is read through.
    return segno.make(label_text(manifest), error="m", micro=False, boost_error=False)


def label_png(manifest: ImageManifest) -> bytes:
    out = io.BytesIO()
    _code(manifest).save(out, kind="png", scale=8, border=4)
    return out.getvalue()


def sheet_pdf(manifests: Sequence[ImageManifest]) -> bytes:
    """All labels on sheets of A4, twelve a page, as vector drawings."""
    pdf = fpdf.FPDF(format="A4")
    pdf.set_creation_date(datetime.fromtimestamp(EPOCH, UTC))
    pdf.set_auto_page_break(False)
    for number, manifest in enumerate(manifests):
        place = number % (COLUMNS * ROWS)
        if place == 0:
            pdf.add_page()
        left = _MARGIN_MM + place % COLUMNS * _WIDTH_MM
        top = _MARGIN_MM + place // COLUMNS * _HEIGHT_MM
        pdf.set_draw_color(190)
        pdf.rect(left, top, _WIDTH_MM, _HEIGHT_MM)
        matrix = _code(manifest).matrix
        module = _QR_MM / len(matrix)
        for y, row in enumerate(matrix):
            for x, dark in enumerate(row):
                if dark:
                    pdf.rect(left + 3 + x * module, top + 4 + y * module, module, module, style="F")
        _text(pdf, manifest, left + _QR_MM + 6, top + 5)
    return bytes(pdf.output())


def _text(pdf: fpdf.FPDF, manifest: ImageManifest, left: float, top: float) -> None:
    site = manifest.site or ""
    rows = [
        ("", 13 if len(manifest.node) <= 32 else 8, "B", manifest.node),
        ("", 10 if len(site) <= 32 else 6, "", site),
    ]
    rows += [("hub", 6, "", manifest.hub), ("image", 6, "", manifest.sha256[:16])]
    rows += [("wayside", 6, "", f"{manifest.wayside}, {manifest.instance}")]
    width = _WIDTH_MM - _QR_MM - 8
    for name, size, style, text in rows:
        if not text:
            continue
        pdf.set_font("helvetica", style, size)
        pdf.set_xy(left, top)
        # The built-in fonts know Latin-1; the QR code has every letter.
        line = f"{name} {text}".strip().encode("latin-1", "replace").decode("latin-1")
        pdf.multi_cell(width, size * 0.45, line, align="L", max_line_height=size * 0.45)
        top = pdf.get_y() + 1
