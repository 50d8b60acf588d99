"""Warnings that a visitor can cause: each kind is logged at most once in a while, so that visitors can't fill the
disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

QUIET_SECONDS = 10.0


class Complaints:
    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._next_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def warn(self, kind: str, detail: object, error: BaseException | None = None) -> None:
        """Log it with the traceback of `error`, or only count it if this kind was logged a moment ago."""
        now = self._clock()
        if now < self._next_at.get(kind, now):
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        self._next_at[kind] = now + QUIET_SECONDS
        self._log.warning("%s: %s (%d more since the last)", kind, detail, self._unsaid.pop(kind, 0), exc_info=error)
