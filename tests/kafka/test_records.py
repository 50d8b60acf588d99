"""What a gateway takes out of the topic, and what it puts aside."""

import asyncio
import contextlib
import dataclasses
import json

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from builder.protocol.lines import LAST_MOMENT, MAX_LINE_BYTES, encode_batch
from gateway.engines.kafka.kafka_cluster import Broken
from gateway.engines.kafka.kafka_reading import PIECES
from gateway.errors import Unavailable
from tests.engines.gateway import eventually
from tests.kafka.parts import (
    fetched,
    make_batch,
    new_id,
    put_aside,
    read_topic,
    reason_of,
    signature,
    signed,
    take,
    write,
)


async def test_missing_topics_are_made_as_configured(transport, settings):
    async with transport.subscribe():
        assert await transport._cluster.partitions(settings.topic) == [0, 1, 2]
        assert await transport._cluster.partitions(settings.dead_letter_topic) == [0, 1, 2]


async def test_a_signed_batch_arrives(transport, settings):
    batch = make_batch("one", "two", deployment_id=new_id())
    async with transport.subscribe() as records:
        await write(settings, signed(batch))
        assert await take(records, 1) == [batch]


async def test_a_failed_insert_comes_again_without_leaving_the_group(transport, settings):
    batch = make_batch(deployment_id=new_id())
    await transport._cluster.make_topics()
    await write(settings, signed(batch))
    with contextlib.suppress(Unavailable):
        async with transport.subscribe() as records:
            member = transport._member
            assert await fetched(records) == [batch]
            raise Unavailable("The log store is away.")
    async with transport.subscribe() as records:
        assert transport._member is member
        assert await take(records, 1) == [batch]


def garbage(batch):
    return b"\xff\x00 garbage"


def someone_elses(batch):
    """Signed by a builder, with the token of another deployment."""
    value = encode_batch(batch)
    return value, [signature(value, new_id())]


def other_attempts(batch):
    value = encode_batch(batch)
    return value, [signature(value, batch.deployment_id, attempt=2)]


def changed(batch):
    return encode_batch(batch) + b" ", signed(batch)[1]


def without_signature(batch):
    return encode_batch(batch)


def unreadable_but_signed(batch):
    return b"{}", [signature(b"{}", batch.deployment_id)]


def from_the_future(batch):
    return signed(make_batch(deployment_id=batch.deployment_id, at=LAST_MOMENT + 1))


def endless(batch):
    return signed(make_batch(deployment_id=batch.deployment_id, first_seq=2**40))


def empty(batch):
    return None, [("signature", b"")]


@pytest.mark.parametrize(
    ("write_bad", "reason"),
    [
        (garbage, "It has no signature"),
        (without_signature, "It has no signature"),
        (someone_elses, "Its signature is not that of attempt 1 of deployment"),
        (other_attempts, "Its signature is not that of attempt 1 of deployment"),
        (changed, "Its signature is not that of"),
        (unreadable_but_signed, "It cannot be read"),
        (from_the_future, "after the year 9999"),
        (endless, "The log of a build has at most"),
        (empty, "It cannot be read"),
    ],
)
async def test_what_can_never_be_stored_goes_aside_and_the_rest_arrives(transport, settings, write_bad, reason):
    first, last = make_batch("first", deployment_id=new_id()), make_batch("last", deployment_id=new_id())
    bad = write_bad(make_batch("bad", deployment_id=new_id()))
    async with transport.subscribe() as records:
        await write(settings, signed(first), bad, signed(last))
        assert await take(records, 2) == [first, last]
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert reason in reason_of(letter)
    assert letter.value == (bad[0] if isinstance(bad, tuple) else bad)


async def test_a_dead_letter_keeps_what_it_was_and_where(transport, settings):
    async with transport.subscribe() as records:
        await write(
            settings,
            (b"garbage", [("trace", b"\x01"), ("trace", b"\x02")]),
            key=b"a key",
            timestamp_ms=1234,
            partition=2,
        )
        await put_aside(records, transport)
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert (letter.key, letter.value) == (b"a key", b"garbage")
    assert letter.headers[:2] == (("trace", b"\x01"), ("trace", b"\x02"))
    assert dict(letter.headers) | {"dead-letter-reason": b"", "trace": b""} == {
        "trace": b"",
        "dead-letter-reason": b"",
        "dead-letter-topic": settings.topic.encode(),
        "dead-letter-partition": b"2",
        "dead-letter-offset": b"0",
        "dead-letter-timestamp": b"1234",
    }


async def test_dead_letters_alone_are_committed_too(transport, settings):
    async with transport.subscribe() as records:
        await write(settings, b"garbage")
        await put_aside(records, transport)
    async with transport.subscribe() as records:
        assert await records.fetch(10, 0.5) == []
    assert len(await read_topic(settings, settings.dead_letter_topic)) == 1


async def test_what_is_handed_out_again_goes_aside_once(open_transport, settings):
    """However often: an outage of the store must not use up the dead letters of the hour."""
    transport = open_transport(dataclasses.replace(settings, dead_letters_per_hour=2))
    batch, poison = make_batch("good", deployment_id=new_id()), make_batch("poison", deployment_id=new_id())
    await transport._cluster.make_topics()
    await write(settings, b"garbage", signed(batch), signed(poison))
    for _ in range(3):
        with contextlib.suppress(Unavailable):
            async with transport.subscribe() as records:
                _, refused = await fetched(records)
                await records.put_aside(refused, "The store can't take it.")
                raise Unavailable("The log store is away.")
    async with transport.subscribe() as records:
        assert await take(records, 2) == [batch, poison]
    letters = await read_topic(settings, settings.dead_letter_topic)
    assert sorted(letter.value for letter in letters) == sorted([b"garbage", encode_batch(poison)])
    assert records._aside == set()


async def test_what_the_store_refuses_goes_aside_as_it_came(transport, settings):
    batch = make_batch("poison", deployment_id=new_id())
    async with transport.subscribe() as records:
        await write(settings, signed(batch))
        (found,) = await fetched(records)
        await records.put_aside(found, "The store can't take it.")
        await records.commit()
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert reason_of(letter) == "The store can't take it."
    assert letter.value == encode_batch(batch)


async def test_too_many_dead_letters_stop_the_consumer_and_lose_nothing(open_transport, settings):
    transport = open_transport(dataclasses.replace(settings, dead_letters_per_hour=2))
    before, after = make_batch("before", deployment_id=new_id()), make_batch("after", deployment_id=new_id())
    await transport._cluster.make_topics()
    await write(settings, signed(before), b"bad 1", b"bad 2", b"bad 3", signed(after))
    async with transport.subscribe() as records:
        assert await take(records, 1) == [before]
        with pytest.raises(Unavailable, match=r"kafka\.dead_letters_per_hour"):
            await take(records, 1)
    letters = await read_topic(settings, settings.dead_letter_topic)
    assert sorted(letter.value for letter in letters) == [b"bad 1", b"bad 2"]
    transport._dead_letters._written.clear()  # the hour passes
    async with transport.subscribe() as records:
        assert await take(records, 1) == [after]
    assert len(await read_topic(settings, settings.dead_letter_topic)) == 3


async def test_a_log_beyond_its_limit_goes_aside(open_transport, settings, monkeypatch):
    monkeypatch.setattr("gateway.engines.log_meter.LOG_SLACK_BYTES", 0)
    transport = open_transport(settings, log_bytes=1000)
    deployment_id = new_id()
    batches = [make_batch("x" * 700, deployment_id=deployment_id, first_seq=seq) for seq in (1, 2, 3)]
    async with transport.subscribe() as records:
        await write(settings, *map(signed, batches))
        assert await take(records, 2) == batches[:2]
        await put_aside(records, transport)
    letters = await read_topic(settings, settings.dead_letter_topic)
    assert "at most 2000 bytes" in reason_of(letters[0])


def original(deployment_id, log):
    """As the original's build server writes it."""
    return json.dumps({"PROJECT_ID": "blog", "DEPLOYMENT_ID": str(deployment_id), "log": log}).encode()


async def test_a_log_without_end_does_not_use_up_the_dead_letters_of_all(open_transport, settings, monkeypatch):
    monkeypatch.setattr("gateway.engines.log_meter.LOG_SLACK_BYTES", 0)
    transport = open_transport(dataclasses.replace(settings, dead_letters_per_hour=2), log_bytes=1000)
    endless, other = new_id(), make_batch("other", deployment_id=new_id())
    batches = [make_batch("x" * 700, deployment_id=endless, first_seq=seq) for seq in range(1, 8)]
    async with transport.subscribe() as records:
        await write(settings, *map(signed, [*batches, other]))
        assert await take(records, 3) == [*batches[:2], other]
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert "at most 2000 bytes" in reason_of(letter)


async def test_lines_of_the_original_are_accepted_where_that_is_allowed(open_transport, settings):
    transport = open_transport(dataclasses.replace(settings, accept_unsigned=True))
    deployment_id = new_id()
    await transport._cluster.make_topics()
    await write(
        settings,
        original(deployment_id, "Build Started...\n"),
        original(deployment_id, "Done"),
        partition=1,
        key=b"log",
        timestamp_ms=5,
    )
    async with transport.subscribe() as records:
        first, second = await take(records, 2)
    assert [(line.at, line.text) for line in first.lines] == [(5, "Build Started...")]
    assert (first.deployment_id, first.attempt, first.first_seq) == (deployment_id, 2, 1)
    assert (second.attempt, second.first_seq, second.lines[0].text) == (2, PIECES + 1, "Done")


async def test_such_a_line_is_the_same_whenever_it_comes(open_transport, settings):
    transport = open_transport(dataclasses.replace(settings, accept_unsigned=True))
    await transport._cluster.make_topics()
    await write(settings, original(new_id(), "long " * MAX_LINE_BYTES))
    with contextlib.suppress(Unavailable):
        async with transport.subscribe() as records:
            (first,) = await fetched(records)
            raise Unavailable("The store is away.")
    await transport.close()
    async with open_transport(transport._cluster.settings).subscribe() as records:
        (second,) = await fetched(records)
    assert first == second
    assert "".join(line.text for line in first.lines) == "long " * MAX_LINE_BYTES
    assert len(first.lines) == 5


async def test_nobody_adds_unsigned_lines_to_a_deployment_of_ours(open_transport, settings):
    ours, other = new_id(), new_id()
    transport = open_transport(dataclasses.replace(settings, accept_unsigned=True), known={ours})
    async with transport.subscribe() as records:
        await write(settings, original(ours, "forged"), original(other, "fine"))
        (batch,) = await take(records, 1)
    assert batch.deployment_id == other
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert "belongs to this installation" in reason_of(letter)


async def test_a_record_that_is_too_long_to_go_aside_is_cut(transport, settings):
    value = b"x" * (1024 * 1024 - 200)
    async with transport.subscribe() as records:
        await write(settings, value)
        await put_aside(records, transport)
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert value.startswith(letter.value)
    assert dict(letter.headers)["dead-letter-size"] == str(len(value)).encode()


async def test_a_transport_is_behind_until_all_is_stored(transport, settings):
    assert transport.is_behind()
    async with transport.subscribe() as records:
        await write(settings, signed(make_batch(deployment_id=new_id())))

        async def caught_up():
            await records.fetch(10, 0.1)
            await records.commit()
            return not transport.is_behind()

        await eventually(caught_up, "everything is stored")


async def test_nothing_is_left_running(open_transport, settings):
    before = asyncio.all_tasks()
    transport = open_transport(settings)
    async with transport.subscribe() as records:
        await transport.send(make_batch(deployment_id=new_id()))
        await take(records, 1)
    await transport.close()
    assert asyncio.all_tasks() == before


async def make_topics(settings, **configs):
    async with administering(settings) as admin:
        names = (settings.topic, settings.dead_letter_topic)
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=configs) for name in names])


@contextlib.asynccontextmanager
async def administering(settings):
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.brokers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def test_where_topics_take_less_than_usual_a_record_goes_aside_all_the_same(open_transport, settings):
    """The dead letter holds more than the record did, and no more than the topic takes."""
    settings = dataclasses.replace(settings, partitions=1)
    await make_topics(settings, **{"max.message.bytes": "5000"})
    transport, after = open_transport(settings), make_batch("after", deployment_id=new_id())
    async with transport.subscribe() as records:
        await write(settings, (b"x" * 4700, [("trace", b"y" * 100)]), signed(after), key=b"k")
        assert await take(records, 1) == [after]
    (letter,) = await read_topic(settings, settings.dead_letter_topic)
    assert letter.value == b"x" * 256
    assert dict(letter.headers)["dead-letter-size"] == b"4700"


async def test_partitions_that_are_added_are_read(open_transport, settings, monkeypatch):
    monkeypatch.setattr("gateway.engines.kafka.kafka_transport.METADATA_SECONDS", 0.5)
    transport = open_transport(settings)
    first, second = make_batch("first", deployment_id=new_id()), make_batch("second", deployment_id=new_id())
    async with transport.subscribe() as records:
        await write(settings, signed(first))
        assert await take(records, 1) == [first]
        async with administering(settings) as admin:
            await admin.create_partitions({settings.topic: NewPartitions(5)})
        await write(settings, signed(second), partition=4)
        assert await take(records, 1) == [second]


async def test_a_topic_that_was_deleted_is_made_anew_and_read(open_transport, settings, monkeypatch):
    monkeypatch.setattr("gateway.engines.kafka.kafka_transport.METADATA_SECONDS", 0.5)
    transport, stored = open_transport(settings), make_batch("stored", deployment_id=new_id())
    later = make_batch("later", deployment_id=new_id())
    async with transport.subscribe() as records:
        await write(settings, signed(stored))
        assert await take(records, 1) == [stored]
        async with administering(settings) as admin:
            await admin.delete_topics([settings.topic])
        with pytest.raises(Broken, match="was deleted"):
            await eventually(lambda: records.fetch(10, 0.1), "the topic is missed", 30)
    await transport.close()
    async with transport.subscribe() as records:
        await write(settings, signed(later))
        assert await take(records, 1) == [later]
