"""CSV as spreadsheets write it is read; what could be read in two ways is refused; line numbers are an editor's."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wayside.csv_dialect import SEPARATORS, guess_decimal, misnamed, number, read, twice
from wayside.text import TextError

NAMES = ["time", "name", "count"]


@pytest.mark.parametrize(
    ("data", "rows", "notes"),
    [
        (b"a,b\n1,2\n", ["a b", "1 2"], ""),
        (b"a;b\r\n1,5;2\r\n", ["a b", "1,5 2"], "semicolons"),
        (b"a\tb\n1\t2", ["a b", "1 2"], "tabs"),
        (b"a|b\n1|2", ["a b", "1 2"], "vertical bars"),
        (b"sep=;\na;b\n1;2\n", ["a b", "1 2"], ""),
        (b'\xef\xbb\xbf"sep=\t"\r\na\tb\r\n1\t2\r\n', ["a b", "1 2"], ""),
        ("\ufeffa;b\n1;2\n".encode("utf-16-le"), ["a b", "1 2"], "utf-16-le"),
        ("Straße;b\n1;2\n".encode("cp1252"), ["Straße b", "1 2"], "cp1252"),
        (b"power\n5,3\n4,2\n", ["power", "5,3", "4,2"], ""),
        (b"a,b\r1,2\r", ["a b", "1 2"], ""),
        (b"a,b\r\r\n1,2\r\r\n", ["a b", "1 2"], ""),
        (b"a,b\n\n ,\n1,2\n\n\n", ["a b", "1 2"], ""),
        (b'time;a\n"x;y";1\n', ["time a", "x;y 1"], "semicolons"),
    ],
)
def test_a_file_is_read_as_it_is_written_and_what_is_guessed_is_told(data: bytes, rows: list[str], notes: str) -> None:
    made = read(data)
    assert [" ".join(row.cells) for row in made.rows()] == rows
    assert notes in "; ".join(made.notes)
    assert bool(notes) == bool(made.notes)


def test_a_row_is_counted_by_the_line_at_which_it_begins() -> None:
    made = read(b'sep=,\na,b\n"two\nlines",1\n\n3,4\n')
    assert [(row.line, row.cells) for row in made.rows()][1:] == [(3, ["two\nlines", "1"]), (6, ["3", "4"])]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'a,b\n1,"2\n3,4\n', "line 2: no CSV: a quotation mark that opens a cell here is never closed"),
        (b'a,b\n1,2\n"1"5,2\n', "line 3: no CSV: behind the closing quotation mark"),
        (b"a,b\n1,\0\n", "line 2: a NUL byte"),
        (b"a,b\n1,2\rx,4\n", "line 2: no CSV: a carriage return stands alone"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "line 2: no CSV: a cell of more than 131072 characters"),
        (b"a;b,c;d\n1;2,3;4\n", "line 1: the columns may be separated by commas or semicolons"),
    ],
)
def test_what_is_no_csv_is_refused_with_its_line(data: bytes, said: str) -> None:
    with pytest.raises(TextError) as refusal:
        list(read(data).rows())
    assert said in str(refusal.value)


def test_the_names_that_are_wanted_say_which_separator_is_meant() -> None:
    assert read(b"time;a,b;count\n1;2,3;4\n", names=["time", "count"]).separator == ";"
    assert read(b"5,3;1\n1,2;4\n2;3\n", width=2).separator == ";"


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\0"), max_size=12)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8),
    separator=st.sampled_from([*SEPARATORS]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_writer_wrote_is_read_back(
    rows: list[tuple[str, str, str]], separator: str, end: str, encoding: str
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator=end).writerows([NAMES, *rows])
    text = file.getvalue()
    made = read(text.encode(encoding), names=NAMES)
    assert made.separator == separator
    assert [tuple(r.cells) for r in made.rows()] == [tuple(NAMES), *(r for r in rows if any(map(str.strip, r)))]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), header=st.sampled_from([b"", b"a,b\n", b"sep=;\n", b"\xff\xfe"]))
def test_any_bytes_are_read_or_refused(data: bytes, header: bytes) -> None:
    try:
        for row in read(header + data, names=NAMES).rows():
            assert any(row.cells)
    except TextError as refusal:
        assert str(refusal)


@pytest.mark.parametrize(
    ("cell", "point", "comma"),
    [
        ("1,5", None, 1.5),
        ("1.5", 1.5, None),
        ("1,234", 1234, 1.234),
        ("1.234", 1.234, 1234),
        ("1.234.567,5", None, 1234567.5),
        ("1 234,5", None, 1234.5),
        ("1'234.5", 1234.5, None),
        ("1,23,456", None, None),
        ("12", 12, 12),
        ("-.5e3", -500, None),
        ("1_000", None, None),
        ("١٢", None, None),
        ("0x10", None, None),
        ("", None, None),
        ("5 %", None, None),
    ],
)
def test_a_number_is_what_its_decimal_sign_makes_of_it(cell: str, point: float | None, comma: float | None) -> None:
    assert (number(cell, "."), number(cell, ",")) == (point, comma)


def test_the_decimal_sign_is_what_one_number_shows_without_doubt() -> None:
    assert guess_decimal(["12", "1,5", "1,234"], ";") == ","
    assert guess_decimal(["12", "1.5"], ";") == "."
    assert guess_decimal(["0,125"], ";") == ","
    assert guess_decimal(["1,234,567"]) == "."
    assert guess_decimal(["1.234"], ",") is None
    assert guess_decimal(["12", "", "x,y", "1.2.3"]) is None


@pytest.mark.parametrize(
    ("numbers", "separator"), [(["1,234"], ","), (["1.234"], ";"), (["1,234", "12"], "\t"), (["1.5", "1,5"], ";")]
)
def test_a_number_that_may_mean_two_things_is_refused(numbers: list[str], separator: str) -> None:
    with pytest.raises(TextError, match=r"nothing says which|only one can be meant"):
        guess_decimal(numbers, separator)


def test_names_that_nobody_can_tell_apart_are_none() -> None:
    assert misnamed(["a", "Süd", "north 1"]) is None
    for name in ("a\x07", "a\u200bb", "\ufeffa", "a\u00a0b", "a\nb"):
        assert "invisible character" in (misnamed(["x", name]) or "")
    assert "look the same" in (misnamed(["S\u00fcd", "Su\u0308d"]) or "")
    assert (twice(["a", "", "b", "", "a"]), twice(["a", "", ""])) == ("a", None)
