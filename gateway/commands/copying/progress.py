"""Reports the progress of a long copy now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_SECONDS = 5.0


class Progress:
    """Counts what was copied and what was there before. Calls `say` with a line every few seconds."""

    def __init__(self, what: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._say = say
        self._clock = clock
        self._said_at = clock()
        self.copied = 0
        self.skipped = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        self.copied += 1
        self.bytes += size
        self._tell()

    def skip(self) -> None:
        self.skipped += 1
        self._tell()

    def __str__(self) -> str:
        there = f", {self.skipped} were already there" if self.skipped else ""
        return f"{self.copied} {self._what} copied ({_amount(self.bytes)}){there}"

    def _tell(self) -> None:
        if self._clock() - self._said_at >= EVERY_SECONDS:
            self._said_at = self._clock()
            self._say(f"{self} so far")


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size} bytes"
