"""`buildspace dead-letters`: shows records that could not be stored, and replays them once the cause is fixed."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import time
from collections.abc import AsyncIterator, Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from builder.protocol.kafka import NotSent, RecordProducer, TooLargeToSend
from gateway import config
from gateway.engines.kafka.dead_letters import DeadLetter, unwrap
from gateway.engines.kafka.kafka_cluster import KafkaCluster
from gateway.engines.kafka.kafka_polling import Fetched, poll
from gateway.errors import ConfigError, Invalid

SHOWN_LENGTH = 200
CALL_SECONDS = 15.0
POLL_SECONDS = 1.0
AT_ONCE = 100
REPLAY_GROUP = "-replay"

Say = Callable[[str], None]


class DeadLetterDesk:
    """Reads the dead-letter topic. Only `replay` commits offsets, in a consumer group of its own."""

    def __init__(self, settings: config.Kafka, say: Say) -> None:
        """Raises ConfigError without Kafka."""
        if not settings.brokers:
            raise ConfigError(
                "There are no dead letters without Kafka: kafka.brokers (KAFKA_BROKERS) is not set, and builders"
                " are told at once about lines that cannot be stored."
            )
        self._cluster = KafkaCluster(settings)
        self._say = say

    async def show(self, limit: int) -> None:
        """Print the newest ones, in order of time. Nothing is consumed. Raises Unavailable."""
        async with self._reading(None) as (consumer, ends):
            begins = await consumer.beginning_offsets(list(ends)) if ends else {}
            for place, end in ends.items():
                consumer.seek(place, max(begins[place], end - limit))
            records = [record async for record in _letters(consumer, ends)]
        records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
        for record in records[-limit:]:
            self._say(_described(unwrap(record)))
        shown = min(limit, len(records))
        self._say(f"{shown} dead letters shown." if shown else "There are no dead letters.")

    async def replay(self) -> None:
        """Send each record back to its topic unchanged, once. Raises Unavailable. Progress is committed.

        If it is killed between the send and the commit, the next call sends the last one again.
        """
        settings = self._cluster.settings
        producer = RecordProducer(self._cluster.target)
        replayed = left = 0
        try:
            async with self._reading(settings.group + REPLAY_GROUP) as (consumer, ends):
                async for record in _letters(consumer, ends):
                    letter = unwrap(record)
                    if letter.is_cut:
                        left += 1
                    else:
                        await self._put_back(producer, letter)
                        replayed += 1
                    async with asyncio.timeout(CALL_SECONDS):
                        await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
        finally:
            await producer.close()
        if left:
            self._say(f"{left} records could not be kept whole, and are left where they are.")
        self._say(f"Put {replayed} records back into {settings.topic}." if replayed else "There is nothing to replay.")

    async def _put_back(self, producer: RecordProducer, letter: DeadLetter) -> None:
        try:
            await producer.send(
                self._cluster.settings.topic,
                letter.value,
                key=letter.key,
                headers=letter.headers,
                # Brokers refuse records with a future timestamp.
                timestamp_ms=min(letter.timestamp, int(time.time() * 1000)),
            )
        except NotSent as error:
            raise self._cluster.explained(error) from error
        except TooLargeToSend as error:
            raise Invalid(f"Kafka refuses the record of {letter.topic} {letter.partition}@{letter.offset}.") from error

    @contextlib.asynccontextmanager
    async def _reading(self, group: str | None) -> AsyncIterator[tuple[AIOKafkaConsumer, dict[TopicPartition, int]]]:
        """A consumer at the position of its group, or at the beginning, and the current ends of the partitions."""
        topic = self._cluster.settings.dead_letter_topic
        async with self._cluster.reading(topic, group) as (consumer, places):
            async with asyncio.timeout(CALL_SECONDS):
                ends = await consumer.end_offsets(places) if places else {}
            yield consumer, dict(ends)


async def _letters(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> AsyncIterator[Fetched]:
    """The records between the consumer's position and these ends."""
    for place, end in ends.items():
        while records := await _following(consumer, place, end):
            for record in records:
                yield record


async def _following(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> list[Fetched]:
    """The next records before this end; empty at the end. Raises TimeoutError if Kafka returns none for too long."""
    async with asyncio.timeout(CALL_SECONDS):
        while await consumer.position(place) < end:
            found = await poll(consumer, AT_ONCE, POLL_SECONDS, only=place)
            if records := [record for record in found if record.offset < end]:
                return records
    return []


def _described(letter: DeadLetter) -> str:
    when = datetime.datetime.fromtimestamp(letter.timestamp / 1000, datetime.UTC).isoformat(timespec="milliseconds")
    place = f"{letter.topic} {letter.partition}@{letter.offset}"
    text = (letter.value or b"").decode(errors="replace")
    return (
        f"{when} {_printable(place)}{_deployment(letter.value)}: {_printable(letter.reason)}\n"
        f"    {_printable(text[:SHOWN_LENGTH])}"
    )


def _deployment(value: bytes | None) -> str:
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        return f" deployment {_printable(str(json.loads(value or b'')['DEPLOYMENT_ID']))[:40]}"
    return ""


def _printable(text: str) -> str:
    """Makes terminal control codes harmless: a record may hold any bytes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
