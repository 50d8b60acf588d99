"""Limits the log of an attempt, whichever way its lines arrive."""

from __future__ import annotations

import bisect
import collections
import dataclasses
import uuid

from builder.protocol.lines import LineBatch
from gateway.errors import TooLarge

REMEMBERED_LOGS = 1000
LOG_SLACK_BYTES = 4 * 1024 * 1024
SPARE_LINES = 100_000
MOST_RUNS = 256
"""A builder sends its lines in order, so a log with more gaps than this is refused."""


@dataclasses.dataclass(slots=True)
class _Taken:
    """The runs of lines that were counted, disjoint and in order: the first seq of each, and the seq after its last."""

    begins: list[int] = dataclasses.field(default_factory=list)
    ends: list[int] = dataclasses.field(default_factory=list)
    bytes: int = 0
    is_refused: bool = False
    """Whether one of its batches was refused."""

    def has(self, batch: LineBatch) -> bool:
        place = bisect.bisect_right(self.begins, batch.first_seq) - 1
        return place >= 0 and batch.last_seq < self.ends[place]

    def add(self, batch: LineBatch) -> None:
        begin, end = batch.first_seq, batch.last_seq + 1
        first, last = bisect.bisect_left(self.ends, begin), bisect.bisect_right(self.begins, end)
        if first < last:
            begin, end = min(begin, self.begins[first]), max(end, self.ends[last - 1])
        self.begins[first:last], self.ends[first:last] = [begin], [end]


class LogMeter:
    """Limits the log of an attempt without trusting its builder. A batch that is sent again is not counted again."""

    def __init__(self, log_bytes: int) -> None:
        # The builder counts text and this counts records, which may be twice as large.
        self._most_bytes = 2 * log_bytes + LOG_SLACK_BYTES
        self.most_lines = log_bytes + SPARE_LINES
        self._known: collections.OrderedDict[tuple[uuid.UUID, int], _Taken] = collections.OrderedDict()

    def check(self, batch: LineBatch, size: int) -> None:
        """Raises TooLarge for a batch beyond the limit."""
        taken = self._known.get((batch.deployment_id, batch.attempt), _Taken())
        beyond = not taken.has(batch) and taken.bytes + size > self._most_bytes
        if beyond or batch.last_seq > self.most_lines:
            raise TooLarge(f"The log of a build has at most {self._most_bytes} bytes and {self.most_lines} lines.")
        if len(taken.begins) >= MOST_RUNS and not taken.has(batch):
            raise TooLarge(f"The log of a build has at most {MOST_RUNS} gaps.")

    def count(self, batch: LineBatch, size: int) -> None:
        """Count a batch that was accepted."""
        taken = self._log_of(batch)
        if not taken.has(batch):
            taken.add(batch)
            taken.bytes += size

    def refuse(self, batch: LineBatch) -> bool:
        """Note a batch that was refused. True for the first refused batch of its log."""
        taken = self._log_of(batch)
        is_first, taken.is_refused = not taken.is_refused, True
        return is_first

    def _log_of(self, batch: LineBatch) -> _Taken:
        key = (batch.deployment_id, batch.attempt)
        taken = self._known[key] = self._known.pop(key, _Taken())
        while len(self._known) > REMEMBERED_LOGS:
            self._known.popitem(last=False)
        return taken
