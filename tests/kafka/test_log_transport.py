"""What every log transport promises (gateway/roles.py), over all of them."""

import asyncio
import contextlib

import pytest

from gateway.engines.http_transport import HttpLogTransport
from gateway.errors import Invalid, Unavailable
from tests.engines.gateway import eventually
from tests.kafka.parts import fetched, make_batch, new_id, take


@pytest.fixture(params=["http", "kafka"])
def transport(request):
    return HttpLogTransport() if request.param == "http" else request.getfixturevalue("kafka_transport")


@pytest.fixture
def kafka_transport(open_transport, settings):
    return open_transport(settings)


@pytest.fixture
async def send(transport):
    """Sends all of these at once, and does not wait for the answers. The tasks, to be asked for them."""
    tasks = []

    async def begin(*batches):
        tasks.extend(asyncio.create_task(transport.send(batch)) for batch in batches)
        return tasks[-len(batches) :]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def batches_of(deployment_id, count):
    return [
        make_batch(f"line {number}", deployment_id=deployment_id, first_seq=number) for number in range(1, count + 1)
    ]


def in_order(batches):
    return sorted(batches, key=lambda batch: batch.first_seq)


async def fetch_all(records, count):
    """Fetched, in one subscription, and not committed."""
    found = []

    async def look():
        found.extend(await records.fetch(100, 0.1))
        return len(found) >= count

    await eventually(look, f"{count} batches come", 30)
    return found


async def test_what_is_sent_arrives_and_its_sender_is_answered(transport, send):
    batch = make_batch("one", "", "ü\x00\x1b[0m", deployment_id=new_id())
    async with transport.subscribe() as records:
        (sent,) = await send(batch)
        assert await take(records, 1) == [batch]
        await sent


async def test_what_is_sent_at_once_arrives_once(transport, send):
    batches = batches_of(new_id(), 20)
    async with transport.subscribe() as records:
        await send(*batches)
        assert in_order(await take(records, 20)) == batches


async def test_a_fetch_hands_out_no_more_than_was_asked_for(transport, send):
    async with transport.subscribe() as records:
        await send(*batches_of(new_id(), 5))
        assert len(await eventually(lambda: records.fetch(2, 0.1), "some come", 30)) <= 2


async def test_a_quiet_fetch_is_empty(transport):
    async with transport.subscribe() as records:
        assert await records.fetch(10, 0.01) == []


async def test_what_was_not_committed_is_handed_out_again(transport, send):
    batches = batches_of(new_id(), 3)
    with contextlib.suppress(Unavailable):
        async with transport.subscribe() as records:
            await send(*batches)
            assert in_order(await fetch_all(records, 3)) == batches
            raise Unavailable("The log store is away.")
    async with transport.subscribe() as records:
        assert in_order(await take(records, 3)) == batches


async def test_what_was_committed_is_never_handed_out_again(transport, send):
    async with transport.subscribe() as records:
        await send(make_batch(deployment_id=new_id()))
        await take(records, 1)
    later = make_batch("later", deployment_id=new_id())
    async with transport.subscribe() as records:
        await send(later)
        assert await fetched(records) == [later]


async def test_what_is_put_aside_holds_up_nothing_and_does_not_come_again(transport, send):
    bad, good, later = (make_batch(text, deployment_id=new_id()) for text in ("bad", "good", "later"))
    async with transport.subscribe() as records:
        sent = await send(bad, good)
        found = await fetch_all(records, 2)
        await records.put_aside(next(batch for batch in found if batch == bad), "The store can't take it.")
        await records.commit()
        with contextlib.suppress(Invalid):  # where its sender still waits, it is told
            await sent[0]
        await sent[1]
    async with transport.subscribe() as records:
        await send(later)
        assert await fetched(records) == [later]


async def test_when_all_is_stored_it_is_not_behind(transport, send):
    async with transport.subscribe() as records:
        await send(*batches_of(new_id(), 3))
        await take(records, 3)

        async def look():
            await records.fetch(10, 0.1)
            return not transport.is_behind()

        await eventually(look, "it has caught up", 30)
