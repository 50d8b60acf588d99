"""Looks whether a consumer really gets what is in the topic: aiokafka stays silent when its broker is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from gateway.transports.kafka_cluster import Broken, KafkaCluster

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
STUCK_SECONDS = 30.0
"""A consumer that gets nothing for so long, though something waits, is started anew."""
BEHIND_SECONDS = 30.0

Offsets = Mapping[TopicPartition, int]


class CaughtUp:
    """Up to which moment the whole group, all gateways together, has stored what is in the topic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._ends: Offsets = {}
        self._seen_at = float("-inf")

    def is_behind(self) -> bool:
        """Whether lines may wait in the topic that were sent some time ago."""
        return self._clock() - self._until > BEHIND_SECONDS

    def see(self, ends: Offsets, stored: Offsets) -> None:
        """The ends of all partitions now, and how far each is stored."""
        if all(stored.get(place, 0) >= end for place, end in self._ends.items()):
            self._until = self._seen_at
            self._ends, self._seen_at = ends, self._clock()
        if all(stored.get(place, 0) >= end for place, end in ends.items()):
            self._until = self._clock()


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Whether the consumer has its share of the partitions; that may be none, where gateways outnumber them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_at: float | None = clock()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._left_at = self._clock()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._left_at = None

    def begin_anew(self) -> None:
        """Who can't reach the group can't be part of it: that time does not count."""
        if self._left_at is not None:
            self._left_at = self._clock()

    def seconds_without(self) -> float:
        return 0.0 if self._left_at is None else self._clock() - self._left_at


class Watch:
    """One consumer's. To be asked when nothing that was fetched waits to be stored."""

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
        """Something was fetched or stored."""
        self._moved_at = self._clock()

    async def look(self) -> None:
        """At most once a second. Raises Unavailable when the cluster does not answer, or the consumer is stuck."""
        if self._clock() - self._looked_at < LOOK_SECONDS:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                ends, stored = await self._offsets()
        except TimeoutError as error:
            self.moved()
            self._membership.begin_anew()
            raise self._cluster.away() from error
        except IllegalStateError:
            return  # the partitions move right now
        except KafkaError as error:
            raise self._cluster.explained(error) from error
        self._looked_at = self._clock()
        self._caught_up.see(ends, stored)
        self._refuse_to_be_stuck(ends, stored)

    async def _offsets(self) -> tuple[Offsets, Offsets]:
        consumer, topic = self._consumer, self._cluster.settings.topic
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            await consumer.topics()  # raises where the brokers are away
            raise Broken(f"The topic {topic} was deleted. It is being created again.")
        ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
        own = consumer.assignment()
        stored = {}
        for place in partitions:
            reached = await (consumer.position(place) if place in own else consumer.committed(place)) or 0
            stored[place] = max(reached, begins[place])  # nobody waits for what the topic has forgotten
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
