"""Insert, then commit."""

import asyncio
import contextlib
import uuid

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway import consumer
from gateway.background import Health, kept_running
from gateway.consumer import LogConsumer
from gateway.engines.http_transport import HttpLogTransport
from gateway.errors import Invalid, Unavailable
from tests.unit.control.fakes import until

ID = uuid.uuid4()
OTHER = uuid.uuid4()


def make_batch(first_seq=1, *texts, deployment_id=ID):
    lines = tuple(Line(1, "stdout", "build", text) for text in texts or ("hello",))
    return LineBatch("crimson-elephant", deployment_id, 1, first_seq, lines)


@pytest.fixture
def transport():
    return HttpLogTransport(commit_seconds=5)


@pytest.fixture
def health():
    return Health()


@contextlib.asynccontextmanager
async def consuming(transport, logs, health):
    work = LogConsumer(transport, logs)
    async with kept_running("log consumer", work.run, health, first_delay_seconds=0.01, last_delay_seconds=0.01):
        yield


async def test_lines_are_stored_before_their_sender_hears_of_it(transport, logs, health):
    async with consuming(transport, logs, health):
        await transport.send(make_batch(1, "one", "two"))
        assert logs.lines[ID, 1] == {1: "one", 2: "two"}


async def test_an_outage_is_retried_for_ever_and_shows_in_the_health(transport, logs, health):
    logs.append_error = Unavailable("The log store is away.")
    async with consuming(transport, logs, health):
        sender = asyncio.ensure_future(transport.send(make_batch(1, "one")))
        await until(lambda: logs.appends >= 3)
        assert "away" in health.troubles["log consumer"]
        logs.append_error = None
        await sender
        assert logs.lines[ID, 1] == {1: "one"}
    assert health.troubles == {}


async def test_health_recovers_without_any_lines(transport, logs, health):
    recovered = asyncio.Event()
    health.trouble("log consumer", "It failed.")
    stopping = asyncio.Event()
    running = asyncio.ensure_future(LogConsumer(transport, logs).run(stopping=stopping, progress=recovered.set))
    await asyncio.wait_for(recovered.wait(), 5)
    stopping.set()
    await running


async def test_a_stop_mid_batch_still_commits(transport, logs, stopping):
    inserting, go_on = asyncio.Event(), asyncio.Event()
    append = logs.append

    async def slow_append(batches):
        inserting.set()
        await go_on.wait()
        await append(batches)

    logs.append = slow_append
    running = asyncio.ensure_future(LogConsumer(transport, logs).run(stopping=stopping, progress=lambda: None))
    sender = asyncio.ensure_future(transport.send(make_batch(1, "one")))
    await inserting.wait()
    stopping.set()
    go_on.set()
    await asyncio.gather(running, sender)
    assert logs.lines[ID, 1] == {1: "one"}


@pytest.mark.parametrize("poison", [Invalid("Not like that."), RuntimeError("a bug of ours")])
async def test_a_batch_that_is_refused_for_ever_goes_aside_and_the_rest_are_stored(transport, logs, health, poison):
    logs.poison = poison
    async with consuming(transport, logs, health):
        results = await asyncio.gather(
            transport.send(make_batch(1, "good")),
            transport.send(make_batch(2, "poison")),
            transport.send(make_batch(1, "good too", deployment_id=OTHER)),
            return_exceptions=True,
        )
        await transport.send(make_batch(3, "after"))
    assert [type(result) for result in results] == [type(None), Invalid, type(None)]
    assert logs.lines == {(ID, 1): {1: "good", 3: "after"}, (OTHER, 1): {1: "good too"}}


async def test_an_unforeseen_error_is_tried_again_before_a_batch_goes_aside(transport, logs, health):
    logs.poison = RuntimeError("a bug that passes")
    async with consuming(transport, logs, health):
        sender = asyncio.ensure_future(transport.send(make_batch(1, "poison")))
        await until(lambda: "log consumer" in health.troubles)
        logs.poison = None
        await sender
    assert logs.lines[ID, 1] == {1: "poison"}


async def test_a_store_that_hangs_is_an_outage(transport, logs, health, monkeypatch):
    monkeypatch.setattr(consumer, "APPEND_SECONDS", 0.01)
    answering = logs.append

    async def hang(batches):
        logs.append = answering
        await asyncio.Event().wait()

    logs.append = hang
    async with consuming(transport, logs, health):
        await transport.send(make_batch(1, "one"))
    assert logs.lines[ID, 1] == {1: "one"}


async def test_a_repeated_batch_doubles_nothing(transport, logs, health):
    async with consuming(transport, logs, health):
        await transport.send(make_batch(1, "one"))
        await transport.send(make_batch(1, "one"))
    assert logs.lines[ID, 1] == {1: "one"}


class SlowLogs:
    """Takes so long for each batch."""

    def __init__(self):
        self.stored = []

    async def append(self, batches):
        await asyncio.sleep(0.02 * len(batches))
        self.stored += batches


async def test_a_store_that_is_slow_gets_less_at_once_until_it_takes_it(transport, health, monkeypatch):
    """Else the same lines would come again for ever, and none of them be committed."""
    monkeypatch.setattr(consumer, "APPEND_SECONDS", 0.2)
    logs = SlowLogs()
    sending = [asyncio.ensure_future(transport.send(make_batch(seq))) for seq in range(1, 41)]
    await until(lambda: len(transport._waiting) == 40)
    async with consuming(transport, logs, health):
        await asyncio.gather(*sending)
    assert {batch.first_seq for batch in logs.stored} == set(range(1, 41))
