"""Hides secrets in what the builder sends: as they are, and in the forms that programs print them in."""

from __future__ import annotations

import base64
import dataclasses
import enum
import html
import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any, TypeVar

import ahocorasick_rs

STARS = b"***"
LEAST_BYTES = 8
"""Shorter text would hide ordinary words: shorter lines of a secret are not looked for alone."""
WRAPS = (76, 64)
"""The columns at which `base64` and `openssl base64` break their lines."""
LONG_BYTES = 4096
"""Values of this length are looked for in fewer forms, as the search needs memory for each byte of a form."""
DFA_BYTES = 100_000
"""Up to this length of all forms the fastest kind of automaton takes less than 30 MB."""
DENSE = 1000
_LINE_ENDS = re.compile(r"[\r\n]+")
_SAFE = ("", "/", "!'()*~", ";,/?:@&=+$#!'()*~")
"""What Python's quote, its default, encodeURIComponent and encodeURI leave as it is."""
_PERCENT = re.compile(r"%[0-9A-F]{2}")

T = TypeVar("T")


def forms_of(value: str, *, by_line: bool) -> set[bytes]:
    """The value as programs print it. `by_line`: each of its lines too, for text that is looked at line by line."""
    content = value.strip().encode()
    forms = {content, value.encode(), *_escaped(value.strip()), *_in_base64(content)}
    if by_line:
        forms |= {line.strip().encode() for line in _LINE_ENDS.split(value)} | _wrapped(content)
        forms = {form for form in forms if b"\n" not in form and b"\r" not in form}
    return {form for form in forms if len(form) >= LEAST_BYTES}


def _escaped(value: str) -> Iterable[bytes]:
    """Escaped as in JSON, JavaScript, HTML and URLs."""
    in_json = json.dumps(value, ensure_ascii=False)[1:-1]
    escaped = [in_json, json.dumps(value)[1:-1], in_json.replace("/", "\\/"), html.escape(value)]
    escaped.append(value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n"))
    if len(value) < LONG_BYTES:
        quoted = [urllib.parse.quote(value, safe) for safe in _SAFE] + [urllib.parse.quote_plus(value)]
        escaped += quoted + [_PERCENT.sub(lambda code: code[0].lower(), text) for text in quoted]
    return (text.encode() for text in escaped)


def _in_base64(content: bytes) -> Iterable[bytes]:
    """The letters that depend on the content alone, wherever it begins in the three bytes of a group."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content)
        whole = encoded[(0, 2, 3)[before] : (before + len(content)) * 8 // 6]
        yield whole
        yield whole.translate(bytes.maketrans(b"+/", b"-_"))


def _wrapped(content: bytes) -> set[bytes]:
    encoded = base64.b64encode(content).rstrip(b"=")
    return {encoded[at : at + wrap] for wrap in WRAPS for at in range(0, len(encoded), wrap) if len(encoded) > wrap}


class Finder:
    """Finds all of these patterns in one pass."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        chosen = sorted(patterns)
        self.longest = max(map(len, chosen), default=0)
        is_small = sum(map(len, chosen)) <= DFA_BYTES
        kind = ahocorasick_rs.Implementation.DFA if is_small else ahocorasick_rs.Implementation.ContiguousNFA
        self._automaton = ahocorasick_rs.BytesAhoCorasick(chosen, implementation=kind) if chosen else None
        self.patterns = chosen

    def find(self, content: bytes) -> list[tuple[int, int, int]]:
        """Pattern, start and end of matches that do not overlap. Empty: there is none at all."""
        return self._automaton.find_matches_as_indexes(content) if self._automaton else []

    def find_all(self, content: bytes) -> list[tuple[int, int, int]]:
        return self._automaton.find_matches_as_indexes(content, overlapping=True) if self._automaton else []


class Masker:
    """Replaces these values with stars."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._finder = Finder({form for value in values for form in forms_of(value, by_line=True)})
        self.longest = self._finder.longest

    def mask(self, content: bytes) -> bytes:
        return _replaced(content, self._spans(content), len(content))

    def mask_text(self, text: str) -> str:
        if not self.longest:
            return text
        return self.mask(text.encode(errors="replace")).decode(errors="replace")

    def mask_start(self, content: bytes) -> tuple[bytes, bytes]:
        """What is certain already, masked, and the rest, in which a secret may have begun that goes on later."""
        if not self.longest:
            return content, b""
        cut = max(0, len(content) - self.longest + 1)
        spans = self._spans(content)
        for start, end in spans:
            if start < cut < end:
                # A span at the very beginning is written, so that repeated letters don't pile up.
                cut = start or end
                break
        return _replaced(content[:cut], [span for span in spans if span[1] <= cut], cut), content[cut:]

    def mask_message(self, message: T) -> T:
        """A message of the builders' API in which every text is masked."""
        found: T = _masked(message, self) if self.longest else message
        return found

    def _spans(self, content: bytes) -> list[tuple[int, int]]:
        """Start and end of what is hidden, in order, those that touch as one."""
        found = self._finder.find(content)
        if len(found) > DENSE:
            # Finding all that overlap takes long where one letter is repeated: what lies between is hidden too.
            return [(max(0, found[0][1] - self.longest), min(len(content), found[-1][2] + self.longest))]
        spans: list[tuple[int, int]] = []
        for _, start, end in sorted(found and self._finder.find_all(content), key=lambda match: match[1]):
            if spans and start <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(end, spans[-1][1])
            else:
                spans.append((start, end))
        return spans


NO_SECRETS = Masker()


def _replaced(content: bytes, spans: list[tuple[int, int]], end: int) -> bytes:
    if not spans:
        return content
    parts, at = [], 0
    for start, stop in spans:
        parts += [content[at:start], STARS]
        at = stop
    return b"".join([*parts, content[at:end]])


def _masked(value: Any, masker: Masker) -> Any:
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return masker.mask_text(value)
    if isinstance(value, list | tuple):
        return type(value)(_masked(item, masker) for item in value)
    if isinstance(value, dict):
        return {name: _masked(item, masker) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _masked(getattr(value, name), masker) for name in names})
    return value
