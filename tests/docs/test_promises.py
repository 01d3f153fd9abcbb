"""What a page promises, a test holds: each sentence by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.promises import differences, gone, held, name_of, pages, plain, sentences

HELD = held()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_promise_of_the_page_is_in_the_list_and_nothing_that_it_does_not_say(page: Path) -> None:
    wrong = list(differences(page, HELD.get(name_of(page), {})))
    assert not wrong, "\n".join(["look at these sentences, and at their tests:", *wrong])


def test_every_test_and_every_page_that_is_named_exists() -> None:
    assert not list(gone(HELD))
    assert set(HELD) <= {name_of(page) for page in pages()}


def test_a_sentence_is_one_line_without_code_tables_and_marks_of_lists() -> None:
    page = (
        "# A title\n\nIt *never*\nstops. It\nis `x`.\n\n- One. Two\n  three.\n\n```sh\nnever\n```\n\n| always | 1 |\n"
    )
    assert sentences(page) == ["It *never* stops.", "It is `x`.", "One.", "Two three."]


def test_a_new_promise_is_told_with_the_entry_that_it_was_and_a_description_may_be_reworded(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "node.md"
    listed = HELD["docs/node.md"]
    assert not list(differences(page, listed))
    sentence, tests = next(iter(listed.items()))
    reworded = {s + " So it is." if s == sentence else s: t for s, t in listed.items()}
    told = "\n".join(differences(page, reworded))
    assert told.count("does not say any more") == 1
    assert str(tests) in told, "the tests that held it are suggested"
    assert plain("It *never* [ends](a.md).") == plain("It never [ends](b.md#c)")
