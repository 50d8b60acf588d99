"""`buildspace dead-letters`: what it shows, and that putting back happens once."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.engines.kafka.dead_letter_desk import DeadLetterDesk
from gateway.engines.kafka.kafka_records import UNSIGNED
from gateway.errors import Unavailable
from tests.kafka.parts import make_batch, new_id, put_aside, read_topic, signature, signed, take, write

ROOT = Path(__file__).parents[2]


@pytest.fixture
def said():
    return []


@pytest.fixture
def desk(settings, said):
    return DeadLetterDesk(settings, said.append)


async def test_nothing_is_there_before_anything_went_wrong(desk, said):
    await desk.show(10)
    await desk.replay()
    assert said == ["There are no dead letters.", "There is nothing to replay."]


async def test_a_letter_is_shown_with_reason_place_deployment_and_beginning(transport, settings, desk, said):
    batch = make_batch("\x1b[2J wiped", deployment_id=new_id())
    async with transport.subscribe() as records:
        await write(settings, (signed(batch)[0], []), timestamp_ms=1_764_000_000_123)
        await put_aside(records, transport)
    await desk.show(10)
    letter, end = said
    place = f"{settings.topic} 0@0 deployment {batch.deployment_id}"
    assert letter.startswith(f"2025-11-24T16:00:00.123+00:00 {place}: {UNSIGNED}\n    " + '{"PROJECT_ID"')
    assert len(letter.split("\n")[1]) <= 4 + 200 * 10
    assert "\x1b" not in letter
    assert end == "1 dead letters shown."


async def test_the_newest_are_shown_and_nothing_is_consumed(transport, settings, desk, said):
    async with transport.subscribe() as records:
        await write(settings, b"bad 1", b"bad 2", b"bad 3")
        await put_aside(records, transport, 3)
    await desk.show(2)
    first = list(said)
    await desk.show(2)
    assert said == first * 2
    assert [letter.split("\n")[1].strip() for letter in first[:2]] == ["bad 2", "bad 3"]


async def test_what_is_put_back_is_as_it_was_and_put_back_once(open_transport, settings, desk, said, monkeypatch):
    batch = make_batch("refused for a while", deployment_id=new_id())
    value, headers = signed(batch)
    transport = open_transport(settings, log_bytes=1)
    monkeypatch.setattr("gateway.engines.log_meter.LOG_SLACK_BYTES", 0)
    narrow = open_transport(settings, log_bytes=1)
    async with narrow.subscribe() as records:
        await write(settings, (value, [("trace", b"1"), *headers]), timestamp_ms=1_764_000_000_123)
        await put_aside(records, narrow)
    await desk.replay()
    await desk.replay()
    assert said == [f"Put 1 records back into {settings.topic}.", "There is nothing to replay."]
    first, again = await read_topic(settings, settings.topic)
    assert again.timestamp == 1_764_000_000_123
    assert (first.key, first.value, first.headers) == (again.key, again.value, again.headers)
    async with transport.subscribe() as records:
        assert await take(records, 1) == [batch]


async def test_a_replay_that_broke_off_repeats_nothing(transport, settings, desk, said, monkeypatch):
    async with transport.subscribe() as records:
        await write(settings, b"bad 1", b"bad 2", b"bad 3")
        await put_aside(records, transport, 3)
    put_back, left = DeadLetterDesk._put_back, [2]

    async def break_off(self, producer, letter):
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable("Kafka does not answer.")
        await put_back(self, producer, letter)

    monkeypatch.setattr(DeadLetterDesk, "_put_back", break_off)
    with pytest.raises(Unavailable):
        await desk.replay()
    left[0] = 10
    await desk.replay()
    assert said == [f"Put 1 records back into {settings.topic}."]
    assert [record.value for record in await read_topic(settings, settings.topic)].count(b"bad 2") == 2


async def test_letters_that_come_later_are_put_back_too(transport, settings, desk, said):
    async with transport.subscribe() as records:
        await write(settings, b"bad 1")
        await put_aside(records, transport)
        await desk.replay()
        await put_aside(records, transport, 2)  # still bad
        await desk.replay()
    assert said == [f"Put 1 records back into {settings.topic}."] * 2


async def test_a_cut_letter_is_left(transport, settings, desk, said):
    async with transport.subscribe() as records:
        await write(settings, (b"x" * 1_000_000, [signature(b"", new_id())]))
        await put_aside(records, transport)
    await desk.replay()
    assert said == [
        "1 records could not be kept whole, and are left where they are.",
        "There is nothing to replay.",
    ]


@pytest.mark.parametrize("moment", [b"9" * 20, b"9" * 5000, b"253402300800000", b"-1", b"soon"])
async def test_a_letter_of_a_moment_that_no_calendar_has_hides_no_other(transport, settings, desk, said, moment):
    """Whoever may write there can write anything."""
    await transport._cluster.make_topics()
    for body, headers in ((b"hostile", [("dead-letter-timestamp", moment)]), (b"honest", [])):
        await write(dataclasses.replace(settings, topic=settings.dead_letter_topic), (body, headers))
    await desk.show(10)
    assert said[-1] == "2 dead letters shown."
    await desk.replay()
    assert sorted(record.value for record in await read_topic(settings, settings.topic)) == [b"honest", b"hostile"]


async def test_a_broker_that_is_away_is_said(make_settings, said):
    with pytest.raises(Unavailable, match="Kafka does not answer"):
        await DeadLetterDesk(make_settings("127.0.0.1:1"), said.append).show(1)


def buildspace(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_shows_and_replays(settings):
    environ = {
        "KAFKA_BROKERS": settings.brokers[0],
        "KAFKA_TOPIC": settings.topic,
        "BUILDSPACE_KAFKA_DEAD_LETTER_TOPIC": settings.dead_letter_topic,
    }
    shown = buildspace("dead-letters", "show", "--limit", "3", **environ)
    assert (shown.returncode, shown.stdout) == (0, "There are no dead letters.\n"), shown.stderr
    replayed = buildspace("dead-letters", "replay", **environ)
    assert (replayed.returncode, replayed.stdout) == (0, "There is nothing to replay.\n"), replayed.stderr


def test_without_kafka_the_command_says_so():
    done = buildspace("dead-letters", "show")
    assert done.returncode == 2
    assert "There are no dead letters without Kafka" in done.stderr
