"""The sentences of the pages that promise something: those with a word that leaves no way out.

The README has more such words than the other pages, since it is what is believed. What merely describes may be
reworded at will. Tables that are made from the contracts or from measurements have tests of their own.

``python -m tests.docs.promises`` prints what differs between the pages and the list, with the entry that is meant.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).parent / "promises.toml"
ABSOLUTE = re.compile(r"\b(never|refused|always)\b", re.IGNORECASE)
README = re.compile(
    r"\b(never|refuse[sd]?|always|every|each|nothing|exactly|any|only|cannot|alone|all)\b", re.IGNORECASE
)
# Pages of which every number and sentence is made by a command, which its own test holds.
GENERATED = {"models.md", "signals.md", "benchmarks.md"}
LINKS = 3  # of a sentence that is a list of pages
Held = dict[str, dict[str, list[str]]]


def pages() -> list[Path]:
    return [ROOT / "README.md", *(p for p in sorted((ROOT / "docs").rglob("*.md")) if _promises(p))]


def _promises(page: Path) -> bool:
    """Decisions argue and the tutorials are run; neither is a list of promises."""
    return page.name not in GENERATED and page.parent.name not in ("adr", "tutorials")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def sentences(text: str) -> list[str]:
    """The prose of a page, sentence by sentence, each on one line; without code blocks, headings and tables."""
    text = re.sub(r"```.*?```", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^(#|\|).*$", "", text, flags=re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?=(?:[-*]|\d+\.) )", text)
    lines = (re.sub(r"^(?:[-*]|\d+\.) ", "", " ".join(block.split())) for block in blocks)
    return [s for line in lines if line for s in re.split(r"(?<=[.!?:])\s+(?=[A-Z`\[*])", line)]


def promises(page: Path) -> list[str]:
    word = README if page.name == "README.md" else ABSOLUTE
    return [s for s in sentences(page.read_text()) if word.search(plain(s)) and s.count("](") < LINKS]


def plain(sentence: str) -> str:
    """What a reader reads: without emphasis, and of a link its words. Where it leads is no part of a promise."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", sentence).replace("*", "").rstrip(".:")


def held() -> Held:
    return tomllib.loads(LIST.read_text())


def differences(page: Path, listed: dict[str, list[str]]) -> Iterator[str]:
    """Promises that no entry of the list speaks of, and entries that the page does not say any more."""
    now = {plain(s): s for s in sentences(page.read_text())}
    known = {plain(s): s for s in listed}
    stale = [known[s] for s in known if s not in now]
    for sentence in promises(page):
        if plain(sentence) not in known:
            near = difflib.get_close_matches(sentence, stale, n=1, cutoff=0.4)
            was = f"\n  was it this? its tests: {listed[near[0]]}\n  {near[0]}" if near else ""
            yield f"{name_of(page)} promises, and the list names no test:\n  {sentence}{was}"
    for sentence in stale:
        near = difflib.get_close_matches(sentence, list(now.values()), n=1, cutoff=0.4)
        instead = f"\n  it has:\n  {near[0]}" if near else ""
        yield f"{name_of(page)} does not say any more:\n  {sentence}{instead}"


def gone(list_of: Held) -> Iterator[str]:
    """Tests that are named and are not there."""
    for test in sorted({t for page in list_of.values() for tests in page.values() for t in tests}):
        path, name = test.split("::")
        file = ROOT / path
        text = file.read_text() if file.exists() else ""
        if not re.search(rf"^ *(?:async )?def {name}\(", text, re.MULTILINE):
            near = difflib.get_close_matches(name, re.findall(r"def (test_\w+)\(", text), n=2)
            yield f"{test} is not there; {' or '.join(near) or 'none of a like name'}"


if __name__ == "__main__":
    everything = held()
    for page in pages():
        for difference in differences(page, everything.get(name_of(page), {})):
            print(difference)
    for missing in gone(everything):
        print(missing)
