"""Text files as people's editors and spreadsheets write them."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.text import TextError, decode, loads_json, loads_toml, pem, read_file

WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\ufeff"))


@given(
    WORDS,
    st.sampled_from(
        [
            ("utf-8", b""),
            ("utf-8", codecs.BOM_UTF8),
            ("utf-16-le", codecs.BOM_UTF16_LE),
            ("utf-16-be", codecs.BOM_UTF16_BE),
            ("utf-32-le", codecs.BOM_UTF32_LE),
        ]
    ),
)
def test_what_an_editor_saved_is_what_is_read(words: str, saved: tuple[str, bytes]) -> None:
    encoding, mark = saved
    read = decode(mark + words.encode(encoding))
    assert (read.text, read.encoding, read.guessed) == (words, encoding, False)


def test_ansi_is_guessed_and_said_or_named() -> None:
    assert decode("Straße;1".encode("cp1252")) == ("Straße;1", "cp1252", True)
    assert decode("Straße €".encode("iso-8859-15"), "iso-8859-15").text == "Straße €"


@given(
    st.binary(max_size=200), st.sampled_from([None, "utf-8", "utf-16", "cp1252", "ascii", "no such", "rot13", "hex"])
)
def test_bytes_are_text_or_one_sentence(data: bytes, encoding: str | None) -> None:
    try:
        assert "\0" not in decode(data, encoding).text
    except TextError as exc:
        assert "\n" not in str(exc)
    try:
        assert isinstance(loads_toml(data), dict)
    except TextError as exc:
        assert "\n" not in str(exc)


def test_toml_with_a_mark_is_read_and_of_another_encoding_named() -> None:
    assert loads_toml(codecs.BOM_UTF8 + b"a = 1") == {"a": 1}
    assert loads_toml("\ufeffa = 1") == {"a": 1}
    assert loads_toml(codecs.BOM_UTF16_LE + "a = 'ü'".encode("utf-16-le")) == {"a": "ü"}
    with pytest.raises(TextError, match="line 2: 'ß' is not written in UTF-8"):
        loads_toml("a = 1\nstraße = 2".encode("cp1252"))
    with pytest.raises(TextError, match="NUL"):
        loads_toml(b"a = 1\0")


def test_a_mark_that_contradicts_the_named_encoding_is_an_error() -> None:
    with pytest.raises(TextError, match="mark of utf-16-le, not of cp1252"):
        decode(codecs.BOM_UTF16_LE + b"a\0", "cp1252")


@pytest.mark.parametrize("saved", [lambda t: codecs.BOM_UTF8 + t.encode(), lambda t: t.encode("utf-16"), str.encode])
def test_json_is_read_as_an_editor_saves_it(saved: Callable[[str], bytes]) -> None:
    assert loads_json(saved('{"straße": 1}')) == {"straße": 1}


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000, b"NaN", b'{"a": 1', b"\xfc", b"\0"])
def test_what_is_no_json_is_one_sentence(data: bytes) -> None:
    with pytest.raises(TextError) as caught:
        loads_json(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_only_a_file_of_a_bounded_size_is_read(tmp_path: Path) -> None:
    file, pipe, large = tmp_path / "file", tmp_path / "pipe", tmp_path / "large"
    file.write_bytes(b"12345")
    os.mkfifo(pipe)
    with large.open("wb") as opened:
        opened.truncate(1 << 40)
    assert read_file(file, 5) == b"12345"
    for path, words in (
        (file, "more than 4 bytes"),
        (pipe, "a pipe"),
        (Path(os.devnull), "a device"),
        (tmp_path, "dir"),
    ):
        with pytest.raises(OSError) as caught:
            read_file(path, 4)
        assert words in (caught.value.strerror or "")
        assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="64 MiB"):
        read_file(large)


def test_a_certificate_is_read_as_an_editor_saves_it() -> None:
    text = "# für den Hub\n-----BEGIN CERTIFICATE-----\n"
    for saved in (text.encode(), codecs.BOM_UTF8 + text.encode(), text.encode("utf-16"), text.encode("cp1252")):
        assert pem(saved) == "# fr den Hub\n-----BEGIN CERTIFICATE-----\n"
