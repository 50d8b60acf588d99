"""Bounds the log of an attempt, however its lines come in."""

from __future__ import annotations

import collections
import uuid

from builder.protocol.lines import LineBatch
from gateway.errors import TooLarge

REMEMBERED_LOGS = 1000
LOG_SLACK_BYTES = 4 * 1024 * 1024
SPARE_LINES = 100_000


class LogMeter:
    """Bounds the log of an attempt, whatever its builder believes. A batch that is sent again is not counted again."""

    def __init__(self, log_bytes: int) -> None:
        # The builder counts text, we count records: their frame may double it.
        self._most_bytes = 2 * log_bytes + LOG_SLACK_BYTES
        self.most_lines = log_bytes + SPARE_LINES
        self._known: collections.OrderedDict[tuple[uuid.UUID, int], tuple[int, int]] = collections.OrderedDict()

    def check(self, batch: LineBatch, size: int) -> None:
        """Raises TooLarge for a batch beyond the limit."""
        last_seq, total = self._known.get((batch.deployment_id, batch.attempt), (0, 0))
        beyond = batch.first_seq > last_seq and total + size > self._most_bytes
        if beyond or batch.last_seq > self.most_lines:
            raise TooLarge(f"The log of a build has at most {self._most_bytes} bytes and {self.most_lines} lines.")

    def count(self, batch: LineBatch, size: int) -> None:
        """The batch was taken, to be stored."""
        key = (batch.deployment_id, batch.attempt)
        last_seq, total = self._known.pop(key, (0, 0))
        if batch.first_seq > last_seq:
            last_seq, total = batch.last_seq, total + size
        self._known[key] = (last_seq, total)
        while len(self._known) > REMEMBERED_LOGS:
            self._known.popitem(last=False)
