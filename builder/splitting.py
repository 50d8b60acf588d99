"""Cuts the output of a command into lines, as a terminal would show them."""

from __future__ import annotations

import re

from builder.masking import NO_SECRETS, Masker
from builder.protocol.lines import MAX_LINE_BYTES, split_text

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class LineSplitter:
    """Takes bytes in pieces of any size and returns whole lines: a \\r keeps the last state, invalid UTF-8 is replaced,
    secrets are masked.

    A line longer than MAX_LINE_BYTES becomes several lines without losing bytes. At most one line is held.
    """

    def __init__(self, masker: Masker = NO_SECRETS) -> None:
        self._masker = masker
        self._head = b""
        """The masked beginning of a line that is longer than MAX_LINE_BYTES."""
        self._rest = b""
        """What followed, as it came: the end of a secret may still arrive."""

    def feed(self, chunk: bytes) -> list[str]:
        # Masked as one piece before it is cut into lines, which costs a quarter of masking each line.
        content = self._rest + chunk
        end = content.rfind(b"\n") + 1
        lines = self._whole_lines(content[:end]) if end else []
        self._rest = _drop_overwritten(content[end:])
        if b"\r" in content[end:].rstrip(b"\r"):
            self._head = b""
        if len(self._head) + len(self._rest) > MAX_LINE_BYTES + self._masker.longest:
            lines.extend(self._cut())
        return lines

    def flush(self) -> list[str]:
        """The rest at the end of the output, whose last line may lack its newline."""
        rest, self._head, self._rest = self._head + self._masker.mask(self._rest), b"", b""
        return _decode(_last_state(rest)) if rest else []

    def _whole_lines(self, content: bytes) -> list[str]:
        whole, self._head = self._head + self._masker.mask(content), b""
        return [piece for line in whole.split(b"\n")[:-1] for piece in _decode(_last_state(line))]

    def _cut(self) -> list[str]:
        certain, self._rest = self._masker.mask_start(self._rest)
        self._head += certain
        lines = []
        while len(self._head) > MAX_LINE_BYTES:
            end = _boundary(self._head, MAX_LINE_BYTES)
            lines.extend(_decode(self._head[:end]))
            self._head = self._head[end:]
        return lines


def strip_ansi(text: str) -> str:
    return _ANSI.sub("", text)


def _last_state(line: bytes) -> bytes:
    states = line.rstrip(b"\r").split(b"\r")
    return next((state for state in reversed(states) if state), b"")


def _drop_overwritten(rest: bytes) -> bytes:
    """Text before a \\r that is overwritten need not be kept. A \\r at the end may belong to a \\r\\n."""
    body = rest.rstrip(b"\r")
    return rest[body.rfind(b"\r") + 1 :] if body else rest[-1:]


def _boundary(body: bytes, limit: int) -> int:
    """Where to cut: at `limit` or a few bytes before it, never inside a character."""
    for end in range(limit, limit - 4, -1):
        if body[end] & 0xC0 != 0x80:
            return end
    return limit


def _decode(line: bytes) -> list[str]:
    return split_text(line.decode(errors="replace"))
