"""Dead letters: records that can never be stored, kept with the reason in a topic of their own."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from builder.protocol.kafka import MOST_BYTES, NotSent, RecordProducer, TooLargeToSend
from builder.protocol.lines import LAST_MOMENT
from gateway.engines.kafka.kafka_cluster import KafkaCluster
from gateway.engines.kafka.kafka_polling import Unreadable
from gateway.errors import Unavailable

PREFIX = "dead-letter-"
HOUR_SECONDS = 3600.0
KEPT_BYTES = MOST_BYTES - 256 * 1024
"""A longer value is cut, so that a record at the broker's limit still fits with its headers."""
LEAST_BYTES = 256
"""If that is still too long: enough to recognise the record."""
KEPT_HEADER_BYTES = 64 * 1024
REASON_LENGTH = 500


class Letter(Protocol):
    """The part of aiokafka's record that is needed here."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class DeadLetters:
    """Writes dead letters, at most so many in an hour: a flood has a cause that a person must see.

    Each process counts its own. A record that is handed out again after it was put aside is put aside again.
    """

    def __init__(
        self, cluster: KafkaCluster, producer: RecordProducer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._clock = clock
        self._written: collections.deque[float] = collections.deque()

    def has_room(self) -> bool:
        while self._written and self._written[0] <= self._clock() - HOUR_SECONDS:
            self._written.popleft()
        return len(self._written) < self._cluster.settings.dead_letters_per_hour

    def flood(self, reason: str) -> Unavailable:
        """The error for a record that exceeds the limit."""
        settings = self._cluster.settings
        return Unavailable(
            f"Log lines wait: more than {settings.dead_letters_per_hour} records of {settings.topic} in an hour could"
            f" not be stored (kafka.dead_letters_per_hour). The next one: {reason} Nothing is lost."
            f" `buildspace dead-letters show` shows those in {settings.dead_letter_topic}."
        )

    async def put(self, record: Letter, reason: str) -> None:
        """Returns once Kafka has acknowledged it. Raises Unavailable."""
        for kept_bytes in (KEPT_BYTES, LEAST_BYTES):
            try:
                await self._send(record, reason, kept_bytes)
                break
            except TooLargeToSend as error:  # the topic's own limit is lower than the broker's default
                if kept_bytes == LEAST_BYTES:
                    raise self._cluster.explained(error) from error
        self._written.append(self._clock())

    async def _send(self, record: Letter, reason: str, kept_bytes: int) -> None:
        value, headers = _wrapped(record, reason, kept_bytes)
        key = record.key if len(record.key or b"") <= kept_bytes else None
        if key is None and value is None:
            value = b""  # aiokafka sends no record without both key and value
        try:
            await self._producer.send(self._cluster.settings.dead_letter_topic, value, key=key, headers=headers)
        except NotSent as error:
            raise self._cluster.explained(error) from error


@dataclasses.dataclass(frozen=True, slots=True)
class DeadLetter:
    """A decoded dead letter: the record, its place, and the reason. `is_cut`: it is not complete."""

    reason: str
    topic: str
    partition: str
    offset: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    is_cut: bool


def unwrap(record: Letter) -> DeadLetter:
    """Decodes what `DeadLetters.put` writes."""
    if isinstance(record, Unreadable):  # another producer wrote it
        return DeadLetter(record.reason, "?", "?", "?", record.timestamp, None, None, (), is_cut=True)
    said = {name.removeprefix(PREFIX): _text(value) for name, value in record.headers if name.startswith(PREFIX)}
    return DeadLetter(
        reason=said.get("reason", "No reason was recorded."),
        topic=said.get("topic", "?"),
        partition=said.get("partition", "?"),
        offset=said.get("offset", "?"),
        timestamp=_moment(said.get("timestamp", ""), record.timestamp),
        key=record.key,
        value=record.value,
        headers=_own_headers(record),
        is_cut="size" in said,
    )


def _wrapped(record: Letter, reason: str, kept_bytes: int) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    kept = _own_headers(record)
    if sum(len(name) + len(value or b"") for name, value in kept) > min(KEPT_HEADER_BYTES, kept_bytes):
        kept, reason = (), f"{reason} (Its headers were too long to keep.)"
    value = record.value
    facts = {
        "reason": reason[:REASON_LENGTH],
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
    }
    if value is not None and len(value) > kept_bytes:
        facts["size"] = str(len(value))
        value = value[:kept_bytes]
    if isinstance(record, Unreadable):
        facts["size"] = "unknown"
    return value, [*kept, *((PREFIX + name, text.encode(errors="replace")) for name, text in facts.items())]


def _own_headers(record: Letter) -> tuple[tuple[str, bytes], ...]:
    """The record's own headers. One that is put aside a second time loses the first reason."""
    return tuple((name, value) for name, value in record.headers if not name.startswith(PREFIX))


def _moment(said: str, written: int) -> int:
    """Milliseconds since 1970, forced into the range of the calendar."""
    is_number = said.isascii() and said.isdigit() and len(said) <= len(str(LAST_MOMENT))
    return min(max(0, int(said) if is_number else written), LAST_MOMENT)


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")
