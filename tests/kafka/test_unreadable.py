"""Records that can't even be decoded stop nobody: the rest arrives, and a person finds their place."""

import asyncio
import struct
import time

import pytest
from aiokafka.record.util import calc_crc32c

from gateway.engines.kafka.dead_letter_desk import DeadLetterDesk
from gateway.engines.kafka.kafka_records import UNSIGNED
from tests.kafka.parts import make_batch, new_id, producing, put_aside, read_topic, reason_of, signed, take, write

BODY, CRC, CODEC = 61, 17, slice(21, 23)
"""Where these stand in a record batch of version 2 (Kafka's protocol, "Record Batch")."""


def nameless(data):
    """Its header has a name that is no UTF-8."""
    return data.replace(b"zz", b"\xff\xfe")


def raw_snappy(data):
    """Compressed as a block of its own, as librdkafka writes it."""
    body = data[BODY:]
    return (
        data[: CODEC.start]
        + struct.pack(">h", 2)
        + data[CODEC.stop : BODY]
        + bytes([len(body), (len(body) - 1) << 2])
        + body
    )


async def write_changed(settings, change, topic=None):
    """A record into partition 0, its bytes changed on their way; the checksum is right."""

    def build():
        data = bytearray(change(bytes(real())))
        struct.pack_into(">i", data, 8, len(data) - 12)
        struct.pack_into(">I", data, CRC, calc_crc32c(bytes(data[CODEC.start :])))
        return data

    async with producing(settings) as producer:
        batch = producer.create_batch()
        batch.append(key=b"k", value=b"v", timestamp=int(time.time() * 1000), headers=[("zz", b"1")])
        batch.close()
        real, batch._build = batch._build, build
        batch._set_producer_state = lambda *state: None
        await asyncio.wait_for(await producer.send_batch(batch, topic or settings.topic, partition=0), 10)


async def test_one_between_others_goes_aside_and_they_arrive(transport, settings):
    first, other, last = (make_batch(text, deployment_id=new_id()) for text in ("first", "other", "last"))
    await transport._cluster.make_topics()
    await write(settings, signed(first))
    await write_changed(settings, nameless)
    await write(settings, signed(last))
    await write(settings, signed(other), partition=1)
    async with transport.subscribe() as records:
        taken = await take(records, 3)
    assert sorted(batch.deployment_id for batch in taken) == sorted(b.deployment_id for b in (first, other, last))
    assert taken.index(first) < taken.index(last)
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert reason_of(letter).startswith("It cannot be decoded. UnicodeDecodeError: ")
    facts = dict(letter.headers)
    assert (facts["dead-letter-partition"], facts["dead-letter-offset"]) == (b"0", b"1")


async def test_it_is_settled_once(open_transport, settings):
    transport, next_one = open_transport(settings), open_transport(settings)
    await transport._cluster.make_topics()
    await write_changed(settings, nameless)
    async with transport.subscribe() as records:
        await put_aside(records, transport)
    await transport.close()
    batch = make_batch(deployment_id=new_id())
    async with next_one.subscribe() as records:
        await write(settings, signed(batch))
        assert await take(records, 1) == [batch]
    assert len(await read_topic(settings, settings.dead_letter_topic)) == 1


async def test_replay_leaves_it_and_says_so(transport, settings):
    said = []
    await transport._cluster.make_topics()
    await write_changed(settings, nameless)
    async with transport.subscribe() as records:
        await put_aside(records, transport)
    desk = DeadLetterDesk(settings, said.append)
    await desk.replay()
    await desk.show(1)
    assert said[:2] == [
        "1 records could not be kept whole, and are left where they are.",
        "There is nothing to replay.",
    ]
    assert f"{settings.topic} 0@0: It cannot be decoded." in said[2]


async def test_one_in_the_topic_of_dead_letters_does_not_hide_the_others(transport, settings):
    said = []
    await transport._cluster.make_topics()
    await write_changed(settings, nameless, topic=settings.dead_letter_topic)
    async with transport.subscribe() as records:
        await write(settings, b"bad")
        await put_aside(records, transport)
    await DeadLetterDesk(settings, said.append).show(10)
    assert sum("It has no signature." in line for line in said) == 1
    assert sum("It cannot be decoded." in line for line in said) == 1


async def test_snappy_as_other_clients_write_it_is_read(transport, settings):
    await transport._cluster.make_topics()
    await write_changed(settings, raw_snappy)
    async with transport.subscribe() as records:
        await put_aside(records, transport)
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert (reason_of(letter), letter.value) == (UNSIGNED, b"v")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_of_kafka_is_read(transport, settings, codec):
    batch = make_batch("x" * 5000, deployment_id=new_id())
    value, headers = signed(batch)
    await transport._cluster.make_topics()
    async with producing(settings, compression_type=codec) as producer:
        await producer.send_and_wait(settings.topic, value, headers=headers, partition=0)
    async with transport.subscribe() as records:
        assert await take(records, 1) == [batch]
