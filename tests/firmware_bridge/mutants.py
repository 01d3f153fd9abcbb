"""Small faults that a programmer makes, one at a time, put into a C file of the board's core.

Operators as in Offutt et al., "An experimental determination of sufficient mutant operators" (TOSEM 5(2), 1996):
relational, logical, arithmetic and bitwise operators, constants by one, a condition negated, a statement left out.
What does not compile is left to the compiler to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = re.compile(
    r"(?P<skip>/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"])*\"|'(?:\\.|[^'])*'|^[ \t]*#(?:\\\n|[^\n])*|\s+)"
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)"
    r"|(?P<sign><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)",
    re.DOTALL | re.MULTILINE,
)
SWAPS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",),
    "&&": ("||",), "||": ("&&",), "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("/",), "&": ("|",),
    "|": ("&",), "^": ("&",), "<<": (">>",), ">>": ("<<",), "++": ("--",), "--": ("++",), "+=": ("-=",),
    "-=": ("+=",), "|=": ("&=",), "&=": ("|=",), "!": ("",), "~": ("",), "true": ("false",), "false": ("true",),
}  # fmt: skip
KINDS = {
    "relational": ("<", "<=", ">", ">=", "==", "!="),
    "logical": ("&&", "||", "!"),
    "constant": ("true", "false"),
    "bitwise": ("&", "|", "^", "<<", ">>", "|=", "&=", "~"),
}
BINARY_ONLY = set("+-*&")  # the same signs stand for one operand, too


class Token(NamedTuple):
    kind: str  # word, number, sign
    text: str
    start: int
    end: int


class Mutant(NamedTuple):
    """``source[start:end]`` becomes ``after``."""

    file: str
    function: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str
    code: str  # its line
    nth: int  # among those of the same function, line, place and change; 0 nearly always

    @property
    def key(self) -> str:
        """What names it while other lines of the file come and go."""
        change = f"{self.before} -> {self.after or 'nothing'}"
        return f"{self.file} {self.function}: {self.code} | {change} | {self.nth}"

    def applied(self, source: str) -> str:
        return source[: self.start] + self.after + source[self.end :]


def tokens(source: str) -> list[Token]:
    return [
        Token(m.lastgroup, m.group(), m.start(), m.end())
        for m in TOKEN.finditer(source)
        if m.lastgroup is not None and m.lastgroup != "skip"
    ]


def closing(of: list[Token], at: int) -> int:
    """The index of the parenthesis that closes the one at ``at``."""
    depth = 0
    for i in range(at, len(of)):
        depth += (of[i].text == "(") - (of[i].text == ")")
        if depth == 0:
            return i
    raise ValueError("a parenthesis is not closed")


def _is_binary(of: list[Token], at: int) -> bool:
    before = of[at - 1]
    return before.kind == "number" or before.text in (")", "]") or (before.kind == "word" and before.text != "return")


def _number(text: str) -> Iterator[str]:
    digits = text.rstrip("uUlL")
    suffix, value = text[len(digits) :], int(digits, 0)
    yield f"{value + 1}{suffix}"
    if value > 0:
        yield f"{value - 1}{suffix}"


def _changes(source: str, of: list[Token]) -> Iterator[tuple[str, int, int, str]]:
    """kind, start, end, after."""
    depth = 0  # of parentheses: a for's head has semicolons that end no statement
    for i, token in enumerate(of):
        depth += (token.text == "(") - (token.text == ")")
        kind = next((name for name, signs in KINDS.items() if token.text in signs), "arithmetic")
        if token.text in SWAPS and (token.text not in BINARY_ONLY or _is_binary(of, i)):
            for after in SWAPS[token.text]:
                yield kind, token.start, token.end, after
        if token.kind == "number":
            for after in _number(token.text):
                yield "constant", token.start, token.end, after
        if token.text in ("if", "while") and of[i + 1].text == "(":
            a, b = of[i + 1].end, of[closing(of, i + 1)].start
            yield "condition", a, b, f"!({source[a:b]})"
        if token.text == "for":
            end = closing(of, i + 1)
            first, second = (k for k in range(i, end) if of[k].text == ";")
            if second > first + 1:
                a, b = of[first].end, of[second].start
                yield "condition", a, b, f" !({source[a:b].strip()})"
        if token.text in ("if", "while", "else", "for", "switch", "do", "struct", "typedef", "enum", "static"):
            continue
        if (
            depth == 0
            and _begins_statement(of, i)
            and token.text not in "{};"
            and token.text not in ("case", "default")
        ):
            end = _end_of_statement(of, i)
            if end is not None:
                yield "statement", token.start, of[end].start, ""


def _begins_statement(of: list[Token], at: int) -> bool:
    before = of[at - 1].text if at else ";"
    if before in (";", "{", "}", "else"):
        return True
    if before == ":":  # behind case, not in ?:
        back = at - 2
        while of[back].text not in (";", "{", "}", "?", "case", "default"):
            back -= 1
        return of[back].text in ("case", "default")
    if before != ")":
        return False
    depth, back = 0, at - 1
    while True:
        depth += (of[back].text == ")") - (of[back].text == "(")
        if depth == 0:
            break
        back -= 1
    return of[back - 1].text in ("if", "while", "for")


def _end_of_statement(of: list[Token], at: int) -> int | None:
    """The index of its semicolon; None for what is none, such as the head of a function."""
    depth = 0
    for i in range(at, len(of)):
        text = of[i].text
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if depth < 0 or (text == "{" and of[i - 1].text == ")" and of[i + 1].text != "."):
            return None  # a compound literal names its fields here
        if text == ";" and depth == 0:
            return i
    return None


def mutants(file: str, source: str) -> list[Mutant]:
    """Every mutant of a C file, in its order."""
    of = tokens(source)
    inside = _functions(of)
    seen: dict[tuple[str, str, str, str], int] = {}
    made = []
    for kind, start, end, after in _changes(source, of):
        function = next((name for name, a, b in inside if a < start < b), "")
        if not function:  # a table or a constant of the file
            if kind != "constant":
                continue
            function = "(file)"
        line_start = source.rfind("\n", 0, start) + 1
        code = source[line_start : source.find("\n", start)].strip()
        before = " ".join(source[start:end].split())
        same = (function, code, before, after)
        nth = seen.get(same, 0)
        seen[same] = nth + 1
        line = source.count("\n", 0, start) + 1
        made.append(Mutant(file, function, line, kind, start, end, before, after, code, nth))
    return made


def _functions(of: list[Token]) -> list[tuple[str, int, int]]:
    """Name, start and end of each function's body."""
    out, depth, i = [], 0, 0
    while i < len(of):
        text = of[i].text
        if depth == 0 and text == "{" and of[i - 1].text == ")":
            back, level = i - 1, 0
            while True:
                level += (of[back].text == ")") - (of[back].text == "(")
                if level == 0:
                    break
                back -= 1
            name, start = of[back - 1].text, of[i].start
            level = 0
            while True:
                level += (of[i].text == "{") - (of[i].text == "}")
                if level == 0:
                    break
                i += 1
            out.append((name, start, of[i].end))
        else:
            depth += (text == "{") - (text == "}")
        i += 1
    return out
