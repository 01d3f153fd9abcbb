"""Text files as people's editors and spreadsheets write them."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.text import TextError, decode, loads_toml

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
