"""Reads the text of a `.env` file: quotes, `export`, comments, values over several lines."""

from __future__ import annotations

import dataclasses
import re

_START = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#'\"`]+)[ \t]*=[ \t]*")
_BLANK = re.compile(r"[ \t]*(?:#.*)?\Z")
_COMMENT = re.compile(r"(?:^|[ \t])#.*")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
QUOTES = "\"'`"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """`line`: where it begins, from 1."""

    line: int
    name: str
    value: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class BadLine:
    """`problem` is the end of a sentence; it never shows what stands in the line, which may be a secret."""

    line: int
    problem: str


def parse_dotenv(text: str) -> tuple[list[Entry], list[BadLine]]:
    """The entries in order, and the lines that are none."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    entries: list[Entry] = []
    bad: list[BadLine] = []
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if _BLANK.match(line):
            continue
        started = _START.match(line)
        if started is None:
            bad.append(BadLine(number, "is not NAME=value"))
            continue
        rest = line[started.end() :]
        if not rest or rest[0] not in QUOTES:
            entries.append(Entry(number, started[1], _COMMENT.sub("", rest).strip()))
            continue
        closed = _read_quoted(rest, lines, at)
        if closed is None:
            bad.append(BadLine(number, f"opens a quote {rest[0]} that is never closed"))
            continue
        value, tail, further = closed
        at += further
        if _BLANK.match(tail):
            entries.append(Entry(number, started[1], value))
        else:
            bad.append(BadLine(number, f"goes on after its closing quote {rest[0]}; only a comment may follow"))
    return entries, bad


def _read_quoted(rest: str, lines: list[str], at: int) -> tuple[str, str, int] | None:
    """The value, what follows the closing quote in its line, and how many lines from `at` on it took.

    None: the quote is not closed.
    """
    quote, line = rest[0], rest[1:]
    parts: list[str] = []
    ends = re.compile(r"\\.|\"") if quote == '"' else re.compile(re.escape(quote))
    for further in range(len(lines) - at + 1):
        found = next((match for match in ends.finditer(line) if match[0] == quote), None)
        if found is not None:
            value = "\n".join([*parts, line[: found.start()]])
            return (_unescape(value) if quote == '"' else value), line[found.end() :], further
        parts.append(line)
        line = lines[at + further] if at + further < len(lines) else ""
    return None


def _unescape(value: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1] if found[1] in '"\\$`' else found[0]), value)
