"""The privacy contract: a frame has no way out of the process, its counts have one."""

from __future__ import annotations

import copy
import json
import pickle
import typing
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest

from wayside.contracts.frames import Counts, Frame
from wayside.contracts.reading import Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import Heartbeat, Reported, SyncRequest
from wayside.contracts.wire import ContractError, Document, decode, encode

AT = Stamp(boot="0" * 32, mono_ns=1)
PLAIN = (int, float, str, bool, type(None))


def frame() -> Frame:
    return Frame(np.full((8, 8, 3), 200, np.uint8), AT)


def request_with(value: object) -> SyncRequest:
    """A programmer's mistake: documents check their fields when decoded, not when made."""
    detail = typing.cast(dict[str, str], {"frame": value})
    row = Summary(node="n", boot="0" * 32, seq=0, kind=Kind.ALERT, datastream="camera", at=AT, detail=detail)
    heartbeat = Heartbeat(agent="1", at=AT, uptime_s=0, healthy=True, reported=Reported())
    return SyncRequest(node="n", boot="0" * 32, heartbeat=heartbeat, summaries=[row])


SERIALIZERS = [
    pickle.dumps,
    copy.copy,
    copy.deepcopy,
    json.dumps,
    msgspec.json.encode,
    msgspec.msgpack.encode,
    msgspec.to_builtins,
]


@pytest.mark.parametrize("way", SERIALIZERS)
def test_no_serializer_takes_a_frame(way: Callable[[object], object]) -> None:
    with pytest.raises((ContractError, TypeError)):
        way(frame())
    if way is not copy.copy:  # a new list of the same frame is no copy of it
        with pytest.raises((ContractError, TypeError)):
            way([frame()])


def test_the_sync_serializer_refuses_a_frame_in_any_place() -> None:
    assert b"frame" in encode(request_with("a word"))
    with pytest.raises(TypeError):
        encode(request_with(frame()))
    with pytest.raises(TypeError):
        encode(request_with(frame().pixels))


def test_no_type_that_leaves_a_node_can_hold_bytes_arrays_or_frames() -> None:
    for leaf in leaves(SyncRequest, set()):
        assert leaf in PLAIN or issubclass(leaf, msgspec.Struct) or hasattr(leaf, "__members__"), leaf
    assert set(leaves(Counts, set())) <= {*PLAIN, Counts, Stamp} | set(leaves(Stamp, set()))


def test_the_text_of_a_frame_shows_its_shape_alone() -> None:
    assert f"{frame()} {frame()!r}" == "Frame(8, 8, 3) Frame(8, 8, 3)"


def test_a_frame_is_forgotten_when_its_block_ends_even_by_those_who_kept_the_array() -> None:
    with pytest.raises(RuntimeError, match="model"), frame() as seen:
        kept = seen.pixels
        assert kept.max() == 200
        raise RuntimeError("the model failed")
    assert kept.max() == 0
    with pytest.raises(ContractError, match="forgotten"):
        _ = seen.pixels


def test_the_camera_s_own_buffer_is_not_kept() -> None:
    buffer = np.full((4, 4, 3), 9, np.float32)
    with Frame(buffer, AT) as seen:
        buffer[:] = 0
        assert seen.pixels.max() == 9


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ContractError, match="height x width x channels"):
        Frame(np.zeros(4), AT)


def test_counts_travel() -> None:
    counts = Counts(at=AT, counts={"vehicle": 3.0})
    assert decode(encode(counts), Counts) == counts
    with pytest.raises(ContractError, match="counts"):
        decode(encode(Counts(at=AT, counts={"vehicle": -1.0})), Counts)


def leaves(kind: object, seen: set[object]) -> Iterator[type]:
    """Every type that a document of ``kind`` can hold, free dictionaries (``extra``) excepted."""
    if typing.get_origin(kind) is typing.Annotated:
        yield from leaves(typing.get_args(kind)[0], seen)
    elif arguments := typing.get_args(kind):
        for argument in arguments:
            yield from leaves(argument, seen)
    elif isinstance(kind, type) and kind not in seen:
        seen.add(kind)
        yield kind
        if issubclass(kind, Document):
            hints = typing.get_type_hints(kind, include_extras=True)
            for field in msgspec.structs.fields(kind):
                if field.name != "extra":
                    yield from leaves(hints[field.name], seen)
