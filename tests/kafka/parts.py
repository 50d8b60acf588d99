"""What the tests of Kafka share: batches, records as anybody may write them, and reading until something came."""

import contextlib
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from builder.protocol.lines import Line, LineBatch, encode_batch
from builder.protocol.tokens import SIGNATURE_HEADER, make_token, sign
from tests.engines.gateway import eventually

KEY = b"k" * 32


def make_batch(*texts, deployment_id, first_seq=1, attempt=1, at=1):
    lines = tuple(Line(at, "stdout", "build", text) for text in texts or ("hello",))
    return LineBatch("crimson-elephant", deployment_id, attempt, first_seq, lines)


def signature(value, deployment_id, attempt=1):
    return (SIGNATURE_HEADER, sign(make_token(KEY, deployment_id, attempt), value))


def signed(batch):
    """Value and headers of the record that its builder would write."""
    value = encode_batch(batch)
    return value, [signature(value, batch.deployment_id, batch.attempt)]


@contextlib.asynccontextmanager
async def producing(settings, **more):
    """A producer that writes whatever it is told to."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.brokers, **more)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def write(settings, *records, **more):
    """Values, or values with headers, into the topic, in this order into one partition."""
    async with producing(settings) as producer:
        for record in records:
            value, headers = record if isinstance(record, tuple) else (record, [])
            await producer.send_and_wait(
                settings.topic, value, headers=headers, **{"partition": 0, "key": b"key", **more}
            )


async def take(records, count):
    """Fetch, and commit, until so many batches came."""
    taken = []

    async def look():
        taken.extend(await records.fetch(100, 0.1))
        await records.commit()
        return len(taken) >= count

    await eventually(look, f"{count} batches come", 30)
    return taken


async def fetched(records):
    """What comes next, not committed."""
    return await eventually(lambda: records.fetch(100, 0.1), "a batch comes", 30)


async def put_aside(records, transport, count=1):
    """Fetch until so many dead letters were written."""

    async def look():
        await records.fetch(100, 0.1)
        return len(transport._dead_letters._written) >= count

    await eventually(look, f"{count} records are put aside", 30)


async def read_topic(settings, topic):
    """All records of a topic, oldest first, without any group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        left = sum((await consumer.end_offsets(places)).values())
        found = []

        async def look():
            batches = await consumer.getmany(timeout_ms=100)
            found.extend(record for batch in batches.values() for record in batch)
            return len(found) >= left

        await eventually(look, f"{left} records are read", 30)
        return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))
    finally:
        await consumer.stop()


def reason_of(record):
    return dict(record.headers)["dead-letter-reason"].decode()


def new_id():
    return uuid.uuid4()
