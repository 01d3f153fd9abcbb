"""Block maps (bmap 2.0, as bmaptool reads): which blocks of an image have to reach the card, with their checksums.

The map comes from the file systems' own free lists, not from the holes of the image file, as ``bmaptool create`` would
take it: decompressing an image makes holes of every run of zeros, also of zeros that belong to a file, and a used card
would keep its old bytes there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.disk import Disk, Ext4
from wayside.text import TextError, decode_unicode, read_file

BLOCK = 4096
_CHUNK = 1 << 20
_RANGE = re.compile(r'<Range chksum="([0-9a-f]{64})"> ?(\d+)(?:-(\d+))? ?</Range>')
_MAX_BYTES = 64 << 20


class Range(NamedTuple):
    first: int  # block
    last: int  # included
    sha256: str


class Bmap(NamedTuple):
    image_size: int
    ranges: tuple[Range, ...]

    @property
    def mapped_bytes(self) -> int:
        return sum(min((r.last + 1) * BLOCK, self.image_size) - r.first * BLOCK for r in self.ranges)

    def text(self) -> str:
        """The document; its own checksum is taken with zeros in the checksum's place, as the format wants."""
        rows = "\n".join(
            f'        <Range chksum="{r.sha256}"> {r.first}{"" if r.last == r.first else f"-{r.last}"} </Range>'
            for r in self.ranges
        )
        blocks = -(-self.image_size // BLOCK)
        mapped = sum(r.last - r.first + 1 for r in self.ranges)
        document = f"""<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> {self.image_size} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {blocks} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {"0" * 64} </BmapFileChecksum>
    <BlockMap>
{rows}
    </BlockMap>
</bmap>
"""
        return document.replace("0" * 64, hashlib.sha256(document.encode()).hexdigest(), 1)

    def without_first_block(self) -> Bmap:
        """The same less block 0; that range's checksum is left out, its content is compared afterwards."""
        kept = [r for r in self.ranges if r.first > 0]
        return Bmap(self.image_size, tuple(kept))


def make_bmap(disk: Disk, progress: Callable[[int], None] = lambda _: None) -> tuple[Bmap, str]:
    """The map of ``disk``, and the SHA-256 of the whole image, in one reading.

    Block 0 is a range of its own: it is written last.
    """
    free: list[tuple[int, int]] = []
    for part in disk.partitions:
        if part.kind == "ext4":
            end = part.offset + part.size
            free += [
                (part.offset + a, min(part.offset + b, end)) for a, b in Ext4(disk.path, part.offset).free_ranges()
            ]
    spans = list(mapped_spans(disk.size, sorted(free)))
    ranges, whole = [], hashlib.sha256()
    with disk.path.open("rb") as file:
        at = 0
        for first, last in spans:
            begin, end = first * BLOCK, min((last + 1) * BLOCK, disk.size)
            for data in read_span(file.fileno(), at, begin):
                whole.update(data)
                progress(len(data))
            digest = hashlib.sha256()
            for data in read_span(file.fileno(), begin, end):
                whole.update(data)
                digest.update(data)
                progress(len(data))
            ranges.append(Range(first, last, digest.hexdigest()))
            at = end
        for data in read_span(file.fileno(), at, disk.size):
            whole.update(data)
            progress(len(data))
    return Bmap(disk.size, tuple(ranges)), whole.hexdigest()


def mapped_spans(size: int, free: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of blocks that are not wholly free."""
    yield 0, 0
    at, blocks = 1, -(-size // BLOCK)
    for begin, end in _merged(free):
        first, after = -(-begin // BLOCK), end // BLOCK
        if after <= max(first, at):
            continue
        if first > at:
            yield at, first - 1
        at = max(at, after)
    if at < blocks:
        yield at, blocks - 1


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    current: tuple[int, int] | None = None
    for begin, end in spans:
        if current is not None and begin <= current[1]:
            current = current[0], max(current[1], end)
        else:
            if current is not None:
                yield current
            current = begin, end
    if current is not None:
        yield current


def read_span(fd: int, begin: int, end: int) -> Iterator[bytes]:
    while begin < end:
        data = os.pread(fd, min(_CHUNK, end - begin), begin)
        if not data:
            raise ImageError(f"the image ends at byte {begin}, before {end}: it was cut off")
        yield data
        begin += len(data)


def load_bmap(path: Path) -> Bmap:
    """Read a map that :func:`make_bmap` wrote.

    Raises:
        ImageError: there is none, or it is not whole.
    """
    try:
        text = decode_unicode(read_file(path, _MAX_BYTES)).replace("\r\n", "\n")
    except (OSError, TextError) as exc:
        raise ImageError(f"{path}: {getattr(exc, 'strerror', None) or exc}; build the image again") from exc
    size = re.search(r"<ImageSize> ?(\d{1,18}) ?</ImageSize>", text)
    block = re.search(rf"<BlockSize> ?{BLOCK} ?</BlockSize>", text)
    claimed = re.search(r"<BmapFileChecksum> ?([0-9a-f]{64}) ?</BmapFileChecksum>", text)
    if size is None or block is None or claimed is None:
        raise ImageError(f"{path} is no block map of `wayside image build`")
    if hashlib.sha256(text.replace(claimed[1], "0" * 64, 1).encode()).hexdigest() != claimed[1]:
        raise ImageError(f"{path} is damaged: its own checksum does not hold; build the image again")
    ranges = tuple(Range(int(first), int(last or first), digest) for digest, first, last in _RANGE.findall(text))
    if not ranges or ranges[0].first != 0 or ranges[0].last != 0:
        raise ImageError(f"{path} is no block map of `wayside image build`: block 0 is not a range of its own")
    return Bmap(int(size[1]), ranges)


def first_difference(path: Path, bmap: Bmap, progress: Callable[[int], None] = lambda _: None) -> Range | None:
    """Read every mapped range of an image or card; the first whose checksum does not hold, if any."""
    fd = os.open(path, os.O_RDONLY)
    try:
        for span in bmap.ranges:
            digest = hashlib.sha256()
            begin, end = span.first * BLOCK, min((span.last + 1) * BLOCK, bmap.image_size)
            try:
                for data in read_span(fd, begin, end):
                    digest.update(data)
                    progress(len(data))
            except (OSError, ImageError):
                return span
            if digest.hexdigest() != span.sha256:
                return span
    finally:
        os.close(fd)
    return None
