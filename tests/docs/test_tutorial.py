"""The runner of the tutorials: what is typed is run, what is shown is held against what was printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import tutorial
from tests.docs.tutorial import Shell, Shown, TutorialError


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path / "reader")
    yield made
    made.stop()


def walk(text: str, shell: Shell, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    tutorial.walk(page, shell, replaced={"8000": "8123"}, wait_s=5.0)


def test_one_shell_keeps_variables_folder_and_jobs_for_the_whole_page(tmp_path: Path, shell: Shell) -> None:
    walk(
        "# A page\n```sh\nexport PORT=8000\nmkdir in\ncd in\n(sleep 0.4; echo ready > flag; sleep 60) &\n```\n"
        "```toml file=in/a.toml\nport = 8000\n```\n"
        "```sh\necho port $PORT\ncat a.toml\n```\n```text\nport 8000\n…\nport = 8000\n```\n"
        "```sh wait\ncat flag\n```\n```text\nready\n```\n"
        "```sh exit=3\n(exit 3)\n```\n```console\n$ false\n```\n",
        shell,
        tmp_path,
    )
    assert (shell.folder / "in" / "a.toml").read_text() == "port = 8123\n"


def test_a_command_that_fails_ends_the_walk_with_the_line_of_the_page(tmp_path: Path, shell: Shell) -> None:
    with pytest.raises(TutorialError, match=r"page.md, line 2 ended with 1, not 0"):
        walk("\n```sh\nfalse\ntouch later\n```\n", shell, tmp_path)
    assert not (shell.folder / "later").exists()


def test_an_output_that_the_page_does_not_show_ends_the_walk(tmp_path: Path, shell: Shell) -> None:
    with pytest.raises(TutorialError, match="did not print 'hello world'"):
        walk("```sh\necho hello moon\n```\n```text\nhello world\n```\n", shell, tmp_path)


def test_a_shown_output_may_differ_in_numbers_and_blanks_alone() -> None:
    shown = Shown("MAE   3.41 veh\n…\nwrote bundles/…-1.0.0.bundle, sha256 0123456789abcdef\n")
    assert shown.missing("MAE 12.9 veh\nnote\nwrote bundles/x-2.0.0.bundle, sha256 ffffffffffffffff0\n") is None
    assert shown.missing("MAE 12.9 km\n") == "MAE # veh"
    assert shown.missing("wrote bundles/x-2.0.0.bundle, sha256 ffffffffffffffff0\nMAE 1 veh\n") is not None


def test_a_page_that_shows_an_output_of_nothing_is_a_mistake() -> None:
    with pytest.raises(TutorialError, match="line 1"):
        tutorial.steps("```text\nhello\n```\n")
    with pytest.raises(TutorialError, match="line 2"):
        tutorial.steps("\n```sh\nhello\n")
