"""What a record of the topic says, and how much may be put aside. Without a broker."""

import dataclasses
import json
import uuid

import pytest

from builder.protocol.lines import LAST_MOMENT, MAX_ATTEMPT, MAX_LINE_BYTES, MAX_RECORD_BYTES, Line
from gateway.config import Kafka, Secret
from gateway.engines.kafka.dead_letters import DeadLetters, unwrap
from gateway.engines.kafka.kafka_cluster import KafkaCluster
from gateway.engines.kafka.kafka_reading import PIECES, read_signed, read_unsigned
from gateway.engines.kafka.kafka_watch import CaughtUp, Membership

ID = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
KEY = b"k" * 32


@dataclasses.dataclass
class Record:
    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = 7
    key: bytes | None = b"log"
    headers: tuple = ()
    topic: str = "container-logs"


def original(log="hello", **changes):
    return json.dumps({"PROJECT_ID": "blog", "DEPLOYMENT_ID": str(ID), "log": log, **changes}).encode()


def test_a_line_of_the_original_is_named_by_its_place():
    batch = read_unsigned(Record(original(), partition=4, offset=10))
    assert (batch.project, batch.deployment_id, batch.attempt) == ("blog", ID, 5)
    assert (batch.first_seq, batch.lines) == (10 * PIECES + 1, (Line(7, "stdout", "build", "hello"),))


def test_a_long_line_is_split_and_never_reaches_the_next_records_numbers():
    text = "ä" * (MAX_RECORD_BYTES // 2 - 100)
    value = json.dumps({"PROJECT_ID": "b", "DEPLOYMENT_ID": str(ID), "log": text}, ensure_ascii=False).encode()
    batch = read_unsigned(Record(value, offset=3))
    assert "".join(line.text for line in batch.lines) == text
    assert max(len(line.text.encode()) for line in batch.lines) <= MAX_LINE_BYTES
    assert batch.last_seq < read_unsigned(Record(original(), offset=4)).first_seq


@pytest.mark.parametrize(
    "record",
    [
        Record(None),
        Record(b""),
        Record(b"\xff"),
        Record(b"[]"),
        Record(b"null"),
        Record(b"[" * 100_000),
        Record(json.dumps({"PROJECT_ID": "blog", "log": "x"}).encode()),
        Record(original(DEPLOYMENT_ID="blog")),
        Record(original(log="\ud800", PROJECT_ID="\ud800")),
        Record(original(log="x" * MAX_RECORD_BYTES)),
        Record(original(), partition=MAX_ATTEMPT),
        Record(original(), offset=2**53),
        Record(original(), timestamp=LAST_MOMENT + 1),
    ],
)
def test_what_is_no_log_line_says_why(record):
    with pytest.raises(ValueError, match=r"[.\w]$|\."):
        read_unsigned(record)


def test_a_signature_is_no_excuse_for_garbage():
    with pytest.raises(ValueError, match="cannot be read"):
        read_signed(Record(b"garbage", headers=(("signature", b"x"),)), KEY)


class Sent:
    def __init__(self):
        self.records = []

    async def send(self, topic, value, *, key, headers):
        self.records.append(Record(value, key=key, headers=tuple(headers), topic=topic))


@pytest.fixture
def cluster():
    return KafkaCluster(Kafka(brokers=["127.0.0.1:1"], dead_letters_per_hour=2, password=Secret("hidden")))


async def test_there_is_room_again_after_an_hour(cluster):
    now = 0.0
    letters = DeadLetters(cluster, Sent(), lambda: now)
    await letters.put(Record(b"1"), "bad")
    now = 1800.0
    await letters.put(Record(b"2"), "bad")
    assert not letters.has_room()
    now = 3600.0
    assert letters.has_room()


async def test_a_letter_unwraps_to_what_it_was(cluster):
    sent = Sent()
    record = Record(b"value", partition=2, offset=9, headers=(("trace", b"1"),))
    await DeadLetters(cluster, sent).put(record, "bad")
    letter = unwrap(sent.records[0])
    assert (letter.reason, letter.topic, letter.partition, letter.offset) == ("bad", "container-logs", "2", "9")
    assert (letter.key, letter.value, letter.headers, letter.timestamp) == (b"log", b"value", (("trace", b"1"),), 7)
    assert not letter.is_cut


async def test_a_letter_that_fails_again_has_the_new_reason_alone(cluster):
    sent = Sent()
    letters = DeadLetters(cluster, sent)
    await letters.put(Record(b"value"), "first")
    await letters.put(sent.records[0], "second")
    assert [value for name, value in sent.records[1].headers if name == "dead-letter-reason"] == [b"second"]


async def test_a_record_of_nothing_goes_aside_as_nothing(cluster):
    sent = Sent()
    await DeadLetters(cluster, sent).put(Record(None, key=None), "bad")
    assert sent.records[0].value == b""


async def test_headers_without_end_are_left_out(cluster):
    sent = Sent()
    await DeadLetters(cluster, sent).put(Record(b"x", headers=(("long", b"h" * 100_000),)), "bad")
    assert "long" not in dict(sent.records[0].headers)
    assert b"too long" in dict(sent.records[0].headers)["dead-letter-reason"]


def test_a_group_is_behind_until_it_has_stored_what_was_there_a_while_ago():
    now = 100.0
    caught_up = CaughtUp(lambda: now)
    assert caught_up.is_behind()
    caught_up.see({"p0": 10}, {"p0": 4})
    assert caught_up.is_behind()
    now = 110.0
    caught_up.see({"p0": 20}, {"p0": 10})
    assert not caught_up.is_behind()  # what was there at 100 is stored
    now = 135.0
    assert caught_up.is_behind()
    caught_up.see({"p0": 20}, {"p0": 20})
    assert not caught_up.is_behind()


def test_time_without_a_broker_is_not_time_outside_the_group():
    now = 0.0
    membership = Membership(lambda: now)
    now = 50.0
    assert membership.seconds_without() == 50.0
    membership.restart_clock()
    assert membership.seconds_without() == 0.0
    membership.on_partitions_assigned(set())
    now = 99.0
    assert membership.seconds_without() == 0.0


def test_no_sentence_holds_the_password(cluster):
    assert "hidden" not in cluster.away().sentence
    assert "hidden" not in repr(cluster.target)
