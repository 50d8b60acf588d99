"""How the dead letters are read: the time limit is Kafka's, not that of what is done with them."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from gateway.engines.kafka import dead_letter_desk

PLACE = TopicPartition("dead", 0)


class FakeConsumer:
    """One partition, handed out a record at a time; `is_silent`: none at all."""

    def __init__(self, count, *, is_silent=False):
        self._offsets = iter(range(count))
        self._position = 0
        self._is_silent = is_silent

    async def position(self, place):
        return self._position

    async def getmany(self, place, *, timeout_ms, max_records):
        if self._is_silent:
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        self._position += 1
        return {place: [SimpleNamespace(offset=next(self._offsets))]}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(dead_letter_desk, "CALL_SECONDS", 0.05)
    monkeypatch.setattr(dead_letter_desk, "POLL_SECONDS", 0.01)


async def test_letters_that_are_put_back_slowly_are_all_put_back():
    put_back = []
    async for record in dead_letter_desk._letters(FakeConsumer(2), {PLACE: 2}):
        await asyncio.sleep(0.1)  # longer than Kafka may take for an answer
        put_back.append(record.offset)
    assert put_back == [0, 1]


async def test_letters_that_came_after_the_beginning_are_left():
    found = [record.offset async for record in dead_letter_desk._letters(FakeConsumer(3), {PLACE: 2})]
    assert found == [0, 1]


async def test_kafka_that_hands_out_nothing_ends_the_reading():
    with pytest.raises(TimeoutError):
        [record async for record in dead_letter_desk._letters(FakeConsumer(1, is_silent=True), {PLACE: 1})]
