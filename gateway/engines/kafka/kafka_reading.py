"""Decodes the records of the topic: signed line batches, and the records of other producers. No I/O."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Protocol

from builder.protocol.lines import (
    LAST_MOMENT,
    MAX_ATTEMPT,
    MAX_RECORD_BYTES,
    MAX_SEQ,
    Line,
    LineBatch,
    decode_batch,
    split_text,
)
from builder.protocol.steps import Step, Stream
from builder.protocol.tokens import SIGNATURE_HEADER, is_signature, make_token

PIECES = 128
"""More pieces than a record of MAX_RECORD_BYTES can be split into."""


class Record(Protocol):
    """The part of aiokafka's record that is needed here."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def is_signed(record: Record) -> bool:
    return _signature(record) is not None


def read_signed(record: Record, install_key: bytes) -> LineBatch:
    """Raises ValueError, with a reason for a person, for every record without the signature of a builder."""
    value = record.value or b""
    try:
        batch = decode_batch(value)
    except ValueError as error:
        raise ValueError(f"It cannot be read. {str(error)[:300]}") from error
    token = make_token(install_key, batch.deployment_id, batch.attempt)
    if not is_signature(_signature(record) or b"", token, value):
        raise ValueError(f"Its signature is not that of attempt {batch.attempt} of deployment {batch.deployment_id}.")
    if max(line.at for line in batch.lines) > LAST_MOMENT:
        raise ValueError("The time of a line is after the year 9999.")
    return batch


def read_unsigned(record: Record) -> LineBatch:
    """`{"PROJECT_ID", "DEPLOYMENT_ID", "log"}`, as the original writes it. Raises ValueError as above.

    Such a record has no line numbers, so they are derived from its place: the same record always gives the same lines.
    The attempt is its partition + 1, its first line has the number offset x PIECES + 1, and every line has the record's
    time. A log longer than MAX_LINE_BYTES is split; otherwise the lines of a record stay one text.
    """
    value = record.value or b""
    if len(value) > MAX_RECORD_BYTES:
        raise ValueError(f"A record has at most {MAX_RECORD_BYTES} bytes.")
    try:
        body = json.loads(value)
        project, deployment_id, text = (str(body[name]) for name in ("PROJECT_ID", "DEPLOYMENT_ID", "log"))
        pieces = split_text(text.removesuffix("\n"))
        project.encode()
        identity = uuid.UUID(deployment_id)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"It is neither a signed line batch nor a log line. {type(error).__name__} {error}") from error
    first_seq = record.offset * PIECES + 1
    if record.partition >= MAX_ATTEMPT or first_seq + PIECES > MAX_SEQ or len(pieces) > PIECES:
        raise ValueError(f"A log line without a signature is numbered in the first {MAX_ATTEMPT} partitions only.")
    if record.timestamp > LAST_MOMENT:
        raise ValueError("Its time is after the year 9999.")
    at = max(0, record.timestamp)
    lines = tuple(Line(at, Stream.STDOUT, Step.BUILD, piece) for piece in pieces)
    return LineBatch(project, identity, record.partition + 1, first_seq, lines)


def _signature(record: Record) -> bytes | None:
    return next((value or b"" for name, value in record.headers if name == SIGNATURE_HEADER), None)
