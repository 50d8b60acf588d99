"""Which errors are a matter of one record: those that a real broker can't be made to hand out."""

import zlib
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaConnectionError, UnsupportedCodecError

from gateway.engines.kafka.kafka_polling import Unreadable, poll

PLACE, OTHER = TopicPartition("logs", 0), TopicPartition("logs", 1)


class FakeConsumer:
    """Two partitions of three records. Whoever reads number 1 of the first gets the error, on every try."""

    def __init__(self, error):
        self._error = error
        self._positions = {PLACE: 0, OTHER: 0}

    def assignment(self):
        return frozenset(self._positions)

    def highwater(self, place):
        return 3

    async def position(self, place):
        return self._positions[place]

    def seek(self, place, offset):
        self._positions[place] = offset

    async def getmany(self, *places, timeout_ms, max_records):
        found = {}
        for place in sorted(places, reverse=True):
            found[place] = []
            while self._positions[place] < 3 and len(found[place]) < max_records:
                if (place, self._positions[place]) == (PLACE, 1):
                    raise self._error
                found[place].append(SimpleNamespace(partition=place.partition, offset=self._positions[place]))
                self._positions[place] += 1
        return found


@pytest.mark.parametrize(
    "error", [CorruptRecordException("Invalid CRC"), UnsupportedCodecError("lz5"), zlib.error("broken"), IndexError()]
)
async def test_what_is_readable_comes_once_and_a_placeholder_for_what_is_not(error):
    found = await poll(FakeConsumer(error), 100, 0.01)
    assert sorted((each.partition, each.offset) for each in found) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    (bad,) = [each for each in found if isinstance(each, Unreadable)]
    assert (bad.partition, bad.offset, type(error).__name__ in bad.reason) == (0, 1, True)


async def test_a_limit_holds_for_what_is_read_one_by_one_too():
    consumer = FakeConsumer(zlib.error("broken"))
    first = await poll(consumer, 2, 0.01)
    second = await poll(consumer, 100, 0.01)
    assert len(first) == 2
    assert len({(each.partition, each.offset) for each in [*first, *second]}) == 6


async def test_a_broker_that_is_away_is_no_bad_record():
    with pytest.raises(KafkaConnectionError):
        await poll(FakeConsumer(KafkaConnectionError("away")), 100, 0.01)
