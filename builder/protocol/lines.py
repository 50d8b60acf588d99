"""Line batches: how log lines are sent. A batch never changes once it is made, so sending it again is harmless.

The record is JSON: `{"PROJECT_ID", "DEPLOYMENT_ID", "attempt", "first_seq", "lines": [...]}`, each line `[milliseconds,
stream, step, text]`.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

from builder.protocol.steps import STEPS, STREAMS, Step, Stream

MAX_BATCH_BYTES = 64 * 1024
MAX_BATCH_SECONDS = 0.25
MAX_LINE_BYTES = 16 * 1024
"""A longer line is split into several, without losing bytes."""
MAX_RECORD_BYTES = 1024 * 1024
MAX_SEQ = 2**53
MAX_ATTEMPT = 100
LAST_MOMENT = 253402300799999
"""The last millisecond of the year 9999, the last one that Python's calendar has."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """`at`: milliseconds since 1970 by the builder's clock."""

    at: int
    stream: Stream
    step: Step
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class LineBatch:
    """Lines `first_seq`, `first_seq + 1`, ... of one attempt of one deployment. Never empty."""

    project: str
    deployment_id: uuid.UUID
    attempt: int
    first_seq: int
    lines: tuple[Line, ...]

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.lines) - 1


def encode_batch(batch: LineBatch) -> bytes:
    return json.dumps(
        {
            "PROJECT_ID": batch.project,
            "DEPLOYMENT_ID": str(batch.deployment_id),
            "attempt": batch.attempt,
            "first_seq": batch.first_seq,
            "lines": [[line.at, line.stream, line.step, line.text] for line in batch.lines],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()


def decode_batch(record: bytes) -> LineBatch:
    """The batch in these bytes. Raises ValueError with a sentence for anything else."""
    if len(record) > MAX_RECORD_BYTES:
        raise ValueError(f"A line batch has at most {MAX_RECORD_BYTES} bytes.")
    try:
        body = json.loads(record)
        lines = tuple(_decode_line(*line) for line in body["lines"])
        batch = LineBatch(
            project=_text(body["PROJECT_ID"]),
            deployment_id=uuid.UUID(_text(body["DEPLOYMENT_ID"])),
            attempt=_number(body["attempt"], 1, MAX_ATTEMPT),
            first_seq=_number(body["first_seq"], 1, MAX_SEQ),
            lines=lines,
        )
    except (KeyError, TypeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"This is not a line batch: {type(error).__name__} {error}.") from error
    if not lines:
        raise ValueError("A line batch holds at least one line.")
    return batch


def split_text(text: str, limit_bytes: int = MAX_LINE_BYTES) -> list[str]:
    """Pieces of at most `limit_bytes` bytes each, cut between characters. Together they are the whole text."""
    body = text.encode(errors="replace")
    pieces = []
    while len(body) > limit_bytes:
        end = limit_bytes
        while body[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(body[:end].decode())
        body = body[end:]
    return [*pieces, body.decode()]


def _decode_line(at: object, stream: Any, step: Any, text: object) -> Line:
    if stream not in STREAMS or step not in STEPS:
        raise ValueError(f"Unknown stream or step: {stream!r}, {step!r}.")
    line = Line(_number(at, 0, 2**53), STREAMS[stream], STEPS[step], _text(text))
    if len(line.text) > MAX_LINE_BYTES or len(line.text.encode()) > MAX_LINE_BYTES:
        raise ValueError(f"A line has at most {MAX_LINE_BYTES} bytes.")
    return line


def _number(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"Expected a whole number from {least} to {most}, not {value!r:.40}.")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("Expected text.")
    value.encode()
    return value
