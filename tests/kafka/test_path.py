"""A builder's lines over Kafka into the log store: whoever dies on the way, nothing is lost and nothing doubled."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from builder.kafka import KafkaSender
from builder.logs import LineSender
from builder.protocol.steps import Stream
from builder.protocol.tokens import make_token
from gateway.background import Health, kept_running
from gateway.consumer import LogConsumer
from gateway.models.log import LogPosition
from tests.engines.gateway import eventually
from tests.kafka.parts import KEY, make_batch, new_id

COUNT = 3000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def health():
    return Health()


@contextlib.asynccontextmanager
async def consuming(transport, logs, health):
    async with kept_running("log consumer", LogConsumer(transport, logs).run, health):
        yield
    await transport.close()


@contextlib.asynccontextmanager
async def building(transport, deployment_id, tmp_path):
    """A builder's sender at work. On leaving, everything it was given is acknowledged."""
    kafka = KafkaSender(transport.for_builders, make_token(KEY, deployment_id, 1), deployment_id)
    sender = LineSender(
        kafka.send,
        project="blog",
        deployment_id=deployment_id,
        attempt=1,
        spool_directory=tmp_path,
        limit_bytes=10**8,
    )
    running = asyncio.create_task(sender.run())
    try:
        yield sender
        sender.close()
        await asyncio.wait_for(running, 60)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await kafka.close()


async def say(sender, first, last):
    """Numbered lines, in portions that leave as batches of their own."""
    for number in range(first, last):
        await sender.write(Stream.STDOUT, f"line {number} " + "x" * 500)
        if number % 50 == 0:
            await asyncio.sleep(0.001)


async def stored(logs, deployment_id, count):
    """The texts, once that many lines are there."""

    async def look():
        lines = await logs.read(deployment_id, LogPosition(), 2 * COUNT)
        return lines if len(lines) >= count else None

    lines = await eventually(look, f"{count} lines are stored", 60)
    return [line.text.removesuffix("x" * 500).strip() for line in lines]


def numbered(count):
    return [f"line {number}" for number in range(count)]


async def test_what_a_builder_says_is_stored_in_order(transport, logs, health, tmp_path):
    deployment_id = new_id()
    async with consuming(transport, logs, health):
        async with building(transport, deployment_id, tmp_path) as sender:
            await say(sender, 0, COUNT)
        assert await stored(logs, deployment_id, COUNT) == numbered(COUNT)
    assert await logs.missing(deployment_id, 1, COUNT) == []


async def test_a_broker_that_is_killed_loses_and_doubles_nothing(
    kafka, open_transport, make_settings, logs, health, tmp_path
):
    deployment_id, transport = new_id(), open_transport(make_settings(kafka.brokers))
    async with consuming(transport, logs, health):
        async with building(transport, deployment_id, tmp_path) as sender:
            await say(sender, 0, COUNT // 2)
            await stored(logs, deployment_id, 1)
            await asyncio.to_thread(kafka.kill)
            await say(sender, COUNT // 2, COUNT)
            await eventually(lambda: red(health), "the health shows it", 20)
            await asyncio.to_thread(kafka.start)
        assert await stored(logs, deployment_id, COUNT) == numbered(COUNT)
        await eventually(lambda: green(health), "the health recovers", 20)


async def red(health):
    return "Kafka does not answer" in health.troubles.get("log consumer", "")


async def green(health):
    return "log consumer" not in health.troubles


async def test_a_quiet_consumer_notices_a_broker_that_is_away(kafka, open_transport, make_settings, logs, health):
    transport = open_transport(make_settings(kafka.brokers))
    async with consuming(transport, logs, health):
        await eventually(lambda: caught_up(transport), "it consumes", 30)
        await asyncio.to_thread(kafka.stop)
        await eventually(lambda: red(health), "the health shows it", 20)
        await asyncio.to_thread(kafka.start)
        await eventually(lambda: green(health), "the health recovers", 20)


async def caught_up(transport):
    return not transport.is_behind()


class Doomed:
    """A log store whose gateway dies in each insert, before it can commit."""

    def __init__(self, logs):
        self._logs = logs
        self.inserted = asyncio.Event()

    async def append(self, batches):
        await self._logs.append(batches)
        self.inserted.set()
        await asyncio.Event().wait()


async def test_a_gateway_that_dies_between_insert_and_commit_doubles_nothing(
    open_transport, settings, logs, health, tmp_path
):
    deployment_id, first = new_id(), open_transport(settings)
    doomed = Doomed(logs)
    dying = asyncio.create_task(LogConsumer(first, doomed).run(stopping=asyncio.Event(), progress=lambda: None))
    async with building(first, deployment_id, tmp_path) as sender:
        await say(sender, 0, COUNT)
        await asyncio.wait_for(doomed.inserted.wait(), 30)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    async with consuming(open_transport(settings), logs, health):
        assert await stored(logs, deployment_id, COUNT) == numbered(COUNT)


class Counting:
    def __init__(self, logs):
        self._logs = logs
        self.deployments = set()

    async def append(self, batches):
        await self._logs.append(batches)
        self.deployments.update(batch.deployment_id for batch in batches)


async def test_gateways_share_the_work_and_one_takes_over(open_transport, settings, logs):
    left, right = Counting(logs), Counting(logs)
    first, second = open_transport(settings), open_transport(settings)
    ids = [new_id() for _ in range(30)]
    async with consuming(first, left, Health()):
        async with consuming(second, right, Health()):
            await eventually(lambda: shared(first, second), "both have partitions", 30)
            await asyncio.gather(*(first.send(make_batch("one", deployment_id=each)) for each in ids))
            await eventually(lambda: seen(left, right, ids), "all is stored", 30)
            assert left.deployments
            assert right.deployments
            assert not left.deployments & right.deployments
        await asyncio.gather(*(first.send(make_batch("two", deployment_id=each, first_seq=2)) for each in ids))
        assert [await stored(logs, each, 2) for each in ids] == [["one", "two"]] * 30


async def shared(first, second):
    members = [each._member for each in (first, second)]
    return all(member is not None and member.consumer.assignment() for member in members)


async def seen(left, right, ids):
    return left.deployments | right.deployments == set(ids)


async def test_a_consumer_that_gets_nothing_is_made_anew(transport, logs, health, monkeypatch):
    monkeypatch.setattr("gateway.engines.kafka.kafka_watch.STUCK_SECONDS", 2.0)
    deployment_id = new_id()
    async with consuming(transport, logs, health):
        await eventually(lambda: caught_up(transport), "it consumes", 30)
        stuck = transport._member
        stuck.consumer.pause(*stuck.consumer.assignment())
        await transport.send(make_batch("one", deployment_id=deployment_id))
        assert await stored(logs, deployment_id, 1) == ["one"]
        assert transport._member is not stuck


@pytest.fixture
async def other_gateway(transport, settings):
    """A process that has joined the group and stores nothing."""
    await transport._cluster.make_topics()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.kafka.member",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "KAFKA_BROKERS": settings.brokers[0],
            "KAFKA_TOPIC": settings.topic,
            "KAFKA_GROUP": settings.group,
            "KAFKA_DEAD_LETTERS": settings.dead_letter_topic,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"joined\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_what_a_killed_gateway_held_is_soon_anothers(other_gateway, transport, logs, health):
    ids = [new_id() for _ in range(30)]
    async with consuming(transport, logs, health):
        await eventually(lambda: joined(transport), "it is in the group", 30)
        await asyncio.gather(*(transport.send(make_batch("one", deployment_id=each)) for each in ids))
        other_gateway.kill()
        assert [await stored(logs, each, 1) for each in ids] == [["one"]] * 30


async def joined(transport):
    return transport._member is not None
