"""Checks that a consumer really gets what is in the topic: aiokafka stays silent when its broker is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from gateway.engines.kafka.kafka_cluster import Broken, KafkaCluster

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
STUCK_SECONDS = 30.0
"""A consumer that gets nothing for this long, although records wait, is replaced."""
BEHIND_SECONDS = 30.0

Offsets = Mapping[TopicPartition, int]


class CaughtUp:
    """The time up to which all gateways of the group have stored the topic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._ends: Offsets = {}
        self._seen_at = float("-inf")

    def is_behind(self) -> bool:
        """Whether records from some time ago may still wait in the topic."""
        return self._clock() - self._until > BEHIND_SECONDS

    def see(self, ends: Offsets, stored: Offsets) -> None:
        """Takes the ends of all partitions, and how far each of them is stored."""
        if all(stored.get(place, 0) >= end for place, end in self._ends.items()):
            self._until = self._seen_at
            self._ends, self._seen_at = ends, self._clock()
        if all(stored.get(place, 0) >= end for place, end in ends.items()):
            self._until = self._clock()


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Whether the consumer has its share of the partitions. With more gateways than partitions that may be none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_at: float | None = clock()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._left_at = self._clock()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._left_at = None

    def restart_clock(self) -> None:
        """A consumer that can't reach the group can't be part of it, so that time does not count."""
        if self._left_at is not None:
            self._left_at = self._clock()

    def seconds_without(self) -> float:
        return 0.0 if self._left_at is None else self._clock() - self._left_at


class Watch:
    """Watches one consumer. Call it only when no fetched record waits to be stored."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        cluster: KafkaCluster,
        membership: Membership,
        caught_up: CaughtUp,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._cluster = cluster
        self._membership = membership
        self._caught_up = caught_up
        self._clock = clock
        self._looked_at = float("-inf")
        self._moved_at = clock()

    def moved(self) -> None:
        """Note that something was fetched or stored."""
        self._moved_at = self._clock()

    async def look(self) -> None:
        """Checks at most once a second. Raises Unavailable if the cluster is away, Broken if the consumer is stuck."""
        if self._clock() - self._looked_at < LOOK_SECONDS:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                ends, stored = await self._offsets()
        except TimeoutError as error:
            self.moved()
            self._membership.restart_clock()
            raise self._cluster.away() from error
        except IllegalStateError:
            return  # partitions are being reassigned
        except KafkaError as error:
            raise self._cluster.explained(error) from error
        self._looked_at = self._clock()
        self._caught_up.see(ends, stored)
        self._refuse_to_be_stuck(ends, stored)

    async def _offsets(self) -> tuple[Offsets, Offsets]:
        consumer, topic = self._consumer, self._cluster.settings.topic
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            await consumer.topics()  # raises if the brokers are away
            raise Broken(f"The topic {topic} was deleted. It is being created again.")
        ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
        own = consumer.assignment()
        stored = {}
        for place in partitions:
            reached = await (consumer.position(place) if place in own else consumer.committed(place)) or 0
            stored[place] = max(reached, begins[place])  # records that the topic has deleted need not be stored
        return ends, stored

    def _refuse_to_be_stuck(self, ends: Offsets, stored: Offsets) -> None:
        waits = any(stored[place] < ends[place] for place in self._consumer.assignment() if place in ends)
        if not waits:
            self.moved()
        if self._clock() - self._moved_at > STUCK_SECONDS or self._membership.seconds_without() > STUCK_SECONDS:
            raise Broken(
                f"Nothing came from the topic {self._cluster.settings.topic} for {STUCK_SECONDS:.0f} seconds, though"
                " lines are waiting there. The consumer is being restarted."
            )
