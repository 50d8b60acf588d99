"""Polls a consumer. A record that can't be decoded is returned as an `Unreadable` in its place."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, IllegalStateError, KafkaError, UnsupportedCodecError

SLACK_SECONDS = 3.0
"""A poll may exceed its time limit while partitions move between gateways."""
ONE_SECONDS = 5.0
"""For a record that is known to exist: it has to be fetched again."""
_OF_A_RECORD = (CorruptRecordException, UnsupportedCodecError)
"""Kafka's errors that concern one record."""


@dataclasses.dataclass(slots=True)
class Unreadable:
    """Stands for the record at this offset or shortly after it. The record itself stays in the topic."""

    topic: str
    partition: int
    offset: int
    reason: str
    timestamp: int = dataclasses.field(default_factory=lambda: int(time.time() * 1000))
    """When it was found, in milliseconds since 1970."""
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


Fetched: TypeAlias = ConsumerRecord | Unreadable


async def poll(
    consumer: AIOKafkaConsumer, limit: int, timeout_seconds: float, *, only: TopicPartition | None = None
) -> list[Fetched]:
    """The next records, of one partition or all, in order within each. Empty if none came in time.

    For a record that it can't decode, aiokafka raises at every poll and loses the records that it read before it. So
    all partitions are set back, and those with waiting records are read one record at a time. Raises KafkaError for
    errors that do not concern one record.
    """
    places = [only] if only else sorted(consumer.assignment())
    try:
        async with asyncio.timeout(timeout_seconds + SLACK_SECONDS):
            begins = {place: await consumer.position(place) for place in places}
            return await _many(consumer, begins, limit, timeout_seconds)
    except _Undecodable:
        return await _one_by_one(consumer, begins, limit)
    except (TimeoutError, IllegalStateError):  # partitions are being reassigned
        return []


class _Undecodable(Exception):
    """A waiting record can't be decoded. The text says why."""


async def _many(
    consumer: AIOKafkaConsumer, places: Iterable[TopicPartition], limit: int, timeout_seconds: float
) -> list[ConsumerRecord]:
    try:
        found = await consumer.getmany(*places, timeout_ms=int(timeout_seconds * 1000), max_records=limit)
    except Exception as error:  # decoders may raise any exception
        if isinstance(error, (KafkaError, TimeoutError)) and not isinstance(error, _OF_A_RECORD):
            raise
        raise _Undecodable(f"{type(error).__name__}: {error}") from error
    return [record for records in found.values() for record in records]


async def _one_by_one(consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int], limit: int) -> list[Fetched]:
    found: list[Fetched] = []
    for place in consumer.assignment() & begins.keys():
        consumer.seek(place, begins[place])
    for place, begin in begins.items():
        end = (consumer.highwater(place) or 0) if place in consumer.assignment() else 0
        while begin < end and len(found) < limit and (one := await _one(consumer, place)):
            found.append(one)
            begin = one.offset + 1
    return found


async def _one(consumer: AIOKafkaConsumer, place: TopicPartition) -> Fetched | None:
    try:
        found = await _many(consumer, [place], 1, ONE_SECONDS)
    except _Undecodable as error:
        offset = await consumer.position(place)
        consumer.seek(place, offset + 1)
        return Unreadable(place.topic, place.partition, offset, f"It cannot be decoded. {error}")
    return found[0] if found else None
