"""What every log store promises. One set of tests for each of them; each parameter of `logs` is an implementation."""

import asyncio
import datetime
import time
import uuid

import pytest

from builder.protocol.lines import MAX_LINE_BYTES, Line, LineBatch
from gateway.engines.clickhouse.clickhouse_logs import ClickhouseLogStore
from gateway.engines.postgres.postgres_logs import ROW_LINES, PostgresLogStore
from gateway.models.log import LogPosition
from tests.engines.gateway import eventually

BUILD = uuid.UUID(int=1)
OTHER = uuid.UUID(int=2)
BEGINNING = LogPosition()
TODAY = datetime.date(2026, 3, 1)
TOMORROW = TODAY + datetime.timedelta(days=1)
NEXT_MONTH = datetime.date(2026, 4, 1)


class Calendar:
    """Says which day it is, as the test pleases."""

    def __init__(self):
        self.day = TODAY

    async def today(self):
        return self.day

    async def first_second(self):
        return int(datetime.datetime.combine(self.day, datetime.time(), datetime.UTC).timestamp())


@pytest.fixture
def calendar():
    return Calendar()


@pytest.fixture(params=["postgres", "pooler", "clickhouse"])
def logs(request, calendar):
    part = request.getfixturevalue
    makers = {
        "postgres": lambda: PostgresLogStore(part("database"), calendar.today),
        "pooler": lambda: PostgresLogStore(part("pooled_database"), calendar.today),
        "clickhouse": lambda: ClickhouseLogStore(
            part("clickhouse_pool"), part("prepare_clickhouse"), calendar.first_second
        ),
    }
    return makers[request.param]()


def batch(first, count, *, attempt=1, build=BUILD, text="line {}"):
    lines = tuple(Line(1000 + seq, "stdout", "build", text.format(seq)) for seq in range(first, first + count))
    return LineBatch("blog", build, attempt, first, lines)


async def seqs(logs, after=BEGINNING, limit=10_000, build=BUILD):
    return [(line.attempt, line.seq) for line in await logs.read(build, after, limit)]


def numbers(first, last, attempt=1):
    return [(attempt, seq) for seq in range(first, last + 1)]


async def test_a_line_is_read_as_it_was_appended(logs):
    line = Line(1234, "stderr", "install", "Größe \0 \x1b[31m\u2028 \U0001f600\r")
    await logs.append([LineBatch("blog", BUILD, 1, 1, (line,))])
    (found,) = await logs.read(BUILD, BEGINNING, 10)
    assert (found.deployment_id, found.attempt, found.seq) == (BUILD, 1, 1)
    assert (found.timestamp, found.stream, found.step, found.text) == (1234, "stderr", "install", line.text)


async def test_an_unknown_log_is_empty(logs):
    assert await seqs(logs) == []
    assert await logs.missing(BUILD, 1, 3) == [(1, 3)]


async def test_appending_nothing_is_nothing(logs):
    await logs.append([])


async def test_lines_come_in_order_of_attempt_and_seq(logs):
    await logs.append([batch(1, 3, attempt=2), batch(4, 3), batch(1, 3)])
    assert await seqs(logs) == numbers(1, 6) + numbers(1, 3, attempt=2)


async def test_a_batch_appended_again_is_read_once(logs):
    await logs.append([batch(1, 3), batch(1, 3)])
    await asyncio.gather(*(logs.append([batch(4, 3), batch(1, 3)]) for _ in range(8)))
    assert await seqs(logs) == numbers(1, 6)


async def test_a_batch_repeated_after_midnight_is_read_once(logs, calendar):
    await logs.append([batch(1, 3), batch(4, 2)])
    calendar.day += datetime.timedelta(days=1)
    await logs.append([batch(1, 3), batch(4, 2), batch(6, 1)])
    assert await seqs(logs) == numbers(1, 6)
    assert await seqs(logs, limit=2) == numbers(1, 2)
    assert await logs.missing(BUILD, 1, 6) == []


async def test_batches_that_overlap_show_each_line_once(logs):
    await logs.append([batch(1, 5), batch(3, 5), batch(4, 1), batch(3, 2)])
    assert await seqs(logs) == numbers(1, 7)
    assert await seqs(logs, LogPosition(1, 4)) == numbers(5, 7)
    assert await logs.missing(BUILD, 1, 8) == [(8, 8)]


async def test_a_longer_batch_from_the_same_place_wins(logs):
    await logs.append([batch(1, 2)])
    await logs.append([batch(1, 5)])
    await logs.append([batch(1, 1)])
    assert await seqs(logs) == numbers(1, 5)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_reading_page_by_page_shows_all_lines_once(logs, limit):
    await logs.append([batch(1, 4), batch(5, 1), batch(6, 5), batch(1, 6, attempt=2)])
    found, position = [], BEGINNING
    while page := await logs.read(BUILD, position, limit):
        assert len(page) <= limit
        found += [(line.attempt, line.seq) for line in page]
        position = LogPosition(*found[-1])
    assert found == numbers(1, 10) + numbers(1, 6, attempt=2)


AWKWARD = [
    "",
    " ",
    'it\'s "quoted" `so`',
    "back\\slash \\\\ \\n \\' \\x00",
    "100 % of %s and %(seq)s",
    "\0\0 \a\b\t\n\v\f\r \x1b[0m \x7f",
    "é e\u0301 ß \u2028\u2029 \u202e\ufeff\ufffd\uffff",
    "\U0001f600\U0010ffff 漢字 שלום",
    "x" * MAX_LINE_BYTES,
    "漢" * (MAX_LINE_BYTES // 3),
]


@pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
async def test_every_text_comes_back_as_it_was(logs, text):
    await logs.append([LineBatch("blog", BUILD, 1, 1, (Line(1, "stdout", "build", text),))])
    assert [line.text for line in await logs.read(BUILD, BEGINNING, 10)] == [text]


@pytest.mark.parametrize("at", [0, 1, 999, 1_700_000_000_001, 2**53])
async def test_milliseconds_are_kept_exactly(logs, at):
    await logs.append([LineBatch("blog", BUILD, 1, 1, (Line(at, "stdout", "build", ""),))])
    assert [line.timestamp for line in await logs.read(BUILD, BEGINNING, 10)] == [at]


async def test_lines_that_stand_far_apart_are_found(logs):
    places = [1, 2, 5_000, 5_001, 10**6, 10**9, 2**53]
    await logs.append([batch(place, 1) for place in reversed(places)])
    await logs.append([batch(7, 1, attempt=100)])
    expected = [*((1, place) for place in places), (100, 7)]
    assert await seqs(logs) == expected
    assert await seqs(logs, limit=3) == expected[:3]
    assert await seqs(logs, LogPosition(1, 2), 1) == [(1, 5_000)]
    assert await seqs(logs, LogPosition(1, 2**53)) == [(100, 7)]


async def test_a_gap_is_passed_over_and_named(logs):
    await logs.append([batch(3, 2), batch(8, 1)])
    assert await seqs(logs) == [(1, 3), (1, 4), (1, 8)]
    assert await logs.missing(BUILD, 1, 10) == [(1, 2), (5, 7), (9, 10)]
    assert await logs.missing(BUILD, 1, 6) == [(1, 2), (5, 6)]
    assert await logs.missing(BUILD, 1, 0) == []


async def test_attempts_are_missing_each_for_itself(logs):
    await logs.append([batch(1, 3), batch(2, 1, attempt=2)])
    assert await logs.missing(BUILD, 2, 2) == [(1, 1)]


async def test_logs_of_others_are_not_shown(logs):
    await logs.append([batch(1, 3, build=OTHER), batch(1, 2)])
    assert await seqs(logs) == numbers(1, 2)
    assert await seqs(logs, build=OTHER) == numbers(1, 3)


async def test_a_batch_larger_than_a_row_is_whole(logs):
    await logs.append([batch(1, 2 * ROW_LINES + 5), batch(2 * ROW_LINES + 6, 1)])
    last = 2 * ROW_LINES + 6
    assert await seqs(logs) == numbers(1, last)
    assert await seqs(logs, LogPosition(1, ROW_LINES - 1), 3) == numbers(ROW_LINES, ROW_LINES + 2)
    assert await seqs(logs, LogPosition(1, last - 2)) == numbers(last - 1, last)


async def test_what_was_received_in_earlier_months_is_dropped_and_younger_lines_stay(logs, calendar):
    await logs.append([batch(1, 2)])
    calendar.day = NEXT_MONTH
    await logs.append([batch(3, 2)])
    assert await logs.drop_before(TODAY) == 0
    assert await logs.drop_before(NEXT_MONTH) == 1
    assert await seqs(logs) == numbers(3, 4)


async def test_lines_of_the_day_itself_and_later_are_never_dropped(logs, calendar):
    """Older ones go with their day or, at the latest, with their month: what a partition is, each store says."""
    await logs.append([batch(1, 2)])
    calendar.day = TOMORROW
    await logs.append([batch(3, 2)])
    await logs.drop_before(TOMORROW)
    assert await seqs(logs, LogPosition(1, 2)) == numbers(3, 4)


async def test_a_line_is_there_until_its_last_repeat_is_dropped(logs, calendar):
    await logs.append([batch(1, 2)])
    calendar.day = NEXT_MONTH
    await logs.append([batch(1, 2)])
    assert await seqs(logs) == numbers(1, 2)
    assert await logs.missing(BUILD, 1, 2) == []
    assert await logs.drop_before(NEXT_MONTH) == 1
    assert await seqs(logs) == numbers(1, 2)


async def test_the_logs_of_these_deployments_alone_are_forgotten(logs):
    await logs.append([batch(1, 2), batch(1, 3, build=OTHER)])
    await logs.forget([BUILD, uuid.uuid4()])
    await eventually(lambda: is_empty(logs, BUILD), "the store has rewritten its files", 20)
    assert await seqs(logs, build=OTHER) == numbers(1, 3)


async def is_empty(logs, build):
    return not await seqs(logs, build=build)


@pytest.fixture(params=["postgres", "clickhouse"])
def own_logs(request):
    """As the gateway opens it: nobody tells it the day."""
    part = request.getfixturevalue
    if request.param == "postgres":
        return PostgresLogStore(part("database"))
    return ClickhouseLogStore(part("clickhouse_pool"), part("prepare_clickhouse"))


class YearsBehind(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) - datetime.timedelta(days=800)


async def test_lines_that_a_gateway_with_a_wrong_clock_stored_are_not_forgotten_early(own_logs, monkeypatch):
    today = datetime.datetime.now(datetime.UTC).date()
    monkeypatch.setattr("datetime.datetime", YearsBehind)
    await own_logs.append([batch(1, 2)])
    assert await own_logs.drop_before(today - datetime.timedelta(days=1)) == 0
    assert await seqs(own_logs) == numbers(1, 2)


async def test_a_new_day_begins_with_many_writers_at_once(logs, calendar):
    for day in range(3):
        calendar.day = TODAY + datetime.timedelta(days=day)
        await asyncio.gather(*(logs.append([batch(10 * day + n, 1)]) for n in range(1, 11)))
    assert await seqs(logs) == numbers(1, 30)


async def test_lines_are_appended_while_others_read(logs):
    appending = asyncio.gather(*(logs.append([batch(n, 1)]) for n in range(1, 41)))
    reading = await asyncio.gather(*(seqs(logs) for _ in range(10)))
    await appending
    assert all(found == sorted(set(found)) for found in reading)
    assert await seqs(logs) == numbers(1, 40)


async def test_a_hundred_thousand_lines_are_read_from_anywhere_at_once(logs):
    await logs.append([batch(first, 20) for first in range(1, 100_000, 20) if first != 50_001])
    began = time.monotonic()
    assert await logs.missing(BUILD, 1, 100_000) == [(50_001, 50_020)]
    assert await seqs(logs, LogPosition(1, 99_000), 500) == numbers(99_001, 99_500)
    assert await seqs(logs, LogPosition(1, 50_000), 1) == [(1, 50_021)]
    assert time.monotonic() - began < 2


class TestEmbedded:
    """What only the embedded store does: it forgets by the day, and has small rows to merge."""

    @pytest.fixture
    def logs(self, database, calendar):
        return PostgresLogStore(database, calendar.today)

    async def test_old_days_are_dropped_and_younger_ones_stay(self, logs, calendar):
        await logs.append([batch(1, 2)])
        calendar.day = TOMORROW
        await logs.append([batch(3, 2)])
        assert await logs.drop_before(TODAY) == 0
        assert await logs.drop_before(TOMORROW) == 1
        assert await seqs(logs) == numbers(3, 4)

    async def test_small_rows_become_few_and_read_the_same(self, logs, database):
        await logs.append([batch(n, 1) for n in range(1, 101)] + [batch(200, 2), batch(1, 3, attempt=2)])
        before = await logs.read(BUILD, BEGINNING, 1000)
        assert await logs.compact(BUILD) == 99
        assert await logs.read(BUILD, BEGINNING, 1000) == before
        assert await database.pool.fetchval("SELECT count(*) FROM log_batches") == 3
        assert await logs.compact(BUILD) == 0

    async def test_a_batch_that_comes_again_after_compacting_is_read_once(self, logs):
        await logs.append([batch(1, 2), batch(3, 2), batch(5, 2)])
        await logs.compact(BUILD)
        await logs.append([batch(1, 2), batch(3, 2), batch(5, 4)])
        assert await seqs(logs) == numbers(1, 8)

    async def test_rows_stay_within_their_size_and_their_day(self, logs, calendar, database):
        await logs.append([batch(n * 500 + 1, 500) for n in range(6)])
        calendar.day += datetime.timedelta(days=1)
        await logs.append([batch(3001, 1)])
        await logs.compact(BUILD)
        counts = await database.pool.fetch("SELECT last_seq - first_seq + 1 AS n FROM log_batches ORDER BY first_seq")
        assert [row["n"] for row in counts] == [2000, 1000, 1]
        assert await seqs(logs, LogPosition(1, 1999), 3) == numbers(2000, 2002)
