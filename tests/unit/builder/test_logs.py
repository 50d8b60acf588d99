"""The line sender: in order, without gaps, whatever the weather."""

import asyncio
import uuid

import pytest

from builder import logs
from builder.errors import BuildFailed
from builder.logs import LineSender, Spool
from builder.protocol.lines import MAX_BATCH_BYTES, decode_batch
from builder.protocol.steps import Step, Stream


class Transport:
    """Keeps what arrives; while it is away, senders wait."""

    def __init__(self):
        self.back = asyncio.Event()
        self.arrived = asyncio.Event()
        self.records = []

    async def send(self, record):
        await self.back.wait()
        self.records.append(record)
        self.arrived.set()

    @property
    def batches(self):
        return [decode_batch(record) for record in self.records]

    @property
    def texts(self):
        return [line.text for batch in self.batches for line in batch.lines]


def make_sender(transport, tmp_path, limit_bytes=10**9):
    return LineSender(
        transport.send,
        project="crimson-elephant",
        deployment_id=uuid.uuid4(),
        attempt=1,
        spool_directory=tmp_path,
        limit_bytes=limit_bytes,
    )


async def test_lines_are_numbered_from_one_without_gaps(tmp_path):
    transport = Transport()
    transport.back.set()
    sender = make_sender(transport, tmp_path)
    running = asyncio.create_task(sender.run())
    for number in range(5000):
        await sender.write(Stream.STDOUT, f"line {number} " + "x" * 100)
    sender.close()
    await running
    assert transport.texts == [f"line {number} " + "x" * 100 for number in range(5000)]
    assert transport.batches[0].first_seq == 1
    assert all(a.last_seq + 1 == b.first_seq for a, b in zip(transport.batches, transport.batches[1:], strict=False))
    assert sender.last_seq == 5000 == transport.batches[-1].last_seq
    assert max(map(len, transport.records)) < 2 * MAX_BATCH_BYTES


async def test_a_quiet_line_leaves_within_a_moment(tmp_path):
    transport = Transport()
    transport.back.set()
    sender = make_sender(transport, tmp_path)
    running = asyncio.create_task(sender.run())
    sender.step = Step.BUILD
    await sender.write(Stream.STDERR, "alone")
    await asyncio.wait_for(transport.arrived.wait(), 2)
    line = transport.batches[0].lines[0]
    assert (line.stream, line.step, line.text) == ("stderr", "build", "alone")
    sender.close()
    await running


async def test_an_outage_loses_nothing_and_goes_to_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MEMORY_BYTES", 0)
    transport = Transport()
    sender = make_sender(transport, tmp_path)
    sender._spool = Spool(tmp_path, memory_bytes=100_000)
    running = asyncio.create_task(sender.run())
    for number in range(8000):
        await sender.write(Stream.STDOUT, f"{number}:" + "y" * 200)
    assert (tmp_path / "lines.spool").stat().st_size > 1_000_000
    transport.back.set()
    sender.close()
    await running
    assert [text.partition(":")[0] for text in transport.texts] == [str(number) for number in range(8000)]


async def test_records_leave_the_spool_in_the_order_in_which_they_came(tmp_path):
    spool = Spool(tmp_path, memory_bytes=10)
    await spool.put(b"a" * 8)
    await spool.put(b"b" * 8)
    await spool.put(b"c")
    assert [await spool.get(), await spool.get()] == [b"a" * 8, b"b" * 8]
    await spool.put(b"d" * 8)
    assert [await spool.get(), await spool.get(), await spool.get()] == [b"c", b"d" * 8, None]


async def test_a_full_log_fails_the_build_with_its_limit(tmp_path):
    transport = Transport()
    transport.back.set()
    sender = make_sender(transport, tmp_path, limit_bytes=1000)
    running = asyncio.create_task(sender.run())
    await sender.write(Stream.STDOUT, "x" * 900)
    with pytest.raises(BuildFailed, match="limit of 1000 bytes"):
        await sender.write(Stream.STDOUT, "x" * 100)
    await sender.write(Stream.STDOUT, "nobody sees this")
    await sender.say("the platform still speaks")
    sender.close()
    await running
    assert transport.texts[1:] == [
        "The log reached its limit of 1000 bytes, so the build was stopped.",
        "the platform still speaks",
    ]


async def test_empty_lines_are_not_free(tmp_path):
    sender = make_sender(Transport(), tmp_path, limit_bytes=100)
    await sender.write(Stream.STDOUT, "")
    await sender.write(Stream.STDOUT, "")
    with pytest.raises(BuildFailed):
        await sender.write(Stream.STDOUT, "")
