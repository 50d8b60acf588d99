"""Range: the part of a file that is requested. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

import dataclasses
import re

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)\Z", re.IGNORECASE)
_MAX_DIGITS = 18


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """`length` bytes from `start`."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class Unsatisfiable(Exception):
    """No byte of the file is in the range."""


def choose_part(header: str | None, size: int) -> Part | None:
    """None: send the whole file (no range, several ranges, or a malformed one). Raises Unsatisfiable."""
    match = _RANGE.match(header.strip() if header else "")
    if not match or match[1] == match[2] == "":
        return None
    if not match[1]:
        return _suffix(_number(match[2]), size)
    first, last = _number(match[1]), _number(match[2]) if match[2] else size
    if last < first and match[2]:
        return None
    if first >= size:
        raise Unsatisfiable
    return Part(first, min(last, size - 1) - first + 1)


def _suffix(length: int, size: int) -> Part:
    if not length or not size:
        raise Unsatisfiable
    return Part(max(0, size - length), min(length, size))


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
