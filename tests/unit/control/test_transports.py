"""The log transport without an engine."""

import asyncio
import uuid

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.engines.http_transport import HttpLogTransport
from gateway.errors import Invalid, Unavailable

ID = uuid.uuid4()


def make_batch(first_seq=1, text="hello"):
    return LineBatch("crimson-elephant", ID, 1, first_seq, (Line(1, "stdout", "build", text),))


async def posted(transport, *batches):
    """The senders, each with its batch in the queue."""
    senders = [asyncio.ensure_future(transport.send(batch)) for batch in batches]
    await asyncio.sleep(0)
    return senders


async def test_a_sender_waits_for_the_commit():
    transport = HttpLogTransport()
    (sender,) = await posted(transport, make_batch())
    async with transport.subscribe() as records:
        assert await records.fetch(10, 1) == [make_batch()]
        await asyncio.sleep(0)
        assert not sender.done()
        await records.commit()
    await sender


async def test_a_fetch_gathers_what_all_builders_sent_in_order():
    transport = HttpLogTransport()
    batches = [make_batch(seq) for seq in range(1, 6)]
    senders = await posted(transport, *batches)
    async with transport.subscribe() as records:
        assert await records.fetch(3, 1) == batches[:3]
        assert await records.fetch(3, 1) == batches[3:]
        await records.commit()
    await asyncio.gather(*senders)


async def test_a_fetch_waits_for_a_batch():
    transport = HttpLogTransport()
    async with transport.subscribe() as records:
        fetching = asyncio.ensure_future(records.fetch(10, 5))
        await asyncio.sleep(0)
        senders = await posted(transport, make_batch())
        assert await fetching == [make_batch()]
        await records.commit()
    await asyncio.gather(*senders)


async def test_a_commit_that_takes_too_long_is_unavailable():
    transport = HttpLogTransport(commit_seconds=0.01)
    with pytest.raises(Unavailable):
        await transport.send(make_batch())


async def test_who_gave_up_leaves_nothing_in_the_queue():
    transport = HttpLogTransport(commit_seconds=0.01)
    with pytest.raises(Unavailable):
        await transport.send(make_batch())
    async with transport.subscribe() as records:
        assert await records.fetch(1, 0.01) == []


async def test_a_sender_that_disconnects_leaves_nothing_in_the_queue():
    transport = HttpLogTransport()
    (sender,) = await posted(transport, make_batch())
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    async with transport.subscribe() as records:
        assert await records.fetch(1, 0.01) == []


async def test_a_sender_that_disconnects_after_the_fetch_disturbs_nobody():
    transport = HttpLogTransport()
    first, second = await posted(transport, make_batch(1), make_batch(2))
    async with transport.subscribe() as records:
        await records.fetch(10, 1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await records.commit()
    await second


async def test_a_full_queue_says_so_at_once():
    transport = HttpLogTransport(capacity_bytes=250)
    senders = await posted(transport, make_batch(1), make_batch(2))
    with pytest.raises(Unavailable, match="later"):
        await transport.send(make_batch(3))
    async with transport.subscribe() as records:
        await records.fetch(10, 1)
        await records.commit()
    await asyncio.gather(*senders)


async def test_a_queue_that_was_emptied_has_room_again():
    transport = HttpLogTransport(capacity_bytes=110)
    for seq in (1, 2, 3):
        (sender,) = await posted(transport, make_batch(seq))
        async with transport.subscribe() as records:
            await records.fetch(10, 1)
            await records.commit()
        await sender


async def test_a_batch_larger_than_the_whole_queue_is_taken_alone():
    transport = HttpLogTransport(capacity_bytes=10)
    (sender,) = await posted(transport, make_batch(1))
    async with transport.subscribe() as records:
        assert len(await records.fetch(10, 1)) == 1
        await records.commit()
    await sender


async def test_what_is_put_aside_tells_its_sender_why():
    transport = HttpLogTransport()
    good, bad = await posted(transport, make_batch(1), make_batch(2))
    async with transport.subscribe() as records:
        batches = await records.fetch(10, 1)
        await records.put_aside(batches[1], "The store can't take it.")
        await records.commit()
    await good
    with pytest.raises(Invalid, match="can't take it"):
        await bad


async def test_a_process_has_one_consumer():
    transport = HttpLogTransport()
    async with transport.subscribe():
        with pytest.raises(RuntimeError):
            async with transport.subscribe():
                pass
